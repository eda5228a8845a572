"""The base of every fusion layer: `units`, a presence mask, and a Dense layer per modality.

Derived in chapter 07.
"""

from collections.abc import Sequence
from typing import Any

from keras import layers, ops

from ..arguments import check_positive
from ..composite import Composite, Tensor


class Fusion(Composite):
    """The base class of all fusion layers; where no presence mask is given, it is all ones."""

    takes_sequences = False

    def __init__(self, units: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = None if units is None else check_positive("units", units)

    def build(self, features_shape: Sequence[Any], present_shape: Any = None) -> None:
        self.widths = [shape[-1] for shape in features_shape]
        if present_shape is not None and present_shape[-1] != len(self.widths):
            raise ValueError(
                f"present must have a column for each of the {len(self.widths)} modalities, "
                f"but its shape is {tuple(present_shape)}"
            )
        self.make(self.units or max(self.widths))

    def make(self, units: int) -> None:
        """Create the weights, for the widths in `self.widths`."""

    def call(self, features: Sequence[Tensor], present: Tensor | None = None) -> Tensor:
        if present is None:
            present = ops.ones((ops.shape(features[0])[0], len(features)), features[0].dtype)
        return self.join(list(features), present)

    def join(self, features: list[Tensor], present: Tensor) -> Tensor:
        """The joint features, (batch, d), of features (batch, d_m) and a mask (batch, M)."""
        raise NotImplementedError

    def dense(self, sizes: Sequence[int], units: int, name: str, **kwargs: Any) -> list[Any]:
        """A built Dense layer for each modality, from its size to units."""
        names = [f"{name}_{m}" for m in range(len(sizes))]
        made = [layers.Dense(units, name=n, dtype=self.policy(n), **kwargs) for n in names]
        for layer, size in zip(made, sizes, strict=True):
            layer.build((None, size))
        return made

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def shares(scores: Tensor, present: Tensor) -> Tensor:
    """Softmax over the modalities that are present: (batch, M); zeros where none is."""
    scores = ops.where(present > 0, scores, -1e4)
    weights = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True)) * present
    return weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1e-3)


def columns(present: Tensor, count: int) -> list[Tensor]:
    """The mask of each modality, (batch, 1)."""
    return [present[:, m : m + 1] for m in range(count)]
