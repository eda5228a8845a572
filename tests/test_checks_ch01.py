"""Chapter 1: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax

from mmkeras.checks import ch01


def said(capsys: pytest.CaptureFixture[str], check: Any, *answers: Any) -> str:
    check(*answers)
    return capsys.readouterr().out


def measured(n: int, layers: Any, *, late: bool = False, flat: bool = False) -> tuple[int, int]:
    field = jump = 1
    for k, s in layers:
        n = (n - k) // s + 1
        field += (k - 1) * (jump * s if late else 1 if flat else jump)
        jump *= s
    return n, field


def padded(n: int, layers: Any) -> tuple[int, int]:
    field = measured(n, layers)[1]
    for _, s in layers:
        n = -(-n // s)
    return n, field


def attended(Q: Any, K: Any, V: Any, mask: Any, *, scale: float = 8**0.5) -> tuple[Any, Any]:
    weights = softmax(np.where(mask == 1, Q @ K.T / scale, -1e9), axis=1)
    return weights @ V, weights


def with_weights(weigh: Any) -> Any:
    def attend(Q: Any, K: Any, V: Any, mask: Any) -> tuple[Any, Any]:
        weights = weigh(Q @ K.T / np.sqrt(Q.shape[1]), mask)
        return weights @ V, weights

    return attend


def gradients(x: Any, v: Any, A: Any, B: Any, w: Any, y: int) -> tuple[Any, Any, Any]:
    h, g = x @ A, v @ B
    delta = expit((h * g) @ w) - y
    return np.outer(x, delta * w * g), np.outer(v, delta * w * h), delta * h * g


def loss(text: Any, image: Any, t: float, b: float) -> float:
    text = text / np.linalg.norm(text, axis=1, keepdims=True)
    image = image / np.linalg.norm(image, axis=1, keepdims=True)
    sign = 2 * np.eye(len(text)) - 1
    return np.logaddexp(0, -sign * (t * text @ image.T + b)).sum() / len(text)


def test_right_answers_pass(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        (ch01.impossible, "BCEF"),
        (ch01.impossible, "f, e, c, b"),
        (ch01.impossible, ["B", "C", "E", "F"]),
        (ch01.stack, measured),
        (ch01.attend_masked, attended),
        (ch01.attend_masked, with_weights(renormalised)),
        (ch01.product_gradients, gradients),
        (ch01.pair_loss, loss),
    ]
    for check, answer in answers:
        assert "✓" in said(capsys, check, answer), check


def renormalised(scores: Any, mask: Any) -> Any:
    weights = softmax(scores, axis=1) * mask
    return weights / weights.sum(axis=1, keepdims=True)


def test_the_gradients_are_those_of_the_loss() -> None:
    """The answer above against central differences, so that the check cannot share its mistake."""
    rng = np.random.default_rng(1)
    x, v, y = rng.normal(size=3), rng.normal(size=2), 1
    weights = [rng.normal(size=(3, 4)), rng.normal(size=(2, 4)), rng.normal(size=4)]

    def value(A: Any, B: Any, w: Any) -> float:
        return float(np.logaddexp(0, -((x @ A) * (v @ B)) @ w))

    for k, gradient in enumerate(gradients(x, v, *weights, y)):
        for at in np.ndindex(gradient.shape):
            moved = [[p.copy() for p in weights] for _ in range(2)]
            moved[0][k][at] += 1e-6
            moved[1][k][at] -= 1e-6
            slope = (value(*moved[0]) - value(*moved[1])) / 2e-6
            assert gradient[at] == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        ("ABCEF", "A can be true"),
        ("CEF", "B cannot be true"),
        ("BEF", "C cannot be true"),
        ("BCDEF", "D can be true"),
        ("BCF", "E cannot be true"),
        ("BCE", "F cannot be true"),
        ("BCEFG", "G can be true"),
        ("BCEFH", "H can be true"),
        ("BCEFZ", "there is no line Z"),
        ("", "B cannot be true"),
    ],
)
def test_the_lines(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch01.impossible, answer)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda n, layers: measured(n, layers)[0], "return two numbers"),
        (lambda n, layers: measured(n, layers)[::-1], "in the other order"),
        (padded, "right with padding"),
        (lambda n, layers: measured(n, layers, flat=True), "lie more pixels apart"),
        (lambda n, layers: measured(n, layers, late=True), "counts for the layers after it"),
        (lambda n, layers: (measured(n, layers)[0] + 1, 8), "the side for n=28"),
        (lambda n, layers: (measured(n, layers)[0], 11), "the receptive field for n=28"),
    ],
)
def test_the_stack(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch01.stack, answer)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda Q, K, V, mask: attended(Q, K, V, mask)[0], "return two arrays"),
        (lambda Q, K, V, mask: attended(Q, K, V, mask)[::-1], "in the other order"),
        (lambda Q, K, V, mask: attended(Q, K, V, mask, scale=1), "divide by √k"),
        (with_weights(lambda s, m: softmax(s, axis=1) * m), "the mask came after the softmax"),
        (with_weights(lambda s, m: softmax(s * m, axis=1)), "a score of 0 is no score"),
        (with_weights(lambda s, m: softmax(s, axis=1)), "the mask has no effect"),
        (
            with_weights(lambda s, m: softmax(np.where(m == 1, s, -1e9), axis=0)),
            "softmax along the keys",
        ),
        (lambda Q, K, V, mask: (V, attended(Q, K, V, mask)[1]), "the outputs for 3 queries"),
    ],
)
def test_attention(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch01.attend_masked, answer)


def slipped(kind: str) -> Any:
    def answer(x: Any, v: Any, A: Any, B: Any, w: Any, y: int) -> Any:
        h, g = x @ A, v @ B
        s = (h * g) @ w
        delta = {"no σ": s - y, "sign": y - expit(s), "no delta": 1.0}.get(kind, expit(s) - y)
        d_h, d_g = delta * w * g, delta * w * h
        if kind == "own":
            d_h, d_g = d_g, d_h
        if kind == "transposed":
            return np.outer(d_h, x), np.outer(d_g, v), delta * h * g
        if kind == "w":
            return np.outer(x, d_h), np.outer(v, d_g), delta * (h + g)
        return np.outer(x, d_h), np.outer(v, d_g), delta * h * g

    return answer


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("no σ", "must go through σ"),
        ("sign", "points the other way"),
        ("no delta", "it is missing"),
        ("own", "what the other branch said"),
        ("transposed", "transpose it"),
        ("w", "the gradient for w: yours is"),
    ],
)
def test_the_product(capsys: pytest.CaptureFixture[str], kind: str, advice: str) -> None:
    assert advice in said(capsys, ch01.product_gradients, slipped(kind))


def test_the_product_wants_three(capsys: pytest.CaptureFixture[str]) -> None:
    def two(*args: Any) -> Any:
        return gradients(*args)[:2]

    assert "return three arrays" in said(capsys, ch01.product_gradients, two)


def sloppy(kind: str) -> Any:
    def answer(text: Any, image: Any, t: float, b: float) -> Any:
        n = len(text)
        if kind != "raw":
            text = text / np.linalg.norm(text, axis=1, keepdims=True)
            image = image / np.linalg.norm(image, axis=1, keepdims=True)
        sign = np.ones((n, n)) if kind == "all true" else 2 * np.eye(n) - 1
        sign = -sign if kind == "sign" else sign
        a = sign * ((1 / t if kind == "tau" else t) * text @ image.T + (kind != "no bias") * b)
        if kind == "exp":
            with np.errstate(over="ignore"):
                return np.log(1 + np.exp(-a)).sum() / n
        terms = np.logaddexp(0, -a)
        if kind == "diagonal":
            return np.trace(terms) / n
        return {"mean": terms.mean(), "sum": terms.sum(), "each": terms}.get(kind, terms.sum() / n)

    return answer


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("raw", "scale the embeddings to length 1"),
        ("mean", "not by N²"),
        ("sum", "divide the sum by N"),
        ("diagonal", "that do not belong together are missing"),
        ("all true", "y is −1 where i ≠ j"),
        ("sign", "the wrong way round"),
        ("no bias", "the bias b is missing"),
        ("tau", "multiply the cosines by it"),
        ("exp", "use np.logaddexp"),
        ("each", "should have shape ()"),
    ],
)
def test_the_loss(capsys: pytest.CaptureFixture[str], kind: str, advice: str) -> None:
    assert advice in said(capsys, ch01.pair_loss, sloppy(kind))
