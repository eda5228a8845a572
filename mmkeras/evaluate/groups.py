"""Groups of people side by side: what a model says of each, and the gap between two of them.

Derived in chapter 22.
"""

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from ..arguments import (
    Arrays,
    check_codes,
    check_labels,
    check_positive,
    check_probabilities,
    check_threshold,
)
from .intervals import Intervals
from .tables import report

SHARES = ("selection_rate", "recall", "false_positive_rate", "precision")
MEASURES = (*SHARES, "roc_auc", "overestimate")


def by_group(
    y: Arrays,
    probabilities: Arrays,
    members: Arrays,
    *,
    threshold: float = 0.5,
    groups: Arrays | None = None,
    least: int = 10,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Six measures of a binary model in each group of people, each with its interval.

    `selection_rate` is the share of the rows that get the answer 1, `recall` (true positive rate)
    that of the rows of class 1, `false_positive_rate` that of the rows of class 0. `precision`
    (positive predictive value) is the share of class 1 among the rows that get the answer 1.
    `roc_auc` counts the pairs within the group. `overestimate` is the mean probability minus the
    share of class 1: calibration in the large, above 0 if the model says too much.

    Shares have Wilson's interval (1927), or with `groups` a bootstrap; the other two have a
    bootstrap (`mmkeras.evaluate.intervals`). A measure over fewer than `least` rows is NaN, since
    it would say more about these few people than about the model, and could reveal them.

    Args:
        y: int (n,), 0 or 1.
        probabilities: float (n,) or (n, 1), of class 1.
        members: (n,) labels of any kind: the group of people that the row belongs to.
        threshold: class 1 is answered from this probability on, from 0 to 1.
        groups: (n,) labels of any kind, such as patients, whose rows are drawn together; several
            seeds of a model may be stacked so. None: each row is drawn by itself.
        least: the smallest number of rows (or of different `groups` among them) in the denominator
            of a measure that is shown; for roc_auc in each of the two classes. Int from 1.
        confidence: coverage of each interval, between 0 and 1. For k numbers that are looked at,
            Bonferroni's correction is 1 - 0.05 / k.
        draws: number of bootstrap draws.
        seed: seed of the draws, int from 0.

    Returns:
        A table with index (group, measure) in sorted order of the groups, and columns value, low,
        high and `of`, the number of rows (or of `groups`) in the denominator.

    Raises:
        ValueError: an argument is not as described; the message names the value.
    """
    p = check_probabilities(probabilities)
    if p.ndim != 1:
        raise ValueError(f"by_group needs the probability of class 1, (n,); got shape {p.shape}")
    truth, cut = check_labels(y, len(p), 2), check_threshold(threshold)
    member = check_codes("members", members, len(p))
    unit = np.arange(len(p)) if groups is None else check_codes("groups", groups, len(p))
    check_positive("least", least)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95; got {confidence!r}")
    names = np.unique(np.asarray(members))
    rows: dict[tuple[Any, str], tuple[float, float, float, int]] = {}
    for code, name in enumerate(names):
        here = np.flatnonzero(member == code)
        drawn = None if groups is None else unit[here].tolist()
        intervals = Intervals(len(here), drawn, draws, seed, confidence)
        found = _measures(truth[here], p[here], cut, unit[here], intervals, least)
        rows |= {(name, measure): row for measure, row in found.items()}
    index = pd.MultiIndex.from_tuples(rows, names=["group", "measure"])
    return pd.DataFrame(list(rows.values()), index=index, columns=["value", "low", "high", "of"])


def _measures(
    y: np.ndarray, p: np.ndarray, cut: float, unit: np.ndarray, intervals: Intervals, least: int
) -> dict[str, tuple[float, float, float, int]]:
    """Measure → value, low, high and the size of its denominator, in one group."""
    said = p >= cut
    rows = {
        "selection_rate": (said, np.arange(len(y))),
        "recall": (said, np.flatnonzero(y == 1)),
        "false_positive_rate": (said, np.flatnonzero(y == 0)),
        "precision": (y == 1, np.flatnonzero(said)),
    }
    size = {name: len(np.unique(unit[among])) for name, (_, among) in rows.items()}
    found = {}
    for name, (right, among) in rows.items():
        enough = size[name] >= least
        value = float(right[among].mean()) if enough else math.nan
        found[name] = (value, *(intervals.share(right, among) if enough else (math.nan,) * 2))
    found["roc_auc"] = found["overestimate"] = (math.nan,) * 3
    size["roc_auc"] = min(size["recall"], size["false_positive_rate"])
    size["overestimate"] = size["selection_rate"]
    if size["roc_auc"] >= least:
        settings: dict[str, Any] = {"replicates": intervals.draws, "seed": intervals.seed}
        settings |= {"groups": intervals.groups, "confidence": intervals.confidence}
        found["roc_auc"] = tuple(report(y, p, metrics=["roc_auc"], **settings).iloc[0])
    if size["overestimate"] >= least:
        low, high = intervals.mean((p - y)[:, None])[:, 0]
        found["overestimate"] = (float((p - y).mean()), float(low), float(high))
    return {name: (*found[name], size[name]) for name in MEASURES}


def group_gap(table: pd.DataFrame, first: Hashable, second: Hashable) -> pd.DataFrame:
    """The measures of one group minus those of another, with intervals.

    The two groups share no row, so their errors are independent, and the distances of the limits
    from the values add as squares (Newcombe 1998; Zou & Donner 2008):
    low = d - √((v₁ - l₁)² + (u₂ - v₂)²), high = d + √((u₁ - v₁)² + (v₂ - l₂)²), where d = v₁ - v₂.

    Args:
        table: from `by_group`; its `confidence` is that of the gaps.
        first, second: two of its groups. No patient may have rows in both.

    Returns:
        A table with one row per measure and the columns difference, low and high; NaN where one of
        the groups is too small.

    Raises:
        KeyError: a group is not in the table; the message names those that are.
    """
    known = table.index.unique("group").tolist()
    for name in (first, second):
        if name not in known:
            raise KeyError(f"there is no group {name!r}; the table has {known}")
    one, other = table.loc[first], table.loc[second].reindex(table.loc[first].index)
    d = one["value"] - other["value"]
    down = np.hypot(one["value"] - one["low"], other["high"] - other["value"])
    up = np.hypot(one["high"] - one["value"], other["value"] - other["low"])
    return pd.DataFrame({"difference": d, "low": d - down, "high": d + up})
