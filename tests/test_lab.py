"""make lab: a student's copies of the notebooks, and how JupyterLab is started on them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import work

ROOT = Path(__file__).resolve().parent.parent


def write(file: Path, *sources: str, output: str = "") -> Path:
    """A notebook with these code cells, as small as can be."""
    cells = [{"cell_type": "code", "source": [text], "outputs": [output]} for text in sources]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"cells": cells, "nbformat": 4}), encoding="utf-8")
    return file


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A checkout with two chapters and a solution, of which copies were made."""
    for name in ("01_one.ipynb", "02_two.ipynb", "solutions/01_one.ipynb"):
        write(tmp_path / "notebooks" / name, f"print('{name}')")
    (tmp_path / "notebooks" / "notes.txt").write_text("not a notebook", encoding="utf-8")
    assert work.bring(tmp_path) == []
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.ipynb")}


def test_the_copies_are_the_notebooks(course: Path) -> None:
    assert files(course / "work") == files(course / "notebooks")
    assert len(files(course / "work")) == 3 and not (course / "work" / "notes.txt").exists()


def test_a_second_time_nothing_happens(course: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (course / "work").rglob("*.ipynb")}
    assert work.bring(course) == []
    assert before == {p: p.stat().st_mtime_ns for p in (course / "work").rglob("*.ipynb")}


def test_what_a_student_writes_is_kept_when_the_course_moves_on(course: Path) -> None:
    mine = write(course / "work" / "01_one.ipynb", "x = 'my answer'").read_bytes()
    assert work.bring(course) == []
    write(course / "notebooks" / "01_one.ipynb", "print('better')")
    for _ in range(2):
        (said,) = work.bring(course)
        assert "newer version of 01_one." in said and "FRESH=1" in said
    assert (course / "work" / "01_one.ipynb").read_bytes() == mine


def test_a_copy_that_was_only_run_follows_the_course(course: Path) -> None:
    copy = write(course / "work" / "02_two.ipynb", "print('02_two.ipynb')", output="printed")
    ran = copy.read_bytes()
    assert work.bring(course) == [] and copy.read_bytes() == ran, "outputs stay while they can"
    source = write(course / "notebooks" / "02_two.ipynb", "print('better')")
    assert work.bring(course) == [] and copy.read_bytes() == source.read_bytes()


def test_fresh_copies_anew_and_loses_nothing(course: Path) -> None:
    mine = {
        name: write(course / "work" / name, "x = 'my answer'").read_bytes()
        for name in ("01_one.ipynb", "solutions/01_one.ipynb")
    }
    write(course / "work" / "02_two.ipynb", "print('02_two.ipynb')", output="printed")
    own = write(course / "work" / "my_own.ipynb", "mine").read_bytes()
    (said,) = work.bring(course, fresh=True)
    (before,) = (course / "work").glob("before-*")
    assert f"work/{before.name}: 01_one, solutions/01_one." in said
    assert files(before) == mine
    shutil.rmtree(before)
    assert files(course / "work") == {**files(course / "notebooks"), "my_own.ipynb": own}
    assert work.bring(course, fresh=True) == [] and not list((course / "work").glob("before-*"))


def test_a_copy_is_kept_where_nothing_is_remembered_of_it(course: Path) -> None:
    (course / "work" / ".copied.json").unlink()
    mine = write(course / "work" / "01_one.ipynb", "x = 'my answer'").read_bytes()
    broken = course / "work" / "02_two.ipynb"
    broken.write_text('{"cells": [', encoding="utf-8")
    (said,) = work.bring(course)
    assert "01_one, 02_two" in said
    assert (course / "work" / "01_one.ipynb").read_bytes() == mine
    assert broken.read_text(encoding="utf-8") == '{"cells": ['


def test_work_is_ignored_by_git_and_as_deep_as_notebooks() -> None:
    assert "work/" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()


# --- tools/lab.sh, with a JupyterLab that only writes down how it is called

PYTHON = """#!/bin/sh
if [ "$1" = -c ]; then exit ${BROWSER_STATUS:-0}; fi
if [ "$1" = -m ]; then echo "$*" >calls; exit; fi
exec %s "$@"
"""


@pytest.fixture
def clone(course: Path) -> Path:
    shutil.rmtree(course / "work")
    shutil.copytree(ROOT / "tools", course / "tools")
    python = course / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON % sys.executable, encoding="utf-8")
    python.chmod(0o755)
    return course


def lab(clone: Path, **env: str) -> tuple[str, str]:
    """What lab.sh printed, and how it called JupyterLab."""
    command = ["sh", str(clone / "tools" / "lab.sh"), "01_one.ipynb"]
    env = {"PATH": os.environ["PATH"], **env}
    ran = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", check=True)
    return ran.stdout, (clone / "calls").read_text(encoding="utf-8")


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a shell script")


@linux
@pytest.mark.parametrize(
    ("env", "opens"),
    [({}, False), ({"DISPLAY": ":0"}, True), ({"DISPLAY": ":0", "BROWSER_STATUS": "1"}, False)],
)
def test_lab_opens_a_browser_where_there_is_one(
    clone: Path, env: dict[str, str], opens: bool
) -> None:
    printed, call = lab(clone, **env)
    opened = call.partition("url=/lab/tree/")[2]
    assert "jupyterlab" in call and opened.startswith("work/01_one.ipynb")
    assert ("--no-browser" not in call) == opens == ("address" not in printed)
    assert ("--allow-root" in call) == (os.getuid() == 0)


@linux
def test_lab_makes_the_copies_and_asks_nobody_for_news(clone: Path) -> None:
    lab(clone)
    assert files(clone / "work") == files(clone / "notebooks")
    settings = clone / ".venv/share/jupyter/lab/settings/overrides.json"
    (values,) = json.loads(settings.read_text(encoding="utf-8")).values()
    assert values == {"fetchNews": "false", "checkForUpdates": False}


@linux
def test_lab_copies_anew_on_demand(clone: Path) -> None:
    lab(clone)
    write(clone / "work" / "01_one.ipynb", "x = 'my answer'")
    assert "Copied anew" not in lab(clone)[0]
    assert "Copied anew" in lab(clone, FRESH="1")[0]
    assert files(clone / "work")["01_one.ipynb"] == files(clone / "notebooks")["01_one.ipynb"]
