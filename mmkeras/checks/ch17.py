"""Checks of chapter 17, explanations."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..datasets.heart import MODALITIES
from . import NotYet, exercise, expect_close, expect_verdicts, refuse_slips

VERDICTS = {
    "A": "background",
    "B": "no control",
    "C": "judged by itself",
    "D": "holds",
    "E": "about the network",
    "F": "no control",
}
LOOK = {
    "A": "the two replacements disagree, so the claim rests on one of them; which was met in "
    "training?",
    "B": "where would the maps of a network with random weights lie?",
    "C": "who decided that P is better, and what does that judge know of the truth?",
    "D": "read what is claimed: is it more than what was done and seen?",
    "E": "a Shapley value divides the answer of the network; what does the claim speak of?",
    "F": "how often would a network name that region that gives each token the same weight?",
}


@exercise(
    "17.1",
    "the weight of evidence",
    hint="log(p / (1 - p)) of both probabilities, and the first minus the second",
)
def effect(function: Callable) -> str | None:
    """Return the effect of the value on the log-odds, float (n,)."""
    p, q = np.array([0.9, 0.2, 0.5, 0.02]), np.array([0.6, 0.4, 0.5, 0.3])
    odds = np.log(p) - np.log1p(-p), np.log(q) - np.log1p(-q)
    want = odds[0] - odds[1]
    got = function(p.copy(), q.copy())
    slips = {
        "this is a difference of probabilities: take that of the log-odds": p - q,
        "the sign is turned round: with all values, minus without": -want,
        "these are logarithms of p: the odds are p / (1 - p)": np.log(p) - np.log(q),
        "these are odds: take their logarithms first": p / (1 - p) - q / (1 - q),
        "this is the ratio of the odds: take its logarithm": np.exp(want),
        "this is in base 2 or 10: take the natural logarithm": want / np.log(2),
    }
    refuse_slips(got, slips, want)
    refuse_slips(
        got, {"this is in base 2 or 10: take the natural logarithm": want / np.log(10)}, want
    )
    expect_close(got, want, "the effect")
    return "0.5 and 0.5 gave 0: a value that changes nothing has no effect"


@exercise(
    "17.2",
    "integrated gradients",
    hint="at step k = 0 … steps - 1 read slope(baseline + (k + 0.5) / steps · (x - baseline)); the "
    "mean of these slopes, times x - baseline",
)
def integrate(function: Callable) -> str | None:
    """Return what each number gets on the way from the baseline to x, float (d,)."""

    def slope(at: np.ndarray) -> np.ndarray:  # of a² b + 3 sin c
        a, b, c = at
        return np.array([2 * a * b, a**2, 3 * np.cos(c)])

    for x, b, steps in (
        (np.array([1.0, 2.0, 0.5]), np.array([0.2, -1.0, 0.0]), 4),
        (np.array([-1.0, 0.5, 2.0]), np.zeros(3), 10),
    ):
        way, k = x - b, np.arange(steps)

        def at(shares: Any, b: np.ndarray = b, way: np.ndarray = way) -> np.ndarray:
            return np.mean([slope(b + share * way) for share in shares], axis=0)

        mean = at((k + 0.5) / steps)
        want = mean * way
        got = function(slope, x.copy(), b.copy(), steps)
        slips = {
            "this reads the slope at the beginning of each step: read it in the middle": way
            * at(k / steps),
            "this reads the slope at the end of each step: read it in the middle": way
            * at((k + 1) / steps),
            "this reads both ends of the way: read the middle of each step": way
            * at(np.linspace(0, 1, steps)),
            "this is the mean of both ends of each step: read its middle": way
            * (at(k / steps) + at((k + 1) / steps))
            / 2,
            "this is the mean slope: multiply it by the way, x - baseline": mean,
            "multiply by the way, x - baseline, not by x": mean * x,
            "this is the sum of the slopes: take their mean": want * steps,
            "this is gradient × input at x alone: walk from the baseline": slope(x) * way,
        }
        if not np.allclose(mean * x, want):
            refuse_slips(got, slips, want)
        else:
            slips.pop("multiply by the way, x - baseline, not by x")
            refuse_slips(got, slips, want)
        expect_close(got, want, f"with {steps} steps")
    return "with many steps the parts sum to the difference of the ends"


@exercise(
    "17.3",
    "shares of three",
    hint="for each of the six orders of the three, add them one by one, and note what each adds to "
    "the value; then the mean over the orders",
)
def shares(function: Callable) -> str | None:
    """Return the Shapley value of each modality as a dict."""
    rng = np.random.default_rng(3)
    subsets = [frozenset(c) for k in range(4) for c in itertools.combinations(MODALITIES, k)]
    for _ in range(2):
        value = {subset: float(rng.normal()) for subset in subsets}
        whole = frozenset(MODALITIES)
        got = function(dict(value))
        if not isinstance(got, dict) or set(got) != set(MODALITIES):
            raise NotYet(f"return a dict with the keys {', '.join(MODALITIES)}, got {got!r}")
        try:
            given = np.array([float(got[name]) for name in MODALITIES])
        except (TypeError, ValueError):
            raise NotYet(f"the values of the dict should be numbers, got {got!r}") from None

        def added(name: str, weight: Callable[[int], float], value: dict = value) -> float:
            rest = [s for s in subsets if name not in s]
            return sum(weight(len(s)) * (value[s | {name}] - value[s]) for s in rest)

        exact = [added(m, lambda k: math.factorial(k) * math.factorial(2 - k) / 6)
                 for m in MODALITIES]  # fmt: skip
        slips = {
            "this is leaving out: average over all orders": [
                value[whole] - value[whole - {m}] for m in MODALITIES
            ],
            "this is what each adds to nothing: average over all orders": [
                value[frozenset({m})] - value[frozenset()] for m in MODALITIES
            ],
            "the four subsets do not weigh the same: the empty one and the pair come up in two of "
            "six orders each, the single ones in one": [
                added(m, lambda k: 0.25) for m in MODALITIES
            ],
            "subtract what the subset had without the modality": [
                sum((math.factorial(len(s)) * math.factorial(2 - len(s)) / 6) * value[s | {m}]
                    for s in subsets if m not in s) for m in MODALITIES
            ],
            "this is the sum over the six orders: take the mean": [6 * e for e in exact],
            **{
                f"this is one order of six, {', '.join(order)}: take the mean over all": [
                    value[frozenset(order[: order.index(m) + 1])]
                    - value[frozenset(order[: order.index(m)])]
                    for m in MODALITIES
                ]
                for order in itertools.permutations(MODALITIES)
            },
        }  # fmt: skip
        refuse_slips(given, slips, exact)
        expect_close(given, np.array(exact), "the shares of note, ecg and scan")
    return "they sum to the value of all three minus that of none"


@exercise(
    "17.4",
    "six reports",
    hint="ask of each claim: what stood in for what was removed, what would an untrained network "
    "have shown, who was the judge, and is it about the network or about the patient?",
)
def verdicts(answers: dict[str, str]) -> str | None:
    """Give each of the claims A to F one of the five verdicts."""
    expect_verdicts(answers, VERDICTS, LOOK)
    return "name the background, run the control, change one thing, and say whom it is about"
