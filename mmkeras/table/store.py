"""Records on disk, and work that threads do ahead of its reader."""

import contextlib
import hashlib
import os
import sqlite3
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

WORKERS = min(os.cpu_count() or 1, 16)
LOCKED = 60  # seconds to wait for another process that writes
SCRATCH = 1024**3  # bytes of a temporary file
VERSION = 2  # of what is stored: raise it when the decoding changes
Item = TypeVar("Item")
Result = TypeVar("Result")


# ---- in parallel ----------------------------------------------------------------------------


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """As `map`, in order, with threads that are a few items ahead of the reader, never more.

    Threads do: Pillow, libsndfile and SciPy let go of Python's lock while they work.
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


class Store:
    """Decoded records of one length in one SQLite file, by key; readable by many threads at once.

    A key stands for path, size, time of change and settings, so a changed file is decoded anew,
    and a run that was killed goes on where it stopped. Nothing in it is unpickled: a record is raw
    bytes of a known length. The file is for its owner only.
    """

    def __init__(self, path: Path, length: int) -> None:
        self.path, self.length = path, length
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        try:
            self._prepare()
        except sqlite3.OperationalError:  # locked by another process, a full disk: not ours to mend
            raise
        except sqlite3.DatabaseError:  # damaged, or not ours: start again
            path.unlink()
            path.touch(mode=0o600)
            self._prepare()

    @classmethod
    def open(cls, path: Path, length: int) -> "Store | None":
        """A store, or None and a warning where the folder cannot be written to."""
        try:
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
        """One transaction. Opening costs little beside a batch, and any thread may do it."""
        with (
            contextlib.closing(sqlite3.connect(self.path, timeout=LOCKED)) as connection,
            connection,
        ):
            connection.execute("PRAGMA synchronous = OFF")  # what is lost can be made again
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
        """Key → digest of the record, of all that are there and whole."""
        query = "SELECT key, digest FROM records WHERE length(data) = ?"
        with self._connection() as connection:
            return dict(connection.execute(query, (self.length,)).fetchall())

    def put(self, records: Iterable[tuple[int, bytes]]) -> None:
        rows = ((key, digest(data), data) for key, data in records)
        with self._connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", rows)

    def keep_only(self, keys: Iterable[int]) -> None:
        """Forget what the table no longer names."""
        stale = self.digests().keys() - set(keys)
        with self._connection() as connection:
            connection.executemany("DELETE FROM records WHERE key = ?", ((key,) for key in stale))


class Scratch:
    """As a `Store`, in a temporary file without a name: it goes with the process, nothing stays.

    It holds up to ``limit`` bytes; what comes later is decoded again.
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
        """None: nothing is left from earlier."""
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
        """Nothing to forget."""


def digest(data: bytes) -> int:
    """64 bits, signed; equal for equal bytes, and as good as never for others."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)
