"""Read a `model.bin` of CTranslate2, version 6: without CTranslate2, without executing anything.

The file is flat (`python/ctranslate2/specs/model_spec.py` of that project writes it), all numbers
little-endian, a string a 16-bit length and that many bytes, the last of them 0:

    uint32 6, the version;  string, the kind of model;  uint32, the revision of that kind
    uint32, number of variables; for each:
        string, its name;  uint8, its rank;  uint32 for each dimension
        uint8, its type;  uint32, its bytes;  then the bytes
    uint32, number of aliases; for each: string, a second name;  string, the variable

The arrays are views of the mapped file: what nobody looks at is never read, and no number in the
file can ask for more memory than the file is long.
"""

from __future__ import annotations

import mmap
from math import prod
from pathlib import Path

import keras
import numpy as np

__all__ = ["Tensors", "load_ctranslate2"]

VERSION = 6
TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}


class Tensors(dict[str, np.ndarray]):
    """Arrays by name, which says what is missing and hands them to layers."""

    def __missing__(self, name: str) -> np.ndarray:
        raise ValueError(f"the weight file lacks {name!r}; is it of another model?")

    def dense(self, name: str, *layers: keras.layers.Dense) -> None:
        """A matrix (out, in) and its bias go to a layer, or in equal parts to several."""
        kernels, biases = (
            np.split(self[f"{name}/{part}"], len(layers)) for part in ("weight", "bias")
        )
        for layer, kernel, bias in zip(layers, kernels, biases, strict=True):
            layer.set_weights([kernel.T, bias])

    def norm(self, name: str, layer: keras.layers.LayerNormalization) -> None:
        layer.set_weights([self[f"{name}/gamma"], self[f"{name}/beta"]])


def load_ctranslate2(path: Path | str, kind: str) -> Tensors:
    """Return the variables of a CTranslate2 model by name.

    Args:
        path: the file, `model.bin`.
        kind: the kind of model that it must hold, such as "WhisperSpec".

    Returns:
        Name → array (float32, float16, int8, int16 or int32), read-only, in the order of the file;
        a second name has the same array.

    Raises:
        ValueError: another version or kind, a type that is not in the list, a truncated file, sizes
            that do not agree, bytes left over.
    """
    path = Path(path)
    with path.open("rb") as file:
        length = path.stat().st_size
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if length else b"")
    try:
        return _load(_Reader(data), kind)
    except (EOFError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(
            f"{path.name} ({length:,} bytes) is truncated, damaged or no model of CTranslate2 that "
            f"can be read here: {error}. Fetch it again."
        ) from error


class _Reader:
    """Takes bytes from the front, and never more than there are."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> memoryview:
        if self.at + size > len(self.data):
            raise EOFError(f"{size:,} bytes wanted at {self.at:,}, which is beyond the end")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def string(self) -> str:
        text = bytes(self.take(self.number(2)))
        if not text.endswith(b"\0"):
            raise ValueError(f"a string without an end at {self.at:,}: {text!r:.80}")
        return text[:-1].decode()


def _load(reader: _Reader, kind: str) -> Tensors:
    if (version := reader.number(4)) != VERSION:
        raise ValueError(f"the version is {version}, expected {VERSION}")
    if (found := reader.string()) != kind:
        raise ValueError(f"it holds a {found!r:.80}, expected a {kind!r}")
    reader.number(4)  # the revision
    tensors = Tensors()
    for _ in range(reader.number(4)):
        name = reader.string()
        _new(tensors, name, _variable(reader, name))
    for _ in range(reader.number(4)):
        alias, name = reader.string(), reader.string()
        if name not in tensors:
            raise ValueError(f"{alias!r:.80} stands for {name!r:.80}, which is not there")
        _new(tensors, alias, tensors[name])
    if left := len(reader.data) - reader.at:
        raise ValueError(f"{left:,} bytes are left over")
    return tensors


def _new(tensors: Tensors, name: str, array: np.ndarray) -> None:
    if name in tensors:
        raise ValueError(f"{name!r:.80} is there twice")
    tensors[name] = array


def _variable(reader: _Reader, name: str) -> np.ndarray:
    shape = [reader.number(4) for _ in range(reader.number(1))]
    if (number := reader.number(1)) not in TYPES:
        raise ValueError(f"{name!r:.80} has the type {number}, expected one of {list(TYPES)}")
    dtype, size = np.dtype(TYPES[number]), reader.number(4)
    if size != prod(shape) * dtype.itemsize:
        raise ValueError(f"{name!r:.80} of shape {shape} and type {dtype} has {size:,} bytes")
    return np.frombuffer(reader.take(size), dtype).reshape(shape)
