"""Chapter 7: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import keras
import numpy as np
import pytest

from mmkeras.checks import ch07


def said(capsys: pytest.CaptureFixture[str], check: Any, *answers: Any) -> str:
    check(*answers)
    return capsys.readouterr().out


def count(widths: list[int], units: int, classes: int) -> int:
    return (sum(widths) + len(widths)) * units + (units + 1) ** len(widths) * classes + classes


def shares(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True)) * present
    return powers / np.maximum(powers.sum(axis=1, keepdims=True), 1e-9)


def late_mask(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    return shares(scores, np.ones_like(present)) * present


def gate(X: Any, W: Any, b: Any, G: Any, c: Any, content: Any = np.tanh) -> Any:
    everything = np.concatenate(X, axis=1)
    gates = [1 / (1 + np.exp(-(everything @ g + k))) for g, k in zip(G, c, strict=True)]
    inner = [content(x @ w + k) for x, w, k in zip(X, W, b, strict=True)]
    return sum(g * i for g, i in zip(gates, inner, strict=True))


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


def test_right_answers_pass(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        (ch07.tensor_weights, count),
        (ch07.masked_softmax, shares),
        (ch07.gated_by_hand, gate),
        (ch07.max_fusion, MaxFusion),
        (ch07.referee, referee),
    ]
    for check, answer in answers:
        assert "✓" in said(capsys, check, answer), check


@pytest.mark.parametrize(
    ("check", "answer", "advice"),
    [
        (ch07.tensor_weights, lambda w, u, k: sum(w) * u + len(w) * u, "projections alone"),
        (
            ch07.tensor_weights,
            lambda w, u, k: count(w, u, k) - ((u + 1) ** len(w) - u ** len(w)) * k,
            "u + 1, not u",
        ),
        (ch07.tensor_weights, lambda w, u, k: count(w, u, k) - k, "biases are missing"),
        (ch07.tensor_weights, lambda w, u, k: 3, "the count for widths [5, 3]"),
        (ch07.masked_softmax, lambda s, p: shares(s, np.ones_like(p)), "multiply by present"),
        (ch07.masked_softmax, late_mask, "before you divide"),
        (ch07.masked_softmax, lambda s, p: shares(s * p, np.ones_like(p)), "exp(0) = 1"),
        (ch07.gated_by_hand, lambda *a: gate(*a, content=lambda x: x), "the tanh is missing"),
        (
            ch07.gated_by_hand,
            lambda X, W, b, G, c: gate(X, W, b, G, [0 * k for k in c]),
            "biases c are missing",
        ),
        (
            ch07.gated_by_hand,
            lambda X, W, b, G, c: 2 * gate(X, W, b, [0 * g for g in G], [0 * k for k in c]),
            "the gates are missing",
        ),
        (ch07.max_fusion, SumFusion, "this is the sum"),
        (ch07.max_fusion, Forgetful, "no trainable weights"),
        (ch07.max_fusion, MaxFusion(3), "a class that derives"),
        (ch07.referee, lambda: referee(-1.0), "turn the signs of v"),
        (ch07.referee, lambda: referee(picture=-1.0), "where the referee says 'picture'"),
        (ch07.referee, lambda: referee()[:3], "return four things"),
        (ch07.referee, lambda: (*referee()[:2], np.ones(3), 0.0), "should have shape (1, 3)"),
    ],
)
def test_likely_slips(
    capsys: pytest.CaptureFixture[str], check: Any, answer: Any, advice: str
) -> None:
    assert advice in said(capsys, check, answer)


def test_shares_of_a_sample_without_anything(capsys: pytest.CaptureFixture[str]) -> None:
    def careless(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
        powers = np.exp(scores) * present
        with np.errstate(invalid="ignore"):
            return powers / powers.sum(axis=1, keepdims=True)

    assert "0 / 0 is NaN" in said(capsys, ch07.masked_softmax, careless)


def test_shares_of_large_scores(capsys: pytest.CaptureFixture[str]) -> None:
    def overflowing(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            powers = np.exp(scores) * present
            return powers / np.maximum(powers.sum(axis=1, keepdims=True), 1e-9)

    assert "for scores near 1000" in said(capsys, ch07.masked_softmax, overflowing)
