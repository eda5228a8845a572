"""Two models on the same rows: mean difference, McNemar's test, and DeLong's test of AUCs.

The module also has Holm's correction for several tests.

Derived in chapter 03 (the mean difference) and chapter 09.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from ..arguments import Arrays, check_codes, check_labels, check_positive
from .metrics import answers


class Difference(NamedTuple):
    """The mean of first - second, and its confidence limits."""

    difference: float
    low: float
    high: float


def paired_difference(
    first: Arrays,
    second: Arrays,
    groups: Arrays | None = None,
    *,
    comparisons: int = 1,
    confidence: float = 0.95,
) -> Difference:
    """The mean of first - second over the same rows, with a confidence interval.

    Deviations from the mean are added up within each group before they are squared, so the rows of
    a group may depend on each other (Liang & Zeger 1986). The limits are those of a normal
    distribution, which needs a few dozen groups. `compare` does the same for any metric by
    resampling.

    Args:
        first, second: (n,) numbers, such as right (1) or wrong (0) for each row.
        groups: (n,) labels of any kind, such as patients. None: each row is a group.
        comparisons: the number of differences that were examined, here and elsewhere (Bonferroni).
        confidence: coverage of all these intervals together, between 0 and 1.

    Raises:
        ValueError: the lengths differ, a number is not finite, or there are fewer than two groups.
    """
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.ndim != 1 or one.shape != other.shape or not np.isfinite([one, other]).all():
        raise ValueError(
            f"first and second must be (n,) finite numbers, got {one.shape} and {other.shape}"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95; got {confidence!r}")
    check_positive("comparisons", comparisons)
    n = one.size
    member = np.arange(n) if groups is None else check_codes("groups", groups, n)
    gaps = one - other
    count = len(np.unique(member))
    if count < 2:
        raise ValueError(f"an interval needs at least two rows or groups, got {count}")
    sums = np.bincount(member, gaps - gaps.mean())  # one per group
    error = np.sqrt(count / (count - 1) * (sums**2).sum()) / n
    width = stats.norm.isf((1 - confidence) / (2 * comparisons)) * error
    mean = gaps.mean()
    return Difference(float(mean), float(mean - width), float(mean + width))


class McNemar(NamedTuple):
    """Number of rows that only the first or only the second model predicts right; two-sided p."""

    first_only: int
    second_only: int
    p: float


def mcnemar(y: Arrays, first: Arrays, second: Arrays) -> McNemar:
    """Exact test of two models' predicted classes on the same rows (McNemar 1947, binomial form).

    Rows must be independent: if there are several per patient, use `compare` with groups. If the
    models never disagree, p is 1.

    Args:
        y: int (n,), the true classes.
        first, second: int (n,), the predicted classes.

    Raises:
        ValueError: the arrays are empty, or their lengths differ.
    """
    truth = check_labels(y)
    one = check_labels(first, truth.size, what="first") == truth
    other = check_labels(second, truth.size, what="second") == truth
    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    p = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    return McNemar(wins, losses, float(p))


class DeLong(NamedTuple):
    """Two AUCs and their difference, with its standard error, confidence limits, two-sided p."""

    first: float
    second: float
    difference: float
    se: float
    low: float
    high: float
    p: float


def delong(y: Arrays, first: Arrays, second: Arrays, *, confidence: float = 0.95) -> DeLong:
    """Do two models differ in AUC on the same rows (DeLong, DeLong & Clarke-Pearson 1988)?

    The test uses midranks, which is as fast as sorting (Sun & Xu 2014). Rows must be independent:
    if there are several per patient, use `compare` with groups. If the standard error is 0, p is 1
    for equal AUCs, else NaN.

    Args:
        y: int (n,), 0 or 1, at least two of each.
        first, second: float (n,) or (n, 1), probabilities of class 1.
        confidence: coverage of the limits, between 0 and 1.

    Raises:
        ValueError: an argument is not as described.
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


def holm(p: Arrays) -> np.ndarray:
    """p-values of k tests, corrected for their number (Holm 1979).

    The smallest p-value is multiplied by k, the next by k - 1, and so on; none may be smaller than
    the one before it, nor larger than 1. If all k differences are due to chance, the smallest falls
    below 0.05 in at most 5% of all cases. The correction finds every difference that Bonferroni's
    factor k finds, and sometimes more.

    Args:
        p: float (k,), from 0 to 1: those of all tests that were made, not only of the successful
            ones.

    Returns:
        float64 (k,), in the same order.

    Raises:
        ValueError: p is empty, does not have one dimension, or is not from 0 to 1.
    """
    values = np.asarray(p, dtype=float)
    if values.ndim != 1 or values.size == 0 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p must be (k,) numbers from 0 to 1, got {p!r}")
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    corrected = np.minimum(1, np.maximum.accumulate(values[order] * factors))
    return corrected[np.argsort(order)]
