"""What branches of several modalities share: the last layer, and the transformer block."""

import keras
from keras import layers, ops

from ..attention import AttentionBlock
from ..composite import Tensor

FEW_STEPS = 0.9  # momentum of moving averages; they settle in 50 steps, where Keras' 0.99 needs 500


def features_of(
    x: Tensor, pool: layers.Layer, units: int, tokens: bool, mask: Tensor | None = None
) -> Tensor:
    """The last layer, of the pooled sequence or of each token; zeros where the mask is 0."""
    x = x if tokens else pool(x)
    x = layers.Dense(units, activation="relu", name="features")(x)
    return layers.Multiply(name="there")([x, mask]) if tokens and mask is not None else x


@keras.saving.register_keras_serializable("mmkeras")
class UnitLength(layers.Layer):
    """Divide each vector by its Euclidean length: (…, d) → the same shape; zeros stay zeros.

    `keras.layers.UnitNormalization` does the same, but gives NaN for zeros in float16 and in a
    LiteRT file, whose converter replaces the sum of squares by an operator without an epsilon.
    """

    stays_float = True  # in a file of 8-bit integers, see mmkeras.formats

    def call(self, x: Tensor) -> Tensor:
        squares = ops.mean(ops.square(x), axis=-1, keepdims=True) * x.shape[-1]
        return x * ops.rsqrt(ops.maximum(squares, 1e-6))


def transformer_block(x: Tensor, *, heads: int, name: str) -> Tensor:
    """An encoder block with gelu and biases, as is usual today: (batch, time, d) → the same shape.

    A mask that x carries is respected.
    """
    return AttentionBlock(heads, activation="gelu", use_bias=True, name=name)(x)
