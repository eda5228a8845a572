"""Training many times without building anew, and runs that can be killed and resumed.

Derived in chapters 06 and 08.
"""

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from .arguments import check_positive, check_seed
from .composite import Tensor
from .files import whole


class Trainer:
    """A model that is built and compiled once, and trained many times from the start.

    A comparison over seeds trains one architecture again and again. Each new `compile` makes
    TensorFlow trace and prepare the same computation once more, which takes longer than training a
    small model. A trainer keeps the compiled computation and resets the numbers instead:

        def build():
            model = mm.multimodal_model(…)
            model.compile("adam", "sparse_categorical_crossentropy")
            return model

        trainer = Trainer(build)
        for seed in range(3):
            trainer.fit(x, y, seed=seed, epochs=12, batch_size=256)
            p = trainer.predict(x_test)

    The result is that of `keras.utils.set_random_seed(seed)`, `build()` and `fit` on the same
    batches: weights, optimiser and the random state of dropout start afresh, whatever was trained
    before. Rows are shuffled by `numpy.random.default_rng(seed)`, with one permutation per epoch.

    Args:
        build: () → a compiled `keras.Model`, always of the same architecture. It is called once
            here, and once for each new seed, whose first weights are then kept. All random numbers
            in it must be drawn by Keras.

    Attributes:
        model: the `keras.Model`, as the last `fit` or `restart` left it.

    Raises:
        ValueError: the model is not compiled.
    """

    def __init__(self, build: Callable[[], keras.Model]) -> None:
        self.build = build
        with _drawing(0):
            self.model = build()
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is None:
            raise ValueError("build() must return a compiled model: call model.compile in it")
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        self._variables = list(self.model.variables)  # `fit` will add variables of the metrics
        self._first = {0: _values(self._variables)}
        self._blank = _values(optimizer.variables)
        self._graph: Any = None  # computes the answer to one batch with any number of rows
        self._calls = 0
        self._metrics: list[Any] = []  # those of the last `fit`, and how to reset and read them
        self._quick: dict[str, Any] = {}

    def restart(self, seed: int) -> None:
        """Restore the first weights and random states of a seed (int ≥ 0); reset the optimiser."""
        if check_seed(seed) not in self._first:
            with _drawing(seed):
                self._first[seed] = _values(self.build().variables)
        for variable, value in zip(self._variables, self._first[seed], strict=True):
            variable.assign(value)
        for variable, value in zip(self.model.optimizer.variables, self._blank, strict=True):
            variable.assign(value)

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        seed: int,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train from the start.

        Args:
            x: an array or a dict input → array, of which inputs that the model does not have are
                left out; or a tf.data.Dataset of batches, without y, which is not shuffled here.
            y: array (n, …), or a tuple or dict of arrays for several heads.
            seed: int ≥ 0; determines the first weights, dropout and the order of the rows.
            epochs, batch_size: as for `keras.Model.fit`.
            shuffle: whether each epoch has the rows in a new order.
            sample_weight: float (n,), or structured as y.
            kwargs: other arguments of `keras.Model.fit`, such as validation_data or callbacks.

        Returns:
            The `History` of Keras.

        Raises:
            ValueError: x lacks an input of the model.
        """
        self.restart(seed)
        if isinstance(held := kwargs.get("validation_data"), tuple):
            kwargs["validation_data"] = (self._own(held[0]), *held[1:])
        if y is not None:
            data: tuple[Any, ...] = (self._own(x), tuple(y) if isinstance(y, list) else y)
            data = data if sample_weight is None else (*data, sample_weight)
            count = len(tf.nest.flatten(data)[0])
            rng, rows = np.random.default_rng(seed), np.arange(count)
            orders = [rng.permutation(count) if shuffle else rows for _ in range(epochs)]
            x = _batches(data, orders, batch_size)
            kwargs["steps_per_epoch"] = -(-count // batch_size)
        with self._quick_metrics():
            return self.model.fit(x, epochs=epochs, shuffle=False, **{"verbose": 0, **kwargs})

    @contextlib.contextmanager
    def _quick_metrics(self) -> Iterator[None]:
        """Reset all metrics in one call of TensorFlow, and read them in another.

        Keras makes several calls for each metric in each epoch, which take as long as the training
        of a small model. The first `fit` is left alone, because it creates the metrics.
        """
        model, own = self.model, vars(self.model)
        if self._metrics and self._metrics == model.metrics:
            own.update(self._quick)  # hides the methods of Keras, and is not tracked by it
        try:
            yield
        finally:
            for name in self._quick:
                own.pop(name, None)
        if self._metrics != model.metrics:
            self._metrics = model.metrics
            methods = model.reset_metrics, model.get_metrics_result
            self._quick = {m.__name__: tf.function(m, autograph=False) for m in methods}

    def predict(self, x: Any, batch_size: int = 256, **kwargs: Any) -> Any:
        """As `keras.Model.predict`, but inputs that the model does not have are left out.

        Rows that fit into one batch are answered in one step, without the overhead of `predict`.

        Raises:
            ValueError: x lacks an input of the model.
        """
        x = self._own(x)
        if not isinstance(x, tf.data.Dataset) and len(tf.nest.flatten(x)[0]) <= batch_size:
            # predict_on_batch would be traced anew for each number of rows, with a warning.
            return keras.tree.map_structure(ops.convert_to_numpy, self._answer(x))
        if not isinstance(x, tf.data.Dataset):
            kwargs["batch_size"] = batch_size
        return self.model.predict(x, **{"verbose": 0, **kwargs})

    def _answer(self, x: Any) -> Any:
        """The answer to one batch. Tracing a graph takes as long as ten calls without one."""
        self._calls += 1
        if self._calls <= 10 or not isinstance(x, Mapping):
            return self.model(x, training=False)
        inputs = {tensor.name: tensor for tensor in self.model.inputs}
        if self._graph is None:
            specs = {n: tf.TensorSpec(tensor.shape, tensor.dtype) for n, tensor in inputs.items()}
            model = self.model
            self._graph = tf.function(lambda x: model(x, training=False), input_signature=[specs])
        return self._graph({n: ops.convert_to_tensor(x[n], inputs[n].dtype) for n in inputs})

    def _own(self, x: Any) -> Any:
        """The inputs in a dict that the model has; anything other than a dict as it is."""
        if not isinstance(x, Mapping):
            return x
        names = [tensor.name for tensor in self.model.inputs]
        if missing := [name for name in names if name not in x]:
            raise ValueError(
                f"the model has the inputs {names}; x lacks {missing}, it has {list(x)}"
            )
        return {name: x[name] for name in names}


@contextlib.contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """Models built in this block get the random numbers of `keras.utils.set_random_seed(seed)`.

    Keras takes the seed of each layer from Python's random numbers. Seeding these alone leaves
    TensorFlow's prepared computations in place, which `set_random_seed` throws away.
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _values(variables: Sequence[Any]) -> list[np.ndarray]:
    return [ops.convert_to_numpy(variable) for variable in variables]


def _batches(data: Any, orders: Sequence[np.ndarray], size: int) -> tf.data.Dataset:
    """Batches of the rows in these orders, one epoch after the other."""
    tensors = tf.nest.map_structure(tf.convert_to_tensor, data)
    count = len(orders[0])
    lengths = [min(size, count - start) for start in range(0, count, size)] * len(orders)
    batches = tf.RaggedTensor.from_row_lengths(np.concatenate(orders), lengths)

    def take(rows: Tensor) -> Any:
        return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), tensors)

    return tf.data.Dataset.from_tensor_slices(batches).map(take).prefetch(2)


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
