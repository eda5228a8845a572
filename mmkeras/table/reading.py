"""Reading a CSV without guessing: the reader that training, prediction and `load_table` share.

Records are numbered as the rows of a spreadsheet. Lines without a cell before the header, or
between rows, are counted and skipped. A first line ``sep=;``, as Excel writes it, gives the
delimiter and is not counted.
"""

import codecs
import contextlib
import csv
import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .characters import trimmed, visible
from .encodings import likely_encoding
from .problems import HEADER, Problems, TableError, did_you_mean

MAX_TABLE_BYTES = 2 * 1024**3
MAX_CELL = 131_072  # largest number of characters in a cell of a used column
Records = Iterator[tuple[int, list[str]]]
_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\x00\x00\xfe\xff", "utf-32"))
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_NOT_CSV = {
    b"PK\x03\x04": "an Excel file (.xlsx) or another archive",
    b"\xd0\xcf\x11\xe0": "an Excel file (.xls)",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "compressed (gzip)",
}


@dataclass
class Cells:
    """The used columns of a CSV, as text.

    Attributes:
        rows: the number of each record in the file, from 2 on.
        columns: name in the file → cells, without whitespace around them; blank is "".
    """

    rows: list[int]
    columns: dict[str, list[str]]


def read_records(
    path: Path | str,
    encoding: str = "utf-8",
    delimiter: str = ",",
    *,
    problems: Problems | None = None,
    most_bytes: float = MAX_TABLE_BYTES,
) -> Generator[tuple[int, list[str]], None, None]:
    """(row number, unchanged cells) of every record that has a cell, beginning with the header.

    Rows that have only blank cells (",,") are included, empty lines are not. Invalid bytes of a
    UTF-8 file become lone surrogates, so that each row with them can be named.

    Args:
        path, encoding, delimiter: as for `load_table`.
        problems: the problems to which a fault is added before it is raised.
        most_bytes: largest size of the file.

    Raises:
        TableError: the file as a whole cannot be read.
        ValueError: Python does not know the encoding, or the delimiter is not one character.
    """
    path, codec = Path(path), _codec(encoding)
    if len(delimiter) != 1:
        raise ValueError(f"delimiter must be one character, got {delimiter!r}")
    found = Problems() if problems is None else problems
    errors = "surrogateescape" if codec == "utf-8-sig" else "strict"
    try:
        _check_bytes(path, encoding, found, most_bytes)
        with path.open(encoding=codec, errors=errors, newline="") as stream, _long_cells():
            said = _SEP.fullmatch(stream.readline(40))
            if not said:
                stream.seek(0)
            yield from _records(stream, said[1] if said else delimiter, found)
    except UnicodeError as error:
        likely = likely_encoding(path)
        hint = f"is the file in encoding={likely!r}?" if likely else "pass another encoding="
        found.add(0, None, "", f"the file cannot be decoded: {error}; {hint}")
        raise TableError(path, found.frame()) from None
    except _Stop:
        raise TableError(path, found.frame()) from None


def read_cells(
    path: Path,
    wanted: Mapping[str, str | Sequence[str]],
    optional: Sequence[str],
    *,
    encoding: str,
    delimiter: str,
    problems: Problems,
    records: Records | None = None,
) -> Cells:
    """The wanted columns (role → name or names) of a CSV, whose cells are all strings.

    Records with another number of cells or bytes of another encoding are left out and added to
    ``problems``. The columns of ``optional`` roles may be missing, and are then blank. ``records``
    are those of `read_records`, or some of them after the header; None: all of the file.

    Raises:
        TableError: the file as a whole cannot be read; the error has all problems found so far.
        ValueError: Python does not know the encoding, or the delimiter is not one character.
    """
    names = [
        (role, n) for role, of in wanted.items() for n in ([of] if isinstance(of, str) else of)
    ]
    if records is None:
        records = read_records(path, encoding, delimiter, problems=problems)
    try:
        return _Columns(path, names, optional, problems).read(records)
    except _Stop:
        raise TableError(path, problems.frame()) from None
    finally:
        if isinstance(records, Generator):
            records.close()


def header_of(record: Sequence[str]) -> list[str]:
    """The names of the columns, without invisible characters."""
    return [visible(trimmed(name)) for name in record]


class _Stop(Exception):
    """The file as a whole cannot be used; the reason is in the problems."""


def _codec(encoding: str) -> str:
    """The codec of this encoding; that of UTF-8 accepts a byte-order mark, as Excel writes it."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise ValueError(
            f"unknown encoding {encoding!r}; name one such as 'utf-8' or 'cp1252'"
        ) from None
    return "utf-8-sig" if name == "utf-8" else encoding


def _check_bytes(path: Path, encoding: str, problems: Problems, most: float) -> None:
    size = path.stat().st_size
    if size > most:
        problems.add(0, None, "", f"the file has {size:,} bytes, more than the {most:,} allowed")
    with path.open("rb") as stream:
        start = stream.read(4096)
    other = next((name for magic, name in _NOT_CSV.items() if start.startswith(magic)), None)
    if other:
        problems.add(
            0, None, "", f"the file is {other}, not a CSV: save or export it as CSV (UTF-8)"
        )
        raise _Stop
    wide = next((name for bom, name in _BOMS if start.startswith(bom)), None)
    if wide is None and start[:200].count(0) > len(start[:200]) // 4:
        wide = "utf-16"
    if wide and not encoding.lower().replace("_", "-").startswith(wide[:5]):
        problems.add(
            0, None, "", f"the file is {wide.upper()}, not {encoding}: pass encoding={wide!r}"
        )
    if not start.strip() or start.strip() == codecs.BOM_UTF8:
        problems.add(0, None, "", "the file is empty: expected a header and rows")
    if problems.of_the_table():
        raise _Stop


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """Allow long cells, since only cells of used columns are checked for their length."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _records(stream: Any, delimiter: str, problems: Problems) -> Records:
    """All records with a cell, from the first one that is not blank, which is the header."""
    reader, row, begun = csv.reader(stream, delimiter=delimiter, strict=True), 0, False
    while True:
        row += 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            problems.add(row, None, "", _quoting(str(error)))
            raise _Stop from None
        begun = begun or any(map(trimmed, fields))
        if begun and fields:
            yield row, fields
    if not begun:
        problems.add(0, None, "", "the file is empty: expected a header and rows")
        raise _Stop


def _quoting(error: str) -> str:
    if "unexpected end of data" in error:
        return 'a quote (") that opens here is never closed'
    if "expected after" in error:
        return 'text follows a closing quote ("); inside quotes write a quote twice ("")'
    return f"not a valid CSV record: {error}"


# ---- the columns that are used --------------------------------------------------------------


@dataclass
class _Columns:
    """Picks the wanted columns out of the records of one file."""

    path: Path
    wanted: Sequence[tuple[str, str]]  # (role, name)
    optional: Sequence[str]
    problems: Problems
    likely: str | None = None  # the likely encoding of a file with bytes that do not fit

    def read(self, records: Records) -> Cells:
        _, first = next(records)
        header = header_of(first)
        self._check_header(header)
        names = dict.fromkeys(name for _, name in self.wanted)
        places = {name: header.index(name) for name in names if name in header}
        rows: list[int] = []
        columns: dict[str, list[str]] = {name: [] for name in names}
        same: dict[str, str] = {}  # equal cells share one string: paths and labels repeat
        for row, fields in records:
            if len(fields) != len(header):
                if any(map(trimmed, fields)):
                    reason = f"has {len(fields)} cells, but the header has {len(header)}"
                    self.problems.add(row, None, "", reason)
                continue
            taken = {name: trimmed(fields[place]) for name, place in places.items()}
            if not any(taken.values()) and not any(map(trimmed, fields)):
                continue
            if not self._check_characters(row, taken):
                continue
            rows.append(row)
            for name, cells in columns.items():
                cell = taken.get(name, "")
                cells.append(same.setdefault(cell, cell) if len(cell) < 200 else cell)
        if not rows and not self.problems.rows():
            self.problems.add(0, None, "", "the file has a header, but no rows")
        if self.problems.of_the_table():
            raise _Stop
        return Cells(rows, columns)

    def _check_header(self, header: Sequence[str]) -> None:
        add = self.problems.add
        for name, count in Counter(header).items():
            if count > 1 and name:
                add(HEADER, name, "", f"the header has this name {count} times; rename all but one")
        bad = [name for name in header if _misread(name) or "\0" in name]
        for name in bad:
            reason = "the header is not valid text; check the encoding"
            likely = likely_encoding(self.path) if _misread(name) else None
            add(HEADER, None, name, f"{reason}{f': encoding={likely!r}?' if likely else ''}")
        if len(header) == 1 and not bad:
            other = next((mark for mark in ";\t|," if mark in header[0]), None)
            if other:
                reason = f"one column only: the file seems to be separated by {other!r}"
                add(HEADER, None, header[0], f"{reason}; pass delimiter={other!r}")
                raise _Stop
        for role, name in self.wanted:
            if not bad and name not in header and role not in self.optional:
                reason = f"no such column ({role}=); {did_you_mean(name, header)}"
                add(HEADER, name, "", reason)

    def _check_characters(self, row: int, taken: Mapping[str, str]) -> bool:
        good = True
        for name, cell in taken.items():
            if "\0" in cell:
                self.problems.add(
                    row, name, cell.replace("\0", "␀"), "holds a NUL character; delete it"
                )
            elif byte := _misread(cell):
                self.likely = self.likely or likely_encoding(self.path) or "cp1252"
                some = (
                    f"{self.likely!r}{' or ' + repr('latin-1') if self.likely == 'cp1252' else ''}"
                )
                reason = f"byte {byte} is not UTF-8; is the file in encoding={some}?"
                self.problems.add(row, name, cell, reason)
            elif len(cell) > MAX_CELL:
                reason = f"the cell has {len(cell):,} characters, more than {MAX_CELL:,}"
                self.problems.add(row, name, cell[:80], f'{reason}: is a quote (") not closed?')
            else:
                continue
            good = False
        return good


def _misread(cell: str) -> str | None:
    """The first byte that did not fit the encoding, as "0xE9", or None."""
    if cell.isascii():
        return None
    lone = next((c for c in cell if "\udc80" <= c <= "\udcff"), None)
    return None if lone is None else f"0x{ord(lone) - 0xDC00:02X}"
