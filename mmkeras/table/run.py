"""The folder of a run: made and locked before training, whole at every moment, read by others.

    run/                 model.keras, settings.json, report.html …: they come together, at the end
    run/training/        options.json: what the run was begun with
    run/training/seed-0/ model.keras (the best so far), settings.json, state.npz (the last epoch)

A folder of one seed is a run that `mmkeras predict` can use, whatever ended the training. What is
in training/ goes when no more training can follow.
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

FORMAT = 2  # of settings.json; 1 is that of version 0.1.0, which knew no numbers
READ = (1, 2)
FILES = (
    "model.keras",
    "settings.json",
    "metrics.json",
    "report.html",
    "model_card.md",
    "test_predictions.csv",
    "README.txt",
)
TRAINING, STATE, OPTIONS = "training", "state.npz", "options.json"
MOST = 100  # classes up to which each has a column of probabilities
NEEDED = ("table", "classes", "columns", "encoding", "delimiter")  # of settings.json, to predict
# What may differ from the options that a run was begun with, when it goes on.
CHANGEABLE = ("epochs", "time_limit", "learning_rate", "seeds", "no_examples", "no_cache", "csv",
              "out", "force", "resume", "command")  # fmt: skip

# ------------------------------------------------------------------------------ to write


@contextlib.contextmanager
def opened(folder: Path, *, force: bool = False, resume: bool = False) -> Iterator[None]:
    """Make the folder and lock it, for as long as the block runs; leave nothing empty behind.

    Args:
        folder: may be there, but holds no run unless one of the next two is given.
        force: replace a run; what an earlier training left is deleted.
        resume: go on with what an earlier training left.

    Raises:
        RunError: it is a file, holds files, cannot be written to, or another process trains in it.
    """
    from filelock import FileLock, Timeout

    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; name a folder with --out")
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = FileLock(folder / ".lock", timeout=0)
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
        _check(folder, force, resume)
        yield
    finally:
        _tidy(folder / TRAINING)
        with contextlib.suppress(OSError):  # Windows deletes it with the next line
            os.unlink(folder / ".lock")
        lock.release()
        for path in made:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()


def _check(folder: Path, force: bool, resume: bool) -> None:
    kept = folder / TRAINING
    if resume:
        if (folder / "settings.json").exists() and not kept.exists():
            raise RunError(f"the run in {folder} is finished, there is nothing to go on with; "
                           "--force without --resume trains anew")  # fmt: skip
    elif force:
        shutil.rmtree(kept, ignore_errors=True)
    elif kept.exists():
        raise RunError(f"{folder} holds a run that can go on: add --resume; or name another folder "
                       "with --out, or replace it with --force")  # fmt: skip
    elif any(path.name != ".lock" for path in folder.iterdir()):
        what = "a run" if (folder / "settings.json").exists() else "files"
        raise RunError(f"{folder} holds {what} already; name another with --out, or --force")


def _tidy(kept: Path) -> None:
    """Delete what no finished epoch has made worth keeping."""
    for path in kept.glob("seed-*"):
        if not (path / STATE).exists():
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(kept / "whole", ignore_errors=True)
    if kept.exists() and not any(kept.glob("seed-*")):
        shutil.rmtree(kept, ignore_errors=True)


def begin(folder: Path, options: Mapping[str, Any], csv: Path) -> None:
    """Note what the run is begun with; where it goes on, compare.

    Raises:
        RunError: an option or the CSV has changed in a way that makes it another run.
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
        raise RunError(f"the run in {folder} was begun in another way: {flags}. To go on:\n  "
                       f"{resuming(then['command'])}")  # fmt: skip
    if then["data"] != now["data"]:
        raise RunError(f"{csv} has changed since the run in {folder} was begun, so that its rows "
                       "may fall into other parts: train anew with --force, or into another "
                       "folder with --out")  # fmt: skip


def resuming(command: str) -> str:
    """The command that goes on with the run that another began."""
    words = command.split(" ")
    words = [word for word in words if word not in ("--force", "--resume")]
    return " ".join([*words, "--resume"])


def seed_folder(folder: Path, seed: int) -> Path:
    """Where the training with one seed keeps what it has."""
    return folder / TRAINING / f"seed-{seed}"


def best_kept(folder: Path) -> Path | None:
    """The seed's folder with the lowest validation loss, of a training that has not ended."""
    states = sorted((folder / TRAINING).glob(f"seed-*/{STATE}"))
    return min(states, key=_best_loss).parent if states else None


def _best_loss(state: Path) -> float:
    """Infinite of a damaged file: this is asked after another error, and is to hide none."""
    import numpy as np

    try:
        with np.load(state, allow_pickle=False) as kept:
            return min(logs["val_loss"] for logs in json.loads(str(kept["history"])))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return math.inf


def write_json(path: Path, content: Any) -> None:
    """The whole file or nothing; a number that JSON does not have is an error."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with files.whole(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def save_model(model: Any, path: Path) -> None:
    """The whole file or nothing."""
    part = path.with_name(f".{os.getpid()}.{path.name}")  # Keras wants the name to end so
    try:
        model.save(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def check_room(folder: Path, model: Any) -> None:
    """Raises RunError where the disk is too full for what training will write."""
    needed = 16 * 4 * model.count_params()  # the state and the model, with Adam's moments, twice
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(
            f"the disk of {folder} has {free / 1e6:.0f} MB left, but the training may need "
            f"{needed / 1e6:.0f} MB; make room, or name a folder elsewhere with --out"
        )


def predictions(rows: Any, classes: list[str], y: Any, p: Any, columns: Sequence[str]) -> Any:
    """What test_predictions.csv holds, a line a test row.

    Args:
        rows: of `Table.rows`.
        classes, y, p: names (classes,), int (n,) and float (n, classes).
        columns: of the cells that are shown as well.

    Returns:
        DataFrame: row (its number in the CSV), truth, prediction, probability (of the prediction),
        probability_<class> of each class unless they are more than MOST, and the cells.
    """
    import pandas as pd

    names = pd.Series(classes)
    found = {
        "row": rows["row"].to_numpy(),
        "truth": names[y].to_numpy(),
        "prediction": names[p.argmax(axis=1)].to_numpy(),
        "probability": p.max(axis=1).round(6),
    }
    if len(classes) <= MOST:
        found |= {f"probability_{name}": p[:, k].round(6) for k, name in enumerate(classes)}
    cells = {name: rows[name].to_numpy() for name in columns if name in rows}
    return pd.DataFrame({**found, **cells})


def finish(folder: Path, best: Path, run: Any, predictions: Any, *, more: bool) -> None:
    """Write all files of a run beside each other, then move them in; other files are left.

    Args:
        folder: of the run.
        best: folder of the seed that is kept.
        run: a `report.Run`.
        predictions: DataFrame for test_predictions.csv.
        more: keep what is needed to train on.
    """
    from . import report

    part = folder / TRAINING / "whole"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    write_json(part / "settings.json", run.settings)
    write_json(part / "metrics.json", run.metrics)
    predictions.to_csv(part / "test_predictions.csv", index=False)
    (part / "README.txt").write_text(ABOUT.format(**run.settings), encoding="utf-8")
    report.write(run, part)
    shutil.copyfile(best / "model.keras", part / "model.keras")
    for name in FILES:
        os.replace(part / name, folder / name)
    if not more:
        shutil.rmtree(folder / TRAINING)


ABOUT = """A model that answers the column {label} of {data}, made by mmkeras train. Begin with
report.html. To answer new rows:

    mmkeras predict FOLDER new.csv

and to judge it by other rows that have a label:

    mmkeras evaluate FOLDER labelled.csv

In Python, here in this folder, the two lines that load the model, and then its answers:

    import mmkeras.models, keras  # the first knows our layers
    model = keras.saving.load_model("model.keras")

    import json, mmkeras as mm
    settings = json.load(open("settings.json", encoding="utf-8"))
    table = mm.load_table("new.csv", label=None, **settings["table"])
    probabilities = model.predict(table.dataset("all"))  # (rows, classes); (rows, 1) of two
"""

# ------------------------------------------------------------------------------ to read


def load(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The model and the settings of a folder that `mmkeras train` wrote.

    Raises:
        RunError: it is no such folder, damaged, or from a newer version of this package.
    """
    settings = read_settings(folder)
    import keras

    from .. import models  # noqa: F401  registers our classes

    try:
        return keras.saving.load_model(folder / "model.keras"), settings
    except (ValueError, OSError, TypeError) as error:
        raise RunError(f"{folder / 'model.keras'} cannot be loaded: {error}") from None


def read_settings(folder: Path, needed: Sequence[str] = NEEDED) -> dict[str, Any]:
    """What settings.json holds, all that is needed at least; raises as `load` says."""
    file = folder / "settings.json"
    if not file.is_file() or not (folder / "model.keras").is_file():
        best = best_kept(folder)
        hint = (
            f". Its training has not ended: --resume goes on with it, and the best model so far is "
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
    """The columns that a run was trained with; version 0.1.0 knew no numbers."""
    return [
        *settings["columns"].values(),
        *settings.get("numbers", ()),
        *settings.get("categories", ()),
    ]
