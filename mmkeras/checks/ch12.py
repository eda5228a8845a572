"""Checks of chapter 12, heart disease from note, scan and ECG."""

import math
from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

import numpy as np

from . import NotYet, exercise, expect_close


def _number(answer: Any) -> float:
    """The answer as a float; NaN, which equals nothing, if it is no single number."""
    single = np.ndim(answer) == 0 and np.asarray(answer).dtype.kind in "biuf"
    return float(answer) if single else math.nan


def _strip(beats_per_minute: float, rate: int, spike: float, t_wave: float) -> np.ndarray:
    """Six seconds of ECG in mV, without noise: R spikes and T waves, (6 * rate,)."""
    time = np.arange(6 * rate) / rate
    period = 60 / beats_per_minute
    since = (time + 0.4 * period) % period / period  # place in the beat, 0 to 1
    spikes = spike * np.exp(-(((since - 0.3) / 0.03) ** 2))
    return spikes + t_wave * np.exp(-(((since - 0.6) / 0.07) ** 2))


@exercise(
    "12.1",
    "counted from the spikes",
    hint="find_peaks(signal, height=0.5, distance=int(0.22 * rate)) gives where the spikes are; "
    "np.diff of them is the time between beats, in samples",
)
def heart_rate(count: Callable) -> str | None:
    """A function of an ECG (mV) and its samples per second: beats per minute."""
    cases = [(75, 125, 1.0, 0.3), (164, 250, 1.7, 0.15), (62, 500, 0.9, 0.4), (190, 100, 1.1, 0.3)]
    for beats, rate, spike, t_wave in cases:
        got = count(_strip(beats, rate, spike, t_wave), rate)
        case = f"at {beats} beats per minute and {rate} samples per second"
        said = _number(got)
        if abs(said - beats / 60) < 0.05:
            raise NotYet(f"{case} yours is {said:.3g}: that is per second; times 60")
        if abs(said - 60 / beats) < 0.02 or abs(said - 60 * rate / beats) < 5:
            raise NotYet(f"{case} yours is {said:.4g}: that is the time between beats")
        if abs(said - 2 * beats) < 4:
            raise NotYet(f"{case} yours is {said:.4g}: T waves are counted too; use height=0.5")
        if rate != 125 and abs(said - beats * 125 / rate) < 3:
            raise NotYet(f"{case} yours is {said:.4g}: use the argument rate, not 125")
        expect_close(got, beats, f"the heart rate {case}", atol=1.5)
    return "as steady as the spikes are tall"


@exercise(
    "12.2",
    "the logarithm of twice the loss",
    hint="set the derivative of exp(-s) L + s/2 to zero: s = log(2 L); then put it back in and sum",
)
def balance(best: Callable) -> str | None:
    """A function of losses (J,): the best s (J,) and the total there."""
    for losses in (np.array([0.7, 1.3, 0.05]), np.array([2.0, 0.5])):
        got = best(losses.copy())
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise NotYet("return two things: the best s, an array (J,), and the total, a number")
        s = np.log(2 * losses)
        if np.shape(got[0]) == s.shape:
            if np.allclose(got[0], np.log(losses)):
                raise NotYet("s = log(L) is the best for exp(-s) L + s; here the term is s/2")
            if np.allclose(got[0], -s):
                raise NotYet(
                    "the sign of s is turned round: a large loss should get a small weight"
                )
            if np.allclose(got[0], np.exp(-s)):
                raise NotYet("this is the weight exp(-s); return s itself")
        expect_close(got[0], s, f"the best s for losses {losses.tolist()}", atol=1e-4)
        total = float((np.exp(-s) * losses + s / 2).sum())
        if math.isclose(_number(got[1]), len(losses) / 2):
            raise NotYet("the total lacks the terms s/2; without them s would grow for ever")
        expect_close(got[1], total, f"the total for losses {losses.tolist()}", atol=1e-4)
    return "a loss times 100 only adds log(100)/2, which no gradient can see"


@exercise(
    "12.3",
    "known rows only",
    hint="known = ~np.isnan(target); then the mean of the squared errors of target[known]",
)
def masked_error(error: Callable) -> str | None:
    """A function of target and said, float (n,), NaN where unknown: the error of known rows."""
    target = np.array([1.0, np.nan, 3.0, 0.0, np.nan])
    said = np.array([0.0, 9.0, 3.5, 1.0, -2.0])
    got = error(target.copy(), said.copy())
    squares = np.array([1.0, 0.25, 1.0])
    if np.isscalar(got):
        if np.isnan(got):
            raise NotYet("the answer is NaN: 0 times NaN is NaN, so leave the unknown rows out")
        if np.isclose(got, squares.sum() / 5):
            raise NotYet("divide by the number of known rows, 3 here, not by all 5")
        if np.isclose(got, np.mean((np.nan_to_num(target) - said) ** 2)):
            raise NotYet(
                "a 0 in place of NaN counts as a target of 0: give those rows weight 0 too"
            )
    expect_close(got, squares.mean(), "the error", atol=1e-6)
    nothing = error(np.full(3, np.nan), np.zeros(3))
    if math.isnan(_number(nothing)) and np.ndim(nothing) == 0:
        raise NotYet("with no known row at all return 0: the mean of nothing is NaN")
    expect_close(nothing, 0.0, "the error with no known row")
    return "a gap costs nothing and teaches nothing"


@exercise(
    "12.4",
    "six orders, averaged",
    hint="for order in itertools.permutations(names): add value[before | {m}] - value[before] "
    "to m's sum, where before is the frozenset of those that came earlier; divide by 6",
)
def contributions_of(share: Callable) -> str | None:
    """A function of a dict frozenset → log-odds (8 of them): dict modality → contribution."""
    names = ("note", "ecg", "scan")
    numbers = np.random.default_rng(3).normal(size=8).round(2).tolist()
    keys = [frozenset(n for i, n in enumerate(names) if bits >> i & 1) for bits in range(8)]
    value = dict(zip(keys, numbers, strict=True))
    got = share(dict(value))
    if not isinstance(got, Mapping) or set(got) != set(names):
        raise NotYet(f"return a dict with the keys {', '.join(names)}")
    given = [got[n] for n in names]
    want, whole = _shapley(value, names), frozenset(names)
    wrong: dict[str, list[float]] = {
        "this is what is lost when one leaves; average over all orders of entering": [
            value[whole] - value[whole - {n}] for n in names
        ],
        "this is what each adds when it is first; average over all orders": [
            value[frozenset([n])] - value[frozenset()] for n in names
        ],
        "these are the sums over the six orders; divide by 6": [6 * w for w in want],
        "the sign is turned round: with the modality minus without it": [-w for w in want],
    }
    for message, numbers in wrong.items():
        if np.shape(given) == (3,) and np.allclose(given, numbers):
            raise NotYet(message)
    expect_close(given, want, "the contributions of note, ecg, scan")
    return "they sum to what all three say, minus the start"


def _shapley(value: Mapping[frozenset[str], float], names: tuple[str, ...]) -> list[float]:
    sums = dict.fromkeys(names, 0.0)
    for order in permutations(names):
        for place, name in enumerate(order):
            before = frozenset(order[:place])
            sums[name] += value[before | {name}] - value[before]
    return [sums[n] / math.factorial(len(names)) for n in names]


@exercise(
    "12.5",
    "Bayes' rule",
    hint="start from the prior, multiply by tables[k][:, seen[k]] for each recorded value, "
    "and divide the sum over grades 1 to 4 by the sum over all",
)
def posterior(rule: Callable) -> str | None:
    """A function of prior (5,), tables [(5, levels)], seen [level or None]: P(grade > 0)."""
    rng = np.random.default_rng(7)
    prior = np.array([0.5, 0.26, 0.105, 0.105, 0.03])
    tables = [rng.dirichlet(np.ones(levels), 5) for levels in (3, 4)]
    for seen in ([1, 2], [0, 3], [2, None], [None, None]):
        joint = prior.copy()
        for table, level in zip(tables, seen, strict=True):
            joint = joint if level is None else joint * table[:, level]
        want = joint[1:].sum() / joint.sum()
        got = rule(prior.copy(), [t.copy() for t in tables], list(seen))
        case = f"for seen={seen}"
        flat, last = joint / prior, joint * (tables[1][:, -1] if seen[1] is None else 1)
        wrong = {
            "this is P(grade = 0)": 1 - want,
            "divide by the sum over all grades": joint[1:].sum(),
            "the prior is missing": flat[1:].sum() / flat.sum(),
            "None was read as the last level; skip such a value": last[1:].sum() / last.sum(),
        }
        for message, number in wrong.items():
            if math.isclose(_number(got), number) and not math.isclose(number, want):
                raise NotYet(f"{case}: {message}")
        expect_close(got, want, f"P(ill) {case}")
    return "a value that was not recorded is a factor that is not there"
