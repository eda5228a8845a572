"""Attention: a scaled dot product, several heads of it, and the transformer block around them.

Derived in chapter 01 (the dot product, with a mask) and in chapter 07 (the block).

The blocks are pre-norm (Xiong et al. 2020): each part normalises what it reads and adds its result
to x, which itself passes unchanged. With `post_norm` the sum is normalised, as in the first
transformers and in BERT. Query, key, value and output are plain Dense layers, so that they can be
quantized and adapted by LoRA:

    block.attention.query_dense.enable_lora(rank=4)

Masks say which places of the memory may be looked at. A masked place gets a weight of exactly 0.
Where nothing may be looked at, all weights are 0, so that an empty text gives no NaN.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

from .arguments import check_positive
from .composite import Composite, Tensor

Shape = Any  # a tuple of int and None
register = keras.saving.register_keras_serializable("mmkeras")


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(Q Kᵀ / √k) V (Vaswani et al. 2017, equation 1).

    Args:
        query: float (…, t, k), what each of t places asks for.
        key: float (…, s, k), what each of s places of the memory offers.
        value: float (…, s, v), what each of these places returns.
        mask: bool, broadcast to (…, t, s): True where a query may look; None for everywhere.

    Returns:
        The answers, (…, t, v), and the weights, (…, t, s): a row sums to 1, or to 0 where its mask
        is False throughout.
    """
    scores = ops.matmul(query * query.shape[-1] ** -0.5, ops.swapaxes(key, -1, -2))
    if mask is not None:
        scores = ops.where(mask, scores, -3e4 if scores.dtype == "float16" else -1e9)
    weights = ops.exp(scores - ops.logsumexp(scores, axis=-1, keepdims=True))
    if mask is not None:  # where nothing may be looked at, all scores were equal
        weights = weights * ops.cast(mask, weights.dtype)
    return ops.matmul(weights, value), weights


@register
class MultiHeadAttention(Composite):
    """Several attentions at once, each on k = max(u / heads, 1) features (Vaswani et al. 2017).

    x (batch, t, u) queries the memory (batch, s, d); the result is (batch, t, u). Weights:
    2·u·hk + 2·d·hk with h heads, and u + 3·hk more with biases.

    Args:
        heads: h, the number of heads; int ≥ 1.
        use_bias: whether the four Dense layers have biases; those of the paper have none.
        causal: whether place i looks only at the places up to i, as it must where a text is being
            written.

    Call arguments:
        x, memory: see above; with x itself as the memory this is self-attention.
        memory_mask: None, or bool or float (batch, s), true or > 0 where the memory may be looked
            at. A mask that Keras attached to the memory is used without being passed.
        return_attention_scores: whether to return the weights, (batch, h, t, s), too.
    """

    stays_float = True  # in a file of 8-bit integers, see mmkeras.formats

    def __init__(
        self, heads: int, use_bias: bool = False, causal: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.heads = check_positive("heads", heads)
        self.use_bias, self.causal = use_bias, causal
        self.supports_masking = True

    def build(self, x_shape: Shape, memory_shape: Shape) -> None:
        units, width = x_shape[-1], memory_shape[-1]
        self.key_dim = max(units // self.heads, 1)
        inner = self.heads * self.key_dim
        self.query_dense = self._dense(units, inner, "query")
        self.key_dense = self._dense(width, inner, "key")
        self.value_dense = self._dense(width, inner, "value")
        self.output_dense = self._dense(inner, units, "output")

    def _dense(self, size: int, units: int, name: str) -> layers.Dense:
        dense = layers.Dense(units, use_bias=self.use_bias, dtype=self.policy(name), name=name)
        dense.build((None, None, size))
        dense.load_own_variables = lambda store: _load_flat(dense, store)
        return dense

    def call(
        self,
        x: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Any:
        query = self._heads_apart(self.query_dense(x))
        key = self._heads_apart(self.key_dense(memory))
        value = self._heads_apart(self.value_dense(memory))
        answers, weights = scaled_dot_product_attention(
            query, key, value, self._mask(query, key, memory_mask)
        )
        out = self.output_dense(self._heads_together(answers))
        return (out, weights) if return_attention_scores else out

    def _mask(self, query: Tensor, key: Tensor, memory_mask: Tensor | None) -> Tensor | None:
        """Where a query may look, (batch or 1, 1, t or 1, s)."""
        mask = None
        if memory_mask is not None:
            mask = (memory_mask > 0 if memory_mask.dtype != "bool" else memory_mask)[:, None, None]
        if self.causal:
            asks, told = (ops.arange(ops.shape(x)[2]) for x in (query, key))
            past = (asks[:, None] >= told[None, :])[None, None]
            mask = past if mask is None else ops.logical_and(mask, past)
        return mask

    def _heads_apart(self, x: Tensor) -> Tensor:
        """(batch, time, h·k) → (batch, h, time, k)."""
        batch, time = ops.shape(x)[:2]
        return ops.swapaxes(ops.reshape(x, (batch, time, self.heads, self.key_dim)), 1, 2)

    def _heads_together(self, x: Tensor) -> Tensor:
        """(batch, h, time, k) → (batch, time, h·k)."""
        batch, _, time = ops.shape(x)[:3]
        return ops.reshape(ops.swapaxes(x, 1, 2), (batch, time, self.heads * self.key_dim))

    def get_config(self) -> dict[str, Any]:
        own = {"heads": self.heads, "use_bias": self.use_bias, "causal": self.causal}
        return {**super().get_config(), **own}


def _load_flat(dense: layers.Dense, store: Mapping[str, Any]) -> None:
    """Read a Dense layer, also from old files, in which the heads had a separate axis."""
    shapes = [tuple(v.shape) for v in (dense.kernel, dense.bias) if v is not None]
    values = {name: store[name] for name in store.keys()}  # noqa: SIM118  (it has no iterator)
    if dense.quantization_mode is None and len(values) == len(shapes):
        values = {str(i): values[str(i)].reshape(shape) for i, shape in enumerate(shapes)}
    type(dense).load_own_variables(dense, values)


@register
class AttentionBlock(Composite):
    """A transformer block (Vaswani et al. 2017): (batch, t, u) → the same shape.

    It adds attention to x, and then the output of a two-layer network. Without a memory, x attends
    to itself, as in an encoder. With a memory, (batch, s, u), x attends to the memory
    (cross-attention), which has a normalisation of its own. Weights, without biases in the
    attention: 4·u + 4·u·h·k + 2·u·w + w + u, and 2·u more with a memory, for h heads of
    k = max(u / h, 1) features and a hidden layer of width w.

    Args:
        heads, use_bias, causal: passed to the `MultiHeadAttention` inside. The paper has no biases.
        activation: that of the network's hidden layer; the paper has "relu".
        post_norm: whether to normalise the sums instead of what is read (Vaswani et al. 2017;
            BERT). A memory is then not normalised.
        hidden: w, the width of the hidden layer; None for 2·u. The paper has 4·u.
        epsilon: added to the variance in the layer normalisation.

    Call arguments:
        x, memory: see above.
        memory_mask: None, or bool or float (batch, s), true or > 0 where the memory may be looked
            at. Masks that Keras attached to x or memory are used without being passed.
        mask: the same for x, if there is no memory.

    Raises:
        ValueError: heads is not a positive integer, or a causal block is given a memory.
    """

    def __init__(
        self,
        heads: int = 4,
        activation: Any = "relu",
        use_bias: bool = False,
        causal: bool = False,
        post_norm: bool = False,
        hidden: int | None = None,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads = check_positive("heads", heads)
        self.activation = keras.activations.get(activation)
        self.use_bias, self.causal, self.post_norm = use_bias, causal, post_norm
        self.hidden = None if hidden is None else check_positive("hidden", hidden)
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, x_shape: Shape, memory_shape: Shape | None = None) -> None:
        if self.causal and memory_shape is not None:
            raise ValueError("a causal block attends to x itself; give the memory to another block")
        units = x_shape[-1]
        width = units if memory_shape is None else memory_shape[-1]
        own: dict[str, Any] = {"use_bias": self.use_bias, "causal": self.causal}
        self.attention = MultiHeadAttention(
            self.heads, dtype=self.policy("attention"), name="attention", **own
        )
        self.attention.build((None, None, units), (None, None, width))
        own_memory = memory_shape is not None and not self.post_norm
        sizes = [units, width, units] if own_memory else [units, units]
        self.norms = [
            layers.LayerNormalization(
                epsilon=self.epsilon, dtype=self.policy(f"norm_{i}"), name=f"norm_{i}"
            )
            for i in range(len(sizes))
        ]  # for x, the memory and the network's input; with post_norm for the two sums
        for norm, size in zip(self.norms, sizes, strict=True):
            norm.build((None, None, size))
        hidden = self.hidden or 2 * units
        self.wide = layers.Dense(hidden, self.activation, dtype=self.policy("wide"), name="wide")
        self.wide.build((None, None, units))
        self.narrow = layers.Dense(units, dtype=self.policy("narrow"), name="narrow")
        self.narrow.build((None, None, hidden))

    def call(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        if self.post_norm:
            told, seen = (x, mask) if memory is None else (memory, memory_mask)
            x = self.norms[0](x + self.attention(x, told, memory_mask=seen))
            return self.norms[1](x + self.narrow(self.wide(x)))
        asks = self.norms[0](x)
        if memory is None:
            x = x + self.attention(asks, asks, memory_mask=mask)
        else:
            x = x + self.attention(asks, self.norms[1](memory), memory_mask=memory_mask)
        return x + self.narrow(self.wide(self.norms[-1](x)))

    def get_config(self) -> dict[str, Any]:
        own = {
            "heads": self.heads,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "causal": self.causal,
            "post_norm": self.post_norm,
            "hidden": self.hidden,
            "epsilon": self.epsilon,
        }
        return {**super().get_config(), **own}


@register
class PositionEmbedding(layers.Layer):
    """Add a learned vector for each place (Gehring et al. 2017): (batch, time, d) → the same shape.

    Weights: time × d, so `time` must be known when the layer is built, and stays fixed.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, shape: Shape) -> None:
        self.positions = self.add_weight(
            name="positions", shape=tuple(shape[1:]), initializer="uniform"
        )

    def call(self, x: Tensor) -> Tensor:
        return x + ops.cast(self.positions, x.dtype)
