"""What each modality did to an answer: its Shapley value in log-odds, as `mmkeras explain` has it.

Derived in chapter 17: the model answers every subset of the modalities that a row has.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluate.importance import subsets
from ..explain import mean_gain

TINY = 1e-7  # smallest probability in the log-odds, as in `mmkeras explain`


def masks(present: np.ndarray, modalities: Sequence[str]) -> np.ndarray:
    """All subsets of the modalities that a row has, bool (2^k, modalities); from none to all."""
    there = [name for name, here in zip(modalities, present, strict=True) if here]
    kept = subsets(there) if there else [()]
    return np.array([[name in some for name in modalities] for some in kept])


def without(
    x: Mapping[str, np.ndarray], kept: np.ndarray, modalities: Sequence[str]
) -> dict[str, np.ndarray]:
    """One row of a `Reader`, in which only the kept modalities are present."""
    row = {**x, "present": kept.astype(np.float32)}
    for name, keep in zip(modalities, kept, strict=True):
        if not keep:
            blank = np.array(b"", object) if x[name].dtype == object else np.zeros_like(x[name])
            row[name] = blank
    return row


def shares(kept: np.ndarray, p: np.ndarray, modalities: Sequence[str], k: int) -> dict[str, Any]:
    """The Shapley values of the modalities for class `k`.

    Args:
        kept: from `masks`, (2^k, modalities).
        p: the probabilities of the model for each of them, (2^k, classes).

    Returns:
        A dict. nothing: the log-odds without any modality; all: those with all that the row has;
        shares: modality → its Shapley value, without modalities that the row lacks; they sum to
        all - nothing.
    """
    q = np.clip(p[:, k], TINY, 1 - TINY)
    odds = np.log(q / (1 - q))
    there = np.flatnonzero(kept.any(axis=0)).tolist()
    known = {tuple(row): value for row, value in zip(kept[:, there].tolist(), odds, strict=True)}
    gains = mean_gain(lambda asked: np.array([known[tuple(r)] for r in asked.tolist()]), len(there))
    return {
        "nothing": round(float(odds[0]), 4),
        "all": round(float(odds[-1]), 4),
        "shares": {modalities[i]: round(float(g), 4) for i, g in zip(there, gains, strict=True)},
    }
