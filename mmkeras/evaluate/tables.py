"""Tables of metrics with bootstrap intervals, for each model and for differences.

Derived in chapter 09.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ..arguments import Arrays, check_codes, check_positive
from .metrics import METRICS, Answers, answers, metric_names

BLOCK = 200_000  # weights of the bootstrap in memory at a time, few enough for the cache


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
    probability of class 1, or the sum of such errors over all classes (Brier 1950; from 0 to 2).
    The calibration error is that of `expected_calibration_error`; resampling increases it, so its
    interval tends to lie too high. Zero divided by zero is NaN, such as the precision if no row is
    predicted positive, or the AUC of one class. Replicates in which a metric is NaN are left out of
    its interval, which is NaN, too, if they are more than half of all.

    Args:
        y: int (n,), 0 or 1, or 0 to classes - 1.
        probabilities: float (n,), (n, 1) or (n, classes), or a dict model name → such an array. Two
            columns count as two classes of equal rank; for a positive class pass `p[:, 1]`.
        threshold: class 1 is predicted from this probability on, 0 to 1 (or inf for never); one
            number for all models, or a dict model name → threshold. In a multi-class problem the
            most probable class is predicted.
        groups: (n,) labels of any kind, such as patients; all rows of a group are drawn together.
            None: each row is a group.
        metrics: some of `METRICS`, in the order wanted; None for all.
        replicates: number of bootstrap draws, which are the same for all models.
        confidence: coverage of the interval, between 0 and 1.
        seed: seed of the draws, int from 0.

    Returns:
        A table with columns value, low, high and index (model, metric), or metric alone for a
        single array.

    Raises:
        ValueError: an argument is not as described; the message names the value.
    """
    models = answers(y, probabilities, threshold)
    table = of_answers(
        models, metrics, groups=groups, replicates=replicates, confidence=confidence, seed=seed
    )
    return table if isinstance(probabilities, Mapping) else table.droplevel("model")


def of_answers(
    models: Mapping[str, Answers],
    metrics: Sequence[str] | None = None,
    *,
    groups: Arrays | None = None,
    replicates: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """As `report`, for checked answers; their scores are not copied, and keep their dtype.

    Args and Returns: as for `report`, with index (model, metric).
    """
    names = metric_names(metrics)
    draws = _bootstrap(models, names, groups, replicates, seed)
    rows = {}
    for i, (model, a) in enumerate(models.items()):
        for j, name in enumerate(names):
            value = METRICS[name].value(a)
            rows[model, name] = (value, *interval(draws[i, j], confidence))
    return _table(rows, ["value", "low", "high"])


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
    comparisons: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Every model minus the baseline, metric by metric, on the same bootstrap draws.

    Args: as for `report`; `baseline` is one of the model names.
        comparisons: the number of differences that were examined, here and elsewhere. With
            Bonferroni's correction, each interval covers 1 - (1 - confidence) / comparisons, and
            p is multiplied by this number. With more than a few, use 10,000 `replicates`.

    Returns:
        A table with columns difference, low, high and p, and index (model, metric), without the
        baseline. p is two-sided: twice the smaller share of draws on either side of 0, with one
        added to both counts, so that it is never 0 (Davison & Hinkley 1997).

    Raises:
        ValueError: the baseline is not a model, there is no other model, or `report` refuses an
            argument.
    """
    if not isinstance(probabilities, Mapping) or baseline not in probabilities:
        known = list(probabilities) if isinstance(probabilities, Mapping) else "a single array"
        raise ValueError(f"baseline {baseline!r} must be a key of probabilities, which is {known}")
    if len(probabilities) < 2:
        raise ValueError(f"there is no model to compare with the baseline {baseline!r}")
    models = answers(y, probabilities, threshold)
    names = metric_names(metrics)
    check_positive("comparisons", comparisons)
    confidence = 1 - (1 - confidence) / comparisons
    draws = _bootstrap(models, names, groups, replicates, seed)
    base = list(models).index(baseline)
    rows = {}
    for i, (model, a) in enumerate(models.items()):
        for j, name in enumerate(names if i != base else ()):
            value = METRICS[name].value(a) - METRICS[name].value(models[baseline])
            gaps = draws[i, j] - draws[base, j]
            p = min(1.0, comparisons * _two_sided(gaps))
            rows[model, name] = (value, *interval(gaps, confidence), p)
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
    draws = np.empty((len(models), len(names), replicates))
    start = 0
    for weights in resampled(n, groups, replicates, seed):
        for i, model in enumerate(models.values()):
            for j, name in enumerate(names):
                draws[i, j, start : start + len(weights)] = METRICS[name].weighted(model, weights)
        start += len(weights)
    return draws


def resampled(n: int, groups: Arrays | None, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n rows is drawn: blocks of float (some replicates, n), one after another.

    Raises:
        ValueError: replicates is below 1, or groups does not have n labels of two or more kinds.
    """
    check_positive("replicates", replicates)
    member = np.arange(n) if groups is None else check_codes("groups", groups, n)
    count = member.max() + 1
    if groups is not None and count < 2:
        raise ValueError("groups must hold at least two different labels to be drawn from")
    rng = np.random.default_rng(seed)
    step = max(1, BLOCK // n)
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        times = rng.multinomial(count, np.full(count, 1 / count), size=size)
        yield times.astype(float)[:, member]


def interval(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """The percentile interval of these draws without NaN; NaN if more than half of them are NaN.

    Raises:
        ValueError: confidence is not between 0 and 1.
    """
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
