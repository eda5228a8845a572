"""What a format cannot express: layers by name, and operators of a file that was written."""

from pathlib import Path
from typing import Any

import keras

# Layers that some formats write without complaint into a file that then does not load or run.
NO_FLEX = "it becomes operators that only a LiteRT runtime with TensorFlow inside knows"
UNFIT: dict[Any, dict[str, str]] = {
    keras.layers.LSTM: {"litert": NO_FLEX},
    keras.layers.GRU: {"litert": NO_FLEX},
    keras.layers.TextVectorization: {
        "litert": NO_FLEX,
        "onnx": "its table of words is not in the file",
    },
}


def refusal(model: Any, format: str) -> str | None:
    """A sentence with the first layer that cannot be exported; None if all can.

    Args:
        model: a Keras model.
        format: "tf_saved_model", "litert" or "onnx".
    """
    for layer in model._flatten_layers():
        for kind, why in UNFIT.items():
            if isinstance(layer, kind) and format in why:
                return (
                    f"layer {layer.name!r} ({type(layer).__name__}) cannot be exported as "
                    f"{format!r}: {why[format]}"
                )
    return None


def foreign(path: Path) -> list[str]:
    """Operators of an ONNX file that ONNX does not have; tf2onnx leaves what it cannot translate.

    It says so in a log line only, and the file then loads nowhere.
    """
    import onnx

    nodes = onnx.load(path, load_external_data=False).graph.node
    return sorted({n.op_type for n in nodes if not onnx.defs.has(n.op_type, n.domain)})
