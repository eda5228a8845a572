"""Parquet files as tables of `mmkeras predict`, in and out; pyarrow is needed only for them."""

import contextlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .command import RunError

MAGIC = b"PAR1"
ROWS = 4096  # of a batch that is read


def check_installed(what: str) -> None:
    """Raise RunError if pyarrow, which this file needs, is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise RunError(f"{what}: Parquet needs the package pyarrow: pip install 'mmkeras[scale]'")


def records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number, cells) as `read_records` gives them of a CSV: the header is 1, the first row is 2.

    A cell is the text that a CSV would have: a null or NaN is blank, 3 is "3", 0.1 is "0.1", a day
    is "2026-01-31".

    Raises:
        RunError: the file is damaged, or a column holds what a cell cannot.
    """
    with _open(path) as file:
        names = file.schema_arrow.names
        yield 1, list(names)
        number = 2
        for batch in file.iter_batches(ROWS):
            pairs = zip(names, batch.columns, strict=True)
            for cells in zip(*(_texts(name, column) for name, column in pairs), strict=True):
                yield number, list(cells)
                number += 1


def tables(path: Path, first: int, sizes: Iterable[int]) -> Iterator[Any]:
    """The rows from `first` on, counted from 0, as a pyarrow.Table for each size."""
    import pyarrow as pa

    with _open(path) as file:
        batches = file.iter_batches(ROWS)
        waiting = file.schema_arrow.empty_table()
        for skip, size in [(True, first), *((False, size) for size in sizes)]:
            while len(waiting) < size:
                waiting = pa.concat_tables([waiting, pa.Table.from_batches([next(batches)])])
            if not skip:
                yield waiting.slice(0, size)
            waiting = waiting.slice(size)


def numbers(path: Path) -> list[str]:
    """The columns that hold numbers, not text."""
    import pyarrow as pa

    kinds = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal)
    with _open(path) as file:
        return [of.name for of in file.schema_arrow if any(kind(of.type) for kind in kinds)]


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    check_installed(path.name)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise RunError(f"{path} cannot be read as a Parquet file: {error}") from None


def _texts(name: str, column: Any) -> list[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        cells = pc.cast(column, pa.string()).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise RunError(
            f"column {name!r} holds {column.type}, which is neither text nor a number: leave it "
            "out, or make it text (of pictures and sounds the paths)"
        ) from None
    blank = (None, "nan") if pa.types.is_floating(column.type) else (None,)
    return ["" if cell in blank else cell for cell in cells]


class Writer:
    """A Parquet file that is written piece by piece, for a with block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: Any = None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def write(self, table: Any, added: Mapping[str, tuple[str, Sequence[Any]]]) -> None:
        """Append the rows of a pyarrow.Table, with further columns: name → pyarrow type, values."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for name, (kind, values) in added.items():
            table = table.append_column(name, pa.array(values, getattr(pa, kind)()))
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, table.schema)
        self.writer.write_table(table)


def of_cells(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    """A pyarrow.Table of strings; bytes that were no UTF-8 become �."""
    import pyarrow as pa

    def good(cell: str) -> str:
        return cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    columns = [pa.array([good(row[i]) for row in rows], pa.string()) for i in range(len(header))]
    return pa.table(columns, names=[good(name) for name in header])
