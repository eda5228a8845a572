"""The checks of chapter 12 pass right answers and name the usual mistakes."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pandas as pd
from check_cases import accepted, refused
from scipy.signal import find_peaks

from mmkeras.checks import ch12


def level_of(
    signal: np.ndarray, rate: int, *, base: bool = True, centre: Callable = np.median
) -> float:
    spikes, _ = find_peaks(signal, height=0.5, distance=int(0.22 * rate))
    near, far = int(0.06 * rate), int(0.08 * rate) + 1
    after = [signal[s + near : s + far].mean() for s in spikes]
    before = [signal[s - far + 1 : s - near + 1].mean() if base else 0 for s in spikes]
    return float(centre(np.subtract(after, before)))


def first_baseline(signal: np.ndarray, rate: int) -> float:
    spikes = find_peaks(signal, height=0.5, distance=int(0.22 * rate))[0][:, None]
    steps = np.arange(round(0.06 * rate), round(0.08 * rate) + 1)
    return float(np.median(signal[spikes + steps].mean(1) - signal[spikes[0] - steps].mean()))


def by_table(signal: np.ndarray, rate: int) -> np.float64:
    """All windows at once, the spikes found as the tallest sample of each rise above 0.5 mV."""
    rises = np.flatnonzero((signal[1:] >= 0.5) & (signal[:-1] < 0.5))
    spikes = np.array([r + np.argmax(signal[r : r + rate // 10]) for r in rises])[:, None]
    steps = np.arange(round(0.06 * rate), round(0.08 * rate) + 1)
    return np.median(signal[spikes + steps].mean(1) - signal[spikes - steps].mean(1))


def fixed(signal: np.ndarray) -> float:
    """The windows in samples of 125 per second, whatever the rate."""
    spikes = find_peaks(signal, height=0.5, distance=30)[0][:, None]
    steps = np.arange(8, 11)
    return float(np.median(signal[spikes + steps].mean(1) - signal[spikes - steps].mean(1)))


def known_only(target: np.ndarray, answer: np.ndarray) -> float:
    known = ~np.isnan(target)
    return float(((target - answer)[known] ** 2).mean()) if known.any() else 0.0


def corrected(gains: pd.DataFrame, looked_at: int) -> list[str]:
    return gains.index[(gains["p"] < 0.05 / looked_at) & (gains["difference"] > 0)].tolist()


def by_holm(gains: pd.DataFrame, looked_at: int) -> list:
    found: set[object] = set()
    left = looked_at
    for name, row in gains.sort_values("p").iterrows():
        if row["p"] * left >= 0.05:
            break
        found, left = found | {name}, left - 1
    return [n for n in gains.index if n in found and gains.loc[n, "difference"] > 0]


def judged(a: object, b: object, c: object) -> tuple[Callable, dict[str, object]]:
    return corrected, {"a": a, "b": b, "c": c}


def rows_where(condition: str) -> object:
    return lambda gains, looked_at: gains.query(condition.format(k=looked_at)).index.tolist()


NAMES = ("note", "ecg", "scan")
ALL = frozenset(NAMES)


def orders(value: dict) -> dict:
    sums = dict.fromkeys(NAMES, 0.0)
    for order in permutations(NAMES):
        for k, name in enumerate(order):
            sums[name] += value[frozenset(order[: k + 1])] - value[frozenset(order[:k])]
    return {name: x / 6 for name, x in sums.items()}


def one_order(value: dict) -> dict:
    sets = [frozenset(NAMES[:k]) for k in range(4)]
    return {name: value[sets[k + 1]] - value[sets[k]] for k, name in enumerate(NAMES)}


def over_subsets(value: dict) -> dict:
    """What each adds, with every subset counted alike (the Banzhaf value)."""
    return {n: np.mean([value[s | {n}] - value[s] for s in value if n not in s]) for n in NAMES}


def bayes(prior: np.ndarray, tables: list, seen: list, *, last: bool = False) -> np.ndarray:
    joint = prior
    for table, level in zip(tables, seen, strict=True):
        if level is not None or last:
            joint = joint * table[:, -1 if level is None else level]
    return joint


def ill(joint: np.ndarray) -> float:
    return float(joint[1:].sum() / joint.sum())


WRONG = {
    ch12.st_level: [
        ("no baseline", lambda: (lambda s, r: level_of(s, r, base=False),), "baseline"),
        ("before minus after", lambda: (lambda s, r: -level_of(s, r),), "sign is turned round"),
        ("in mm", lambda: (lambda s, r: 10 * level_of(s, r),), "in mV, not in mm"),
        ("a fixed rate", lambda: (lambda s, r: fixed(s),), "the argument rate"),
        ("a mean", lambda: (lambda s, r: level_of(s, r, centre=np.mean),), "the median"),
        (
            "the baseline",
            lambda: (lambda s, r: level_of(s, r, base=False) - level_of(s, r),),
            "the baseline before",
        ),
        (
            "the median of the strip",
            lambda: (lambda s, r: level_of(s, r, base=False) - float(np.median(s)),),
            "the median of the strip",
        ),
        (
            "the mean of the strip",
            lambda: (lambda s, r: level_of(s, r, base=False) - float(s.mean()),),
            "the mean of the strip",
        ),
        ("the spike", lambda: (lambda s, r: float(s.max()),), "the ST level with"),
        ("the baseline of the first beat", lambda: (first_baseline,), "before its own spike"),
    ],
    ch12.claims_that_hold: [
        ("low above 0", lambda: (rows_where("low > 0"),), "for one comparison each"),
        (
            "p below 0.05",
            lambda: (lambda g, k: g.index[(g.p < 0.05) & (g.difference > 0)].tolist(),),
            "many were made",
        ),
        (
            "divided by the rows shown",
            lambda: (lambda g, k: corrected(g, len(g)),),
            "not by the 5 that are shown",
        ),
        ("by Holm", lambda: (by_holm,), "Bonferroni was asked"),
        ("worse ones, too", lambda: (rows_where("p < 0.05 / {k}"),), "is worse"),
        ("everything better", lambda: (rows_where("difference > 0"),), "expected ['all']"),
        ("nothing", lambda: (lambda g, k: [],), "expected ['all']"),
        ("a mask", lambda: (lambda g, k: g["p"] < 0.05 / k,), "is no row of the table"),
        ("one name", lambda: (lambda g, k: "all",), "return a list"),
        ("judgement missing", lambda: judged(..., ..., ...), "now the judgement"),
        ("judgement in words", lambda: judged("no", "yes", "no"), "True or False for each"),
        ("one letter", lambda: (corrected, {"b": True}), "give may_print"),
        ("close is equal", lambda: judged(True, True, False), "how large a difference"),
        ("nothing is settled", lambda: judged(False, False, False), "Does its interval"),
        ("overlap not looked at", lambda: judged(False, True, True), "the best and the worst"),
    ],
    ch12.masked_error: [
        ("mean of all", lambda: (lambda t, p: float(np.mean((t - p) ** 2)),), "0 times NaN"),
        (
            "weight 0",
            lambda: (lambda t, p: float(np.mean(~np.isnan(t) * (t - p) ** 2)),),
            "0 times NaN",
        ),
        (
            "divided by all",
            lambda: (lambda t, p: float(np.nansum((t - p) ** 2) / len(t)),),
            "not by all 5",
        ),
        (
            "gaps as 0",
            lambda: (lambda t, p: float(np.mean((np.nan_to_num(t) - p) ** 2)),),
            "target of 0",
        ),
        (
            "NaN for nothing",
            lambda: (lambda t, p: known_only(t, p) if (~np.isnan(t)).any() else float("nan"),),
            "no known row",
        ),
    ],
    ch12.contributions_of: [
        (
            "what is lost",
            lambda: (lambda v: {n: v[ALL] - v[ALL - {n}] for n in NAMES},),
            "when one leaves",
        ),
        (
            "what it adds first",
            lambda: (lambda v: {n: v[frozenset([n])] - v[frozenset()] for n in NAMES},),
            "when it is first",
        ),
        ("sums", lambda: (lambda v: {n: 6 * x for n, x in orders(v).items()},), "divide by 6"),
        ("negative", lambda: (lambda v: {n: -x for n, x in orders(v).items()},), "turned round"),
        ("one order", lambda: (one_order,), "one order only, note, ecg, scan"),
        ("the mean over subsets", lambda: (over_subsets,), "the mean over the subsets"),
        ("a list", lambda: (lambda v: list(orders(v).values()),), "return a dict"),
        ("zeros", lambda: (lambda v: dict.fromkeys(NAMES, 0.0),), "expected"),
    ],
    ch12.posterior: [
        ("healthy", lambda: (lambda p, t, s: 1 - ill(bayes(p, t, s)),), "P(grade = 0)"),
        (
            "not divided",
            lambda: (lambda p, t, s: float(bayes(p, t, s)[1:].sum()),),
            "divide by the sum",
        ),
        ("no prior", lambda: (lambda p, t, s: ill(bayes(np.ones(5), t, s)),), "prior is missing"),
        (
            "None as the last",
            lambda: (lambda p, t, s: ill(bayes(p, t, s, last=True)),),
            "skip such a value",
        ),
        ("one value", lambda: (lambda p, t, s: ill(bayes(p, t[:1], s[:1])),), "expected"),
    ],
}
RIGHT = {
    ch12.st_level: [("a loop", lambda: (level_of,)), ("a table", lambda: (by_table,))],
    ch12.claims_that_hold: [
        ("a mask", lambda: (corrected,)),
        (
            "a loop",
            lambda: (
                lambda g, k: [n for n, r in g.iterrows() if r.difference > 0 and r.p * k < 0.05],
            ),
        ),
        ("with the judgement", lambda: judged(False, np.True_, False)),
        ("an Index", lambda: (lambda g, k: g[(g.p < 0.05 / k) & (g.difference > 0)].index,)),
    ],
    ch12.masked_error: [
        ("a mask", lambda: (known_only,)),
        (
            "nan functions",
            lambda: (lambda t, p: np.nansum((t - p) ** 2) / max(1, np.isfinite(t).sum()),),
        ),
    ],
    ch12.contributions_of: [("six orders", lambda: (orders,))],
    ch12.posterior: [
        ("a loop", lambda: (lambda p, t, s: ill(bayes(p, t, s)),)),
        (
            "one minus healthy",
            lambda: (lambda p, t, s: 1 - bayes(p, t, s)[0] / bayes(p, t, s).sum(),),
        ),
    ],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
