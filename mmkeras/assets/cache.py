"""The cache: fetch assets that it lacks, and compare those that it holds with their hashes."""

import contextlib
import errno
import glob
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import Timeout

from ..files import one_at_a_time, sha256
from . import entries
from .archives import ArchiveError, unpack
from .download import WAIT, disk_full, download
from .entries import Asset, AssetError, find

MANIFEST = "mmkeras-manifest.json"


def fetch(name: str, *, thorough: bool = False) -> Path:
    """The folder that holds the asset's files, which are downloaded if the cache lacks them.

    An asset in the cache is used without starting any client. With `thorough`, every hash of a
    cached asset is compared, and the asset is fetched anew if one differs; otherwise only the
    presence and the sizes of its files are checked. Several threads and processes may call this at
    once: one of them downloads, and the others wait.

    Raises:
        AssetError: the asset is unknown or cannot be fetched; the message says what to do.
    """
    asset = find(name)
    if not faults(asset, thorough):
        return asset.folder
    with _clear_errors(asset), one_at_a_time(asset.folder, timeout=WAIT):
        if faults(asset, thorough):  # nobody else fetched it while this call waited
            _fetch_locked(asset)
    return asset.folder


def verify(name: str) -> Path:
    """The asset's folder, after comparing every file with the hash noted when it was unpacked.

    Raises:
        AssetError: a file is missing or was changed; the message names each of them and the
            command that mends it.
    """
    asset = find(name)
    if wrong := faults(asset, thorough=True):
        raise AssetError(
            f"{name}: {'; '.join(wrong)} (in {asset.folder}). To mend it: mmkeras data fetch {name}"
        )
    return asset.folder


def faults(asset: Asset, thorough: bool) -> list[str]:
    """What is wrong with the cached copy, one line per fault; empty if the copy can be used."""
    manifest = asset.folder / MANIFEST
    try:
        if not manifest.is_file():
            return ["not in the cache"]
        noted = json.loads(manifest.read_text(encoding="utf-8"))
        if noted["sha256"] != asset.sha256 or noted["keep"] != _recipe(asset):
            return ["unpacked from another version of the catalogue"]
        checks = (_file_fault(asset.folder, f, n, thorough) for f, n in noted["files"].items())
        return [fault for fault in checks if fault]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"{MANIFEST} cannot be read ({error!r})"]


def _file_fault(folder: Path, file: str, noted: dict[str, Any], thorough: bool) -> str | None:
    path = folder / file
    if not path.is_file():
        return f"{file} is missing"
    if path.stat().st_size != noted["size"]:
        return f"{file} has {path.stat().st_size:,} bytes, expected {noted['size']:,}"
    if thorough and sha256(path) != noted["sha256"]:
        return f"{file} was changed"
    return None


def _recipe(asset: Asset) -> list[str]:
    return [asset.inner, asset.root, *asset.keep]


def _fetch_locked(asset: Asset) -> None:
    """Download, check and unpack the asset, and put it in place. The caller holds its lock."""
    cache, prefix = asset.folder.parent, f".{asset.folder.name}.tmp-"
    for stale in cache.glob(glob.escape(prefix) + "*"):  # left by a fetch that was killed
        shutil.rmtree(stale, ignore_errors=True)
    temp = Path(tempfile.mkdtemp(prefix=prefix, dir=cache))
    try:
        files = temp / "files"
        files.mkdir()
        _unpack(asset, download(asset, temp), files)
        if asset.folder.exists():  # damaged, or of another catalogue
            asset.folder.rename(temp / "old")
        files.rename(asset.folder)
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def _unpack(asset: Asset, archive: Path, target: Path) -> None:
    """Unpack the kept files, and write the manifest, which holds their origin and their hashes."""
    try:
        files = unpack(
            archive,
            target,
            asset.keep,
            limit=asset.kept_size,
            root=asset.root,
            inner=asset.inner,
        )
    except ArchiveError as error:
        raise AssetError(
            f"{asset.name}: the archive of {asset.package} {asset.version} cannot be used: "
            f"{error}. Nothing was kept. Correct [{asset.name}] in {entries.catalogue_path()}, "
            "or report it."
        ) from error
    manifest = {
        "name": asset.name,
        "package": f"{asset.package} {asset.version}",
        "licence": asset.licence,
        "citation": asset.citation,
        "sha256": asset.sha256,
        "keep": _recipe(asset),
        "files": files,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (target / MANIFEST).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _clear_errors(asset: Asset) -> Iterator[None]:
    """Turn an error of the system into an AssetError that says what to do about it."""
    cache = asset.folder.parent
    try:
        yield
    except Timeout as error:
        raise AssetError(
            f"{asset.name}: another process has been fetching it for {WAIT} s. "
            "Wait for it, or end it, and try again."
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise AssetError(disk_full(asset)) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AssetError(
                f"{asset.name}: no permission to write to {cache}. "
                "Make it writable, or set MMKERAS_CACHE to a folder that is."
            ) from error
        raise AssetError(
            f"{asset.name}: {error}. Check {cache}, or set MMKERAS_CACHE to another folder."
        ) from error
