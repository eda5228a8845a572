"""Files that are there whole or not at all, and work that one process does at a time."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from filelock import FileLock


@contextlib.contextmanager
def whole(path: Path | str, mode: str = "wb", **options: Any) -> Iterator[IO[Any]]:
    """A file to write to, which takes its name when the block ends without an error.

    A reader finds the old file or the new one, never a part. What fails leaves nothing behind.

    Args:
        path: where the file will be; its folder exists.
        mode, options: as for `open`: "wb", or "w" with an encoding and newline.

    Raises:
        OSError: the folder cannot be written to, the disk is full.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, mode, **options) as file:
            yield file
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def one_at_a_time(path: Path | str, timeout: float = -1) -> Iterator[None]:
    """Let other processes that want to make this file wait; where no lock can be had, just go on.

    Raises:
        filelock.Timeout: another process has held the lock for `timeout` seconds (-1: wait).
    """
    path = Path(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    with contextlib.suppress(NotImplementedError, PermissionError, FileNotFoundError):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout)
    try:
        yield
    finally:
        lock.release()
