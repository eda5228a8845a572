"""The incident plan of chapter 22: each of its commands does what the plan says, word for word."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import orders, write
from test_serve_processes import Served

from mmkeras.files import sha256

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals and links"),
    pytest.mark.skipif(not all(map(shutil.which, ("curl", "sha256sum"))), reason="its commands"),
]
CHAPTER = Path(__file__).parents[1] / "notebooks" / "22_fairness.ipynb"
ASK = json.dumps({"degrees": "80.5", "cup": "mug"})


def plan():
    """Step → its command, as the chapter has them."""
    cells = json.loads(CHAPTER.read_text("utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (source,) = (text for text in sources if text.startswith("PLAN = ["))
    assigned = ast.parse(source).body[0]
    assert isinstance(assigned, ast.Assign)
    return {step: command for _, _, step, _, command in ast.literal_eval(assigned.value)}


@pytest.fixture
def place(tmp_path, forks):
    """Two runs of opposite labels, `current`, a key, and the cases that failed."""
    rows = orders(60)
    write(tmp_path / "orders.csv", rows)
    other = [[*row[:3], {"tea": "coffee", "coffee": "tea"}.get(row[3], row[3])] for row in rows]
    write(tmp_path / "visits.csv", other)
    write(tmp_path / "bad_cases.csv", rows[:31])
    code = "from mmkeras.__main__ import main; import sys; sys.exit(main(sys.argv[1:]))"
    for run, table in (("run-1", "orders"), ("run-2", "visits")):
        ran = forks.run(code, "train", f"{table}.csv", "--ignore", "order", "--out", run,
                        cwd=tmp_path)  # fmt: skip
        assert ran.returncode == 0, ran.stderr
    shutil.copytree(tmp_path / "run-1", tmp_path / "run-3")
    (tmp_path / "current").symlink_to("run-2")
    (tmp_path / "KEY").write_text("1b" * 32 + "\n", "ascii")
    (tmp_path / "KEY").chmod(0o600)
    return tmp_path


def test_the_commands_of_the_plan_do_what_it_says(place, monkeypatch):
    monkeypatch.setenv("MMKERAS_CACHE", str(place / "cache"))
    steps = plan()
    failed = {path.name: path.read_bytes() for path in (place / "run-2").iterdir()}
    served = Served(place / "current", log=place / "log")
    tools = place / "bin"
    tools.mkdir()
    (tools / "mmkeras").write_text(f'#!/bin/sh\nexec {sys.executable} -m mmkeras "$@"\n')
    (tools / "mmkeras").chmod(0o755)
    env = os.environ | {
        "PID": str(served.process.pid), "URL": f"http://127.0.0.1:{served.port}",
        "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(CHAPTER.parents[1]),
    }  # fmt: skip

    def run(step, status=0):
        ran = subprocess.run(["sh", "-c", steps[step]], cwd=place, env=env, text=True,
                             capture_output=True, timeout=120)  # fmt: skip
        assert ran.returncode == status, f"{step}: {ran.stderr}"
        return ran.stdout

    def answer():
        return json.loads(served.ask("POST", "/predict", ASK)[1])["predictions"][0]["prediction"]

    try:
        before = answer()
        run("stop")
        served.wait(lambda: '"event": "reloaded"' in served.text())
        assert {before, answer()} == {"tea", "coffee"}, "another run answers now"
        assert json.loads(run("check"))["data_sha256"] == sha256(place / "orders.csv")
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(60)
    finally:
        served.close()
    run("seal")
    assert not (place / "run-2").exists() and (place / "run-2.locked").exists()
    said = run("traces", status=3)
    assert "run-2.locked: a locked run" in said and (place / "run-1").exists()
    run("return")
    assert (place / "bad_cases.evaluation" / "report.html").exists()
    steps["open"] = "mmkeras data unlock run-2.locked --key-file KEY && sha256sum -c failed.sha256"
    assert "run-2/model.keras: OK" in run("open")
    assert {p.name: p.read_bytes() for p in (place / "run-2").iterdir()} == failed
