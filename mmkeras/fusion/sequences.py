"""Fusion of sequences by attention: (batch, time_m, d_m) for each modality → (batch, d).

Derived in chapter 07. Both layers are made of `mmkeras.attention.AttentionBlock`. A token of zeros
is an empty place (padding); a vector is a sequence of length 1.
"""

from typing import Any

import keras
from keras import ops

from ..arguments import check_positive
from ..attention import AttentionBlock
from .base import Fusion, Tensor, columns

register = keras.saving.register_keras_serializable("mmkeras")


def filled(x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """The sequence (of length 1 for a vector), and a mask of its filled places: (batch, time)."""
    x = x[:, None, :] if len(x.shape) == 2 else x
    there = ops.cast(ops.any(ops.not_equal(x, 0), axis=-1), x.dtype) * present
    return x, there


def average(x: Tensor, there: Tensor) -> Tensor:
    """Mean over the filled places: (batch, time, u) → (batch, u); zeros where there is none."""
    count = ops.maximum(ops.sum(there, axis=1, keepdims=True), 1)
    return ops.sum(x * (there / count)[..., None], axis=1)


class SequenceFusion(Fusion):
    """The base of the two attention fusions: projected sequences and their masks."""

    takes_sequences = True

    def __init__(self, units: int | None = None, heads: int = 4, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.heads = check_positive("heads", heads)

    def sequences(
        self, features: list[Tensor], present: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """For each modality, its projection (batch, time, u) and filled places (batch, time)."""
        pairs = [
            filled(x, p) for x, p in zip(features, columns(present, len(features)), strict=True)
        ]
        x = [f(x) * t[..., None] for f, (x, t) in zip(self.project, pairs, strict=True)]
        return x, [there for _, there in pairs]

    def block(self, units: int, name: str) -> AttentionBlock:
        """A built block in which sequences of this width ask each other."""
        block = AttentionBlock(self.heads, name=name, dtype=self.policy(name))
        block.build((None, None, units), (None, None, units))
        return block

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


@register
class CrossAttentionFusion(SequenceFusion):
    """Every modality attends to every other one: the pairwise scheme of MulT (Tsai 2019).

    For each ordered pair (m, n), one `AttentionBlock` takes its queries from the tokens of m and
    its keys and values from those of n. Each result is averaged over the tokens of m, and the
    averages are concatenated: (batch, M·(M − 1)·u). With one modality the result is its average,
    (batch, u). For vectors there is a single key, whose weight is always 1, so that the attention
    reduces to a sum. Weights: D·u + M·u, and M·(M − 1) blocks.
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
    """The modalities meet only in a few shared tokens: MBT (Nagrani 2021); (batch, u).

    In each layer every modality attends to its own tokens and to the bottleneck, with a block of
    its own; the next layer gets the mean of the bottlenecks of all modalities that are present.
    The tokens of each modality are averaged at the end, and the result is the mean over the
    modalities that are present. Weights: D·u + M·u + B·u, and L·M blocks (see `AttentionBlock`).

    Args:
        tokens: B, the number of shared tokens; int ≥ 1.
        depth: L, the number of layers; int ≥ 2, since with one layer nothing crosses.
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
        self.tokens, self.depth = check_positive("tokens", tokens), check_positive("depth", depth)
        if self.depth < 2:
            raise ValueError(f"depth must be at least 2, got {depth!r}: with one, nothing crosses")

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
