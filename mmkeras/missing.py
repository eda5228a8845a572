"""Missing modalities: a presence mask, inputs blanked before the encoder, modality dropout.

A model built with `multimodal_model(…, missing=…)` has one more input, `present`: float (batch, M),
a column for each branch in their order, 1 where the modality is there and 0 where it is not. What
stands in an absent input does not matter, NaN included.

Derived in chapter 10.
"""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from .arguments import check_seed, check_share
from .composite import Tensor

register = keras.saving.register_keras_serializable("mmkeras")

RATE = 0.3  # of the modality dropout that missing=True means


@register
class BlankAbsent(layers.Layer):
    """Zeros where a modality is absent: x (batch, …), mask (batch, M) → x of the same dtype.

    It stands before the encoder. Blanking the encoder's output would be too late: 0 · NaN is NaN,
    and a gradient that passes through NaN ruins every weight below.

    Args:
        column: which column of the mask belongs to x, from 0.
    """

    def __init__(self, column: int, **kwargs: Any) -> None:
        # No autocast: ids above 2048 and loud waveforms do not survive float16.
        super().__init__(**kwargs, autocast=False)
        self.column = operator.index(column)

    def call(self, x: Tensor, present: Tensor) -> Tensor:
        there = ops.reshape(present[:, self.column], (-1, *[1] * (len(x.shape) - 1))) > 0
        return ops.where(there, x, ops.zeros_like(x))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "column": self.column}


@register
class ModalityDropout(layers.Layer):
    """Hide whole modalities while training, and put something in the place of those that are gone.

    Per sample and in training only, each modality that is there is hidden with probability `rate`,
    independently, but never the last one: if all would go, one of them stays, each equally likely
    (ModDrop, Neverova 2016). In the place of what is hidden or absent stands a learned vector, the
    same at inference (as in Parthasarathy & Sundaram 2020 for tokens), or zeros.

    Called as layer(features, present=mask) with features [(batch, d_m) or (batch, time_m, d_m), …]
    and a mask (batch, M) or None; returns (features, mask): the filled features, and the mask
    after hiding. Weights: Σ d_m with learned stand-ins, none with zeros.

    Args:
        rate: from 0 (only fill what is absent) to below 1.
        stand_in: "learned" or "zero".
        seed: of the random draws; None takes it from the global seed.
    """

    def __init__(
        self,
        rate: float = RATE,
        stand_in: str = "learned",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if stand_in not in ("learned", "zero"):
            raise ValueError(f"stand_in must be 'learned' or 'zero', got {stand_in!r}")
        self.rate, self.stand_in = check_share("rate", rate), stand_in
        self.seed = None if seed is None else check_seed(seed)
        self.draws = keras.random.SeedGenerator(self.seed)

    def build(self, features_shape: Sequence[Any], present_shape: Any = None) -> None:
        self.stand_ins = []
        if self.stand_in == "learned":
            self.stand_ins = [
                self.add_weight(name=f"stand_in_{m}", shape=(shape[-1],), initializer="uniform")
                for m, shape in enumerate(features_shape)
            ]

    def call(
        self, features: Sequence[Tensor], present: Tensor | None = None, training: bool = False
    ) -> tuple[list[Tensor], Tensor]:
        if present is None:
            present = ops.ones((ops.shape(features[0])[0], len(features)), features[0].dtype)
        present = ops.cast(present > 0, present.dtype)
        if training and self.rate:
            present = present * self.kept(present)
        filled = []
        for m, x in enumerate(features):
            p = ops.cast(ops.reshape(present[:, m], (-1, *[1] * (len(x.shape) - 1))), x.dtype)
            other = ops.cast(self.stand_ins[m], x.dtype) if self.stand_ins else 0.0
            filled.append(p * x + (1 - p) * other)
        return filled, present

    def kept(self, present: Tensor) -> Tensor:
        """1 for what stays. The largest draw among those that are there always does."""
        draws = keras.random.uniform(ops.shape(present), dtype="float32", seed=self.draws)
        largest = ops.max(draws * ops.cast(present, "float32"), axis=1, keepdims=True)
        return ops.cast(ops.logical_or(draws >= self.rate, draws >= largest), present.dtype)

    def get_config(self) -> dict[str, Any]:
        own = {"rate": self.rate, "stand_in": self.stand_in, "seed": self.seed}
        return {**super().get_config(), **own}


def modality_dropout(missing: bool | str | ModalityDropout) -> ModalityDropout | None:
    """What `missing=` of `multimodal_model` stands for; None for False.

    Raises:
        ValueError: anything else than False, True, "learned", "zero" or a `ModalityDropout`.
    """
    if missing is False or isinstance(missing, ModalityDropout):
        return missing or None
    if missing is True or missing in ("learned", "zero"):
        kind = "learned" if missing is True else missing
        return ModalityDropout(RATE, kind, name="modality_dropout")
    raise ValueError(
        f"missing must be False, True, 'learned', 'zero' or a ModalityDropout, got {missing!r}"
    )


def mask_of(subset: Sequence[str], modalities: Sequence[str], n: int) -> np.ndarray:
    """The presence mask of n rows that all have just this subset: float32 (n, M).

    Raises:
        ValueError: a name in subset that is no modality, or one twice.
    """
    unknown = [name for name in subset if name not in modalities]
    if unknown or isinstance(subset, str) or len(set(subset)) < len(subset):
        raise ValueError(f"subset {subset!r} must hold some of {list(modalities)}, each once")
    return np.tile(np.array([m in subset for m in modalities], np.float32), (n, 1))


def only(
    inputs: Mapping[str, np.ndarray], subset: Sequence[str], modalities: Sequence[str]
) -> dict[str, np.ndarray]:
    """Inputs in which at most this subset is present: the same arrays, another mask.

    A modality that a row does not have stays absent.

    Args:
        inputs: by name, with or without "present" (n, M); without, every row has everything.
        subset: the modalities to keep, () for none.
        modalities: all of them, in the order of the model's branches.

    Raises:
        ValueError: as for `mask_of`, or a modality without an array.
    """
    gone = [name for name in modalities if name not in inputs]
    if gone:
        raise ValueError(f"inputs has no {', '.join(map(repr, gone))}; it has {list(inputs)}")
    mask = mask_of(subset, modalities, len(inputs[modalities[0]]))
    return {**inputs, "present": mask * inputs["present"] if "present" in inputs else mask}
