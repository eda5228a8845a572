"""Chapter 16: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
from check_cases import accepted, refused

from mmkeras.checks import ch16


def lora_weights(kernels: list[tuple[int, int]], rank: int) -> int:
    return sum(rank * (i + o) for i, o in kernels)


def merge(W: np.ndarray, A: np.ndarray, B: np.ndarray, alpha: float) -> np.ndarray:
    return W + (alpha / A.shape[1]) * A @ B


def in_place(W: np.ndarray, A: np.ndarray, B: np.ndarray, alpha: float) -> np.ndarray:
    W += alpha / A.shape[1] * A @ B
    return W


def rates(rate: float, factor: float, blocks: int) -> np.ndarray:
    return rate * factor ** np.arange(blocks, -1, -1)


def by_loop(rate: float, factor: float, blocks: int) -> list[float]:
    found = [rate]
    for _ in range(blocks):
        found.insert(0, found[0] * factor)
    return found


def interval(probe: np.ndarray, tuned: np.ndarray, concept: np.ndarray, **how: Any) -> np.ndarray:
    """With `rows`, every row is its own concept; `turned`: probe - tuned; `apart`: two models.

    With `raw` the mean stays in the sums; without `factor` C / (C - 1) is left out.
    """
    gain = tuned.astype(float) - probe
    if how.get("turned"):
        gain = -gain
    if how.get("apart"):
        error = np.sqrt((probe.var() + tuned.var()) / len(gain))
        return gain.mean() + 1.96 * error * np.array([-1, 1])
    names = np.arange(len(gain)) if how.get("rows") else concept
    rest = gain if how.get("raw") else gain - gain.mean()
    sums = np.array([rest[names == name].sum() for name in np.unique(names)])
    factor = len(sums) / (len(sums) - 1) if how.get("factor", True) else 1
    error = np.sqrt(factor * (sums**2).sum()) / len(gain)
    return gain.mean() + 1.96 * error * np.array([-1, 1])


def judged(**changed: str) -> dict[str, str]:
    return {**ch16.CLAIMS, **changed}


def choose(scores: np.ndarray, **how: Any) -> int:
    """With `best`, the best row; `root`: the standard deviation is not divided.

    With `whole`, its ddof is 0; with `own`, each row has its own error.
    """
    mean, count = scores.mean(axis=1), scores.shape[1]
    best = int(mean.argmax())
    spread = scores.std(axis=1, ddof=0 if how.get("whole") else 1)
    error = (spread if how.get("own") else spread[best]) / (1 if how.get("root") else count**0.5)
    near = np.flatnonzero(mean >= mean[best] - error)
    return best if how.get("best") else int(near[0])


def chosen(**changed: str) -> dict[str, str]:
    return {**ch16.CHOICES, **changed}


def kernel_sizes(kernels: list[tuple[int, int]], rank: int) -> int:
    return sum(i * o for i, o in kernels)


RIGHT = {
    ch16.lora_weights: [
        ("a sum", lambda: (lora_weights,)),
        ("an array", lambda: (lambda kernels, rank: rank * np.array(kernels).sum(),)),
    ],
    ch16.merge: [
        ("one line", lambda: (merge,)),
        (
            "einsum",
            lambda: (lambda W, A, B, a: W + np.einsum("ir,ro->io", A, B) * a / len(B),),
        ),
    ],
    ch16.rates: [("powers", lambda: (rates,)), ("a loop", lambda: (by_loop,))],
    ch16.claim: [
        ("with names", lambda: (interval, judged())),
        ("a tuple", lambda: (lambda *a: tuple(interval(*a).tolist()), dict(ch16.CLAIMS))),
    ],
    ch16.choose: [
        ("one standard error", lambda: (choose, chosen())),
        ("a NumPy int", lambda: (lambda s: np.int64(choose(s)), chosen())),
    ],
}
WRONG = {
    ch16.lora_weights: [
        ("the kernels", lambda: (kernel_sizes,), "the kernels themselves"),
        ("A alone", lambda: (lambda k, r: sum(r * i for i, _ in k),), "matrices A alone"),
        ("B alone", lambda: (lambda k, r: sum(r * o for _, o in k),), "B alone"),
        ("a product", lambda: (lambda k, r: r * kernel_sizes(k, r),), "i + o, not i · o"),
        ("the first", lambda: (lambda k, r: r * sum(k[0]),), "only one kernel"),
        ("with biases", lambda: (lambda k, r: lora_weights(k, r) + sum(o for _, o in k),), "384"),
    ],
    ch16.merge: [
        ("no factor", lambda: (lambda W, A, B, a: W + A @ B,), "without its factor"),
        ("alpha", lambda: (lambda W, A, B, a: W + a * A @ B,), "α / r, not α"),
        ("rows", lambda: (lambda W, A, B, a: W + a / len(A) * A @ B,), "not of its rows"),
        ("alone", lambda: (lambda W, A, B, a: a / len(B) * A @ B,), "difference alone"),
        ("minus", lambda: (lambda W, A, B, a: W - a / len(B) * A @ B,), "not subtracted"),
        ("in place", lambda: (in_place,), "W itself has changed"),
        ("rounded", lambda: (lambda W, A, B, a: W + a // len(B) * A @ B,), "do not round it"),
        ("alpha / 2", lambda: (lambda W, A, B, a: W + a / 2 * A @ B,), "the merged kernel"),
        ("transposed", lambda: (lambda *a: merge(*a).T,), "should have shape (6, 4)"),
    ],
    ch16.rates: [
        ("turned", lambda: (lambda *a: rates(*a)[::-1],), "order is reversed"),
        ("head too", lambda: (lambda r, f, b: f * rates(r, f, b),), "the head itself"),
        ("one less", lambda: (lambda r, f, b: rates(r, f, b) / f,), "exponent of the head is 0"),
        ("steps", lambda: (lambda r, f, b: r * np.linspace(f, 1, b + 1),), "equal steps"),
        ("up", lambda: (lambda r, f, b: rates(r, 1 / f, b),), "grow downwards"),
        ("flat", lambda: (lambda r, f, b: [r * f] * b + [r],), "every block has the same"),
        ("no head", lambda: (lambda *a: rates(*a)[:-1],), "the head has a rate, too"),
    ],
    ch16.claim: [
        ("by row", lambda: (lambda *a: interval(*a, rows=True), judged()), "as independent"),
        ("unpaired", lambda: (lambda *a: interval(*a, apart=True), judged()), "differences first"),
        ("turned", lambda: (lambda *a: interval(*a, turned=True), judged()), "probe - tuned"),
        ("raw", lambda: (lambda *a: interval(*a, raw=True), judged()), "subtract the mean gain"),
        ("no factor", lambda: (lambda *a: interval(*a, factor=False), judged()), "C / (C - 1)"),
        ("mean", lambda: (lambda p, t, c: (t * 1.0 - p).mean(), judged()), "shape (2,)"),
        ("believes B", lambda: (interval, judged(B="gains")), "study B is not 'gains'"),
        ("misses the leak", lambda: (interval, judged(C="gains")), "study C is not 'gains'"),
        ("sees a leak", lambda: (interval, judged(A="leak")), "study A is not 'leak'"),
        ("no verdict", lambda: (interval, {"A": "gains"}), "a verdict for each study"),
    ],
    ch16.choose: [
        ("the best", lambda: (lambda s: choose(s, best=True), chosen()), "this is the best row"),
        ("no root", lambda: (lambda s: choose(s, root=True), chosen()), "divided by the root"),
        ("own errors", lambda: (lambda s: choose(s, own=True), chosen()), "not of each row"),
        ("ddof 0", lambda: (lambda s: choose(s, whole=True), chosen()), "ddof=1"),
        ("a run", lambda: (lambda s: int(s.max(1).argmax()), chosen()), "best single run"),
        ("always 0", lambda: (lambda s: 0, chosen()), "the row of table"),
        ("tunes for others", lambda: (choose, chosen(C="fine-tune")), "data of the kind"),
        ("tunes on 20", lambda: (choose, chosen(A="fine-tune")), "case A is not"),
        ("forty copies", lambda: (choose, chosen(D="fine-tune")), "case D is not"),
        ("another word", lambda: (choose, chosen(B="everything")), "is no verdict"),
    ],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
