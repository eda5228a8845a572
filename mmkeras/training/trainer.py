"""Models that are built and compiled once, and trained many times.

Derived in chapter 06.
"""

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..arguments import check_seed
from ..composite import Tensor


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
            if not self._metrics:  # the first fit
                prepare(self.model, *tf.nest.map_structure(lambda rows: rows[:batch_size], data))
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


def prepare(model: keras.Model, x: Any, y: Any = None, sample_weight: Any = None) -> None:
    """Create what the first step of `fit` would create: variables of optimiser, losses and metrics.

    TensorFlow traces a step that creates variables twice. With all of them there, it traces once,
    and the wait before the first step is about half as long. Weights and random states stay as
    they are. A model of `mm.multimodal_model` and a `Trainer` need no call.

    Args:
        model: a compiled `keras.Model`.
        x, y, sample_weight: one batch, or the first rows, structured as for `fit`.
    """
    answers = model(x, training=False)
    model.compute_loss(x, y, answers, sample_weight, training=False)
    model.compute_metrics(x, y, answers, sample_weight)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    model.reset_metrics()


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
