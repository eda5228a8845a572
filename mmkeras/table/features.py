"""Numbers and categories of a table as one vector per row: the modality "numbers".

A number is standardised, ``(x - mean) / spread``, with the mean and the standard deviation of the
training rows. An absent number is replaced by the mean, and a separate feature says that it is
absent. A category becomes one feature per level (one-hot). Weights of features that never occur in
training are never learned, so there is a feature for "is blank" or "other" only if it occurs in the
training rows.
"""

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .characters import ABSENT, visible
from .problems import HEADER, Problems

SHOWN = 5  # most unknown categories that a warning names
LEVELS = 100  # largest number of levels of a category; rarer levels become "other"
DOUBT = ("1.234", "1,234")  # a number that may be above a thousand or about one
_GROUP = "[ \u00a0\u202f'’]"  # marks for thousands that are never decimal marks
_ASCII = {0x2212: "-", **{wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)}}
_CURRENCY = "$¢£¤¥֏؋৳฿៛₠-⃀﷼"
_CELL = re.compile(
    rf"(?P<a>[+-]?)\s*(?P<before>[{_CURRENCY}]?)\s*(?P<b>[+-]?)"
    rf"(?P<body>[0-9.,][0-9., \u00a0\u202f'’]*?(?:[eE][+-]?[0-9]+)?)\s*(?P<after>[{_CURRENCY}%]?)"
)


def _pattern(mark: str, other: str) -> re.Pattern[str]:
    m, o = re.escape(mark), re.escape(other)
    thousands = f"[1-9][0-9]{{0,2}}(?P<g>{_GROUP}|{o})[0-9]{{3}}(?:(?P=g)[0-9]{{3}})*(?:{m}[0-9]+)?"
    return re.compile(f"{thousands}|(?:[0-9]+(?:{m}[0-9]*)?|{m}[0-9]+)(?:[eE][+-]?[0-9]+)?")


_WITH = {".": _pattern(".", ","), ",": _pattern(",", ".")}
# A whole number, or one whose point can only be a decimal point; most cells look like this.
_PLAIN = re.compile(
    r"[+-]?(?:[0-9]+|[0-9]*\.[0-9]{1,2}|0?\.[0-9]+|[0-9]+\.[0-9]{4,})(?:[eE][+-]?[0-9]+)?"
)


# ---- reading numbers ------------------------------------------------------------------------


@dataclass(frozen=True)
class Style:
    """How a column writes its numbers.

    Attributes:
        decimal: "." or ","; "" if no cell tells which.
        sign: a currency sign or "%" that every number has, or "". The number stays as it is
            written: 12% is 12.
    """

    decimal: str = ""
    sign: str = ""


def parse(cell: str) -> tuple[dict[str, float], str] | None:
    """Decimal mark → the value of the cell with that mark, and the sign of the number.

    Groups of three digits may be separated by a space, by an apostrophe, or by the mark that is not
    the decimal mark. None means that the cell is not a number.
    """
    if _PLAIN.fullmatch(cell):  # the same with either mark, or with a certain decimal point
        value = float(cell)
        return ({".": value} if "." in cell else {".": value, ",": value}), ""
    cell = visible(cell).translate(_ASCII)
    found = _CELL.fullmatch(cell)
    if not found or (found["a"] and found["b"]) or (found["before"] and found["after"]):
        return None
    readings = {}
    for mark, pattern in _WITH.items():
        if pattern.fullmatch(found["body"]):
            drop = re.sub(rf"{_GROUP}|{re.escape('.' if mark == ',' else ',')}", "", found["body"])
            readings[mark] = float(drop.replace(",", "."))
    if "-" in (found["a"], found["b"]):
        readings = {mark: -value for mark, value in readings.items()}
    return (readings, found["before"] or found["after"]) if readings else None


def _style(parsed: Sequence[Any], delimiter: str) -> tuple[Style, int | None]:
    """How a column writes its numbers, and the place of a cell if none tells the decimal mark."""
    signs = Counter(one[1] for one in parsed if one and any(one[0].values()))
    sign = signs.most_common(1)[0][0] if signs else ""
    counts = Counter(_tells(one) for one in parsed)
    if mark := decimal_mark(counts, delimiter):
        return Style(mark, sign), None
    return Style("", sign), next((i for i, one in enumerate(parsed) if _tells(one) in DOUBT), None)


def count_marks(cells: Sequence[str]) -> Counter[str]:
    """What the cells of a column tell of its decimal mark, for `decimal_mark`; counts add up."""
    known = Counter(cell for cell in cells if cell and cell.lower() not in ABSENT)
    counts: Counter[str] = Counter()
    for cell, times in known.items():
        counts[_tells(parse(cell))] += times
    return counts


def _tells(one: tuple[dict[str, float], str] | None) -> str:
    """The decimal mark of a number that tells it; of 1.234 and 1,234 one of `DOUBT`; else ""."""
    readings = one[0] if one else {}
    if len(readings) == 1:
        return next(iter(readings))
    if len(set(readings.values())) < 2:
        return ""
    return DOUBT[abs(readings["."]) > abs(readings[","])]


def decimal_mark(counts: Mapping[str, int], delimiter: str) -> str:
    """The decimal mark of a column, of which `count_marks` counts what it tells; "" if nothing."""
    sure = {mark: n for mark in ",." if (n := counts.get(mark, 0))}
    if sure:
        return max(sorted(sure), key=lambda mark: sure[mark])
    # 1.234 and 1,234: in a file with commas between cells, the point is the decimal mark of a
    # program; spreadsheets use the semicolon where the comma is the decimal mark.
    point, comma = (counts.get(name, 0) for name in DOUBT)
    if delimiter != ";" and point and not comma:
        return "."
    return "," if delimiter == ";" and comma and not point else ""


def read_numbers(
    cells: Sequence[str],
    rows: Sequence[int],
    column: str,
    problems: Problems,
    *,
    delimiter: str = ",",
    style: Style | None = None,
) -> tuple[np.ndarray, Style]:
    """The numbers, float64 (n,), NaN where a cell is blank or means "missing"; and their style.

    The whole column is read with one decimal mark and one sign, those of most cells whose reading
    is certain. Cells that do not fit are added to ``problems``, and so is a column in which no cell
    tells whether 1,234 is more than a thousand or about one.

    Args:
        cells, rows: n cells of the column and their row numbers in the file.
        style: the style in the training table, or None.
    """
    given = [bool(cell) and cell.lower() not in ABSENT for cell in cells]
    known = {cell: parse(cell) for cell in set(cells)}
    parsed: list[Any] = [
        known[cell] if there else None for cell, there in zip(cells, given, strict=True)
    ]
    said, open_at = _style(parsed, delimiter)
    style = Style(style.decimal or said.decimal, style.sign) if style else said
    if not style.decimal and open_at is not None:
        as_point, as_comma = (f"{parsed[open_at][0][mark]:g}" for mark in ".,")
        problems.add(
            HEADER, column, cells[open_at],
            f"may be {as_point} or {as_comma}, and no cell of the column tells which (first in row "
            f"{rows[open_at]}); write its numbers without a mark for thousands",
        )  # fmt: skip
    values = np.full(len(cells), np.nan)
    mark = style.decimal or "."
    for i, (one, there) in enumerate(zip(parsed, given, strict=True)):
        if not there:
            continue
        if reason := _misfit(one, style, mark):
            problems.add(rows[i], column, cells[i], reason)
        else:
            values[i] = one[0][mark]
    return values, style


def _misfit(one: tuple[dict[str, float], str] | None, style: Style, mark: str) -> str:
    if one is None:
        return "is not a number; leave the cell blank where it is not known"
    readings, sign = one
    if mark not in readings:
        names = {".": "decimal points", ",": "decimal commas"}
        return f"does not fit a column with {names[mark]}"
    if sign != style.sign and readings[mark]:
        here = f"has {sign!r}" if sign else "has no sign"
        return f"{here}, but the column has {style.sign!r}" if style.sign else (
            f"{here}, but the other numbers of the column have no sign"
        )  # fmt: skip
    return "" if abs(readings[mark]) < 1e30 else "is too large a number"


# ---- features -------------------------------------------------------------------------------


@dataclass
class Numbers:
    """The columns of numbers and categories of one table.

    Attributes:
        values: column → float64 (n,), NaN where absent.
        levels: column → n strings, "" where absent.
        styles: column → its `Style`.
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)
    levels: dict[str, np.ndarray] = field(default_factory=dict)
    styles: dict[str, Style] = field(default_factory=dict)

    def take(self, index: np.ndarray) -> "Numbers":
        """Some of the rows."""
        return Numbers(
            {name: of[index] for name, of in self.values.items()},
            {name: of[index] for name, of in self.levels.items()},
            self.styles,
        )

    def there(self) -> np.ndarray:
        """Bool (n,): whether any cell of the row is filled."""
        filled = [~np.isnan(of) for of in self.values.values()]
        filled += [of != "" for of in self.levels.values()]
        return np.any(filled, axis=0)

    def described(self) -> list[str]:
        """One line per row, such as "age=54, ward=B"; "" if no cell is filled."""
        columns = [[f"{name}={v:g}" for v in of] for name, of in self.values.items()]
        gaps = [np.isnan(of) for of in self.values.values()]
        columns += [[f"{name}={v}" for v in of] for name, of in self.levels.items()]
        gaps += [of == "" for of in self.levels.values()]
        filled = [
            ["" if gap else cell for cell, gap in zip(column, missing, strict=True)]
            for column, missing in zip(columns, gaps, strict=True)
        ]
        return [", ".join(filter(None, row)) for row in zip(*filled, strict=True)]


def learn(numbers: Numbers, training: np.ndarray) -> dict[str, Any]:
    """The settings that prepare other rows in the same way, for JSON; from the training rows alone.

    Args:
        training: bool (n,), True for the training rows.

    Returns:
        "numbers": column → mean, spread (0 for a constant column, which is left out), gaps (whether
        numbers are missing), decimal and sign; "categories": column → levels (the most frequent
        first) and other (whether there are rare levels). A level is rare if it is not among the
        first 100, or if it has fewer rows than 1% of all, where this limit is at least 2 and at
        most 10 rows.
    """
    part = numbers.take(np.flatnonzero(training))
    settings: dict[str, Any] = {"numbers": {}, "categories": {}}
    for name, values in part.values.items():
        here = values[~np.isnan(values)]
        style = part.styles[name]
        settings["numbers"][name] = {
            "mean": float(here.mean()) if len(here) else 0.0,
            "spread": float(here.std()) if len(here) and np.ptp(here) else 0.0,
            "gaps": len(here) < len(values),
            "decimal": style.decimal,
            "sign": style.sign,
        }
    for name, cells in part.levels.items():
        counts = Counter(sorted(cells[cells != ""]))
        least = int(np.clip(len(cells) // 100, 2, 10))
        levels = [level for level, n in counts.most_common(LEVELS) if n >= least]
        settings["categories"][name] = {"levels": levels, "other": len(levels) < len(counts)}
    return settings


def listed(settings: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(column, what, level) of each feature, with "number", "blank", "level" or "other" as what."""
    features: list[tuple[str, str, str]] = []
    for column, s in settings["numbers"].items():
        features += [(column, "number", "")] * bool(s["spread"])
        features += [(column, "blank", "")] * s["gaps"]
    for column, s in settings["categories"].items():
        features += [(column, "level", level) for level in s["levels"]]
        features += [(column, "other", "")] * s["other"]
    return features


def names(settings: Mapping[str, Any]) -> list[str]:
    """The names of the features, in their order."""
    ends = {"number": "{}", "blank": "{} is blank", "level": "{} = {}", "other": "{} = other"}
    return [ends[what].format(column, level) for column, what, level in listed(settings)]


def vectors(numbers: Numbers, settings: Mapping[str, Any]) -> np.ndarray:
    """The features, float32 (rows, features); all zeros for a row without number and category."""
    there = numbers.there()
    features = listed(settings)
    found = np.zeros((len(there), len(features)), np.float32)
    for i, (column, what, level) in enumerate(features):
        if what in ("number", "blank"):
            s, values = settings["numbers"][column], numbers.values[column]
            gap = np.isnan(values)
            if what == "blank":
                found[:, i] = gap
            else:
                found[:, i] = np.where(gap, 0, (values - s["mean"]) / s["spread"])
        else:
            cells, levels = numbers.levels[column], settings["categories"][column]["levels"]
            found[:, i] = cells == level if what == "level" else ~np.isin(cells, ["", *levels])
    return found * there[:, None]


def warn_of_unknown(numbers: Numbers, settings: Mapping[str, Any]) -> None:
    """Warn of categories that are not among those learned, with how many cells hold each."""
    for name, s in settings["categories"].items():
        cells = numbers.levels[name]
        counts = Counter(cells[~np.isin(cells, ["", *s["levels"]])].tolist())
        if not counts:
            continue
        shown = ", ".join(f"{cell!r} ({n})" for cell, n in counts.most_common(SHOWN))
        more = f" and {len(counts) - SHOWN} others" if len(counts) > SHOWN else ""
        was, taken = ("rare or absent", "other") if s["other"] else ("absent", "blank")
        n = counts.total()
        warnings.warn(
            f"column {name!r}: {n} cell{'' if n == 1 else 's'} with what was {was} in training, "
            f"taken for {taken}: {shown}{more}",
            stacklevel=4,
        )


def warn_of_constants(settings: Mapping[str, Any]) -> None:
    """Warn of columns of numbers that are constant in the training rows, which are left out."""
    for name, s in settings["numbers"].items():
        if not s["spread"]:
            warnings.warn(f"column {name!r}: every training row has one number; it tells nothing "
                          "and is left out", stacklevel=4)  # fmt: skip
