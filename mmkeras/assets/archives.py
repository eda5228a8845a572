"""Unpack the wanted files of an archive without trusting anything in it.

Zip (wheels), tar with any compression of the standard library (npm packages, source
distributions) and ar (.deb) are told apart by their content. Only plain files are written, only
below the target folder, and no more bytes than expected.
"""

import fnmatch
import functools
import gzip
import hashlib
import io
import lzma
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

# A member of an archive: its path, whether it is a plain file, and a function that opens it.
Member = tuple[str, bool, Callable[[], Any]]
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a zip packed in a way that Python cannot read
)


class ArchiveError(ValueError):
    """The archive is damaged, or holds something that must not be unpacked."""


def unpack(
    archive: Path,
    target: Path,
    keep: Sequence[str],
    *,
    limit: int,
    root: str = "",
    inner: str = "",
) -> dict[str, dict[str, Any]]:
    """Write the wanted files into the empty folder `target`.

    Args:
        archive: a zip, tar or .deb file.
        target: an empty folder; after an error it holds what had been written before.
        keep: files or patterns (`*` also matches `/`), relative to `root`.
        limit: the largest number of bytes that may be written, which stops decompression bombs.
        root: a folder in the archive, which is cut off the front of every path.
        inner: the path of an archive inside the archive, which is read in its place.

    Returns:
        `{file: {"size": bytes, "sha256": hex}}`, with paths relative to `target` and `/` in them.

    Raises:
        ArchiveError: a damaged archive; a path that leads out of the folder (absolute, with
            `..`, a Windows drive or a backslash), wanted or not; a wanted file that is a link
            or a device, or occurs twice; a pattern that matches nothing; more bytes than `limit`.
        OSError: the disk is full or not writable.
    """
    try:
        with archive.open("rb") as stream:
            source = _open_inner(stream, inner) if inner else stream
            files = _write(source, target, keep, root, limit)
    except _DAMAGED as error:
        raise ArchiveError(f"it is damaged or of an unknown kind: {error}") from error
    for pattern in keep:
        if not fnmatch.filter(files, pattern):
            raise ArchiveError(f"nothing in it matches {pattern!r} under {root or '/'!r}")
    return files


def _write(
    stream: IO[bytes], target: Path, keep: Sequence[str], root: str, limit: int
) -> dict[str, dict[str, Any]]:
    files: dict[str, dict[str, Any]] = {}
    for path, plain, opener in _members(stream):
        _check_path(path)
        if not PurePosixPath(path).is_relative_to(root):
            continue
        name = str(PurePosixPath(path).relative_to(root))
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in keep):
            continue
        if not plain:
            raise ArchiveError(f"{path!r} is a link or a device, expected a plain file")
        if (target / name).exists():
            raise ArchiveError(f"{path!r} is in it twice")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with opener() as source, (target / name).open("xb") as sink:
            room = limit - sum(file["size"] for file in files.values())
            files[name] = _copy(source, sink, room, limit)
    return files


def _check_path(path: str) -> None:
    windows = PureWindowsPath(path)
    if ".." in windows.parts or windows.drive or windows.root or "\\" in path or "\0" in path:
        raise ArchiveError(f"the path {path!r} leads out of the folder")


def _copy(source: IO[bytes], sink: IO[bytes], room: int, limit: int) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(1 << 16):
        size += len(chunk)
        if size > room:
            raise ArchiveError(f"it unpacks to more than the expected {limit:,} bytes")
        digest.update(chunk)
        sink.write(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


def _open_inner(stream: IO[bytes], inner: str) -> IO[bytes]:
    for path, plain, opener in _members(stream):
        if plain and path == inner:
            return io.BytesIO(opener().read())
    raise ArchiveError(f"there is no file {inner!r} in it")


def _members(stream: IO[bytes]) -> Iterator[Member]:
    """Every member of the archive except folders."""
    start = stream.read(8)
    stream.seek(0)
    if start.startswith(b"PK"):
        yield from _zip_members(stream)
    elif start == b"!<arch>\n":
        yield from _tar_members(_deb_data(stream))
    else:
        yield from _tar_members(stream)


def _zip_members(stream: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if not info.is_dir():
                plain = kind in (0, stat.S_IFREG)
                yield info.filename, plain, functools.partial(archive.open, info)


def _tar_members(stream: IO[bytes]) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r:*") as archive:
        for member in archive:
            if not member.isdir():
                opener = functools.partial(archive.extractfile, member)
                yield member.name, member.isreg(), opener


def _deb_data(stream: IO[bytes]) -> IO[bytes]:
    """The data.tar.* of a .deb: ar members, each behind a header of 60 bytes (ar(5), deb(5))."""
    stream.seek(8)
    while len(header := stream.read(60)) == 60:
        name, length = header[:16].decode("ascii", "replace").strip(" /"), header[48:58].strip()
        if header[58:] != b"`\n" or not length.isdigit():
            raise ArchiveError("an ar header in it is broken")
        if name.startswith("data.tar"):
            if name.endswith(".zst") and sys.version_info < (3, 14):
                raise ArchiveError(f"{name} is packed with zstd, which needs Python 3.14 or newer")
            return io.BytesIO(stream.read(int(length)))
        stream.seek(int(length) + int(length) % 2, io.SEEK_CUR)
    raise ArchiveError("it has no data.tar")
