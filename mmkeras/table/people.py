"""`--groups sex,age`: the results of a model in each group of the test rows."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from ..evaluate.groups import by_group
from ..evaluate.intervals import Intervals
from .characters import ABSENT
from .command import RunError
from .wording import percent

LEAST, MOST, BANDS = 10, 20, 3  # rows of a group that is shown; groups of a column; of numbers
BLANK, OTHER = "(blank)", "(no number)"
ENTRY = ("value", "low", "high")
Found = dict[str, dict[str, dict[str, Any]]]


def read(path: Path, names: Sequence[str], encoding: str, delimiter: str) -> pd.DataFrame:
    """The group of each row of the CSV in each of these columns.

    A column of numbers with more than `MOST` values is cut into three bands of about equal size; up
    to a tenth of its cells may be something else.

    Returns:
        A table of categories, one column per name; its index is the row number in the file.

    Raises:
        RunError: a column has more than `MOST` groups, or only one.
        TableError: the CSV cannot be read, or lacks a column.
    """
    from .problems import Problems
    from .reading import read_cells

    wanted = {f"groups {name}": name for name in names}
    cells = read_cells(path, wanted, (), encoding=encoding, delimiter=delimiter,
                       problems=Problems())  # fmt: skip
    table = pd.DataFrame({name: _grouped(cells.columns[name]) for name in names}, cells.rows)
    for name in names:
        if not 1 < (count := table[name].nunique()) <= MOST:
            raise RunError(
                f"--groups: column {name!r} has {count} different value{'s' * (count != 1)}; "
                f"groups need 2 to {MOST}. Add a column with a few words, such as an age band"
            )
    return table


def _grouped(cells: Sequence[str]) -> pd.Categorical:
    """The cells, or bands of numbers if there are many, from low to high; blank is `BLANK`.

    Among numbers, NA and the like are blank as well, and other cells are `OTHER`.
    """
    numbers = pd.to_numeric(pd.Series(cells, dtype=object).replace("", None), errors="coerce")
    known = numbers.notna().to_numpy()
    gap = np.array([not cell or cell.lower() in ABSENT for cell in cells], bool)
    if known.sum() < 0.9 * (~gap).sum() or numbers.nunique() <= MOST:
        words = [cell or BLANK for cell in cells]
        return pd.Categorical(words, sorted(set(words)))
    shares = np.arange(1, BANDS) / BANDS
    cuts = np.unique(np.quantile(numbers[known], shares, method="inverted_cdf"))
    ends = [f"{cut:g}" for cut in cuts]
    names = [f"below {ends[0]}", *(f"{a} to below {b}" for a, b in itertools.pairwise(ends)),
             f"{ends[-1]} and over"]  # fmt: skip
    place = np.searchsorted(cuts, numbers, side="right")
    banded = [
        names[i] if there else BLANK if empty else OTHER
        for i, there, empty in zip(place, known, gap, strict=True)
    ]
    return pd.Categorical(banded, [*names, BLANK, OTHER])


def results(
    groups: pd.DataFrame, rows: pd.DataFrame, y: np.ndarray, p: np.ndarray, seed: int
) -> Found:
    """The results in each group of the tested rows, for metrics.json.

    With two classes, the measures of `mmkeras.evaluate.by_group` for the second class are there
    as well. What fewer than `LEAST` rows (or groups of rows that belong together) bear is NaN.

    Args:
        groups: from `read`.
        rows: the n tested rows of `Table.rows`.
        y: int (n,), the true classes.
        p: float (n, classes), the probabilities.
        seed: seed of the bootstrap.

    Returns:
        column → group → "rows", and for each measure value, low and high.
    """
    right = p.argmax(axis=1) == y
    units = _units(rows)
    found: Found = {}
    for column in groups:
        member = groups.loc[rows["row"], column].to_numpy(object)
        found[column] = {}
        for name in (n for n in groups[column].cat.categories if n in member):
            here = np.flatnonzero(member == name)
            own = None if units is None else [units[i] for i in here]
            enough = len(set(own) if own else here) >= LEAST
            low, high = Intervals(len(here), own, 1000, seed).share(right[here])
            value = float(right[here].mean())
            told = (value, low, high) if enough else (math.nan,) * 3
            accuracy = dict(zip(ENTRY, told, strict=True))
            found[column][name] = {"rows": len(here), "accuracy": accuracy}
        if p.shape[1] == 2:
            table = by_group(y, p[:, 1], member.astype(str), groups=units, least=LEAST, seed=seed)
            for (name, measure), row in table.iterrows():
                found[column][name][measure] = row[list(ENTRY)].to_dict()
    return found


def _units(rows: pd.DataFrame) -> list[str] | None:
    """What is drawn together, as in `measure`: a row with a blank group is by itself."""
    if "group" not in rows:
        return None
    return [name or f"row {i}" for i, name in rows["group"].items()]


def warnings(found: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each column in which the accuracy of two groups surely differs.

    All pairs of groups of all columns are looked at. Each gap has the lower limit of Newcombe
    (1998), with distances stretched as Bonferroni's correction stretches those of normal errors.
    """
    shown = {
        column: {name: of["accuracy"] for name, of in groups.items() if of["accuracy"]["low"] is not
                 None and not math.isnan(of["accuracy"]["low"])}
        for column, groups in found.items()
    }  # fmt: skip
    looks = sum(math.comb(len(groups), 2) for groups in shown.values())
    stretch = norm.isf(0.025 / max(1, looks)) / norm.isf(0.025)
    corrected = f", corrected for {looks} pairs of groups" if looks > 1 else ""
    for column, groups in shown.items():
        if len(groups) < 2:
            continue
        ordered = sorted(groups, key=lambda name: groups[name]["value"])
        worst, best = groups[ordered[0]], groups[ordered[-1]]
        gap = best["value"] - worst["value"]
        down = math.hypot(best["value"] - best["low"], worst["high"] - worst["value"])
        if gap > stretch * down:
            yield (
                f"The accuracy differs by {column!r}: {percent(worst['value'])} for "
                f"{ordered[0]!r}, {percent(best['value'])} for {ordered[-1]!r} "
                f"(settled{corrected})."
            )


def add(
    metrics: dict[str, Any],
    groups: pd.DataFrame,
    rows: pd.DataFrame,
    y: np.ndarray,
    p: np.ndarray,
    *,
    seed: int,
) -> None:
    """Add "groups" and its warnings to the metrics; arguments as for `results`."""
    from .measure import jsonable

    metrics["groups"] = jsonable(results(groups, rows, y, p, seed))
    metrics["warnings"] += warnings(metrics["groups"])
