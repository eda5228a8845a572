"""Fusion: the features of several modalities become one vector.

Each way is a registered Keras layer that is called as `layer(features, present=mask)`:

- `features`: one tensor a modality, (batch, d_m); the two attention layers at the end also take
  sequences, (batch, time_m, d_m), in which a token of zeros is an empty place (padding).
- `present`: float (batch, M) in the order of the features, 1 where the modality is there, 0 where
  it is not; None where everything is. What is absent has no influence, whatever its features hold,
  as long as they are finite; with nothing present at all the result is a constant.
- the result: the joint features, (batch, d).

M is the number of modalities, 1 or more; u stands for the argument `units`, the width of the joint
space, None for that of the widest modality. Where a docstring counts weights, D is Σ d_m.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers, ops

Tensor = Any  # a symbolic keras.KerasTensor, or a tensor of the backend
register = keras.saving.register_keras_serializable("mmkeras")

WIDEST = 2**17  # joint features of an outer product


# ------------------------------------------------------------------------------ the layers


class Fusion(layers.Layer):
    """What all fusions have in common: `units`, and a mask of ones where none is given."""

    takes_sequences = False

    def __init__(self, units: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if units is not None and (isinstance(units, bool) or not isinstance(units, int)):
            raise ValueError(f"units must be a positive integer or None, got {units!r}")
        if units is not None and units < 1:
            raise ValueError(f"units must be a positive integer or None, got {units!r}")
        self.units = units

    def build(self, features_shape: Sequence[Any], present_shape: Any = None) -> None:
        self.widths = [shape[-1] for shape in features_shape]
        if present_shape is not None and present_shape[-1] != len(self.widths):
            raise ValueError(
                f"present must have a column for each of the {len(self.widths)} modalities, "
                f"but it is {tuple(present_shape)}"
            )
        self.make(self.units or max(self.widths))

    def make(self, units: int) -> None:
        """Create the weights, for the widths in `self.widths`."""

    def call(self, features: Sequence[Tensor], present: Tensor | None = None) -> Tensor:
        if present is None:
            present = ops.ones((ops.shape(features[0])[0], len(features)), features[0].dtype)
        return self.join(list(features), present)

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        raise NotImplementedError

    def dense(self, sizes: Sequence[int], units: int, name: str, **kwargs: Any) -> list[Any]:
        """A built Dense layer for each modality, from its size to units."""
        kwargs["dtype"] = self.dtype_policy
        made = [layers.Dense(units, name=f"{name}_{m}", **kwargs) for m in range(len(sizes))]
        for layer, size in zip(made, sizes, strict=True):
            layer.build((None, size))
        return made

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def shares(scores: Tensor, present: Tensor) -> Tensor:
    """Softmax over the modalities that are there: (batch, M); zeros where none is."""
    scores = ops.where(present > 0, scores, -1e4)
    weights = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True)) * present
    return weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1e-3)


def columns(present: Tensor, count: int) -> list[Tensor]:
    """The mask of each modality, (batch, 1)."""
    return [present[:, m : m + 1] for m in range(count)]


@register
class ConcatenateFusion(Fusion):
    """All features side by side: z = [x_1; …; x_M], (batch, D). No weights, `units` is not used."""

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        masks = columns(present, len(features))
        return ops.concatenate([x * p for x, p in zip(features, masks, strict=True)], axis=-1)


@register
class WeightedSumFusion(Fusion):
    """z = Σ α_m (x_m W_m + b_m), (batch, u), with α = softmax(a) learned, the same for all samples.

    Weights: D·u + M·u + M. α is spread over the modalities that are there.
    """

    def make(self, units: int) -> None:
        self.project = self.dense(self.widths, units, "project")
        self.scores = self.add_weight(
            name="scores", shape=(len(self.widths),), initializer="zeros"
        )  # a

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        h = ops.stack([f(x) for f, x in zip(self.project, features, strict=True)], axis=1)
        alpha = shares(ops.cast(self.scores, present.dtype) * ops.ones_like(present), present)
        return ops.sum(alpha[..., None] * h, axis=1)


@register
class ProductFusion(Fusion):
    """z = Π (x_m W_m + b_m), element by element, (batch, u): a bilinear model (Kim 2017) with bias.

    Weights: D·u + M·u. The biases start at 1, so that z starts as 1 + a sum + the interactions, and
    an absent modality is a factor of 1.
    """

    def make(self, units: int) -> None:
        self.project = self.dense(self.widths, units, "project", bias_initializer="ones")

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        z: Tensor = 1.0
        masks = columns(present, len(features))
        for f, x, p in zip(self.project, features, masks, strict=True):
            z = z * (f(x) * p + (1 - p))
        return z


@register
class GatedFusion(Fusion):
    """z = Σ σ([x_1; …; x_M] G_m + c_m) ∘ tanh(x_m W_m + b_m), (batch, u): GMU (Arevalo 2017).

    Weights: D·u + M·u for the features, M·(D·u + u) for the gates: every gate sees all modalities.
    """

    def make(self, units: int) -> None:
        self.project = self.dense(self.widths, units, "project")
        self.gates = self.dense([sum(self.widths)] * len(self.widths), units, "gate")

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        masks = columns(present, len(features))
        everything = ops.concatenate([x * p for x, p in zip(features, masks, strict=True)], axis=-1)
        parts = [
            p * ops.sigmoid(g(everything)) * ops.tanh(f(x))
            for g, f, x, p in zip(self.gates, self.project, features, masks, strict=True)
        ]
        return sum(parts[1:], parts[0])


@register
class AttentionFusion(Fusion):
    """z = Σ α_m h_m, (batch, u), h_m = x_m W_m + b_m, α = softmax of one score a modality.

    The score is v · tanh(h_m U + c) (Bahdanau 2015; over modalities: Hori 2017): unlike in
    `WeightedSumFusion` it differs from sample to sample. Weights: D·u + M·u + u² + u + u.
    """

    def make(self, units: int) -> None:
        self.project = self.dense(self.widths, units, "project")
        self.hidden = layers.Dense(units, "tanh", name="hidden", dtype=self.dtype_policy)
        self.hidden.build((None, None, units))
        self.score = layers.Dense(1, use_bias=False, name="score", dtype=self.dtype_policy)
        self.score.build((None, None, units))

    def weigh(self, features: Sequence[Tensor], present: Tensor | None = None) -> Tensor:
        """α, (batch, M): to look at."""
        if present is None:
            present = ops.ones((ops.shape(features[0])[0], len(features)))
        return self._parts(features, present)[1]

    def _parts(self, features: Sequence[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        h = ops.stack([f(x) for f, x in zip(self.project, features, strict=True)], axis=1)
        return h, shares(self.score(self.hidden(h))[..., 0], present)

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        h, alpha = self._parts(features, present)
        return ops.sum(alpha[..., None] * h, axis=1)


@register
class TensorFusion(Fusion):
    """z = [h_1; 1] ⊗ … ⊗ [h_M; 1], flattened, (batch, (u + 1)^M): TFN (Zadeh 2017).

    h_m = x_m W_m + b_m. Every product of one feature of each modality is there, and by the ones
    those of each smaller set of modalities too. Weights: D·u + M·u here, and (u + 1)^M an output in
    the layer that follows, hence the small default of u.
    """

    def __init__(self, units: int = 16, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)

    def make(self, units: int) -> None:
        count = len(self.widths)
        if (units + 1) ** count > WIDEST:
            raise ValueError(
                f"tensor fusion of {count} modalities with units={units} gives "
                f"{(units + 1) ** count:,} features; use fewer units, or 'low_rank'"
            )
        self.project = self.dense(self.widths, units, "project")

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        masks = columns(present, len(features))
        z = ops.ones_like(present[:, :1])
        for f, x, p in zip(self.project, features, masks, strict=True):
            h = ops.concatenate([f(x) * p, ops.ones_like(p)], axis=-1)
            z = ops.reshape(z[:, :, None] * h[:, None, :], (-1, z.shape[-1] * h.shape[-1]))
        return z


@register
class LowRankFusion(Fusion):
    """z = Σ_r w_r Π_m ([x_m; 1] V_m^(r)) + b, (batch, u): LMF (Liu 2018).

    A tensor fusion and the layer after it in one, whose weight tensor has rank R: linear in M.
    Weights: R·u·(D + M) + R + u. The rows of V that meet the ones start at 1.

    Args:
        rank: R, the number of terms.
    """

    def __init__(self, units: int | None = None, rank: int = 4, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
            raise ValueError(f"rank must be a positive integer, got {rank!r}")
        self.rank = rank

    def make(self, units: int) -> None:
        self.factors = self.dense(self.widths, self.rank * units, "factor", bias_initializer="ones")
        self.mix = self.add_weight(name="mix", shape=(self.rank,), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        z: Tensor = 1.0
        for f, x, p in zip(self.factors, features, columns(present, len(features)), strict=True):
            z = z * f(x * p)
        terms = ops.reshape(z, (-1, self.rank, z.shape[-1] // self.rank))
        mix, bias = (ops.cast(w, terms.dtype) for w in (self.mix, self.bias))
        return ops.sum(mix[None, :, None] * terms, axis=1) + bias

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rank": self.rank}


# ------------------------------------------------------------------- attention over sequences


@register
class AttentionBlock(layers.Layer):
    """x + attention of x over a memory, then + a two-layer network: (batch, time, u) → the same.

    The pre-norm block (Vaswani 2017; Xiong 2020), without biases in the attention. `there`, (batch,
    time of the memory), is 1 where the memory may be looked at; with nothing there the first
    summand is left out. Weights: 6·u + 4·u·h·k + 4·u² + 3·u with h heads of k = max(u / h, 1).
    """

    def __init__(self, heads: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, x_shape: Any, memory_shape: Any, there_shape: Any) -> None:
        units = x_shape[-1]
        kind: dict[str, Any] = {"dtype": self.dtype_policy}
        norm = {**kind, "epsilon": 1e-6}
        self.norms = [layers.LayerNormalization(name=f"norm_{i}", **norm) for i in range(3)]
        self.attention = layers.MultiHeadAttention(
            self.heads, max(units // self.heads, 1), use_bias=False, name="attention", **kind
        )
        self.wide = layers.Dense(2 * units, "relu", name="wide", **kind)
        self.narrow = layers.Dense(units, name="narrow", **kind)
        for layer in (*self.norms, self.wide):
            layer.build((None, None, units))
        self.narrow.build((None, None, 2 * units))
        self.attention.build(x_shape, memory_shape)

    def call(self, x: Tensor, memory: Tensor, there: Tensor) -> Tensor:
        seen = self.attention(
            self.norms[0](x), self.norms[1](memory), attention_mask=there[:, None, :] > 0
        )
        x = x + seen * ops.max(there, axis=1)[:, None, None]
        return x + self.narrow(self.wide(self.norms[2](x)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


def filled(x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """A sequence (a vector is one of length 1), and where it is there: (batch, time)."""
    x = x[:, None, :] if len(x.shape) == 2 else x
    there = ops.cast(ops.any(ops.not_equal(x, 0), axis=-1), x.dtype) * present
    return x, there


def average(x: Tensor, there: Tensor) -> Tensor:
    """Mean over the places that are there; zeros where none is: (batch, time, u) → (batch, u)."""
    count = ops.maximum(ops.sum(there, axis=1, keepdims=True), 1)
    return ops.sum(x * (there / count)[..., None], axis=1)


class SequenceFusion(Fusion):
    """What the two attention fusions have in common: projected sequences and their masks."""

    takes_sequences = True

    def __init__(self, units: int | None = None, heads: int = 4, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1:
            raise ValueError(f"heads must be a positive integer, got {heads!r}")
        self.heads = heads

    def sequences(
        self, features: list[Tensor], present: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        pairs = [
            filled(x, p) for x, p in zip(features, columns(present, len(features)), strict=True)
        ]
        x = [f(x) * t[..., None] for f, (x, t) in zip(self.project, pairs, strict=True)]
        return x, [there for _, there in pairs]

    def block(self, units: int, name: str) -> AttentionBlock:
        block = AttentionBlock(self.heads, name=name, dtype=self.dtype_policy)
        block.build((None, None, units), (None, None, units), (None, None))
        return block

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


@register
class CrossAttentionFusion(SequenceFusion):
    """Every modality asks every other one: the directed, pairwise scheme of MulT (Tsai 2019).

    For each ordered pair (m, n) one `AttentionBlock` takes its queries from the tokens of m, its
    keys and values from those of n. Each result is averaged over the tokens of m; they stand side
    by side: (batch, M·(M − 1)·u); of one modality just its average, (batch, u). On vectors there is
    a single key, whose weight is always 1, so that nothing is left of the attention but a sum.
    Weights: D·u + M·u, and M·(M − 1) blocks.
    """

    def make(self, units: int) -> None:
        count = len(self.widths)
        self.project = self.dense(self.widths, units, "project")
        self.pairs = [(m, n) for m in range(count) for n in range(count) if m != n]
        self.blocks = [self.block(units, f"from_{n}_to_{m}") for m, n in self.pairs]

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        x, there = self.sequences(features, present)
        if not self.pairs:
            return average(x[0], there[0])
        parts = [
            average(block(x[m], x[n], there[n]), there[m])
            for block, (m, n) in zip(self.blocks, self.pairs, strict=True)
        ]
        return ops.concatenate(parts, axis=-1)


@register
class BottleneckFusion(SequenceFusion):
    """The modalities meet in a few shared tokens only: MBT (Nagrani 2021); (batch, u).

    In each layer every modality attends to its own tokens and the bottleneck, with a block of its
    own; the bottleneck goes on as the mean of what the modalities made of it. The result is the
    mean over the modalities that are there of the averages of their tokens.
    Weights: D·u + M·u + B·u, and L·M blocks (see `AttentionBlock`).

    Args:
        tokens: B, the number of shared tokens.
        depth: L, the number of layers; with one, nothing of a modality would reach another.
    """

    def __init__(
        self,
        units: int | None = None,
        heads: int = 4,
        tokens: int = 4,
        depth: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, heads, **kwargs)
        if tokens < 1 or depth < 2:
            raise ValueError(
                f"tokens must be at least 1 and depth at least 2, got {tokens!r} and {depth!r}"
            )
        self.tokens, self.depth = tokens, depth

    def make(self, units: int) -> None:
        count = len(self.widths)
        self.project = self.dense(self.widths, units, "project")
        self.bottleneck = self.add_weight(
            name="bottleneck", shape=(self.tokens, units), initializer="glorot_uniform"
        )
        self.blocks = [
            self.block(units, f"layer_{d}_modality_{m}")
            for d in range(self.depth)
            for m in range(count)
        ]

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        x, there = self.sequences(features, present)
        count, masks = len(x), columns(present, len(x))
        total = ops.maximum(ops.sum(present, axis=1), 1)[:, None]
        everywhere = ops.ones_like(present[:, :1])
        shared = ops.cast(self.bottleneck, present.dtype)[None] * everywhere[..., None]
        open_ = everywhere * ops.ones((1, self.tokens), present.dtype)
        for d in range(self.depth):
            versions = []
            for m in range(count):
                both = ops.concatenate([x[m], shared], axis=1)
                mask = ops.concatenate([there[m], open_], axis=1)
                both = self.blocks[d * count + m](both, both, mask)
                x[m], version = both[:, : -self.tokens], both[:, -self.tokens :]
                versions.append(version * (masks[m] / total)[..., None])
            shared = sum(versions[1:], versions[0])
        parts = [average(x[m], there[m]) * masks[m] / total for m in range(count)]
        return sum(parts[1:], parts[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tokens": self.tokens, "depth": self.depth}


# ------------------------------------------------------------------------------ decisions


@register
class DecisionFusion(Fusion):
    """Late fusion: the answers of several heads become one, (batch, K) each → (batch, K).

    K = 1 is the probability of a binary head, K ≥ 2 one probability a class. "average" is the
    mean over the modalities that are there; "product" multiplies the probabilities of each class
    and normalises (the product rule, Kittler 1998); "learned" is a weighted mean with softmax
    weights, M of them. With nothing present all of them count. Always in float32.

    Args:
        mix: "average", "product" or "learned".
    """

    def __init__(self, mix: str = "average", **kwargs: Any) -> None:
        kwargs.pop("units", None)
        super().__init__(**{**kwargs, "dtype": "float32"})
        if mix not in ("average", "product", "learned"):
            raise ValueError(f"mix must be 'average', 'product' or 'learned', got {mix!r}")
        self.mix = mix

    def make(self, units: int) -> None:
        if len(set(self.widths)) > 1:
            raise ValueError(f"decisions must have one width, got {self.widths}")
        if self.mix == "learned":
            self.scores = self.add_weight(
                name="scores", shape=(len(self.widths),), initializer="zeros"
            )

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        p = ops.stack(features, axis=1)
        nobody = ops.max(present, axis=1, keepdims=True) == 0
        present = ops.where(nobody, 1.0, present)
        if self.mix == "product":
            return self.multiplied(ops.clip(p, 1e-7, 1 - 1e-7), present[..., None])
        scores = self.scores if self.mix == "learned" else 0.0
        return ops.sum(shares(scores + ops.zeros_like(present), present)[..., None] * p, axis=1)

    def multiplied(self, p: Tensor, present: Tensor) -> Tensor:
        if p.shape[-1] == 1:  # of the two classes p and 1 - p
            return ops.sigmoid(ops.sum(present * (ops.log(p) - ops.log1p(-p)), axis=1))
        return ops.softmax(ops.sum(present * ops.log(p), axis=1), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mix": self.mix}


METHODS: dict[str, type[Fusion]] = {
    "concatenate": ConcatenateFusion,
    "weighted_sum": WeightedSumFusion,
    "product": ProductFusion,
    "gated": GatedFusion,
    "attention": AttentionFusion,
    "tensor": TensorFusion,
    "low_rank": LowRankFusion,
    "cross_attention": CrossAttentionFusion,
    "bottleneck": BottleneckFusion,
    "decision": DecisionFusion,
}


# ------------------------------------------------------------------------------ the function


def fuse(
    features: Mapping[str, Tensor] | Sequence[Tensor],
    method: str | layers.Layer = "concatenate",
    present: Tensor | None = None,
    *,
    name: str = "fusion",
) -> Tensor:
    """Join the features of several modalities into one vector.

    Args:
        features: the branches' outputs, (batch, d_m) each, as a list or a dict by modality; one is
            enough. "cross_attention" and "bottleneck" take sequences too, (batch, time_m, d_m).
            "decision" takes probabilities of one width.
        method: one of `METHODS`, with its default settings; or a layer: one of this module's such
            as `LowRankFusion(64, rank=8)`, or any that takes the list of features and gives one
            tensor.
        present: None, or float (batch, M), in the order of the features: 1 where a modality is
            there. A layer that does not know this argument gets zeros for what is absent.
        name: name of the layer made here; fusing twice in one model needs two names.

    Returns:
        The joint representation, (batch, d).

    Raises:
        ValueError: no features, an unknown method, features of a shape that does not fit.
    """
    if not isinstance(features, Mapping):
        features = {f"feature {i}": x for i, x in enumerate(features)}
    if not features:
        raise ValueError("there is nothing to fuse: give at least one feature tensor")
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(
                f"unknown fusion {method!r}; choose {', '.join(map(repr, METHODS))}, "
                "or pass a layer"
            )
        method = METHODS[method](name=name)
    _check_shapes(features, method)
    tensors = list(features.values())
    if present is not None and "present" in inspect.signature(method.call).parameters:
        return method(tensors, present=present)
    if present is not None:
        masks = columns(present, len(tensors))
        tensors = [
            x * ops.reshape(p, (-1, *[1] * (len(x.shape) - 1)))
            for x, p in zip(tensors, masks, strict=True)
        ]
    if isinstance(method, layers.Concatenate) and len(tensors) == 1:
        return tensors[0]  # Keras refuses to concatenate one tensor
    return method(tensors)


def _check_shapes(features: Mapping[str, Tensor], layer: layers.Layer) -> None:
    sequences = not isinstance(layer, Fusion) or layer.takes_sequences
    for name, x in features.items():
        if len(x.shape) == 3 and sequences and x.shape[-1] is not None:
            continue
        if len(x.shape) != 2 or x.shape[-1] is None:
            shape = "(batch, d)" + (" or (batch, time, d)" if sequences else "")
            cure = "end the branch with pooling such as keras.layers.GlobalAveragePooling2D"
            if len(x.shape) == 3 and not sequences:
                cure += ", or fuse by 'cross_attention' or 'bottleneck', which take sequences"
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}; fusion needs {shape} with a known d: {cure}"
            )
