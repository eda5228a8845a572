"""Your own data: a CSV that names texts, pictures and recordings becomes batches for a model.

Every cell is a string and stays what it is; a cell that is empty, or holds only whitespace, is
blank, and blank means that this modality is absent in this row. Everything else that is wrong is
said, with the row number that a spreadsheet shows.
"""

import functools
import itertools
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import assets
from .checks import (
    check_classes,
    check_gaps,
    check_groups,
    check_labels,
    check_parts,
    class_names,
)
from .decode import clip_length, decode_audio, decode_image
from .parts import PARTS, deal
from .reading import Cells, Problems, TableError, read_cells
from .store import Files, ahead

MODALITIES = ("text", "image", "audio")
UNKNOWN = "[UNK]"
# What Keras strips is ASCII; \p{P} is the punctuation of all scripts. Emoji are words, and stay.
_PUNCTUATION = r"[\p{P}$+<=>^`|~]"


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a CSV, ready to be read in batches. Made by `load_table`.

    Attributes:
        modalities: those that are given, in the order "text", "image", "audio"; the columns of
            ``present``.
        classes: class names; y counts along them. Empty if the table has no label.
        vocabulary: words by id: "" (padding), "[UNK]" (unknown), then the most frequent first.
            Empty if there is no text.
        rows: DataFrame of the rows that were kept: ``row`` (number in the file, the header is 1),
            ``label`` and ``group`` (if given), ``part``, and a column of cells (str, "" is blank)
            for each modality.
        report: DataFrame of what was skipped: ``row``, ``column``, ``value``, ``reason``.
        settings: what other rows need to be prepared in the same way, fit for JSON:
            ``load_table("new.csv", label=None, **table.settings)``.
    """

    modalities: tuple[str, ...]
    classes: list[str]
    vocabulary: list[str]
    rows: pd.DataFrame
    report: pd.DataFrame
    settings: dict[str, Any]
    _files: dict[str, Files] = field(repr=False)
    _vectorizer: Any = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @functools.cached_property
    def y(self) -> np.ndarray | None:
        """Class numbers, int32 (rows,); None without a label."""
        if "label" not in self.rows:
            return None
        return pd.Categorical(self.rows["label"], categories=self.classes).codes.astype(np.int32)

    @functools.cached_property
    def _places(self) -> dict[str, np.ndarray]:
        return {name: files.places(self.rows[name]) for name, files in self._files.items()}

    def __repr__(self) -> str:
        parts = ", ".join(f"{n} {part}" for part, n in self.parts.items())
        return f"Table({len(self)} rows ({parts}) with {', '.join(self.modalities)})"

    @property
    def parts(self) -> dict[str, int]:
        """Number of rows a part; without a label all rows are in "all"."""
        counts = Counter(self.rows["part"])
        return {part: counts[part] for part in (("all",) if "all" in counts else PARTS)}

    def dataset(
        self,
        part: str = "train",
        batch_size: int = 32,
        shuffle: bool | None = None,
        seed: int = 0,
        *,
        present: bool = True,
        first_pass: int = 0,
    ) -> Any:
        """A streaming `tf.data.Dataset` of ``(x, y)``, or of ``x`` alone without a label.

        Files are read (from the cache, or decoded) a few batches ahead, in parallel. Each pass
        holds every row once; the last batch may be smaller.

        Args:
            part: "train", "valid", "test" or "all".
            batch_size: rows a batch, at least 1.
            shuffle: a new order in each pass; None: for "train" only. Otherwise the rows come as
                in the file.
            seed: of the orders: the same seed gives the same sequence of orders.
            present: include the presence mask, for `multimodal_model(…, missing=True)`.
            first_pass: skip so many orders: a training that goes on in epoch 5 passes 5.

        Returns:
            ``x`` is a dict with, if given, "text" int32 (batch, words), "image" uint8 (batch,
            height, width, 3) from 0 to 255, "audio" float32 (batch, samples) in [-1, 1], and
            "present" float32 (batch, modalities), 1 where a modality is there and 0 where it is
            absent; what is absent is all zeros. ``y`` is int32 (batch,).

        Raises:
            ValueError: an unknown part, one without rows, a wrong batch size.
        """
        import tensorflow as tf

        index = self._index(part)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number from 1 up, got {batch_size!r}")
        shuffled = part == "train" if shuffle is None else shuffle
        passes = itertools.count(first_pass)

        def batches() -> Iterator[Any]:
            rng = np.random.default_rng((seed, next(passes)))
            order = rng.permutation(index) if shuffled else index
            starts = range(0, len(order), batch_size)
            yield from ahead(self._batch, (order[i : i + batch_size] for i in starts))

        stream = tf.data.Dataset.from_generator(batches, output_signature=self._signature())
        stream = stream.apply(
            tf.data.experimental.assert_cardinality(math.ceil(len(index) / batch_size))
        )
        return stream.map(self._finish(present)).prefetch(2)

    def _index(self, part: str) -> np.ndarray:
        if part not in (*PARTS, "all"):
            raise ValueError(f"part must be one of {', '.join((*PARTS, 'all'))}, got {part!r}")
        index = np.arange(len(self.rows))
        if part != "all":
            index = index[(self.rows["part"] == part).to_numpy()]
        if not len(index):
            raise ValueError(f"no row is in {part!r}; the rows are in {self.parts}")
        return index

    def _batch(self, index: np.ndarray) -> Any:
        """NumPy arrays of some rows; texts are still bytes."""
        x: dict[str, np.ndarray] = {}
        present = np.ones((len(index), len(self.modalities)), np.float32)
        for column, modality in enumerate(self.modalities):
            if modality == "text":
                texts = self.rows["text"].iloc[index].tolist()
                x["text"] = np.array([text.encode() for text in texts], object)
                present[:, column] = [bool(text) for text in texts]
            else:
                places = self._places[modality][index]
                x[modality] = self._files[modality].read(places)
                present[:, column] = places >= 0
        x["present"] = present
        return x if self.y is None else (x, self.y[index])

    def _signature(self) -> Any:
        import tensorflow as tf

        x = {name: tf.TensorSpec((None,), tf.string) for name in self.modalities}
        for name, files in self._files.items():
            x[name] = tf.TensorSpec((None, *files.shape), files.dtype)
        x["present"] = tf.TensorSpec((None, len(self.modalities)), tf.float32)
        return x if self.y is None else (x, tf.TensorSpec((None,), tf.int32))

    def _finish(self, present: bool) -> Callable:
        import tensorflow as tf

        def finish(x: dict[str, Any], *y: Any) -> Any:
            x = dict(x)
            if self._vectorizer is not None:
                x["text"] = tf.cast(self._vectorizer(x["text"]), tf.int32)
            if not present:
                del x["present"]
            return (x, *y) if y else x

        return finish


def load_table(
    path: str | Path,
    *,
    text: str | None = None,
    image: str | None = None,
    audio: str | None = None,
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
    allow_outside: bool = False,
    max_pixels: int = 64_000_000,
    max_file_bytes: int = 256 * 1024**2,
    max_audio_seconds: float = 3600.0,
    encoding: str = "utf-8",
    delimiter: str = ",",
    cache: str | Path | bool | None = None,
) -> Table:
    """A CSV of texts, paths of pictures and recordings, and labels; checked, split, streamed.

    The first pass opens every distinct file once, decodes it in parallel and keeps the result on
    disk, not in memory. Paths are relative to the folder of the CSV. Pictures: PNG, JPEG, WebP;
    recordings: WAV, FLAC, OGG; by content, whatever the name says.

    Args:
        path: the CSV; its first record is the header. Blank lines are ignored.
        text, image, audio: names of columns; at least one.
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
            way text becomes lower case and loses its punctuation.
        vocabulary: of another table; None: learned from the training rows alone.
        vocabulary_size: most tokens to learn, padding and unknown included.
        image_size: (height, width) in pixels.
        audio_rate: samples per second, from 1000.
        audio_seconds: length of a clip; longer ones are cut, shorter ones padded with silence.
        on_error: "raise" one `TableError` that lists all problems, or "skip" the rows that have
            one, and list them in ``report``. Faults of the whole table are raised in any case.
        allow_missing_columns: a text, image or audio column that the file does not have is blank
            in every row.
        allow_outside: let paths leave the folder of the CSV: by "..", a link, an absolute path.
        max_pixels: larger pictures are refused before they are unpacked.
        max_file_bytes: larger files are refused unopened.
        max_audio_seconds: longer recordings are refused.
        encoding: of the CSV; UTF-8 with or without byte-order mark by default.
        delimiter: ";" for what a spreadsheet writes in many countries.
        cache: folder for decoded files, readable by its owner only. None: "tables" in the cache of
            this package (`mmkeras.assets.cache_dir`). False: none, files are decoded at each pass.
            It holds copies of your pictures and recordings: delete it with them.

    Returns:
        A `Table`.

    Raises:
        TableError: the table or its files have problems.
        FileNotFoundError: there is no such CSV.
        ValueError: an argument is out of range.
    """
    columns = {m: c for m, c in zip(MODALITIES, (text, image, audio), strict=True) if c is not None}
    _check_arguments(columns, label, fractions, classes, vocabulary, tokens, on_error)
    _check_sizes(words, vocabulary_size, image_size, audio_rate, audio_seconds)
    size = (image_size[0], image_size[1])
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no CSV at {path}")
    roles = {**columns, "label": label, "split": split, "group": group}
    used = {role: name for role, name in roles.items() if name is not None}
    problems = Problems()
    _check_used_once(used, problems)
    optional = tuple(columns) if allow_missing_columns else ()
    cells = read_cells(
        path, used, optional, encoding=encoding, delimiter=delimiter, problems=problems
    )
    _check_cells(cells, used, classes, problems)
    bad_cells = problems.rows()
    folder = os.path.realpath(path.parent)
    images = functools.partial(decode_image, size=size, max_pixels=max_pixels)
    sounds = functools.partial(
        decode_audio, rate=audio_rate, seconds=audio_seconds, max_seconds=max_audio_seconds
    )
    samples = clip_length(audio_rate, audio_seconds)
    records = {"image": ((*size, 3), np.uint8, images), "audio": ((samples,), np.float32, sounds)}
    files = {
        modality: Files(modality, *record, folder, allow_outside, max_file_bytes)
        for modality, record in records.items()
        if modality in columns
    }
    for kind in files.values():
        _check_files(kind, path, columns[kind.modality], cells, cache, problems)

    # Under "raise" rows whose files are at fault are dealt out too, so that what is said about
    # classes and parts does not follow from what is said about files.
    rows = _frame(cells, used, problems.rows() if on_error == "skip" else bad_cells)
    if rows.empty and on_error == "raise":
        raise TableError(path, problems.frame())
    _add_parts(rows, used, fractions, seed, classes is not None, problems)
    training = rows["part"].eq("train").to_numpy()
    if text and not vocabulary and not any(rows["text"][training]):
        problems.add(0, text, "", "no training row has text to learn a vocabulary from")
    if problems.of_the_table() or (problems.found and on_error == "raise"):
        raise TableError(path, problems.frame())
    ids = None
    if text:
        texts = rows["text"][training].to_numpy(object)
        ids = vectorizer(texts, words, tokens, vocabulary, vocabulary_size)
    names = list(classes or (class_names(rows["label"]) if label else []))
    settings = {
        **{modality: columns.get(modality) for modality in MODALITIES},
        "classes": names or None,
        "words": words,
        "tokens": tokens,
        "vocabulary": _words(ids) or None,
        "image_size": list(size),
        "audio_rate": audio_rate,
        "audio_seconds": audio_seconds,
    }
    return Table(tuple(columns), names, _words(ids), rows, problems.frame(), settings, files, ids)


# ---- arguments ------------------------------------------------------------------------------


def _check_arguments(
    columns: Mapping[str, str],
    label: str | None,
    fractions: Sequence[float],
    classes: Sequence[str] | None,
    vocabulary: Sequence[str] | None,
    tokens: str,
    on_error: str,
) -> None:
    if not columns:
        raise ValueError('name at least one column, as in text="text" or image="image"')
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
    if tokens not in ("word", "character"):
        raise ValueError(f"tokens must be 'word' or 'character', got {tokens!r}")
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(
            f"fractions must be three shares (train, valid, test) that add up to 1, got {fractions}"
        )
    if classes is not None and (isinstance(classes, str) or len(set(classes)) < 2):
        raise ValueError(f"classes must be at least two different names, got {classes!r}")
    if classes is not None and len(set(classes)) < len(classes):
        raise ValueError(f"classes must not repeat a name, got {classes!r}")
    if label is None and "text" in columns and not vocabulary:
        raise ValueError(
            "without a label there is no training part to learn words from: pass the vocabulary "
            "of the table that the model was trained on"
        )
    if vocabulary and (vocabulary[0] != "" or len(set(vocabulary)) < max(2, len(vocabulary))):
        raise ValueError(
            f"vocabulary must start with '' and {UNKNOWN!r} and not repeat a word, as "
            "Table.vocabulary does"
        )


def _check_sizes(
    words: int, vocabulary_size: int, image_size: Sequence[int], rate: int, seconds: float
) -> None:
    whole = {"words": (words, 1), "vocabulary_size": (vocabulary_size, 3)}
    if len(image_size) != 2:
        raise ValueError(f"image_size must be (height, width), got {image_size}")
    whole |= {f"image_size[{i}]": (n, 1) for i, n in enumerate(image_size)}
    whole["audio_rate"] = (rate, 1000)
    for name, (value, least) in whole.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number from {least} up, got {value!r}")
    if not 0 < seconds < math.inf or clip_length(rate, seconds) < 1:
        raise ValueError(f"audio_seconds must be a length above 0, got {seconds!r}")


def _check_used_once(used: Mapping[str, str], problems: Problems) -> None:
    """Each column has one role; only a group may be a modality's column too."""
    for name, count in Counter(name for role, name in used.items() if role != "group").items():
        if count > 1:
            roles = " and ".join(f"{role}=" for role, other in used.items() if other == name)
            problems.add(1, name, "", f"the column is used for {roles}; each needs its own")
    for role in ("label", "split"):
        if role in used and used.get("group") == used[role]:
            problems.add(1, used[role], "", f"the column is used for group= and {role}=")


def _check_cells(
    cells: Cells, used: Mapping[str, str], classes: Sequence[str] | None, problems: Problems
) -> None:
    check_gaps(cells, [used[modality] for modality in MODALITIES if modality in used], problems)
    if "label" in used:
        check_labels(cells, used["label"], classes, problems)
    if "split" in used:
        check_parts(cells, used["split"], problems)
        if "group" in used:
            check_groups(cells, used["group"], used["split"], problems)


def _check_files(
    files: Files,
    path: Path,
    column: str,
    cells: Cells,
    cache: str | Path | bool | None,
    problems: Problems,
) -> None:
    """The first pass over the files of a column."""
    if cache is not False:
        folder = assets.cache_dir() / "tables" if cache is None or cache is True else Path(cache)
        files.open_store(folder, path)
    reasons = files.check(cells.columns[column])
    for row, cell in zip(cells.rows, cells.columns[column], strict=True):
        if cell in reasons:
            problems.add(row, column, cell, reasons[cell])


# ---- rows, parts, words ---------------------------------------------------------------------


def _frame(cells: Cells, used: Mapping[str, str], out: set[int]) -> pd.DataFrame:
    """The rows that are not in ``out``, a column a role."""
    keep = [i for i, row in enumerate(cells.rows) if row not in out]
    table: dict[str, Any] = {"row": np.array(cells.rows, np.int64)[keep]}
    for role in ("label", "split", "group", *MODALITIES):
        if role in used:
            column = cells.columns[used[role]]
            table[role] = pd.Series([column[i] for i in keep], dtype=object)
    return pd.DataFrame(table)


def _add_parts(
    rows: pd.DataFrame,
    used: Mapping[str, str],
    fractions: Sequence[float],
    seed: int,
    fixed: bool,
    problems: Problems,
) -> None:
    """Adds ``part`` to the rows, and the faults of classes and parts to the problems."""
    if "split" in used:
        parts = rows.pop("split").to_numpy(object)
    elif "label" in used:
        groups = rows["group"].tolist() if "group" in used else None
        parts = deal(rows["label"].tolist(), groups, fractions, seed, problems)
    else:
        parts = np.full(len(rows), "all", object)
    rows.insert(1, "part", pd.Series(parts, dtype=object))
    if "label" in used:
        check_classes(rows["label"].tolist(), parts.tolist(), used["label"], fixed, problems)
    elif rows.empty:
        problems.add(0, None, "", "no row is left")


def vectorizer(
    texts: np.ndarray,
    words: int,
    tokens: str,
    vocabulary: Sequence[str] | None,
    vocabulary_size: int,
) -> Any:
    """A `keras.layers.TextVectorization`: string (batch,) → int64 ids (batch, words).

    Text becomes lower case (in all scripts, where Keras knows ASCII) and loses its punctuation;
    emoji stay. The words are those of ``vocabulary``, or the most frequent of ``texts``.
    """
    import keras
    import tensorflow as tf

    def clean(text: Any) -> Any:
        text = tf.strings.regex_replace(tf.strings.lower(text, "utf-8"), _PUNCTUATION, "")
        return tf.strings.regex_replace(text, r"\s+", "" if tokens == "character" else " ")

    layer = keras.layers.TextVectorization(
        max_tokens=None if vocabulary else vocabulary_size,
        standardize=clean,
        split="whitespace" if tokens == "word" else "character",
        output_sequence_length=words,
        vocabulary=list(vocabulary) if vocabulary else None,
        name="text_ids",
    )
    if not vocabulary:
        layer.adapt(texts[i : i + 1024] for i in range(0, len(texts), 1024))
    return layer


def _words(layer: Any) -> list[str]:
    return [] if layer is None else [str(word) for word in layer.get_vocabulary()]
