"""Features of a frozen encoder: computed once, then read from disk until something changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from .. import assets, files
from ..arguments import check_positive


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
        ValueError: a model with several inputs or outputs, images that are no numbers, of another
            shape than the model's input, or none; a batch size that is no positive integer.

    Warns:
        UserWarning: the folder cannot be written; the features are returned all the same.
    """
    images = np.ascontiguousarray(images)
    _check_call(model, images)
    batch_size = check_positive("batch_size", batch_size)
    folder = Path(cache) if cache is not None else assets.cache_dir() / "features"
    width = model.outputs[0].shape[1]  # None where the model leaves it open

    def compute() -> np.ndarray:
        return np.asarray(model.predict(images, batch_size=batch_size, verbose=0), "float32")

    def read(path: Path) -> np.ndarray | None:
        with np.load(path) as stored:  # a zip: each array has a checksum
            features = stored["features"]
        fits = features.ndim == 2 and len(features) == len(images) and features.dtype == np.float32
        return features if fits and width in (None, features.shape[1]) else None

    return files.cached(
        folder / f"{_content_hash(model, images)}.npz",
        compute,
        read=read,
        write=lambda file, features: np.savez(file, features=features),
        what="features",
    )


def _check_call(model: keras.Model, images: np.ndarray) -> None:
    inputs, outputs = (getattr(model, end, None) or [] for end in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0].shape) != 2:
        raise ValueError(
            f"{model.name!r} has {len(inputs)} inputs and outputs {[x.shape for x in outputs]}: "
            "expected a built model with one input and one output of shape (batch, features)"
        )
    wanted = inputs[0].shape[1:]
    fits = images.ndim == len(wanted) + 1 and all(
        size in (None, there) for size, there in zip(wanted, images.shape[1:], strict=True)
    )
    if not fits or images.dtype.kind not in "biuf" or not images.size:
        raise ValueError(
            f"images of shape {images.shape}, dtype {images.dtype}: expected numbers of shape "
            f"(n, {', '.join(map(str, wanted))}), n at least 1, as {model.name!r} takes them"
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
