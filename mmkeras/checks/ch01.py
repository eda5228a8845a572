"""Checks of chapter 01, the mathematics."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit, softmax

from . import NotYet, exercise, expect_close

_ASK = {
    "A": "what do the numbers sum to, and in which order are they?",
    "B": "what do attention weights sum to?",
    "C": "how large is σ of a number far above 0?",
    "D": "between which two numbers does a cosine lie?",
    "E": "between which two numbers does a weighted mean lie?",
    "F": "which mean of precision and recall is F1?",
    "G": "in how many places does a kernel of 5 fit into 28 pixels?",
    "H": "which AUC has a ranking that is worse than chance?",
}


@exercise(
    "01.1",
    "possible or impossible",
    hint="sections 2.1, 4.2, 5.2, 7.2 and 11 each say what is always true of their result",
)
def impossible(letters: str) -> str:
    """The letters of the lines that cannot be true, as a string such as "XYZ"."""
    if not isinstance(letters, str | list | tuple | set):
        raise NotYet(f'give letters, such as "XYZ"; yours is of type {type(letters).__name__}')
    given = {str(letter).strip().upper() for letter in letters} - {"", ","}
    if unknown := given - set(_ASK):
        raise NotYet(f"there is no line {', '.join(sorted(unknown))}; enter letters from A to H")
    if wrong := sorted(given ^ set("BCEF")):
        count = f"{len(wrong)} of 8 lines {'is' if len(wrong) == 1 else 'are'} judged wrongly"
        if len(wrong) > 2:
            raise NotYet(f"{count}. Ask of each line what is always true of such a result")
        raise NotYet(f"{count}. Look again at {wrong[0]}: {_ASK[wrong[0]]}")
    return (
        "B does not sum to 1, σ(9) is nearly 1, E leaves the range of its values, and F's 0.70 is "
        "the arithmetic mean"
    )


def _judged_gradients() -> list[tuple[str, Callable, Callable, bool]]:
    """What there is to see, the loss, the gradient, and whether the two belong together."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    on = (y > 0).astype(float)

    def squares(w: np.ndarray) -> float:
        return float(((X @ w - y) ** 2).mean())

    def of_squares(w: np.ndarray) -> np.ndarray:
        return 2 / 20 * X.T @ (X @ w - y)

    def logistic(w: np.ndarray) -> float:
        return float(np.logaddexp(0, -on * (X @ w)).sum() / 1e6)

    def of_logistic(w: np.ndarray) -> np.ndarray:
        return -X.T @ (on * expit(-on * (X @ w))) / 1e6

    def penalised(w: np.ndarray) -> float:
        return squares(w) + float((w**2).sum())

    def large(w: np.ndarray) -> float:
        return 1e4 * squares(w)

    def but_last(w: np.ndarray) -> np.ndarray:
        return of_squares(w) * [1, 1, 0.9]

    return [
        ("", squares, of_squares, True),
        ("its gradients are small, and the gradient is right", logistic, of_logistic, True),
        (
            "its gradients are large, and the gradient is right",
            large,
            lambda w: 1e4 * of_squares(w),
            True,
        ),
        ("the factor 2 of a square is missing", squares, lambda w: of_squares(w) / 2, False),
        ("it points downhill: the sign is wrong", squares, lambda w: -of_squares(w), False),
        ("only its last entry is wrong: compare all three", squares, but_last, False),
        (
            "a penalty on w² is in the loss and not in the gradient. At w = 0 this does not "
            "show: look at several places",
            penalised,
            of_squares,
            False,
        ),
        (
            "its gradients are so small that a fixed tolerance lets any of them pass: compare the "
            "difference with the size of the gradient",
            logistic,
            lambda w: 1.5 * of_logistic(w),
            False,
        ),
    ]


@exercise(
    "01.2",
    "would you trust this gradient",
    hint="section 3.2 has a check that needs no rules of calculus. At which weights would you "
    "make it, and how close is close enough?",
)
def trustworthy(judge: Callable) -> str:
    """A function of a loss and a gradient that says whether they belong together, True or False."""
    for what, loss, gradient, right in _judged_gradients():
        verdict = judge(loss, gradient)
        if not isinstance(verdict, bool | np.bool_):
            raise NotYet(f"return True or False, yours is of type {type(verdict).__name__}")
        if verdict and not right:
            raise NotYet(f"you trusted a wrong gradient: {what}")
        if not verdict and right:
            what = what or "nothing is wrong with it; a difference of 1e-6 may be rounding"
            raise NotYet(f"you refused a right gradient: {what}")
    return "five wrong gradients were found, without a single rule of calculus"


def _masked_softmax(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Weights of the keys that may be seen, (T, S); zeros in a row without any."""
    e = np.exp(scores - scores.max(axis=1, keepdims=True)) * mask
    return e / np.maximum(e.sum(axis=1, keepdims=True), 1e-300)


@exercise(
    "01.3",
    "attention with a mask",
    hint="a hidden key must not take part in the softmax: which score gives it the weight 0? And "
    "what does that score give in a row in which all keys are hidden?",
)
def attend_masked(attend: Callable) -> str:
    """A function of Q (T, k), K (S, k), V (S, d), mask (T, S): outputs (T, d), weights (T, S)."""
    rng = np.random.default_rng(0)
    masks = [[[1, 0, 1, 1, 0]] * 3, np.tril(np.ones((4, 4))), [[0, 1, 1], [0, 0, 0]]]
    for mask in (np.array(m, dtype=int) for m in masks):
        T, S = mask.shape
        Q, K, V = rng.normal(size=(T, 8)), rng.normal(size=(S, 8)), rng.normal(size=(S, 2))
        got = attend(Q.copy(), K.copy(), V.copy(), mask.copy())
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise NotYet("return two arrays: (outputs, weights)")
        dots = Q @ K.T
        scores = dots / np.sqrt(8)
        want = _masked_softmax(scores, mask)
        if np.shape(got[0]) == want.shape and np.allclose(got[0], want):
            raise NotYet("the two are in the wrong order: the outputs come first")
        case = f"for the mask {mask.tolist()}"
        if np.shape(got[1]) == want.shape and np.isnan(np.asarray(got[1], dtype=float)).any():
            raise NotYet(f"the weights {case} hold NaN: what does a row without any 1 sum to?")
        slips = {
            "divide by √k before the softmax": _masked_softmax(dots, mask),
            "the mask came after the softmax, so the rows no longer sum to 1": (
                softmax(scores, axis=1) * mask
            ),
            "a score of 0 still counts, as e⁰ = 1: give hidden keys a very negative score": softmax(
                scores * mask, axis=1
            ),
            "the mask has no effect": softmax(scores, axis=1),
            "softmax along the keys, axis 1: the weights of each query sum to 1": softmax(
                np.where(mask == 1, scores, -1e9), axis=0
            ),
            "in a row without any 1, equal scores of −1e9 make a mean of all hidden keys: such a "
            "row must be zeros": softmax(np.where(mask == 1, scores, -1e9), axis=1),
        }
        for problem, slip in slips.items():
            same = np.shape(got[1]) == slip.shape and np.allclose(got[1], slip)
            if same and not np.allclose(slip, want):
                raise NotYet(problem)
        expect_close(got[1], want, f"the weights {case}")
        expect_close(got[0], want @ V, f"the outputs {case}")
    return "padding masks and causal masks of transformers both work like this"


@exercise(
    "01.4",
    "back through a product",
    hint="go backwards as in section 3.1: what does z receive, and what does the product hand on "
    "to h? Compare your result with section 3.2",
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
            raise NotYet(
                "for A: the derivative of h ∘ g with respect to h is g, the output of the other "
                "branch"
            )
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
    return "each branch learns in proportion to the output of the other"


@exercise(
    "01.5",
    "the sigmoid loss",
    hint="test it on the four numbers of section 9.4 first. np.logaddexp(0, -a) is -log σ(a) for "
    "an a of any size",
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
