"""Late fusion: the answers of several heads become one.

Derived in chapter 07.
"""

from typing import Any

import keras
from keras import ops

from ..formats.tracing import log1p
from .base import Fusion, Tensor, shares

register = keras.saving.register_keras_serializable("mmkeras")


@register
class DecisionFusion(Fusion):
    """Late fusion: the answers of several heads become one, (batch, K) each → (batch, K).

    With K = 1 the answer is the probability of a binary head, with K ≥ 2 there is one probability
    per class. "average" is the mean over the modalities that are present; "product" multiplies the
    probabilities of each class and normalises (the product rule, Kittler 1998); "learned" is a
    mean with M softmax weights. Where nothing is present, all answers count. The layer computes in
    float32 under any policy.

    Args:
        mix: "average", "product" or "learned".

    Raises:
        ValueError: an unknown mix, or answers of different widths.
    """

    def __init__(self, mix: str = "average", **kwargs: Any) -> None:
        kwargs.pop("units", None)
        super().__init__(**{**kwargs, "dtype": "float32"})
        if mix not in ("average", "product", "learned"):
            raise ValueError(f"mix must be 'average', 'product' or 'learned', got {mix!r}")
        self.mix = mix

    def make(self, units: int) -> None:
        if len(set(self.widths)) > 1:
            raise ValueError(f"the answers must all have one width, got widths {self.widths}")
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
        """Probabilities (batch, M, K), mask (batch, M, 1) → their normalised product (batch, K)."""
        if p.shape[-1] == 1:  # the two classes have the probabilities p and 1 - p
            return ops.sigmoid(ops.sum(present * (ops.log(p) - log1p(-p)), axis=1))
        return ops.softmax(ops.sum(present * ops.log(p), axis=1), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mix": self.mix}
