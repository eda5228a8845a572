"""Which column of a CSV holds text, pictures, sounds, numbers or categories: a guess from all its
cells, with its reason."""

import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .characters import ABSENT
from .command import RunError

MODALITIES = ("text", "image", "audio", "numbers")
SUFFIXES = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic"),
    "audio": (".wav", ".flac", ".ogg", ".oga", ".mp3", ".m4a", ".aac", ".opus", ".aiff", ".aif",
              ".au"),
}  # fmt: skip
SAMPLE = 2000  # cells of a column that are kept
MOST = 100_000  # different cells of a column that are counted
FEW = 20  # different values up to which a column of short phrases may be a category
_ID = re.compile(
    r"(?i:(.*[_\- .])?(id|ids|uuid|guid|key|index|idx|nr|no)|unnamed: *\d+|)|.*[a-z]I[Dd]"
)
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}\b.*")
_PARTS = set(map(hash, ("", "train", "valid", "test", "validation", "val", "dev")))
# Scripts that put no spaces between words: Han, Kana, Thai, Lao, Khmer, Burmese.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")


class ColumnError(RunError):
    """The columns cannot be told apart; the message lists what was seen in each."""


@dataclass(frozen=True)
class Kind:
    """What a column seems to hold.

    Attributes:
        name: "text", "image", "audio", "number", "category", "identifier", "constant",
            "blank" or "mixed".
        why: what was seen, in a few words.
    """

    name: str
    why: str


@dataclass(frozen=True)
class Choice:
    """Columns by modality, each with the reason; and what is in the rest.

    Attributes:
        columns: modality → column, of text, image and audio, in this order.
        why: modality → reason.
        unused: column → `Kind`, with the reason why it is left out.
        numbers, categories: columns → reason, in the order of the file; together they are the
            modality "numbers".
    """

    columns: dict[str, str]
    why: dict[str, str]
    unused: dict[str, Kind] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=dict)


# ---- what is in a column --------------------------------------------------------------------


class Column(list[str]):
    """A sample of a column's cells, drawn from the whole file; with the `Tally` of all of them.

    Cells are without whitespace around them; blank is "". Up to 2,000 rows are kept (drawn with a
    fixed seed), the same for each column, in the order of the file.
    """

    tally: "Tally"


class Tally:
    """What is counted over all cells of a column, as they come.

    Two columns have the same ``order`` where each value of one goes with one value of the other,
    in every row.
    """

    def __init__(self) -> None:
        self.n = self.filled = self.numbers = self.absent = self.letters = self.words = 0
        self.dates = self.whole = self.padded = self.order = 0
        self.named = dict.fromkeys(SUFFIXES, 0)
        self.suffixes: dict[str, Counter[str]] = {m: Counter() for m in SUFFIXES}
        self.codes: dict[int, int] = {}  # hash of a cell → its place among the different ones
        self.low, self.high = math.inf, -math.inf

    def add(self, cells: Sequence[str]) -> None:
        """Some more cells."""
        self.n += len(cells)
        from .features import parse  # here, so that no NumPy is loaded for --help

        for cell, times in Counter(cells).items():
            if cell:
                self._look(cell, times, parse)
        if len(self.codes) < MOST:
            codes = self.codes
            places = [codes.setdefault(hash(cell), len(codes)) for cell in cells]
            self.order = hash((self.order, *places))

    def _look(self, cell: str, times: int, parse: Callable[[str], Any]) -> None:
        self.filled += times
        low = cell.lower()
        for modality, suffixes in SUFFIXES.items():
            if low.endswith(suffixes):
                self.named[modality] += times
                self.suffixes[modality]["." + low.rpartition(".")[2]] += times
                return
        self.letters += times * any(map(str.isalpha, cell))
        self.words += times * count_words(cell)
        if low in ABSENT:
            self.absent += times
        elif len(cell) < 40 and (found := parse(cell)):
            self.numbers += times
            value = next(iter(found[0].values()))
            self.low, self.high = min(self.low, value), max(self.high, value)
            self.whole += times * (value == int(value) if abs(value) < 1e15 else False)
            self.padded += times * (cell[0] == "0" and len(cell) > 1 and cell.isdigit())
        elif _DATE.fullmatch(cell):
            self.dates += times

    @property
    def different(self) -> int:
        """Different filled cells."""
        return len(self.codes) - (hash("") in self.codes)

    def kind(self, name: str = "x") -> Kind:
        """What the column seems to hold; ``name`` is its own, for what is called an id."""
        n, different = self.filled, self.different
        if not n:
            return Kind("blank", "no cell is filled")
        for modality, named in self.named.items():
            if named >= 0.8 * n:
                ends = ", ".join(suffix for suffix, _ in self.suffixes[modality].most_common(4))
                return Kind(modality, f"{named} of {n} filled cells name files ({ends})")
        if sum(self.named.values()) >= 0.5 * n:
            images, sounds = self.named.values()
            return Kind("mixed", f"of {n} filled cells {images} name pictures and {sounds} sounds")
        if self.numbers and self.numbers >= 0.9 * (n - self.absent):
            return self._numeric(name)
        if self.dates >= 0.9 * n:
            return Kind("mixed", f"{self.dates} of {n} filled cells are dates")
        words = self.words / n
        seen = f"{words:.1f} words per cell, {different} of {n} different"
        if self.letters < 0.8 * n:
            return Kind("mixed", f"only {self.letters} of {n} filled cells hold letters")
        if words < 1.5 or (words < 4 and different <= FEW and n >= 5 * different):
            alike = different <= max(FEW, n / 5)
            return Kind("category" if alike else "identifier", seen)
        return Kind("text", seen)

    def _numeric(self, name: str) -> Kind:
        n, seen = self.numbers, f"{self.numbers} of {self.filled} filled cells are numbers"
        seen += f", {self.absent} say that there is none" if self.absent else ""
        all_differ = self.different - bool(self.absent) >= min(n, MOST) and n >= 10
        if self.whole == n and all_differ:
            if self.high - self.low == n - 1:
                return Kind("identifier", f"it numbers the rows, {self.low:g} to {self.high:g}")
            if _ID.fullmatch(name.strip()):
                return Kind("identifier", f"{seen}, all different, and it is called so")
        if self.padded >= 0.5 * n and self.different > max(FEW, n / 5):
            return Kind("identifier", f"{self.padded} of {n} numbers begin with 0, as codes do")
        return Kind("number", seen)


def sample_cells(
    path: Path, encoding: str = "utf-8", delimiter: str = ",", rows: int = SAMPLE
) -> dict[str, list[str]]:
    """Column → a sample of its cells; what is counted (`Tally`) is counted over the whole file.

    It passes over what the loader will complain about: ragged records, bytes of another encoding.

    Raises:
        TableError: the file as a whole cannot be read.
    """
    from .characters import trimmed
    from .reading import header_of, read_records

    records = read_records(path, encoding, delimiter)
    header = header_of(next(records)[1])
    tallies = [Tally() for _ in header]
    kept: list[tuple[int, list[str]]] = []
    draw = random.Random(0)
    good = ([trimmed(cell) for cell in record] for _, record in records)
    numbered = enumerate(record for record in good if any(record) and len(record) == len(header))
    while some := list(itertools.islice(numbered, 4096)):
        for tally, cells in zip(tallies, zip(*(r for _, r in some), strict=True), strict=True):
            tally.add(cells)
        for i, record in some:  # a reservoir: each row is kept with the same probability
            place = i if i < rows else draw.randrange(i + 1)
            if place < rows:
                kept[place : place + 1] = [(i, record)]
    kept.sort()
    columns = {name: Column(record[i] for _, record in kept) for i, name in enumerate(header)}
    for name, tally in zip(header, tallies, strict=True):
        columns[name].tally = tally
    return {**columns}


def tally_of(cells: Sequence[str]) -> Tally:
    """Of a `Column`: of all cells of the file; of other cells: of these."""
    if isinstance(cells, Column):
        return cells.tally
    tally = Tally()
    tally.add(cells)
    return tally


def kind_of(cells: Sequence[str], name: str = "x") -> Kind:
    """What a column with these cells holds."""
    return tally_of(cells).kind(name)


def count_words(cell: str) -> int:
    """Words between spaces; in a script without spaces every character counts."""
    return len((cell if cell.isascii() else _UNSPACED.sub(" x ", cell)).split())


def unspaced(cells: Sequence[str]) -> bool:
    """Is most of this text in a script that puts no spaces between words?"""
    letters = [c for cell in cells for c in cell if c.isalpha()]
    return bool(letters) and len(_UNSPACED.findall("".join(letters))) > len(letters) / 2


def least_words(cells: Sequence[str]) -> int:
    """Words that hold 95% of the texts whole, from 8 to 200."""
    import numpy as np  # here, so that it is not loaded for --help

    counts = [count_words(cell) for cell in cells if cell]
    return int(np.clip(np.quantile(counts, 0.95), 8, 200)) if counts else 8


# ---- choosing -------------------------------------------------------------------------------


def choose(
    cells: Mapping[str, Sequence[str]],
    named: Mapping[str, str | None],
    *,
    without: Collection[str] = (),
    taken: Mapping[str, str | None] | None = None,
    number: Iterable[str] = (),
    category: Iterable[str] = (),
    ignore: Iterable[str] = (),
) -> Choice:
    """A column for each modality: the one that was named, else the only one that looks like it;
    and all columns that look like numbers or categories.

    What numbers or names the rows, what is the same in each, and what goes with the label one to
    one (it would be the answer) is left out, and stands in ``unused`` with this reason; naming it
    takes it all the same.

    Args:
        cells: column → cells, as from `sample_cells`.
        named: modality → column, or None to guess.
        without: modalities that are not wanted.
        taken: role → column for what is not input: the label, the split, the group.
        number, category: columns to take as such, whatever they look like.
        ignore: columns not to take.

    Raises:
        ColumnError: several columns may be it, or there is nothing at all, or a column that was
            named does not exist, or was named twice.
    """
    roles = {role: column for role, column in (taken or {}).items() if column is not None}
    wanted = {m: named.get(m) for m in MODALITIES if m not in without and m != "numbers"}
    said = [*roles.items(), *((m, c) for m, c in wanted.items() if c is not None)]
    said += [("number", c) for c in number] + [("category", c) for c in category]
    said += [("ignore", c) for c in ignore]
    _check_named(said, cells, roles)
    tallies = {column: tally_of(values) for column, values in cells.items()}
    kinds = {column: tally.kind(column) for column, tally in tallies.items()}
    used = {column for _, column in said}
    columns: dict[str, str] = {}
    why: dict[str, str] = {}
    for modality, name in wanted.items():
        alike = [c for c, kind in kinds.items() if kind.name == modality and c not in used]
        same = [c for c in alike if c.lower() == modality]
        if name is None and len(alike) > 1 and not same:
            raise ColumnError(
                f"several columns may be the {modality}: {', '.join(map(repr, alike))}. Say which, "
                f"as in --{modality} {alike[0]}, or --without {modality}\n{_seen(cells, roles)}"
            )
        if name is not None or alike:
            column = columns[modality] = name if name is not None else [*same, *alike][0]
            why[modality] = f"{'named; ' if name is not None else ''}{kinds[column].why}"
    rest = {c: k for c, k in kinds.items() if c not in {*columns.values(), *roles.values()}}
    vectors = _numbers(rest, said, tallies, roles.get("label"), "numbers" not in without)
    if not columns and not any(vectors):
        raise ColumnError(
            "no column looks like text, paths of pictures or paths of sounds, like numbers or "
            "categories. Say which to use: --text COLUMN, --image COLUMN, --audio COLUMN, --number "
            f"COLUMN or --category COLUMN\n{_seen(cells, roles)}"
        )
    unused = {c: k for c, k in rest.items() if c not in {*vectors[0], *vectors[1]}}
    return Choice(columns, why, unused, *vectors)


def _check_named(
    said: Sequence[tuple[str, str]], cells: Mapping[str, Sequence[str]], roles: Mapping[str, str]
) -> None:
    for role, column in said:
        if column not in cells:
            raise ColumnError(f"there is no column {column!r} (--{role})\n{_seen(cells, roles)}")
    groups = [column for role, column in said if role != "group"]
    for column, count in Counter(groups).items():
        if count > 1:
            twice = " and ".join(f"--{role}" for role, other in said if other == column)
            raise ColumnError(f"the column {column!r} is named twice: {twice}")


def _numbers(
    rest: dict[str, Kind],
    said: Sequence[tuple[str, str]],
    tallies: Mapping[str, Tally],
    label: str | None,
    wanted: bool,
) -> tuple[dict[str, str], dict[str, str]]:
    """The columns of numbers and of categories; changes the reasons of those that are left out."""
    found: dict[str, dict[str, str]] = {"number": {}, "category": {}}
    role_of = {column: role for role, column in said if role in (*found, "ignore")}
    answer = tallies[label] if label is not None else None
    for column, kind in list(rest.items()):
        tally, role = tallies[column], role_of.get(column)
        if role == "ignore":
            rest[column] = Kind(kind.name, f"to be ignored; {kind.why}")
        elif role:
            found[role][column] = f"named; {kind.why}"
        elif kind.name in found and wanted:
            if tally.different == 1 and tally.filled == tally.n:
                rest[column] = Kind("constant", f"every cell is the same; {kind.why}")
            elif hash("train") in tally.codes and _PARTS.issuperset(tally.codes):
                rest[column] = Kind(kind.name, f"it says in which part a row is; {kind.why}")
            elif answer and tally.order == answer.order and len(tally.codes) < MOST:
                reason = f"it goes with the label {label!r} one to one in every row: the answer"
                rest[column] = Kind(kind.name, f"{reason}; {kind.why}")
            else:
                found[kind.name][column] = kind.why
    return found["number"], found["category"]


def _seen(cells: Mapping[str, Sequence[str]], roles: Mapping[str, str]) -> str:
    """One line per column."""
    role_of = {column: role for role, column in roles.items()}
    rows = max((tally_of(values).n for values in cells.values()), default=0)
    lines = [f"Columns, judged by all {rows} rows:"]
    for column, values in cells.items():
        kind = kind_of(values, column)
        role = f"the {role_of[column]}; " if column in role_of else ""
        lines.append(f"  {column!r}: {role}{kind.name}, {kind.why}")
    return "\n".join(lines)
