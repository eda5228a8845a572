"""What can be taken out of one row of a table: words, patches, stretches of sound, columns.

A word is cut out of the cell itself, so that the model reads the rest as it would read any other
cell. A patch of a picture gets the mean colour of the picture, a stretch of a recording becomes
silence, a number becomes the mean of the training rows, and a category their most frequent one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..explain.regions import mixed, regions
from . import features

# Scripts without spaces between words, in which each character is a part.
_ALONE = "\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
WORDS = re.compile(rf"[{_ALONE}]|[^\s{_ALONE}]+")
MOST = 60  # parts of a text; longer texts are cut into stretches of several words
Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Cut:
    """One modality of one row, divided into R parts that can be taken out.

    Attributes:
        modality: its name.
        names: of the parts.
        without: bool (k, R), True where a part stays → the inputs that change, name → (k, …).
        spans: of a text, the places of its parts in the cell: (start, end).
        labels: of a picture, the number of the part of each pixel, int (height, width); -1 is
            outside of all.
    """

    modality: str
    names: list[str]
    without: Callable[[np.ndarray], dict[str, np.ndarray]]
    spans: tuple[tuple[int, int], ...] = ()
    labels: np.ndarray | None = None


def of_text(table: Any, cell: str, x: Inputs) -> Cut | None:
    """The words of a cell; None if it has none.

    Args:
        table: the `Table` that makes ids of texts.
        cell: the text.
        x: the inputs of the row, (1, …).
    """
    spans = spans_of(cell, table.settings["tokens"] == "character")
    if not spans:
        return None
    column = table.modalities.index("text")

    def without(keep: np.ndarray) -> dict[str, np.ndarray]:
        texts = [rest(cell, spans, row) for row in keep]
        present = np.repeat(x["present"], len(keep), axis=0)
        present[:, column] = [bool(text) for text in texts]
        return {"text": table.ids(texts), "present": present}

    return Cut("text", [cell[start:end] for start, end in spans], without, spans)


def spans_of(text: str, characters: bool = False, most: int = MOST) -> tuple[tuple[int, int], ...]:
    """Where the words of a text stand; neighbours are put together if there are more than `most`.

    Args:
        characters: whether each character counts as a word.
    """
    found = [match.span() for match in re.finditer(r"\S" if characters else WORDS, text)]
    size = -(-len(found) // most) or 1
    groups = [found[i : i + size] for i in range(0, len(found), size)]
    return tuple((group[0][0], group[-1][1]) for group in groups)


def rest(text: str, spans: Sequence[tuple[int, int]], keep: np.ndarray) -> str:
    """The text without the spans that are not kept, as a cell would hold it."""
    pieces, end = [], 0
    for (start, stop), stays in zip(spans, keep, strict=True):
        pieces.append(text[end : stop if stays else start])
        end = stop
    return "".join([*pieces, text[end:]]).strip()


def of_picture(pixels: np.ndarray, grid: int) -> Cut:
    """grid × grid patches of a picture, (height, width, 3); its black margins belong to none."""
    top, bottom = _inside(pixels.max(axis=(1, 2)))
    left, right = _inside(pixels.max(axis=(0, 2)))
    inner = pixels[None, top:bottom, left:right]
    cells = (min(grid, bottom - top), min(grid, right - left))
    parts = regions({"image": inner}, {"image": cells})
    labels = np.full((1, *pixels.shape), -1)
    labels[:, top:bottom, left:right] = parts.labels["image"]
    fill = np.broadcast_to(inner.mean(axis=(0, 1, 2)).round(), (1, *pixels.shape))
    names = [f"row {i // cells[1] + 1}, column {i % cells[1] + 1}" for i in range(len(parts))]
    without = _mixing("image", labels, pixels[None], fill.astype(pixels.dtype))
    return Cut("image", names, without, labels=labels[0, :, :, 0])


def _inside(there: np.ndarray) -> tuple[int, int]:
    """From the first to behind the last that is not 0; all if there is none."""
    at = np.flatnonzero(there)
    return (int(at[0]), int(at[-1]) + 1) if len(at) else (0, len(there))


def of_sound(wave: np.ndarray, rate: int, stretches: int) -> Cut:
    """Equal stretches of a clip, (samples,)."""
    count = min(stretches, len(wave))
    labels = np.arange(len(wave))[None] * count // len(wave)
    edges = np.arange(count + 1) * len(wave) / count / rate
    names = [f"{a:.2f} to {b:.2f} s" for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return Cut("audio", names, _mixing("audio", labels, wave[None], np.zeros_like(wave[None])))


def of_numbers(vector: np.ndarray, learned: Mapping[str, Any], cells: Mapping[str, str]) -> Cut:
    """The columns of numbers and categories.

    Args:
        vector: what the model reads of the row, (features,).
        learned: ``table.settings["numbers"]``.
        cells: column → what the file says, "" if it is blank.
    """
    known = features.listed(learned)
    columns = list(dict.fromkeys(column for column, *_ in known))
    labels = np.array([[columns.index(column) for column, *_ in known]])
    usual = np.array([[float(what == "level" and level == first_level(learned, column))
                       for column, what, level in known]], vector.dtype)  # fmt: skip
    names = [f"{column} = {cells.get(column) or '(blank)'}" for column in columns]
    return Cut("numbers", names, _mixing("numbers", labels, vector[None], usual))


def first_level(learned: Mapping[str, Any], column: str) -> str | None:
    """The most frequent category of a column in the training rows."""
    levels = learned["categories"][column]["levels"]
    return str(levels[0]) if levels else None


def _mixing(name: str, labels: np.ndarray, x: np.ndarray, other: np.ndarray) -> Any:
    def without(keep: np.ndarray) -> dict[str, np.ndarray]:
        return mixed({name: labels}, {name: x}, {name: other}, keep)

    return without


def of_row(
    table: Any, place: int, x: Inputs, cells: Mapping[str, str], grid: int, stretches: int
) -> list[Cut]:
    """The cuts of all modalities that a row has.

    Args:
        place: of the row in `table.rows`.
        x: its inputs, (1, …).
        cells: column of the file → cell.
        grid, stretches: the patches along a side of a picture, and the stretches of a sound.
    """
    s, found = table.settings, []
    for column, modality in enumerate(table.modalities):
        if not x["present"][0, column]:
            continue
        if modality == "text":
            found.append(of_text(table, table.rows["text"].iloc[place], x))
        elif modality == "image":
            found.append(of_picture(x["image"][0], grid))
        elif modality == "audio":
            found.append(of_sound(x["audio"][0], s["audio_rate"], stretches))
        elif x["numbers"].shape[1]:
            found.append(of_numbers(x["numbers"][0], s["numbers"], cells))
    return [cut for cut in found if cut]
