"""The steps of `load_table`, in the order in which it takes them.

Each step adds what it finds wrong to the list of problems and goes on, so that one error names all
problems at once.
"""

import functools
import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import duplicates, features
from .arguments import Options
from .characters import visible
from .checks import check_classes
from .decode import decode_image
from .features import Numbers, Style
from .media import Files
from .problems import Problems
from .reading import Cells
from .recordings import clip_length, decode_audio
from .store import Kept
from .words import vectorizer, words_of

# ---- cells, files ---------------------------------------------------------------------------


def tidy(cells: Cells, used: Mapping[str, Sequence[str]]) -> None:
    """Remove invisible characters from labels, parts, groups, categories; compose texts (NFC)."""
    paths = [*used.get("image", ()), *used.get("audio", ())]
    for role in ("label", "split", "group", "categories"):
        for name in used.get(role, ()):
            if name not in paths:  # the group may be the column of pictures
                cells.columns[name] = [visible(cell) for cell in cells.columns[name]]
    for name in used.get("text", ()):
        cells.columns[name] = [unicodedata.normalize("NFC", c) for c in cells.columns[name]]


def rare_classes(labels: Sequence[str], least_rows: int) -> dict[str, int]:
    """Label → number of rows, for labels with fewer rows than `least_rows`; without blank ones."""
    counts = Counter(label for label in labels if label)
    return {label: n for label, n in sorted(counts.items()) if n < least_rows}


def without(cells: Cells, column: str, values: Collection[str]) -> Cells:
    """The records in which the column has none of these values."""
    if not values:
        return cells
    keep = [i for i, cell in enumerate(cells.columns[column]) if cell not in values]
    columns = {name: [of[i] for i in keep] for name, of in cells.columns.items()}
    return Cells([cells.rows[i] for i in keep], columns)


def numbers_of(o: Options, cells: Cells, problems: Problems) -> Numbers:
    """The numbers and categories of all rows; cells that are no numbers are added as problems."""
    found = Numbers()
    for name in o.number_columns:
        s = o.trained["numbers"][name] if o.trained else None
        style = Style(s["decimal"], s["sign"]) if s else None
        found.values[name], found.styles[name] = features.read_numbers(
            cells.columns[name], cells.rows, name, problems, delimiter=o.delimiter, style=style
        )
    for name in o.category_columns:
        found.levels[name] = np.array(cells.columns[name], object)
    return found


def files_of(o: Options, modality: str) -> Files:
    """The files of a column, which will be decoded by the options."""
    images = functools.partial(decode_image, size=o.size, max_pixels=o.max_pixels)
    sounds = functools.partial(
        decode_audio, rate=o.audio_rate, seconds=o.audio_seconds, max_seconds=o.max_audio_seconds
    )
    shape, dtype, decode = {
        "image": ((*o.size, 3), np.uint8, images),
        "audio": ((clip_length(o.audio_rate, o.audio_seconds),), np.float32, sounds),
    }[modality]
    folder = os.path.realpath(o.csv.parent)
    return Files(modality, shape, dtype, decode, folder, o.allow_outside, o.max_file_bytes)


def kept_of(o: Options) -> Kept | None:
    """Where copies of the files of the table are kept; None: nowhere."""
    if o.cache is False:
        return None
    return Kept.of(o.csv, None if o.cache in (None, True) else Path(str(o.cache)))


def check_files(files: Files, o: Options, cells: Cells, problems: Problems) -> None:
    """Make the first pass over the files of a column, and add their problems."""
    files.open_store(kept_of(o))
    (column,) = o.used[files.modality]
    reasons = files.check(cells.columns[column])
    for row, cell in zip(cells.rows, cells.columns[column], strict=True):
        if cell in reasons:
            problems.add(row, column, cell, reasons[cell])


# ---- rows, parts, what is learned -----------------------------------------------------------


def frame(cells: Cells, used: Mapping[str, Sequence[str]], keep: np.ndarray) -> pd.DataFrame:
    """The rows at these places, with a column per role except for numbers and categories."""
    table: dict[str, Any] = {"row": np.array(cells.rows, np.int64)[keep]}
    for role in ("label", "split", "group", "text", "image", "audio"):
        for name in used.get(role, ()):
            column = cells.columns[name]
            table[role] = pd.Series([column[i] for i in keep], dtype=object)
    return pd.DataFrame(table)


def add_parts(
    rows: pd.DataFrame, o: Options, files: Mapping[str, Files], numbers: Numbers, problems: Problems
) -> dict[str, Any]:
    """Add ``part`` to the rows, and problems of classes and parts; return `Table.duplicates`."""
    said = duplicates.none()
    kinds: dict[str, int] = {}
    codes = np.arange(len(rows))
    if o.label is not None and len(rows):
        codes, kinds = duplicates.twins(rows, files, numbers)
    if "split" in rows:
        parts = rows.pop("split").to_numpy(object)
        if o.label is not None:
            said["crossing"] = duplicates.crossing(codes, parts)
        said["together"] = not said["crossing"]
        if said["crossing"]:
            said["warning"] = (
                f"{said['crossing']} rows that the column {o.split!r} puts into 'valid' or 'test' "
                "equal rows in 'train'; the result on them says little"
            )
    elif o.label is not None:
        groups = rows["group"].tolist() if "group" in rows else None
        parts, said = duplicates.deal_together(
            codes, rows["label"].tolist(), groups, o.fractions, o.seed, problems,
            keep=not o.allow_duplicates,
        )  # fmt: skip
    else:
        parts = np.full(len(rows), "all", object)
    rows.insert(1, "part", pd.Series(parts, dtype=object))
    if o.label is not None:
        fixed = o.classes is not None
        check_classes(rows["label"].tolist(), parts.tolist(), o.label, fixed, problems)
    elif rows.empty:
        problems.add(0, None, "", "no row is left")
    return {**said, "rows": sum(kinds.values()), "kinds": {**said["kinds"], **kinds}}


def learn(
    rows: pd.DataFrame, training: np.ndarray, numbers: Numbers, o: Options, problems: Problems
) -> tuple[Any, dict[str, Any] | None]:
    """The vectorizer of the texts, and the settings of numbers and categories; None without."""
    ids, learned = None, None
    if o.text is not None:
        texts = rows["text"][training].to_numpy(object)
        if not o.vocabulary and not any(texts):
            problems.add(0, o.text, "", "no training row has text to learn a vocabulary from")
        elif not problems.found or (o.on_error == "skip" and not problems.of_the_table()):
            ids = vectorizer(texts, o.words, o.tokens, o.vocabulary, o.vocabulary_size, o.ngrams)
            if len(words_of(ids)) < 3 and not o.vocabulary:
                reason = "no training row has a word to learn a vocabulary from: punctuation only"
                problems.add(0, o.text, "", reason)
    if "numbers" in o.inputs:
        learned = dict(o.trained) if o.trained else features.learn(numbers, training)
        if not features.names(learned):
            reason = "the training rows differ in no number and no category: nothing to learn from"
            problems.add(0, None, "", reason)
        elif not o.trained:
            features.warn_of_constants(learned)
        else:
            features.warn_of_unknown(numbers, learned)
    return ids, learned
