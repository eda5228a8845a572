"""A three-modality model under Keras on JAX, on one device and on two; run in its own process.

    KERAS_BACKEND=jax python on_jax.py FOLDER

FOLDER gets, for "one" and "two" devices, the model NAME.keras and NAME.npz: losses and answers.
TensorFlow cannot be imported here.
"""

import importlib.abc
import os
import sys


class Without(importlib.abc.MetaPathFinder):
    """TensorFlow is not there."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"{name}: it is not needed here", name=name)


if __name__ == "__main__":  # not in the tests that read the data from here
    sys.meta_path.insert(0, Without())
    os.environ["XLA_FLAGS"] = (  # what is compiled runs a few times only
        "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    )

import keras  # noqa: E402
import numpy as np  # noqa: E402

import mmkeras as mm  # noqa: E402

NAMES = "attention branches fusion missing models".split()


def data(rows=96):
    rng = np.random.default_rng(0)
    present = (rng.random((rows, 3)) < 0.8).astype("float32")
    present[:, 0] = 1
    x = {
        "text": rng.integers(0, 20, (rows, 6)).astype("int32"),
        "image": rng.integers(0, 256, (rows, 16, 16, 3)).astype("uint8"),
        "audio": rng.uniform(-1, 1, (rows, 1000)).astype("float32"),
        "present": present,
    }
    return x, rng.integers(0, 3, rows)


def build(rate):
    keras.utils.set_random_seed(0)
    parts = [
        mm.text_branch(20, 6, encoder="transformer", units=8),
        mm.image_branch((16, 16, 3), units=8),
        mm.audio_branch(1000, 4000, units=8),
    ]
    hidden = mm.missing.ModalityDropout(rate)
    model = mm.multimodal_model(parts, {"answer": 3}, fusion="gated", missing=hidden, dropout=rate)
    steps = keras.optimizers.SGD(0.02, momentum=0.9)
    model.compile(steps, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(folder):
    for name in NAMES:
        getattr(mm, name)
    devices = keras.distribution.list_devices()
    assert keras.backend.backend() == "jax" and devices == ["cpu:0", "cpu:1"], devices
    x, y = data()
    for name, devices in (("one", ["cpu:0"]), ("two", ["cpu:0", "cpu:1"])):
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
        model = build(0.0)
        history = model.fit(x, y, batch_size=32, epochs=2, shuffle=False, verbose=0).history
        answers = model.predict(x, batch_size=32, verbose=0)
        model.save(f"{folder}/{name}.keras")
        np.savez(f"{folder}/{name}.npz", answers=answers, loss=history["loss"])
    build(0.3).fit(x, y, batch_size=32, verbose=0)  # with what is drawn at random, too


if __name__ == "__main__":
    main(sys.argv[1])
