"""Features of a frozen encoder: computed once, then read from disk until something changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from filelock import FileLock

from .. import assets


def cached_features(
    model: keras.Model,
    images: np.ndarray,
    *,
    batch_size: int = 64,
    cache: Path | str | None = None,
) -> np.ndarray:
    """Return `model.predict(images)`: computed once, then read from disk until something changes.

    The file's name is a SHA-256 over the model's configuration and weights, the bytes, shape and
    type of `images`, and the versions of Keras and TensorFlow. Another pixel, order, weight or
    version is another file, so a result is never out of date. Only the Python code of layers of
    one's own is not covered: delete the folder after changing it. Processes that ask for the same
    features at the same time wait for the first of them.

    Args:
        model: any model with one input and one output of rank 2. It runs as at inference (no
            dropout, BatchNorm fixed). It may be trainable: training changes its weights, and so
            the file.
        images: numbers (n, ...), n at least 1: pictures, or whatever the model takes.
        batch_size: rows computed at once; not part of the file's name.
        cache: folder, by default "features" in `mmkeras.assets.cache_dir()`. Its files may be
            deleted at any time.

    Returns:
        float32 array (n, d), row i for `images[i]`.

    Raises:
        ValueError: a model with several inputs or outputs, images that are no numbers or none.

    Warns:
        UserWarning: the folder cannot be written; the features are returned all the same.
    """
    images = np.ascontiguousarray(images)
    _check_call(model, images)
    folder = Path(cache) if cache is not None else assets.cache_dir() / "features"
    path = folder / f"{_content_hash(model, images)}.npz"
    with _one_at_a_time(path):
        features = _read(path, (len(images), model.outputs[0].shape[1]))
        if features is None:
            predicted = model.predict(images, batch_size=batch_size, verbose=0)
            features = np.asarray(predicted, "float32")
            _write(path, features)
    return features


def _check_call(model: keras.Model, images: np.ndarray) -> None:
    inputs, outputs = (getattr(model, end, None) or [] for end in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0].shape) != 2:
        raise ValueError(
            f"{model.name!r} has {len(inputs)} inputs and outputs {[x.shape for x in outputs]}: "
            "expected a built model with one input and one output of shape (batch, features)"
        )
    if images.dtype.kind not in "biuf" or not images.size:
        raise ValueError(
            f"images of shape {images.shape}, dtype {images.dtype}: expected numbers of shape "
            f"(n, {', '.join(map(str, inputs[0].shape[1:]))}), n at least 1"
        )


def _content_hash(model: keras.Model, images: np.ndarray) -> str:
    """SHA-256 over all that the features depend on, as hexadecimal digits."""
    config = {
        "versions": (keras.version(), tf.__version__),
        "model": keras.saving.serialize_keras_object(model.get_config()),
    }
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for array in (*model.get_weights(), images):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view("uint8").data)
    return digest.hexdigest()


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Let other processes that want this file wait; where no lock can be had, just go on."""
    lock = FileLock(path.with_name(f".{path.stem}.lock"))
    with contextlib.suppress(OSError, NotImplementedError):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the features in a cache file; None if it is missing or damaged (a zip has a CRC)."""
    try:
        with np.load(path) as stored:
            features = stored["features"]
    except Exception:  # whatever is wrong with a cache file, computing it again is the cure
        return None
    return features if features.shape == shape and features.dtype == np.float32 else None


def _write(path: Path, features: np.ndarray) -> None:
    """Write beside the target, then rename: a reader finds the whole file or none."""
    part = path.with_name(f".{path.stem}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, features=features)
        part.replace(path)
    except OSError as error:
        warnings.warn(f"features not cached in {path.parent}: {error}", stacklevel=3)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
