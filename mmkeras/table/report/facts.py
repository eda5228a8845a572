"""What a training knows about its data, for the data card: counts and shares, and no row."""

import argparse
import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..columns import Choice
from ..encoders import choice as encoders
from ..encoders import language
from ..kinds import MOST, count_words, tally_of
from ..parts import PARTS
from ..prepare import roles_of
from ..problems import in_words
from . import headers

SMALL = 5  # a cell of fewer rows is not shown
READ = 500  # texts whose letters are looked at
BY_CLASS = 10  # up to this number of classes, groups of people are counted by class
SCRIPTS = 5  # of the letters of the texts, that are named
QUOTED = re.compile(
    r"""(?<!\w)b?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
)  # as repr writes text and bytes
_NUMBER = re.compile(r"(?<![\w-])\d+(?:[.,:]\d+)*(?!\w)")


def of(
    options: argparse.Namespace,
    choice: Choice,
    cells: Mapping[str, Sequence[str]],
    rare: Mapping[str, int],
    table: Any,
    groups: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """The content of "facts" in settings.json.

    Args:
        options: of `mmkeras train`.
        choice, cells, rare: from `prepare.inspect`.
        table: the `Table`.
        groups: from `people.read`; None without `--groups`.

    Returns:
        A dict for JSON: rows, columns, split, and where there are any text, image, audio, numbers
        and people. Counts of people below `SMALL` are None.
    """
    found = {
        "rows": _rows(table, rare),
        "columns": _columns(options, choice, cells),
        "split": _split(table.rows),
    }
    if "text" in table.modalities:
        found["text"] = _texts([text for text in table.rows["text"] if text])
    looks = {"image": headers.pictures, "audio": headers.sounds}
    found |= {m: look(table.paths(m)) for m, look in looks.items() if m in table.modalities}
    if learned := table.settings["numbers"]:
        found["numbers"] = {
            column: {"mean": s["mean"], "spread": s["spread"]}
            for column, s in learned["numbers"].items() if s["spread"]
        }  # fmt: skip
    if groups is not None:
        found["people"] = _people(groups, table)
    return found


# ---- rows and columns -----------------------------------------------------------------------


def _rows(table: Any, rare: Mapping[str, int]) -> dict[str, Any]:
    """Rows of the file, used and left out, and the reasons: [column, reason, number of times]."""
    skipped = int(table.report["row"].nunique())
    reasons = Counter(
        (column, _NUMBER.sub("n", QUOTED.sub("…", reason)))
        for column, reason in in_words(table.report)[["column", "reason"]].itertuples(index=False)
    )
    return {
        "file": len(table) + skipped + sum(rare.values()),
        "used": len(table),
        "skipped": skipped,
        "rare": dict(rare),
        "reasons": [[*what, n] for what, n in reasons.most_common()],
    }


def _columns(
    options: argparse.Namespace, choice: Choice, cells: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Each column of the file: what it was used as and why, its gaps and its different cells."""
    roles: dict[str, list[str]] = {name: [] for name in cells}
    named = {**choice.columns, **{r: c for r, c in roles_of(options).items() if c}}
    for role, column in named.items():
        roles[column].append(role)
    for role, columns in (("number", choice.numbers), ("category", choice.categories),
                          ("group of people", options.groups)):  # fmt: skip
        for column in columns:
            roles[column].append(role)
    why = {column: choice.why[m] for m, column in choice.columns.items()}
    why |= {**choice.numbers, **choice.categories}
    why |= {column: kind.why for column, kind in choice.unused.items()}
    found = []
    for column, of_column in cells.items():
        tally = tally_of(of_column)
        kind = tally.kind(column)
        absent = tally.absent if kind.name == "number" else 0
        found.append({
            "name": column,
            "used_as": roles[column],
            "kind": kind.name,
            "why": why.get(column, kind.why),
            "missing": (tally.n - tally.filled + absent) / tally.n if tally.n else None,
            "different": tally.different if len(tally.codes) < MOST else None,
        })  # fmt: skip
    return found


def _split(rows: pd.DataFrame) -> dict[str, Any]:
    """Rows of each part and class; with --group, also the groups of each part, and their sizes."""
    counts = {part: int((rows["part"] == part).sum()) for part in PARTS}
    if "group" not in rows:
        return {"rows": counts}
    named = rows[rows["group"] != ""]
    sizes = named["group"].value_counts()
    return {
        "rows": counts,
        "groups": {
            part: int(named.loc[named["part"] == part, "group"].nunique()) for part in PARTS
        },
        "without_group": len(rows) - len(named),
        "largest_group": int(sizes.max()) if len(sizes) else 0,
    }


# ---- texts ----------------------------------------------------------------------------------


def _texts(texts: Sequence[str]) -> dict[str, Any]:
    """Lengths of all texts; scripts, and the share of English pieces, of at most `READ` texts."""
    some = texts[:: -(-len(texts) // READ) or 1]
    letters = Counter(_script(c) for text in some for c in text if c.isalpha())
    total = letters.total()
    return {
        "texts": len(texts),
        "words": headers.spread([count_words(text) for text in texts]),
        "characters": headers.spread([len(text) for text in texts]),
        "looked_at": len(some),
        "scripts": {name: n / total for name, n in letters.most_common(SCRIPTS)},
        "english": _english(some),
    }


@functools.cache
def _script(letter: str) -> str:
    """Such as "Latin" for é: the first word of a letter's name in Unicode."""
    word = unicodedata.name(letter, "unknown").partition(" ")[0].partition("-")[0]
    return {"CJK": "Han"}.get(word, word.capitalize())


def _english(texts: Sequence[str]) -> float | None:
    """The share of whole words, see `language.whole_words`; None without the tokenizer."""
    if not encoders.here("text"):
        return None
    from ... import pretrained

    return language.whole_words(pretrained.minilm_tokenizer(), texts)


# ---- groups of people -----------------------------------------------------------------------


def _people(groups: pd.DataFrame, table: Any) -> dict[str, Any]:
    """Rows of each group, by class if these are few; and combinations of groups with few rows."""
    here = groups.loc[table.rows["row"]]
    labels = table.rows["label"].to_numpy()
    classes = table.classes if len(table.classes) <= BY_CLASS else []
    tables = {}
    for column in here:
        names = [n for n in groups[column].cat.categories if (here[column] == n).any()]
        member = here[column].to_numpy(object)
        counts = [[*(int(((member == n) & (labels == c)).sum()) for c in classes),
                   int((member == n).sum())] for n in names]  # fmt: skip
        shown = hidden(np.array(counts))
        tables[column] = dict(zip(names, shown, strict=True))
    together = here.astype(str).value_counts()
    return {
        "classes": list(classes),
        "columns": tables,
        "combinations": len(together),
        "small_combinations": int((together < SMALL).sum()),
    }


def hidden(counts: np.ndarray) -> list[list[int | None]]:
    """The counts, int (groups, columns), with None in place of small ones.

    The last column is the sum of the others, if there are others, and the sums of all columns are
    known. A count that is hidden alone in its row or column could be found by subtraction, so that
    the smallest of the others there is hidden as well, until none is alone.
    """
    hide = counts < SMALL
    axes = [0, 1] if counts.shape[1] > 1 else [0]
    changed = True
    while changed:
        changed = False
        for axis in axes:
            lines = hide if axis else hide.T
            values = counts if axis else counts.T
            for line, numbers in zip(lines, values, strict=True):
                if line.sum() == 1 and len(line) > 1:
                    open_ones = np.flatnonzero(~line)
                    line[open_ones[numbers[open_ones].argmin()]] = changed = True
    return [
        [None if gone else int(n) for n, gone in zip(row, there, strict=True)]
        for row, there in zip(counts, hide, strict=True)
    ]
