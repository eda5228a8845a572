"""Features of a frozen encoder: computed once, then read from disk until something changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import IO

import keras
import numpy as np
import tensorflow as tf

from .. import assets, files
from ..arguments import check_positive

ROWS = 1024  # of sequences that are computed, and made half as large, at a time


def cached_features(
    model: keras.Model,
    inputs: np.ndarray,
    *,
    batch_size: int = 64,
    cache: Path | str | None = None,
    max_bytes: int = 4_000_000_000,
) -> np.ndarray:
    """Return `model.predict(inputs)`: computed once, then read from disk until something changes.

    The file's name is a SHA-256 over the model's configuration and weights, the bytes, shape and
    type of `inputs`, and the versions of Keras and TensorFlow. Another pixel, order, weight or
    version is another file, so a result is never out of date. Only the Python code of layers of
    one's own is not covered: delete the folder after changing it. Processes that ask for the same
    features at the same time wait for the first of them.

    Args:
        model: any model with one input and one output of rank 2 or more. It runs as at inference
            (no dropout, BatchNorm fixed). It may be trainable: training changes its weights, and so
            the file.
        inputs: numbers (n, ...), n at least 1: pictures, ids, or whatever the model takes.
        batch_size: rows computed at once; not part of the file's name.
        cache: folder, by default "features" in `mmkeras.assets.cache_dir()`. Its files may be
            deleted at any time. Only their owner can read them, since they tell of the inputs.
        max_bytes: the most that the folder may hold: beyond that, the files that were not used for
            the longest time are deleted.

    Returns:
        Row i for `inputs[i]`: float32 (n, d) of a model that gives vectors; of one that gives
        sequences or maps float16 (n, time, d) and so on, half the size, each number off by at most
        0.05% (or 3e-8).

    Raises:
        ValueError: a model with several inputs or outputs, inputs that are no numbers, of another
            shape than the model's input, or none; a batch size that is no positive integer; a
            sequence with numbers above 65,504, which float16 cannot hold.

    Warns:
        UserWarning: the folder cannot be written, or the features are larger than `max_bytes`; they
            are returned all the same.
    """
    inputs = np.ascontiguousarray(inputs)
    _check_call(model, inputs)
    batch_size = check_positive("batch_size", batch_size)
    folder = Path(cache) if cache is not None else assets.cache_dir() / "features"
    with contextlib.suppress(OSError):  # said below
        files.own_folder(folder, again=cache is None)
    shape = model.outputs[0].shape[1:]  # None where the model leaves it open
    dtype, rows = ("float32", len(inputs)) if len(shape) == 1 else ("float16", ROWS)
    rows = -(-rows // batch_size) * batch_size

    def compute() -> np.ndarray:
        parts = (inputs[i : i + rows] for i in range(0, len(inputs), rows))
        return np.concatenate(
            [_as(dtype, model.predict(part, batch_size=batch_size, verbose=0)) for part in parts]
        )

    def read(path: Path) -> np.ndarray | None:
        with np.load(path) as stored:  # a zip: each array has a checksum
            features = stored["features"]
        fits = len(features) == len(inputs) and features.dtype == np.dtype(dtype)
        return features if fits and _fits(shape, features.shape[1:]) else None

    def write(file: IO[bytes], features: np.ndarray) -> None:
        if features.nbytes > max_bytes:
            raise OSError(f"{features.nbytes:,} bytes are more than max_bytes={max_bytes:,}")
        np.savez(file, features=features)

    path = folder / f"{_content_hash(model, inputs)}.npz"
    features = files.cached(path, compute, read=read, write=write, what="features", private=True)
    with contextlib.suppress(OSError):  # another process may be at it, or the folder read-only
        os.utime(path)
        _trim(folder, max_bytes)
    return features


def _as(dtype: str, numbers: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = np.asarray(numbers).astype(dtype, copy=False)
    if np.isinf(cast).any() and np.isfinite(numbers[np.isinf(cast)]).any():
        raise ValueError(
            f"features up to {np.abs(numbers).max():.3g} do not fit {dtype}; scale them"
        )
    return cast


def _trim(folder: Path, most: int) -> None:
    """Delete the files that were used least recently until the rest has at most so many bytes."""
    found = [(file.stat(), file) for file in folder.glob("*.npz")]
    for stat, file in sorted(found, key=lambda pair: pair[0].st_mtime, reverse=True):
        most -= stat.st_size
        if most < 0:
            file.unlink(missing_ok=True)


def _fits(wanted: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(wanted) == len(shape) and all(
        size in (None, there) for size, there in zip(wanted, shape, strict=True)
    )


def _check_call(model: keras.Model, inputs: np.ndarray) -> None:
    ends = [getattr(model, end, None) or [] for end in ("inputs", "outputs")]
    if [len(end) for end in ends] != [1, 1] or len(ends[1][0].shape) < 2:
        raise ValueError(
            f"{model.name!r} has {len(ends[0])} inputs and outputs {[x.shape for x in ends[1]]}: "
            "expected a built model with one input and one output of shape (batch, features) or "
            "(batch, time, features)"
        )
    wanted = ends[0][0].shape[1:]
    if not _fits(wanted, inputs.shape[1:]) or inputs.dtype.kind not in "biuf" or not inputs.size:
        raise ValueError(
            f"inputs of shape {inputs.shape}, dtype {inputs.dtype}: expected numbers of shape "
            f"(n, {', '.join(map(str, wanted))}), n at least 1, as {model.name!r} takes them"
        )


def _content_hash(model: keras.Model, inputs: np.ndarray) -> str:
    """SHA-256 over all that the features depend on, as hexadecimal digits."""
    config = {
        "versions": (keras.version(), tf.__version__),
        "model": keras.saving.serialize_keras_object(model.get_config()),
    }
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for array in (*model.get_weights(), inputs):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view("uint8").data)
    return digest.hexdigest()
