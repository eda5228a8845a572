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
    inputs, present = _inputs(sources)
    absent = branches.Standardise(trainable=False, name="absent")  # 1 - present
    gaps, count = absent(present), present.shape[1]
    absent.set_weights([np.ones(count), -np.ones(count)])
    order = list(by_modality(sources))
    columns = [order.index(source.modality) for source in sources]
    out = _regression(sources, columns, found, inputs, present, "answer", gaps)
    return keras.Model([*inputs.values(), present], out, name="head")


def late_head(sources: Sequence[Source], found: Sequence[Linear]) -> keras.Model:
    """The mean of the answers of one logistic regression per modality."""
    inputs, present = _inputs(sources)
    answers = [
        _regression(some, [column] * len(some), one, inputs, present, f"answer_{modality}")
        for column, ((modality, some), one) in enumerate(
            zip(by_modality(sources).items(), found, strict=True)
        )
    ]
    out = DecisionFusion("average", name="answer")(answers, present=present)
    return keras.Model([*inputs.values(), present], out, name="head")


def network(sources: Sequence[Source], fusion: str, logits: int) -> keras.Model:
    """A hidden layer behind the features: "concatenate" or "gated"; with random weights."""
    inputs, present = _inputs(sources)
    features: list[Any] = []
    for modality, some in by_modality(sources).items():
        found = []
        for source in some:
            directions = None if source.idf is None else _lsa(source)
            x = _read(source, inputs, present, len(features), directions)
            size = x.shape[-1]  # back to a spread of 1 a feature, as layers expect it
            found.append(layers.Rescaling(float(np.sqrt(size)), name=f"{source.key}_unit")(x))
        beside = layers.Concatenate(name=f"{modality}_beside")
        features.append(beside(found) if len(found) > 1 else found[0])
    hide = ModalityDropout(HIDDEN, "zero", name="modality_dropout")
    features, mask = hide(features, present=present)
    if fusion == "gated":
        features = [
            layers.Dense(UNITS, "relu", name=f"{modality}_hidden")(_drop(x, modality))
            for modality, x in zip(by_modality(sources), features, strict=True)
        ]
        joint = fuse(features, "gated", mask)
    else:
        joint = fuse(features, "concatenate", mask)
        joint = layers.Dense(UNITS, "relu", name="hidden")(_drop(joint, "joint"))
    out = _answer(logits)(_drop(joint, "answer"))
    return keras.Model([*inputs.values(), present], out, name="head")


def whole(sources: Sequence[Source], head: keras.Model) -> keras.Model:
    """Encoders and head as one model, fed as those of `mmkeras.multimodal_model` are."""
    parts = by_modality(sources)
    present = keras.Input((len(parts),), name="present")
    inputs: list[Any] = []
    features: list[Any] = []
    for column, (modality, some) in enumerate(parts.items()):  # all read the same input
        own = some[0].encoder.input if some[0].encoder else head.inputs[len(features)]
        inputs.append(keras.Input(own.shape[1:], dtype=own.dtype, name=modality))
        x = BlankAbsent(column, name=f"{modality}_or_blank")(inputs[-1], present)
        features += [x if source.encoder is None else source.encoder(x) for source in some]
    head.trainable = True
    return MultimodalModel([*inputs, present], head([*features, present]))


def by_modality(sources: Sequence[Source]) -> dict[str, list[Source]]:
    """Modality → its sources, which stand beside each other."""
    found: dict[str, list[Source]] = {}
    for source in sources:
        found.setdefault(source.modality, []).append(source)
    return found


# ---- parts ------------------------------------------------------------------------------------


def _inputs(sources: Sequence[Source]) -> tuple[dict[str, Any], Any]:
    inputs = {
        s.key: keras.Input(
            s.features.shape[1:], dtype="int32" if s.idf is not None else "float32",
            name=s.key,
        )
        for s in sources
    }  # fmt: skip
    return inputs, keras.Input((len(by_modality(sources)),), name="present")


def _regression(
    sources: Sequence[Source],
    columns: Sequence[int],
    found: Linear,
    inputs: Mapping[str, Any],
    present: Any,
    name: str,
    gaps: Any = None,
) -> Any:
    """The answer of a regression over the blocks of these sources, and over `gaps`."""
    logits = found.kernel.shape[1]
    ends = np.cumsum([source.blocks.shape[1] for source in sources])
    *kernels, last = np.split(found.kernel, ends)
    read, rows = [], []
    for source, column, kernel in zip(sources, columns, kernels, strict=True):
        if source.idf is None:
            read.append(_read(source, inputs, present, column))
            rows.append(kernel)
        else:  # the words are so many that their rows are looked up, not multiplied
            read.append(_read(source, inputs, present, column, kernel))
            rows.append(np.eye(logits))
    if gaps is not None:
        read, rows = [*read, gaps], [*rows, last]
    answer = _answer(logits, name)
    out = answer(layers.Concatenate(name=f"{name}_reads")(read) if len(read) > 1 else read[0])
    answer.set_weights([np.concatenate(rows), found.bias])
    return out


def _read(
    source: Source,
    inputs: Mapping[str, Any],
    present: Any,
    column: int,
    rows: Array | None = None,
) -> Any:
    """`Source.blocks` of a batch, or for TF-IDF their product with a matrix."""
    name = source.key
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
