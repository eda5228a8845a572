"""Checks of chapter 01, the mathematics."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit, softmax

from . import NotYet, exercise, expect_close


@exercise(
    "01.1",
    "possible or impossible",
    hint="which numbers must sum to 1, which must lie between others, what is σ of 10?",
)
def impossible(letters: str) -> str:
    """The letters of the lines that cannot be true, a str (any order) or a list of letters."""
    advice = {
        "A": "A can be true: the three sum to 1 and are in the order of the logits",
        "B": "B cannot be true: add the four weights",
        "C": "C cannot be true: where does σ lie for numbers far above 1?",
        "D": "D can be true: a cosine lies between −1 and 1",
        "E": "E cannot be true: compare the first coordinate with those of the values",
        "F": "F cannot be true: 0.70 is the arithmetic mean of 0.9 and 0.5",
        "G": "G can be true: 28 − 5 + 1",
        "H": "H can be true: below 0.5 it ranks worse than a coin, which happens",
    }
    given = {str(letter).strip().upper() for letter in letters} - {"", ","}
    if unknown := given - set(advice):
        raise NotYet(f"there is no line {', '.join(sorted(unknown))}; enter letters from A to H")
    for letter in sorted(given ^ set("BCEF")):
        raise NotYet(advice[letter])
    return "four of eight, and none needed a computer"


@exercise(
    "01.2",
    "side and receptive field",
    hint="start with r = j = 1; for each layer: n = (n - k) // s + 1, then r = r + (k - 1) * j, "
    "and last j = j * s",
)
def stack(measure: Callable) -> str:
    """A function of n and a list of (kernel, stride): (side of the last map, receptive field)."""
    cases = (
        (28, [(3, 1), (2, 2), (3, 1)]),
        (64, [(5, 2), (3, 2), (3, 1), (2, 2)]),
        (30, [(7, 3)]),
    )
    for n, layers in cases:
        got = measure(n, list(layers))
        if not isinstance(got, tuple | list | np.ndarray) or len(got) != 2:
            raise NotYet("return two numbers: (side of the last map, receptive field)")
        side, field, jump, late, flat, padded = n, 1, 1, 1, 1, n
        for k, s in layers:
            side, padded = (side - k) // s + 1, -(-padded // s)
            field, late, flat = field + (k - 1) * jump, late + (k - 1) * jump * s, flat + k - 1
            jump *= s
        case = f"for n={n}, layers={layers}"
        if np.allclose(got, (field, side)) and field != side:
            raise NotYet("these are the two in the other order: the side comes first")
        if got[0] == padded != side:
            raise NotYet(f"the side {case}: {got[0]} is right with padding, these layers have none")
        if got[1] == flat != field:
            raise NotYet(f"the field {case}: after a stride, neighbours lie more pixels apart")
        if got[1] == late != field:
            raise NotYet(f"the field {case}: a layer's own stride counts for the layers after it")
        expect_close(got[0], side, f"the side {case}")
        expect_close(got[1], field, f"the receptive field {case}")
    return "strides make the field grow fast, and the map shrink as fast"


@exercise(
    "01.3",
    "attention with a mask",
    hint="scores = Q @ K.T / np.sqrt(k); put -1e9 in the columns where mask is 0; softmax along "
    "the keys (axis 1); the outputs are weights @ V",
)
def attend_masked(attend: Callable) -> str:
    """A function of Q (T, k), K (S, k), V (S, d), mask (S,): outputs (T, d), weights (T, S)."""
    rng = np.random.default_rng(0)
    for T, S, hidden in ((3, 5, [1, 4]), (4, 4, []), (2, 3, [0, 1])):
        Q, K, V = rng.normal(size=(T, 8)), rng.normal(size=(S, 8)), rng.normal(size=(S, 2))
        mask = np.ones(S, dtype=int)
        mask[hidden] = 0
        got = attend(Q.copy(), K.copy(), V.copy(), mask.copy())
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise NotYet("return two arrays: (outputs, weights)")
        dots = Q @ K.T
        scores = dots / np.sqrt(8)
        want = softmax(np.where(mask == 1, scores, -np.inf), axis=1)
        if np.shape(got[0]) == want.shape and np.allclose(got[0], want):
            raise NotYet("these are the two in the other order: the outputs come first")
        slips = {
            "divide by √k before the softmax": softmax(np.where(mask == 1, dots, -np.inf), axis=1),
            "the mask came after the softmax, so the rows no longer sum to 1": (
                softmax(scores, axis=1) * mask
            ),
            "a score of 0 is no score: e⁰ = 1. Give hidden keys a very negative one": softmax(
                scores * mask, axis=1
            ),
            "the mask has no effect": softmax(scores, axis=1),
            "softmax along the keys, axis 1: each query shares out a 1 of its own": softmax(
                np.where(mask == 1, scores, -1e9), axis=0
            ),
        }
        for problem, slip in slips.items():
            same = np.shape(got[1]) == slip.shape and np.allclose(got[1], slip)
            if same and not np.allclose(slip, want):
                raise NotYet(problem)
        case = f"for {T} queries and mask {mask.tolist()}"
        expect_close(got[1], want, f"the weights {case}")
        expect_close(got[0], want @ V, f"the outputs {case}")
    return "this is what a padding mask does in every transformer"


@exercise(
    "01.4",
    "back through a product",
    hint="delta = sigmoid(s) - y; z receives delta * w; through the product h receives that times "
    "g; the gradient for A is np.outer(x, what h receives)",
)
def product_gradients(gradients: Callable) -> str:
    """A function of x, v, A, B, w, y: gradients of the loss for A, B, w, of their shapes."""
    rng = np.random.default_rng(0)
    for y in (1, 0):
        x, v = rng.normal(size=3), rng.normal(size=2)
        A, B, w = rng.normal(size=(3, 4)), rng.normal(size=(2, 4)), rng.normal(size=4)
        got = gradients(x.copy(), v.copy(), A.copy(), B.copy(), w.copy(), y)
        if not isinstance(got, tuple | list) or len(got) != 3:
            raise NotYet("return three arrays: the gradients for A, B and w")
        h, g = x @ A, v @ B
        s = (h * g) @ w
        delta = expit(s) - y
        want = {
            "A": np.outer(x, delta * w * g),
            "B": np.outer(v, delta * w * h),
            "w": delta * h * g,
        }
        own = np.outer(x, delta * w * h)
        if np.shape(got[0]) == own.shape and np.allclose(got[0], own):
            raise NotYet("for A: the derivative of h ∘ g for h is g, what the other branch said")
        for (name, right), given in zip(want.items(), got, strict=True):
            if np.shape(given) == right.shape[::-1] != right.shape:
                raise NotYet(f"the gradient for {name} has shape {np.shape(given)}: transpose it")
            if np.shape(given) == right.shape:
                if np.allclose(given, -right):
                    raise NotYet(f"the gradient for {name} points the other way: delta is p − y")
                if np.allclose(np.asarray(given) * delta, right):
                    raise NotYet(f"for {name}: start with delta = σ(s) − y; it is missing")
                if np.allclose(np.asarray(given) * delta, right * (s - y)):
                    raise NotYet(f"for {name}: the logit must go through σ before y is subtracted")
            expect_close(given, right, f"the gradient for {name}")
    return "each branch learns in proportion to what the other says: if one is 0, both stand still"


@exercise(
    "01.5",
    "the sigmoid loss",
    hint="scale each row to length 1; a = t * (text @ image.T) + b; change the sign where i = j "
    "is not; np.logaddexp(0, -a) is -log σ(a); sum, and divide by N",
)
def pair_loss(loss: Callable) -> str:
    """A function of text (N, d), image (N, d), t, b: the sigmoid loss, a number."""
    rng = np.random.default_rng(0)
    for N, t, b in ((4, 10.0, -10.0), (6, 2.0, 0.5), (3, 2000.0, -10.0)):
        text = rng.normal(size=(N, 5)) * rng.uniform(0.5, 3, (N, 1))
        image = text + rng.normal(0, 0.8, (N, 5))
        got = loss(text.copy(), image.copy(), t, b)
        if np.shape(got) == () and not np.isfinite(float(got)):
            raise NotYet(f"with t = {t:g} it is {float(got)}: use np.logaddexp(0, -a), no np.exp")
        raw = text @ image.T
        cosine = raw / np.outer(np.linalg.norm(text, axis=1), np.linalg.norm(image, axis=1))
        sign = 2 * np.eye(N) - 1
        terms = np.logaddexp(0, -sign * (t * cosine + b))
        want = terms.sum() / N
        slips = {
            "scale the embeddings to length 1 first": (
                np.logaddexp(0, -sign * (t * raw + b)).sum() / N
            ),
            "divide by N, the number of pairs that belong together, not by N²": terms.mean(),
            "divide the sum by N": terms.sum(),
            "the N² − N combinations that do not belong together are missing": (
                np.trace(terms) / N
            ),
            "all N² are treated as true pairs: y is −1 where i ≠ j": (
                np.logaddexp(0, -(t * cosine + b)).sum() / N
            ),
            "the sign is the wrong way round": (np.logaddexp(0, sign * (t * cosine + b)).sum() / N),
            "the bias b is missing": np.logaddexp(0, -sign * t * cosine).sum() / N,
            "t is a factor here, 1/τ: multiply the cosines by it": (
                np.logaddexp(0, -sign * (cosine / t + b)).sum() / N
            ),
        }
        for problem, slip in slips.items():
            if np.shape(got) == () and np.isclose(got, slip) and not np.isclose(slip, want):
                raise NotYet(problem)
        expect_close(got, want, f"the loss for N={N}, t={t:g}, b={b:g}", atol=1e-4)
    return "every combination is a yes-or-no question of its own"
