"""The reader of CTranslate2's flat files: round trip, and every kind of damage."""

import struct
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from mmkeras.pretrained.ctranslate2_file import TYPES, load_ctranslate2

CODES = {np.dtype(name): number for number, name in TYPES.items()}


def string(text: str) -> bytes:
    return struct.pack("<H", len(text.encode()) + 1) + text.encode() + b"\0"


def variable(name: str, array: Any, **other: Any) -> bytes:
    """One record; `other` replaces its shape, type or number of bytes."""
    array = np.asarray(array)
    shape = other.get("shape", array.shape)
    head = struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    size = other.get("size", array.nbytes)
    return string(name) + head + struct.pack("<BI", other.get("type", CODES[array.dtype]), size) + (
        array.tobytes()
    )  # fmt: skip


def flat(arrays: Any, aliases: Any = (), kind: str = "WhisperSpec", version: int = 6) -> bytes:
    """The bytes of a file; `arrays` by name, or records that are there already."""
    records = arrays if isinstance(arrays, list) else [variable(*item) for item in arrays.items()]
    parts = [struct.pack("<I", version), string(kind), struct.pack("<II", 3, len(records))]
    names = [string(alias) + string(name) for alias, name in aliases]
    return b"".join([*parts, *records, struct.pack("<I", len(aliases)), *names])


def read(folder: Path, data: bytes) -> Any:
    path = folder / "model.bin"
    path.write_bytes(data)
    return load_ctranslate2(path, "WhisperSpec")


ARRAYS = {
    "half": np.arange(6, dtype="<f2").reshape(2, 3),
    "whole": np.array([1.5, -2], "<f4"),
    "byte": np.array([-1, 0, 1], "i1"),
    "short": np.array([[300]], "<i2"),
    "number": np.array(6, "<i4"),
    "nothing": np.zeros((0, 4), "<f4"),
}
FILE = flat(ARRAYS, [("tied", "half")])


def test_round_trip(tmp_path: Path) -> None:
    tensors = read(tmp_path, FILE)
    assert list(tensors) == [*ARRAYS, "tied"]
    for name, array in ARRAYS.items():
        assert tensors[name].dtype == array.dtype and tensors[name].shape == array.shape
        np.testing.assert_array_equal(tensors[name], array)
    assert tensors["tied"] is tensors["half"]
    with pytest.raises(ValueError, match="read-only"):
        tensors["half"][:] = 0


def test_one_matrix_for_three_layers(tmp_path: Path) -> None:
    kernel, bias = np.arange(12, dtype="<f2").reshape(6, 2), np.arange(6, dtype="<f2")
    tensors = read(tmp_path, flat({"x/weight": kernel, "x/bias": bias}))
    layers = [keras.layers.Dense(2) for _ in range(3)]
    for layer in layers:
        layer.build((None, 2))
    tensors.dense("x", *layers)
    x = np.array([[1.0, 2.0]])
    got = np.concatenate([layer(x) for layer in layers], axis=1)
    np.testing.assert_allclose(got, x @ kernel.T + bias)
    with pytest.raises(ValueError, match="lacks 'y/weight'"):
        tensors.dense("y", *layers)


ONE = np.zeros(2, "<f4")
DAMAGED = {
    "version": (flat({}, version=5), "the version is 5, expected 6"),
    "kind": (flat({}, kind="TransformerSpec"), "holds a 'TransformerSpec', expected a 'Whisper"),
    "left": (FILE + b"x", "1 bytes are left over"),
    "type": (flat([variable("a", ONE, type=9)]), "'a' has the type 9, expected one of"),
    "size": (flat([variable("a", ONE, size=7)]), r"'a' of shape \[2\] and type float32 has 7"),
    "shape": (flat([variable("a", ONE, shape=(3,))]), r"'a' of shape \[3\]"),
    "huge": (flat([variable("a", ONE, shape=(2**32 - 1,) * 255)]), "'a' of shape"),
    "twice": (flat([variable("a", ONE)] * 2), "'a' is there twice"),
    "alias": (flat({"a": ONE}, [("b", "c")]), "'b' stands for 'c', which is not there"),
    "taken": (flat({"a": ONE}, [("a", "a")]), "'a' is there twice"),
    "string": (flat({"a": ONE}).replace(b"a\0", b"aa"), "a string without an end"),
    "text": (flat({"a": ONE}).replace(b"a\0", b"\xff\0"), "can't decode"),
    "count": (
        FILE.replace(struct.pack("<II", 3, 6), struct.pack("<II", 3, 2**31)),
        "has the type 5",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_named(tmp_path: Path, kind: str) -> None:
    data, message = DAMAGED[kind]
    with pytest.raises(ValueError, match=rf"model\.bin \({len(data):,} bytes\).*{message}"):
        read(tmp_path, data)


def test_every_truncation_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    for length in range(len(FILE)):
        with pytest.raises(ValueError, match=rf"model\.bin \({length:,} bytes\) is truncated"):
            read(tmp_path, FILE[:length])


def test_garbage_and_changed_bytes_give_no_other_error(tmp_path: Path) -> None:
    for at in range(len(FILE)):
        try:
            read(tmp_path, FILE[:at] + bytes([FILE[at] ^ 0xFF]) + FILE[at + 1 :])
        except ValueError as error:
            assert "model.bin" in str(error)
    for seed in range(50):
        with pytest.raises(ValueError, match=r"model\.bin"):
            read(tmp_path, np.random.default_rng(seed).bytes(100))
