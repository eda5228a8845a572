"""Chapter 7: wrong and right answers."""

from typing import Any

import keras
import numpy as np
from check_cases import accepted, refused

from mmkeras.checks import ch07


def count(widths: list[int], units: int, classes: int) -> int:
    return (sum(widths) + len(widths)) * units + (units + 1) ** len(widths) * classes + classes


class MaxFusion(keras.layers.Layer):
    reduce = staticmethod(keras.ops.max)

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, shapes: Any) -> None:
        self.project = [keras.layers.Dense(self.units) for _ in shapes]
        for layer, shape in zip(self.project, shapes, strict=True):
            layer.build(shape)

    def call(self, features: Any) -> Any:
        h = [layer(x) for layer, x in zip(self.project, features, strict=True)]
        return self.reduce(keras.ops.stack(h), axis=0)


class SumFusion(MaxFusion):
    reduce = staticmethod(keras.ops.sum)


class Forgetful(MaxFusion):
    def build(self, shapes: Any) -> None:
        self.factors = [keras.random.normal((shape[-1], self.units)) for shape in shapes]

    def call(self, features: Any) -> Any:
        h = [keras.ops.matmul(x, f) for x, f in zip(features, self.factors, strict=True)]
        return keras.ops.max(keras.ops.stack(h), axis=0)


def referee(sign: float = 1.0, picture: float = 1.0) -> Any:
    W = [np.array([[1.0, 0.0]]), np.array([[0.0, picture]]), np.array([[0.5, -0.5]])]
    b = [np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([0.5, 0.5])]
    return W, b, sign * np.array([1.0, 1.0]), 0.0


class LoopFusion(MaxFusion):
    def call(self, features: Any) -> Any:
        best = self.project[0](features[0])
        for layer, x in zip(self.project[1:], features[1:], strict=True):
            best = keras.ops.maximum(best, layer(x))
        return best


def shared(*columns: str) -> Any:
    return lambda train, test: [c for c in columns if set(train[c]) & set(test[c])]


def rows_alone(train: Any, test: Any) -> list[str]:
    return ["picture"] if len(train.merge(test)) else []


def again(letters: set[str], tries: int = 1) -> tuple[set[str]]:
    """The answer of someone who has been wrong before (tries = 0: has not)."""
    ch07.ASKED[:] = [set()] * tries
    return (letters,)


WRONG = {
    ch07.tensor_weights: [
        ("no head", lambda: (lambda w, u, k: sum(w) * u + len(w) * u,), "projections alone"),
        (
            "u instead of u + 1",
            lambda: (lambda w, u, k: count(w, u, k) - ((u + 1) ** len(w) - u ** len(w)) * k,),
            "u + 1, not u",
        ),
        ("no bias", lambda: (lambda w, u, k: count(w, u, k) - k,), "biases are missing"),
        ("a number", lambda: (lambda w, u, k: 3,), "the count for widths [5, 3]"),
    ],
    ch07.max_fusion: [
        ("a sum", lambda: (SumFusion,), "this is the sum"),
        ("plain tensors", lambda: (Forgetful,), "no trainable weights"),
        ("a layer, not its class", lambda: (MaxFusion(3),), "a class that derives"),
    ],
    ch07.referee: [
        ("wrong way round", lambda: (lambda: referee(-1.0),), "flip the signs of β"),
        ("one sign", lambda: (lambda: referee(picture=-1.0),), "where the referee says 'picture'"),
        ("three things", lambda: (lambda: referee()[:3],), "return four things"),
        (
            "three units in β",
            lambda: (lambda: (*referee()[:2], np.ones(3), 0.0),),
            "should have shape (1, 3)",
        ),
    ],
    ch07.leaks: [
        ("pictures alone", lambda: (shared("picture"),), "'concept' is on both sides"),
        ("no family", lambda: (shared("picture", "concept"),), "'family' is on both sides"),
        (
            "every column",
            lambda: (shared("picture", "artist", "concept", "family", "group"),),
            "'artist' is on both sides on purpose",
        ),
        ("the label, too", lambda: (shared("concept", "family", "group"),), "'group' is on both"),
        ("equal rows", lambda: (rows_alone,), "you do not report it"),
        (
            "always the same",
            lambda: (lambda a, b: ["concept", "family"],),
            "has no value that is on both sides",
        ),
        ("yes or no", lambda: (lambda a, b: True,), "return a list of names"),
    ],
    ch07.claims: [
        ("uncorrected", lambda: again({"A", "B", "D", "F"}), "its corrected interval"),
        (
            "no difference is equality",
            lambda: again({"B", "C", "D", "F"}),
            "does not show equality",
        ),
        ("the reason, too", lambda: again({"B", "D", "E", "F"}), "20 settings were tried"),
        ("one missing", lambda: again({"B", "D"}), "ones that are missing: 1"),
        (
            "all, first try",
            lambda: again(set("ABCDEF"), 0),
            "support: 3; supported ones that are missing: 0. Test",
        ),
        ("a letter too far", lambda: ({"B", "G"},), "no claim 'G'"),
    ],
}

RIGHT = {
    ch07.tensor_weights: [
        ("the formula", lambda: (count,)),
        (
            "term by term",
            lambda: (
                lambda widths, units, classes: (
                    sum((d + 1) * units for d in widths)
                    + ((1 + units) ** len(widths) + 1) * classes
                ),
            ),
        ),
    ],
    ch07.max_fusion: [
        ("a stack", lambda: (MaxFusion,)),
        ("a loop", lambda: (LoopFusion,)),
    ],
    ch07.referee: [("two units", lambda: (referee,))],
    ch07.leaks: [
        ("sets", lambda: (shared("picture", "concept", "family"),)),
        (
            "isin, as a set",
            lambda: (
                lambda train, test: {
                    c for c in ("family", "concept", "picture") if test[c].isin(train[c]).any()
                },
            ),
        ),
    ],
    ch07.claims: [
        ("a set", lambda: ({"B", "D", "F"},)),
        ("a list of small letters", lambda: (["f", "b", "d"],)),
        ("a string", lambda: ("B, D, F",)),
    ],
}

test_wrong, test_right = refused(WRONG), accepted(RIGHT)
