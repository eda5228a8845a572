"""The reader of safetensors: round trip, headers that lie, and every kind of damage."""

import json

import numpy as np
import pytest

from mmkeras.pretrained.weights import load_safetensors

RNG = np.random.default_rng(0)
TENSORS = {
    "matrix": RNG.normal(size=(3, 4)).astype("<f4"),
    "half": RNG.normal(size=5).astype("<f2"),
    "double": RNG.normal(size=(1, 2)).astype("<f8"),
    "places": np.arange(4, dtype="<i8")[None],
    "small": np.array([[-1], [2]], "<i4"),
    "scalar": np.array(3, "<f4"),
    "nothing": np.zeros((0, 3), "<f4"),
}
FEW = {name: TENSORS[name][:2] for name in ("small", "half")}
SPELT = {"<f2": "F16", "<f4": "F32", "<f8": "F64", "<i4": "I32", "<i8": "I64"}


def entries(tensors=TENSORS):
    found, at = {"__metadata__": {"format": "np"}}, 0
    for name, x in tensors.items():
        end = at + x.nbytes
        found[name] = {
            "dtype": SPELT[x.dtype.str], "shape": list(x.shape), "data_offsets": [at, end],
        }  # fmt: skip
        at = end
    return found


def file(header=None, tensors=TENSORS, tail=b""):
    header = entries(tensors) if header is None else header
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (
        len(text).to_bytes(8, "little")
        + text
        + b"".join(x.tobytes() for x in tensors.values())
        + tail
    )


def read(tmp_path, data):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    return load_safetensors(path)


def refused(tmp_path, data, match):
    with pytest.raises(ValueError, match=rf"model\.safetensors \({len(data):,} bytes\): .*{match}"):
        read(tmp_path, data)


def test_round_trip(tmp_path):
    tensors = read(tmp_path, file())
    assert set(tensors) == set(TENSORS)
    for name, x in TENSORS.items():
        assert tensors[name].dtype == x.dtype and tensors[name].shape == x.shape
        np.testing.assert_array_equal(tensors[name], x)
    assert not tensors["matrix"].flags.writeable
    padded = json.dumps(entries()).encode() + b"   "  # as writers do, for the alignment
    assert set(read(tmp_path, file(padded))) == set(TENSORS)
    assert read(tmp_path, file({}, {})) == {}


def change(name="matrix", **fields):
    header = entries()
    header[name] = header[name] | fields
    return file(header)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"dtype": "BF16"}, "matrix has dtype 'BF16'; this reader knows F16, F32"),
        ({"dtype": 7}, "'matrix' is not a tensor"),
        ({"shape": [3, 5]}, "matrix: shape"),
        ({"shape": [-3, -4]}, "'matrix' is not a tensor"),
        ({"shape": [3.0, 4]}, "'matrix' is not a tensor"),
        ({"shape": [True, 12]}, "'matrix' is not a tensor"),
        ({"shape": 12}, "'matrix' is not a tensor"),
        ({"shape": [2**40, 2**40]}, "matrix: shape"),
        ({"shape": [2**70, 0], "data_offsets": [0, 0]}, ""),
        ({"data_offsets": [0, 47]}, "matrix: shape"),
        ({"data_offsets": [4, 52]}, "matrix: shape"),  # a gap
        ({"data_offsets": [48, 0]}, "does not fit"),
        ({"data_offsets": [0]}, "'matrix' is not a tensor"),
        ({"data_offsets": [-48, 0]}, "'matrix' is not a tensor"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, fields, match):
    refused(tmp_path, change(**fields), match)


def test_overlaps_and_leftovers_are_refused(tmp_path):
    header = entries()
    header["twin"] = header["matrix"]
    refused(tmp_path, file(header), "twin: shape .* does not fit behind")
    refused(tmp_path, file(tail=b"x"), "1 bytes are left over")
    twice = json.dumps(entries()).encode().replace(b'"half"', b'"matrix"')
    refused(tmp_path, file(twice), "a name stands twice")


@pytest.mark.parametrize("header", [b"[]", b"1", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}'])
def test_headers_that_are_none_are_refused(tmp_path, header):
    refused(tmp_path, file(header), "")


def test_every_truncation_names_the_file(tmp_path):
    data = file(entries(FEW), FEW)
    for length in range(len(data)):
        refused(tmp_path, data[:length], "")


def test_garbage_and_changed_bytes_give_no_other_error(tmp_path):
    data = file(entries(FEW), FEW)
    wrong = 0
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        try:
            read(tmp_path, changed)  # a changed number, or a name, is still a valid file
        except ValueError:
            wrong += 1
    assert wrong > len(data) / 2
    for _ in range(200):
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            read(tmp_path, RNG.bytes(100))
