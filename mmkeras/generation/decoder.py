"""A small network that writes about what it sees, and two ways to ask it for the next token.

The network is an encoder-decoder (Vaswani et al. 2017). Its memory is a sequence of vectors, such
as the features of the patches of a picture. Its table of words serves twice, for what is read and
for what is written (Press & Wolf 2017). Derived in chapter 15.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from ..arguments import check_integer, check_positive
from ..attention import (
    AttentionBlock,
    MultiHeadAttention,
    PositionEmbedding,
    scaled_dot_product_attention,
)
from ..composite import Tensor

Pair = tuple[Tensor, Tensor]  # keys and values


def captioner(
    words: int,
    length: int,
    memory_shape: tuple[int, int],
    *,
    units: int = 128,
    heads: int = 4,
    encoder_blocks: int = 1,
    blocks: int = 2,
    dropout: float = 0.1,
    name: str = "captioner",
) -> keras.Model:
    """An encoder-decoder: the tokens so far and what is seen → the logits of the next token.

    The memory is projected to the width of the network, normalised, and read by `encoder_blocks`
    attention blocks. Each of the `blocks` of the decoder consists of a causal attention block, in
    which the tokens look at those before them, and one in which they look at the memory. The table
    of words has entries of spread 1. The output is normalised, multiplied by this table and divided
    by √units, so that the first logits have a spread of about 1, too.

    Args:
        words: size of the vocabulary.
        length: the most tokens that are read.
        memory_shape: (s, d), s vectors of d numbers.
        units: width of the network.
        heads: heads of each attention.
        encoder_blocks: ≥ 0.
        blocks: blocks of the decoder, ≥ 1.
        dropout: share of the features that are dropped in training, from 0 to below 1.
        name: name of the model.

    Returns:
        A functional model from {"tokens": int32 (batch, length), "memory": float (batch, s, d)} to
        logits, float32 (batch, length, words). Those at place i depend on the tokens up to i alone.

    Raises:
        ValueError: a size that is no positive integer.
    """
    words, length = check_positive("words", words), check_positive("length", length)
    units, blocks = check_positive("units", units), check_positive("blocks", blocks)
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    memory = keras.Input(memory_shape, name="memory")
    seen = layers.Dense(units, name="project")(memory)
    seen = layers.LayerNormalization(name="project_norm")(seen)
    seen = PositionEmbedding(name="places")(seen)
    seen = layers.Dropout(dropout, name="memory_dropout")(seen)
    for i in range(1, check_integer("encoder_blocks", encoder_blocks, 0) + 1):
        seen = AttentionBlock(heads, name=f"encode_{i}")(seen)
    seen = layers.Identity(name="seen")(seen)
    table = layers.ReversibleEmbedding(
        words, units, embeddings_initializer=keras.initializers.RandomNormal(0, 1), name="words"
    )
    x = PositionEmbedding(name="positions")(table(tokens))
    for i in range(1, blocks + 1):
        x = layers.Dropout(dropout, name=f"dropout_{i}")(x)
        x = AttentionBlock(heads, causal=True, name=f"own_{i}")(x)
        x = AttentionBlock(heads, name=f"look_{i}")(x, seen)
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.Rescaling(units**-0.5, name="shrink")(x)
    logits = layers.Activation("linear", dtype="float32", name="logits")(table(x, reverse=True))
    return keras.Model([tokens, memory], logits, name=name)


def keys_and_values(attention: MultiHeadAttention, memory: Tensor) -> Pair:
    """What a memory (n, s, d) tells an attention: keys and values, each (n, heads, s, k)."""
    return (
        attention._heads_apart(attention.key_dense(memory)),
        attention._heads_apart(attention.value_dense(memory)),
    )


def answer(attention: MultiHeadAttention, x: Tensor, told: Pair) -> Tensor:
    """What x (n, t, u) is told by keys and values, (n, t, u); every place may be looked at."""
    query = attention._heads_apart(attention.query_dense(x))
    answers, _ = scaled_dot_product_attention(query, told[0], told[1])
    return attention.output_dense(attention._heads_together(answers))


class Cache(NamedTuple):
    """Keys and values of every block of a decoder, each (n, heads, places, k).

    Attributes:
        written: those of the tokens so far; they grow by one place in each step.
        seen: those of the memory; they stay as they are.
    """

    written: tuple[Pair, ...]
    seen: tuple[Pair, ...]


class CachedStep:
    """The next token of a `captioner`, which keeps what it has computed for the earlier tokens.

    A step computes one place, where the whole model would compute all places anew. The numbers are
    those of the model.

        step = CachedStep(model)
        greedy(step, np.full(n, START), step.begin(memory), end=END, most=12)

    Args:
        model: a `captioner`. Later changes of its weights are seen, since none are copied.
    """

    def __init__(self, model: keras.Model) -> None:
        get = model.get_layer
        count = sum(layer.name.startswith("own_") for layer in model.layers)
        self._blocks = [(get(f"own_{i}"), get(f"look_{i}")) for i in range(1, count + 1)]
        self._table, self._norm, self._shrink = get("words"), get("norm"), get("shrink")
        self._positions = get("positions").positions
        self.length = int(self._positions.shape[0])
        self._encode = keras.Model(model.get_layer("memory").output, get("seen").output)
        own = self._blocks[0][0].attention
        self._heads, self._key_dim, self._dtype = own.heads, own.key_dim, own.compute_dtype
        self._begin = tf.function(self._tell, reduce_retracing=True, autograph=False)
        one = tf.TensorSpec((None, self._heads, None, self._key_dim), self._dtype)
        pairs = ((one, one),) * count
        signature = [tf.TensorSpec((None,), "int32"), pairs, pairs]
        self._step = tf.function(self._compute, input_signature=signature, autograph=False)

    def begin(self, memory: Any) -> Cache:
        """The state before the first token, from a memory (n, s, d)."""
        memory = ops.convert_to_tensor(memory, "float32")
        empty = ops.zeros((len(memory), self._heads, 0, self._key_dim), self._dtype)
        return Cache(((empty, empty),) * len(self._blocks), self._begin(memory))

    def __call__(self, token: Any, state: Cache) -> tuple[Tensor, Cache]:
        """Logits of the next token, (n, words), and the state after this token, int (n,)."""
        if state.written[0][0].shape[2] >= self.length:
            raise ValueError(f"the model has positions for {self.length} tokens, and all are used")
        token = ops.convert_to_tensor(token, "int32")
        logits, written = self._step(token, state.written, state.seen)
        return logits, Cache(written, state.seen)

    def _tell(self, memory: Tensor) -> tuple[Pair, ...]:
        seen = self._encode(memory)
        return tuple(
            keys_and_values(look.attention, look.norms[1](seen)) for _, look in self._blocks
        )

    def _compute(self, token: Tensor, written: Any, seen: Any) -> tuple[Tensor, Any]:
        x = self._table(token[:, None])
        x = x + ops.cast(self._positions[ops.shape(written[0][0])[2]], x.dtype)
        after = []
        for (own, look), old, told in zip(self._blocks, written, seen, strict=True):
            asks = own.norms[0](x)
            new = keys_and_values(own.attention, asks)
            after.append(
                tuple(ops.concatenate(pair, axis=2) for pair in zip(old, new, strict=True))
            )
            x = x + answer(own.attention, asks, after[-1])
            x = x + own.narrow(own.wide(own.norms[-1](x)))
            x = x + answer(look.attention, look.norms[0](x), told)
            x = x + look.narrow(look.wide(look.norms[-1](x)))
        logits = self._table(self._shrink(self._norm(x)), reverse=True)
        return ops.cast(logits[:, 0], "float32"), tuple(after)


class FullStep:
    """The next token of a `captioner`, computed by the whole model from all tokens so far.

    It serves as the reference for `CachedStep`, which gives the same numbers in less time.

    Args:
        model: a `captioner`.
    """

    def __init__(self, model: keras.Model) -> None:
        self.length = int(model.get_layer("tokens").output.shape[1])
        self._call = tf.function(
            lambda tokens, memory: model({"tokens": tokens, "memory": memory}, training=False),
            reduce_retracing=True,
            autograph=False,
        )

    def begin(self, memory: Any) -> tuple[np.ndarray, np.ndarray]:
        """The state before the first token: no tokens, int32 (n, 0), and the memory (n, s, d)."""
        memory = np.asarray(memory, "float32")
        return np.empty((len(memory), 0), "int32"), memory

    def __call__(self, token: Any, state: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, Any]:
        """Logits of the next token, (n, words), and the state after this token, int (n,)."""
        before, memory = state
        tokens = np.hstack([before, np.asarray(token, "int32")[:, None]])
        place = tokens.shape[1]
        if place > self.length:
            raise ValueError(f"the model has positions for {self.length} tokens, and all are used")
        padded = np.pad(tokens, ((0, 0), (0, self.length - place)))
        return self._call(tf.constant(padded), tf.constant(memory))[:, place - 1], (tokens, memory)
