"""Find the files that cells name, safely and within the folder of the CSV."""

import contextlib
import functools
import io
import os
import re
import stat
import unicodedata
from pathlib import Path
from typing import BinaryIO

from .characters import visible

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|(data|file):", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class Refused(ValueError):
    """A file that cannot or must not be used; the message is the reason."""


def resolve(folder: str, cell: str, allow_outside: bool) -> str:
    """The real path of a cell, without links and "..".

    ``folder`` is the real path of the CSV's folder. A backslash separates folders, as on Windows.

    Raises:
        Refused: a URL, or a path that leaves the folder although that is not allowed.
    """
    if _URL.match(cell) and not _DRIVE.match(cell):
        raise Refused("is a URL; download the file and give its path")
    if _DRIVE.match(cell) and os.name != "nt":
        raise Refused("is a path on a Windows drive; give paths relative to the CSV's folder")
    real = os.path.realpath(os.path.join(folder, cell.replace("\\", "/")))
    if not allow_outside and not Path(real).is_relative_to(folder):
        absolute = os.path.isabs(cell.replace("\\", "/"))
        what = "is an absolute path outside the CSV's folder" if absolute else (
            "leaves the CSV's folder"
        )  # fmt: skip
        raise Refused(f"{what}; move the file, or pass allow_outside=True")
    return real


def find(folder: str, cell: str, allow_outside: bool) -> str:
    """As `resolve`; if there is no such file, a file whose name differs only in its composition.

    An é may be one character, or an e and an accent. macOS writes the second form into file names,
    and an archive may take them to a system that distinguishes the two forms.

    Raises:
        Refused: as `resolve` does.
    """
    real = resolve(folder, cell, allow_outside)
    if not cell.isascii() and not os.path.lexists(real):
        for form in ("NFC", "NFD"):
            other = resolve(folder, unicodedata.normalize(form, visible(cell)), allow_outside)
            if os.path.lexists(other):
                return other
    return real


def identity(path: str, max_file_bytes: int) -> tuple[str, int, int]:
    """(path, size in bytes, time of change in ns) of a regular file of allowed size.

    Raises:
        Refused: the file does not exist, is a folder or device, is empty, is too large, or may not
            be read.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise Refused(_not_there(path, error)) from None
    if stat.S_ISDIR(found.st_mode):
        raise Refused("is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise Refused("is a device, pipe or socket, not a file")
    if found.st_size == 0:
        raise Refused("the file is empty (0 bytes)")
    if found.st_size > max_file_bytes:
        raise Refused(
            f"the file has {found.st_size:,} bytes, more than max_file_bytes={max_file_bytes:,}"
        )
    return path, found.st_size, found.st_mtime_ns


def _not_there(path: str, error: OSError) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"cannot be opened: {error.strerror}"
    folder, name = os.path.split(path)
    near = _listing(folder).get(name.casefold())
    return f"no such file; there is {near!r} (capitals matter)" if near else "no such file"


def forget_listings() -> None:
    """Forget the names in folders, which are kept for the messages about many missing files."""
    _listing.cache_clear()


@functools.lru_cache(maxsize=16)
def _listing(folder: str) -> dict[str, str]:
    """The names in a folder, by their lower-case form."""
    with contextlib.suppress(OSError):
        return {name.casefold(): name for name in os.listdir(folder)}
    return {}


def opened(source: str | bytes) -> BinaryIO:
    """The file at this path, opened for reading, or a stream of these bytes.

    Raises:
        Refused: the file cannot be opened.
    """
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return open(source, "rb")
    except OSError as error:
        raise Refused(f"cannot be opened: {error.strerror}") from None
