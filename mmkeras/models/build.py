"""Branches, a fusion and heads are put together into one model.

Derived in chapter 06.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import keras

from ..arguments import check_name, check_share
from ..fusion import METHODS, DecisionFusion, fuse
from ..missing import BlankAbsent, ModalityDropout, modality_dropout
from .model import MultimodalModel

Head: TypeAlias = str | int | keras.layers.Layer


def multimodal_model(
    branches: Sequence[keras.Model] | Mapping[str, keras.Model],
    heads: Mapping[str, Head],
    *,
    fusion: str | keras.layers.Layer = "concatenate",
    missing: bool | str | ModalityDropout = False,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Join branches, a fusion and heads to one model, fed `{"text": …, "image": …}` in any order.

    The weights of the branches are shared: training the joint model trains the branches that you
    passed in.

    Args:
        branches: a list of named models (`text_branch(…)`, …), or a dict modality → any
            `keras.Model` with one input and one output of shape (batch, d), or (batch, time, d) for
            a fusion that takes sequences. The name or key is the key by which the input is fed. One
            branch is enough.
        heads: dict of output name → "binary" (one sigmoid probability), an integer ≥ 2 (softmax
            over that many classes) or "regression" (one unbounded number), each of which is a
            single Dense layer in float32 under any policy; or any Keras layer, which is used as it
            is, such as `Dense(5)` for logits, `Dense(20, "sigmoid")` where several labels may hold,
            or a `Sequential` that projects.
        fusion: a name or a layer, see `mmkeras.fuse`. With "decision" or a `DecisionFusion` every
            branch has heads of its own, called `<head>_<modality>`, whose answers are mixed; if a
            head was given as a layer, each branch gets a new layer with the same settings.
        missing: False: every sample has all modalities. Otherwise the model has one more input,
            `present`, float (batch, M) with one column per branch, and absent inputs may hold
            anything. "learned" (or True): `ModalityDropout` hides modalities in training, and a
            learned vector replaces the features of what is hidden or absent. "zero": zeros replace
            them, and the fusion gets the mask. Or a `ModalityDropout` with other settings.
        dropout: share of the joint features that is dropped in a training step, in [0, 1)
            (Srivastava 2014).
        name: name of the model.

    Returns:
        A functional `keras.Model`. With one head its output is one tensor, (batch, 1) or (batch,
        classes), so that `compile("adam", "binary_crossentropy")` works; with several it is a dict
        by head name. The `serving_default` signature of its SavedModel takes modalities by name.

    Raises:
        ValueError: no branch or head, two branches of one name, a name that TensorFlow cannot use,
            or a branch or head that does not fit; the message says why.
    """
    branches, heads, dropout = _by_name(branches), _checked(heads), check_share("dropout", dropout)
    inputs, features, mask = _encoded(branches, modality_dropout(missing))
    taken = {*inputs, *(f"{modality}_encoder" for modality in branches), "fusion", "dropout"}
    if clash := [head for head in heads if head in taken]:
        raise ValueError(
            f"head {clash[0]!r} has the name of another part of the model; rename the head"
        )
    if fusion == "decision" or isinstance(fusion, DecisionFusion):
        outputs = _decisions(features, heads, fusion, mask, dropout)
    else:
        joint = fuse(features, fusion, mask)
        if dropout:
            joint = keras.layers.Dropout(dropout, name="dropout")(joint)
        outputs = {head: _answer(head, kind, joint) for head, kind in heads.items()}
    one = next(iter(outputs.values())) if len(outputs) == 1 else outputs
    # A list of named inputs, because with a dict of inputs Keras feeds a dict with extra keys by
    # position.
    model = MultimodalModel(list(inputs.values()), one, name=name)
    for layer in model._flatten_layers():
        check_name(f"the name of layer {type(layer).__name__}", layer.name)
    return model


def _encoded(
    branches: Mapping[str, keras.Model], hide: ModalityDropout | None
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Inputs and features by modality, and the presence mask for the fusion (None: not needed)."""
    inputs, features, present = {}, {}, None
    if hide is not None:
        if "present" in branches:
            raise ValueError(
                "a branch cannot be called 'present', the name of the presence mask; rename it"
            )
        present = keras.Input((len(branches),), name="present")
    for column, (modality, branch) in enumerate(branches.items()):
        encoder = _encoder(modality, branch)
        x = inputs[modality] = keras.Input(
            encoder.input_shape[1:], dtype=encoder.input.dtype, name=modality
        )
        if present is not None:
            x = BlankAbsent(column, name=f"{modality}_or_blank")(x, present)
        features[modality] = encoder(x)
    if hide is None:
        return inputs, features, None
    inputs["present"] = present
    filled, mask = hide(list(features.values()), present=present)
    features = dict(zip(features, filled, strict=True))
    # Learned stand-ins are fused like any other features, so the fusion needs no mask.
    return inputs, features, None if hide.stand_in == "learned" else mask


def _decisions(
    features: Mapping[str, Any],
    heads: Mapping[str, Head],
    fusion: str | DecisionFusion,
    mask: Any,
    dropout: float,
) -> dict[str, Any]:
    """The answer of each head: heads for every modality, then a `DecisionFusion` per head."""
    layer = METHODS["decision"]() if isinstance(fusion, str) else fusion
    if dropout:
        features = {
            modality: keras.layers.Dropout(dropout, name=f"{modality}_dropout")(x)
            for modality, x in features.items()
        }
    outputs = {}
    for head, kind in heads.items():
        if layer.mix == "product" and (kind == "regression" or not isinstance(kind, str | int)):
            what = "a regression" if kind == "regression" else "no number of classes"
            raise ValueError(
                f"head {head!r} is {what}, but a product needs probabilities, one per class; mix "
                "the answers by 'average' or 'learned'"
            )
        own = [_head(f"{head}_{modality}", kind, new=True)(x) for modality, x in features.items()]
        mixed = type(layer).from_config({**layer.get_config(), "name": head})
        outputs[head] = mixed(own) if mask is None else mixed(own, present=mask)
    return outputs


def _by_name(branches: Sequence[keras.Model] | Mapping[str, keras.Model]) -> dict[str, keras.Model]:
    if isinstance(branches, keras.Model):
        branches = [branches]
    pairs = branches.items() if isinstance(branches, Mapping) else [
        (getattr(branch, "name", branch), branch) for branch in branches
    ]  # fmt: skip
    named: dict[str, keras.Model] = {}
    for modality, branch in pairs:
        if modality in named:
            raise ValueError(f"two branches are called {modality!r}; give each its own name=")
        if not isinstance(branch, keras.Model):
            raise ValueError(f"branch {modality!r} must be a keras.Model, got {branch!r}")
        named[check_name("the name of a branch", modality)] = branch
    if not named:
        raise ValueError(
            "branches is empty; give at least one, such as [mmkeras.vector_branch(16)]"
        )
    return named


def _encoder(modality: str, branch: keras.Model) -> keras.Model:
    """The same layers as `<modality>_encoder`, since `<modality>` is the name of the input."""
    try:
        single = len(branch.inputs) == 1 and len(branch.outputs) == 1
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            f"branch {modality!r} has no symbolic input yet; wrap it: "
            "x = keras.Input(shape); keras.Model(x, branch(x))"
        ) from None
    if not single:
        raise ValueError(
            f"branch {modality!r} must have one input and one output, "
            f"but it has {len(branch.inputs)} and {len(branch.outputs)}"
        )
    same = keras.Model(branch.inputs[0], branch.outputs[0], name=f"{modality}_encoder")
    if type(branch).call in (type(same).call, keras.Sequential.call):
        return same
    x = keras.Input(branch.inputs[0].shape[1:], dtype=branch.inputs[0].dtype)
    # The branch is called as a whole, since its own call may do more than its graph.
    return keras.Model(x, branch(x), name=same.name)


def _checked(heads: Mapping[str, Head]) -> Mapping[str, Head]:
    if not isinstance(heads, Mapping) or not heads:
        raise ValueError(
            'heads must be a dict such as {"diagnosis": "binary"} or {"group": 6}, '
            f"got {heads!r}"
        )
    plain = {}
    for head, kind in heads.items():
        plain[check_name("the name of a head", head)] = _plain(kind)
    return plain


def _plain(kind: Any) -> Head:
    """The head; a number of classes becomes an int, which NumPy's integers are not."""
    whole = hasattr(kind, "__index__") and not isinstance(kind, bool)
    return kind.__index__() if whole else kind


def _answer(head: str, kind: Head, joint: Any) -> Any:
    layer = _head(head, kind)
    answer = layer(joint)
    if layer.name != head:  # an output has the name of the head, even if it is the only one
        answer = keras.layers.Identity(dtype=answer.dtype, name=head)(answer)
    return answer


def _head(head: str, kind: Head, new: bool = False) -> Any:
    """The layer that a head stands for; with `new`, a layer with its own weights and this name."""
    dense = keras.layers.Dense
    if isinstance(kind, keras.layers.Layer):
        return type(kind).from_config({**kind.get_config(), "name": head}) if new else kind
    if kind == "binary":
        return dense(1, activation="sigmoid", dtype="float32", name=head)
    if kind == "regression":
        return dense(1, dtype="float32", name=head)
    if isinstance(kind, int) and not isinstance(kind, bool) and kind >= 2:
        return dense(kind, activation="softmax", dtype="float32", name=head)
    hint = ' (for two outcomes and one output use "binary")' if kind == 1 else ""
    raise ValueError(
        f'head {head!r} must be "binary", "regression", a number of classes from 2 up or a Keras '
        f"layer, got {kind!r}{hint}"
    )
