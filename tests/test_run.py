"""The folder of a run: locked, whole, refused before training where it cannot be written to."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from command_line import contents

from mmkeras.table import command, report, results, run


@pytest.mark.slow
def test_a_folder_is_there_and_locked_before_training_and_gone_if_nothing_came(tmp_path):
    folder = tmp_path / "a" / "b"
    with run.opened(folder):
        assert folder.is_dir()
        other = (
            "import pathlib, sys; from mmkeras.table import run\n"
            "try:\n"
            "    with run.opened(pathlib.Path(sys.argv[1]), force=True): print('in')\n"
            "except run.RunError as error: print(error)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", other, folder],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert "another mmkeras is writing into" in ran.stdout and "--out" in ran.stdout
    assert list(tmp_path.iterdir()) == []
    with run.opened(folder):  # the lock is free again
        (folder / "x").write_text("x")
    assert [p.name for p in folder.iterdir()] == ["x"]


def test_a_folder_with_other_files_is_left_as_it_was(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(run.RunError, match="holds files already"), run.opened(tmp_path):
        raise AssertionError
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(run.RunError, match="holds a run already"), run.opened(tmp_path):
        raise AssertionError
    with pytest.raises(run.RunError, match="is finished"), run.opened(tmp_path, resume=True):
        raise AssertionError
    (tmp_path / "settings.json").unlink()
    assert contents(tmp_path) == before
    with pytest.raises(run.RunError, match="is a file"), run.opened(tmp_path / "mine.txt"):
        raise AssertionError


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    """Root may write everywhere, so the refusal comes from the file system that has no room."""
    blocked = tmp_path / "file" / "run"
    (tmp_path / "file").write_text("")
    with pytest.raises(run.RunError, match="nothing can be written to"), run.opened(blocked):
        raise AssertionError
    usage = SimpleNamespace(free=10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(run.RunError, match=r"has 10 MB left, but the training may need 64 MB"):
        run.check_room(tmp_path, SimpleNamespace(count_params=lambda: 1_000_000))
    run.check_room(tmp_path, SimpleNamespace(count_params=lambda: 100_000))


def test_what_no_epoch_has_ended_is_tidied_away_and_what_one_has_stays(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), run.opened(folder):
        run.write_json(_made(run.seed_folder(folder, 0)) / "settings.json", {})
        raise KeyboardInterrupt
    assert not folder.exists()
    with pytest.raises(KeyboardInterrupt), run.opened(folder):
        (_made(run.seed_folder(folder, 0)) / run.STATE).write_text("")
        raise KeyboardInterrupt
    assert run.seed_folder(folder, 0).exists()
    with pytest.raises(run.RunError, match="can be resumed: add --resume"), run.opened(folder):
        raise AssertionError
    with run.opened(folder, resume=True):
        pass
    assert run.seed_folder(folder, 0).exists()
    with run.opened(folder, force=True):
        assert not run.seed_folder(folder, 0).exists()


def _made(folder):
    folder.mkdir(parents=True)
    return folder


def test_going_on_in_another_way_is_refused(tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("a")
    options = {"fusion": "concatenate", "epochs": 5, "command": "mmkeras train data.csv --force"}
    run.begin(tmp_path, options, data)
    run.begin(tmp_path, {**options, "epochs": 9, "command": "mmkeras train data.csv"}, data)
    with pytest.raises(run.RunError, match="--fusion was 'concatenate', and is now 'gated'") as e:
        run.begin(tmp_path, {**options, "fusion": "gated"}, data)
    assert str(e.value).endswith("mmkeras train data.csv --resume")
    data.write_text("b")
    with pytest.raises(run.RunError, match="has changed since the run"):
        run.begin(tmp_path, options, data)


def test_a_write_that_fails_leaves_the_earlier_run_whole(tmp_path, monkeypatch):
    best = _made(run.seed_folder(tmp_path, 0))
    for name in ("model.keras", "mine.txt"):
        (tmp_path / name).write_text("old")
    for name in ("model.keras", run.STATE):
        (best / name).write_text("new")
    before = contents(tmp_path)

    def no_space(*_):
        raise OSError("No space left on device")

    made = report.Run({"label": "l", "data": "d"}, {}, None, None), pd.DataFrame({"row": [2]})
    with monkeypatch.context() as patch:
        patch.setattr(report, "write", no_space)
        with pytest.raises(OSError, match="No space"), run.opened(tmp_path, resume=True):
            results.finish(tmp_path, best, *made, more=False)
    assert contents(tmp_path) == before
    monkeypatch.setattr(
        report,
        "write",
        lambda _, to: [
            (to / name).write_text("") for name in run.FILES if name.endswith(("md", "html"))
        ],
    )
    with run.opened(tmp_path, resume=True):
        results.finish(tmp_path, best, *made, more=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*run.FILES, "mine.txt"])
    assert (tmp_path / "model.keras").read_text() == "new"


def test_predictions_of_few_and_of_many_classes():
    rows = pd.DataFrame({"row": [4, 7], "text": ["a", ""], "label": ["x", "y"]})
    p = np.array([[0.75, 0.25], [1.0, 0.0]])
    found = results.predictions(rows, ["x", "y"], np.array([0, 1]), p, ["text", "image"])
    assert found.to_dict("list") == {
        "row": [4, 7],
        "truth": ["x", "y"],
        "prediction": ["x", "x"],
        "probability": [0.75, 1.0],
        "probability_x": [0.75, 1.0],
        "probability_y": [0.25, 0.0],
        "text": ["a", ""],
    }
    names = [f"c{k}" for k in range(results.MOST + 1)]
    p = np.eye(len(names))[[3, 5]]
    found = results.predictions(rows, names, np.array([3, 4]), p, [])
    assert list(found) == ["row", "truth", "prediction", "probability"]


@pytest.mark.parametrize(
    "settings, says",
    [
        ({}, "lacks the key 'format'"),
        ([], "is damaged"),
        ({"format": 99}, "has format 99, but this mmkeras reads 1 and 2: update mmkeras"),
        ({"format": 2, "table": {}, "columns": {}}, "lacks the key 'classes'"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path, settings, says):
    (tmp_path / "model.keras").touch()
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(run.RunError, match=says):
        run.read_settings(tmp_path)


# ------------------------------------------------------------------------------ how commands end


@pytest.mark.parametrize(
    "text, value",
    [("90s", 90), ("10m", 600), ("10", 600), ("1.5h", 5400), (".5m", 30), ("2min", 120)],
)
def test_times(text, value):
    assert command.seconds(text) == value


@pytest.mark.parametrize(
    "text, value", [("4096", 4096), ("200K", 204800), ("1.5m", 1572864), ("2GiB", 2**31)]
)
def test_sizes(text, value):
    assert command.file_size(text) == value


def test_class_names_may_hold_a_comma():
    assert command.class_list('a, "b, or c",d e') == ["a", "b, or c", "d e"]


def test_how_a_command_ends(capsys):
    def ends(work, **options):
        status = command.exit_status(work, stopped="nothing was written", **options)
        return status, capsys.readouterr().err

    def raises(error):
        def work():
            raise error

        return work

    assert ends(lambda: None) == (0, "")
    assert ends(raises(command.RunError("no"))) == (1, "error: no\n")
    assert ends(raises(OSError("full")), kept=lambda: "kept") == (1, "error: full\nkept\n")
    full = OSError(errno.ENOSPC, "No space left on device", "run/a.json")
    said = "error: No space left on device: run/a.json; make room, or write elsewhere with --out\n"
    assert ends(raises(full)) == (1, said)
    closed = OSError(errno.EROFS, "Read-only file system")
    assert ends(raises(closed)) == (1, "error: Read-only file system\n")
    assert ends(raises(KeyboardInterrupt())) == (130, "\nstopped: nothing was written\n")
    assert ends(lambda: signal.raise_signal(signal.SIGTERM), kept=lambda: "kept") == (
        143,
        "\nstopped\nkept\n",
    )
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    gone = RuntimeError("Graph execution error:\nRefused: a.png: no such file\nTraceback")
    status, err = ends(raises(gone))
    assert status == 1 and err.endswith("changed after it was checked: a.png: no such file\n")
    with pytest.raises(ZeroDivisionError):  # a fault of ours keeps its traceback
        ends(raises(ZeroDivisionError()), kept=lambda: "kept")
    assert capsys.readouterr().err == "kept\n"


def test_the_best_seed_of_a_training_that_has_not_ended_is_named(tmp_path):
    assert run.best_kept(tmp_path) is None
    for seed, losses in ((2, [0.5, 0.4]), (9, [0.3, 0.6]), (10, [0.7])):
        folder = run.seed_folder(tmp_path, seed)
        folder.mkdir(parents=True)
        history = json.dumps([{"val_loss": loss} for loss in losses])
        np.savez(folder / run.STATE, history=history)
    assert run.best_kept(tmp_path) == run.seed_folder(tmp_path, 9)
    (run.seed_folder(tmp_path, 9) / run.STATE).write_bytes(b"damaged")
    assert run.best_kept(tmp_path) == run.seed_folder(tmp_path, 2)
