"""Which encoder reads a modality: each that there is, by the regression behind it alone."""

import math
import time
from collections.abc import Callable, Sequence

from . import choice, linear, sources
from .board import ALONE, Board, Entry
from .rows import Rows
from .sources import Source, TooSlow

Maker = Callable[[float], Source | str]  # seconds that it may take → a source, or why not
Found = tuple[float, str, list[Source]]  # validation loss, name, sources


def best_of(
    modality: str,
    rows: Rows,
    board: Board,
    *,
    pretrained_only: bool,
    end: float,
) -> tuple[str, list[Source]]:
    """The encoder whose regression has the lowest validation loss: its name and its sources.

    Args:
        board: gets an entry for each.
        pretrained_only: without the small encoders, where there is a large one.
        end: of the time, as `time.monotonic` counts it; the first is tried in any case.
    """
    small, large = _makers(modality, rows)
    makers = {**({} if large and pretrained_only else small), **large}
    found: list[Found] = []
    for name, make in makers.items():
        _try(modality, name, make, rows, board, found, end)
    if not found:  # a language that the pretrained encoder does not read
        for name, make in small.items():
            _try(modality, name, make, rows, board, found, end)
    for _, name, (source, *_) in list(found):
        if name == choice.NAMES["text"]:
            began = time.monotonic()
            both = [source, sources.counted(source)]
            _add(modality, choice.WITH_WORDS, both, rows, board, found, began)
    _, name, best = min(found, key=lambda one: one[0])
    return name, best


def _try(
    modality: str, name: str, make: Maker, rows: Rows, board: Board, found: list[Found], end: float
) -> None:
    began = time.monotonic()
    limit = end - began if found else math.inf  # one must be there
    try:
        source = make(limit) if limit > 0 else "no time was left"
    except TooSlow as slow:
        source = str(slow)
    if isinstance(source, str):
        board.add(Entry({modality: name}, ALONE, note=source))
    else:
        _add(modality, name, [source], rows, board, found, began)


def _add(
    modality: str, name: str, some: Sequence[Source], rows: Rows, board: Board,
    found: list[Found], began: float,
) -> None:  # fmt: skip
    p = rows.answer(some, rows.chosen(some))
    board.add(Entry({modality: name}, ALONE, p, time.monotonic() - began, some[0].note))
    found.append((float(linear.losses(p, board.y).mean()), name, list(some)))


def _makers(modality: str, rows: Rows) -> tuple[dict[str, Maker], dict[str, Maker]]:
    """Name → maker of the small encoders, which are always there, and of the pretrained."""
    table = rows.table
    small: dict[str, dict[str, Maker]] = {
        "text": {"TF-IDF": lambda _: sources.tf_idf(table)},
        "image": {},
        "audio": {"mel statistics": lambda _: sources.mel_statistics(table)},
        "numbers": {choice.AS_THEY_ARE: lambda _: sources.numbers(table)},
    }
    pretrained = {
        "text": sources.minilm, "image": sources.efficientnet, "audio": sources.whisper,
    }  # fmt: skip
    if modality not in pretrained or not choice.here(modality):
        return small[modality], {}
    make = pretrained[modality]
    large: dict[str, Maker] = {choice.NAMES[modality]: lambda seconds: make(table, seconds=seconds)}
    return small[modality], large
