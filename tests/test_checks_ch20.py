"""Chapter 20: right answers pass, and a student with a likely slip is told which one."""

import math
from typing import Any

import numpy as np
from check_cases import accepted, refused, right_verdicts, wrong_verdicts

from mmkeras.checks import ch20


def combined(weights: Any = lambda rows: rows / rows.sum()) -> Any:
    return lambda gradients, rows: (weights(rows)[:, None] * gradients).sum(axis=0)


def by_loop(gradients: Any, rows: Any) -> list[float]:
    total = [0.0] * gradients.shape[1]
    for gradient, n in zip(gradients, rows, strict=True):
        total = [t + n * g / sum(rows) for t, g in zip(total, gradient, strict=True)]
    return total


def pooled(
    shares_of: Any = lambda rows: rows / rows.sum(),
    join: Any = lambda within, between: within + between,
    between_of: Any = lambda s, means, mean: s @ (means - mean) ** 2,
) -> Any:
    def function(means: np.ndarray, variances: np.ndarray, rows: np.ndarray) -> Any:
        s = shares_of(rows)
        mean = s @ means
        return mean, join(s @ variances, between_of(s, means, mean))

    return function


def by_squares(means: Any, variances: Any, rows: Any) -> np.ndarray:
    """In another style: the mean of the squares, as frameworks do it."""
    mean = np.average(means, axis=0, weights=rows)
    return np.stack([mean, np.average(variances + means**2, axis=0, weights=rows) - mean**2])


def most_workers(
    ring: Any = lambda n, size, a, b: 2 * (n - 1) * (a + size / (n * b)),
    share: Any = lambda speedup, n: speedup / n,
    more: int = 0,
) -> Any:
    def function(c: float, size: float, a: float, b: float, least: float) -> int:
        n = 1
        while n < 1999 and share(c / (c / (n + 1) + ring(n + 1, size, a, b)), n + 1) >= least:
            n += 1
        return n + more

    return function


def at_once(c: float, size: float, a: float, b: float, least: float) -> Any:
    n = np.arange(1, 3000)
    step = c / n + 2 * (n - 1) * a + 2 * (n - 1) / n * size / b
    return np.max(n[c / step / n >= least])


def savings(
    mtbf: Any = lambda one, machines: one / machines,
    best: Any = lambda cost, m: math.sqrt(2 * cost * m),
    lost: Any = lambda t, cost, restart, m: cost / t + (t / 2 + restart) / m,
    give: Any = lambda t, share: (t, share),
) -> Any:
    def function(one: float, machines: int, cost: float, restart: float) -> Any:
        m = mtbf(one, machines)
        t = best(cost, m)
        return give(t, lost(t, cost, restart, m))

    return function


def by_calculus(one: float, machines: int, cost: float, restart: float) -> np.ndarray:
    t = np.sqrt(2 * cost * one / machines)
    return np.array([t, t * machines / one + restart * machines / one])


WRONG = {
    ch20.combined: [
        ("plain", lambda: (combined(lambda n: np.ones(len(n)) / len(n)),), "plain mean"),
        ("sum", lambda: (combined(lambda n: np.ones(len(n))),), "this is the sum"),
        ("not divided", lambda: (combined(lambda n: n * 1.0),), "number of all rows"),
        ("turned", lambda: (combined(lambda n: 1 / n / (1 / n).sum()),), "turn the weights round"),
        ("by workers", lambda: (combined(lambda n: n / len(n)),), "number of workers in place"),
        ("one number", lambda: (lambda gradients, rows: gradients.mean(),), "should have shape"),
    ],
    ch20.pooled: [
        ("within", lambda: (pooled(join=lambda w, b: w),), "lacks the part between"),
        ("between", lambda: (pooled(join=lambda w, b: b),), "alone: add the mean"),
        ("plain", lambda: (pooled(lambda n: np.ones(len(n)) / len(n), lambda w, b: w),),
         "plain means over the workers"),
        ("unweighted", lambda: (pooled(lambda n: np.ones(len(n)) / len(n)),), "all three sums"),
        ("between plain", lambda: (pooled(between_of=lambda s, m, mean: m.var(axis=0)),),
         "part between the workers by rows"),
        ("deviation", lambda: (pooled(join=lambda w, b: np.sqrt(w + b)),), "not the standard"),
        ("order", lambda: (lambda m, v, n: by_squares(m, v, n)[::-1],), "first the mean"),
        ("ragged", lambda: (lambda m, v, n: [1.0, [1.0, 2.0]],), "two rows of numbers"),
    ],
    ch20.most_workers: [
        ("once round", lambda: (most_workers(lambda n, s, a, b: (n - 1) * (a + s / n / b)),),
         "goes round twice"),
        ("no latency", lambda: (most_workers(lambda n, s, a, b: 2 * (n - 1) * s / n / b),),
         "has a latency, too"),
        ("whole vector", lambda: (most_workers(lambda n, s, a, b: 2 * (n - 1) * (a + s / b)),),
         "only a chunk"),
        ("one latency", lambda: (most_workers(lambda n, s, a, b: a + 2 * (n - 1) * s / n / b),),
         "not once"),
        ("too many", lambda: (most_workers(more=1),), "is below the least"),
        ("too few", lambda: (most_workers(more=-1),), "one worker more still"),
        ("speed-up", lambda: (most_workers(share=lambda s, n: s),), "divided by n"),
        ("text", lambda: (lambda *_: "many",), "return a number of workers"),
    ],
    ch20.savings: [
        ("one machine", lambda: (savings(mtbf=lambda one, n: one),), "divide the time of one"),
        ("half", lambda: (savings(best=lambda c, m: math.sqrt(c * m)),), "a 2 under the root"),
        ("all of it", lambda: (savings(lost=lambda t, c, r, m: c / t + (t + r) / m),), "not all"),
        ("no restart", lambda: (savings(lost=lambda t, c, r, m: c / t + t / 2 / m),),
         "the restart takes time"),
        ("no cost", lambda: (savings(lost=lambda t, c, r, m: (t / 2 + r) / m),),
         "each saving takes time"),
        ("percent", lambda: (savings(give=lambda t, s: (t, 100 * s)),), "between 0 and 1"),
        ("order", lambda: (savings(give=lambda t, s: (s, t)),), "first the interval"),
        ("one number", lambda: (savings(give=lambda t, s: t),), "two numbers"),
    ],
    ch20.verdicts: wrong_verdicts(ch20.VERDICTS),
}  # fmt: skip
RIGHT = {
    ch20.combined: [
        ("shares", lambda: (combined(),)),
        ("a loop", lambda: (by_loop,)),
        ("np.average", lambda: (lambda g, n: np.average(g, axis=0, weights=n),)),
    ],
    ch20.pooled: [("two parts", lambda: (pooled(),)), ("squares", lambda: (by_squares,))],
    ch20.most_workers: [("one by one", lambda: (most_workers(),)), ("NumPy", lambda: (at_once,))],
    ch20.savings: [("the formulas", lambda: (savings(),)), ("shorter", lambda: (by_calculus,))],
    ch20.verdicts: right_verdicts(ch20.VERDICTS),
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
