"""Text: word ids → features.

Derived in chapter 02.
"""

from typing import Any

import keras
from keras import layers, ops

from ..arguments import check_name, check_positive, choose
from ..attention import PositionEmbedding
from .parts import Tensor, features_of, transformer_block

register = keras.saving.register_keras_serializable("mmkeras")


@register
class PaddingMask(layers.Layer):
    """Int ids (batch, time) → float (batch, time, 1): 1 where a word stands, 0 for padding."""

    def call(self, ids: Tensor) -> Tensor:
        return ops.cast(ops.not_equal(ids, 0), self.compute_dtype)[..., None]


@register
class MaskedAverage(layers.Layer):
    """Mean over the words that are not masked: (batch, time, d) with a Keras mask → (batch, d).

    An empty text gives zeros, where `GlobalAveragePooling1D` divides zero by zero.
    """

    stays_float = True  # in a file of 8-bit integers, see mmkeras.formats

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        mask = ops.ones_like(x[..., :1]) if mask is None else ops.cast(mask, x.dtype)[..., None]
        return ops.sum(x * (mask / ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1)), axis=1)

    def compute_mask(self, x: Tensor, mask: Tensor | None = None) -> None:
        """None: the result has no time axis, and so no mask."""


@register
class MaskedTokens(layers.Layer):
    """Put zeros where the Keras mask is False: (batch, time, d) → the same shape, no mask."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x if mask is None else x * ops.cast(mask, x.dtype)[..., None]

    def compute_mask(self, x: Tensor, mask: Tensor | None = None) -> None:
        """None: from here on, zeros mark what was masked."""


@register
class WordsFirst(layers.Layer):
    """Move padding behind the words: ids (batch, time) → (ids, steps), both of that shape.

    `steps` is bool: True for the words, and always for step 0. On a GPU, cuDNN's recurrent kernels
    refuse any other mask: one with gaps, and one that is False throughout, as for an empty text.
    """

    def call(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        there, place = ops.not_equal(ids, 0), ops.arange(ids.shape[1])
        order = ops.argsort(ops.where(there, place, place + ids.shape[1]), axis=1)
        count = ops.sum(ops.cast(there, "int32"), axis=1, keepdims=True)
        return ops.take_along_axis(ids, order, axis=1), place < ops.maximum(count, 1)


@register
class BackInPlace(layers.Layer):
    """Undo `WordsFirst` for features: x (batch, time, d), ids (batch, time) → (batch, time, d).

    The features at the places of padding are arbitrary.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, x: Tensor, mask: Tensor | None = None) -> None:
        """None: the mask of x belongs to the other order of the words."""

    def call(self, x: Tensor, ids: Tensor) -> Tensor:
        rank = ops.cumsum(ops.cast(ops.not_equal(ids, 0), "int32"), axis=1) - 1
        return ops.take_along_axis(x, ops.maximum(rank, 0)[..., None], axis=1)


def _text_average(ids: Tensor, vocab_size: int, units: int, tokens: bool) -> Tensor:
    mask = PaddingMask(name="padding_mask")(ids) if tokens else None
    x = layers.Embedding(vocab_size, units, mask_zero=True, name="embedding")(ids)
    return features_of(x, MaskedAverage(name="average"), units, tokens, mask)


def _text_lstm(ids: Tensor, vocab_size: int, units: int, tokens: bool) -> Tensor:
    words, steps = WordsFirst(name="words_first")(ids)
    x = layers.Embedding(vocab_size, units, name="embedding")(words)
    x = layers.LSTM(units, return_sequences=tokens, name="features")(x, mask=steps)
    mask = PaddingMask(name="padding_mask")(ids)
    if tokens:
        x = BackInPlace(name="back_in_place")(x, ids)
    else:
        mask = layers.GlobalMaxPooling1D(name="any_word")(mask)
    return layers.Multiply(name="there")([x, mask])


def _text_conv(ids: Tensor, vocab_size: int, units: int, tokens: bool) -> Tensor:
    mask = PaddingMask(name="padding_mask")(ids)
    x = layers.Embedding(vocab_size, units, name="embedding")(ids)
    x = layers.Multiply(name="words_only")([x, mask])
    x = layers.Conv1D(units, 3, padding="same", activation="relu", name="convolution")(x)
    x = layers.Multiply(name="windows_only")([x, mask])
    return features_of(x, layers.GlobalMaxPooling1D(name="strongest"), units, tokens, mask)


def _text_transformer(ids: Tensor, vocab_size: int, units: int, tokens: bool) -> Tensor:
    mask = PaddingMask(name="padding_mask")(ids) if tokens else None
    x = layers.Embedding(vocab_size, units, mask_zero=True, name="embedding")(ids)
    x = PositionEmbedding(name="position")(x)
    x = transformer_block(x, heads=4, name="block")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    return features_of(x, MaskedAverage(name="average"), units, tokens, mask)


TEXT_ENCODERS = {
    "average": _text_average,
    "lstm": _text_lstm,
    "conv": _text_conv,
    "transformer": _text_transformer,
}


def text_branch(
    vocab_size: int,
    length: int,
    *,
    encoder: str = "average",
    units: int = 64,
    tokens: bool = False,
    name: str = "text",
) -> keras.Model:
    """Word ids → features.

    Input: int32 (batch, length), ids from 0 to vocab_size - 1, where 0 is padding; a text may be
    empty (all 0).
    Output: float (batch, units); with tokens (batch, length, units), with zeros at the padding.

    Args:
        vocab_size: number of ids, including those of padding and of unknown words; at least 2.
        length: number of words to which each text is padded or cut.
        encoder: "average" (the mean of word embeddings, which loses the order), "lstm" (Hochreiter
            & Schmidhuber 1997), "conv" (convolutions over three words, then the maximum over time;
            Kim 2014) or "transformer" (one block; Vaswani 2017).
        units: width of the embedding and of the output.
        tokens: keep one vector per word, for a fusion that attends to them.
        name: name of the model and of its input.

    Raises:
        ValueError: an unknown encoder, a size that is not a positive integer, a vocabulary of one
            id, or a name that TensorFlow cannot use.
    """
    build = choose("encoder", encoder, TEXT_ENCODERS)
    length, units = check_positive("length", length), check_positive("units", units)
    vocab_size = check_positive("vocab_size", vocab_size)
    if vocab_size < 2:
        raise ValueError("vocab_size must be at least 2, since id 0 is padding; got 1")
    check_name("name", name)
    ids = keras.Input((length,), dtype="int32", name=name)
    return keras.Model(ids, build(ids, vocab_size, units, tokens), name=name)
