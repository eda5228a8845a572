"""Training: gradients that are scaled by modality, and runs that can be killed and resumed.

`GradientScale` is the one knob: behind a branch it sets how fast the branch learns, behind a head
it is the weight of that head's loss. The callbacks turn it, by two published rules.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from .arguments import check_positive
from .files import whole

Tensor = Any  # a symbolic keras.KerasTensor, or a tensor of the backend
Losses = Mapping[str, float]  # by head
register = keras.saving.register_keras_serializable("mmkeras")


# ------------------------------------------------------------------------------ the knob


@register
class GradientScale(layers.Layer):
    """The identity, whose gradient is multiplied by `scale`: any shape → the same.

    Behind a branch it speeds the branch up or slows it down; behind a head it does what a loss
    weight does, but can be changed while `fit` runs: `layer.scale.assign(0.3)`. Adam divides a
    steady factor out again (Kingma & Ba 2015, section 2.1): there, what counts for a weight is how
    its scale *changes*, and the ratio of the scales of all losses that reach it.

    Args:
        scale: float ≥ 0, the first value of the non-trainable weight; 1 changes nothing.

    Raises:
        ValueError: a negative scale.
    """

    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not scale >= 0:
            raise ValueError(f"scale must be at least 0, got {scale!r}")
        self.first_scale = float(scale)
        self.supports_masking = True

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.scale = self.add_weight(
            name="scale", shape=(), initializer=self._first, trainable=False, dtype="float32"
        )

    def _first(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        return ops.full(shape, self.first_scale, dtype)

    def call(self, x: Tensor) -> Tensor:
        still = ops.stop_gradient(x)
        return still + ops.cast(self.scale, x.dtype) * (x - still)  # the second term is 0

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.first_scale}


def scaled(branch: keras.Model) -> keras.Model:
    """The same branch, with the same weights, that ends in a `GradientScale` "gradient_scale".

    Args:
        branch: a functional model with one input and one output.

    Returns:
        A model of the same name, to be passed to `multimodal_model`, where
        `gradient_scales(model)` finds the layer again.
    """
    end = GradientScale(name="gradient_scale")(branch.output)
    return keras.Model(branch.input, end, name=branch.name)


def gradient_scales(model: keras.Model) -> dict[str, GradientScale]:
    """Every `GradientScale` of a multimodal model, by modality or by head.

    One inside a branch is called by the modality ("text_encoder" → "text"), one of the outer model
    by its own name.
    """
    found = {}
    for layer in model.layers:
        if isinstance(layer, GradientScale):
            found[layer.name] = layer
        for inner in getattr(layer, "layers", []):
            if isinstance(inner, GradientScale):
                found[layer.name.removesuffix("_encoder")] = inner
    return found


# ------------------------------------------------------------------------------ by confidence


def ogm_coefficients(confidence: Mapping[str, float], alpha: float = 0.5) -> dict[str, float]:
    """How fast each modality may learn: on-the-fly gradient modulation (Peng et al. 2022).

    With s_u the mean probability that modality u alone gives to the truth, and ρ_u = s_u / (mean s
    of the others): 1 - tanh(α ρ_u) where ρ_u > 1, else 1. For two modalities that is the paper's
    equation 10; the mean is our extension to more. Their noise term (GE) is not included.

    Args:
        confidence: modality → s_u in (0, 1]; at least two modalities.
        alpha: α ≥ 0, how hard the leader is braked; 0 brakes nobody.

    Returns:
        Modality → coefficient in [0, 1].

    Raises:
        ValueError: fewer than two modalities, a confidence outside (0, 1], a negative alpha.
    """
    if len(confidence) < 2:
        raise ValueError(f"confidence needs two modalities or more, got {dict(confidence)!r}")
    for modality, s in confidence.items():
        if not 0 < s <= 1:
            raise ValueError(f"confidence of {modality!r} must be in (0, 1], got {s!r}")
    if not alpha >= 0:
        raise ValueError(f"alpha must be at least 0, got {alpha!r}")
    total = sum(confidence.values())
    ratio = {u: s * (len(confidence) - 1) / (total - s) for u, s in confidence.items()}
    return {u: float(1 - np.tanh(alpha * rho)) if rho > 1 else 1.0 for u, rho in ratio.items()}


class GradientModulation(keras.callbacks.Callback):
    """Brake the branch that leads, all through `fit` (OGM, Peng et al. 2022).

    Args:
        scales: modality → the `GradientScale` at the end of its branch.
        confidence: a function without arguments that gives the confidence of every modality, as in
            `ogm_coefficients`. The paper takes the running batch, which a callback does not see:
            take a fixed sample of training rows.
        alpha: see `ogm_coefficients`.
        every: batches from one measurement to the next.

    Attributes:
        history: one dict of coefficients for each measurement of the last fit.

    Raises:
        ValueError: `every` is not a positive integer.
    """

    def __init__(
        self,
        scales: Mapping[str, GradientScale],
        confidence: Any,
        alpha: float = 0.5,
        every: int = 1,
    ) -> None:
        super().__init__()
        self.scales, self.confidence, self.alpha = dict(scales), confidence, alpha
        self.every = check_positive("every", every)
        self.history: list[dict[str, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.history, self._seen = [], 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._seen % self.every == 0:
            factors = ogm_coefficients(self.confidence(), self.alpha)
            _assign(self.scales, factors)
            self.history.append(factors)
        self._seen += 1


# ------------------------------------------------------------------------------ by overfitting


def overfitting_to_generalisation(
    before: tuple[Losses, Losses], after: tuple[Losses, Losses]
) -> dict[str, float]:
    """OGR of each head between two moments, |ΔO / ΔG| (Wang, Tran & Feiszli 2020, section 3.1).

    O is the gap, validation loss - training loss; ΔO is how much it grew. ΔG is how much the
    validation loss fell. 0 is perfect: all that was learned carries over.

    Args:
        before, after: (training losses, validation losses) at the two moments, each by head.

    Returns:
        Head → OGR ≥ 0; infinity where the validation loss did not change.
    """
    gap, gain = _gap_and_gain(before, after)
    return {k: abs(gap[k] / gain[k]) if gain[k] else float("inf") for k in gap}


def blending_weights(
    before: tuple[Losses, Losses], after: tuple[Losses, Losses], floor: float = 1e-3
) -> dict[str, float] | None:
    """Loss weights of gradient blending, w_k ∝ ΔG_k / ΔO_k² with sum 1 (Wang et al. 2020, eq. 7).

    Args:
        before, after: as in `overfitting_to_generalisation`.
        floor: |ΔO| is taken to be at least this, so that no weight is infinite.

    Returns:
        Head → weight ≥ 0. A head whose validation loss rose gets 0, since the formula would push it
        backwards. None if it rose for every head: there is no answer.
    """
    gap, gain = _gap_and_gain(before, after)
    raw = {k: max(gain[k], 0.0) / max(abs(gap[k]), floor) ** 2 for k in gap}
    total = sum(raw.values())
    return {k: value / total for k, value in raw.items()} if total else None


def _gap_and_gain(
    before: tuple[Losses, Losses], after: tuple[Losses, Losses]
) -> tuple[dict[str, float], dict[str, float]]:
    (train_0, valid_0), (train_1, valid_1) = before, after
    for losses in (valid_0, train_1, valid_1):
        if set(losses) != set(train_0):
            raise ValueError(f"heads differ: {sorted(train_0)} and {sorted(losses)}")
    gap = {k: (valid_1[k] - train_1[k]) - (valid_0[k] - train_0[k]) for k in train_0}
    return gap, {k: valid_0[k] - valid_1[k] for k in train_0}


class GradientBlending(keras.callbacks.Callback):
    """Weigh the losses of the heads anew every few epochs (online G-Blend, Wang et al. 2020).

    The paper trains a copy of the model for each head to measure it alone; this callback measures
    the heads in the one run, where all of them learn. That is cheaper and less exact.

    Args:
        scales: head → the `GradientScale` behind it; a head on all modalities and one on each.
        losses: a function without arguments that gives (training losses, validation losses), each a
            dict by head, both without dropout.
        every: epochs from one measurement to the next.

    Attributes:
        history: one dict of weights for each measurement of the last fit, equal ones first.

    Raises:
        ValueError: `every` is not a positive integer.
    """

    def __init__(self, scales: Mapping[str, GradientScale], losses: Any, every: int = 2) -> None:
        super().__init__()
        self.scales, self.losses = dict(scales), losses
        self.every = check_positive("every", every)
        self.history: list[dict[str, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.history = [dict.fromkeys(self.scales, 1 / len(self.scales))]
        _assign(self.scales, self.history[0])
        self._before = self.losses()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if (epoch + 1) % self.every == 0:
            after = self.losses()
            weights = blending_weights(self._before, after) or self.history[-1]
            _assign(self.scales, weights)
            self.history.append(weights)
            self._before = after


def _assign(scales: Mapping[str, GradientScale], values: Mapping[str, float]) -> None:
    if set(scales) != set(values):
        raise ValueError(f"scales for {sorted(scales)}, but values for {sorted(values)}")
    for name, layer in scales.items():
        layer.scale.assign(values[name])


# ------------------------------------------------------------------------------ killed, resumed


class Resume(keras.callbacks.Callback):
    """Go on where a killed run stopped, with the result of a run that was never killed.

    At the end of each epoch, everything that the next one depends on is written to one file: the
    weights, the optimiser (its moments, and the step that a learning-rate schedule reads) and the
    random state of dropout, which `keras.callbacks.BackupAndRestore` leaves out. The order of the
    rows needs no state: it is computed from the seed and the number of the epoch. So:

        resume = Resume("runs/mine", seed=0)
        data = resume.rows(len(y)).batch(64).map(lambda rows: …).prefetch(2)
        model.fit(data, initial_epoch=resume.done, epochs=20, shuffle=False, callbacks=[resume])

    The file is replaced in one step, so a kill while writing leaves the last one whole. An epoch
    that was cut off is done again. Let `fit` make one pass over the data an epoch (no
    `steps_per_epoch`). Not kept: the memory of other callbacks (the patience of `EarlyStopping`),
    and random numbers drawn in the pipeline; draw those with stateless operations and `epoch`.

    Args:
        folder: where the file is; made if need be. One folder a run.
        seed: of the order of the rows, int ≥ 0.

    Attributes:
        done: number of epochs that are on file.
        epoch: an int64 tf.Variable, the number of the running epoch, to be read by the pipeline.
        history: the logs of every epoch on file, one dict each, over all starts of the run.

    Raises:
        ValueError: in `fit`, if it does not begin at epoch `done`, or if the file belongs to
            another model.
    """

    def __init__(self, folder: str | os.PathLike[str], seed: int = 0) -> None:
        super().__init__()
        self.file, self.seed = Path(folder) / "state.npz", seed
        self.epoch = tf.Variable(0, dtype="int64", trainable=False, name="epoch")
        self.history: list[dict[str, float]] = []
        if self.file.exists():
            with np.load(self.file) as state:
                self.history = json.loads(str(state["history"]))

    @property
    def done(self) -> int:
        return len(self.history)

    def rows(self, count: int) -> tf.data.Dataset:
        """Row numbers 0 … count - 1, int64 scalars, in a new order in each epoch.

        The order is that of `tf.random.experimental.index_shuffle`, which gives the place of one
        row without a list of all of them.
        """
        last = check_positive("count", count) - 1

        def place(i: Tensor) -> Tensor:
            return tf.random.experimental.index_shuffle(i, [self.seed, self.epoch], last)

        return tf.data.Dataset.range(count).map(place)

    def on_train_begin(self, logs: Any = None) -> None:
        if self.model.optimizer and not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        if not self.done:
            return
        variables = _variables(self.model)
        with np.load(self.file) as state:
            stored = [state[f"v{i}"] for i in range(len(state.files) - 1)]
        found, wanted = [v.shape for v in stored], [tuple(v.shape) for v in variables]
        if found != wanted:
            raise ValueError(
                f"{self.file} belongs to another model or optimiser: it holds shapes {found}, "
                f"this model has {wanted}; take another folder, or delete the file to start anew"
            )
        for variable, value in zip(variables, stored, strict=True):
            variable.assign(value)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch != self.done:
            raise ValueError(
                f"fit begins at epoch {epoch}, but {self.done} are done: "
                "pass initial_epoch=resume.done to fit"
            )
        self.epoch.assign(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.history.append({name: float(value) for name, value in (logs or {}).items()})
        arrays = {f"v{i}": ops.convert_to_numpy(v) for i, v in enumerate(_variables(self.model))}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with whole(self.file) as file:
            np.savez(file, history=np.array(json.dumps(self.history)), **arrays)


def _variables(model: keras.Model) -> Sequence[Any]:
    """Weights, random states of layers, and the optimiser's variables, in a fixed order."""
    return [*model.variables, *(model.optimizer.variables if model.optimizer else [])]
