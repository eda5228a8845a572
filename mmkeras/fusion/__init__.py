"""Fusion: the features of several modalities become one vector.

Derived in chapter 06 (concatenation) and chapter 07 (the others).

Each method is a registered Keras layer that is called as `layer(features, present=mask)`:

- `features`: one tensor per modality, (batch, d_m); the two attention layers of `sequences` also
  take sequences, (batch, time_m, d_m), in which a token of zeros is an empty place (padding).
- `present`: float (batch, M) in the order of the features, 1 where the modality is present, 0 where
  it is absent; None if all are present. An absent modality has no influence, whatever its features
  hold, as long as they are finite. If nothing is present the result is a constant.
- the result: the joint features, (batch, d).

M is the number of modalities, 1 or more. u stands for the argument `units`, the width of the joint
space; None stands for the width of the widest modality. Where a docstring counts weights, D is
Σ d_m. A mask that does not have M columns, or a setting out of range, raises ValueError.
"""

import inspect
from collections.abc import Mapping, Sequence

import keras
from keras import ops

from ..arguments import choose
from ..attention import AttentionBlock
from .base import Fusion, Tensor, columns, shares
from .decisions import DecisionFusion
from .sequences import BottleneckFusion, CrossAttentionFusion
from .vectors import (
    WIDEST,
    AttentionFusion,
    ConcatenateFusion,
    GatedFusion,
    LowRankFusion,
    ProductFusion,
    TensorFusion,
    WeightedSumFusion,
)

__all__ = [
    "METHODS",
    "WIDEST",
    "AttentionBlock",
    "AttentionFusion",
    "BottleneckFusion",
    "ConcatenateFusion",
    "CrossAttentionFusion",
    "DecisionFusion",
    "Fusion",
    "GatedFusion",
    "LowRankFusion",
    "ProductFusion",
    "TensorFusion",
    "WeightedSumFusion",
    "columns",
    "fuse",
    "shares",
]

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


def fuse(
    features: Mapping[str, Tensor] | Sequence[Tensor],
    method: str | keras.layers.Layer = "concatenate",
    present: Tensor | None = None,
    *,
    name: str = "fusion",
) -> Tensor:
    """Join the features of several modalities into one vector.

    Args:
        features: the outputs of the branches, float (batch, d_m) each, as a list or as a dict by
            modality; one is enough. "cross_attention" and "bottleneck" also take sequences,
            (batch, time_m, d_m). "decision" takes probabilities, all of one width.
        method: one of `METHODS`, with its default settings; or a layer, either one of this module,
            such as `LowRankFusion(64, rank=8)`, or any other that takes the list of features and
            returns one tensor.
        present: None, or float (batch, M), in the order of the features: 1 where a modality is
            present. A layer without this argument gets zeros for absent modalities.
        name: name of the layer made here; to fuse twice in one model, use two names.

    Returns:
        The joint features, float (batch, d).

    Raises:
        ValueError: no features, an unknown method, features of a shape that does not fit, or a
            layer whose result is not (batch, d).
    """
    if not isinstance(features, Mapping):
        features = {f"feature {i}": x for i, x in enumerate(features)}
    if not features:
        raise ValueError("there is nothing to fuse: give at least one feature tensor")
    if isinstance(method, str):
        method = choose("fusion", method, METHODS, ", or pass a layer")(name=name)
    _check_shapes(features, method)
    joint = _call(method, list(features.values()), present)
    if len(getattr(joint, "shape", ())) != 2:
        got = tuple(joint.shape) if hasattr(joint, "shape") else type(joint).__name__
        raise ValueError(
            f"fusion {method.name!r} ({type(method).__name__}) must give one vector per sample, "
            f"(batch, d), but it gives {got}: end it with a mean over the other axes"
        )
    return joint


def _call(layer: keras.layers.Layer, features: list[Tensor], present: Tensor | None) -> Tensor:
    if present is not None and "present" in inspect.signature(layer.call).parameters:
        return layer(features, present=present)
    if present is not None:
        masks = columns(present, len(features))
        features = [
            x * ops.reshape(p, (-1, *[1] * (len(x.shape) - 1)))
            for x, p in zip(features, masks, strict=True)
        ]
    if isinstance(layer, keras.layers.Concatenate) and len(features) == 1:
        return features[0]  # Keras refuses to concatenate one tensor
    return layer(features)


def _check_shapes(features: Mapping[str, Tensor], layer: keras.layers.Layer) -> None:
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
