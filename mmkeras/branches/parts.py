"""What branches of several modalities share: the last layer, and the transformer block."""

import keras
from keras import layers, ops

from ..attention import AttentionBlock
from ..composite import Tensor

FEW_STEPS = 0.9  # momentum of moving averages: right after 50 steps, where Keras' 0.99 needs 500


def features_of(
    x: Tensor, pool: layers.Layer, units: int, tokens: bool, mask: Tensor | None = None
) -> Tensor:
    """The last layer: of the pooled sequence, or of each token, with zeros where the mask is 0."""
    x = x if tokens else pool(x)
    x = layers.Dense(units, activation="relu", name="features")(x)
    return layers.Multiply(name="there")([x, mask]) if tokens and mask is not None else x


@keras.saving.register_keras_serializable("mmkeras")
class UnitLength(layers.Layer):
    """Divide by the Euclidean length: (…, d) → the same; zeros stay zeros.

    `keras.layers.UnitNormalization` says so too, but gives NaN for zeros in float16 and in a LiteRT
    file, whose converter takes the sum of squares for an operator that knows no epsilon.
    """

    def call(self, x: Tensor) -> Tensor:
        squares = ops.mean(ops.square(x), axis=-1, keepdims=True) * x.shape[-1]
        return x * ops.rsqrt(ops.maximum(squares, 1e-6))


def transformer_block(x: Tensor, *, heads: int, name: str) -> Tensor:
    """The encoder block of today: gelu and biases; (batch, time, d) → the same.

    A mask that x carries is respected.
    """
    return AttentionBlock(heads, activation="gelu", use_bias=True, name=name)(x)
