"""Delete copies and features of a table, or of some of its rows, from the cache of the package."""

import argparse
import contextlib
import functools
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ... import files
from .. import blocks
from ..characters import trimmed, visible
from ..command import RunError
from ..media import key_of
from ..paths import Refused, find
from ..problems import did_you_mean
from ..reading import header_of
from ..store import NOTE, Kept, forget_records

NO_LIMIT = 2**62  # bytes of a file


@dataclass(frozen=True)
class Chosen:
    """Some rows of a table.

    Attributes:
        rows: their numbers, where the header is row 1.
        mine: key → path of each file that one of their cells names.
        others: keys of the files that the other rows name, too.
    """

    rows: list[int]
    mine: dict[int, str]
    others: set[int]


@dataclass(frozen=True)
class Item:
    """Something that is kept: its name in words, and what deletes it."""

    what: str
    delete: Callable[[], object]


# ---- rows -----------------------------------------------------------------------------------


def chosen(options: argparse.Namespace) -> Chosen | None:
    """The rows that the options name; None for all.

    Raises:
        RunError: the table is not there, it has no such column or row, or no row has the value.
        TableError: the table cannot be read.
    """
    if not (options.rows or options.id):
        return None
    if not options.csv.is_file():
        raise RunError(f"there is no table at {options.csv}: its rows cannot be told any more; to "
                       "forget all that is kept of it, leave out --rows and --id")  # fmt: skip
    records = blocks.Source(options.csv, options.encoding, options.delimiter).records()
    header = header_of(next(records)[1])
    wanted = _matching(options, header)
    folder, rows = os.path.realpath(options.csv.parent), []
    mine: dict[int, str] = {}
    others: dict[int, str] = {}
    for row, cells in records:
        taken = wanted(row, cells)
        rows += [row] if taken else []
        (mine if taken else others).update(_files(folder, cells))
    if missing := sorted(set(options.rows or ()) - set(rows)):
        raise RunError(f"{options.csv.name} has no row {missing[0]}; the header is row 1")
    if not rows:
        raise RunError(f"no row of {options.csv.name} has one of these values in the column "
                       f"{options.id_column!r}; values are compared letter by letter, so that 7 "
                       "is not 007")  # fmt: skip
    return Chosen(rows, mine, set(others) - set(mine))


def _matching(options: argparse.Namespace, header: Sequence[str]) -> Callable[..., bool]:
    """(row, cells) → whether it is to be forgotten."""
    if options.rows:
        numbers = set(options.rows)
        return lambda row, cells: row in numbers
    if options.id_column not in header:
        raise RunError(f"{options.csv.name} has no column {options.id_column!r}; "
                       f"{did_you_mean(options.id_column, header)}")  # fmt: skip
    place, values = header.index(options.id_column), {visible(trimmed(v)) for v in options.id}
    return lambda row, cells: place < len(cells) and visible(trimmed(cells[place])) in values


def _files(folder: str, cells: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Key and path of every cell that names a file, in whatever column."""
    for cell in map(trimmed, cells):
        with contextlib.suppress(Refused, OSError, ValueError):  # a text, a number, a name
            if cell:
                path = find(folder, cell, allow_outside=True)
                yield key_of(path, NO_LIMIT), path


def numbers(rows: Sequence[int]) -> str:
    """Such as "3, 7 and 4 more"."""
    more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
    return ", ".join(map(str, rows[:10])) + more


# ---- what is kept ---------------------------------------------------------------------------


def plan(csv: Path, rows: Chosen | None) -> list[Item]:
    """What is to be deleted, in the order in which it will be; RunError as of `delete`."""
    own = Kept.of(csv)
    items = []
    for folder in _tables(own.folder.parent):
        mine = folder == own.folder
        if mine and rows is None:
            what = f"{_counted(folder)}, in {folder}"
            items.append(Item(what, functools.partial(files.remove, folder)))
        elif rows is not None:
            items += _of_rows(folder, rows, mine)
    return items + list(_old(own.folder.parent))


def delete(items: Iterable[Item]) -> None:
    """Delete them.

    Raises:
        RunError: one is in use, or belongs to somebody else; what comes before it is deleted.
    """
    for item in items:
        with _told(item.what):
            item.delete()


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise RunError(f"not forgotten: {what} ({error}); end what uses it, and run the command "
                       "again") from None  # fmt: skip


def _tables(cache: Path) -> list[Path]:
    return sorted(note.parent for note in cache.glob(f"*/{NOTE}"))


def _of_rows(folder: Path, rows: Chosen, mine: bool) -> Iterator[Item]:
    """In the folder of a table: the records of these rows, and features, which mix all rows.

    Of the table itself, records that no other row names go, too: a file that has been changed or
    deleted since cannot be asked for its key.
    """
    table, touched = os.fsdecode((folder / NOTE).read_bytes()), mine
    of = "" if mine else f" of {table}"
    for store in sorted(folder.glob("*.sqlite")):
        others = rows.others if mine else None
        with _told(str(store)):
            gone = forget_records(store, rows.mine, others, dry=True)
        if gone:
            touched = True
            kind = store.stem.partition("-")[0]
            what = f"{gone} decoded {kind} file{'s' * (gone != 1)}{of}, in {store}"
            yield Item(what, functools.partial(forget_records, store, rows.mine, others))
    if touched and (count := len(list((folder / "features").glob("*.npz")))):
        what = f"{count} files of features{of}, each of which mixes many rows, in {folder}"
        yield Item(what, functools.partial(files.remove, folder / "features"))


def _counted(folder: Path) -> str:
    """What is in the folder of a table, in words."""
    found: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.suffix == ".sqlite":
            kind = path.stem.partition("-")[0]
            with _told(str(path)):
                found[f"decoded {kind} files"] += forget_records(path, None, set(), dry=True)
        elif path.suffix == ".npz":
            found["files of features"] += 1
    return ", ".join(f"{n} {what}" for what, n in sorted(found.items())) or "an empty folder"


def _old(cache: Path) -> Iterator[Item]:
    """Files of versions that did not note whose they are."""
    for path in sorted(cache.glob("*.sqlite")):
        yield Item(
            f"copies of an earlier version of mmkeras, {path}",
            functools.partial(files.remove, path),
        )
