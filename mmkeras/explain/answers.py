"""The number that is explained: the log-odds of one class, or the value of a regression."""

import contextlib
import operator
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..arguments import check_positive
from ..fusion import DecisionFusion

SMALLEST = 1e-7  # probability; the log-odds of a model without logits end at ±16.1
Inputs = Mapping[str, Any]


class Answer:
    """The answer of a model about one class, as one number per row.

    A probability is explained by its log-odds, log(p / (1 - p)): near 0 and 1 a probability hardly
    moves whatever is changed, while log-odds go on, and independent pieces of evidence add up in
    them. They are read before the sigmoid or softmax of a Dense head, and computed from the
    probability where decisions are mixed. A Dense head of several units without activation counts
    as logits. The output of any other head is taken as it is.

    Args:
        model: a `keras.Model` with named inputs, such as `multimodal_model` builds.
        head: the name of the output; may be left out if there is only one.
        target: the class to explain, int from 0; of a binary head also 0. None: class 1 of a binary
            head, the only number of a regression, and else, row by row, the class that the model
            takes for the most probable.
        batch_size: rows computed at once.

    Raises:
        ValueError: the head is unknown, the target is no class of it, or the batch size is no
            positive integer.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        head: str | None = None,
        target: int | None = None,
        batch_size: int = 64,
    ) -> None:
        self.model, self.batch_size = model, check_positive("batch_size", batch_size)
        self.names = [tensor.name for tensor in model.inputs]
        self.head = _head(model, head)
        outputs = dict(zip(model.output_names, model.outputs, strict=True))
        self.units = int(outputs[self.head].shape[-1])
        self._last, self.activation = _end(outputs[self.head], model, self.head)
        if self.activation is keras.activations.linear and self.units > 1:
            self.activation = keras.activations.softmax
        self.target = self._checked_target(target)
        self._compiled = tf.function(self.of, reduce_retracing=True, autograph=False)

    def __call__(self, x: Inputs, chosen: np.ndarray | None = None) -> np.ndarray:
        """Log-odds, or the number of a regression, of each row of a dict of inputs: float64 (n,).

        Args:
            x: input name → (n, …).
            chosen: int (n,), the class of each row; None: `self.chosen(x)`.
        """
        x = self.checked(x)
        chosen, size = self.chosen(x) if chosen is None else chosen, self.batch_size
        parts = []
        with self.before_the_activation():
            for i in range(0, len(chosen), size):
                part = {name: tf.constant(value[i : i + size]) for name, value in x.items()}
                parts.append(self._compiled(part, tf.constant(chosen[i : i + size])).numpy())
        return np.concatenate(parts).astype(float)

    def checked(self, x: Inputs) -> dict[str, np.ndarray]:
        """The inputs as arrays of the dtype of the model, all with the same number of rows."""
        if not isinstance(x, Mapping) or set(x) != set(self.names):
            given = sorted(x) if isinstance(x, Mapping) else type(x).__name__
            raise ValueError(f"the inputs must be a dict with {self.names}; got {given}")
        kinds = {tensor.name: tensor.dtype for tensor in self.model.inputs}
        arrays = {name: np.asarray(x[name], kinds[name]) for name in self.names}
        lengths = {name: len(value) for name, value in arrays.items()}
        if len(set(lengths.values())) > 1 or not min(lengths.values()):
            raise ValueError(f"the inputs must have the same number of rows, 1 or more; {lengths}")
        return arrays

    def chosen(self, x: Mapping[str, np.ndarray]) -> np.ndarray:
        """The class that is explained in each row, int32 (n,)."""
        if self.target is not None:
            return np.full(len(x[self.names[0]]), self.target, np.int32)
        answers = self.model.predict(dict(x), batch_size=self.batch_size, verbose=0)
        answer = answers[self.head] if isinstance(answers, Mapping) else answers
        return np.argmax(answer, -1).astype(np.int32)

    @contextlib.contextmanager
    def before_the_activation(self) -> Iterator[None]:
        """Within this block a Dense head gives logits, not probabilities."""
        if self._last is None:
            yield
            return
        activation, self._last.activation = self._last.activation, keras.activations.linear
        try:
            yield
        finally:
            self._last.activation = activation

    def of(self, x: Mapping[str, tf.Tensor], chosen: tf.Tensor) -> tf.Tensor:
        """float32 (n,) as TensorFlow computes it; to be called within `before_the_activation`."""
        given = [x[name] for name in self.names]
        outputs = self.model(
            keras.tree.pack_sequence_as(self.model._inputs_struct, given), training=False
        )
        y = tf.cast(outputs[self.head] if isinstance(outputs, Mapping) else outputs, tf.float32)
        if self._last is None and self.activation is not None:
            p = tf.clip_by_value(y, SMALLEST, 1 - SMALLEST)
            y = tf.math.log(p) - tf.math.log1p(-p)
        if self.units == 1 and self.activation is not None:
            return y[:, 0] * tf.cast(2 * chosen - 1, tf.float32)
        own = tf.gather(y, chosen, batch_dims=1)
        if self._last is None or self.activation is not keras.activations.softmax:
            return own
        others = y - 1e9 * tf.one_hot(chosen, self.units)
        return own - tf.reduce_logsumexp(others, 1)

    def _checked_target(self, target: int | None) -> int | None:
        binary = self.units == 1 and self.activation is not None
        if target is None:
            return int(binary) if self.units == 1 else None
        classes = 2 if binary else self.units
        with contextlib.suppress(TypeError):
            if 0 <= operator.index(target) < classes:
                return operator.index(target)
        raise ValueError(f"target={target!r} must be an int from 0 to {classes - 1}")


def _head(model: keras.Model, head: str | None) -> str:
    names: list[str] = list(model.output_names)
    if head is None and len(names) == 1:
        return names[0]
    if head is None or head not in names:
        raise ValueError(f"head={head!r} must be one of {', '.join(map(repr, names))}")
    return head


def _end(output: Any, model: keras.Model, head: str) -> tuple[Any, Any]:
    """The Dense layer that gives this output, or None, and what makes probabilities of it."""
    bounded = (keras.activations.sigmoid, keras.activations.softmax)
    while True:  # through layers that pass a number on, and into models that are layers
        last = output._keras_history.operation
        if isinstance(last, keras.layers.Identity):
            output = last.input
        elif isinstance(last, keras.Model) and last.outputs:
            output, model, head = last.outputs[output._keras_history.tensor_index], last, ""
        else:
            break
    if isinstance(last, keras.layers.Dense):
        known = (*bounded, keras.activations.linear)
        if last.activation not in known or (last.units == 1 and last.activation not in bounded):
            return None, None
        return last, last.activation
    if isinstance(last, DecisionFusion):
        votes = [one for one in model.layers if one.name.startswith(f"{head or last.name}_")]
        ends = {getattr(one, "activation", None) for one in votes} & set(bounded)
        return None, next(iter(ends), None)
    return None, None
