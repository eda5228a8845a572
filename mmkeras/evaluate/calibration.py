"""Probabilities that can be trusted: the temperature that makes a model as sure as it is right.

Derived in chapter 09.
"""

import numpy as np
from scipy import optimize, special

from ..arguments import Arrays, check_labels, check_probabilities

FLOOR = 1e-7  # about the step of float32 below 1, where a sigmoid saturates
COLDEST, HOTTEST = 0.01, 100.0  # temperatures that are searched


def fit_temperature(y: Arrays, probabilities: Arrays) -> float:
    """The temperature that makes probabilities fit best (Guo 2017); above 1: they were too sure.

    It minimises the log loss, between 0.01 and 100, in which probabilities below 1e-7 count as
    1e-7. Fit it on validation rows: never on those that are tested, nor on those trained on.

    Args:
        y: int (n,).
        probabilities: (n,), (n, 1) or (n, classes).

    Raises:
        ValueError: input that is not as described.
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

    The predicted class stays (at threshold 0.5, in a binary problem), and so does the order of
    binary probabilities, and with it the AUC.

    Raises:
        ValueError: a temperature that is not a positive number, or what are not probabilities.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a positive number, got {temperature!r}")
    p = check_probabilities(probabilities)
    if p.ndim == 1:
        return special.expit(special.logit(p) / temperature).reshape(np.shape(probabilities))
    with np.errstate(divide="ignore"):  # a probability of 0 stays 0
        return special.softmax(np.log(p) / temperature, axis=1)
