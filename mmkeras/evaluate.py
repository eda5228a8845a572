"""Evaluation: tables of metrics with intervals, comparisons, calibration, thresholds, folds.

Everything works on arrays of labels and probabilities, whatever model they come from. Labels `y`
are ints (n,). Probabilities are floats from 0 to 1: (n,) or (n, 1) of class 1 for a binary problem,
(n, classes) with rows that sum to 1 for a multi-class one; or a dict model name → such an array.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold

from .importance import (
    ablation,
    apply_temperature,
    best_threshold,
    check_codes,
    check_labels,
    check_positive,
    cost_threshold,
    expected_cost,
    fit_temperature,
    permutation_importance,
    shapley,
    subsets,
)
from .metrics import METRICS, Answers, answers, expected_calibration_error, metric_names

__all__ = [
    "METRICS",
    "ablation",
    "answers",
    "apply_temperature",
    "best_threshold",
    "compare",
    "cost_threshold",
    "delong",
    "expected_calibration_error",
    "expected_cost",
    "fit_temperature",
    "folds",
    "mcnemar",
    "permutation_importance",
    "report",
    "shapley",
    "subsets",
]

Arrays = Any  # array-like: an array, a list, a pandas Series
BLOCK = 2_000_000  # weights of the bootstrap that are in memory at a time


# ------------------------------------------------------------------------------ tables


def report(
    y: Arrays,
    probabilities: Arrays,
    *,
    threshold: float | Mapping[str, float] = 0.5,
    groups: Arrays | None = None,
    metrics: Sequence[str] | None = None,
    replicates: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Metrics of one or several models, each with a bootstrap interval (Efron 1979; percentile).

    Multi-class precision, recall, specificity, f1, roc_auc and average_precision are means over
    the classes, each against the rest. The Brier score is the mean squared error of the
    probability of class 1, or the sum of that over all classes (Brier 1950; from 0 to 2). The
    calibration error is that of `expected_calibration_error`; resampling adds to it, so its
    interval tends to lie high. What would divide zero by zero is NaN: the precision when nothing
    is predicted positive, the AUC with one class only. A replicate in which a metric is NaN is left
    out of that interval, which is NaN too when over half of them are.

    Args:
        y: int (n,), 0 or 1, or 0 to classes - 1.
        probabilities: (n,), (n, 1) or (n, classes), or a dict model name → such an array. Two
            columns count as two classes of equal rank; for a positive class pass `p[:, 1]`.
        threshold: predict class 1 from here on, 0 to 1 (or inf for never), for all models or a
            dict model name → threshold. Multi-class predictions are the most probable class.
        groups: (n,) labels of any kind, such as patients; all rows of one are drawn together. None:
            each row for itself.
        metrics: some of `METRICS`, in the order wanted; None for all.
        replicates: number of bootstrap draws; all models see the same ones.
        confidence: coverage of the interval, between 0 and 1.
        seed: of the draws.

    Returns:
        Columns value, low, high; index (model, metric), or metric alone for a single array.

    Raises:
        ValueError: input that is not as described; the message names the value.
    """
    models = answers(y, probabilities, threshold)
    names = metric_names(metrics)
    draws = _bootstrap(models, names, groups, replicates, seed)
    rows = {}
    for i, (model, a) in enumerate(models.items()):
        for j, name in enumerate(names):
            value = METRICS[name].value(a)
            rows[model, name] = (value, *_interval(draws[i, j], confidence))
    table = _table(rows, ["value", "low", "high"])
    return table if isinstance(probabilities, Mapping) else table.droplevel("model")


def compare(
    y: Arrays,
    probabilities: Mapping[str, Arrays],
    baseline: str,
    *,
    threshold: float | Mapping[str, float] = 0.5,
    groups: Arrays | None = None,
    metrics: Sequence[str] | None = None,
    replicates: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Every model minus the baseline, metric by metric, on the same bootstrap draws.

    Args: as for `report`; `baseline` is one of the model names.

    Returns:
        Columns difference, low, high, and p: two-sided, twice the smaller share of draws on either
        side of 0, with one added to both counts, so that it is never 0 (Davison & Hinkley 1997).
        Index (model, metric), without the baseline.

    Raises:
        ValueError: no such baseline, nothing to compare it with, or what `report` refuses.
    """
    if not isinstance(probabilities, Mapping) or baseline not in probabilities:
        known = list(probabilities) if isinstance(probabilities, Mapping) else "a single array"
        raise ValueError(f"baseline {baseline!r} must be a key of probabilities, which is {known}")
    if len(probabilities) < 2:
        raise ValueError(f"there is no model to compare with the baseline {baseline!r}")
    models = answers(y, probabilities, threshold)
    names = metric_names(metrics)
    draws = _bootstrap(models, names, groups, replicates, seed)
    base = list(models).index(baseline)
    rows = {}
    for i, (model, a) in enumerate(models.items()):
        for j, name in enumerate(names if i != base else ()):
            value = METRICS[name].value(a) - METRICS[name].value(models[baseline])
            gaps = draws[i, j] - draws[base, j]
            rows[model, name] = (value, *_interval(gaps, confidence), _two_sided(gaps))
    return _table(rows, ["difference", "low", "high", "p"])


def _table(rows: Mapping[tuple[str, str], tuple[float, ...]], columns: list[str]) -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples(rows, names=["model", "metric"])
    return pd.DataFrame(list(rows.values()), index=index, columns=columns)


def _bootstrap(
    models: Mapping[str, "Answers"],
    names: Sequence[str],
    groups: Arrays | None,
    replicates: int,
    seed: int,
) -> np.ndarray:
    """Every metric of every model in every draw: float (models, metrics, replicates)."""
    check_positive("replicates", replicates)
    n = next(iter(models.values())).y.size
    member = np.arange(n) if groups is None else check_codes("groups", groups, n)
    count = member.max() + 1
    if groups is not None and count < 2:
        raise ValueError("groups must hold at least two different labels to be drawn from")
    rng = np.random.default_rng(seed)
    draws = np.empty((len(models), len(names), replicates))
    step = max(1, BLOCK // n)
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        times = rng.multinomial(count, np.full(count, 1 / count), size=size)
        weights = times.astype(float)[:, member]
        for i, model in enumerate(models.values()):
            for j, name in enumerate(names):
                draws[i, j, start : start + size] = METRICS[name].weighted(model, weights)
    return draws


def _interval(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95; got {confidence!r}")
    defined = draws[~np.isnan(draws)]
    if 2 * len(defined) < len(draws):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _two_sided(gaps: np.ndarray) -> float:
    defined = gaps[~np.isnan(gaps)]
    if 2 * len(defined) < len(gaps):
        return np.nan
    smaller = min((defined <= 0).sum(), (defined >= 0).sum())
    return min(1.0, 2 * (smaller + 1) / (len(defined) + 1))


# ------------------------------------------------------------------------------ two models


class McNemar(NamedTuple):
    """Rows that only the first, or only the second model has right; two-sided p."""

    first_only: int
    second_only: int
    p: float


def mcnemar(y: Arrays, first: Arrays, second: Arrays) -> McNemar:
    """Exact test of two models' predicted classes on the same rows (McNemar 1947, binomial form).

    y, first, second: int (n,). Rows must be independent: with several a patient, use `compare` with
    groups. Where the models never disagree p is 1.

    Raises:
        ValueError: empty, or not of one length.
    """
    truth = check_labels(y)
    one = check_labels(first, truth.size, what="first") == truth
    other = check_labels(second, truth.size, what="second") == truth
    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    p = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    return McNemar(wins, losses, float(p))


class DeLong(NamedTuple):
    """Two AUCs, first - second, its standard error, confidence limits and two-sided p."""

    first: float
    second: float
    difference: float
    se: float
    low: float
    high: float
    p: float


def delong(y: Arrays, first: Arrays, second: Arrays, *, confidence: float = 0.95) -> DeLong:
    """Do two models differ in AUC on the same rows (DeLong, DeLong & Clarke-Pearson 1988)?

    By midranks, as fast as sorting (Sun & Xu 2014). Rows must be independent: with several a
    patient, use `compare` with groups. Without any spread (se 0) p is 1 for equal AUCs, else NaN.

    Args:
        y: int (n,), 0 or 1, at least two of each.
        first, second: probabilities of class 1, (n,) or (n, 1).
        confidence: coverage of the limits, between 0 and 1.

    Raises:
        ValueError: input that is not as described.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95; got {confidence!r}")
    pair = answers(y, {"first": first, "second": second})
    a = pair["first"]
    truth = a.truth[0]
    m, n = int(truth.sum()), int((~truth).sum())
    if not a.binary or min(m, n) < 2:
        raise ValueError(
            "delong needs a binary problem with at least two rows of each class, "
            f"got {m} of class 1 and {n} of the rest in {len(a.scores)} column(s)"
        )
    scores = np.concatenate([model.scores for model in pair.values()])
    ranks = stats.rankdata(scores, axis=1)
    of_positives = (ranks[:, truth] - stats.rankdata(scores[:, truth], axis=1)) / n
    of_negatives = 1 - (ranks[:, ~truth] - stats.rankdata(scores[:, ~truth], axis=1)) / m
    auc = of_positives.mean(axis=1)
    covariance = np.cov(of_positives) / m + np.cov(of_negatives) / n
    contrast = np.array([1, -1])
    gap, se = float(contrast @ auc), float(np.sqrt(max(0, contrast @ covariance @ contrast)))
    width = stats.norm.ppf((1 + confidence) / 2) * se
    p = float(2 * stats.norm.sf(abs(gap) / se)) if se > 0 else 1.0 if gap == 0 else np.nan
    return DeLong(float(auc[0]), float(auc[1]), gap, se, gap - width, gap + width, p)


# ------------------------------------------------------------------------------ folds


def folds(
    y: Arrays,
    *,
    k: int = 5,
    repeats: int = 1,
    groups: Arrays | None = None,
    leave_out: Arrays | None = None,
    seed: int = 0,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to train and to test on, fold by fold: cross-validation (Stone 1974).

    Stratified by class. With `groups` no group is on both sides, and classes are balanced as well
    as whole groups allow. With `leave_out` there is one fold for each of its labels, in sorted
    order, tested on that label and trained on all others; k and seed then do nothing.

    Args:
        y: (n,) class labels of any kind.
        k: number of folds, at least 2.
        repeats: how often all is dealt out anew; k * repeats folds come back.
        groups: (n,) labels such as patients.
        leave_out: (n,) labels such as hospitals. A group that is seen in several hospitals is left
            out of training where it is tested.
        seed: of the shuffling.

    Returns:
        List of (train, test), each an int array of row numbers.

    Raises:
        ValueError: k below 2 or above the rows (groups) of the smallest class, one label to leave
            out, a side left empty, arrays of different lengths.
    """
    classes = check_codes("y", y, len(y))
    member = np.arange(len(y)) if groups is None else check_codes("groups", groups, len(y))
    check_positive("repeats", repeats)
    if leave_out is not None:
        if repeats != 1:
            raise ValueError(f"leave_out knows one division only, so repeats={repeats} must be 1")
        return _leave_one_out(check_codes("leave_out", leave_out, len(y)), member)
    check_positive("k", k)
    units = [len(np.unique(member[classes == c])) for c in range(classes.max() + 1)]
    if not 2 <= k <= min(units):
        what = "rows" if groups is None else "groups"
        smallest = np.asarray(y)[classes == np.argmin(units)][0]
        raise ValueError(
            f"k must be at least 2 and at most {min(units)}, the number of {what} of class "
            f"{smallest}; got {k}"
        )
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    state = np.random.RandomState(seed)
    splits = []
    for _ in range(repeats):
        splitter = kind(k, shuffle=True, random_state=state)
        splits += list(
            splitter.split(classes[:, None], classes, None if groups is None else member)
        )
    if not all(len(test) for _, test in splits):
        raise ValueError(f"k={k} leaves a fold without a group; use fewer folds or another seed")
    return splits


def _leave_one_out(site: np.ndarray, member: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    if site.max() == 0:
        raise ValueError("leave_out must hold at least two different labels")
    splits = []
    for train, test in LeaveOneGroupOut().split(site[:, None], groups=site):
        train = train[~np.isin(member[train], member[test])]
        if len(train) == 0:
            raise ValueError("leave_out leaves no row to train on: its labels share all groups")
        splits.append((train, test))
    return splits
