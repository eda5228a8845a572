"""Files and folders that are complete or absent, work of one process at a time, and caches."""

import contextlib
import hashlib
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from filelock import FileLock, Timeout

T = TypeVar("T")


@contextlib.contextmanager
def whole(
    path: Path | str, mode: str = "wb", *, private: bool = False, **options: Any
) -> Iterator[IO[Any]]:
    """A file to write to, which gets its name when the block ends without an error.

    A reader finds the old file or the new one, never a part of one. A block that fails leaves
    nothing behind. Several writers at once do not disturb each other: the file of the last one to
    finish stays.

    Args:
        path: where the file will be; its folder must exist.
        mode, options: as for `open`: "wb", or "w" with an encoding and newline.
        private: whether only its owner can read the file, whatever the umask says.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    opener = _opened_by_owner if private else None
    with whole_path(path) as part, open(part, mode, opener=opener, **options) as file:
        yield file


def _opened_by_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def own_folder(path: Path, *, again: bool = False) -> None:
    """Make a folder that only its owner can enter (on Windows, folders inherit who can).

    Args:
        path: made with its parents, which are as the umask says.
        again: whether a folder that is there becomes such a one, too.

    Raises:
        OSError: it cannot be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if again:
        with contextlib.suppress(PermissionError):  # it belongs to somebody else
            path.chmod(0o700)


@contextlib.contextmanager
def owner_alone() -> Iterator[None]:
    """In this block, what the process makes can be read and entered by its owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def whole_path(path: Path | str) -> Iterator[Path]:
    """Like `whole`, for what a library writes: a path beside `path`, with the same ending.

    The block makes a file or a folder there. A folder that was at `path` before is replaced.

    Raises:
        OSError: the block made nothing, or the folder cannot be written to.
    """
    path = Path(path)
    part = path.with_name(f".{os.getpid()}-{secrets.token_hex(3)}.{path.name}")
    try:
        yield part
        _move(part, path)
    finally:
        with contextlib.suppress(OSError):
            remove(part)


@contextlib.contextmanager
def whole_folder(
    folder: Path | str,
    names: Sequence[str] | None = None,
    *,
    old: Callable[[str], bool] = lambda name: False,
) -> Iterator[Path]:
    """A temporary folder to write files into, which move into `folder` when the block has ended.

    A block that fails leaves the folder as it was; one that did not exist is not there then.

    Args:
        folder: made if necessary, with its parents. Files of other names in it are kept.
        names: the files that move, in this order; None: whatever the block made.
        old: file name → whether it is of an earlier time, and goes before the new files come.

    Raises:
        OSError: the folder cannot be written to, or a file of `names` was not made.
    """
    folder = Path(folder)
    new = not folder.exists()
    part = folder / f".{os.getpid()}-{secrets.token_hex(3)}.part"
    part.mkdir(parents=True)
    try:
        yield part
        for path in list(folder.iterdir()):
            if old(path.name):
                remove(path)
        for name in sorted(path.name for path in part.iterdir()) if names is None else names:
            _move(part / name, folder / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if new and not any(folder.iterdir()):
            folder.rmdir()


def _move(part: Path, path: Path) -> None:
    """Give a file or a folder its name; what had it before is gone."""
    if path.is_dir():
        shutil.rmtree(path)
    os.replace(part, path)


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def one_at_a_time(path: Path | str, timeout: float = -1) -> Iterator[None]:
    """Make other processes and threads that want to make this file wait until the block ends.

    The folder of the file is created if necessary. Where no lock is possible, the block runs
    without one.

    Raises:
        filelock.Timeout: another one has held the lock for `timeout` seconds (-1: no limit).
    """
    path = Path(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout)
    except Timeout:
        raise
    except (OSError, NotImplementedError):  # a folder or a disk that cannot be written or locked
        pass
    try:
        yield
    finally:
        lock.release()


def cached(
    path: Path,
    make: Callable[[], T],
    *,
    read: Callable[[Path], T | None],
    write: Callable[[IO[bytes], T], None],
    what: str,
    private: bool = False,
) -> T:
    """The content that `make` returns, kept in a file that may be deleted at any time.

    A file that is missing, damaged or not as expected is made anew. Processes and threads that want
    the same file at the same time wait for the first of them.

    Args:
        path: the file; its name must change with everything that the content depends on.
        make: () → the content.
        read: path → content, or None where it is not as expected; any exception means damaged.
        write: (open file, content) → None; writes the content.
        what: the content in words, in the plural, for the warning.
        private: whether only its owner can read the file.

    Warns:
        UserWarning: the file cannot be written; the content is returned all the same.
    """
    if (content := _read(path, read)) is not None:
        return content
    with one_at_a_time(path):
        if (content := _read(path, read)) is not None:  # another one made it while this one waited
            return content
        content = make()
        try:
            with whole(path, private=private) as file:
                write(file, content)
        except OSError as error:
            warnings.warn(f"{what} cannot be cached in {path.parent}: {error}", stacklevel=4)
    return content


def _read(path: Path, read: Callable[[Path], T | None]) -> T | None:
    try:
        return read(path) if path.is_file() else None
    except Exception:  # whatever is wrong with a cache file, it is made anew
        return None


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
