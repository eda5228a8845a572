"""Models: branches, a fusion and heads put together into one `keras.Model`."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from .branches import LogMel
from .fusion import METHODS, DecisionFusion, fuse
from .missing import BlankAbsent, ModalityDropout, modality_dropout

# Layers that some formats write without complaint into a file that then does not load or run.
NO_FLEX = "it becomes operators that only a LiteRT runtime with TensorFlow inside knows"
UNFIT: dict[Any, dict[str, str]] = {
    LogMel: {"onnx": "its Fourier transform becomes an operator that ONNX does not have"},
    keras.layers.LSTM: {"litert": NO_FLEX},
    keras.layers.GRU: {"litert": NO_FLEX},
    keras.layers.TextVectorization: {
        "litert": NO_FLEX,
        "onnx": "its table of words is not in the file",
    },
}


def _unfit(layer: Any, format: str) -> str | None:
    """Why a layer does not survive a format; None if it does."""
    if format == "onnx" and getattr(layer, "activation", None) is keras.activations.gelu:
        return "its gelu becomes an operator that ONNX does not have"
    reasons = [why[format] for kind, why in UNFIT.items()
               if isinstance(layer, kind) and format in why]  # fmt: skip
    return reasons[0] if reasons else None


@keras.saving.register_keras_serializable("mmkeras")
class MultimodalModel(keras.Model):
    """A functional model that is fed a dict by modality and refuses names it does not know.

    Keras reports a missing name but drops an unknown one without a word, so that a misspelt or
    stale column goes unnoticed. Everything else is what `keras.Model` does.
    """

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, Mapping):
            expected = [tensor.name for tensor in self.inputs]
            unknown = [name for name in inputs if name not in expected]
            if unknown:
                raise ValueError(
                    f"unknown input {', '.join(map(repr, unknown))}; "
                    f"this model takes {', '.join(map(repr, expected))}"
                )
            if len(inputs) == len(expected):  # inside another model Keras would sort the names
                inputs = [inputs[name] for name in expected]
        return super().__call__(inputs, *args, **kwargs)

    def export(self, filepath: Any, format: str = "tf_saved_model", **kwargs: Any) -> None:
        """As `keras.Model.export`, but what would be written broken is refused.

        Raises:
            ValueError: a layer in the model does not survive this format; the message names it.
        """
        for layer in self._flatten_layers():
            if why := _unfit(layer, format):
                raise ValueError(
                    f"layer {layer.name!r} ({type(layer).__name__}) cannot be exported as "
                    f"{format!r}: {why}; use format='tf_saved_model'"
                )
        self(self.inputs)  # before it writes ONNX, Keras wants to have seen a call
        super().export(filepath, format=format, **kwargs)


def multimodal_model(
    branches: Sequence[keras.Model] | Mapping[str, keras.Model],
    heads: Mapping[str, str | int],
    *,
    fusion: str | keras.layers.Layer = "concatenate",
    missing: bool | str | ModalityDropout = False,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Encoders, fusion, heads: one model that is fed `{"text": …, "image": …}` in any order.

    The branches keep their weights: train the joint model and the branch you passed in is trained.

    Args:
        branches: a list of named models (`text_branch(…)`, …), or a dict modality → any
            `keras.Model` with one input and one output of shape (batch, d), or (batch, time, d) for
            a fusion that takes sequences. The name or key is what the input is fed by. One branch
            is enough.
        heads: dict of output name → "binary" (one sigmoid probability), an int ≥ 2 (softmax over
            that many classes) or "regression" (one unbounded number). Heads are single Dense
            layers, in float32 under any policy.
        fusion: a name or a layer, see `mmkeras.fuse`. With "decision" or a `DecisionFusion` every
            branch has heads of its own, called `<head>_<modality>`, whose answers are mixed.
        missing: False, every sample has everything; or the model gets one more input, `present`,
            float (batch, M) with a column a branch, and absent inputs, which may hold anything, do
            not matter. "learned" (or True): `ModalityDropout` hides modalities in training, and a
            learned vector stands in for what is hidden or absent. "zero": the same with zeros, and
            the fusion is told what is gone. Or a `ModalityDropout` with other settings.
        dropout: share of the joint features that a training step leaves out, in [0, 1) (Srivastava
            2014).
        name: name of the model.

    Returns:
        A functional `keras.Model`. With one head its output is one tensor, (batch, 1) or (batch,
        classes), so that `compile("adam", "binary_crossentropy")` works; with several it is a dict
        by head name. The `serving_default` signature of its SavedModel takes modalities by name.

    Raises:
        ValueError: no branch or head, two branches of one name, a branch or head that does not fit
            (said how).
    """
    branches = _by_name(branches)
    heads = _checked(heads)
    dropout_of_modalities = modality_dropout(missing)
    inputs, features, present = {}, {}, None
    if dropout_of_modalities is not None:
        if "present" in branches:
            raise ValueError("a branch cannot be called 'present': that is the mask; rename it")
        present = keras.Input((len(branches),), name="present")
    for column, (modality, branch) in enumerate(branches.items()):
        encoder = _encoder(modality, branch)
        x = inputs[modality] = keras.Input(
            encoder.input_shape[1:], dtype=encoder.input.dtype, name=modality
        )
        if present is not None:
            x = BlankAbsent(column, name=f"{modality}_or_blank")(x, present)
        features[modality] = encoder(x)
    mask = None
    if dropout_of_modalities is not None:
        inputs["present"] = present
        filled, mask = dropout_of_modalities(list(features.values()), present=present)
        features = dict(zip(features, filled, strict=True))
        if dropout_of_modalities.stand_in == "learned":
            mask = None  # the stand-ins take part like any other feature
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and less than 1, got {dropout!r}")
    taken = {*inputs, *(f"{modality}_encoder" for modality in branches), "fusion", "dropout"}
    if fusion == "decision" or isinstance(fusion, DecisionFusion):
        outputs = _decisions(features, heads, fusion, mask, dropout, taken)
    else:
        joint = fuse(features, fusion, mask)
        if dropout:
            joint = keras.layers.Dropout(dropout, name="dropout")(joint)
        outputs = {head: _head(head, kind, taken)(joint) for head, kind in heads.items()}
    one = next(iter(outputs.values())) if len(outputs) == 1 else outputs
    # A list of named inputs: with a dict of them, Keras feeds an over-full dict by position.
    return MultimodalModel(list(inputs.values()), one, name=name)


def _decisions(
    features: Mapping[str, Any],
    heads: Mapping[str, str | int],
    fusion: str | DecisionFusion,
    mask: Any,
    dropout: float,
    taken: set[str],
) -> dict[str, Any]:
    """Heads for every modality, and a `DecisionFusion` for each head."""
    layer = METHODS["decision"]() if isinstance(fusion, str) else fusion
    if dropout:
        features = {
            modality: keras.layers.Dropout(dropout, name=f"{modality}_dropout")(x)
            for modality, x in features.items()
        }
    outputs = {}
    for head, kind in heads.items():
        if kind == "regression" and layer.mix == "product":
            raise ValueError(f"head {head!r} is a regression: there is no product of numbers")
        own = [_head(f"{head}_{modality}", kind, taken)(x) for modality, x in features.items()]
        _head(head, kind, taken)  # checks the name
        mixed = type(layer).from_config({**layer.get_config(), "name": head})
        outputs[head] = mixed(own) if mask is None else mixed(own, present=mask)
    return outputs


def _by_name(branches: Sequence[keras.Model] | Mapping[str, keras.Model]) -> dict[str, keras.Model]:
    if isinstance(branches, keras.Model):
        branches = [branches]
    pairs = branches.items() if isinstance(branches, Mapping) else [(b.name, b) for b in branches]
    named: dict[str, keras.Model] = {}
    for modality, branch in pairs:
        if modality in named:
            raise ValueError(f"two branches are called {modality!r}; give each its own name=")
        if not isinstance(branch, keras.Model):
            raise ValueError(f"branch {modality!r} must be a keras.Model, got {branch!r}")
        named[modality] = branch
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
    return keras.Model(branch.inputs[0], branch.outputs[0], name=f"{modality}_encoder")


def _checked(heads: Mapping[str, str | int]) -> Mapping[str, str | int]:
    if not isinstance(heads, Mapping) or not heads:
        raise ValueError(
            'heads must be a dict such as {"diagnosis": "binary"} or {"group": 6}, '
            f"got {heads!r}"
        )
    return heads


def _head(head: str, kind: str | int, taken: set[str]) -> keras.layers.Layer:
    if head in taken:
        raise ValueError(
            f"head {head!r} has the name of another part of the model; rename the head"
        )
    if kind == "binary":
        return keras.layers.Dense(1, activation="sigmoid", dtype="float32", name=head)
    if kind == "regression":
        return keras.layers.Dense(1, dtype="float32", name=head)
    if isinstance(kind, int) and not isinstance(kind, bool) and kind >= 2:
        return keras.layers.Dense(kind, activation="softmax", dtype="float32", name=head)
    hint = ' (for two outcomes and one output use "binary")' if kind == 1 else ""
    raise ValueError(
        f'head {head!r} must be "binary", "regression" or a number of classes from 2 up, '
        f"got {kind!r}{hint}"
    )
