"""Chapter 17: right answers pass, and a student with a likely slip is told which one."""

import itertools
import math
from typing import Any

import numpy as np
from check_cases import accepted, refused, right_verdicts, wrong_verdicts

from mmkeras.checks import ch17

NAMES = ("note", "ecg", "scan")


def odds(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def way_of(shares: Any, times: Any = lambda x, b: x - b, merge: Any = np.mean) -> Any:
    """Integrated gradients that read the slopes at other places, or multiply by something else."""

    def integrate(slope: Any, x: np.ndarray, baseline: np.ndarray, steps: int) -> np.ndarray:
        slopes = [slope(baseline + s * (x - baseline)) for s in shares(steps)]
        return merge(slopes, axis=0) * times(x, baseline)

    return integrate


def middles(steps: int) -> np.ndarray:
    return (np.arange(steps) + 0.5) / steps


def at_the_end(slope: Any, x: np.ndarray, baseline: np.ndarray, steps: int) -> np.ndarray:
    return slope(x) * (x - baseline)


def trapezoids(slope: Any, x: np.ndarray, baseline: np.ndarray, steps: int) -> np.ndarray:
    ends = [slope(baseline + s * (x - baseline)) for s in np.linspace(0, 1, steps + 1)]
    return (x - baseline) * (np.sum(ends, axis=0) - (ends[0] + ends[-1]) / 2) / steps


def by_order(value: dict, order: tuple[str, ...]) -> dict[str, float]:
    steps = [frozenset(order[:k]) for k in range(4)]
    return {m: value[steps[k + 1]] - value[steps[k]] for k, m in enumerate(order)}


def by_orders(value: dict, share: float = 1 / 6) -> dict[str, float]:
    total = dict.fromkeys(NAMES, 0.0)
    for order in itertools.permutations(NAMES):
        for k, name in enumerate(order):
            before = frozenset(order[:k])
            total[name] += (value[before | {name}] - value[before]) * share
    return total


def by_formula(value: dict, weight: Any, gain: Any = lambda v, s, m: v[s | {m}] - v[s]) -> Any:
    return {m: sum(weight(len(s)) * gain(value, s, m) for s in value if m not in s) for m in NAMES}


def factorials(k: int) -> float:
    return math.factorial(k) * math.factorial(2 - k) / 6


def alone(value: dict) -> dict[str, float]:
    return {m: value[frozenset({m})] - value[frozenset()] for m in NAMES}


def left_out(value: dict) -> dict[str, float]:
    return {m: value[frozenset(NAMES)] - value[frozenset(NAMES) - {m}] for m in NAMES}


WRONG = {
    ch17.effect: [
        ("probabilities", lambda: (lambda p, q: p - q,), "difference of probabilities"),
        ("sign", lambda: (lambda p, q: odds(q) - odds(p),), "the sign is turned round"),
        ("logs of p", lambda: (lambda p, q: np.log(p / q),), "the odds are p / (1 - p)"),
        ("odds", lambda: (lambda p, q: p / (1 - p) - q / (1 - q),), "take their logarithms"),
        ("ratio", lambda: (lambda p, q: np.exp(odds(p) - odds(q)),), "ratio of the odds"),
        ("base 10", lambda: (lambda p, q: (odds(p) - odds(q)) / np.log(10),), "base 2 or 10"),
        ("mean", lambda: (lambda p, q: (odds(p) - odds(q)).mean(),), "shape (4,)"),
    ],
    ch17.integrate: [
        ("left", lambda: (way_of(lambda s: np.arange(s) / s),), "at the beginning of each step"),
        ("right", lambda: (way_of(lambda s: np.arange(1, s + 1) / s),), "at the end of each"),
        ("linspace", lambda: (way_of(lambda s: np.linspace(0, 1, s)),), "both ends of the way"),
        ("trapezoids", lambda: (trapezoids,), "both ends of each step"),
        ("no way", lambda: (way_of(middles, lambda x, b: 1.0),), "this is the mean slope"),
        ("times x", lambda: (way_of(middles, lambda x, b: x),), "not by x"),
        ("sum", lambda: (way_of(middles, merge=np.sum),), "sum of the slopes"),
        ("gradient × input", lambda: (at_the_end,), "walk from the baseline"),
    ],
    ch17.shares: [
        ("left out", lambda: (left_out,), "this is leaving out"),
        ("alone", lambda: (alone,), "what each adds to nothing"),
        ("equal weights", lambda: (lambda v: by_formula(v, lambda k: 0.25),), "do not weigh the"),
        ("sum", lambda: (lambda v: by_orders(v, 1.0),), "sum over the six orders"),
        ("no subtraction", lambda: (lambda v: by_formula(
            v, factorials, lambda v, s, m: v[s | {m}]),), "subtract what the subset had"),
        ("one order", lambda: (lambda v: by_order(v, NAMES[::-1]),), "one order of six"),
        ("a list", lambda: (lambda v: list(by_orders(v).values()),), "return a dict"),
        ("text", lambda: (lambda v: dict.fromkeys(NAMES, "much"),), "should be numbers"),
    ],
    ch17.verdicts: wrong_verdicts(ch17.VERDICTS),
}  # fmt: skip
RIGHT = {
    ch17.effect: [("as a ratio", lambda: (lambda p, q: np.log(p * (1 - q) / (q * (1 - p))),))],
    ch17.integrate: [("the formula", lambda: (way_of(middles),))],
    ch17.shares: [
        ("orders", lambda: (by_orders,)),
        ("formula", lambda: (lambda v: by_formula(v, factorials),)),
        ("NumPy numbers", lambda: (lambda v: {k: np.float64(x) for k, x in by_orders(v).items()},)),
    ],
    ch17.verdicts: right_verdicts(ch17.VERDICTS),
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
