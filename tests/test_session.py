"""Importing the package and starting a run, each in a fresh interpreter, as a user does it."""

import os
import subprocess
import sys

import pytest

import mmkeras as mm


def python(code, **env):
    own = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**own, **env},
    )


def test_import_does_no_work_and_says_nothing():
    ran = python("import sys, mmkeras; print('tensorflow' in sys.modules, 'keras' in sys.modules)")
    assert (ran.stdout, ran.stderr) == ("False False\n", "")


def test_start_prints_one_line_and_repeats_itself():
    """With oneDNN's kernels, and its log line held back; the weights bit by bit, after a fit."""
    code = (
        "import mmkeras as mm; mm.start(seed=3); import hashlib, random, numpy as np\n"
        "m = mm.multimodal_model({'image': mm.image_branch((16, 16, 3))}, {'y': 2}, dropout=0.5)\n"
        "m.compile('adam', 'sparse_categorical_crossentropy')\n"
        "x = np.random.rand(64, 16, 16, 3).astype('float32') * 255\n"
        "m.fit({'image': x}, np.arange(64) % 2, batch_size=16, epochs=2, verbose=0)\n"
        "bits = b''.join(w.tobytes() for w in m.get_weights())\n"
        "print(random.random(), np.random.rand(), hashlib.sha256(bits).hexdigest())\n"
        "mm.start(seed=3)"
    )
    first, second = python(code), python(code)
    assert first.stderr == "" and first.returncode == 0
    lines = first.stdout.splitlines()
    assert (
        lines[0] == lines[2] and lines[0].startswith("mmkeras ") and lines[0].endswith("| seed 3")
    )
    assert first.stdout == second.stdout


def test_a_saved_model_loads_in_a_new_process_after_start(tmp_path):
    path = str(tmp_path / "m.keras")
    made = python(
        "import mmkeras as mm\n"
        "branches = [mm.text_branch(9, 4, name='text'), mm.signal_branch(40, name='ecg')]\n"
        f"mm.multimodal_model(branches, {{'y': 'binary'}}).save({path!r})"
    )
    assert made.returncode == 0, made.stderr
    ran = python(
        "import mmkeras as mm; mm.start(); import keras\n"
        f"print(type(keras.saving.load_model({path!r})).__name__)"
    )
    assert ran.stdout.splitlines()[1:] == ["MultimodalModel"], ran.stderr


@pytest.mark.parametrize("setting", [None, "0", "1"])
def test_onednn_is_left_to_tensorflow_and_to_the_user(setting):
    code = "import os, mmkeras; print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'))"
    ran = python(code, **({} if setting is None else {"TF_ENABLE_ONEDNN_OPTS": setting}))
    assert ran.stdout == f"{setting}\n"


def test_environment_defaults_give_way_to_the_users():
    ran = python(
        "import os, mmkeras; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])", TF_CPP_MIN_LOG_LEVEL="1"
    )
    assert ran.stdout == "1\n"


def test_another_backend_is_refused():
    ran = python("import mmkeras as mm; mm.start()", KERAS_BACKEND="numpy")
    assert (
        "RuntimeError: mmkeras needs Keras on TensorFlow, but Keras is set to 'numpy'" in ran.stderr
    )


def test_mixed_precision_is_named():
    ran = python("import mmkeras as mm; mm.start(precision='mixed_bfloat16'); import keras\n"
                 "print(keras.config.dtype_policy().name)")  # fmt: skip
    assert ran.stdout.splitlines()[0].endswith("| mixed_bfloat16")
    assert ran.stdout.splitlines()[1] == "mixed_bfloat16"


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
