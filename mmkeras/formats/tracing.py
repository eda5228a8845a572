"""What a layer must know of the file into which its model is being written.

A converter keeps most layers as they are. A few compute with operators that a format does not have,
or that it spoils, so they ask `format_now()` while they are traced and compute the same numbers in
another way. Chapter 18 shows what happens without.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

_FORMAT: ContextVar[str] = ContextVar("format", default="")


@contextlib.contextmanager
def written_as(format: str) -> Iterator[None]:
    """While the block runs, layers are traced for this format, such as "litert" or "onnx"."""
    token = _FORMAT.set(format)
    try:
        yield
    finally:
        _FORMAT.reset(token)


def format_now() -> str:
    """The format of the file that is being written; "" if none is."""
    return _FORMAT.get()


def kept_float(constant: Any, x: Any) -> Any:
    """The constant; in a LiteRT file it is a product, so that no converter takes it for a weight.

    Dynamic range quantization turns each product with a large constant into one of 8-bit integers.
    It rounds the other factor, too: to 256 steps between its extremes, in which what is a thousand
    times smaller vanishes. Here the constant is multiplied by a 1 that only the size of the batch
    tells, so that the converter has to leave it, and the product with it, as they are.

    Args:
        constant: array of any shape.
        x: the input of the layer, (batch, …).
    """
    if format_now() != "litert":
        return constant
    return constant * ops.cast(ops.shape(x)[0] > 0, "float32")


def log1p(x: Any) -> Any:
    """log(1 + x); as two operators for ONNX, which has no operator for it, and no error either."""
    return ops.log(1 + x) if format_now() == "onnx" else ops.log1p(x)


def where(condition: Any, x: Any, y: Any) -> Any:
    """x where the condition holds, else y, which may be NaN where it is not taken.

    tf2onnx writes a choice as c · x + (1 - c) · y, and 0 · NaN is NaN. Only if the condition asks
    for NaN does it write ONNX's own choice: here √(c - 1) is NaN where c is 0.
    """
    if format_now() != "onnx":
        return ops.where(condition, x, y)
    fails = ops.isnan(ops.sqrt(ops.cast(condition, "float32") - 1))
    return ops.where(fails, y, x)


@contextlib.contextmanager
def plain_gelu(model: Any) -> Iterator[None]:
    """While the block runs, gelu is written with erf, which ONNX has, in place of erfc.

    x Φ(x) with Φ(x) = (1 + erf(x / √2)) / 2 (Hendrycks & Gimpel 2016, arXiv:1606.08415).
    """

    def gelu(x: Any) -> Any:
        return x * (1 + ops.erf(x / 2**0.5)) / 2

    changed = [
        layer
        for layer in model._flatten_layers()
        if getattr(layer, "activation", None) is keras.activations.gelu
    ]
    try:
        for layer in changed:
            layer.activation = gelu
        yield
    finally:
        for layer in changed:
            layer.activation = keras.activations.gelu
