"""Checks of chapter 20, scaling out."""

import math
from collections.abc import Callable

import numpy as np

from . import NotYet, exercise, expect_close, expect_verdicts, refuse_slips

VERDICTS = {
    "A": "no baseline",
    "B": "another batch",
    "C": "another model",
    "D": "holds",
    "E": "no control",
}
LOOK = {
    "A": "what is the time of a program that does not distribute at all?",
    "B": "how many rows were in a step of each, and how long was the step?",
    "C": "which layer sees other rows, and which rows does it see on a worker?",
    "D": "read what is claimed: for which job, on which machine, measured how?",
    "E": "how far is one process from itself when only rounding differs?",
}


@exercise(
    "20.1",
    "gradients of unequal parts",
    hint="the share of worker k is rows[k] / rows.sum(); multiply each gradient by its share, "
    "and add up over the workers",
)
def combined(function: Callable) -> str | None:
    """Return the gradient of the whole batch, (weights,)."""
    rng = np.random.default_rng(0)
    for rows in ([40, 24], [1, 7, 24], [5, 5]):
        counts = np.array(rows)
        given = rng.normal(size=(len(rows), 4))
        got = function(given.copy(), counts.copy())
        want = counts @ given / counts.sum()
        slips = {
            "this is the plain mean: a gradient of 40 rows must count more than one of 24": (
                given.mean(axis=0)
            ),
            "this is the sum, as if each worker had divided by the rows of all": given.sum(axis=0),
            "weighted rightly, but not divided by the number of all rows": counts @ given,
            "workers with fewer rows count more here: turn the weights round": (
                (1 / counts) @ given / (1 / counts).sum()
            ),
            "divided by the number of workers in place of the number of all rows": (
                counts @ given / len(counts)
            ),
        }
        refuse_slips(got, slips, want, atol=1e-9)
        expect_close(got, want, f"the gradient of {rows} rows", atol=1e-9)
    return "whoever has more rows has more to say, and the cut no longer matters"


@exercise(
    "20.2",
    "statistics of all workers",
    hint="shares = rows / rows.sum(); the variance has two parts, the mean of the variances and "
    "the variance of the means, both weighted by the shares",
)
def pooled(function: Callable) -> str | None:
    """Return mean and variance of all rows, (2, channels)."""
    rng = np.random.default_rng(1)
    for rows in ([6, 10], [2, 3, 11], [8, 8]):
        counts = np.array(rows)
        parts = [rng.normal(rng.normal(0, 2), 1, (n, 3)) for n in rows]
        means, variances = (
            np.array([f(part, axis=0) for part in parts]) for f in (np.mean, np.var)
        )
        try:
            got = np.asarray(function(means.copy(), variances.copy(), counts.copy()), dtype=float)
        except ValueError:
            raise NotYet("return two rows of numbers: the means, and the variances") from None
        values = np.concatenate(parts)
        mean, s = values.mean(axis=0), counts / counts.sum()
        want = np.array([mean, values.var(axis=0)])
        within, between = s @ variances, s @ (means - mean) ** 2
        slips = {
            "the variance lacks the part between the workers: how their means differ": (
                [mean, within]
            ),
            "mean and variance are plain means over the workers: weight them by rows": (
                [means.mean(axis=0), variances.mean(axis=0)]
            ),
            "weight the workers by their rows, in all three sums": (
                [means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)]
            ),
            "weight the part between the workers by rows, too": [mean, within + means.var(axis=0)],
            "this is the part between the workers alone: add the mean of their variances": (
                [mean, between]
            ),
            "return the variance, not the standard deviation": [mean, np.sqrt(within + between)],
            "first the mean, then the variance": want[::-1],
        }
        refuse_slips(got, {k: np.array(v) for k, v in slips.items()}, want, atol=1e-9)
        expect_close(got, want, f"mean and variance of {rows} rows", atol=1e-9)
    return "two short all-reduces give each worker the statistics of the whole batch"


N = np.arange(1, 2000)


def _largest(step: np.ndarray, compute: float, least: float) -> int:
    """The largest n of `N` whose efficiency, compute / (n · step), is not below the least."""
    return int(N[compute / (N * step) >= least].max(initial=0))


@exercise(
    "20.3",
    "how many workers pay",
    hint="write the time of a step with n workers first: compute / n, plus the ring of section 3. "
    "The speed-up is compute divided by it, and the efficiency is the speed-up divided by n",
)
def most_workers(function: Callable) -> str | None:
    """Return the largest number of workers with that efficiency, an int."""
    for c, size, a, b, least in (
        (20.0, 4e8, 2e-3, 2e9, 0.5),
        (0.5, 4e6, 5e-4, 1e9, 0.7),
        (8.0, 4e8, 1e-3, 1e10, 0.8),
    ):
        got = function(c, size, a, b, least)
        rounds, right = 2 * (N - 1), c / N + 2 * (N - 1) * (a + size / (N * b))
        want = _largest(right, c, least)
        steps = {
            "the ring goes round twice: first the sums, then their copies": (
                c / N + rounds / 2 * (a + size / (N * b))
            ),
            "each of the rounds has a latency, too": c / N + rounds * size / (N * b),
            "in a round of the ring only a chunk is sent, an n-th of the vector": (
                c / N + rounds * (a + size / b)
            ),
            "the latency is paid in each of the 2(n - 1) rounds, not once": (
                c / N + a + rounds * size / (N * b)
            ),
        }
        slips: dict[str, float] = {k: _largest(step, c, least) for k, step in steps.items()}
        slips |= {
            "with so many the efficiency is below the least": want + 1,
            "one worker more still has that efficiency": want - 1,
            "efficiency is the speed-up divided by n; this asks for the speed-up": (
                _largest(right / N, c, least)
            ),
        }
        if not isinstance(got, int | float | np.number):
            raise NotYet(f"return a number of workers, not {type(got).__name__}")
        refuse_slips(got, {k: v for k, v in slips.items() if v != want}, want)
        expect_close(got, want, f"the workers for an efficiency of {least:.0%}", atol=0.01)
    return "for the same job efficiency only falls: the question is what the time is worth"


@exercise(
    "20.4",
    "when to save",
    hint="n machines fail n times as often as one; then T* and the overhead of section 8",
)
def savings(function: Callable) -> str | None:
    """Return the interval in seconds, and the share of time that is lost, two numbers."""
    for one, machines, cost, restart in (
        (9e7, 1000, 60.0, 300.0),
        (3e7, 64, 20.0, 120.0),
        (1e8, 4000, 30.0, 600.0),
    ):
        got = function(one, machines, cost, restart)
        m = one / machines
        best = math.sqrt(2 * cost * m)

        def lost(t: float, m: float = m, c: float = cost, r: float = restart) -> float:
            return c / t + (t / 2 + r) / m

        want = [best, lost(best)]
        alone, half = math.sqrt(2 * cost * one), math.sqrt(cost * m)
        slips = {
            "that many machines fail that many times as often: divide the time of one": (
                [alone, lost(alone, m=one)]
            ),
            "the interval is that of one machine: use the same time between failures in both": (
                [alone, lost(alone)]
            ),
            "there is a 2 under the root: half of an interval is lost on average": (
                [half, lost(half)]
            ),
            "a failure throws away half of the interval on average, not all of it": (
                [best, cost / best + (best + restart) / m]
            ),
            "after a failure the restart takes time, too": [best, cost / best + best / 2 / m],
            "each saving takes time, too: add its share": [best, (best / 2 + restart) / m],
            "give the lost share, a number between 0 and 1, not a percentage": (
                [best, 100 * lost(best)]
            ),
            "first the interval, then the lost share": want[::-1],
        }
        # the share is some hundredths, the interval some thousands: compare both as ratios
        scale = np.array(want)
        if np.shape(got) != (2,):
            raise NotYet("return two numbers: the interval, and the lost share")
        ratios = {k: np.array(v) / scale for k, v in slips.items()}
        refuse_slips(np.asarray(got, float) / scale, ratios, np.ones(2), atol=1e-3)
        expect_close(got[0], best, "the interval in seconds", atol=1e-3 * best)
        expect_close(got[1], want[1], "the lost share", atol=1e-3 * want[1])
    return "four times the machines, half the interval, and about twice the loss"


@exercise(
    "20.5",
    "five reports",
    hint="ask of each: against what was it compared, how many rows were in a step, was it the same "
    "model, and how far is one process from itself?",
)
def verdicts(answers: dict[str, str]) -> str | None:
    """Give each of the claims A to E one of the five verdicts."""
    expect_verdicts(answers, VERDICTS, LOOK)
    return "same job, same batch, same model, and a yardstick for what rounding does"
