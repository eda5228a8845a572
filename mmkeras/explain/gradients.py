"""Integrated gradients: the answer's slope, added up on the way from a baseline to the row.

Derived in chapter 17.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..arguments import check_positive
from .answers import Answer, Inputs


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each number of each input did to the answer.

    Attributes:
        parts: input name → float32, of the shape of the input: for ids one number per word.
        answer: float (n,), the answer at each row.
        start: float (n,), the answer at the baseline.
    """

    parts: dict[str, np.ndarray]
    answer: np.ndarray
    start: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """By how much the parts miss `answer - start`, float (n,): 0 with infinitely many steps."""
        total = sum(part.reshape(len(part), -1).sum(1, dtype=float) for part in self.parts.values())
        return self.answer - self.start - total


def integrated_gradients(
    model: keras.Model,
    x: Inputs,
    *,
    head: str | None = None,
    target: int | None = None,
    baseline: Mapping[str, Any] | None = None,
    keep: tuple[str, ...] = ("present",),
    steps: int = 32,
    batch_size: int = 64,
) -> Attribution:
    """Attribute the difference between the answer at a row and at a baseline to single numbers.

    For the row x, the baseline b and the answer F, input number i gets
    (x_i - b_i) · ∫ ∂F/∂x_i (b + α (x - b)) dα, with α from 0 to 1 (Sundararajan, Taly & Yan 2017).
    The integral is a mean over the midpoints of `steps` equal intervals. Ids have no slope: the way
    leads through the vectors of their Embedding layer, from the vector of zeros, and the numbers of
    one word are added up. Which ids are padding does not change on the way.

    Args:
        model: with named inputs, such as `multimodal_model` builds.
        x: input name → (n, …).
        head, target, batch_size: as for `Answer`.
        baseline: input name → an array that fits (n, …): (1, …) for all rows alike. What is not
            named starts at zeros. Not for ids.
        keep: inputs that stay as they are and get no part, such as presence masks.
        steps: the number of intervals, int from 1.

    Returns:
        An `Attribution`.

    Raises:
        ValueError: as `Answer`; a baseline that does not fit; or ids that no Embedding layer reads.
    """
    answer = Answer(model, head=head, target=target, batch_size=batch_size)
    rows, steps = answer.checked(x), check_positive("steps", steps)
    moved, ids = _moved(answer, rows, keep)
    start = {n: _start(n, rows[n], (baseline or {}).get(n)) for n in moved}
    if unknown := set(baseline or {}) - set(moved):
        raise ValueError(f"baseline: {sorted(unknown)} are not among the inputs {moved}")
    chosen = answer.chosen(rows)
    step = _Step(answer, ids)
    whole = {n: np.zeros(rows[n].shape, np.float32) for n in answer.names if n not in keep}
    ends = np.zeros((2, len(chosen)))
    for i in range(0, len(chosen), answer.batch_size):
        part = slice(i, i + answer.batch_size)
        here = {n: tf.constant(value[part]) for n, value in rows.items()}
        base = {n: tf.constant(value[part]) for n, value in start.items()}
        with answer.before_the_activation(), _on_the_way(ids, step):
            for end in (0, 1):
                ends[end, part] = step.run(here, base, chosen[part], float(end))[0]
            for k in range(steps):
                _, slopes, ways = step.run(here, base, chosen[part], (k + 0.5) / steps)
                for n, slope in slopes.items():
                    product = (slope * ways[n]).numpy()
                    whole[n][part] += (product.sum(-1) if n in ids else product) / steps
    return Attribution(whole, ends[1], ends[0])


def gradients(
    model: keras.Model,
    x: Inputs,
    *,
    head: str | None = None,
    target: int | None = None,
    keep: tuple[str, ...] = ("present",),
    batch_size: int = 64,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The slope of the answer at each row, by each number (Simonyan, Vedaldi & Zisserman 2014).

    Args:
        model, x, head, target, keep, batch_size: as for `integrated_gradients`.

    Returns:
        Two dicts by input name: the slopes, and the numbers that they belong to, both float32 of
        the shape of the input; of ids, those of the vectors of their Embedding layer, (n, length,
        d). Their product is "gradient × input".

    Raises:
        ValueError: as `integrated_gradients`.
    """
    answer = Answer(model, head=head, target=target, batch_size=batch_size)
    rows = answer.checked(x)
    moved, ids = _moved(answer, rows, keep)
    chosen, step, found = answer.chosen(rows), _Step(answer, ids), []
    for i in range(0, len(chosen), batch_size):
        here = {n: tf.constant(value[i : i + batch_size]) for n, value in rows.items()}
        base = {n: tf.zeros_like(here[n]) for n in moved}
        with answer.before_the_activation(), _on_the_way(ids, step):
            found.append(step.run(here, base, chosen[i : i + batch_size], 1.0)[1:])
    slopes, values = (
        {n: np.concatenate([part[which][n].numpy() for part in found]) for n in found[0][which]}
        for which in (0, 1)
    )
    return slopes, values


def _moved(
    answer: Answer, rows: Mapping[str, np.ndarray], keep: tuple[str, ...]
) -> tuple[list[str], dict[str, Any]]:
    """The inputs of numbers, and of ids with their Embedding layers."""
    names = [n for n in answer.names if n not in keep]
    ids = {n: _embedding(answer.model, n) for n in names if rows[n].dtype.kind != "f"}
    return [n for n in names if n not in ids], ids


class _Step:
    """The answer at one point of the way, and its slopes there."""

    def __init__(self, answer: Answer, ids: Mapping[str, Any]) -> None:
        self.answer, self.ids = answer, ids
        self.share: Any = None
        self.tape: Any = None
        self.seen: dict[str, tuple[Any, Any]] = {}
        self._run = tf.function(self._forward, reduce_retracing=True, autograph=False)

    def run(self, x: Any, base: Any, chosen: np.ndarray, share: float) -> tuple[Any, Any, Any]:
        """The answer (n,), and by input name the slopes, and the whole way."""
        told, slopes, ways = self._run(x, base, tf.constant(chosen), tf.constant(share, tf.float32))
        return told.numpy(), slopes, ways

    def _forward(self, x: Any, base: Any, chosen: Any, share: Any) -> tuple[Any, Any, Any]:
        way = {n: x[n] - base[n] for n in base}
        points = {n: base[n] + share * way[n] for n in base}
        self.share, self.seen = share, {}
        with tf.GradientTape() as self.tape:
            self.tape.watch(points)
            told = self.answer.of({**x, **points}, chosen)
        points |= {n: point for n, (_, point) in self.seen.items()}
        way |= {n: whole for n, (whole, _) in self.seen.items()}
        slopes = self.tape.gradient(
            told, points, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return told, slopes, way


@contextlib.contextmanager
def _on_the_way(ids: Mapping[str, Any], step: _Step) -> Iterator[None]:
    """Within this block, embeddings give a share of their vectors, which the tape watches."""

    def shared(name: str, layer: Any) -> Any:
        original = type(layer).call

        def call(numbers: Any) -> Any:
            whole = original(layer, numbers)
            point = step.share * whole
            step.tape.watch(point)
            step.seen[name] = (whole, point)
            return point

        return call

    for name, layer in ids.items():
        layer.call = shared(name, layer)
    try:
        yield
    finally:
        for layer in ids.values():
            del layer.call


def _embedding(model: keras.Model, name: str) -> keras.layers.Embedding:
    """The one Embedding layer that reads these ids."""
    branch = next((one for one in model.layers if one.name == f"{name}_encoder"), model)
    found = [one for one in branch._flatten_layers() if isinstance(one, keras.layers.Embedding)]
    if len(found) != 1:
        raise ValueError(
            f"input {name!r} holds whole numbers, and {len(found)} Embedding layers were found "
            f"behind it instead of one; use occlusion or shapley, or keep=({name!r},)"
        )
    return found[0]


def _start(name: str, x: np.ndarray, given: Any) -> np.ndarray:
    if given is None:
        return np.zeros_like(x)
    try:
        return np.broadcast_to(np.asarray(given, x.dtype), x.shape)
    except ValueError:
        raise ValueError(
            f"baseline of {name!r}: shape {np.shape(given)} does not fit {x.shape}"
        ) from None
