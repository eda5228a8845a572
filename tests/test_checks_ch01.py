"""Chapter 1: wrong answers are refused with a line that helps, right ones pass in any style."""

from typing import Any

import numpy as np
import pytest
from check_cases import accepted, refused
from scipy.special import expit, softmax

from mmkeras.checks import ch01


def nudged(loss: Any, w: Any, epsilon: float = 1e-5, sides: int = 2) -> Any:
    """The gradient by differences: central, or to one side only."""
    steps = epsilon * np.eye(3)
    if sides == 1:
        return np.array([(loss(w + step) - loss(w)) / epsilon for step in steps])
    return np.array([(loss(w + step) - loss(w - step)) / (2 * epsilon) for step in steps])


def judge(loss: Any, gradient: Any, *, places: Any = None, **options: Any) -> bool:
    """Right answer: relative differences at several places."""
    if places is None:
        places = np.random.default_rng(1).normal(size=(4, 3))
    pairs = [(gradient(w), nudged(loss, w, **options)) for w in np.asarray(places, dtype=float)]
    return all(np.linalg.norm(g - n) < 1e-4 * np.linalg.norm(n) for g, n in pairs)


def only_first(loss: Any, gradient: Any) -> Any:
    w = np.ones(3)
    return abs(gradient(w)[0] / nudged(loss, w)[0] - 1) < 1e-4


def only_signs(loss: Any, gradient: Any) -> Any:
    w = np.ones(3)
    return bool((np.sign(gradient(w)) == np.sign(nudged(loss, w))).all())


def with_tolerance(atol: float) -> Any:
    def answer(loss: Any, gradient: Any) -> bool:
        w = np.ones(3)
        return bool((np.abs(gradient(w) - nudged(loss, w)) < atol).all())

    return answer


def attended(Q: Any, K: Any, V: Any, mask: Any, *, scale: float = 8**0.5) -> tuple[Any, Any]:
    scores = np.where(mask == 1, Q @ K.T / scale, -1e9)
    weights = softmax(scores, axis=1) * mask
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


def renormalised(scores: Any, mask: Any) -> Any:
    weights = softmax(scores, axis=1) * mask
    total = weights.sum(axis=1, keepdims=True)
    return weights / np.where(total > 0, total, 1)


def minus_infinity(scores: Any, mask: Any) -> Any:
    with np.errstate(invalid="ignore"):
        return softmax(np.where(mask == 1, scores, -np.inf), axis=1)


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


def given(answer: Any) -> Any:
    return lambda: (answer,)


WRONG = {
    ch01.impossible: [
        ("A too", given("ABCEF"), "1 of 8 lines is judged wrongly. Look again at A"),
        ("not B", given("CEF"), "what do attention weights sum to"),
        ("not C", given("BEF"), "far above 0"),
        ("D too", given("BCDEF"), "does a cosine lie"),
        ("not E", given("BCF"), "does a weighted mean lie"),
        ("not F", given("BCE"), "which mean"),
        ("G too", given("BCEFG"), "a kernel of 5"),
        ("H too", given("BCEFH"), "worse than chance"),
        ("D for E", given("BCDF"), "2 of 8 lines are judged wrongly. Look again at D"),
        ("no such line", given("BCEFZ"), "there is no line Z"),
        ("none", given(""), "4 of 8 lines are judged wrongly. Ask of each line"),
        ("a number", given(4), "of type int"),
    ],
    ch01.trustworthy: [
        ("trust", given(lambda loss, gradient: True), "you trusted a wrong gradient: the factor"),
        ("distrust", given(lambda loss, gradient: False), "you refused a right gradient"),
        (
            "at 0 only",
            given(lambda a, b: judge(a, b, places=[[0, 0, 0]])),
            "At w = 0 this does not show",
        ),
        ("the first entry only", given(only_first), "only its last entry is wrong"),
        ("signs only", given(only_signs), "the factor 2"),
        ("a fixed tolerance", given(with_tolerance(1e-3)), "fixed tolerance"),
        ("a tiny tolerance", given(with_tolerance(1e-14)), "may be rounding"),
        ("long steps", given(lambda a, b: judge(a, b, sides=1, epsilon=0.1)), "a right gradient"),
        (
            "the gradient itself",
            given(lambda loss, gradient: gradient(np.ones(3))),
            "True or False",
        ),
    ],
    ch01.attend_masked: [
        ("one array", given(lambda *a: attended(*a)[0]), "return two arrays"),
        ("the other order", given(lambda *a: attended(*a)[::-1]), "in the wrong order"),
        ("no √k", given(lambda *a: attended(*a, scale=1)), "divide by √k"),
        (
            "mask after softmax",
            given(with_weights(lambda s, m: softmax(s, axis=1) * m)),
            "the mask came after the softmax",
        ),
        (
            "a score of 0",
            given(with_weights(lambda s, m: softmax(s * m, axis=1))),
            "a score of 0 still counts",
        ),
        (
            "no mask",
            given(with_weights(lambda s, m: softmax(s, axis=1))),
            "the mask has no effect",
        ),
        (
            "along the queries",
            given(with_weights(lambda s, m: softmax(np.where(m == 1, s, -1e9), axis=0))),
            "softmax along the keys",
        ),
        (
            "a very negative score only",
            given(with_weights(lambda s, m: softmax(np.where(m == 1, s, -1e9), axis=1))),
            "such a row must be zeros",
        ),
        ("minus infinity", given(with_weights(minus_infinity)), "a row without any 1"),
        ("the values", given(lambda *a: (a[2], attended(*a)[1])), "the outputs for the mask"),
    ],
    ch01.product_gradients: [
        ("no σ", given(slipped("no σ")), "must go through σ"),
        ("sign", given(slipped("sign")), "points the other way"),
        ("no delta", given(slipped("no delta")), "it is missing"),
        ("own", given(slipped("own")), "the output of the other branch"),
        ("transposed", given(slipped("transposed")), "transpose it"),
        ("w", given(slipped("w")), "the gradient for w: yours is"),
        ("two", given(lambda *a: gradients(*a)[:2]), "return three arrays"),
    ],
    ch01.pair_loss: [
        ("raw", given(sloppy("raw")), "scale the embeddings to length 1"),
        ("mean", given(sloppy("mean")), "not by N²"),
        ("sum", given(sloppy("sum")), "divide the sum by N"),
        ("diagonal", given(sloppy("diagonal")), "that do not belong together are missing"),
        ("all true", given(sloppy("all true")), "y is −1 where i ≠ j"),
        ("sign", given(sloppy("sign")), "the wrong way round"),
        ("no bias", given(sloppy("no bias")), "the bias b is missing"),
        ("tau", given(sloppy("tau")), "multiply the cosines by it"),
        ("exp", given(sloppy("exp")), "use np.logaddexp"),
        ("each", given(sloppy("each")), "should have shape ()"),
    ],
}
RIGHT = {
    ch01.impossible: [
        ("letters", given("BCEF")),
        ("lower case, commas", given("f, e, c, b")),
        ("a list", given(["B", "C", "E", "F"])),
    ],
    ch01.trustworthy: [
        ("norms", given(judge)),
        ("to one side", given(lambda a, b: judge(a, b, sides=1, epsilon=1e-6))),
        (
            "np.allclose, three places",
            given(
                lambda loss, gradient: all(
                    np.allclose(gradient(w), nudged(loss, w)) for w in (np.ones(3), -np.ones(3))
                )
            ),
        ),
    ],
    ch01.attend_masked: [
        ("a very negative score, then the mask", given(attended)),
        ("divided once more", given(with_weights(renormalised))),
    ],
    ch01.product_gradients: [("delta first", given(gradients))],
    ch01.pair_loss: [("logaddexp", given(loss))],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)


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
