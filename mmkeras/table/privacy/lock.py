"""A run as one file that only its key opens: `mmkeras data lock` and `unlock`.

A model can only be loaded from a plain file, so a run is unlocked before it is used, and locked
again afterwards. At any moment either the folder or the file is complete.
"""

import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from ... import files
from .. import run as runs
from ..command import RunError
from . import sealed


def check(folder: Path, key_file: Path) -> bytes:
    """The key, if this run can be locked with it; nothing of the run needs to be there yet.

    Raises:
        RunError: the cipher is not installed, the key file cannot be used or lies in the run, or
            there is a locked run of this name already.
    """
    sealed.check_installed()
    key = sealed.read_key(key_file)
    if key_file.resolve().is_relative_to(folder.resolve()):
        raise RunError(f"the key file {key_file} is in {folder}, and would be locked in with it: "
                       "move it, best to another disk")  # fmt: skip
    if runs.locked(folder).exists():
        raise RunError(f"{runs.locked(folder)} exists; delete or rename it first")
    return key


def lock(folder: Path, key_file: Path) -> Path:
    """Encrypt the folder of a run into a file beside it, then delete the folder.

    The file is complete, on disk and read again before anything is deleted. What is deleted is not
    overwritten: a disk may keep it for a while.

    Raises:
        RunError: it is not a run, a process uses it, or as `check` does.
    """
    runs.read_settings(folder)
    key = check(folder, key_file)
    with runs.held(folder):
        names = _contents(folder)
        with files.whole(runs.locked(folder), private=True) as file:
            _write(file, key, folder, names)
            file.flush()
            os.fsync(file.fileno())
        _sync(folder.parent)
        with runs.locked(folder).open("rb") as file:
            kept = [
                (info.name, info.size) for info, _ in _entries(file, key, str(runs.locked(folder)))
            ]
        if kept != [(name, (folder / name).stat().st_size) for name in names]:
            runs.locked(folder).unlink()
            raise RunError(f"{folder} changed while it was being locked, and stays as it is")
        (folder / "settings.json").unlink()  # from here on, the folder is no run
        shutil.rmtree(folder)
    return runs.locked(folder)


def unlock(file: Path, key_file: Path) -> Path:
    """Decrypt a locked run into the folder that it was, then delete the file.

    Raises:
        RunError: it is no locked run, the key is another one, the file was changed or cut short, or
            the folder exists.
    """
    sealed.check_installed()
    folder = file.with_name(file.name.removesuffix(runs.LOCKED))
    if file.suffix != runs.LOCKED or not file.is_file():
        raise RunError(f"there is no locked run {file}; its name ends in {runs.LOCKED}")
    if folder.exists():
        raise RunError(f"{folder} exists; if it is what remained when locking was stopped, delete "
                       "it")  # fmt: skip
    key = sealed.read_key(key_file)
    with files.whole_path(folder) as part, file.open("rb") as stream:
        part.mkdir(mode=0o700)
        for info, content in _entries(stream, key, str(file)):
            target = part / info.name
            if not target.resolve().is_relative_to(part.resolve()):
                raise RunError(f"{file} holds {info.name}, which leaves the folder")
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(target, "xb") as made:
                shutil.copyfileobj(content, made)
                made.flush()
                os.fsync(made.fileno())
    _sync(folder.parent)
    file.unlink()
    return folder


def _contents(folder: Path) -> list[str]:
    """The files of a run, as "training/seed-0/state.npz"; RunError for a link or device."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise RunError(f"{path} is neither a file nor a folder: move it away")
        if path.is_file() and name != runs.LOCK:
            found.append(name)
    return found


def _write(file: IO[bytes], key: bytes, folder: Path, names: list[str]) -> None:
    writer = sealed.Writer(file, key)
    with tarfile.open(fileobj=cast(IO[bytes], writer), mode="w|") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = (folder / name).stat().st_size
            with (folder / name).open("rb") as content:
                archive.addfile(info, content)
    writer.end()


def _entries(
    stream: IO[bytes], key: bytes, name: str
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """The files in a locked run; the end is only reached if the last piece is genuine, too."""
    reader = sealed.Reader(stream, key, name)
    with tarfile.open(fileobj=cast(IO[bytes], reader), mode="r|") as archive:
        for info in archive:
            content = archive.extractfile(info)
            if content is None:
                raise RunError(f"{name} holds {info.name}, which is no file")
            yield info, content
    while reader.read(sealed.PIECE):
        pass


def _sync(folder: Path) -> None:
    """Have the names in a folder written to the disk, where that can be asked for."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
