"""The command `mmkeras`: its help, its errors, and what it loads for them."""

import io
import json
import os
import subprocess
import sys
import warnings

import pytest
from command_line import call
from PIL import Image

import mmkeras
from mmkeras import __main__ as command
from mmkeras.table.command import exit_status

HEAVY = {"tensorflow", "keras", "pandas", "numpy", "scipy", "sklearn", "matplotlib", "PIL"}


def run(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "mmkeras", *arguments],
        cwd=cwd,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


def test_warnings_are_lines_of_the_command(capsys):
    def work():
        for _ in range(2):
            warnings.warn("11 image files have 16 bits", stacklevel=1)
        warnings.warn("a bomb?", Image.DecompressionBombWarning, stacklevel=1)  # refused by a row

    assert exit_status(work, stopped="") == 0
    assert capsys.readouterr().err == "Beware: 11 image files have 16 bits\n"


@pytest.mark.slow
def test_every_help_has_an_example_works_anywhere_and_loads_nothing_heavy(tmp_path):
    code = (
        "import contextlib, io, json, sys\n"
        "from mmkeras.__main__ import COMMANDS, main\n"
        "told = {}\n"
        "for command in ['', *COMMANDS]:\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "        try: status = main([command, '--help'] if command else ['--help'])\n"
        "        except SystemExit as stop: status = stop.code\n"
        "    assert status == 0, command\n"
        "    told[command] = out.getvalue()\n"
        "print(json.dumps([told, sorted({name.split('.')[0] for name in sys.modules})]))\n"
    )
    path = os.pathsep.join(sys.path)
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ran.stderr == "" and ran.returncode == 0
    told, modules = json.loads(ran.stdout)
    assert not HEAVY & set(modules)
    for name in command.COMMANDS:
        assert f"\n  {name} " in told[""]
        if name not in ("data", "doctor"):
            assert f"Example: mmkeras {name} " in " ".join(told[name].split())
            assert "Exit status: 0 done, 1" in " ".join(told[name].split())
    assert list(tmp_path.iterdir()) == []


def test_every_option_is_explained():
    from mmkeras.table import evaluate, explain, options, predict, sample

    for module in (evaluate, explain, options, predict, sample):
        for action in module.parser()._actions:
            assert action.help, action
            value = action.nargs != 0 and action.option_strings and not action.choices
            assert not value or action.metavar, f"{action.option_strings}: no name of its value"


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["trian"], "there is no command 'trian'; did you mean train?"),
        (["Predict"], "did you mean predict?"),
        (["xyzzy"], "the commands are train, evaluate, predict"),
        (["train", "--lable", "x", "a.csv"], "there is no option --lable; did you mean --label?"),
        (["train", "--seed", "4294967296", "a.csv"], "argument --seed: must be from 0 to 42949"),
        (["train", "--seed", "4294967295", "--seeds", "2", "a.csv"], "must be below 2**32"),
        (["train", "--encoding", "base64", "a.csv"], "must be a text encoding such as utf-8"),
        (["predict", "--encoding", "rot13", "r", "a.csv"], "got 'rot13'"),
        (["train", "--delimiter", ";;", "a.csv"], "must be one character, or tab"),
        (["train", "--time-limit", "soon", "a.csv"], "must be a time such as 90s, 10m or 1.5h"),
        (["train", "--classes", "a", "a.csv"], "two or more different names"),
        (["train", "--max-file-bytes", "many", "a.csv"], "must be a size such as 200K, 64M"),
        (["train", "--epochs", "0", "a.csv"], "argument --epochs: must be 1 or more, got 0"),
        (["train", "--epochs", "many", "a.csv"], "argument --epochs: invalid int value: 'many'"),
        (["explain", "r", "a.csv", "--rows", "1-3"], "the header is row 1, such as 2,5,9-12"),
        (["explain", "r", "a.csv", "--rows", "9-3"], "got '9-3'"),
        (["explain", "r", "a.csv", "--rows", "2-99999"], "must name at most 10000 rows"),
        (["explain", "r", "a.csv", "--grid", "0"], "argument --grid: must be from 1 to 64"),
        (["explain", "r", "a.csv", "--method", "lime"], "invalid choice: 'lime'"),
        (["sample", "x", "--rows", "3"], "argument --rows: must be 9 or more"),
        (["train"], "the following arguments are required: data.csv"),
        (["train", "--ep", "3", "a.csv"], "no option --ep; did you mean --epochs?"),
    ],
)
def test_wrong_usage_is_said_in_the_commands_own_words(arguments, says):
    status, out, err = call(*arguments)
    assert (status, out) == (2, "") and says in err, err


def test_usage_version_and_help_on_a_command():
    assert call("--version") == (0, f"mmkeras {mmkeras.__version__}\n", "")
    status, out, _ = call()
    assert status == 2 and out.startswith("usage: mmkeras")
    assert call("help")[0] == 0
    status, out, _ = call("help", "predict")
    assert status == 0 and out.startswith("usage: mmkeras predict")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_output_in_a_narrow_encoding_loses_no_word(encoding, tmp_path):
    """Redirected output on Windows is in cp1252, and a name may be in any script."""
    name = "погода"
    ran = run("sample", name, "--rows", "9", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert ran.returncode == 0 and ran.stderr == b""
    assert b"\\u043f\\u043e\\u0433" in ran.stdout and (tmp_path / name / "data.csv").exists()
    assert run("--help", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0").returncode == 0
    ran = run("nowhere…", PYTHONIOENCODING=encoding)
    assert ran.returncode == 2 and b"Traceback" not in ran.stderr


def test_ctrl_c_and_a_closed_pipe_are_no_tracebacks(monkeypatch, tmp_path):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setitem(command.COMMANDS, "stop", ("doctor", ""))
    monkeypatch.setattr("mmkeras.doctor.main", interrupt)
    assert call("stop")[0] == 130

    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return os.open(tmp_path / "closed", os.O_CREAT | os.O_WRONLY)

    monkeypatch.setattr(sys, "stdout", Closed())
    assert command.main(["--help"]) == 1


def test_the_options_name_what_can_be_chosen():
    from mmkeras.branches.image import IMAGE_ENCODERS
    from mmkeras.fusion import METHODS
    from mmkeras.table import options

    assert tuple(METHODS) == options.FUSIONS
    assert tuple(IMAGE_ENCODERS) == options.IMAGE_ENCODERS
    status, _, err = call("train", "data.csv", "--fusion", "magic")
    assert status == 2 and "'magic'" in err and "low_rank" in err
    status, _, err = call("train", "data.csv", "--image-encoder", "magic")
    assert status == 2 and "'magic'" in err and "patch" in err
