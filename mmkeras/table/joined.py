"""The answers of all blocks, in order and beside the cells of the table, as one file."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from . import parquet
from .answers import Answers, Record, added, beside
from .blocks import Job, Known, Source, blocks

SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class Joined:
    """What is joined: a job of which every block is done.

    Attributes:
        job, source, known: of the prediction.
        classes: their names.
        places: the first record of this part and the first after it, counted from 0.
        most: rows of a block.
        problem: whether there is a column `problem`.
    """

    job: Job
    source: Source
    known: Known
    classes: list[str]
    places: tuple[int, int]
    most: int
    problem: bool

    def records(self) -> Iterator[list[Record]]:
        """The records of each block, without the header."""
        records = self.source.records()
        next(records)
        return blocks(records, self.places, self.most)

    def blocks(self) -> Iterator[tuple[list[Record], Answers]]:
        """Each block with its answers."""
        number = -1
        for number, block in enumerate(self.records()):
            yield block, self.job.read(number)
        if number < 0:  # a shard without a row is a file all the same
            yield [], Answers.none(len(self.classes))

    def write(self, encoding: str) -> str:
        """Write the output, completely or not at all; return its encoding, as `write_csv` does."""
        if self.job.out.suffix.lower() != ".parquet":
            return write_csv(self.job.out, self._rows, encoding, self.source.delimiter)
        with files.whole_path(self.job.out) as part:
            self._parquet(part)
        return encoding

    def _rows(self) -> Iterator[list[str]]:
        header = self.known.header
        yield [*header, *added(self.classes, self.problem)]
        for block, answers in self.blocks():
            said = beside(block, answers, self.classes)
            for (_, cells), (name, p, why) in zip(block, said, strict=True):
                given = [f"{x:.6f}" for x in p] if p else [""] * len(self.classes)
                yield [*_fitted(cells, header), name or "", *given, *[why] * self.problem]

    def _parquet(self, path: Path) -> None:
        header = self.known.header
        slices = self._slices() if self.source.is_parquet else None
        names = added(self.classes, self.problem)
        kinds = ["string", *["float64"] * len(self.classes), *["string"] * self.problem]
        nothing = [None] * len(self.classes)
        with parquet.Writer(path) as writer:
            for block, answers in self.blocks():
                said = beside(block, answers, self.classes)
                rows = [[name, *(p or nothing), *[why] * self.problem] for name, p, why in said]
                table = next(slices) if slices else parquet.of_cells(
                    header, [_fitted(cells, header) for _, cells in block]
                )  # fmt: skip
                columns = zip(names, kinds, range(len(names)), strict=True)
                writer.write(table, {n: (kind, [row[i] for row in rows]) for n, kind, i in columns})

    def _slices(self) -> Iterator[Any]:
        """The table as it is, in pieces of the lengths of the blocks."""
        sizes = (len(block) for block, _ in self.blocks())
        return parquet.tables(self.source.path, self.places[0], sizes)

    def write_features(self, out: Path) -> None:
        """Write one vector per row of this part, NaN (in Parquet null) where there is no answer.

        .npy: float32 (rows, d). .parquet: `row`, its number in the file, and `features`, a list.
        """
        if out.suffix.lower() != ".npy":
            with files.whole_path(out) as part:
                self._features_parquet(part)
            return
        with files.whole(out) as file:
            for number, (_, vectors) in enumerate(self._vectors()):
                if not number:
                    shape = (self.places[1] - self.places[0], vectors.shape[1])
                    head = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, head)
                file.write(vectors.astype("<f4").tobytes())

    def _features_parquet(self, path: Path) -> None:
        import pyarrow as pa

        with parquet.Writer(path) as writer:
            for rows, vectors in self._vectors():
                gone = np.isnan(vectors).all(axis=1) & bool(vectors.shape[1])
                flat = pa.array(vectors.ravel(), pa.float32())
                kind = pa.list_(pa.float32(), vectors.shape[1])
                listed = pa.FixedSizeListArray.from_arrays(flat, type=kind, mask=pa.array(gone))
                writer.write(pa.table({"row": pa.array(rows, pa.int64()), "features": listed}), {})

    def _vectors(self) -> Iterator[tuple[list[int], np.ndarray]]:
        """The row numbers of each block, and float32 (rows, d), NaN where there is no answer."""
        numbers = self.job.done()
        some = (self.job.read(number).vectors for number in numbers)
        width = next((v.shape[1] for v in some if v is not None and len(v)), 0)
        for block, answers in self.blocks():
            rows = [row for row, _ in block]
            vectors = np.full((len(rows), width), np.nan, np.float32)
            if answers.vectors is not None and len(answers.rows):
                vectors[np.searchsorted(rows, answers.rows)] = answers.vectors
            yield rows, vectors


def _fitted(cells: Sequence[str], header: Sequence[str]) -> list[str]:
    """As many cells as the header has."""
    return [*cells[: len(header)], *[""] * (len(header) - len(cells))]


def write_csv(
    path: Path, rows: Callable[[], Iterable[list[str]]], encoding: str, delimiter: str
) -> str:
    """Write the whole file or nothing; return its encoding (UTF-8 with BOM if names need it)."""
    how: dict[str, Any] = {"newline": "", "encoding": encoding, "errors": "surrogateescape"}
    try:
        with files.whole(path, "w", **how) as file:
            csv.writer(file, delimiter=delimiter).writerows(rows())
        return encoding
    except UnicodeEncodeError:
        if encoding == "utf-8-sig":
            raise
    return write_csv(path, rows, "utf-8-sig", delimiter)
