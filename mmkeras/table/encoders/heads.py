"""The models behind the encoders: from the features of each modality to the answer.

Each is a Keras model fed by modality, and by `present`: what is absent counts as a mean input.
`whole` puts the encoders before it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from sklearn.decomposition import TruncatedSVD

from ... import branches
from ...fusion import DecisionFusion, fuse
from ...missing import BlankAbsent, ModalityDropout
from ...models import MultimodalModel
from .linear import Linear
from .sources import Source, train_rows

Array = np.ndarray
UNITS, DROPOUT, HIDDEN = 64, 0.3, 0.1  # of a network: width, dropout, modalities hidden in training
LSA = 128  # dimensions into which TF-IDF is put for a network (Deerwester et al. 1990)


def linear_head(sources: Sequence[Source], found: Linear) -> keras.Model:
    """Logistic regression on all features beside each other.

    Args:
        found: over `Source.blocks` side by side, and at the end a column for each modality that is
            1 where it is absent.
    """
    (inputs, present), logits = _inputs(sources), found.kernel.shape[1]
    ends = np.cumsum([source.blocks.shape[1] for source in sources])
    *kernels, gaps = np.split(found.kernel, ends)
    parts = []
    for column, (source, kernel) in enumerate(zip(sources, kernels, strict=True)):
        if source.idf is None:
            parts.append((_read(source, inputs, present, column), kernel))
        else:  # the words are so many that their rows are looked up, not multiplied
            parts.append((_read(source, inputs, present, column, kernel), np.eye(logits)))
    absent = branches.Standardise(trainable=False, name="absent")  # 1 - present
    parts.append((absent(present), gaps))
    absent.set_weights([np.ones(len(sources)), -np.ones(len(sources))])
    joint = layers.Concatenate(name="beside")([x for x, _ in parts])
    answer = _answer(logits)
    out = answer(joint)
    answer.set_weights([np.concatenate([kernel for _, kernel in parts]), found.bias])
    return keras.Model([*inputs.values(), present], out, name="head")


def late_head(sources: Sequence[Source], found: Sequence[Linear]) -> keras.Model:
    """The mean of the answers of one logistic regression per modality."""
    inputs, present = _inputs(sources)
    answers = []
    for column, (source, one) in enumerate(zip(sources, found, strict=True)):
        answer = _answer(one.kernel.shape[1], f"answer_{source.modality}")
        if source.idf is None:
            x, kernel = _read(source, inputs, present, column), one.kernel
        else:
            x = _read(source, inputs, present, column, one.kernel)
            kernel = np.eye(one.kernel.shape[1])
        answers.append(answer(x))
        answer.set_weights([kernel, one.bias])
    out = DecisionFusion("average", name="answer")(answers, present=present)
    return keras.Model([*inputs.values(), present], out, name="head")


def network(sources: Sequence[Source], fusion: str, logits: int) -> keras.Model:
    """A hidden layer behind the features: "concatenate" or "gated"; with random weights."""
    inputs, present = _inputs(sources)
    features = []
    for column, source in enumerate(sources):
        directions = None if source.idf is None else _lsa(source)
        x = _read(source, inputs, present, column, directions)
        size = x.shape[-1]  # back to a spread of 1 a feature, as layers expect it
        features.append(layers.Rescaling(float(np.sqrt(size)), name=f"{source.modality}_unit")(x))
    hide = ModalityDropout(HIDDEN, "zero", name="modality_dropout")
    features, mask = hide(features, present=present)
    if fusion == "gated":
        features = [
            layers.Dense(UNITS, "relu", name=f"{s.modality}_hidden")(_drop(x, s.modality))
            for s, x in zip(sources, features, strict=True)
        ]
        joint = fuse(features, "gated", mask)
    else:
        joint = fuse(features, "concatenate", mask)
        joint = layers.Dense(UNITS, "relu", name="hidden")(_drop(joint, "joint"))
    out = _answer(logits)(_drop(joint, "answer"))
    return keras.Model([*inputs.values(), present], out, name="head")


def whole(sources: Sequence[Source], head: keras.Model) -> keras.Model:
    """Encoders and head as one model, fed as those of `mmkeras.multimodal_model` are."""
    present = keras.Input((len(sources),), name="present")
    inputs, features = [], []
    for column, source in enumerate(sources):
        shape, dtype = head.inputs[column].shape[1:], head.inputs[column].dtype
        if source.encoder is not None:
            shape, dtype = source.encoder.input_shape[1:], source.encoder.input.dtype
        inputs.append(keras.Input(shape, dtype=dtype, name=source.modality))
        x = BlankAbsent(column, name=f"{source.modality}_or_blank")(inputs[-1], present)
        features.append(x if source.encoder is None else source.encoder(x))
    head.trainable = True
    return MultimodalModel([*inputs, present], head([*features, present]))


# ---- parts ------------------------------------------------------------------------------------


def _inputs(sources: Sequence[Source]) -> tuple[dict[str, Any], Any]:
    inputs = {
        s.modality: keras.Input(
            s.features.shape[1:], dtype="int32" if s.idf is not None else "float32",
            name=s.modality,
        )
        for s in sources
    }  # fmt: skip
    return inputs, keras.Input((len(sources),), name="present")


def _read(
    source: Source,
    inputs: Mapping[str, Any],
    present: Any,
    column: int,
    rows: Array | None = None,
) -> Any:
    """`Source.blocks` of a batch, or for TF-IDF their product with a matrix."""
    name = source.modality
    if source.idf is None:
        layer: layers.Layer = branches.Standardise(name=f"{name}_standard")
        weights = {"mean": source.mean, "scale": source.scale}
    else:
        assert rows is not None
        layer = branches.TfIdfSum(len(source.idf), rows.shape[1], name=f"{name}_tf_idf")
        weights = {"idf": source.idf, "table": rows}
    x = layer(inputs[name])
    for weight in layer.weights:  # by name: Keras has the trained ones first
        weight.assign(weights[weight.name])
    layer.trainable = False
    return BlankAbsent(column, name=f"{name}_or_mean")(x, present)


def _lsa(source: Source) -> Array:
    """Directions along which the TF-IDF vectors of the training rows differ: (vocabulary, d)."""
    learned = source.blocks[train_rows(source.table) & source.there]
    most = min(LSA, *(size - 1 for size in learned.shape))
    svd = TruncatedSVD(max(most, 1), random_state=0).fit(learned)
    return svd.components_.T / np.sqrt((svd.singular_values_**2).sum() / learned.shape[0])


def _drop(x: Any, name: str) -> Any:
    return layers.Dropout(DROPOUT, name=f"{name}_dropout")(x)


def _answer(logits: int, name: str = "answer") -> layers.Dense:
    activation = "sigmoid" if logits == 1 else "softmax"
    return layers.Dense(logits, activation, dtype="float32", name=name)
