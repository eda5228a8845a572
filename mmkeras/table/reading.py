"""Reading a CSV without guessing, and saying what is wrong with it row by row."""

import codecs
import csv
import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

HEADER = 1  # the number a spreadsheet gives to the first record
MAX_TABLE_BYTES = 2 * 1024**3
SHOWN = 50  # problems that a message spells out
_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\x00\x00\xfe\xff", "utf-32"))


class TableError(ValueError):
    """A table with faults; all of those that were found, not only the first.

    Attributes:
        problems: pandas DataFrame with ``row`` (Int64, as a spreadsheet counts: the header is row
            1; missing where the fault is of the whole table), ``column``, ``value`` and ``reason``
            (str; column and value may be empty).
    """

    def __init__(self, path: Path | str, problems: pd.DataFrame) -> None:
        self.path, self.problems = Path(path), problems
        super().__init__(_message(self.path, problems))


def _message(path: Path, problems: pd.DataFrame) -> str:
    count = len(problems)
    lines = [f"{path.name}: {count} problem{'' if count == 1 else 's'}"]
    for row, column, value, reason in problems.head(SHOWN).itertuples(index=False):
        place = "" if pd.isna(row) else f"row {row}"
        place += f"{', ' if place and column else ''}{f'column {column!r}' if column else ''}"
        shown = f"{value[:80]!r}{'…' if len(value) > 80 else ''}"
        lines.append(f"  {place or 'table'}: {f'{shown}: ' if value else ''}{reason}")
    if count > SHOWN:
        kinds = problems["reason"].iloc[SHOWN:].value_counts()
        lines.append(f"  and {count - SHOWN} more:")
        lines += [f"    {n} times: {reason}" for reason, n in kinds.head(20).items()]
        if len(kinds) > 20:
            lines.append(f"    and {len(kinds) - 20} other reasons; see .problems")
    return "\n".join(lines)


@dataclass
class Problems:
    """What was found so far. Row 0 stands for the whole table while collecting."""

    found: list[tuple[int, str, str, str]] = field(default_factory=list)

    def add(self, row: int, column: str | None, value: str, reason: str) -> None:
        printable = value.encode("utf-8", "replace").decode("utf-8")  # no lone surrogates
        self.found.append((row, column or "", printable, reason))

    def rows(self) -> set[int]:
        return {row for row, *_ in self.found if row > HEADER}

    def of_the_table(self) -> bool:
        return any(row <= HEADER for row, *_ in self.found)

    def frame(self) -> pd.DataFrame:
        """In the order of the rows, those of the whole table first."""
        table = pd.DataFrame(
            sorted(self.found, key=lambda one: one[0]), columns=["row", "column", "value", "reason"]
        )
        row = table["row"].astype("Int64")
        return table.assign(row=row.mask(row == 0))


def did_you_mean(wrong: str, known: Sequence[str]) -> str:
    """A half sentence: the closest of what there is, or all of it where it is not much."""
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(wrong.casefold(), list(folded), n=1, cutoff=0.5)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    some = ", ".join(map(repr, known[:12]))
    return f"there is {some}{' …' if len(known) > 12 else ''}"


# ---- records --------------------------------------------------------------------------------


@dataclass
class Cells:
    """Columns of text, cut down to those that are used.

    Attributes:
        rows: the number of each record in the file, from 2 on.
        columns: name in the file → its cells, without whitespace around them; blank is "".
    """

    rows: list[int]
    columns: dict[str, list[str]]


def read_cells(
    path: Path,
    wanted: Mapping[str, str],
    optional: Sequence[str],
    *,
    encoding: str,
    delimiter: str,
    problems: Problems,
) -> Cells:
    """The wanted columns (role → name) of a CSV; every cell is a string, and stays what it is.

    Records that are ragged or not of this encoding are left out and added to ``problems``. The
    columns of ``optional`` roles may be missing: then they are blank.

    Raises:
        TableError: the file as a whole cannot be read; with everything that was found by then.
        ValueError: an encoding that Python does not know, a delimiter that is not one character.
    """
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ValueError(f"unknown encoding {encoding!r}; such as 'utf-8' or 'cp1252'") from None
    if len(delimiter) != 1:
        raise ValueError(f"delimiter must be one character, got {delimiter!r}")
    with _table_errors(path, problems):
        _check_bytes(path, encoding, problems)
        with path.open(encoding=_codec(encoding), errors=_errors(encoding), newline="") as stream:
            return _cells(_records(stream, delimiter, problems), wanted, optional, problems)


class _Stop(Exception):
    """The file as a whole is at fault; it stands in the problems."""


class _table_errors:
    def __init__(self, path: Path, problems: Problems) -> None:
        self.path, self.problems = path, problems

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type | None, error: BaseException | None, _: Any) -> None:
        if isinstance(error, UnicodeError):
            self.problems.add(0, None, "", f"cannot be decoded: {error}; pass another encoding=")
        elif not isinstance(error, _Stop):
            return
        raise TableError(self.path, self.problems.frame()) from None


def _codec(encoding: str) -> str:
    """UTF-8 may carry a byte-order mark, as Excel writes it."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _errors(encoding: str) -> str:
    """Bytes that do not fit come through as lone surrogates, so that each row can be named."""
    return "surrogateescape" if _codec(encoding) == "utf-8-sig" else "strict"


def _check_bytes(path: Path, encoding: str, problems: Problems) -> None:
    size = path.stat().st_size
    if size > MAX_TABLE_BYTES:
        problems.add(0, None, "", f"has {size:,} bytes, more than the {MAX_TABLE_BYTES:,} allowed")
    with path.open("rb") as stream:
        start = stream.read(4096)
    wide = next((name for bom, name in _BOMS if start.startswith(bom)), None)
    if wide is None and start[:200].count(0) > len(start[:200]) // 4:
        wide = "utf-16"
    if wide and not encoding.lower().replace("_", "-").startswith(wide[:5]):
        problems.add(0, None, "", f"is {wide.upper()}, not {encoding}: pass encoding={wide!r}")
    if not start.strip():
        problems.add(0, None, "", "the file is empty: expected a header and rows")
    if problems.found:
        raise _Stop


def _records(stream: Any, delimiter: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """(row number, fields). Blank records are counted, but not given."""
    reader, row = csv.reader(stream, delimiter=delimiter, strict=True), 0
    while True:
        row += 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(row, None, "", _quoting(str(error)))
            raise _Stop from None
        if any(map(str.strip, fields)):
            yield row, fields


def _quoting(error: str) -> str:
    if "unexpected end of data" in error or "field limit" in error:
        limit = csv.field_size_limit()
        return (
            f'a quote (") that opens here is never closed, or a cell exceeds {limit:,} characters'
        )
    if "expected after" in error:
        return 'text follows a closing quote ("); inside quotes write a quote twice ("")'
    return f"not a valid CSV record: {error}"


def _cells(
    records: Iterator[tuple[int, list[str]]],
    wanted: Mapping[str, str],
    optional: Sequence[str],
    problems: Problems,
) -> Cells:
    first = next(records, None)
    if first is None:
        problems.add(0, None, "", "the file is empty: expected a header and rows")
        raise _Stop
    header = [name.strip() for name in first[1]]
    _check_header(header, wanted, optional, problems)
    places = {name: header.index(name) for name in wanted.values() if name in header}
    rows: list[int] = []
    columns: dict[str, list[str]] = {name: [] for name in wanted.values()}
    same: dict[str, str] = {}  # equal cells share one string: paths and labels repeat
    for row, fields in records:
        if len(fields) != len(header):
            problems.add(row, None, "", f"has {len(fields)} cells, but the header {len(header)}")
            continue
        taken = {name: fields[place].strip() for name, place in places.items()}
        if not _check_characters(row, taken, problems):
            continue
        rows.append(row)
        for name, cells in columns.items():
            cell = taken.get(name, "")
            cells.append(same.setdefault(cell, cell) if len(cell) < 200 else cell)
    if not rows and not problems.rows():
        problems.add(0, None, "", "has a header, but no rows")
    if problems.of_the_table():
        raise _Stop
    return Cells(rows, columns)


def _check_header(
    header: list[str], wanted: Mapping[str, str], optional: Sequence[str], problems: Problems
) -> None:
    for name, count in Counter(header).items():
        if count > 1 and name:
            problems.add(HEADER, name, "", f"stands {count} times in the header; rename one")
    bad = [name for name in header if _misread(name) or "\0" in name]
    for name in bad:
        problems.add(HEADER, None, name, "the header is not valid text; check the encoding")
    if len(header) == 1 and not bad:
        other = next((mark for mark in ";\t|," if mark in header[0]), None)
        if other:
            reason = f"one column only: the file seems to be separated by {other!r}"
            problems.add(HEADER, None, header[0], f"{reason}; pass delimiter={other!r}")
            raise _Stop
    for role, name in wanted.items():
        if name not in header and role not in optional:
            problems.add(
                HEADER, name, "", f"no such column ({role}=); {did_you_mean(name, header)}"
            )


def _check_characters(row: int, taken: Mapping[str, str], problems: Problems) -> bool:
    good = True
    for name, cell in taken.items():
        if "\0" in cell:
            problems.add(row, name, cell.replace("\0", "␀"), "holds a NUL character")
        elif byte := _misread(cell):
            reason = f"byte {byte} is not UTF-8; is the file in encoding='cp1252' or 'latin-1'?"
            problems.add(row, name, cell, reason)
        else:
            continue
        good = False
    return good


def _misread(cell: str) -> str | None:
    """The first byte that was not of the encoding, as 0xE9."""
    if cell.isascii():
        return None
    lone = next((c for c in cell if "\udc80" <= c <= "\udcff"), None)
    return None if lone is None else f"0x{ord(lone) - 0xDC00:02X}"
