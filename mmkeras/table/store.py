"""Decoded files of a table: made in parallel, kept on disk, read again by many threads."""

import contextlib
import functools
import hashlib
import math
import os
import sqlite3
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .decode import Refused, _listing, identity, resolve

WORKERS = min(os.cpu_count() or 1, 16)
CHUNK = 16  # files a thread takes at a time
VERSION = 1  # of what is stored: raise it when the decoding changes
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
                "CREATE TABLE IF NOT EXISTS records (key INTEGER PRIMARY KEY, data BLOB NOT NULL)"
            )

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One transaction. Opening costs little beside a batch, and any thread may do it."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
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

    def keys(self) -> set[int]:
        """All that are there and whole."""
        query = "SELECT key FROM records WHERE length(data) = ?"
        with self._connection() as connection:
            return {key for (key,) in connection.execute(query, (self.length,))}

    def put(self, records: Iterable[tuple[int, bytes]]) -> None:
        with self._connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?)", records)

    def keep_only(self, keys: Iterable[int]) -> None:
        """Forget what the table no longer names."""
        stale = self.keys().difference(keys)
        with self._connection() as connection:
            connection.executemany("DELETE FROM records WHERE key = ?", ((key,) for key in stale))


@dataclass
class Files:
    """The files of one column, each once.

    Attributes:
        modality: "image" or "audio".
        shape, dtype: of one decoded record.
        decode: path → record, with its settings; raises `Refused`.
        folder: real path of the CSV's folder.
    """

    modality: str
    shape: tuple[int, ...]
    dtype: Any
    decode: functools.partial[np.ndarray]
    folder: str
    allow_outside: bool
    max_file_bytes: int
    store: Store | None = None
    names: dict[str, int] = field(default_factory=dict)  # cell → place in paths
    paths: list[str] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)

    def open_store(self, folder: Path, table: Path) -> None:
        """A file for this table and these settings."""
        text = f"{VERSION}|{table.resolve()}|{self.modality}|{sorted(self.decode.keywords.items())}"
        digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
        length = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        self.store = Store.open(folder / f"{table.stem}-{self.modality}-{digest}.sqlite", length)

    def check(self, cells: Iterable[str]) -> dict[str, str]:
        """Open every distinct file once, in parallel; cell → reason, for those that are refused.

        What was decoded goes to the store; memory holds a few records at a time.
        """
        _listing.cache_clear()
        distinct = [cell for cell in dict.fromkeys(cells) if cell]
        there = self.store.keys() if self.store else set()
        reasons: dict[str, str] = {}
        chunks = (distinct[i : i + CHUNK] for i in range(0, len(distinct), CHUNK))
        for chunk in ahead(lambda some: [self._check(cell, there) for cell in some], chunks):
            new = [(key, data) for _, _, key, data, _ in chunk if data is not None]
            if new:
                self._save(new)
            for cell, path, key, _, reason in chunk:
                if reason:
                    reasons[cell] = reason
                else:
                    self.names[cell] = len(self.paths)
                    self.paths.append(path)
                    self.keys.append(key)
        if self.store:
            with self._no_store_on_error():
                self.store.keep_only(self.keys)
        return reasons

    def _check(self, cell: str, there: set[int]) -> tuple[str, str, int, bytes | None, str]:
        try:
            path = resolve(self.folder, cell, self.allow_outside)
            key = self._key(path)
            data = None if key in there else self.decode(path).tobytes()
        except Refused as refusal:
            return cell, "", 0, None, str(refusal)
        return cell, path, key, data if self.store else None, ""

    def _key(self, path: str) -> int:
        text = f"{VERSION}|{identity(path, self.max_file_bytes)}"
        digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "little", signed=True)

    def _save(self, records: list[tuple[int, bytes]]) -> None:
        store = self.store
        with self._no_store_on_error():
            if store:
                store.put(records)

    @contextlib.contextmanager
    def _no_store_on_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            place = self.store.path if self.store else ""
            self.store = None
            warnings.warn(f"{place}: {error}; files are decoded at each pass", stacklevel=3)

    def places(self, cells: Iterable[str]) -> np.ndarray:
        """int32, one a cell: its place among the distinct files, -1 where it is blank."""
        return np.fromiter((self.names.get(cell, -1) for cell in cells), np.int32)

    def read(self, places: np.ndarray) -> np.ndarray:
        """(len(places), *shape): records from the store, else from their files; zeros for -1.

        Raises:
            Refused: a file has gone or changed for the worse since the table was loaded.
        """
        batch = np.zeros((len(places), *self.shape), self.dtype)
        wanted = sorted({self.keys[place] for place in places if place >= 0})
        found: dict[int, bytes] = {}
        store = self.store  # another thread may give it up
        if store and wanted:
            with self._no_store_on_error():
                found = store.get(wanted)
        for i, place in enumerate(places):
            if place < 0:
                continue
            data = found.get(self.keys[place])
            batch[i] = (
                self._again(self.paths[place])
                if data is None
                else np.frombuffer(data, self.dtype).reshape(self.shape)
            )
        return batch

    def _again(self, path: str) -> np.ndarray:
        try:
            identity(path, self.max_file_bytes)
            return self.decode(path)
        except Refused as refusal:
            raise Refused(f"{path}: {refusal}") from None
