"""Decode the pictures or recordings that a column names in parallel, keep them, and read them."""

import contextlib
import functools
import hashlib
import math
import sqlite3
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .decode import notes
from .paths import Refused, find, forget_listings, identity
from .store import VERSION, Kept, Scratch, Store, ahead, digest

CHUNK = 16  # number of files that a thread takes at a time


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
    store: Store | Scratch | None = None
    names: dict[str, int] = field(default_factory=dict)  # cell → place in `paths`
    paths: list[str] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    digests: list[int] = field(default_factory=list)  # of the decoded records
    notes: Counter[str] = field(default_factory=Counter)  # remarks on files that are no problems

    def open_store(self, kept: Kept | None) -> None:
        """Open the store of a table for these settings; of None a temporary one."""
        length = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        kind = f"{self.modality}|{VERSION}|{sorted(self.decode.keywords.items())}"
        self.store = Store.open(kept, kind, length) if kept else Scratch(length)

    def check(self, cells: Iterable[str]) -> dict[str, str]:
        """Open every distinct file once, in parallel; return cell → reason, for refused files.

        Decoded records go to the store, so that memory holds only a few of them at a time.
        """
        forget_listings()
        distinct = [cell for cell in dict.fromkeys(cells) if cell]
        there: dict[int, int] = {}
        with self._no_store_on_error():
            there = self.store.digests() if self.store else {}
        reasons: dict[str, str] = {}
        chunks = (distinct[i : i + CHUNK] for i in range(0, len(distinct), CHUNK))
        for chunk in ahead(lambda some: [self._check(cell, there) for cell in some], chunks):
            new = [(one.key, one.data) for one in chunk if one.data is not None]
            if new:
                with self._no_store_on_error():
                    if self.store:
                        self.store.put(new)
            for one in chunk:
                self._take(one, reasons)
        if self.store:
            with self._no_store_on_error():
                self.store.keep_only(self.keys)
        for note, times in self.notes.items():
            warnings.warn(f"{times} {self.modality} files {note}", stacklevel=5)
        return reasons

    def _take(self, one: "_Checked", reasons: dict[str, str]) -> None:
        self.notes.update(one.notes)
        if one.reason:
            reasons[one.cell] = one.reason
            return
        self.names[one.cell] = len(self.paths)
        self.paths.append(one.path)
        self.keys.append(one.key)
        self.digests.append(one.digest)

    def _check(self, cell: str, there: dict[int, int]) -> "_Checked":
        one = _Checked(cell)
        try:
            one.path = find(self.folder, cell, self.allow_outside)
            one.key = self._key(one.path)
            if one.key in there:
                one.digest = there[one.key]
            else:
                data = self.decode(one.path).tobytes()
                one.notes = notes()
                one.digest = digest(data)
                one.data = data if self.store else None
        except Refused as refusal:
            one.reason = str(refusal)
        return one

    def _key(self, path: str) -> int:
        return key_of(path, self.max_file_bytes)

    @contextlib.contextmanager
    def _no_store_on_error(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            place = self.store.path if self.store else ""
            self.store = None
            warnings.warn(f"{place}: {error}; files are decoded at each pass", stacklevel=3)

    def same(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Three codes per file, each equal for two files that are the same file, have the same
        bytes, or decode to the same record. Only files with equal records are read."""
        times = Counter(self.digests)
        content = list(self.paths)
        for i, path in enumerate(self.paths):
            if times[self.digests[i]] > 1:
                with contextlib.suppress(OSError), open(path, "rb") as stream:
                    content[i] = hashlib.file_digest(stream, "blake2b").hexdigest()
        of_files = (self.paths, content, self.digests)
        paths, content_codes, records = (pd.factorize(np.array(x, object))[0] for x in of_files)
        return paths, content_codes, records

    def places(self, cells: Iterable[str]) -> np.ndarray:
        """The place of each cell among the distinct files, int32 (cells,); -1 if it is blank."""
        return np.fromiter((self.names.get(cell, -1) for cell in cells), np.int32)

    def read(self, places: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The records, (len(places), *shape), from the store or their files; zeros for -1.

        Raises:
            Refused: since the table was loaded, a file was deleted or can no longer be decoded; the
                message names its row, from `rows`, which has one number per place.
        """
        batch = np.zeros((len(places), *self.shape), self.dtype)
        wanted = sorted({self.keys[place] for place in places if place >= 0})
        found: dict[int, bytes] = {}
        store = self.store  # another thread may set it to None
        if store and wanted:
            with self._no_store_on_error():
                found = store.get(wanted)
        for i, place in enumerate(places):
            if place < 0:
                continue
            path, data = self.paths[place], found.get(self.keys[place])
            with _named(f"row {rows[i]}, {self.modality}: {path}"):
                # Without a cache, changed files are read again at each pass.
                if isinstance(store, Scratch) and data and self._key(path) != self.keys[place]:
                    data = None
                batch[i] = (
                    self._again(path)
                    if data is None
                    else np.frombuffer(data, self.dtype).reshape(self.shape)
                )
        return batch

    def _again(self, path: str) -> np.ndarray:
        identity(path, self.max_file_bytes)
        return self.decode(path)


def key_of(path: str, max_file_bytes: int) -> int:
    """The key of a file in a store; Refused if there is no such file, or it is too large."""
    text = f"{VERSION}|{identity(path, max_file_bytes)}"
    return digest(text.encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def _named(file: str) -> Iterator[None]:
    try:
        yield
    except Refused as refusal:
        raise Refused(f"{file}: {refusal} (it was there when the table was loaded)") from None


@dataclass
class _Checked:
    """The result of the first pass for one cell."""

    cell: str
    path: str = ""
    key: int = 0
    digest: int = 0
    data: bytes | None = None
    reason: str = ""
    notes: list[str] = field(default_factory=list)
