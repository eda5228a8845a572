"""Two branches become two towers whose embeddings can be compared; a temperature is learned.

Sources: A. Radford et al., "Learning transferable visual models from natural language supervision"
(CLIP), ICML 2021, arXiv:2103.00020 (two towers, unit length, the learned temperature and its
limit). X. Zhai et al., "Sigmoid loss for language image pre-training" (SigLIP), ICCV 2023,
arXiv:2303.15343 (the bias). X. Zhai et al., "LiT: zero-shot transfer with locked-image text
tuning", CVPR 2022, arXiv:2111.07991 (one tower that is trained against a frozen one).

Derived in chapter 13.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..arguments import check_name, check_positive
from ..branches import UnitLength
from ..composite import Tensor
from ..models import MultimodalModel

COLDEST = 0.01  # the lowest temperature that is learned, as in CLIP


def _not_colder(log_scale: Tensor) -> Tensor:
    return ops.minimum(log_scale, float(np.log(1 / COLDEST)))


@keras.saving.register_keras_serializable("mmkeras")
class Pairs(layers.Layer):
    """Two embeddings, (batch, d) each → both in one tensor whose dot products are the logits.

    Output: float32 (batch, 2, d), or (batch, 2, d + 1) with a bias. With `left = pairs[:, 0]` and
    `right = pairs[:, 1]`, the matrix `left @ right.T`, (batch, batch), is `cosine / temperature +
    bias` of each row on the left with each row on the right. For that the left one is divided by
    the temperature, and a bias is one more coordinate, which is 1 on the right. In this form every
    row is computed by itself, and only the loss compares rows.

    Weights: `log_scale`, the logarithm of 1 / temperature (its exponential stays positive), kept at
    a temperature of at least 0.01; `bias`, if there is one.

    Args:
        temperature: the first temperature, above 0; 0.07 is the start of CLIP.
        learned: whether training changes the temperature.
        bias: the first bias, which training changes; None for none. `SigmoidLoss` needs one:
            SigLIP starts at a temperature of 0.1 and a bias of -10.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        learned: bool = True,
        bias: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if not COLDEST <= temperature < np.inf:
            raise ValueError(f"temperature must be at least {COLDEST}, got {temperature!r}")
        self.temperature, self.learned = float(temperature), bool(learned)
        self.bias = None if bias is None else float(bias)

    def build(
        self, left_shape: tuple[int | None, ...], right_shape: tuple[int | None, ...]
    ) -> None:
        if len(left_shape) != 2 or left_shape[-1] != right_shape[-1]:
            raise ValueError(
                "two embeddings must both be (batch, d) with one d, "
                f"got {left_shape} and {right_shape}"
            )
        start = keras.initializers.Constant(float(np.log(1 / self.temperature)))
        self.log_scale = self.add_weight(
            name="log_scale", initializer=start, constraint=_not_colder, trainable=self.learned
        )
        if self.bias is not None:
            start = keras.initializers.Constant(self.bias)
            self.offset = self.add_weight(name="bias", initializer=start)

    def call(self, left: Tensor, right: Tensor) -> Tensor:
        left = left * ops.exp(self.log_scale)
        if self.bias is not None:
            ones = ops.ones_like(right[:, :1])
            left = ops.concatenate([left, ones * self.offset], axis=-1)
            right = ops.concatenate([right, ones], axis=-1)
        return ops.stack([left, right], axis=1)

    def get_config(self) -> dict[str, Any]:
        own = {"temperature": self.temperature, "learned": self.learned, "bias": self.bias}
        return {**super().get_config(), **own}


def two_tower(
    branches: Sequence[keras.Model],
    *,
    units: int | None = 128,
    temperature: float = 0.07,
    learned: bool = True,
    bias: float | None = None,
    name: str = "two_tower",
) -> keras.Model:
    """Join two branches to a model that learns to embed what belongs together close together.

    Each branch gets a projection to `units` numbers without activation, which is divided by its
    length; then come the `Pairs`. The model is compiled with a loss of this module, and trained on
    pairs of rows that belong together:

        model = two_tower([image_branch, text_branch])
        model.compile("adam", InfoNCE())
        model.fit({"image": pictures, "text": names}, numbers, batch_size=256)
        vectors = tower(model, "image").predict(pictures)  # (n, units), of length 1

    `numbers`, int (n,), says which rows show the same thing: row i on the left and row j on the
    right with the same number are no negative pair. Give each row its own number, as in
    `np.arange(n)`, to take every other row for a negative. The weights of the branches are shared:
    training the model trains the branches that you passed in.

    Args:
        branches: two models with different names, each with one input and one output (batch, d).
            The name is the key by which the input is fed. A branch that is not trainable stays so,
            but its projection is trained.
        units: width of the embeddings; None adds no projection, for branches that have the same
            width already, such as a frozen tower and a new branch.
        temperature, learned, bias: as for `Pairs`. For `TripletLoss`, which compares cosines, take
            temperature=1 and learned=False.
        name: name of the model.

    Returns:
        A functional `keras.Model`, fed a dict, with one output, float32 (batch, 2, units), or
        (batch, 2, units + 1) with a bias. Its layers `<name>_embedding` give the embeddings.

    Raises:
        ValueError: not two branches of different names, a branch with several inputs or outputs or
            an output that is no vector, widths that differ with units=None, units below 1, or a
            temperature below 0.01.
    """
    names = _checked(branches)
    inputs, embedded = [], []
    for key, branch in zip(names, branches, strict=True):
        x = keras.Input(branch.inputs[0].shape[1:], dtype=branch.inputs[0].dtype, name=key)
        encoder = keras.Model(branch.inputs, branch.outputs[0], name=f"{key}_encoder")
        encoder.trainable = branch.trainable
        vector = encoder(x)
        if units is not None:
            size = check_positive("units", units)
            vector = layers.Dense(size, use_bias=False, name=f"{key}_projection")(vector)
        inputs.append(x)
        embedded.append(UnitLength(name=f"{key}_embedding")(vector))
    pairs = Pairs(temperature, learned, bias, name="pairs")(*embedded)
    return MultimodalModel(inputs, pairs, name=check_name("name", name))


def tower(model: keras.Model, name: str) -> keras.Model:
    """One side of a `two_tower`: input `name` → embeddings (batch, units) of length 1.

    It shares the weights of the model, and can be saved, quantized or exported by itself.

    Raises:
        ValueError: the model has no tower of this name; the message lists those that it has.
    """
    known = [x.name for x in model.inputs]
    layer = {layer.name: layer for layer in model.layers}.get(f"{name}_embedding")
    if name not in known or layer is None:
        raise ValueError(f"{model.name!r} has no tower {name!r}; it has the inputs {known}")
    side = keras.Model(model.inputs[known.index(name)], layer.output, name=name)
    return side


def _checked(branches: Sequence[keras.Model]) -> list[str]:
    found = list(branches)
    if len(found) != 2 or not all(isinstance(branch, keras.Model) for branch in found):
        raise ValueError(f"two_tower takes a list of two keras.Model, got {branches!r}")
    names = [check_name("the name of a branch", branch.name) for branch in found]
    if names[0] == names[1]:
        raise ValueError(f"both branches are called {names[0]!r}; give each its own name=")
    for branch in found:
        ends = [getattr(branch, end, None) or [] for end in ("inputs", "outputs")]
        shapes = [tuple(x.shape) for x in ends[1]]
        if [len(end) for end in ends] != [1, 1] or len(shapes[0]) != 2:
            raise ValueError(
                f"branch {branch.name!r} has {len(ends[0])} inputs and the outputs {shapes}: "
                "expected a built model with one input and one output (batch, d)"
            )
    return names
