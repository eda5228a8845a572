"""Read weight files without running anything that stands in them.

**safetensors** is made for that: 8 bytes, the length of the header; the header, JSON, name ->
{dtype, shape, data_offsets}; then the numbers, without a gap and without an overlap.

**The legacy format of PyTorch** is not. A pickle is a program: a plain `pickle.load` runs whatever
the file says. Before version 1.6 `torch.save` (`_legacy_save` in `torch/serialization.py`) wrote

    pickle: magic number;  pickle: protocol 1001;  pickle: system information
    pickle: an OrderedDict name -> tensor, each a view (offset, sizes, strides) of a storage
    pickle: list of storage keys
    for each key: 8 bytes, the number of elements; then the elements

Here every pickle goes through an `Unpickler` that knows the few names such a file needs and refuses
all others, and every number in the file is checked before it is used. What is left to a hostile
file is to ask for much memory; the hash in the catalogue guards against that.
"""

from __future__ import annotations

import io
import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["load_safetensors", "load_torch"]

# As safetensors spells them; the numbers are little-endian.
DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8"}

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
# How the standard library's unpickler stumbles over bytes that are no pickle.
BROKEN = (
    EOFError, ValueError, TypeError, AttributeError, LookupError, OverflowError, MemoryError,
    RecursionError,
)  # fmt: skip


class _Unpickler(pickle.Unpickler):
    """Builds nothing but numbers, strings, tuples, lists, sets, dicts and OrderedDicts."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, encoding="utf-8")
        self.storages: dict[str, tuple[str, int]] = {}  # key -> (dtype, number of elements)

    def find_class(self, module: str, name: str) -> Callable | type | str:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *view: view  # a fresh one each time: a pickle cannot alter a shared one
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(
            f"refused {module}.{name}: a weight file may name only collections.OrderedDict, "
            f"torch._utils._rebuild_tensor_v2, torch.{' and torch.'.join(STORAGES)}"
        )

    def persistent_load(self, pid: Any) -> str:
        match pid:
            case ("storage", str(dtype), str(key), "cpu", int(count), None) if (
                dtype in STORAGES.values()
                and count >= 0
                and self.storages.setdefault(key, (dtype, count)) == (dtype, count)
            ):
                return key
        raise pickle.UnpicklingError(
            f"refused the storage {pid!r:.80}: expected ('storage', class, key, 'cpu', elements, "
            "None), the same wherever a key returns"
        )


def load_torch(path: Path | str) -> dict[str, np.ndarray]:
    """Return the tensors of a legacy PyTorch file (`torch.save` of a state dict) by name.

    Args:
        path: the file: float32 and int64 tensors, on the CPU, little-endian.

    Returns:
        Name -> float32 or int64 array, in the order of the file.

    Raises:
        pickle.UnpicklingError: the file names anything but tensors, is truncated, has bytes left
            over, or its sizes, strides and offsets do not agree. Nothing in it is ever executed.
    """
    path = Path(path)
    data = path.read_bytes()
    if data[:4] == b"PK\x03\x04":
        raise pickle.UnpicklingError(
            f"{path.name} is a zip, the format of torch.save since PyTorch 1.6; this reader is for "
            "the one before: torch.save(state, path, _use_new_zipfile_serialization=False)"
        )
    try:
        return _load(data)
    except pickle.UnpicklingError as error:
        raise pickle.UnpicklingError(f"{path.name} ({len(data):,} bytes): {error}") from error
    except BROKEN as error:
        raise pickle.UnpicklingError(
            f"{path.name} ({len(data):,} bytes) is truncated or no legacy PyTorch file: "
            f"{type(error).__name__}: {error}. Fetch it again."
        ) from error


def _load(data: bytes) -> dict[str, np.ndarray]:
    stream = io.BytesIO(data)
    for what, expected in (("magic number", MAGIC), ("protocol", PROTOCOL)):
        if (found := _Unpickler(stream).load()) != expected:
            raise pickle.UnpicklingError(f"the {what} is {found!r:.80}, expected {expected}")
    system = _Unpickler(stream).load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise pickle.UnpicklingError(f"expected little_endian: True, found {system!r:.80}")
    unpickler = _Unpickler(stream)
    views = unpickler.load()
    if not isinstance(views, OrderedDict):
        raise pickle.UnpicklingError(f"expected an OrderedDict, found a {type(views).__name__}")
    storages = _read_storages(stream, _Unpickler(stream).load(), unpickler.storages)
    # OrderedDict.items, not views.items: a pickle may give an object attributes of its own.
    return {name: _tensor(name, view, storages) for name, view in OrderedDict.items(views)}


def _read_storages(
    stream: io.BytesIO, keys: Any, declared: dict[str, tuple[str, int]]
) -> dict[str, np.ndarray]:
    """Cut the raw tail of the file into the storages that the tensors refer to."""
    if not isinstance(keys, list) or len(keys) != len(declared) or set(keys) != set(declared):
        raise pickle.UnpicklingError("the list of storages is not the one the tensors refer to")
    tail, at, storages = stream.read(), 0, {}
    for key in keys:
        dtype, count = declared[key]
        end = at + 8 + count * np.dtype(dtype).itemsize
        if end > len(tail):
            raise pickle.UnpicklingError(
                f"truncated: storage {key} ends {end - len(tail):,} bytes behind the end"
            )
        if (found := int.from_bytes(tail[at : at + 8], "little")) != count:
            raise pickle.UnpicklingError(
                f"storage {key} holds {found:,} elements, {count:,} were announced"
            )
        storages[key] = np.frombuffer(tail, dtype, count, at + 8)
        at = end
    if at != len(tail):
        raise pickle.UnpicklingError(f"{len(tail) - at:,} bytes are left over behind the storages")
    return storages


def _tensor(name: Any, view: Any, storages: dict[str, np.ndarray]) -> np.ndarray:
    """Copy a view (key, offset, sizes, strides, ...) out of its storage, if it fits there."""
    match name, view:
        case str(), (str(key), offset, tuple(sizes), tuple(strides), *_) if (
            key in storages
            and len(sizes) == len(strides)
            and all(type(number) is int and number >= 0 for number in (offset, *sizes, *strides))
        ):
            storage = storages[key]
        case _:
            raise pickle.UnpicklingError(f"{name!r:.80} is not a tensor: {view!r:.80}")
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if prod(sizes) > storage.size or (prod(sizes) and last >= storage.size):
        raise pickle.UnpicklingError(
            f"{name}: sizes {sizes}, strides {strides}, offset {offset} do not fit a storage of "
            f"{storage.size:,} elements"
        )
    if not prod(sizes):
        return np.empty(sizes, storage.dtype)
    step = storage.itemsize
    steps = [step * stride for stride in strides]
    return np.ndarray(sizes, storage.dtype, storage, offset * step, steps).copy()


def load_safetensors(path: Path | str) -> dict[str, np.ndarray]:
    """Return the tensors of a safetensors file by name.

    Args:
        path: the file: float16, float32, float64, int32 and int64 tensors.

    Returns:
        Name -> array, in the order of the numbers in the file. The arrays are read-only: they are
        views of the bytes of the file.

    Raises:
        ValueError: the file is truncated, has bytes left over, its header is no JSON of the right
            form, a dtype is another, or sizes and offsets do not agree. The message names the file
            and the tensor.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        return _tensors(data)
    except (ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path.name} ({len(data):,} bytes): {error}. Fetch it again.") from error


def _tensors(data: bytes) -> dict[str, np.ndarray]:
    start = 8 + int.from_bytes(data[:8], "little")
    if start > len(data):
        raise ValueError(f"truncated, or no safetensors file: its header ends at byte {start:,}")
    header = json.loads(data[8:start], object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise ValueError(f"the header is a {type(header).__name__}, expected a dict")
    header.pop("__metadata__", None)
    entries = [(name, *_entry(name, entry)) for name, entry in header.items()]
    tensors, at = {}, 0
    for name, dtype, shape, begin, end in sorted(entries, key=lambda entry: entry[3:]):
        if begin != at or end - begin != prod(shape) * np.dtype(dtype).itemsize:
            raise ValueError(
                f"{name}: shape {shape} of {dtype} at bytes {begin:,} to {end:,} does not fit "
                f"behind the tensor before it, which ends at {at:,}"
            )
        if start + end > len(data):
            raise ValueError(f"truncated: {name} ends {start + end - len(data):,} bytes too late")
        tensors[name] = np.frombuffer(data, dtype, prod(shape), start + begin).reshape(shape)
        at = end
    if start + at != len(data):
        raise ValueError(f"{len(data) - start - at:,} bytes are left over behind the tensors")
    return tensors


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; where a name stands twice, readers would differ in what they see."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"a name stands twice among {names[:3]} …")
    return dict(pairs)


def _entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """dtype, shape, begin and end of a tensor, as the header has them."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end]} if all(
            type(number) is int and number >= 0 for number in (*shape, begin, end)
        ):
            if dtype not in DTYPES:
                known = ", ".join(DTYPES)
                raise ValueError(f"{name} has dtype {dtype!r:.80}; this reader knows {known}")
            return DTYPES[dtype], tuple(shape), begin, end
    raise ValueError(f"{name!r:.80} is not a tensor: {entry!r:.80}")
