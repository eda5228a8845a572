"""The wheel, installed into an empty environment and used outside any clone.

Nothing is downloaded. The environment is made anew and gets the wheel by pip, with no dependency;
the heavy packages are then lent to it by a `.pth` file that names the site-packages of the Python
that runs the tests. A `.pth` inside a folder that was added so is not read, which is what keeps the
editable mmkeras of this checkout out.
"""

import os
import subprocess
import sys
import sysconfig
import textwrap
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


class Installed:
    """An environment with the wheel, and a home and a desk of somebody who has no clone."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.home, self.desk = folder / "home", folder / "desk"
        self.home.mkdir(), self.desk.mkdir()
        place = folder / "env"
        venv.create(place, with_pip=False, symlinks=os.name != "nt")
        self.bin = place / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.bin / ("python.exe" if os.name == "nt" else "python")
        pip = [
            sys.executable,
            "-m",
            "pip",
            f"--python={self.python}",
            "--disable-pip-version-check",
        ]
        install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel)]
        subprocess.run([*pip, *install], check=True)
        lent = f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n"
        site = Path(self.answer("import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        (site / "lent.pth").write_text(lent, encoding="utf-8")

    def env(self) -> dict[str, str]:
        """What a person's shell has: no path to the checkout, no cache that was moved."""
        ours = ("PYTHON", "MMKERAS", "XDG")
        env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        path = f"{self.bin}{os.pathsep}{env['PATH']}"
        return {**env, "HOME": str(self.home), "USERPROFILE": str(self.home), "PATH": path}

    def start(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.desk, env=self.env(), capture_output=True, encoding="utf-8"
        )

    def answer(self, code: str) -> str:
        ran = self.start(str(self.python), "-c", code)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def mmkeras(self, *arguments: str) -> str:
        ran = self.start(str(self.bin / "mmkeras"), *arguments)
        assert ran.returncode == 0, f"{arguments}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def one_after_another(self, *commands: str) -> str:
        """What the console script calls, several times in one process: TensorFlow loads once."""
        code = """
            import shlex, sys
            from importlib.metadata import entry_points
            (script,) = entry_points(group="console_scripts", name="mmkeras")
            for command in sys.argv[1:]:
                if script.load()(shlex.split(command)):
                    sys.exit(command)
        """
        ran = self.start(str(self.python), "-c", textwrap.dedent(code), *commands)
        assert ran.returncode == 0, f"{commands}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return Installed(folder, wheel)


def files_in(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_what_runs_is_what_was_installed(installed: Installed) -> None:
    code = "import mmkeras, sys; print(mmkeras.__file__); print(*sys.path, sep='\\n')"
    package, *path = installed.answer(code).splitlines()
    assert Path(package).is_relative_to(installed.bin.parent)
    assert str(ROOT) not in path


def test_the_catalogue_is_found_and_the_cache_is_in_the_home(installed: Installed) -> None:
    listed = installed.mmkeras("data", "list")
    assert "emoji-noto" in listed and "to fetch" in listed
    assert f"Cache: {installed.home / '.cache' / 'mmkeras'}" in listed
    assert not files_in(installed.home), "a list makes nothing"


def test_sample_train_predict_and_the_doctor(installed: Installed) -> None:
    installed.mmkeras("sample", "weather", "--rows", "24")
    before = files_in(installed.desk)
    assert {"weather/data.csv", "weather/new.csv"} < before
    told = installed.one_after_another(
        "train weather/data.csv --label label --epochs 1 --out here --image-size 16",
        "predict here weather/new.csv",
        "doctor",
    )
    assert "open here" in told
    made = files_in(installed.desk) - before - {"weather/new.predicted.csv"}
    assert {name.partition("/")[0] for name in made} == {"here"}
    assert {"here/model.keras", "here/report.html", "here/metrics.json"} <= made
    header = (installed.desk / "weather" / "new.predicted.csv").read_text("utf-8").split("\n")[0]
    assert "prediction" in header
    cached = files_in(installed.home)
    assert any(name.startswith(".cache/mmkeras/tables/") for name in cached)
    assert not [name for name in cached if not name.startswith(".")], "nothing a person would see"
    assert f"TensorFlow  {version('tensorflow')} computes, Keras {version('keras')}" in told
    assert "mmkeras can run here: 0 errors (x)" in told
    assert f"Command     mmkeras is {installed.bin / 'mmkeras'}" in told
