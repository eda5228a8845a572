"""Probabilities that can be trusted: temperature, the calibration line, recalibration.

Derived in chapter 09.
"""

import numpy as np
import pandas as pd
from scipy import optimize, special

from ..arguments import Arrays, check_labels, check_probabilities
from .tables import interval, resampled

FLOOR = 1e-7  # about the step of float32 below 1, where a sigmoid saturates
COLDEST, HOTTEST = 0.01, 100.0  # temperatures that are searched


def fit_temperature(y: Arrays, probabilities: Arrays) -> float:
    """The temperature that makes the probabilities fit best (Guo 2017).

    Above 1, the probabilities were too extreme. The temperature minimises the log loss between 0.01
    and 100, and probabilities below 1e-7 count as 1e-7. Fit it on validation rows, never on test
    rows nor on training rows.

    Args:
        y: int (n,).
        probabilities: float (n,), (n, 1) or (n, classes).

    Raises:
        ValueError: an argument is not as described.
    """
    p = check_probabilities(probabilities)
    columns = np.stack([1 - p, p], axis=1) if p.ndim == 1 else p
    truth = check_labels(y, len(p), columns.shape[1])
    logs = np.log(np.maximum(columns, FLOOR))

    def loss(log_temperature: float) -> float:
        logits = logs / np.exp(log_temperature)
        return -special.log_softmax(logits, axis=1)[np.arange(len(p)), truth].mean()

    bounds = np.log([COLDEST, HOTTEST])
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x))


def apply_temperature(probabilities: Arrays, temperature: float) -> np.ndarray:
    """Probabilities whose logits are divided by the temperature: float64, of the same shape.

    The predicted class stays the same (in a binary problem at threshold 0.5), and so does the order
    of binary probabilities, and with it the AUC.

    Raises:
        ValueError: the temperature is not a positive number, or the probabilities are invalid.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a positive number, got {temperature!r}")
    p = check_probabilities(probabilities)
    if p.ndim == 1:
        return special.expit(special.logit(p) / temperature).reshape(np.shape(probabilities))
    with np.errstate(divide="ignore"):  # a probability of 0 stays 0
        return special.softmax(np.log(p) / temperature, axis=1)


def calibration_line(
    y: Arrays,
    probabilities: Arrays,
    *,
    groups: Arrays | None = None,
    replicates: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Calibration intercept and slope of a binary problem (Cox 1958), each with its interval.

    The slope is b in logit P(y = 1) = a + b logit p, fitted by maximum likelihood; if it is below
    1, the probabilities are too extreme. The intercept is a with b held at 1 (calibration in the
    large); if it is above 0, the probabilities are too low on average. Perfect calibration has
    slope 1 and intercept 0.

    Args:
        y: int (n,), 0 or 1; both must occur.
        probabilities: float (n,) or (n, 1), of class 1; below 1e-7 they count as 1e-7.
        groups: (n,) labels such as patients; all rows of a group are drawn together. None: each
            row is a group.
        replicates, confidence, seed: number of draws, coverage and seed of the bootstrap
            (percentile intervals). Draws of one class and draws in which the probabilities separate
            the classes are left out; if they are more than half of all draws, the interval is NaN.

    Returns:
        A table with index intercept, slope and columns value, low, high.

    Raises:
        ValueError: an argument is not as described, or the probabilities separate the classes or
            are all the same.
    """
    truth, x = _line(y, probabilities)
    weights = np.concatenate([np.ones((1, len(x))), *resampled(len(x), groups, replicates, seed)])
    values = {
        "intercept": _logistic(truth, x, weights, slope=False)[0],
        "slope": _logistic(truth, x, weights)[1],
    }
    if np.isnan(values["slope"][0]):
        raise ValueError(
            "probabilities must overlap between the classes, and must not be all the same"
        )
    rows = {name: (v[0], *interval(v[1:], confidence)) for name, v in values.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])


def recalibrate(y: Arrays, probabilities: Arrays, new: Arrays, *, slope: bool = True) -> np.ndarray:
    """Probabilities for new rows of a place, corrected by labelled rows of the same place.

    The function fits logit P(y = 1) = a + b logit p on the labelled rows (Cox 1958; Steyerberg
    2004) and applies it to the new ones. If b > 0 their order stays the same, and so does the AUC.

    Args:
        y: int (n,), 0 or 1, of the labelled rows; both must occur.
        probabilities: float (n,) or (n, 1), what the model predicts for the labelled rows.
        new: float (m,) or (m, 1), what the model predicts for the new rows.
        slope: whether to fit b, too; False holds it at 1, which needs fewer rows.

    Returns:
        float64, of the shape of `new`.

    Raises:
        ValueError: as for `calibration_line`.
    """
    truth, x = _line(y, probabilities)
    a, b = (value[0] for value in _logistic(truth, x, np.ones((1, len(x))), slope=slope))
    if np.isnan(b):
        raise ValueError(
            f"the {len(x)} probabilities separate the classes, or are all the same, so a slope "
            "cannot be fitted; use more rows, or slope=False"
        )
    asked = check_probabilities(new)
    if asked.ndim > 1:
        raise ValueError(f"new must be (m,) or (m, 1) of class 1, got shape {asked.shape}")
    return special.expit(a + b * _logit(asked)).reshape(np.shape(new))


def _line(y: Arrays, probabilities: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits of a binary problem in which both classes occur."""
    p = check_probabilities(probabilities)
    if p.ndim > 1:
        raise ValueError(f"probabilities must be (n,) or (n, 1) of class 1, got shape {p.shape}")
    truth = check_labels(y, len(p), 2)
    if truth.min() == truth.max():
        raise ValueError(f"y must hold both classes, but all {len(p)} rows are of class {truth[0]}")
    return truth, _logit(p)


def _logit(p: np.ndarray) -> np.ndarray:
    return special.logit(np.clip(p, FLOOR, 1 - FLOOR))


def _logistic(
    y: np.ndarray, x: np.ndarray, weights: np.ndarray, *, slope: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """a and b of logit P = a + b x by Newton's method, for each row of weights (replicates, n).

    Both are NaN where no finite maximum is reached. Without `slope`, b stays at 1.
    """
    a, b = np.zeros(len(weights)), np.full(len(weights), 0.5 if slope else 1.0)
    step = np.full((2, len(weights)), np.inf)
    for _ in range(50):
        p = special.expit(a[:, None] + b[:, None] * x)
        curve, off = weights * p * (1 - p), weights * (y - p)
        g0, g1 = off.sum(axis=1), off @ x
        h00, h01, h11 = curve.sum(axis=1), curve @ x, curve @ x**2
        with np.errstate(divide="ignore", invalid="ignore"):
            if slope:
                step = np.stack([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0]) / (h00 * h11 - h01**2)
            else:
                step = np.stack([g0 / h00, np.zeros(len(weights))])
        step = np.clip(step, -2, 2)
        a, b = a + step[0], b + step[1]
        if not (np.abs(step) > 1e-10).any():
            break
    lost = ~(np.abs(step).max(axis=0) < 1e-6)
    return np.where(lost, np.nan, a), np.where(lost, np.nan, b)
