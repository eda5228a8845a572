"""Divide rows into training, validation and test set, so that no unit is in two of them.

The emoji, the reviews and the syllables are split in the same way: rows of one unit (a family of
concepts, a document, a syllable) stay together, and one origin (an artist, a kind of writing, a
voice) may be held out for the test. There are many units here, so that scikit-learn can draw them.
For a CSV of one's own, where a class may have a handful of rows, see `table.parts`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split


def positions(rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """int64 positions, from positions or from a mask, which is True at them."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)


def hold_out(
    table: pd.DataFrame,
    unit: str,
    origin: str,
    held_out: str | None,
    *,
    stratify: str | None,
    test: float,
    valid: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks, bool (rows,), of the training, the validation and the test rows.

    Args:
        table: one row per sample.
        unit: the column of the units, which are never divided.
        origin: the column of the origins.
        held_out: an origin; the test set is the test units of this origin, and the other two sets
            are their units of all other origins. With None the origin plays no part.
        stratify: the column whose shares are kept in each set, or None.
        test: share of the units in the test set, between 0 and 1.
        valid: share of the units in the validation set; `test + valid` < 1.
        seed: seed of the draw. The same seed puts the same units into the same set for every
            origin.

    Raises:
        ValueError: the origin is not in the table, or is the only one; a share is out of range, or
            there are too few units for it.
    """
    _check_origin(list(table[origin].unique()), origin, held_out)
    if not (0 < test < 1 and 0 < valid < 1 and test + valid < 1):
        raise ValueError(
            f"test={test} and valid={valid} must both be above 0 and together below 1, "
            "as in test=0.25, valid=0.1"
        )
    units = table.drop_duplicates(unit).set_index(unit).sort_index()
    strata = None if stratify is None else units[stratify]
    names = units.index.to_numpy()
    try:
        rest, testing = train_test_split(names, test_size=test, stratify=strata, random_state=seed)
        strata = None if strata is None else strata[rest]
        share = valid / (1 - test)
        training, validation = train_test_split(
            rest, test_size=share, stratify=strata, random_state=seed
        )
    except ValueError as error:
        kinds = "" if stratify is None else f" in {units[stratify].nunique()} strata ({stratify})"
        raise ValueError(
            f"test={test}, valid={valid} is not possible with {len(units)} different values of "
            f"{unit}{kinds}: {error} Use larger shares, or more data."
        ) from error
    own = (table[origin] == held_out).to_numpy()
    seen, unseen = (~own, own) if held_out is not None else (~own, ~own)
    among = [table[unit].isin(side).to_numpy() for side in (training, validation, testing)]
    return seen & among[0], seen & among[1], unseen & among[2]


def _check_origin(here: list[str], origin: str, held_out: str | None) -> None:
    if held_out is None:
        return
    if held_out not in here:
        raise ValueError(
            f"held_out_{origin}={held_out!r} is not in this set; "
            f"choose one of {', '.join(here)}, or None"
        )
    if len(here) == 1:
        raise ValueError(
            f"{held_out!r} is the only {origin} here, so training would be empty; "
            f"load more, or pass held_out_{origin}=None"
        )
