"""Rows of the test part to look at, with what the model saw and what it predicted."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
MISTAKES, RIGHT = 12, 6  # shown in the report


@dataclass
class Example:
    """One row of the test part.

    Attributes:
        row: its number in the file; the header is row 1.
        truth, predicted: class names; `probability` is that of `predicted`.
        text: the cell, or None.
        picture: uint8 (height, width, 3), or None.
        sound: float (samples,) at `rate` samples per second, or None.
        numbers: such as "age=54, ward=B", or None.
    """

    row: int
    truth: str
    predicted: str
    probability: float
    text: str | None = None
    picture: Array | None = None
    sound: Array | None = None
    rate: int = 0
    numbers: str | None = None


def pick(y: Array, p: Array, mistakes: int = MISTAKES, right: int = RIGHT) -> tuple[Array, Array]:
    """Positions of the surest mistakes, the surest first, and of some right answers.

    The right answers are spread evenly from the surest to the least sure.
    """
    predicted, sure = p.argmax(axis=1), p.max(axis=1)
    order = np.argsort(-sure, kind="stable")
    wrong, good = (order[(predicted != y)[order] == is_wrong] for is_wrong in (True, False))
    spread = np.linspace(0, len(good) - 1, min(right, len(good))).round().astype(int)
    return wrong[:mistakes], good[spread]


def examples(table: Any, y: Array, p: Array, part: str = "test") -> list[Example]:
    """The surest mistakes of a part, then some right answers, as the model saw them."""
    mistakes, right = pick(y, p)
    return at(table, y, p, [*mistakes, *right], part)


def at(table: Any, y: Array, p: Array, places: list[int], part: str = "test") -> list[Example]:
    """The rows at these positions of a part, in the order given."""
    rows = table.rows if part == "all" else table.rows[table.rows["part"] == part]
    predicted, sure = p.argmax(axis=1), p.max(axis=1)
    found, start = {}, 0
    for x, labels in table.dataset(part, shuffle=False).as_numpy_iterator():
        for i in (i for i in places if start <= i < start + len(labels)):
            row = rows.iloc[i]
            there = dict(zip(table.modalities, x["present"][i - start], strict=True))
            found[i] = Example(
                int(row["row"]),
                table.classes[y[i]],
                table.classes[predicted[i]],
                float(sure[i]),
                row["text"] if there.get("text") else None,
                x["image"][i - start] if there.get("image") else None,
                x["audio"][i - start] if there.get("audio") else None,
                table.settings["audio_rate"],
                row["numbers"] if there.get("numbers") else None,
            )
        start += len(labels)
    return [found[i] for i in places]
