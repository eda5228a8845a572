"""LiteRT files (.tflite): float32, and three ways to make them smaller.

float16 halves the weights. Dynamic range keeps them in 8 bits, and rounds the input of each large
product to 8 bits while it runs. int8 computes in 8 bits throughout, with ranges that were seen on
representative rows (Jacob et al. 2018, arXiv:1712.05877). Chapter 18 derives and compares them.
"""

import contextlib
import io
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from .saved_model import saved_model
from .tracing import kept_float, written_as

Arrays = Mapping[str, np.ndarray]
KINDS = ("float32", "float16", "dynamic", "int8")
# Besides layers with `stays_float`, and the last ones: a variance, and features of many scales.
STAY_FLOAT = (keras.layers.LayerNormalization, keras.layers.Concatenate)
# The runtime refuses to divide by the 8-bit integer 0, whatever number it stands for: with counts
# from 0 to 20 in 256 steps, that is ten, so that texts of ten words stopped the file.
FLOAT_OPERATORS = ("DIV",)


def litert(model: keras.Model, kind: str = "float32", rows: Arrays | None = None) -> bytes:
    """The content of a LiteRT file.

    Args:
        model: any Keras model with named inputs and one output.
        kind: one of KINDS.
        rows: for int8, arrays by input name, of rows like those that the file will see; about 100
            are enough. In an int8 file inputs and outputs stay float32 (ids int32), and so do
            the last layers, STAY_FLOAT, and layers with an attribute `stays_float`: their numbers
            span more than 256 steps, such as a spectrogram before its logarithm.

    Raises:
        ValueError: an unknown kind, rows that do not fit the model, or an operator that LiteRT
            does not have.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "int8":
        rows = _fitting(model, rows)
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder, quiet():
        with written_as("litert"), heads_kept(model):
            saved_model(model, folder)

        def converter() -> Any:
            made = tf.lite.TFLiteConverter.from_saved_model(folder)
            made.optimizations = [] if kind == "float32" else [tf.lite.Optimize.DEFAULT]
            made.target_spec.supported_types = [tf.float16] if kind == "float16" else []
            return made

        try:
            if kind == "int8":
                assert rows is not None
                return _integers(model, converter, rows)
            return bytes(converter().convert())
        except Exception as error:  # the converter has a type of its own
            raise ValueError(_reason(error)) from error


def _integers(model: keras.Model, converter: Callable[[], Any], rows: Arrays) -> bytes:
    import tensorflow as tf

    def examples() -> Iterator[dict[str, np.ndarray]]:
        # A dict: a list must have the order of the file, and of a tuple the second is read.
        for i in range(len(next(iter(rows.values())))):
            yield {name: value[i : i + 1] for name, value in rows.items()}

    plain = converter()
    plain.optimizations = []
    whole = tf.lite.Interpreter(model_content=plain.convert())
    names = [tensor["name"] for tensor in whole.get_tensor_details()]
    made = converter()
    made.representative_dataset = examples
    options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_nodes=kept_names(model, names), denylisted_ops=list(FLOAT_OPERATORS)
    )
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=made, debug_dataset=examples, debug_options=options
    )
    return bytes(debugger.get_nondebug_quantized_model())


def kept_names(model: keras.Model, names: list[str]) -> list[str]:
    """The tensors that layers which stay float make themselves, not by the layers they own."""
    patterns, last = [], heads(model)
    for layer in model._flatten_layers():
        if getattr(layer, "stays_float", isinstance(layer, STAY_FLOAT) or layer in last):
            owned = "|".join(re.escape(part.name) for part in layer._flatten_layers(False, True))
            inner = rf"(?!(?:.*/)?(?:{owned})(?:_\d+)?/)" if owned else ""
            patterns.append(re.compile(rf"(?:^|/){re.escape(layer.name)}(?:_\d+)?/{inner}"))
    return [name for name in names if any(p.search(name.partition(";")[0]) for p in patterns)]


def heads(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that give the answers, also inside of a model that is a layer."""
    found: list[keras.layers.Layer] = []
    for tensor in model.outputs:
        layer = tensor._keras_history.operation
        found += heads(layer) if isinstance(layer, keras.Model) else [layer]
    return found


@contextlib.contextmanager
def heads_kept(model: keras.Model) -> Iterator[None]:
    """While the block runs, the last Dense layers are traced with a kernel that stays float.

    What they read stands side by side and has many scales, but dynamic range quantization rounds it
    with one; and a head is small.
    """

    def kept(layer: keras.layers.Dense) -> Callable[..., Any]:
        def call(x: Any, training: Any = None) -> Any:
            out = keras.ops.matmul(x, kept_float(layer.kernel, x))
            return layer.activation(out + layer.bias if layer.use_bias else out)

        return call

    plain = [layer for layer in heads(model) if type(layer) is keras.layers.Dense
             and layer.quantization_mode is None]  # fmt: skip
    try:
        for layer in plain:
            layer.call = kept(layer)
        yield
    finally:
        for layer in plain:
            del layer.call


def _fitting(model: keras.Model, rows: Arrays | None) -> Arrays:
    """The rows in the order and in the types of the model's inputs."""
    wanted = {tensor.name: tensor for tensor in model.inputs}
    given = {} if rows is None else dict(rows)
    if set(given) != set(wanted) or not all(map(len, given.values())):
        raise ValueError(
            "int8 needs rows that show which numbers occur: at least one row for each of the "
            f"inputs {', '.join(map(repr, wanted))}; got {', '.join(map(repr, given)) or 'none'}"
        )
    if len({len(value) for value in given.values()}) > 1:
        counts = ", ".join(f"{name!r} has {len(value)}" for name, value in given.items())
        raise ValueError(f"the inputs differ in their number of rows: {counts}")
    return {name: np.asarray(given[name], tensor.dtype) for name, tensor in wanted.items()}


def _reason(error: Exception) -> str:
    """The line of a converter's report that says what is wrong."""
    text = str(error)
    found = re.search(r"(?:Flex|Custom) ops: ([\w, ]+)", text)
    if found:
        return f"LiteRT does not have the operators {found[1].strip()}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the notes of converters on how it goes, some of which C++ writes to the stream."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
