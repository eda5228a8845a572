"""Training a small network behind frozen features, which are in memory."""

import time
from typing import Any

import keras
import numpy as np

Array = np.ndarray
EPOCHS, PATIENCE, BATCH, RATE = 60, 5, 32, 1e-3


class _InTime(keras.callbacks.Callback):
    def __init__(self, end: float) -> None:
        super().__init__()
        self.end = end

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if time.monotonic() > self.end:
            self.model.stop_training = True


def trained(
    head: keras.Model,
    train: tuple[dict[str, Array], Array],
    valid: tuple[dict[str, Array], Array],
    weights: Array | None,
    classes: int,
    end: float,
) -> Array:
    """Train until the validation loss no longer falls, keep the best weights.

    Args:
        train, valid: inputs of the head, and classes int (rows,).
        weights: of the classes, or None.
        end: of the time, as `time.monotonic` counts it.

    Returns:
        Probabilities (rows, classes) of the validation rows.
    """
    x, y = train
    size = int(np.clip(len(y) // 10, 8, BATCH))
    loss = "binary_crossentropy" if classes == 2 else "sparse_categorical_crossentropy"
    scale = np.ones(classes) if weights is None else weights
    head.compile(keras.optimizers.Adam(RATE), loss, steps_per_execution=_divisor(len(y), size))
    head.fit(
        x, y, sample_weight=scale[y], batch_size=size, epochs=EPOCHS, verbose=0,
        validation_data=(valid[0], valid[1], scale[valid[1]]),
        callbacks=[
            keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True),
            _InTime(end),
        ],
    )  # fmt: skip
    p = np.asarray(head.predict(valid[0], verbose=0), np.float64)
    return np.concatenate([1 - p, p], axis=1) if classes == 2 else p


def _divisor(rows: int, size: int) -> int:
    """Steps at a time, so that they divide the steps of an epoch."""
    steps = -(-rows // size)
    return max(k for k in range(1, min(steps, 16) + 1) if steps % k == 0)
