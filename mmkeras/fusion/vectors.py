"""Fusion of vectors: (batch, d_m) for each modality → (batch, d).

Derived in chapter 07. Where a docstring counts weights, D is Σ d_m.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from ..arguments import check_positive
from .base import Fusion, Tensor, columns, shares

register = keras.saving.register_keras_serializable("mmkeras")

WIDEST = 2**17  # the largest number of joint features that an outer product may have


@register
class ConcatenateFusion(Fusion):
    """All features side by side: z = [x_1; …; x_M], (batch, D). It has no weights, nor `units`."""

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        masks = columns(present, len(features))
        return ops.concatenate([x * p for x, p in zip(features, masks, strict=True)], axis=-1)


@register
class WeightedSumFusion(Fusion):
    """z = Σ α_m (x_m W_m + b_m), (batch, u), with α = softmax(a) learned, the same for all samples.

    Weights: D·u + M·u + M. The softmax is taken over the modalities that are present.
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
    """z = Σ α_m h_m, (batch, u), h_m = x_m W_m + b_m, α = softmax of one score per modality.

    The score is v · tanh(h_m U + c) (Bahdanau 2015; over modalities: Hori 2017): unlike in
    `WeightedSumFusion` it differs from sample to sample. Weights: D·u + M·u + u² + u + u.
    """

    def make(self, units: int) -> None:
        self.project = self.dense(self.widths, units, "project")
        self.hidden = layers.Dense(units, "tanh", name="hidden", dtype=self.policy("hidden"))
        self.hidden.build((None, None, units))
        self.score = layers.Dense(1, use_bias=False, name="score", dtype=self.policy("score"))
        self.score.build((None, None, units))

    def weigh(self, features: Sequence[Tensor], present: Tensor | None = None) -> Tensor:
        """The weights α, (batch, M), for inspection."""
        if present is None:
            present = ops.ones((ops.shape(features[0])[0], len(features)))
        return self._parts(features, ops.cast(present, self.compute_dtype))[1]

    def _parts(self, features: Sequence[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        h = ops.stack([f(x) for f, x in zip(self.project, features, strict=True)], axis=1)
        return h, shares(self.score(self.hidden(h))[..., 0], present)

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        h, alpha = self._parts(features, present)
        return ops.sum(alpha[..., None] * h, axis=1)


@register
class TensorFusion(Fusion):
    """z = [h_1; 1] ⊗ … ⊗ [h_M; 1], flattened, (batch, (u + 1)^M): TFN (Zadeh 2017).

    Here h_m = x_m W_m + b_m. The result holds every product of one feature of each modality, and,
    because of the appended ones, the products for each smaller set of modalities. Weights:
    D·u + M·u here, and (u + 1)^M per output in the next layer, hence the small default of u.

    Raises:
        ValueError: units and the number of modalities give more than 131,072 joint features.
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

    It is a tensor fusion and the next layer in one, with a weight tensor of rank R, so that the
    cost grows linearly with M. Weights: R·u·(D + M) + R + u. The rows of V that are multiplied by
    the appended ones start at 1.

    Args:
        rank: R, the number of terms; int ≥ 1.
    """

    def __init__(self, units: int | None = None, rank: int = 4, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.rank = check_positive("rank", rank)

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
