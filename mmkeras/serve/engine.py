"""A run, loaded once and compiled, which answers batches of rows.

Derived in chapter 19.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..session import start
from ..table import run as runs
from .rows import Reader, stacked

SIZES = (1, 2, 4, 8, 16, 32)  # batches are padded to one of these sizes
MOST = SIZES[-1]


class Engine:
    """The model of a run as one compiled graph.

    `keras.Model.predict` prepares a loop over batches at each call, which takes longer than a small
    model. Here the graph is traced once, for batches of any size. Batches are padded to a few sizes
    all the same, since the kernels for convolutions are prepared once per size.

    Args:
        folder: of the run.
        max_pixels, max_audio_seconds: larger files are refused.

    Raises:
        RunError: the folder is not a run.
    """

    def __init__(self, folder: Path, *, max_pixels: int, max_audio_seconds: float) -> None:
        start()  # holds back what TensorFlow says when it is imported
        model, self.settings = runs.load(folder)
        self.folder, self.loaded = folder, time.time()
        self.classes: list[str] = list(self.settings["classes"])
        self.reader = Reader(
            self.settings, max_pixels=max_pixels, max_audio_seconds=max_audio_seconds
        )
        self._graph = _compiled(model, self.reader)
        for size in SIZES:
            self.answer([self.reader.read({})[0]] * size)
        _first_files(self.reader)

    def answer(self, rows: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
        """The probabilities of up to 32 rows of the reader, float64 (rows, classes)."""
        size = next(size for size in SIZES if size >= len(rows))
        batch = stacked(rows, size)
        p = np.asarray(self._graph(batch)[: len(rows)], np.float64)
        if len(self.classes) == 2:
            return np.concatenate([1 - p, p], axis=1)
        return p / p.sum(axis=1, keepdims=True)


def _compiled(model: Any, reader: Reader) -> Any:
    """Inputs, as the reader gives them → answers, in one graph that is traced once."""
    import tensorflow as tf

    wanted = {tensor.name for tensor in model.inputs}
    types = {name: tf.string if kind is object else tf.as_dtype(kind)
             for name, (_, kind) in reader.shapes.items()}  # fmt: skip
    specs = {
        name: tf.TensorSpec((None, *shape), types[name], name=name)
        for name, (shape, _) in reader.shapes.items()
    }

    @tf.function(input_signature=[specs], autograph=False)
    def graph(x: dict[str, Any]) -> Any:
        x = dict(x)
        if reader.vectorizer is not None:
            x["text"] = tf.cast(reader.vectorizer(x["text"]), tf.int32)
        return model({name: x[name] for name in wanted}, training=False)

    graph.get_concrete_function()
    return graph


def _first_files(reader: Reader) -> None:
    """Read files that are none, so that the libraries which read files are loaded before a request
    needs them."""
    import scipy.signal  # noqa: F401
    import soundfile  # noqa: F401

    for column, kind in reader.kinds.items():
        if kind in ("image", "audio"):
            reader.read({column: b"none"})
