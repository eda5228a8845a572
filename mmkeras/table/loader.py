"""Your own data: a CSV that names texts, pictures and recordings becomes batches for a model.

Every cell is read as a string. A cell that is empty, or holds only whitespace, is blank, which
means that this modality is absent in this row. Everything else that is wrong is reported, with the
row number that a spreadsheet shows.
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import features, steps
from .arguments import FILES, Options, check_used_once
from .checks import check_cells, class_names
from .columns import MODALITIES
from .problems import Problems, TableError
from .reading import Records, read_cells
from .table import Table
from .words import words_of


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
    ngrams: int = 1,
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
    """Read, check and split a CSV of texts, paths of pictures and recordings, numbers and labels.

    The first pass opens every distinct file once, decodes the files in parallel and keeps the
    results on disk, not in memory. Paths are relative to the folder of the CSV. Pictures may be
    PNG, JPEG, WebP, BMP, GIF or TIFF (the first frame or page), and recordings WAV, FLAC, OGG, MP3,
    AIFF or AU; the content decides, not the name of the file.

    Args:
        path: the CSV; its first record is the header. Blank lines are ignored.
        text, image, audio: names of columns.
        numbers: names of columns of numbers, standardised on the training rows, with the mean in
            place of a blank cell (or of NA, NaN, null, none, "-" or "?"). Each column has one
            decimal mark, which its cells must tell, and the same currency or per cent sign, if any,
            in all cells. Or ``settings["numbers"]`` of the table that the model was trained on.
        categories: names of columns of a few words or codes; each that is not rare is a feature.
        label: name of the column of classes, or None if they are to be predicted.
        split: name of a column that says "train", "valid" or "test" in each row, or None.
        fractions: shares of training, validation and test rows if there is no such column; they
            add up to 1. Each class is divided separately (stratified).
        group: name of a column whose equal values stay on one side, such as the patient or the
            author. It may be the column of a modality, so that rows with the same picture stay
            together. A row with a blank cell is a group of its own.
        seed: seed of the split, int from 0.
        classes: class names in order; other labels are problems. None: those in the file, sorted.
        words: number of tokens to which a text is cut or padded.
        tokens: "word" (split at whitespace), or "character" for scripts without spaces. In both
            cases text becomes lower case, and punctuation a space: see `words.standardize`.
            Or "wordpiece": what `mmkeras.pretrained.minilm_l6` reads, by its own vocabulary.
        ngrams: sequences of 2, … up to so many tokens are tokens, too, after the single ones.
        vocabulary: that of another table; None: learned from the training rows alone.
        vocabulary_size: largest number of tokens to learn, padding and unknown included.
        image_size: (height, width) in pixels.
        audio_rate: samples per second, from 1000.
        audio_seconds: length of a clip; longer ones are cut, shorter ones padded with silence.
        on_error: "raise" one `TableError` that lists all problems, or "skip" the rows that have
            one, and list them in ``report``. Problems of the whole table are raised in any case.
        allow_missing_columns: whether an input's column may be absent from the file, in which case
            it is blank in every row.
        allow_duplicates: whether equal rows may fall into different parts. By default they are kept
            in one part, unless a column ``split`` says otherwise; see `Table.duplicates`.
        allow_outside: whether paths may leave the folder of the CSV, by "..", by a link, or as
            absolute paths.
        least_rows: classes with fewer rows are left out; `rare_classes` says which.
        max_pixels: pictures with more pixels are refused before they are unpacked.
        max_file_bytes: larger files are refused unopened.
        max_audio_seconds: longer recordings are refused.
        encoding: encoding of the CSV; by default UTF-8, with or without byte-order mark.
        delimiter: character between cells; in many countries spreadsheets write ";".
        cache: folder for decoded files, readable only by its owner. None: "tables" in the cache of
            this package (`mmkeras.assets.cache_dir`). It holds copies of your pictures and
            recordings, so delete them together: mmkeras data forget. False: no folder; up to 1 GB
            of decoded files is kept in an unnamed temporary file, which vanishes with the process.

    Returns:
        A `Table`.

    Raises:
        TableError: the table or its files have problems.
        FileNotFoundError: the CSV does not exist.
        ValueError: an argument is out of range.
    """
    return _load(Options(**locals()))


def load_records(path: str | Path, records: Records, **arguments: Any) -> Table:
    """As `load_table(path, **arguments)`, but of these records only.

    Args:
        records: (row number, cells) as from `read_records`; the first one is the header.

    Raises:
        TableError: as for `load_table`; also if no row is left, whatever ``on_error`` says.
    """
    defaults = {name: of.default for name, of in inspect.signature(load_table).parameters.items()}
    return _load(Options(**defaults | arguments | {"path": path}), records)


def _load(o: Options, records: Records | None = None) -> Table:
    """Load the table; the arguments are already checked."""
    problems, used = Problems(), o.used
    check_used_once(used, problems)
    cells = read_cells(
        o.csv, used, o.optional, encoding=o.encoding, delimiter=o.delimiter, problems=problems,
        records=records,
    )  # fmt: skip
    steps.tidy(cells, used)
    if o.label is not None:
        rare = steps.rare_classes(cells.columns[o.label], o.least_rows)
        cells = steps.without(cells, o.label, rare)
        if not cells.rows:
            reason = f"each class has fewer rows than least_rows={o.least_rows}: none is left"
            problems.add(0, o.label, "", reason)
            raise TableError(o.csv, problems.frame())
    numbers = steps.numbers_of(o, cells, problems)
    check_cells(cells, used, o.classes, problems)
    bad_cells = problems.rows()
    files = {modality: steps.files_of(o, modality) for modality in FILES if modality in used}
    for kind in files.values():
        steps.check_files(kind, o, cells, problems)

    # Under "raise", rows with faulty files are divided, too, so that problems of files cause no
    # further problems of classes and parts.
    out = problems.rows() if o.on_error == "skip" else bad_cells
    keep = np.flatnonzero([row not in out for row in cells.rows])
    rows, numbers = steps.frame(cells, used, keep), numbers.take(keep)
    if rows.empty and o.on_error == "raise":
        raise TableError(o.csv, problems.frame())
    twins = steps.add_parts(rows, o, files, numbers, problems)
    training = rows["part"].eq("train").to_numpy()
    ids, learned = steps.learn(rows, training, numbers, o, problems)
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
        files, ids, vectors, steps.kept_of(o),
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
        "ngrams": o.ngrams,
        "vocabulary": vocabulary or None,
        "image_size": list(o.size),
        "audio_rate": o.audio_rate,
        "audio_seconds": o.audio_seconds,
    }
