"""Checks of chapter 12, heart disease from note, scan and ECG."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd

from . import NotYet, exercise, expect_close


def _number(answer: Any) -> float:
    """The answer as a float; NaN, which equals nothing, if it is no single number."""
    single = np.ndim(answer) == 0 and np.asarray(answer).dtype.kind in "biuf"
    return float(answer) if single else math.nan


def _strip(beats: int, rate: int, level: float, base: float, *, bad: bool = False) -> np.ndarray:
    """Six seconds of ECG in mV, (6 * rate,): baseline `base`, ST segment `level` above it."""
    time = np.arange(6 * rate) / rate
    signal = base + np.random.default_rng(12).uniform(-0.01, 0.01, len(time))
    for k, spike in enumerate(np.arange(0.4, 5.6, 60 / beats)):
        t = time - spike
        signal += 0.12 * np.exp(-(((t + 0.16) / 0.02) ** 2))  # P
        signal += 0.3 * np.exp(-(((t - 0.4) / 0.08) ** 2))  # U: the median of a strip lies higher
        signal += 1.2 * np.exp(-((t / 0.012) ** 2)) + 0.3 * np.exp(-(((t - 0.26) / 0.04) ** 2))
        segment = np.clip((t - 0.03) / 0.02, 0, 1) * np.clip((0.14 - t) / 0.03, 0, 1)
        signal += (level - 2 * (bad and k == 2)) * segment
    return signal


def _level(signal: np.ndarray, rate: int, beats: int, window_rate: int) -> float:
    """The ST level with windows counted at `window_rate` samples per second."""
    spikes = np.round(np.arange(0.4, 5.6, 60 / beats) * rate).astype(int)
    steps = np.arange(round(0.06 * window_rate), round(0.08 * window_rate) + 1)
    each = signal[spikes[:, None] + steps].mean(axis=1) - signal[spikes[:, None] - steps].mean(1)
    return float(np.median(each))


@exercise(
    "12.1",
    "the ST segment against the baseline",
    hint="find_peaks(signal, height=0.5, distance=int(0.22 * rate)) gives the spikes s; the mean "
    "of signal[s + int(0.06 * rate) : s + int(0.08 * rate) + 1] minus the mean of the same "
    "window before s, then np.median over the beats",
)
def st_level(measure: Callable) -> str | None:
    """Return the ST level in mV, from an ECG in mV, (samples,), and its samples per second."""
    cases = [(75, 125, -0.2, 0.1), (90, 250, -0.35, 0.15), (66, 500, 0.1, -0.25)]
    for beats, rate, level, base in cases:
        signal = _strip(beats, rate, level, base)
        said = _number(measure(signal.copy(), rate))
        case = f"with an ST segment at {level} mV and a baseline at {base} mV"
        slips = {
            level + base: "subtract the baseline: the mean 80 to 60 ms before each spike",
            -level: "the sign is turned round: a depression is negative",
            10 * level: "the level should be in mV, not in mm",
            base: "that is the baseline before the spike; where is the ST segment?",
            level + base - signal.mean(): "you subtract the mean of the strip, which the waves "
            "shift; the baseline is the stretch 80 to 60 ms before each spike",
            level + base - np.median(signal): "you subtract the median of the strip, which the "
            "waves shift; the baseline is the stretch 80 to 60 ms before each spike",
        }
        if rate != 125:
            slips[_level(signal, rate, beats, 125)] = "count the windows with the argument rate"
        for value, message in slips.items():
            if abs(said - value) < 0.02 < abs(value - level):
                raise NotYet(f"{case} yours is {said:.3g}: {message}")
        expect_close(said, level, f"the ST level {case}", atol=0.02)
    drift = np.linspace(-0.15, 0.15, 6 * 250)
    said = _number(measure(_strip(72, 250, -0.25, 0.0) + drift, 250))
    if abs(said + 0.25) > 0.05:
        raise NotYet(
            f"the baseline drifts by 0.3 mV, and yours says {said:.3g} mV in place of -0.25: "
            "subtract from each beat the baseline before its own spike"
        )
    said = _number(measure(_strip(80, 250, -0.1, 0.0, bad=True), 250))
    if said < -0.12:
        raise NotYet(
            f"one beat of seven has a loose electrode, and yours falls from -0.1 to {said:.3g} mV: "
            "take the median over the beats"
        )
    expect_close(said, -0.1, "the ST level of a strip with one bad beat", atol=0.02)
    return "below the baseline is negative: depression"


@exercise(
    "12.2",
    "as many chances as were taken",
    hint="a claim holds if difference > 0 and p < 0.05 / looked_at; the 95% intervals are for one "
    "comparison, so low > 0 is not enough; for may_print ask whether an interval of the difference "
    "was computed, for how many comparisons, and what it leaves out",
)
def claims_that_hold(choose: Callable, may_print: dict[str, bool] | None = None) -> str | None:
    """Return the names of the rows of gains that hold after looked_at comparisons, in order."""
    for gains, looked_at in _tables():
        got = choose(gains.copy(), looked_at)
        names = list(gains.index)
        if isinstance(got, str) or not isinstance(got, Iterable):
            raise NotYet("return a list of row names, such as ['note+ecg']")
        got = list(got)
        if wild := [name for name in got if name not in names]:
            raise NotYet(f"{wild[0]!r} is no row of the table, which has {', '.join(names)}")
        better = gains["difference"] > 0

        def said(mask: pd.Series, names: list[str] = names) -> list[str]:
            return [n for n, yes in zip(names, mask, strict=True) if yes]

        want = said(better & (gains["p"] < 0.05 / looked_at))
        slips = {
            "these intervals are for one comparison each; many were made, so compare p with "
            "0.05 / looked_at": said(gains["low"] > 0),
            "p below 0.05 is enough for one comparison; many were made": said(
                better & (gains["p"] < 0.05)
            ),
            "Holm's correction finds these rows; Bonferroni was asked, which is stricter: compare "
            "every p with 0.05 / looked_at": said(better & _holm(gains["p"], looked_at)),
            f"divide 0.05 by all {looked_at} comparisons that were made, not by the {len(gains)} "
            "that are shown": said(better & (gains["p"] < 0.05 / len(gains))),
            "a row with a negative difference is worse, however small its p": said(
                gains["p"] < 0.05 / looked_at
            ),
        }
        for message, wrong in slips.items():
            if got == wrong and got != want:
                raise NotYet(message)
        if sorted(map(str, got)) == sorted(want) and got != want:
            raise NotYet("the names are right; keep the order of the table")
        if got != want:
            raise NotYet(f"with {looked_at} comparisons yours is {got}, expected {want}")
    if may_print is None:
        return "now the judgement: which of the three sentences may be printed as it stands?"
    _check_sentences(may_print)
    return "and only (b) is printed: it alone has an interval of the difference that supports it"


def _check_sentences(may_print: dict[str, bool]) -> None:
    """Only sentence (b) of the exercise may be printed as it stands."""
    form = 'give may_print = {"a": …, "b": …, "c": …}, True or False for each sentence'
    if not isinstance(may_print, dict) or set(may_print) != set("abc"):
        raise NotYet(form)
    if any(said is ... for said in may_print.values()):
        raise NotYet("claims_that_hold is right; now the judgement: replace the ... in may_print")
    if not all(isinstance(said, bool | np.bool_) for said in may_print.values()):
        raise NotYet(form)
    if may_print["a"]:
        raise NotYet(
            "(a) claims that two AUCs are equal. Their difference has an interval: how large a "
            "difference does it allow?"
        )
    if not may_print["b"]:
        raise NotYet(
            "(b): look at the difference of the two recalls at 0.5. Does its interval, which is "
            "corrected for ten, leave out 0?"
        )
    if may_print["c"]:
        raise NotYet(
            "(c): three age groups were looked at and the best and the worst picked, and no "
            "interval of their difference was computed"
        )


def _holm(p: pd.Series, looked_at: int) -> pd.Series:
    """Whether each row holds by Holm's correction, if the rows that are not shown have larger p."""
    order = p.sort_values()
    chances = np.maximum(looked_at - np.arange(len(order)), 1)
    return (order * chances < 0.05).cummin().reindex(p.index)


def _tables() -> Iterator[tuple[pd.DataFrame, int]]:
    """Comparisons with 95% intervals and p, and how many were looked at."""
    rows = {
        "note+ecg": (0.013, 0.001, 0.026, 0.045),
        "wider": (-0.030, -0.044, -0.016, 0.0004),
        "note+scan": (0.012, 0.003, 0.021, 0.0095),
        "all": (0.028, 0.014, 0.042, 0.0004),
        "longer": (0.002, -0.010, 0.014, 0.72),
    }
    table = pd.DataFrame(rows, index=["difference", "low", "high", "p"]).T
    yield table, 20  # here dividing by the five that are shown finds more than Holm does
    yield table, 7
    yield table, 5
    yield table.iloc[[4, 3, 2]], 3
    yield table, 200


@exercise(
    "12.3",
    "known rows only",
    hint="known = ~np.isnan(target); then the mean of the squared errors of target[known]",
)
def masked_error(error: Callable) -> str | None:
    """Return the mean squared error of the rows whose target, float (n,), is known (not NaN)."""
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
    """Return a dict from each modality to its contribution, from the log-odds of the 8 subsets.

    These come in a dict whose keys are frozensets of modalities.
    """
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
        "this is the mean over the subsets; the mean over the orders gives more weight to what is "
        "added first and last": [_mean_over_subsets(value, n, names) for n in names],
    }
    for order in permutations(names):
        sets = [frozenset(order[:k]) for k in range(4)]
        adds = {n: value[sets[k + 1]] - value[sets[k]] for k, n in enumerate(order)}
        if np.shape(given) == (3,) and np.allclose(given, [adds[n] for n in names]):
            raise NotYet(f"this is one order only, {', '.join(order)}; average over all six")
    for message, numbers in wrong.items():
        if np.shape(given) == (3,) and np.allclose(given, numbers):
            raise NotYet(message)
    expect_close(given, want, "the contributions of note, ecg, scan")
    return "they sum to what all three say, minus the start"


def _mean_over_subsets(
    value: Mapping[frozenset[str], float], name: str, names: tuple[str, ...]
) -> float:
    """What one modality adds, each of the four subsets without it counted alike."""
    one, other = (n for n in names if n != name)
    subsets = [frozenset(s) for s in ((), (one,), (other,), (one, other))]
    return sum(value[s | {name}] - value[s] for s in subsets) / 4


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
    """Return the probability of a grade above 0, from prior, tables and seen.

    prior is (5,), tables a list of arrays (5, levels), seen a list of one level or None each.
    """
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
