"""Features with little or nothing to learn: what a linear head reads.

The commands on tables put them behind a pretrained encoder, or in its place. Chapter 02 explains
TF-IDF.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..arguments import check_positive
from ..composite import Tensor

register = keras.saving.register_keras_serializable("mmkeras")


@register
class Standardise(layers.Layer):
    """(x - mean) · scale, (batch, d) → the same; `set_to` gives the numbers, nothing is trained.

    `keras.layers.Normalization` keeps a mean and a variance; here a scale of 0 takes a constant
    feature out.
    """

    stays_float = True  # in a file of 8-bit integers, see mmkeras.formats

    def build(self, shape: tuple[int | None, ...]) -> None:
        size = {"shape": (shape[-1],), "trainable": False}
        self.mean = self.add_weight(name="mean", initializer="zeros", **size)
        self.scale = self.add_weight(name="scale", initializer="ones", **size)

    def call(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale


@register
class TfIdfSum(layers.Layer):
    """Ids (batch, length), 0 for padding → the TF-IDF vector of each row times a matrix.

    TF-IDF (Spärck Jones 1972): how often a word is in the text, times a weight that is large for
    rare words; the vector is divided by its Euclidean length. It is never written out: the result
    is the sum over the words that are there of their rows of the matrix. Zeros for an empty text.

    Weights: `idf` (vocabulary,), not trained; its first two, of padding and the unknown word, are
    0 as they should be. `table` (vocabulary, units).

    Args:
        vocabulary_size: number of ids.
        units: columns of the matrix.
    """

    stays_float = True  # in a file of 8-bit integers, see mmkeras.formats

    def __init__(self, vocabulary_size: int, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = check_positive("vocabulary_size", vocabulary_size)
        self.units = check_positive("units", units)

    def build(self, shape: tuple[int | None, ...]) -> None:
        size = self.vocabulary_size
        self.idf = self.add_weight(name="idf", shape=(size,), initializer="ones", trainable=False)
        self.table = self.add_weight(name="table", shape=(size, self.units))

    def call(self, ids: Tensor) -> Tensor:
        ids = ops.cast(ids, "int32")
        there = ops.cast(ops.not_equal(ids, 0), self.compute_dtype)
        weight = ops.take(ops.cast(self.idf, self.compute_dtype), ids, axis=0) * there
        same = ops.cast(ops.equal(ids[:, :, None], ids[:, None, :]), self.compute_dtype)
        # Σ over words of (count · idf)² = Σ over places of count · idf²
        squares = ops.sum(ops.sum(same, axis=2) * ops.square(weight), axis=1, keepdims=True)
        weight = weight / ops.sqrt(ops.maximum(squares, 1e-6))
        rows = ops.take(ops.cast(self.table, self.compute_dtype), ids, axis=0)
        return ops.sum(weight[:, :, None] * rows, axis=1)

    def get_config(self) -> dict[str, Any]:
        own = {"vocabulary_size": self.vocabulary_size, "units": self.units}
        return {**super().get_config(), **own}


@register
class MeanAndSpread(layers.Layer):
    """Over time: (batch, time, d) → mean and standard deviation of each feature, (batch, 2 d)."""

    stays_float = True  # in a file of 8-bit integers, see mmkeras.formats

    def call(self, x: Tensor) -> Tensor:
        mean = ops.mean(x, axis=1)
        spread = ops.mean(ops.square(x - mean[:, None]), axis=1)
        return ops.concatenate([mean, ops.sqrt(spread + 1e-8)], axis=-1)


def inverse_frequency(ids: np.ndarray, vocabulary_size: int) -> np.ndarray:
    """For `TfIdfSum`: ln((1 + n) / (1 + n_w)) + 1, where n_w of the n rows hold word w.

    That is scikit-learn's smooth form. Words in no row, padding and the unknown word (id 1) get 0.
    """
    counts = np.zeros(vocabulary_size)
    for row in ids:
        counts[np.unique(row)] += 1
    idf = np.where(counts > 0, np.log((1 + len(ids)) / (1 + counts)) + 1, 0)
    idf[:2] = 0
    return idf.astype(np.float32)
