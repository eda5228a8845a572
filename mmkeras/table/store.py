"""Decoded records on disk, and work that threads do ahead of its reader."""

import contextlib
import hashlib
import os
import sqlite3
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .. import assets
from ..files import own_folder, whole

WORKERS = min(os.cpu_count() or 1, 16)
LOCKED = 60  # seconds to wait for another process that writes
SCRATCH = 1024**3  # largest size of a temporary file in bytes
NOTE = "table.txt"
VERSION = 2  # version of the stored records; raise it when the decoding changes
Item = TypeVar("Item")
Result = TypeVar("Result")


# ---- in parallel ----------------------------------------------------------------------------


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """As `map`, in order, by threads that are never more than a few items ahead of the reader.

    Threads suffice, since Pillow, libsndfile and SciPy release Python's lock while they work.
    """
    workers = workers or WORKERS
    with ThreadPoolExecutor(workers, thread_name_prefix="table") as pool:
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


# ---- on disk --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """The folder of what the package keeps of a table: only its owner can enter it.

    tables/data-1a2b3c4d5e6f/    table.txt: the path of the table; image-….sqlite and
                                 audio-….sqlite: decoded files; features/: of frozen encoders
    """

    folder: Path
    table: Path
    ours: bool  # whether it is in the cache of the package

    @classmethod
    def of(cls, table: Path, cache: Path | None = None) -> "Kept":
        """That of this table, in this cache or, for None, that of the package."""
        table = table.resolve()
        name = _short_hash(str(table))
        folder = assets.cache_dir() / "tables" if cache is None else cache
        return cls(folder / f"{table.stem}-{name}", table, cache is None)

    def made(self) -> Path:
        """The folder, which is there now."""
        if self.ours:
            own_folder(self.folder.parent, again=True)
        own_folder(self.folder, again=True)
        note = self.folder / NOTE
        if not note.exists():
            with whole(note, private=True) as file:
                file.write(os.fsencode(self.table))
        return self.folder


def _short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()


class Store:
    """Decoded records of one length in one SQLite file, by key; many threads can read it at once.

    A key stands for path, size, time of change and settings, so that a changed file is decoded
    anew, and decoding that was killed continues where it stopped. Nothing in the file is unpickled:
    a record is raw bytes of a known length. Only its owner can read the file.
    """

    def __init__(self, path: Path, length: int) -> None:
        self.path, self.length = path, length
        path.touch(mode=0o600)
        try:
            self._prepare()
        except sqlite3.OperationalError:  # locked by another process, or a full disk: give up
            raise
        except sqlite3.DatabaseError:  # damaged, or another kind of file: start again
            path.unlink()
            path.touch(mode=0o600)
            self._prepare()

    @classmethod
    def open(cls, kept: Kept, kind: str, length: int) -> "Store | None":
        """A store of a table, or None with a warning if its folder cannot be written to.

        Args:
            kind: whatever the records depend on, as "image|…"; another kind is another file.
        """
        path = kept.folder / f"{kind.partition('|')[0]}-{_short_hash(kind)}.sqlite"
        try:
            kept.made()
            return cls(path, length)
        except (OSError, sqlite3.Error) as error:
            warnings.warn(f"{path}: {error}; files are decoded at each pass", stacklevel=2)
            return None

    def _prepare(self) -> None:
        with self._connection() as connection:
            connection.execute("PRAGMA page_size = 16384")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS records "
                "(key INTEGER PRIMARY KEY, digest INTEGER NOT NULL, data BLOB NOT NULL)"
            )

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction; opening one is cheap, and works in any thread."""
        with (
            contextlib.closing(sqlite3.connect(self.path, timeout=LOCKED)) as connection,
            connection,
        ):
            connection.execute("PRAGMA synchronous = OFF")  # what is lost can be made again
            connection.execute("PRAGMA secure_delete = ON")  # what is deleted becomes zeros
            yield connection

    def get(self, keys: Sequence[int]) -> dict[int, bytes]:
        """Those that are there."""
        found: dict[int, bytes] = {}
        with self._connection() as connection:
            for i in range(0, len(keys), 500):
                some = keys[i : i + 500]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, data FROM records WHERE key IN ({marks})"
                found.update(connection.execute(query, some))
        whole = (data for data in found.items() if isinstance(data[1], bytes))
        return {key: data for key, data in whole if len(data) == self.length}

    def digests(self) -> dict[int, int]:
        """Key → digest of the record, for all complete records in the file."""
        query = "SELECT key, digest FROM records WHERE length(data) = ?"
        with self._connection() as connection:
            return dict(connection.execute(query, (self.length,)).fetchall())

    def put(self, records: Iterable[tuple[int, bytes]]) -> None:
        rows = ((key, digest(data), data) for key, data in records)
        with self._connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", rows)

    def keep_only(self, keys: Iterable[int]) -> None:
        """Delete the records of files that the table no longer names."""
        stale = self.digests().keys() - set(keys)
        with self._connection() as connection:
            connection.executemany("DELETE FROM records WHERE key = ?", ((key,) for key in stale))


def forget_records(
    path: Path, keys: Collection[int] | None, others: Collection[int] | None, *, dry: bool = False
) -> int:
    """Delete records of a store; their bytes become zeros. Returns how many they were.

    Args:
        keys: of the records to delete; None: all but those of `others`.
        others: if given, records of no key in it are deleted as well.
        dry: only count them.

    Raises:
        sqlite3.OperationalError: another process uses the file, or it cannot be written to.
    """
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=LOCKED)) as connection, connection:
            connection.execute("PRAGMA secure_delete = ON")
            there = {key for (key,) in connection.execute("SELECT key FROM records")}
            gone = there & set(keys or ())
            if others is not None:
                gone |= there - set(others)
            if not dry:
                some = ((key,) for key in gone)
                connection.executemany("DELETE FROM records WHERE key = ?", some)
        return len(gone)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:  # damaged: it goes as a whole
        if not dry:
            path.unlink()
        return 1


class Scratch:
    """As a `Store`, but in an unnamed temporary file, which vanishes with the process.

    It holds up to ``limit`` bytes; later records are decoded at each pass.
    """

    path = Path("temporary file")

    def __init__(self, length: int, limit: int = SCRATCH) -> None:
        self.length, self.limit = length, limit
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the table lives
        self._places: dict[int, int] = {}
        self._lock = threading.Lock()

    def get(self, keys: Sequence[int]) -> dict[int, bytes]:
        """Those that are there."""
        found = {}
        for key in keys:
            if key in self._places:
                with self._lock:
                    self._file.seek(self._places[key] * self.length)
                    found[key] = self._file.read(self.length)
        return {key: data for key, data in found.items() if len(data) == self.length}

    def digests(self) -> dict[int, int]:
        """Nothing, since no records are left from earlier processes."""
        return {}

    def put(self, records: Iterable[tuple[int, bytes]]) -> None:
        with self._lock:
            for key, data in records:
                if (len(self._places) + 1) * self.length > self.limit:
                    return
                self._file.seek(len(self._places) * self.length)
                self._file.write(data)
                self._places[key] = len(self._places)
            self._file.flush()

    def keep_only(self, keys: Iterable[int]) -> None:
        """Nothing is deleted."""


def digest(data: bytes) -> int:
    """A signed number of 64 bits, equal for equal bytes, and almost never equal for others."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)
