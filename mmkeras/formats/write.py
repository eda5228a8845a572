"""A Keras model, written as a file of another format."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from .. import files
from .litert import litert
from .refusals import foreign, refusal
from .saved_model import saved_model
from .tracing import plain_gelu, written_as

# Format → its name in the file system, which is a folder if it has no ending.
FORMATS = {
    "savedmodel": "savedmodel",
    "litert": "model.tflite",
    "litert-fp16": "model-fp16.tflite",
    "litert-dynamic": "model-dynamic.tflite",
    "litert-int8": "model-int8.tflite",
    "onnx": "model.onnx",
}
KINDS = {"litert": "float32", "litert-fp16": "float16", "litert-dynamic": "dynamic",
         "litert-int8": "int8"}  # fmt: skip


class Unwritable(Exception):
    """A model cannot be written in a format; the message says why."""


def written(
    model: keras.Model, format: str, path: str | Path, rows: Mapping[str, np.ndarray] | None = None
) -> Path:
    """Write the model, completely or not at all; what was there is replaced.

    Args:
        model: any Keras model with named inputs; it stays as it is.
        format: a key of FORMATS.
        path: a file; for "savedmodel" a folder.
        rows: for "litert-int8", see `litert`.

    Raises:
        Unwritable: a layer or an operator that the format does not have, or rows that do not fit.
        ValueError: an unknown format.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    path = Path(path)
    kind = KINDS.get(format)
    if why := refusal(model, "litert" if kind else "onnx" if format == "onnx" else ""):
        raise Unwritable(why)
    try:
        with files.whole_path(path) as part:
            if kind:
                part.write_bytes(litert(model, kind, rows))
            elif format == "onnx":
                _onnx(model, part)
            else:
                with written_as("tf_saved_model"):
                    saved_model(model, part)
    except ValueError as error:
        raise Unwritable(str(error)) from error
    return path


def _onnx(model: keras.Model, path: Path) -> None:
    with written_as("onnx"), plain_gelu(model):
        model(model.inputs)  # before it writes ONNX, Keras wants to have seen a call
        keras.Model.export(model, path, format="onnx", verbose=False)
    if operators := foreign(path):
        raise ValueError(f"ONNX does not have the operators {', '.join(operators)}")
