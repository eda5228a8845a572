"""Importing the package and starting a run, each in a fresh interpreter, as a user does it."""

import gc
import os
import subprocess
import sys

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import mmkeras as mm
from mmkeras import session


def python(code, *arguments, **env):
    own = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**own, **env},
    )


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "level"), [(None, "3"), ("0", "1"), ("1", "2")])
def test_import_does_no_work_says_nothing_and_leaves_the_settings_to_the_user(setting, level):
    """oneDNN is TensorFlow's to choose, and log lines are held back unless they are asked for."""
    code = (
        "import os, sys, mmkeras; print('tensorflow' in sys.modules, 'keras' in sys.modules, "
        "*map(os.environ.get, ['TF_ENABLE_ONEDNN_OPTS', 'TF_CPP_MIN_LOG_LEVEL']))"
    )
    own = {} if setting is None else {"TF_ENABLE_ONEDNN_OPTS": setting}
    ran = python(code, TF_CPP_MIN_LOG_LEVEL=level, **own)
    assert (ran.stdout, ran.stderr) == (f"False False {setting} {level}\n", "")


RUN = """
import hashlib, random, sys, warnings
import mmkeras as mm
from mmkeras import session
mm.start(seed=3)
import keras
print(type(keras.saving.load_model(sys.argv[1])).__name__)  # nothing but start() was called
import numpy as np
m = mm.multimodal_model({'image': mm.image_branch((16, 16, 3))}, {'y': 2}, dropout=0.5)
m.compile('adam', 'sparse_categorical_crossentropy')
x = np.random.rand(64, 16, 16, 3).astype('float32') * 255
m.fit({'image': x}, np.arange(64) % 2, batch_size=16, epochs=2, verbose=0)
bits = b''.join(w.tobytes() for w in m.get_weights())
for _ in range(6):  # TensorFlow takes that for one function traced six times, and warns
    keras.Sequential([keras.layers.Dense(1)]).predict(np.zeros((1, 2)), verbose=0)
print(random.random(), np.random.rand(), hashlib.sha256(bits).hexdigest())
mm.start(seed=3)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    mm.start(precision='mixed_bfloat16', deterministic=False)
print(keras.config.dtype_policy().name, *[str(w.message)[:31] for w in caught])
sys.stderr = None  # as under pythonw
mm.start(np.int64(7))
"""


@pytest.mark.slow
def test_what_start_does(tmp_path, forks):
    """With oneDNN's kernels, and its log line held back; the weights bit by bit, after a fit."""
    branches = [mm.text_branch(9, 4, name="text"), mm.signal_branch(40, name="ecg")]
    mm.multimodal_model(branches, {"y": "binary"}).save(tmp_path / "m.keras")
    first = python(RUN, str(tmp_path / "m.keras"))
    second = forks.run(RUN, tmp_path / "m.keras", cwd=tmp_path)
    assert first.stderr == "" and first.returncode == 0
    start, loaded, _numbers, again, half, policy, last = first.stdout.splitlines()
    assert start == again and start.startswith("mmkeras ") and start.endswith("| seed 3")
    assert loaded == "MultimodalModel"
    assert half.endswith("| mixed_bfloat16")
    assert policy == "mixed_bfloat16 operations stay deterministic: "
    assert last.endswith("| seed 7")
    assert first.stdout == second.stdout


@pytest.mark.parametrize("raised, told", [(ImportError, "a log line\n"), (KeyboardInterrupt, "")])
def test_log_lines_are_held_back_also_when_ctrl_c_comes(raised, told, capfd):
    with pytest.raises(raised), session._quiet_stderr():
        os.write(2, b"a log line\n")
        raise raised
    assert capfd.readouterr().err == told


OTHER = """
import mmkeras as mm
for use in (lambda: mm.start(), lambda: mm.training, lambda: mm.explain):
    try:
        use()
    except RuntimeError as error:
        print(error)
"""


@pytest.mark.slow
def test_another_backend_is_refused():
    ran = python(OTHER, KERAS_BACKEND="jax")
    says = "mmkeras needs Keras on TensorFlow, but Keras is set to 'jax'"
    assert ran.returncode == 0, ran.stderr
    assert [line.startswith(says) for line in ran.stdout.splitlines()] == [True] * 3


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "0", True])
def test_a_bad_seed_is_named(seed):
    with pytest.raises(ValueError, match="seed must be an integer"):
        mm.start(seed)


def test_a_bad_precision_is_named():
    with pytest.raises(ValueError, match="mixed_float16.*got 'half'"):
        mm.start(precision="half")


def test_every_public_name_is_there_and_a_misspelt_one_is_explained():
    for name in mm.__all__:
        assert getattr(mm, name) is not None
    assert set(mm.__all__) <= set(dir(mm))
    with pytest.raises(AttributeError, match="no attribute 'text_brunch'.*text_branch"):
        _ = mm.text_brunch


def test_start_leaves_the_garbage_collector_on_and_exempts_the_imports() -> None:
    mm.start(seed=0)
    assert gc.isenabled() and gc.get_freeze_count() > 0


def test_start_gives_blas_the_threads_that_were_asked_for() -> None:
    def threads():
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):  # restores at the end what was there before
        mm.start(blas_threads=None)
        before = threads()
        mm.start()
        assert threads() == {1} and before - {1}
    with pytest.raises(ValueError, match="blas_threads.*got 0"):
        mm.start(blas_threads=0)
