"""Missing modalities: a presence mask, inputs blanked before the encoder, modality dropout.

A model built with `multimodal_model(…, missing=…)` has one more input, `present`: float (batch, M)
with one column per branch, in their order, 1 where the modality is present and 0 where it is
absent. An absent input may hold anything, NaN included.

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
from .formats.tracing import where

register = keras.saving.register_keras_serializable("mmkeras")

RATE = 0.3  # rate of the modality dropout with missing=True


@register
class BlankAbsent(layers.Layer):
    """Zeros where a modality is absent: x (batch, …), mask (batch, M) → x of the same dtype.

    The layer stands before the encoder. Blanking the encoder's output would be too late: 0 · NaN is
    NaN, and a gradient that passes through NaN ruins every weight below.

    Args:
        column: the column of the mask that belongs to x, counted from 0.
    """

    stays_float = True  # in a file of 8-bit integers, see mmkeras.formats

    def __init__(self, column: int, **kwargs: Any) -> None:
        # No autocast: float16 cannot represent ids above 2048 exactly, nor loud waveforms.
        super().__init__(**kwargs, autocast=False)
        self.column = operator.index(column)

    def call(self, x: Tensor, present: Tensor) -> Tensor:
        there = ops.reshape(present[:, self.column], (-1, *[1] * (len(x.shape) - 1))) > 0
        return where(there, x, ops.zeros((), x.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "column": self.column}


@register
class ModalityDropout(layers.Layer):
    """Hide whole modalities during training, and fill the features of hidden and absent ones.

    In training only, and for each sample, every present modality is hidden with probability `rate`,
    independently, but never the last one: if all would be hidden, one of them is kept, each with
    equal probability (ModDrop, Neverova 2016). The features of a hidden or absent modality are
    replaced by a learned vector, which is also used at inference (as in Parthasarathy & Sundaram
    2020 for tokens), or by zeros.

    The layer is called as layer(features, present=mask) with a list of features, (batch, d_m) or
    (batch, time_m, d_m), and a mask (batch, M) or None. It returns (features, mask): the filled
    features, and the mask after hiding. Weights: Σ d_m with learned stand-ins, none with zeros.

    Args:
        rate: probability of hiding, from 0 (only fill what is absent) to below 1.
        stand_in: "learned" or "zero".
        seed: seed of the random draws; None takes it from the global seed.

    Raises:
        ValueError: a rate out of range, or an unknown stand-in.
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
        """1 where nothing is hidden, (batch, M), as for the present one with the largest draw."""
        draws = keras.random.uniform(ops.shape(present), dtype="float32", seed=self.draws)
        largest = ops.max(draws * ops.cast(present, "float32"), axis=1, keepdims=True)
        return ops.cast(ops.logical_or(draws >= self.rate, draws >= largest), present.dtype)

    def get_config(self) -> dict[str, Any]:
        own = {"rate": self.rate, "stand_in": self.stand_in, "seed": self.seed}
        return {**super().get_config(), **own}


def modality_dropout(missing: bool | str | ModalityDropout) -> ModalityDropout | None:
    """The layer that `missing=` of `multimodal_model` stands for; None for False.

    Raises:
        ValueError: anything other than False, True, "learned", "zero" or a `ModalityDropout`.
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
    """The presence mask of n rows that all have exactly this subset: float32 (n, M).

    Raises:
        ValueError: subset holds a name that is no modality, or a name twice.
    """
    unknown = [name for name in subset if name not in modalities]
    if unknown or isinstance(subset, str) or len(set(subset)) < len(subset):
        raise ValueError(f"subset {subset!r} must hold some of {list(modalities)}, each once")
    return np.tile(np.array([m in subset for m in modalities], np.float32), (n, 1))


def only(
    inputs: Mapping[str, np.ndarray], subset: Sequence[str], modalities: Sequence[str]
) -> dict[str, np.ndarray]:
    """Inputs in which at most this subset is present: the same arrays with another mask.

    A modality that a row does not have stays absent.

    Args:
        inputs: arrays by name; "present" (n, M) is optional, and without it every row has
            every modality.
        subset: the modalities to keep, () for none.
        modalities: all of them, in the order of the model's branches.

    Returns:
        A dict of the same arrays, with "present", float32 (n, M).

    Raises:
        ValueError: as for `mask_of`, or a modality without an array.
    """
    gone = [name for name in modalities if name not in inputs]
    if gone:
        raise ValueError(f"inputs lacks {', '.join(map(repr, gone))}; it has {list(inputs)}")
    mask = mask_of(subset, modalities, len(inputs[modalities[0]]))
    return {**inputs, "present": mask * inputs["present"] if "present" in inputs else mask}
