"""The folder of a run, which is made and locked before training, and complete at any time.

    run/                 model.keras, settings.json, report.html …, written together at the end
    run/training/        options.json: the options with which the run was begun
    run/training/seed-0/ model.keras (the best so far), settings.json, state.npz (the last epoch)

The folder of one seed is a run that `mmkeras predict` can use, whatever ended the training. The
folder training/ is deleted when the training cannot be continued any further.
"""

import contextlib
import json
import math
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import files
from .command import RunError

FORMAT = 2  # of settings.json; version 0.1.0, which had no numbers, wrote format 1
READ = (1, 2)
FILES = (
    "model.keras",
    "settings.json",
    "metrics.json",
    "report.html",
    "model_card.md",
    "data_card.md",
    "test_predictions.csv",
    "README.txt",
)
TRAINING, STATE, OPTIONS = "training", "state.npz", "options.json"
LOCK, LOCKED = ".lock", ".locked"  # while a process writes; ending of a run that only a key opens
NEEDED = ("table", "classes", "columns", "encoding", "delimiter")  # keys that predicting needs
# Options that may differ from those with which a run was begun, when it is resumed.
CHANGEABLE = ("epochs", "time_limit", "learning_rate", "seeds", "show_rows", "no_examples",
              "no_cache", "csv", "out", "force", "resume", "command", "network", "begun", "devices",
              "cluster", "worker", "task", "encrypt_with")  # fmt: skip

# ------------------------------------------------------------------------------ to write


@contextlib.contextmanager
def opened(folder: Path, *, force: bool = False, resume: bool = False) -> Iterator[None]:
    """Make the folder and lock it while the block runs; leave no empty folder behind.

    Args:
        folder: may exist, but must not hold a run unless `force` or `resume` is given.
        force: replace a run, and delete what an earlier training left.
        resume: continue what an earlier training left.

    Raises:
        RunError: the folder is a file, holds files, cannot be written to, or is used by another
            process.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; name a folder with --out")
    if locked(folder).exists():
        raise RunError(f"{locked(folder)} holds a run of this name; unlock or delete it, or name "
                       "another folder with --out")  # fmt: skip
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with held(folder):
            try:
                _check(folder, force, resume)
                yield
            finally:
                _tidy(folder / TRAINING)
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other processes from writing into it in this block.

    Raises:
        RunError: it cannot be written to, or is used by another process.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(NotImplementedError):  # a file system without locks
            lock.acquire()
    except Timeout:
        raise RunError(f"another mmkeras is writing into {folder} right now; wait until it is "
                       "done, or name another folder with --out") from None  # fmt: skip
    except OSError as error:
        raise RunError(f"nothing can be written to {folder} ({error.strerror}); name another "
                       "folder with --out") from None  # fmt: skip
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows deletes it with the next line
            os.unlink(folder / LOCK)
        lock.release()


def locked(folder: Path) -> Path:
    """The file into which `mmkeras data lock` turns a run: weather/run.locked of weather/run."""
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    return Path(f"{folder}{LOCKED}")


def _check(folder: Path, force: bool, resume: bool) -> None:
    kept = folder / TRAINING
    if resume:
        if (folder / "settings.json").exists() and not kept.exists():
            raise RunError(f"the run in {folder} is finished, there is nothing to resume; "
                           "--force without --resume trains anew")  # fmt: skip
    elif force:
        shutil.rmtree(kept, ignore_errors=True)
    elif kept.exists():
        raise RunError(f"{folder} holds a run that can be resumed: add --resume, name another "
                       "folder with --out, or replace the run with --force")  # fmt: skip
    elif any(path.name != LOCK for path in folder.iterdir()):
        what = "a run" if (folder / "settings.json").exists() else "files"
        raise RunError(f"{folder} holds {what} already; name another with --out, or --force")


def _tidy(kept: Path) -> None:
    """Delete the folders of a training without a finished epoch."""
    for path in kept.glob("seed-*"):
        if not (path / STATE).exists():
            shutil.rmtree(path, ignore_errors=True)
    for path in kept.parent.glob(".*.part"):  # a process was killed while it wrote the results
        shutil.rmtree(path, ignore_errors=True)
    if kept.exists() and not any(kept.glob("seed-*")):
        shutil.rmtree(kept, ignore_errors=True)


def begin(folder: Path, options: Mapping[str, Any], csv: Path) -> None:
    """Write down the options of a new run, or compare them with those of a run to resume.

    Raises:
        RunError: an option or the CSV has changed, so that the run would be another one.
    """
    now = {key: value for key, value in options.items() if key not in CHANGEABLE}
    now = json.loads(json.dumps({"options": now, "data": files.sha256(csv)}, default=str))
    note = folder / TRAINING / OPTIONS
    if not note.exists():
        note.parent.mkdir(exist_ok=True)
        write_json(note, {**now, "command": options["command"]})
        return
    then = json.loads(note.read_text(encoding="utf-8"))
    other = [key for key, value in now["options"].items() if then["options"].get(key) != value]
    if other:
        flags = ", ".join(
            f"--{key.replace('_', '-')} was {then['options'].get(key)!r}, and is now "
            f"{now['options'][key]!r}" for key in other
        )  # fmt: skip
        raise RunError(f"the run in {folder} was begun with other options: {flags}. To resume:\n  "
                       f"{resuming(then['command'])}")  # fmt: skip
    if then["data"] != now["data"]:
        raise RunError(f"{csv} has changed since the run in {folder} was begun, so that its rows "
                       "may fall into other parts: train anew with --force, or into another "
                       "folder with --out")  # fmt: skip


def resuming(command: str) -> str:
    """The command that resumes the run that this command began."""
    words = command.split(" ")
    words = [word for word in words if word not in ("--force", "--resume")]
    return " ".join([*words, "--resume"])


def seed_folder(folder: Path, seed: int) -> Path:
    """The folder in which the training with one seed keeps its results."""
    return folder / TRAINING / f"seed-{seed}"


def best_kept(folder: Path) -> Path | None:
    """The folder of the seed with the lowest validation loss, in a training that has not ended."""
    states = sorted((folder / TRAINING).glob(f"seed-*/{STATE}"))
    return min(states, key=_best_loss).parent if states else None


def _best_loss(state: Path) -> float:
    """The best loss; infinite for a damaged file, so as not to hide the error before this call."""
    import numpy as np

    try:
        with np.load(state, allow_pickle=False) as kept:
            return min(logs["val_loss"] for logs in json.loads(str(kept["history"])))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return math.inf


def write_json(path: Path, content: Any) -> None:
    """Write the whole file or nothing; NaN and infinity, which JSON lacks, are errors."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with files.whole(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def save_model(model: Any, path: Path) -> None:
    """Write the whole file or nothing."""
    with files.whole_path(path) as part:  # it has the ending that Keras requires
        model.save(part)


def check_room(folder: Path, model: Any) -> None:
    """Raise RunError if the disk has too little space for what the training will write."""
    needed = 16 * 4 * model.count_params()  # the state and the model, with Adam's moments, twice
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(
            f"the disk of {folder} has {free / 1e6:.0f} MB left, but the training may need "
            f"{needed / 1e6:.0f} MB; make room, or name a folder elsewhere with --out"
        )


# ------------------------------------------------------------------------------ to read


def load(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The model and the settings of a folder that `mmkeras train` wrote.

    Raises:
        RunError: the folder is not a run, is damaged, or is from a newer version of this package.
    """
    settings = read_settings(folder)
    import keras

    from .. import models  # noqa: F401  registers our classes

    try:
        return keras.saving.load_model(folder / "model.keras"), settings
    except (ValueError, OSError, TypeError) as error:
        raise RunError(f"{folder / 'model.keras'} cannot be loaded: {error}") from None


def read_settings(folder: Path, needed: Sequence[str] = NEEDED) -> dict[str, Any]:
    """The content of settings.json, with all the needed keys; raises as `load` does."""
    file = folder / "settings.json"
    sealed = folder if folder.suffix == LOCKED else locked(folder)
    if sealed.is_file() and not file.is_file():
        raise RunError(f"the run is locked: mmkeras data unlock {sealed} --key-file KEYFILE")
    if not file.is_file() or not (folder / "model.keras").is_file():
        best = best_kept(folder)
        hint = (
            f". Its training has not ended: --resume continues it, and the best model so far is "
            f"a run as well: {best}" if best else ""
        )  # fmt: skip
        raise RunError(
            f"{folder} is not a run of mmkeras train: it needs model.keras and {file.name}{hint}"
        )
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        version = settings["format"]
    except KeyError as error:
        raise RunError(f"{file} is damaged: it lacks the key {error}") from None
    except (ValueError, TypeError) as error:
        raise RunError(f"{file} is damaged: {error}") from None
    if version not in READ:
        raise RunError(f"{file} has format {version!r}, but this mmkeras reads "
                       f"{' and '.join(map(str, READ))}: update mmkeras")  # fmt: skip
    if lacking := [key for key in needed if key not in settings]:
        raise RunError(f"{file} is damaged: it lacks the key {lacking[0]!r}")
    return dict(settings)


def inputs_of(settings: Mapping[str, Any]) -> list[str]:
    """The columns that a run was trained with; version 0.1.0 had no numbers."""
    return [
        *settings["columns"].values(),
        *settings.get("numbers", ()),
        *settings.get("categories", ()),
    ]
