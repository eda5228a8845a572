"""Runs that can be killed, and resumed with the result of a run that was not.

Derived in chapter 08.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..arguments import check_positive, check_seed
from ..composite import Tensor
from ..files import whole


class Resume(keras.callbacks.Callback):
    """Continue a killed run where it stopped, with the result of a run that was never killed.

    At the end of each epoch, everything that the next one depends on is written to one file: the
    weights, the optimiser (its moments, and the step that a learning-rate schedule reads) and the
    random state of dropout, which `keras.callbacks.BackupAndRestore` leaves out. The order of the
    rows needs no state, because it is computed from the seed and the number of the epoch:

        resume = Resume("runs/mine", seed=0)
        data = resume.rows(len(y)).batch(64).map(lambda rows: …).prefetch(2)
        model.fit(data, initial_epoch=resume.done, epochs=20, shuffle=False, callbacks=[resume])

    The file is replaced in one step, so that a kill during writing leaves the previous file
    complete. An interrupted epoch is repeated. Let `fit` make one pass over the data per epoch (no
    `steps_per_epoch`). The state of other callbacks (the patience of `EarlyStopping`) is not kept,
    nor are random numbers drawn in the pipeline; draw those with stateless operations and `epoch`.

    Args:
        folder: the folder of the file, which is created if necessary. Use one folder per run.
        seed: int ≥ 0; determines the order of the rows.

    Attributes:
        done: number of epochs that are in the file.
        epoch: an int64 tf.Variable with the number of the current epoch, for use in the pipeline.
        history: the logs of every epoch in the file, one dict each, over all starts of the run.

    Raises:
        ValueError: raised by `fit` if it does not begin at epoch `done`, or if the file belongs to
            another model.
    """

    def __init__(self, folder: str | os.PathLike[str], seed: int = 0) -> None:
        super().__init__()
        self.file, self.seed = Path(folder) / "state.npz", check_seed(seed)
        self.epoch = tf.Variable(0, dtype="int64", trainable=False, name="epoch")
        self.history: list[dict[str, float]] = []
        if self.file.exists():
            with np.load(self.file) as state:
                self.history = json.loads(str(state["history"]))

    @property
    def done(self) -> int:
        """Number of epochs in the file."""
        return len(self.history)

    def rows(self, count: int) -> tf.data.Dataset:
        """Row numbers from 0 to count - 1, as int64 scalars, in a new order in each epoch.

        The order is that of `tf.random.experimental.index_shuffle`, which computes the place of
        one row without a list of all rows.
        """
        last = check_positive("count", count) - 1

        def place(i: Tensor) -> Tensor:
            return tf.random.experimental.index_shuffle(i, [self.seed, self.epoch], last)

        return tf.data.Dataset.range(count).map(place)

    def on_train_begin(self, logs: Any = None) -> None:
        if self.model.optimizer and not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        if not self.done:
            return
        variables = _variables(self.model)
        with np.load(self.file) as state:
            stored = [state[f"v{i}"] for i in range(len(state.files) - 1)]
        found, wanted = [v.shape for v in stored], [tuple(v.shape) for v in variables]
        if found != wanted:
            raise ValueError(
                f"{self.file} belongs to another model or optimiser: it holds shapes {found}, "
                f"this model has {wanted}; take another folder, or delete the file to start anew"
            )
        for variable, value in zip(variables, stored, strict=True):
            variable.assign(value)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch != self.done:
            raise ValueError(
                f"fit begins at epoch {epoch}, but {self.done} are done: "
                "pass initial_epoch=resume.done to fit"
            )
        self.epoch.assign(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.history.append({name: float(value) for name, value in (logs or {}).items()})
        arrays = {f"v{i}": ops.convert_to_numpy(v) for i, v in enumerate(_variables(self.model))}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with whole(self.file) as file:
            np.savez(file, history=np.array(json.dumps(self.history)), **arrays)


def _variables(model: keras.Model) -> Sequence[Any]:
    """Weights, random states of layers, and the optimiser's variables, in a fixed order."""
    return [*model.variables, *(model.optimizer.variables if model.optimizer else [])]
