"""Models under Keras on JAX: what a model is made of needs no TensorFlow."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import mmkeras as mm

ROOT = Path(mm.__file__).parent.parent
SCRIPT = Path(__file__).with_name("on_jax.py")
no_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None,
    reason="jax is not installed; to run this: python -m pip install 'jax>=0.8,<1'",
)


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    """The folder that the script has filled."""
    folder = tmp_path_factory.mktemp("jax")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": path}
    ran = subprocess.run([sys.executable, SCRIPT, folder], env=env, capture_output=True, text=True,
                         timeout=600)  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    return folder


@pytest.mark.slow
@no_jax
def test_two_devices_learn_what_one_learns(on_jax):
    with np.load(on_jax / "one.npz") as one, np.load(on_jax / "two.npz") as two:
        assert one["loss"][1] < one["loss"][0]
        np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
        np.testing.assert_allclose(two["answers"], one["answers"], atol=1e-4)


@pytest.mark.slow
@no_jax
def test_a_model_trained_on_jax_answers_alike_on_tensorflow(on_jax):
    import on_jax as script

    assert mm.models  # its classes are known now
    model = keras.saving.load_model(on_jax / "two.keras")
    x, y = script.data()
    with np.load(on_jax / "two.npz") as kept:
        answers = kept["answers"]
    np.testing.assert_allclose(model.predict(x, verbose=0), answers, atol=1e-4)
    assert np.isfinite(model.evaluate(x, y, verbose=0)[0])
