"""Tell from all cells what a column of a CSV holds: text, files, numbers, categories, ids."""

import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .characters import ABSENT

SUFFIXES = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic"),
    "audio": (".wav", ".flac", ".ogg", ".oga", ".mp3", ".m4a", ".aac", ".opus", ".aiff", ".aif",
              ".au"),
}  # fmt: skip
SAMPLE = 2000  # number of cells of a column that are kept
MOST = 100_000  # largest number of different cells of a column that are counted
FEW = 20  # largest number of different values with which short phrases may be a category
_ID = re.compile(
    r"(?i:(.*[_\- .])?(id|ids|uuid|guid|key|index|idx|nr|no)|unnamed: *\d+|)|.*[a-z]I[Dd]"
)
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}\b.*")
# Scripts that put no spaces between words: Han, Kana, Thai, Lao, Khmer, Burmese.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")


@dataclass(frozen=True)
class Kind:
    """What a column seems to hold.

    Attributes:
        name: "text", "image", "audio", "number", "category", "identifier", "constant",
            "blank" or "mixed".
        why: the evidence, in a few words.
    """

    name: str
    why: str


class Column(list[str]):
    """A sample of a column's cells, drawn from the whole file, and the `Tally` of all its cells.

    Cells have no whitespace around them; blank is "". Up to 2,000 rows, drawn with a fixed seed,
    are kept, the same ones for each column, in the order of the file.
    """

    tally: "Tally"


class Tally:
    """Counts over all cells of a column, which are added block by block.

    Two columns have the same ``order`` if in every row each value of one corresponds to one value
    of the other.
    """

    def __init__(self) -> None:
        self.n = self.filled = self.numbers = self.absent = self.letters = self.words = 0
        self.dates = self.whole = self.padded = self.order = 0
        self.named = dict.fromkeys(SUFFIXES, 0)
        self.suffixes: dict[str, Counter[str]] = {m: Counter() for m in SUFFIXES}
        self.codes: dict[int, int] = {}  # hash of a cell → its place among the different cells
        self.low, self.high = math.inf, -math.inf

    def add(self, cells: Sequence[str]) -> None:
        """Count some more cells."""
        self.n += len(cells)
        from .features import parse  # imported here, so that --help loads no NumPy

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
        """Number of different filled cells."""
        return len(self.codes) - (hash("") in self.codes)

    def kind(self, name: str = "x") -> Kind:
        """What the column seems to hold; its ``name`` may say that it is an id."""
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
    """Column → a sample of its cells, with the `Tally` of all cells of the file.

    Faults that the loader will report are skipped: ragged records, bytes of another encoding.

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
        for i, record in some:  # reservoir sampling: each row is kept with the same probability
            place = i if i < rows else draw.randrange(i + 1)
            if place < rows:
                kept[place : place + 1] = [(i, record)]
    kept.sort()
    columns = {name: Column(record[i] for _, record in kept) for i, name in enumerate(header)}
    for name, tally in zip(header, tallies, strict=True):
        columns[name].tally = tally
    return {**columns}


def tally_of(cells: Sequence[str]) -> Tally:
    """The `Tally` of all cells of the file for a `Column`, else of the given cells."""
    if isinstance(cells, Column):
        return cells.tally
    tally = Tally()
    tally.add(cells)
    return tally


def kind_of(cells: Sequence[str], name: str = "x") -> Kind:
    """What a column with these cells seems to hold."""
    return tally_of(cells).kind(name)


def count_words(cell: str) -> int:
    """Number of words between spaces; in a script without spaces every character counts as one."""
    return len((cell if cell.isascii() else _UNSPACED.sub(" x ", cell)).split())


def unspaced(cells: Sequence[str]) -> bool:
    """Whether most of this text is in a script that puts no spaces between words."""
    letters = [c for cell in cells for c in cell if c.isalpha()]
    return bool(letters) and len(_UNSPACED.findall("".join(letters))) > len(letters) / 2


def least_words(cells: Sequence[str]) -> int:
    """Length in words in which 95% of the texts fit completely, from 8 to 200."""
    import numpy as np  # imported here, so that --help does not load it

    counts = [count_words(cell) for cell in cells if cell]
    return int(np.clip(np.quantile(counts, 0.95), 8, 200)) if counts else 8
