"""`Table`: rows that were read and checked, streamed as batches for a model."""

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ..arguments import check_positive
from .media import Files
from .parts import PARTS
from .store import Kept, ahead
from .words import Pieces, words_of


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a CSV, ready to be read in batches. `load_table` makes it.

    Attributes:
        modalities: the given ones, in the order "text", "image", "audio", "numbers", which is that
            of the columns of ``present``.
        classes: class names, in the order of the class numbers ``y``. Empty without a label.
        vocabulary: words by id: "" (padding), "[UNK]" (unknown), then the most frequent first.
            Empty if there is no text.
        number_names: what each feature of "numbers" is: "age", "age is blank", "ward = B",
            "ward = other". Empty if there are neither numbers nor categories.
        rows: DataFrame of the rows that were kept: ``row`` (number in the file, the header is 1),
            ``label`` and ``group`` (if given), ``part``, and for each modality a column of cells
            (str, "" is blank); that of "numbers" holds the filled cells, as in "age=54, ward=B".
        report: DataFrame of the problems of skipped rows: ``row``, ``column``, ``value``,
            ``reason``.
        settings: the arguments, for JSON, with which other rows are prepared in the same way:
            ``load_table("new.csv", label=None, **table.settings)``.
        duplicates: a dict. "rows": number of rows that equal an earlier one; "kinds": these by kind
            ("cells", "file bytes", "pictures", "recordings"); "crossing": number of rows outside
            the training part that equal one in it, or did before equal rows were kept together;
            "together": whether equal rows were kept together; "warning": a warning, or "".
        kept: the folder in which copies and features of its files are kept, or None.
    """

    modalities: tuple[str, ...]
    classes: list[str]
    vocabulary: list[str]
    rows: pd.DataFrame
    report: pd.DataFrame
    settings: dict[str, Any]
    number_names: list[str]
    duplicates: dict[str, Any]
    _files: dict[str, Files] = field(repr=False)
    _vectorizer: Any = field(repr=False)
    _numbers: np.ndarray | None = field(repr=False)
    kept: Kept | None = field(default=None, repr=False)

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

    def paths(self, modality: str) -> list[str]:
        """The real paths of the pictures or recordings that the rows name, each once."""
        named = np.unique(self._places[modality])
        return [self._files[modality].paths[place] for place in named if place >= 0]

    def __repr__(self) -> str:
        parts = ", ".join(f"{n} {part}" for part, n in self.parts.items())
        return f"Table({len(self)} rows ({parts}) with {', '.join(self.modalities)})"

    @property
    def parts(self) -> dict[str, int]:
        """Number of rows per part; without a label, all rows are in the part "all"."""
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
        share: Any = None,
    ) -> Any:
        """A streaming `tf.data.Dataset` of ``(x, y)``, or of ``x`` alone without a label.

        Files are read (from the cache, or decoded) a few batches ahead, in parallel. Each pass
        holds every row once; the last batch may be smaller.

        Args:
            part: "train", "valid", "test" or "all".
            batch_size: rows per batch, at least 1.
            shuffle: whether each pass has a new order; None: only for "train". Without it the rows
                have the order of the file.
            seed: int from 0; the same seed gives the same sequence of orders.
            present: whether to include the presence mask, for `multimodal_model(…, missing=True)`.
            first_pass: number of orders to skip; pass 5 to resume a training with epoch 5.
            share: the pieces of each batch to read, a `mmkeras.training.distributed.Share`; each
                piece is then one element, and a last batch that is too small for all replicas is
                joined to the one before it. None: whole batches.

        Returns:
            ``x`` is a dict with, if given, "text" int32 (batch, words), "image" uint8 (batch,
            height, width, 3) from 0 to 255, "audio" float32 (batch, samples) in [-1, 1],
            "numbers" float32 (batch, len(number_names)), standardised or 0 and 1, and
            "present" float32 (batch, modalities), 1 where a modality is present and 0 where it is
            absent; the arrays of absent modalities are all zeros. ``y`` is int32 (batch,).

        Raises:
            ValueError: the part is unknown or has no rows, or the batch size is wrong.
        """
        import tensorflow as tf

        index = self._index(part)
        batch_size = check_positive("batch_size", batch_size)
        shuffled = part == "train" if shuffle is None else shuffle
        passes = itertools.count(first_pass)

        def pieces(order: np.ndarray) -> list[np.ndarray]:
            if share is None:
                return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
            return [p for b in share.batches(order, batch_size) for p in share.pieces(b)]

        def batches() -> Iterator[Any]:
            rng = np.random.default_rng((seed, next(passes)))
            order = rng.permutation(index) if shuffled else index
            yield from ahead(self._batch, iter(pieces(order)))

        stream = tf.data.Dataset.from_generator(batches, output_signature=self._signature())
        stream = stream.apply(tf.data.experimental.assert_cardinality(len(pieces(index))))
        return stream.map(self._finish(present)).prefetch(2)

    def inputs(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """``x`` of `dataset` for these rows, int (n,), counted from 0; with the presence mask."""
        batch = self._batch(np.asarray(index))
        x = dict(batch if self.y is None else batch[0])
        return x | {"text": self.ids(x["text"])} if "text" in x else x

    def ids(self, texts: Any) -> np.ndarray:
        """What the model reads of other texts: strings, or what `_words` makes of them → int32."""
        import tensorflow as tf

        found = self._words(texts) if isinstance(texts, list) else texts
        if found.dtype != np.int32:
            found = tf.cast(self._vectorizer(tf.constant(found)), tf.int32).numpy()
        return np.asarray(found)

    def reading_text(self, vectorizer: Any, words: int, tokens: str, ngrams: int = 1) -> "Table":
        """The same rows, with texts as `words.vectorizer` gives them with these settings."""
        vocabulary = words_of(vectorizer)
        own = {"words": words, "tokens": tokens, "ngrams": ngrams, "vocabulary": vocabulary}
        return replace(
            self, vocabulary=vocabulary, settings={**self.settings, **own}, _vectorizer=vectorizer
        )

    def of(self, modality: str) -> "Table":
        """The same rows with one of the modalities only: nothing else is read."""
        return replace(
            self,
            modalities=(modality,),
            _files={name: of for name, of in self._files.items() if name == modality},
            _vectorizer=self._vectorizer if modality == "text" else None,
            _numbers=self._numbers if modality == "numbers" else None,
        )

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
        """NumPy arrays of these rows, in which texts are still bytes."""
        x: dict[str, np.ndarray] = {}
        present = np.ones((len(index), len(self.modalities)), np.float32)
        for column, modality in enumerate(self.modalities):
            if modality == "text":
                texts = self.rows["text"].iloc[index].tolist()
                x["text"] = self._words(texts)
                present[:, column] = [bool(text) for text in texts]
            elif modality == "numbers":
                x["numbers"] = self._numbers[index]  # type: ignore[index]
                present[:, column] = self.rows["numbers"].iloc[index] != ""
            else:
                places = self._places[modality][index]
                rows = self.rows["row"].to_numpy()[index]
                x[modality] = self._files[modality].read(places, rows)
                present[:, column] = places >= 0
        x["present"] = present
        return x if self.y is None else (x, self.y[index])

    def _words(self, texts: list[str]) -> np.ndarray:
        """Ids int32 (n, words) where Python makes them; bytes where the graph does."""
        if isinstance(self._vectorizer, Pieces):
            return self._vectorizer.ids(texts)
        return np.array([text.encode() for text in texts], object)

    def _signature(self) -> Any:
        import tensorflow as tf

        x = {name: tf.TensorSpec((None,), tf.string) for name in self.modalities}
        if isinstance(self._vectorizer, Pieces):
            x["text"] = tf.TensorSpec((None, self._vectorizer.length), tf.int32)
        for name, files in self._files.items():
            x[name] = tf.TensorSpec((None, *files.shape), files.dtype)
        if self._numbers is not None:
            x["numbers"] = tf.TensorSpec((None, self._numbers.shape[1]), tf.float32)
        x["present"] = tf.TensorSpec((None, len(self.modalities)), tf.float32)
        return x if self.y is None else (x, tf.TensorSpec((None,), tf.int32))

    def _finish(self, present: bool) -> Callable:
        import tensorflow as tf

        def finish(x: dict[str, Any], *y: Any) -> Any:
            x = dict(x)
            if self._vectorizer is not None and x["text"].dtype == tf.string:
                x["text"] = tf.cast(self._vectorizer(x["text"]), tf.int32)
            if not present:
                del x["present"]
            return (x, *y) if y else x

        return finish
