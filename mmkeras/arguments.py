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
    """Float64 (n,) for a binary problem, or (n, classes); rounding beyond 0 and 1 is cut off.

    Rows of several classes must sum to 1 within 0.001.
    """
    p = np.asarray(probabilities, dtype=float)
    if p.ndim == 2 and p.shape[1] == 1:
        p = p[:, 0]
    if p.ndim not in (1, 2) or p.size == 0:
        raise ValueError(f"{what} must be (n,), (n, 1) or (n, classes), not empty; got {p.shape}")
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
    """Int (n,), from 0 to classes - 1; as long as `n` says, if it is given."""
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
    """Int (n,): numbers of labels of any kind, in sorted order."""
    values = np.asarray(labels)
    if values.shape != (n,) or n == 0:
        raise ValueError(
            f"{what} must be of shape ({n},), one label per row, and not empty; got {values.shape}"
        )
    codes = pd.factorize(values, sort=True)[0]
    if (codes < 0).any():
        raise ValueError(f"{what} has no label in row {(codes < 0).argmax()}")
    return codes


def check_threshold(threshold: float) -> float:
    """A float from 0 to 1, or inf: never predict class 1."""
    if not (0 <= threshold <= 1 or threshold == np.inf):
        raise ValueError(f"threshold must be from 0 to 1, or inf for never; got {threshold!r}")
    return float(threshold)


def check_integer(what: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """A Python int from `least` to `most`, of any integer type (int, NumPy's, …), but no bool."""
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
    """As `check_integer`: 1 or more."""
    return check_integer(what, value)


def check_seed(seed: int, what: str = "seed") -> int:
    """An integer from 0 to 2³² - 1, what NumPy and TensorFlow can be seeded with."""
    return check_integer(what, seed, least=0, most=2**32 - 1)


def check_share(what: str, value: float) -> float:
    """At least 0 and below 1; NaN is wrong too."""
    if not 0 <= value < 1:
        raise ValueError(f"{what} must be at least 0 and less than 1, got {value!r}")
    return float(value)


def choose(what: str, name: str, known: Mapping[str, Choice], also: str = "") -> Choice:
    """The entry of this name, which a user chose."""
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; choose {', '.join(map(repr, known))}{also}")
    return known[name]


def check_name(what: str, name: str) -> str:
    """A name that Keras can give a layer: it becomes a scope of TensorFlow, which knows ASCII."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.-]*", name):
        raise ValueError(
            f"{what} must be made of the letters A to Z, digits, '_', '-' and '.', and not begin "
            f"with '_' or '-', got {name!r}; Keras could build it, but not run or export it"
        )
    return name
