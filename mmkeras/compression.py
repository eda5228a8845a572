"""Smaller models: what a layer costs, whole numbers for weights, thin factors, a teacher's answers.

Derived in chapter 18.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from .arguments import Arrays, check_integer, check_positive
from .attention import AttentionBlock, PositionEmbedding

# ------------------------------------------------------------------------------ what it costs


def multiply_adds(model: keras.Model) -> dict[str, int]:
    """Multiply-adds of each layer for one row: products of a weight or a feature that are summed.

    Dense, convolutions, LSTM, GRU and `AttentionBlock` are counted; so are models inside the model.
    Look-ups (Embedding), normalisation, activations, pooling and biases count 0: they take a few
    operations per number, not hundreds.

    Args:
        model: a functional model whose shapes are all known, except for the batch.

    Returns:
        layer name → multiply-adds; names inside another model have its name before them. Layers
        without any are left out.

    Raises:
        ValueError: a layer has matrices that are not known here, or a shape that is open.
    """
    found: dict[str, int] = {}
    for name, layer in _layers(model):
        count = _count(layer)
        if count is None:
            raise ValueError(
                f"layer {name!r} ({type(layer).__name__}) has matrices that are not counted: "
                "compute its multiply-adds from their shapes"
            )
        if count:
            found[name] = count
    return found


def _layers(model: keras.Model, before: str = "") -> Iterator[tuple[str, Any]]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer, f"{before}{layer.name}/")
        else:
            yield before + layer.name, layer


def _count(layer: Any) -> int | None:
    """Multiply-adds of one layer; None for a layer with matrices that is of no known kind."""
    if isinstance(layer, layers.DepthwiseConv1D | layers.DepthwiseConv2D):
        return _size(layer.kernel.shape) * _size(layer.output.shape[1:-1], layer)
    if isinstance(layer, layers.Conv1D | layers.Conv2D | layers.Conv3D):
        return _size(layer.kernel.shape) * _size(layer.output.shape[1:-1], layer)
    if isinstance(layer, layers.Dense):  # at every place of a sequence
        return _size(layer.kernel.shape) * _size(layer.output.shape[1:-1], layer)
    if isinstance(layer, layers.LSTM | layers.GRU):
        cell = layer.cell
        sizes = _size(cell.kernel.shape) + _size(cell.recurrent_kernel.shape)
        return sizes * _size(layer.input.shape[1:2], layer)
    if isinstance(layer, AttentionBlock):
        return _count_attention(layer)
    if isinstance(layer, layers.Embedding | PositionEmbedding):  # look-ups
        return 0
    return None if any(len(w.shape) > 1 and min(w.shape) > 1 for w in layer.weights) else 0


def _count_attention(block: AttentionBlock) -> int:
    """Six matrices at every place, and two products of places with places."""
    asked = block.output.shape
    given = block.input if isinstance(block.input, list) else [block.input]
    times, told = _size(asked[1:2], block), _size(given[-1].shape[1:2], block)
    own = block.attention
    memory = _size(own.key_dense.kernel.shape) + _size(own.value_dense.kernel.shape)
    here = sum(_size(dense.kernel.shape) for dense in
               (own.query_dense, own.output_dense, block.wide, block.narrow))  # fmt: skip
    return times * here + told * memory + 2 * times * told * own.heads * own.key_dim


def _size(shape: Any, layer: Any = None) -> int:
    if any(n is None for n in shape):
        raise ValueError(f"layer {layer.name!r} has the open shape {tuple(shape)}: fix its length")
    return int(np.prod(shape, dtype=np.int64))


# ------------------------------------------------------------------------------ whole numbers


@dataclass(frozen=True)
class Quantized:
    """Numbers as whole numbers on an even grid: value ≈ scale · (number - zero).

    Attributes:
        numbers: int8 array of the shape of the values (4 bits also take an int8 each here).
        scale: float64, the step of the grid; one number, or one per channel (with axes of length 1
            elsewhere).
        zero: int, the whole number that stands for 0.0; of the shape of `scale`.
    """

    numbers: np.ndarray
    scale: np.ndarray
    zero: np.ndarray

    def values(self) -> np.ndarray:
        """The numbers as float64, each at most half a step from what it was (if none was cut)."""
        return self.scale * (self.numbers.astype(float) - self.zero)


def quantize(
    values: Arrays, bits: int = 8, *, symmetric: bool = True, axis: int | None = None
) -> Quantized:
    """Round to 2**bits whole numbers (Jacob et al. 2018).

    Symmetric: the grid reaches from -max|value| to max|value|, and 0.0 is the number 0; of the 2**8
    numbers it uses 255. Otherwise it reaches from the smallest to the largest value (and always
    includes 0.0, so that zeros stay exact).

    Args:
        values: float array of any shape, finite.
        bits: 2 to 8.
        symmetric: see above.
        axis: None for one scale; or an axis, each index of which gets a scale of its own ("per
            channel").

    Raises:
        ValueError: values that are empty or not finite, bits out of range, an axis that is not
            there.
    """
    x = np.asarray(values, dtype=float)
    if x.size == 0 or not np.isfinite(x).all():
        raise ValueError(f"values must be finite and at least one, got {x.size} of shape {x.shape}")
    bits = check_integer("bits", bits, 2, 8)
    if axis is not None:
        axis = check_integer("axis", axis, -x.ndim, x.ndim - 1) % x.ndim
    others = tuple(i for i in range(x.ndim) if i != axis)
    low = np.minimum(x.min(axis=others, keepdims=axis is not None), 0)
    high = np.maximum(x.max(axis=others, keepdims=axis is not None), 0)
    most = 2 ** (bits - 1) - 1
    if symmetric:
        scale, least = np.maximum(-low, high) / most, -most
    else:
        scale, least = (high - low) / (2**bits - 1), -most - 1
    scale = np.where(scale > 0, scale, 1.0)  # all zeros: any step will do
    zero = (
        np.zeros_like(scale) if symmetric else np.clip(np.round(least - low / scale), least, most)
    )
    numbers = np.clip(np.round(x / scale) + zero, least, most)
    return Quantized(numbers.astype(np.int8), scale, zero.astype(int))


# ------------------------------------------------------------------------------ thin matrices


def factors(kernel: Arrays, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The two thin matrices whose product is nearest to a matrix (Eckart & Young 1936).

    Args:
        kernel: float (m, n).
        rank: r, from 1 to min(m, n).

    Returns:
        float32 (m, r) and (r, n). The squared error of their product is the sum of the squared
        singular values that were left out.

    Raises:
        ValueError: kernel is no finite matrix, or the rank is out of range.
    """
    matrix = np.asarray(kernel, dtype=float)
    if matrix.ndim != 2 or matrix.size == 0 or not np.isfinite(matrix).all():
        raise ValueError(f"kernel must be a finite matrix, got shape {matrix.shape}")
    rank = check_integer("rank", rank, 1, min(matrix.shape))
    tall = matrix.shape[0] > 8 * matrix.shape[1]  # a QR first keeps the SVD small
    q, small = np.linalg.qr(matrix) if tall else (None, matrix)
    u, s, vt = np.linalg.svd(small, full_matrices=False)
    root = np.sqrt(s[:rank])
    left = (q @ u[:, :rank] if q is not None else u[:, :rank]) * root
    return left.astype("float32"), (root[:, None] * vt[:rank]).astype("float32")


# ------------------------------------------------------------------------------ a teacher


def soften(probabilities: Arrays, temperature: float) -> np.ndarray:
    """softmax(logits / T) of rows of probabilities, float64 (n, classes); T > 0.

    T = 1 changes nothing; the larger T, the more equal the classes. A probability of 0 stays 0.

    Raises:
        ValueError: T is not positive, or the rows are no probabilities.
    """
    p = np.asarray(probabilities, dtype=float)
    if not np.isfinite(temperature) or temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature!r}")
    if p.ndim != 2 or not np.allclose(p.sum(axis=1), 1, atol=1e-3) or (p < 0).any():
        raise ValueError(f"probabilities must be rows that sum to 1, got shape {p.shape}")
    powers = (p / p.max(axis=1, keepdims=True)) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def distillation_loss(
    classes: int, temperature: float = 2.0, share: float = 1.0
) -> Callable[[Any, Any], Any]:
    """A loss for a student with softmax outputs (Hinton, Vinyals & Dean 2015).

    share · T² · cross-entropy(teacher softened by T, student softened by T) + (1 - share) ·
    cross-entropy(label, student). T² keeps the size of the gradient when T grows.

    Args:
        classes: K.
        temperature: T > 0. The first K columns of y must already be softened by the same T.
        share: weight of the teacher, 0 to 1.

    Returns:
        loss(y, p): y float (n, 2K), the teacher's softened probabilities, then the label as 0 and 1
        (zeros where there is no label); p float (n, K). It gives float (n,).

    Raises:
        ValueError: an argument out of range.
    """
    classes = check_positive("classes", classes)
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share!r}")
    if not np.isfinite(temperature) or temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature!r}")

    def loss(y: Any, p: Any) -> Any:
        logits = ops.log(ops.maximum(p, 1e-12))
        soft = ops.log_softmax(logits / temperature)
        taught = -ops.sum(y[:, :classes] * soft, axis=-1) * temperature**2
        labelled = -ops.sum(y[:, classes:] * logits, axis=-1)
        return share * taught + (1 - share) * labelled

    return loss
