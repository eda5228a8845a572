"""The AUC over some of the pairs of an ill and a healthy row, such as the pairs of one hospital.

Derived in chapter 11.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..arguments import Arrays, check_labels, check_probabilities
from .tables import resampled


def pair_auc(
    y: Arrays,
    probabilities: Arrays | Mapping[str, Arrays],
    among: Arrays | None = None,
    *,
    groups: Arrays | None = None,
    replicates: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """The share of pairs (row of class 1, row of class 0) in the right order; a tie counts half.

    Over all pairs this is the AUC (Hanley & McNeil 1982). All models are counted in the same draws,
    so the interval of a difference is that of the difference of two columns.

    Args:
        y: int (n,), 0 or 1; both must occur.
        probabilities: float (n,), of class 1; or (runs, n), of several trainings, whose pairs are
            counted together; or a dict model name → such an array.
        among: bool (n, n), whether the pair of two rows counts; only entries [i, j] with y[i] = 1
            and y[j] = 0 are read. Or (runs, n, n), with other pairs in each run, such as those that
            one model of a cross-validation scored. None: all pairs.
        groups: (n,) labels such as patients; all rows of a group are drawn together. None: each
            row is a group.
        replicates: number of bootstrap draws of the groups, int from 0.
        seed: seed of the draws, int from 0.

    Returns:
        A table with a column per model ("auc" for a single array). Row 0 holds the shares of the
        data, rows 1 to `replicates` those of the draws: NaN where a draw has no such pair.

    Raises:
        ValueError: an argument is not as described, or the data have no such pair.
    """
    models = probabilities if isinstance(probabilities, Mapping) else {"auc": probabilities}
    if not models:
        raise ValueError("probabilities is an empty dict; give at least one model")
    truth = check_labels(y, len(np.asarray(y)), 2)
    ill, healthy = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    counts = _masks(among, len(truth))[:, ill][:, :, healthy]  # (runs or 1, ill, healthy)
    if not counts.any():
        raise ValueError("there is no pair of a row with y = 1 and one with y = 0 to count")
    tables = [counts.mean(axis=0)]
    for name, values in models.items():
        runs = np.atleast_2d(np.asarray(values, dtype=float))
        if runs.shape[1:] != truth.shape or len(counts) not in (1, len(runs)):
            raise ValueError(
                f"probabilities of {name!r} must be ({len(truth)},) or (runs, {len(truth)}), with "
                f"as many runs as among has, got shape {np.shape(values)}"
            )
        masks = np.broadcast_to(counts, (len(runs), *counts.shape[1:]))
        won = np.zeros(counts.shape[1:])
        for p, mask in zip(map(check_probabilities, runs), masks, strict=True):
            won += mask * (np.sign(p[ill][:, None] - p[healthy]) + 1) / 2
        tables.append(won / len(runs))
    drawn = resampled(len(truth), groups, replicates, seed) if replicates else ()
    found = []
    for times in (np.ones((1, len(truth))), *drawn):
        sums = [((times[:, ill] @ table) * times[:, healthy]).sum(axis=1) for table in tables]
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: a draw without such a pair
            found.append(np.transpose(sums[1:]) / sums[0][:, None])
    return pd.DataFrame(np.concatenate(found), columns=list(models))


def _masks(among: Arrays | None, n: int) -> np.ndarray:
    """The pairs that count, bool (runs, n, n), or (1, n, n) for the same pairs in all runs."""
    if among is None:
        return np.ones((1, n, n), bool)
    masks = np.asarray(among)
    if masks.ndim not in (2, 3) or masks.shape[-2:] != (n, n) or masks.dtype != bool:
        raise ValueError(
            f"among must be bool ({n}, {n}) or (runs, {n}, {n}), "
            f"got {masks.dtype} of shape {masks.shape}"
        )
    return masks.reshape(-1, n, n)
