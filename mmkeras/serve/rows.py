"""From the rows of a request to the inputs of a model, exactly as `load_table` makes them."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..table.characters import trimmed, visible
from ..table.columns import MODALITIES
from ..table.decode import decode_image
from ..table.features import Numbers, Style, names, read_numbers, vectors
from ..table.paths import Refused
from ..table.problems import Problems, did_you_mean, in_flags
from ..table.recordings import clip_length, decode_audio
from ..table.words import vectorizer

FILES = ("image", "audio")
Row = Mapping[str, str | bytes]


class Reader:
    """Reads rows with the settings of one run.

    Attributes:
        modalities: those of the run, in the order of its presence mask.
        kinds: column → "text", "image", "audio", "number" or "category", in the same order.
        shapes: name of an input → shape of one row and dtype.
        vectorizer: string (batch,) → ids, for the graph of the model; None if there is no text, or
            if `read` makes the ids.
    """

    def __init__(
        self, settings: Mapping[str, Any], *, max_pixels: int, max_audio_seconds: float
    ) -> None:
        self.table = s = settings["table"]
        self.max_pixels, self.max_audio_seconds = max_pixels, max_audio_seconds
        self.numbers = s.get("numbers") or {"numbers": {}, "categories": {}}
        self.kinds = {s[kind]: kind for kind in ("text", *FILES) if s.get(kind)}
        self.kinds |= dict.fromkeys(self.numbers["numbers"], "number")
        self.kinds |= dict.fromkeys(self.numbers["categories"], "category")
        here = {"numbers" if k in ("number", "category") else k for k in self.kinds.values()}
        self.modalities = tuple(name for name in MODALITIES if name in here)
        self.shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "text": ((), object),
            "image": ((*s["image_size"], 3), np.uint8),
            "audio": ((clip_length(s["audio_rate"], s["audio_seconds"]),), np.float32),
            "numbers": ((len(names(self.numbers)),), np.float32),
            "present": ((len(self.modalities),), np.float32),
        }
        self.vectorizer = self.pieces = None
        if "text" in here:
            given = (s["words"], s["tokens"], s["vocabulary"], 0, s.get("ngrams", 1))
            made = vectorizer(np.array([], object), *given)
            if s["tokens"] == "wordpiece":
                self.pieces = made
                self.shapes["text"] = ((s["words"],), np.int32)
            else:
                self.vectorizer = made
        self.shapes = {name: self.shapes[name] for name in (*self.modalities, "present")}

    def read(self, row: Row, at: int = 1) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
        """The inputs of one row, without a batch axis, and its problems (column and reason).

        Args:
            row: column → a cell (str), or the content of a file (bytes). An absent column, a blank
                cell and a file of 0 bytes mean that the row does not have it.
            at: number of the row, for messages.
        """
        problems = Problems()
        for column in row.keys() - self.kinds.keys():
            problems.add(at, column, "", f"no such column; {did_you_mean(column, [*self.kinds])}")
        found = {name: np.zeros(*of) for name, of in self.shapes.items() if name != "text"}
        there: dict[str, bool] = dict.fromkeys(self.modalities, False)
        for column, kind in self.kinds.items():
            if kind in FILES and (data := row.get(column)):
                try:
                    found[kind] = self._file(kind, data)
                    there[kind] = True
                except Refused as refusal:
                    problems.add(at, column, "", in_flags(str(refusal), trained=True))
            elif kind == "text":
                text = unicodedata.normalize("NFC", trimmed(self._cell(row, column, problems, at)))
                found["text"], there["text"] = self._text(text), bool(text)
        if "numbers" in there:
            numbers = self._numbers(row, problems, at)
            found["numbers"] = vectors(numbers, self.numbers)[0]
            there["numbers"] = bool(numbers.there()[0])
        if not any(there.values()) and not problems.found:
            given = " and ".join(map(repr, self.kinds))
            what = "is blank" if len(self.kinds) == 1 else "are all blank"
            problems.add(at, None, "", f"{what}: {given}")
        found["present"] = np.array([there[name] for name in self.modalities], np.float32)
        said = [{"column": c, "reason": in_flags(why, True)} for _, c, _, why in problems.found]
        return found, said

    def _cell(self, row: Row, column: str, problems: Problems, at: int) -> str:
        cell = row.get(column) or ""
        if isinstance(cell, str):
            return cell
        try:
            return cell.decode("utf-8")
        except UnicodeDecodeError:
            problems.add(at, column, "", f"is a {self.kinds[column]}, not a file: send text")
            return ""

    def _file(self, kind: str, data: str | bytes) -> np.ndarray:
        if isinstance(data, str):
            raise Refused(f"the {'picture' if kind == 'image' else 'recording'} must be a file")
        if kind == "image":
            return decode_image(data, tuple(self.table["image_size"]), self.max_pixels)
        rate, seconds = self.table["audio_rate"], self.table["audio_seconds"]
        return decode_audio(data, rate, seconds, self.max_audio_seconds)

    def _text(self, text: str) -> np.ndarray:
        if self.pieces is not None:
            return self.pieces.ids([text])[0]
        return np.array(text.encode(), object)

    def _numbers(self, row: Row, problems: Problems, at: int) -> Numbers:
        found = Numbers()
        for name, s in self.numbers["numbers"].items():
            cell = trimmed(self._cell(row, name, problems, at))
            style = Style(s["decimal"], s["sign"])
            found.values[name], found.styles[name] = read_numbers(
                [cell], [at], name, problems, style=style
            )
        for name in self.numbers["categories"]:
            cell = visible(trimmed(self._cell(row, name, problems, at)))
            found.levels[name] = np.array([cell], object)
        return found


def stacked(rows: Sequence[Mapping[str, np.ndarray]], size: int) -> dict[str, np.ndarray]:
    """Rows as one batch, padded to `size` with zeros (with "" for text).

    Returns:
        Name of an input → array (size, …), of the dtype of the rows.
    """
    batch = {}
    for name, first in rows[0].items():
        array = np.zeros((size, *first.shape), first.dtype)
        if first.dtype == object:
            array[:] = b""
        for i, row in enumerate(rows):
            array[i] = row[name][()]
        batch[name] = array
    return batch
