"""Find and count equal rows of a table, and keep them on one side of the split.

A test row that equals a training row tests nothing. Two rows are equal if they agree in all that is
given in them: in the text except for capitals, spaces and punctuation, in numbers and categories,
and in the pictures and recordings, which may be the same file, a copy of its bytes, or another file
that decodes to the same.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .features import Numbers
from .media import Files
from .parts import deal
from .problems import Problems

_NOT_A_WORD = re.compile(r"[\W_]+")


def twins(
    rows: pd.DataFrame, files: Mapping[str, Files], numbers: Numbers
) -> tuple[np.ndarray, dict[str, int]]:
    """Codes, int (rows,), that are equal for equal rows, and the number of repeated rows by kind.

    Each repeated row counts once, under the first kind that applies: "cells" (the same path, the
    same words), "file bytes" (a copy under another name), "pictures" or "recordings" (another file
    that decodes to the same).
    """
    n = len(rows)
    cells: list[np.ndarray] = []
    if "text" in rows:
        cells.append(_factor([_plain(text) for text in rows["text"]]))
    cells += [pd.factorize(values, use_na_sentinel=False)[0] for values in numbers.values.values()]
    cells += [_factor(levels) for levels in numbers.levels.values()]
    place = {name: kind.places(rows[name]) for name, kind in files.items()}
    same = {name: kind.same() for name, kind in files.items()}
    steps = [("cells", 0, [*files]), ("file bytes", 1, [*files]), ("pictures", 2, ["image"])]
    steps += [("recordings", 2, ["audio"])] if "audio" in files else []
    level: dict[str, np.ndarray] = {}
    kinds, before = {}, n
    for what, depth, names in steps:
        level |= {name: np.append(same[name][depth], -1) for name in names if name in files}
        codes = _together([*cells, *(level[name][place[name]] for name in files)], n)
        different = int(codes.max(initial=-1)) + 1
        kinds[what], before = before - different, different
    return codes, kinds


def _plain(text: str) -> str:
    """A form that is equal for texts that differ only in capitals, spaces and punctuation."""
    folded = text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return _NOT_A_WORD.sub(" ", folded).strip() or text


def _factor(values: Any) -> np.ndarray:
    return pd.factorize(np.asarray(values, object))[0]


def _together(columns: Sequence[np.ndarray], n: int) -> np.ndarray:
    """Codes from 0 in the order of first use, equal for rows that agree in all the columns."""
    codes = np.zeros(n, np.int64)
    for column in columns:
        codes = pd.factorize(codes * (int(column.max(initial=0)) + 2) + column + 1)[0]
    return codes


def none() -> dict[str, Any]:
    """`Table.duplicates` of a table that has no equal rows, or was not searched for them."""
    kinds = {"cells": 0, "file bytes": 0, "pictures": 0}
    return {"rows": 0, "crossing": 0, "kinds": kinds, "together": True, "warning": ""}


def crossing(codes: np.ndarray, parts: np.ndarray) -> int:
    """Number of rows outside the training part that equal a row in it."""
    training = parts == "train"
    return int(np.isin(codes[~training], codes[training]).sum())


def deal_together(
    codes: np.ndarray,
    labels: Sequence[str],
    groups: Sequence[str] | None,
    fractions: Sequence[float],
    seed: int,
    problems: Problems,
    *,
    keep: bool,
) -> tuple[np.ndarray, dict[str, Any]]:
    """The parts, by `parts.deal` with equal rows in one part, and `Table.duplicates`.

    If a class then has too few different rows for every part, the rows are divided one by one after
    all, and the warning says so.

    Args:
        codes: those of `twins`, equal for equal rows.
        keep: whether to keep equal rows together.
    """
    said, own = none(), Problems()
    parts = deal(labels, groups, fractions, seed, own)
    said["crossing"] = crossing(codes, parts)
    if not said["crossing"] or not keep:
        problems.found += own.found
        said["together"] = not said["crossing"]
        if said["crossing"]:
            said["warning"] = f"{said['crossing']} rows outside the training part equal one in it"
        return parts, said
    trial = Problems()
    united = deal(labels, _united(groups, codes), fractions, seed, trial)
    if len(trial.found) > len(own.found):
        problems.found += own.found
        said["together"] = False
        said["warning"] = (
            f"{said['crossing']} rows outside the training part equal one in it: there are too "
            f"few different rows to keep equal ones together ({trial.found[-1][3].split(',')[0]})"
        )
        return parts, said
    problems.found += own.found
    return united, said


def _united(groups: Sequence[str] | None, codes: np.ndarray) -> list[str]:
    """For each row the name of its unit: a group, joined with all groups that share equal rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(codes)
    names = [group or f"\0{i}" for i, group in enumerate(groups or [""] * n)]
    units = pd.factorize(np.array(names, object))[0]
    places, size = (units, codes + units.max() + 1), units.max() + codes.max() + 2
    joined = connected_components(coo_array((np.ones(n), places), (size, size)), directed=False)[1]
    return [str(unit) for unit in joined[units]]
