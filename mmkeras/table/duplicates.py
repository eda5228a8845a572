"""Equal rows of a table: found, counted, and kept on one side of the split.

A row whose twin was trained on is no test. Two rows are equal if all that is given in them is: the
text but for capitals, spaces and punctuation, numbers and categories, and the pictures and
recordings, be it the same file, a copy of its bytes, or another file that decodes to the same.
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
    """Int (rows,), equal where rows are; and how many rows equal an earlier one, by how it shows.

    Each repeated row counts once, where it shows first: "cells" (the same path, the same words),
    "file bytes" (a copy under another name), "pictures" or "recordings" (another file that decodes
    to the same).
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
    """Equal for texts that differ in capitals, spaces and punctuation only."""
    folded = text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return _NOT_A_WORD.sub(" ", folded).strip() or text


def _factor(values: Any) -> np.ndarray:
    return pd.factorize(np.asarray(values, object))[0]


def _together(columns: Sequence[np.ndarray], n: int) -> np.ndarray:
    """Codes from 0 without a gap, in order of first use: equal where all the columns are."""
    codes = np.zeros(n, np.int64)
    for column in columns:
        codes = pd.factorize(codes * (int(column.max(initial=0)) + 2) + column + 1)[0]
    return codes


def none() -> dict[str, Any]:
    """What `Table.duplicates` says of a table that was not searched, or has none."""
    kinds = {"cells": 0, "file bytes": 0, "pictures": 0}
    return {"rows": 0, "crossing": 0, "kinds": kinds, "together": True, "warning": ""}


def crossing(codes: np.ndarray, parts: np.ndarray) -> int:
    """Rows outside the training part that equal a row in it."""
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
    """Parts as `parts.deal` deals them, equal rows to one part; and what `Table.duplicates` says.

    Where that leaves a class too few different rows for every part, they are dealt one by one all
    the same, and the warning says so.

    Args:
        codes: equal where rows are, from `twins`.
        keep: keep equal rows together.
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
    """Names of what must stay together: groups, joined where they share equal rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(codes)
    names = [group or f"\0{i}" for i, group in enumerate(groups or [""] * n)]
    units = pd.factorize(np.array(names, object))[0]
    places, size = (units, codes + units.max() + 1), units.max() + codes.max() + 2
    joined = connected_components(coo_array((np.ones(n), places), (size, size)), directed=False)[1]
    return [str(unit) for unit in joined[units]]
