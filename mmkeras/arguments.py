"""Checks of arguments that several modules share.

Each returns the value in its plain form, or raises a ValueError that names the argument (`what`),
what was expected, and what was given.
"""

import operator
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd

Arrays = Any  # array-like: an array, a list, a pandas Series
Choice = TypeVar("Choice")


def check_probabilities(probabilities: Arrays, what: str = "probabilities") -> np.ndarray:
    """The probabilities as float64, (n,) for a binary problem or (n, classes).

    Values that rounding has put beyond 0 or 1, by at most 1e-6, are clipped. Rows of several
    classes must sum to 1 within 0.001.
    """
    p = np.asarray(probabilities, dtype=float)
    if p.ndim == 2 and p.shape[1] == 1:
        p = p[:, 0]
    if p.ndim not in (1, 2) or p.size == 0:
        raise ValueError(
            f"{what} must be (n,), (n, 1) or (n, classes), not empty; got shape {p.shape}"
        )
    wrong = np.argwhere(~((p >= -1e-6) & (p <= 1 + 1e-6)))  # NaN is wrong too
    if len(wrong):
        raise ValueError(
            f"{what} must lie between 0 and 1, got {p[tuple(wrong[0])]} in row {wrong[0][0]}"
        )
    sums = p.sum(axis=1) if p.ndim == 2 else np.ones(len(p))
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > 1e-3:
        raise ValueError(f"each row of {what} must sum to 1, but row {worst} sums to {sums[worst]}")
    return np.clip(p, 0, 1)


def check_labels(
    y: Arrays, n: int | None = None, classes: int | None = None, what: str = "y"
) -> np.ndarray:
    """The labels as int (n,), from 0 to classes - 1; `n` and `classes` are checked where given."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"{what} must be (n,) and not empty, got shape {labels.shape}")
    if labels.dtype.kind not in "biuf" or not _whole(labels):
        raise ValueError(f"{what} must be whole numbers, got {labels[:3].tolist()} …")
    if n is not None and labels.size != n:
        raise ValueError(f"{what} has {labels.size} rows, but there are {n}")
    bad = (labels < 0) | (labels >= classes) if classes else np.zeros(labels.size, bool)
    if bad.any():
        raise ValueError(
            f"{what} must be from 0 to {(classes or 0) - 1}, got {labels[bad][0]} in row "
            f"{bad.argmax()}"
        )
    return labels.astype(int)


def _whole(numbers: np.ndarray) -> bool:
    return bool(np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all())


def check_codes(what: str, labels: Arrays, n: int) -> np.ndarray:
    """Labels of any kind as codes, int (n,): 0 for the smallest label, 1 for the next, and so on.

    None of them may be missing.
    """
    values = np.asarray(labels)
    if values.shape != (n,) or n == 0:
        raise ValueError(
            f"{what} must be of shape ({n},), one label per row, and not empty; "
            f"got shape {values.shape}"
        )
    codes = pd.factorize(values, sort=True)[0]
    if (codes < 0).any():
        raise ValueError(f"{what} has no label in row {(codes < 0).argmax()}")
    return codes


def check_threshold(threshold: float) -> float:
    """The threshold as a float from 0 to 1, or inf, with which class 1 is never predicted."""
    if not (0 <= threshold <= 1 or threshold == np.inf):
        raise ValueError(f"threshold must be from 0 to 1, or inf for never; got {threshold!r}")
    return float(threshold)


def check_integer(what: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """The value as a Python int from `least` to `most`; it may be of any integer type but bool."""
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or (most is not None and number > most):
        span = f"an integer from {least}" + ("" if most is None else f" to {most}")
        kind = "a positive integer" if (least, most) == (1, None) else span
        raise ValueError(f"{what} must be {kind}, got {value!r}")
    return number


def check_positive(what: str, value: Any) -> int:
    """The value as a Python int of at least 1; see `check_integer`."""
    return check_integer(what, value)


def check_seed(seed: int, what: str = "seed") -> int:
    """The seed as an int from 0 to 2³² - 1, the range that both NumPy and TensorFlow accept."""
    return check_integer(what, seed, least=0, most=2**32 - 1)


def check_share(what: str, value: float) -> float:
    """The value as a float of at least 0 and below 1; NaN is refused."""
    if not 0 <= value < 1:
        raise ValueError(f"{what} must be at least 0 and less than 1, got {value!r}")
    return float(value)


def choose(what: str, name: str, known: Mapping[str, Choice], also: str = "") -> Choice:
    """The entry of `known` that the user chose by `name`; `also` ends the message of the error."""
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; choose {', '.join(map(repr, known))}{also}")
    return known[name]


def check_name(what: str, name: str) -> str:
    """The name, if Keras can give it to a layer: TensorFlow's scopes, made of it, must be ASCII."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.-]*", name):
        raise ValueError(
            f"{what} must be made of the letters A to Z, digits, '_', '-' and '.', and not begin "
            f"with '_' or '-', got {name!r}; Keras could build it, but not run or export it"
        )
    return name
