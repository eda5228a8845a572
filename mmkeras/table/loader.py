"""Your own data: a CSV that names texts, pictures and recordings becomes batches for a model.

Every cell is a string and stays what it is; a cell that is empty, or holds only whitespace, is
blank, and blank means that this modality is absent in this row. Everything else that is wrong is
said, with the row number that a spreadsheet shows.
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

from .. import assets
from . import duplicates, features
from .arguments import FILES, Options, check_used_once
from .characters import visible
from .checks import check_cells, check_classes, class_names
from .columns import MODALITIES
from .decode import decode_image
from .features import Numbers, Style
from .media import Files
from .problems import Problems, TableError
from .reading import Cells, read_cells
from .recordings import clip_length, decode_audio
from .table import Table
from .words import vectorizer, words_of


def load_table(
    path: str | Path,
    *,
    text: str | None = None,
    image: str | None = None,
    audio: str | None = None,
    numbers: Sequence[str] | Mapping[str, Any] | None = None,
    categories: Sequence[str] | None = None,
    label: str | None = "label",
    split: str | None = None,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    group: str | None = None,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    words: int = 32,
    tokens: str = "word",
    vocabulary: Sequence[str] | None = None,
    vocabulary_size: int = 5000,
    image_size: Sequence[int] = (64, 64),
    audio_rate: int = 8000,
    audio_seconds: float = 2.0,
    on_error: str = "raise",
    allow_missing_columns: bool = False,
    allow_duplicates: bool = False,
    allow_outside: bool = False,
    least_rows: int = 1,
    max_pixels: int = 64_000_000,
    max_file_bytes: int = 256 * 1024**2,
    max_audio_seconds: float = 3600.0,
    encoding: str = "utf-8",
    delimiter: str = ",",
    cache: str | Path | bool | None = None,
) -> Table:
    """A CSV of texts, paths of pictures and recordings, numbers, categories and labels; checked,
    split, streamed.

    The first pass opens every distinct file once, decodes it in parallel and keeps the result on
    disk, not in memory. Paths are relative to the folder of the CSV. Pictures: PNG, JPEG, WebP,
    BMP, GIF, TIFF (the first frame or page); recordings: WAV, FLAC, OGG, MP3, AIFF, AU; by content,
    whatever the name says.

    Args:
        path: the CSV; its first record is the header. Blank lines are ignored.
        text, image, audio: names of columns.
        numbers: names of columns of numbers, standardised on the training rows, with the mean for
            what is blank (or says NA, NaN, null, none, "-" or "?"). Each column has one decimal
            mark, which its cells must tell, and one currency or per cent sign for all or none.
            Or ``settings["numbers"]`` of the table that the model was trained on.
        categories: names of columns of a few words or codes: a feature for each that is not rare.
        label: name of the column of classes, or None where they are to be predicted.
        split: name of a column that says "train", "valid" or "test" in each row, or None.
        fractions: shares of training, validation and test rows where there is no such column; they
            add up to 1. Each class is dealt out by itself (stratified).
        group: name of a column whose equal values stay on one side: a patient, an author; it may
            be a modality's, so that rows with the same picture stay together. A blank one is a
            group by itself.
        seed: of the draw.
        classes: class names in order; labels that are not among them are refused. None: those in
            the file, sorted.
        words: tokens a text is cut or padded to.
        tokens: "word" (split at whitespace), or "character" for scripts without spaces. Either
            way text becomes lower case, and punctuation a space: see `words.standardize`.
        vocabulary: of another table; None: learned from the training rows alone.
        vocabulary_size: most tokens to learn, padding and unknown included.
        image_size: (height, width) in pixels.
        audio_rate: samples per second, from 1000.
        audio_seconds: length of a clip; longer ones are cut, shorter ones padded with silence.
        on_error: "raise" one `TableError` that lists all problems, or "skip" the rows that have
            one, and list them in ``report``. Faults of the whole table are raised in any case.
        allow_missing_columns: an input's column that the file does not have is blank in every row.
        allow_duplicates: let equal rows fall into different parts. By default they are kept in
            one, unless a column ``split`` says otherwise; see `Table.duplicates`.
        allow_outside: let paths leave the folder of the CSV: by "..", a link, an absolute path.
        least_rows: rows of classes that have fewer are left out; `rare_classes` says which.
        max_pixels: larger pictures are refused before they are unpacked.
        max_file_bytes: larger files are refused unopened.
        max_audio_seconds: longer recordings are refused.
        encoding: of the CSV; UTF-8 with or without byte-order mark by default.
        delimiter: ";" for what a spreadsheet writes in many countries.
        cache: folder for decoded files, readable by its owner only. None: "tables" in the cache of
            this package (`mmkeras.assets.cache_dir`). It holds copies of your pictures and
            recordings: delete it with them. False: none; up to 1 GB of what was decoded lies in a
            nameless temporary file that goes with the process.

    Returns:
        A `Table`.

    Raises:
        TableError: the table or its files have problems.
        FileNotFoundError: there is no such CSV.
        ValueError: an argument is out of range.
    """
    return _load(Options(**locals()))


def _load(o: Options) -> Table:
    """Everything but the checks of arguments."""
    problems, used = Problems(), o.used
    check_used_once(used, problems)
    cells = read_cells(
        o.csv, used, o.optional, encoding=o.encoding, delimiter=o.delimiter, problems=problems
    )
    tidy(cells, used)
    if o.label is not None:
        cells = _without(cells, o.label, rare_classes(cells.columns[o.label], o.least_rows))
        if not cells.rows:
            reason = f"each class has fewer rows than least_rows={o.least_rows}: none is left"
            problems.add(0, o.label, "", reason)
            raise TableError(o.csv, problems.frame())
    numbers = _numbers(o, cells, problems)
    check_cells(cells, used, o.classes, problems)
    bad_cells = problems.rows()
    files = {modality: _files(o, modality) for modality in FILES if modality in used}
    for kind in files.values():
        _check_files(kind, o, cells, problems)

    # Under "raise" rows whose files are at fault are dealt out too, so that what is said about
    # classes and parts does not follow from what is said about files.
    out = problems.rows() if o.on_error == "skip" else bad_cells
    keep = np.flatnonzero([row not in out for row in cells.rows])
    rows, numbers = _frame(cells, used, keep), numbers.take(keep)
    if rows.empty and o.on_error == "raise":
        raise TableError(o.csv, problems.frame())
    twins = _add_parts(rows, o, files, numbers, problems)
    training = rows["part"].eq("train").to_numpy()
    ids, learned = _learn(rows, training, numbers, o, problems)
    if problems.of_the_table() or (problems.found and o.on_error == "raise"):
        raise TableError(o.csv, problems.frame())
    vectors, names = None, []
    if learned:
        rows["numbers"] = pd.Series(numbers.described(), dtype=object)
        vectors, names = features.vectors(numbers, learned), features.names(learned)
    classes = list(o.classes or (class_names(rows["label"]) if o.label is not None else []))
    settings = _settings(o, classes, words_of(ids), learned)
    return Table(
        tuple(o.inputs), classes, words_of(ids), rows, problems.frame(), settings, names, twins,
        files, ids, vectors,
    )  # fmt: skip


def _settings(
    o: Options, classes: list[str], vocabulary: list[str], learned: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        **{modality: getattr(o, modality) for modality in MODALITIES},
        "numbers": learned,
        "classes": classes or None,
        "words": o.words,
        "tokens": o.tokens,
        "vocabulary": vocabulary or None,
        "image_size": list(o.size),
        "audio_rate": o.audio_rate,
        "audio_seconds": o.audio_seconds,
    }


# ---- cells, files ---------------------------------------------------------------------------


def tidy(cells: Cells, used: Mapping[str, Sequence[str]]) -> None:
    """Labels, parts, groups, categories without what nobody sees; texts composed (NFC)."""
    paths = [*used.get("image", ()), *used.get("audio", ())]
    for role in ("label", "split", "group", "categories"):
        for name in used.get(role, ()):
            if name not in paths:  # a group may be the pictures
                cells.columns[name] = [visible(cell) for cell in cells.columns[name]]
    for name in used.get("text", ()):
        cells.columns[name] = [unicodedata.normalize("NFC", c) for c in cells.columns[name]]


def rare_classes(labels: Sequence[str], least_rows: int) -> dict[str, int]:
    """Label → rows, of those that have fewer than that; blank ones are none."""
    counts = Counter(label for label in labels if label)
    return {label: n for label, n in sorted(counts.items()) if n < least_rows}


def _without(cells: Cells, column: str, values: Collection[str]) -> Cells:
    """The records in which the column has none of these values."""
    if not values:
        return cells
    keep = [i for i, cell in enumerate(cells.columns[column]) if cell not in values]
    columns = {name: [of[i] for i in keep] for name, of in cells.columns.items()}
    return Cells([cells.rows[i] for i in keep], columns)


def _numbers(o: Options, cells: Cells, problems: Problems) -> Numbers:
    """Numbers and categories of all rows; adds what is no number."""
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


def _files(o: Options, modality: str) -> Files:
    """The files of a column, to be decoded as the options say."""
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


def _check_files(files: Files, o: Options, cells: Cells, problems: Problems) -> None:
    """The first pass over the files of a column."""
    own = o.cache is None or o.cache is True
    folder = assets.cache_dir() / "tables" if own else Path(str(o.cache))
    files.open_store(None if o.cache is False else folder, o.csv)
    (column,) = o.used[files.modality]
    reasons = files.check(cells.columns[column])
    for row, cell in zip(cells.rows, cells.columns[column], strict=True):
        if cell in reasons:
            problems.add(row, column, cell, reasons[cell])


# ---- rows, parts, what is learned -----------------------------------------------------------


def _frame(cells: Cells, used: Mapping[str, Sequence[str]], keep: np.ndarray) -> pd.DataFrame:
    """The rows at these places, a column per role; numbers and categories are apart."""
    table: dict[str, Any] = {"row": np.array(cells.rows, np.int64)[keep]}
    for role in ("label", "split", "group", "text", "image", "audio"):
        for name in used.get(role, ()):
            column = cells.columns[name]
            table[role] = pd.Series([column[i] for i in keep], dtype=object)
    return pd.DataFrame(table)


def _add_parts(
    rows: pd.DataFrame, o: Options, files: Mapping[str, Files], numbers: Numbers, problems: Problems
) -> dict[str, Any]:
    """Adds ``part`` to the rows, the faults of classes and parts to the problems; the twins."""
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


def _learn(
    rows: pd.DataFrame, training: np.ndarray, numbers: Numbers, o: Options, problems: Problems
) -> tuple[Any, dict[str, Any] | None]:
    """The vectorizer of the texts, and what prepares numbers and categories; None without."""
    ids, learned = None, None
    if o.text is not None:
        texts = rows["text"][training].to_numpy(object)
        if not o.vocabulary and not any(texts):
            problems.add(0, o.text, "", "no training row has text to learn a vocabulary from")
        elif not problems.found or (o.on_error == "skip" and not problems.of_the_table()):
            ids = vectorizer(texts, o.words, o.tokens, o.vocabulary, o.vocabulary_size)
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
    return ids, learned
