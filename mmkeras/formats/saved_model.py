"""TensorFlow's SavedModel, each weight once."""

import functools
from pathlib import Path
from typing import Any

import keras

TABLES = (
    keras.layers.TextVectorization,
    keras.layers.StringLookup,
    keras.layers.IntegerLookup,
)


def saved_model(model: keras.Model, folder: str | Path) -> None:
    """Write a model whose signature `serving_default` takes its inputs by name.

    `model.export` does the same, but Keras writes each weight twice: as its own variable, and as
    the one of TensorFlow inside it (keras-team/keras#23553, open in Keras 3.15). Here only those
    are kept that the signature reads. A table of words needs Keras' way.
    """
    if any(isinstance(layer, TABLES) for layer in model._flatten_layers()):
        keras.Model.export(model, folder, format="tf_saved_model", verbose=False)
        return

    def spec(tensor: Any) -> keras.InputSpec:
        return keras.InputSpec(shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)

    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serve",
        functools.partial(model.__call__, training=False),
        input_signature=[keras.tree.map_structure(spec, model.input)],
    )
    archive.write_out(str(folder), verbose=False)
