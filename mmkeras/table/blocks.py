"""A table of any size in blocks: read once to know it, then block by block; what is done is kept.

    new.predicted.csv.blocks/    job.json: what the answers depend on; 000000.npz …: answers

Each file is written completely or not at all, so that a job can be killed at any time.
"""

import contextlib
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout

from .. import files
from . import parquet
from . import run as runs
from .answers import Answers, Record
from .characters import trimmed
from .command import RunError
from .features import count_marks, decimal_mark
from .problems import Problems
from .reading import header_of, read_cells, read_records

MOST_CHARACTERS = 16_000_000  # of the cells of a block, which ends before they are more
JOB = "job.json"
LOCK = f".{JOB}.lock"  # as `files.one_at_a_time` calls it


# ---- the table ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A CSV or a Parquet file, as records."""

    path: Path
    encoding: str
    delimiter: str

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file; the content decides, not the name."""
        with self.path.open("rb") as file:
            return file.read(4) == parquet.MAGIC

    def records(self) -> Iterator[Record]:
        """(row number, cells), the header first, as `read_records` gives them."""
        if self.is_parquet:
            return parquet.records(self.path)
        return read_records(self.path, self.encoding, self.delimiter, most_bytes=float("inf"))


@dataclass
class Known:
    """What the first pass found.

    Attributes:
        header: the cells of the first record.
        rows: number of records after it.
        blank: whether a record has only blank cells.
        table: ``settings["table"]``, with the decimal marks of columns whose training rows did not
            tell them: the whole table decides, not a block.
    """

    header: list[str]
    rows: int
    blank: bool
    table: dict[str, Any]


def known(source: Source, settings: Mapping[str, Any], optional: bool) -> Known:
    """Read the whole table once, without the files that it names.

    Raises:
        TableError: it cannot be read as a whole, a column is missing, or there is no row.
    """
    table, records = settings["table"], source.records()
    learned = table.get("numbers") or {"numbers": {}, "categories": {}}
    roles = {role: [table[role]] for role in ("text", "image", "audio") if table.get(role)}
    roles |= {"numbers": [*learned["numbers"]], "categories": [*learned["categories"]]}
    header = next(records)

    def check(rows: list[Record]) -> None:  # the faults of the header; no row is one, too
        read_cells(
            source.path, roles, [*roles] if optional else (), encoding=source.encoding,
            delimiter=source.delimiter, problems=Problems(), records=iter([header, *rows]),
        )  # fmt: skip

    places = {name: i for i, name in enumerate(header_of(header[1])) if name in learned["numbers"]}
    places = {n: i for n, i in places.items() if not learned["numbers"][n]["decimal"]}
    marks: dict[str, Counter[str]] = {name: Counter() for name in places}
    rows = filled = 0
    while some := list(itertools.islice(records, 4096)):
        full = [one for one in some if any(map(trimmed, one[1]))]
        if full and not filled:
            check(full[:1])
        rows, filled = rows + len(some), filled + len(full)
        for name, i in places.items():
            fits = [of[i] for _, of in full if len(of) == len(header[1])]
            marks[name] += count_marks([trimmed(cell) for cell in fits])
    if not filled:
        check([])
    style = {name: {"decimal": decimal_mark(of, source.delimiter)} for name, of in marks.items()}
    if source.is_parquet:  # numbers have no decimal mark and no sign there
        style |= dict.fromkeys(parquet.numbers(source.path), {"decimal": ".", "sign": ""})
    written = {name: {**of, **style.get(name, {})} for name, of in learned["numbers"].items()}
    numbers = {**learned, "numbers": written} if table.get("numbers") else table.get("numbers")
    return Known(header[1], rows, filled < rows, {**table, "numbers": numbers})


def part(rows: int, shard: tuple[int, int] | None) -> tuple[int, int]:
    """The places of the first record of a shard, such as (2, 4), and of the first after it."""
    i, n = shard or (1, 1)
    return rows * (i - 1) // n, rows * i // n


def blocks(records: Iterable[Record], places: tuple[int, int], most: int) -> Iterator[list[Record]]:
    """The records at these places in blocks of ``most``, or fewer if their cells are long."""
    block: list[Record] = []
    size = 0
    for record in itertools.islice(records, *places):
        length = sum(map(len, record[1]))
        if block and (len(block) == most or size + length > MOST_CHARACTERS):
            yield block
            block, size = [], 0
        block.append(record)
        size += length
    if block:
        yield block


# ---- what is done ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """The folder beside an output in which the answers of finished blocks are kept."""

    out: Path

    @property
    def folder(self) -> Path:
        """new.predicted.csv.blocks, beside new.predicted.csv."""
        return self.out.with_name(f"{self.out.name}.blocks")

    @contextlib.contextmanager
    def opened(self, *, resume: bool, force: bool) -> Iterator[None]:
        """Make the folder and lock it; afterwards it is left only if it saves work.

        Raises:
            RunError: another process uses it, it holds blocks and neither ``resume`` nor ``force``
                is given, or the output exists.
        """
        if resume and self.out.exists() and not force and not self.done():
            raise RunError(f"{self.out} is finished, there is nothing to resume; --force without "
                           "--resume predicts anew")  # fmt: skip
        self.folder.mkdir(exist_ok=True)
        try:
            with self._locked():
                if len(self.done()) > 1 and not resume and not force:
                    raise RunError(f"{self.folder} holds the blocks of a prediction that did not "
                                   "end: add --resume, or --force to begin anew")  # fmt: skip
                if not resume:
                    self._clear()
                try:
                    yield
                finally:
                    if len(self.done()) < 2:
                        self._clear()
        finally:
            with contextlib.suppress(OSError):
                os.unlink(self.folder / LOCK)
                self.folder.rmdir()  # if it is empty

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(files.one_at_a_time(self.folder / JOB, timeout=0))
            except Timeout:
                raise RunError(f"another mmkeras is writing into {self.folder} right now; wait "
                               "until it is done, or name another file with --out"
                               ) from None  # fmt: skip
            yield

    def begin(self, depends: Mapping[str, Any]) -> None:
        """Write down what the answers depend on, or compare it with what it was.

        Args:
            depends: what, in words → JSON.

        Raises:
            RunError: something has changed, so that the answers would be of two kinds.
        """
        note = self.folder / JOB
        if not self.done():
            runs.write_json(note, dict(depends))
            return
        try:
            then = json.loads(note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise RunError(f"{note} is missing or damaged: --force begins anew") from None
        other = [
            f"{what} was {_short(then.get(what))} and is now {_short(value)}"
            for what, value in depends.items()
            if then.get(what) != value
        ]
        if other:
            raise RunError(f"the blocks in {self.folder} were made otherwise: {'; '.join(other)}. "
                           "Go on as it was begun, or begin anew with --force")  # fmt: skip

    def done(self) -> list[int]:
        """The numbers of the blocks that are there."""
        return sorted(int(path.stem) for path in self.folder.glob("*.npz") if path.stem.isdecimal())

    def write(self, number: int, answers: Answers) -> None:
        """Keep the answers to a block."""
        with files.whole(self._file(number)) as file:
            answers.write(file)

    def read(self, number: int) -> Answers:
        """The answers to a block that is done."""
        return Answers.read(self._file(number))

    def finish(self) -> None:
        """Delete the blocks, of which the output has been made."""
        self._clear()

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06}.npz"

    def _clear(self) -> None:
        for path in self.folder.glob("*"):
            if path.name != LOCK:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _short(value: Any) -> str:
    """A value in a message; of a SHA-256 the beginning."""
    return f"{value[:8]}…" if isinstance(value, str) and len(value) == 64 else repr(value)
