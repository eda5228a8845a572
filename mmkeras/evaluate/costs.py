"""From probabilities to decisions: the threshold of least cost, and the benefit of a decision.

Derived in chapters 09 and 11.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..arguments import Arrays, check_labels, check_probabilities, check_threshold
from .tables import interval, resampled


def cost_threshold(false_positive: float, false_negative: float) -> float:
    """The probability from which on "positive" is the cheaper answer, if p is calibrated.

    It is false_positive / (false_positive + false_negative) (Elkan 2001), where right answers cost
    nothing. The costs may be in any unit.

    Raises:
        ValueError: a cost is negative or infinite, or both are 0.
    """
    costs = (false_positive, false_negative)
    if not np.isfinite(costs).all() or min(costs) < 0 or max(costs) == 0:
        raise ValueError(f"costs must be numbers from 0 up and not both 0, got {costs}")
    return false_positive / (false_positive + false_negative)


def expected_cost(
    y: Arrays,
    probabilities: Arrays,
    threshold: float,
    false_positive: float = 1,
    false_negative: float = 1,
) -> float:
    """Mean cost per row if class 1 is predicted from the threshold on; for binary problems only.

    Args and Raises: as for `best_threshold`; the threshold is from 0 to 1, or inf for never.
    """
    cost_threshold(false_positive, false_negative)  # checks the costs
    truth, p = _binary(y, probabilities)
    positive = p >= check_threshold(threshold)
    wrong = false_positive * (positive & ~truth) + false_negative * (~positive & truth)
    return float(wrong.mean())


def best_threshold(
    y: Arrays, probabilities: Arrays, false_positive: float = 1, false_negative: float = 1
) -> float:
    """The threshold with the smallest mean cost on these rows; choose it on validation rows.

    The candidates are 0 (always positive), the middles between neighbouring probabilities, and inf
    (never positive). Of equally cheap ones, the one nearest to `cost_threshold` is returned.

    Args:
        y: int (n,), 0 or 1.
        probabilities: float (n,) or (n, 1), of class 1.
        false_positive, false_negative: costs, from 0 up, not both 0.

    Raises:
        ValueError: an argument is not as described.
    """
    theory = cost_threshold(false_positive, false_negative)
    truth, p = _binary(y, probabilities)
    levels, place = np.unique(p, return_inverse=True)
    middles = (levels[:-1] + levels[1:]) / 2
    middles = np.where(middles > levels[:-1], middles, levels[1:])  # neighbours in floating point
    cuts = np.concatenate([[0.0], middles, [np.inf]])
    positives = np.bincount(place, truth, len(levels))
    negatives = np.bincount(place, ~truth, len(levels))
    missed = np.concatenate([[0], positives.cumsum()])
    alarms = negatives.sum() - np.concatenate([[0], negatives.cumsum()])
    costs = false_positive * alarms + false_negative * missed
    cheapest = cuts[np.isclose(costs, costs.min(), rtol=1e-12, atol=0)]
    return float(cheapest[np.abs(cheapest - theory).argmin()])


def net_benefit(
    y: Arrays,
    probabilities: Arrays,
    thresholds: Sequence[float],
    *,
    baseline: str | None = None,
    groups: Arrays | None = None,
    replicates: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Net benefit by threshold: the numbers of a decision curve (Vickers & Elkin 2006).

    To treat from probability t on implies that a false alarm is t / (1 - t) times as bad as a miss.
    Net benefit is the share of true positives minus t / (1 - t) times the share of false positives.
    "all" treats everybody; "none" treats nobody, and has a net benefit of 0.

    Args:
        y: int (n,), 0 or 1.
        probabilities: float (n,) or (n, 1), of class 1; or a dict model name → such an array. A
            single array has the name "model".
        thresholds: numbers from 0 up and below 1.
        baseline: a model, "all" or "none", which is subtracted on the same draws; None for nothing.
        groups: (n,) labels such as patients; all rows of a group are drawn together. None: each
            row is a group.
        replicates, confidence, seed: number of draws, coverage and seed of the bootstrap
            (percentile intervals).

    Returns:
        A table with columns value, low, high and index (model, threshold), with "all" and "none"
        after the models, and without the baseline.

    Raises:
        ValueError: an argument is not as described.
    """
    models = dict(probabilities) if isinstance(probabilities, Mapping) else {"model": probabilities}
    t = np.asarray(thresholds, dtype=float)
    if t.ndim != 1 or t.size == 0 or not ((t >= 0) & (t < 1)).all():
        raise ValueError(f"thresholds must be numbers from 0 up and below 1, got {thresholds!r}")
    if baseline is not None and baseline not in {*models, "all", "none"}:
        raise ValueError(f"baseline {baseline!r} must be 'all', 'none' or one of {list(models)}")
    gains = {}  # of each row, at each threshold
    for name, values in models.items():
        truth, p = _binary(y, values)
        gains[name] = (p[:, None] >= t) * np.where(truth[:, None], 1.0, -t / (1 - t))
    gains["all"] = np.where(truth[:, None], 1.0, -t / (1 - t))
    gains["none"] = np.zeros_like(gains["all"])
    less = gains.pop(baseline) if baseline else 0.0
    weights = np.concatenate(list(resampled(len(truth), groups, replicates, seed)))
    weights /= weights.sum(axis=1, keepdims=True)
    parts = {}
    for name, gain in gains.items():
        draws = weights @ (gain - less)
        limits = [interval(column, confidence) for column in draws.T]
        parts[name] = pd.DataFrame(limits, pd.Index(t), ["low", "high"])
        parts[name].insert(0, "value", (gain - less).mean(axis=0))
    return pd.concat(parts, names=["model", "threshold"])


def _binary(y: Arrays, probabilities: Arrays) -> tuple[np.ndarray, np.ndarray]:
    p = check_probabilities(probabilities)
    if p.ndim > 1:
        raise ValueError(f"probabilities must be (n,) or (n, 1) of class 1, got shape {p.shape}")
    return check_labels(y, len(p), 2) == 1, p
