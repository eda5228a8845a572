"""The reader of legacy PyTorch files: round trip, hostile pickles, and every kind of damage."""

import io
import os
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest

from mmkeras.pretrained.weights import MAGIC, PROTOCOL, load_torch

RNG = np.random.default_rng(0)
SYSTEM = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"int": 4}}
PARTS = ("magic", "protocol", "system", "tensors", "keys")


class Storage:
    """Stands for a torch storage; `pid` overrides parts of what the pickle says about it."""

    def __init__(self, array, key, pid=()):
        self.array, self.key = array, key
        kind = {"f": "FloatStorage", "i": "LongStorage"}[array.dtype.kind]
        self.pid = {
            "tag": "storage", "type": getattr(sys.modules["torch"], kind), "key": key,
            "location": "cpu", "count": array.size, "view": None,
        } | dict(pid)  # fmt: skip


class Tensor:
    """Stands for a torch tensor, and pickles as one."""

    def __init__(self, storage, offset, sizes, strides):
        self.view = (storage, offset, sizes, strides, False, OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.view


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return tuple(obj.pid.values()) if isinstance(obj, Storage) else None


@pytest.fixture(autouse=True)
def torch(monkeypatch):
    """Two modules with the names a pickle of PyTorch mentions, so that it can be written."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in ("FloatStorage", "LongStorage", "DoubleStorage"):
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))
    utils._rebuild_tensor_v2 = lambda *view: view
    utils._rebuild_tensor_v2.__module__ = "torch._utils"
    utils._rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def dumps(obj, protocol=2):
    stream = io.BytesIO()
    Pickler(stream, protocol).dump(obj)
    return stream.getvalue()


def legacy(views, storages, tail=b"", **replaced):
    """The bytes of a legacy file; `replaced` puts other bytes in the place of a pickle."""
    parts = {
        "magic": dumps(MAGIC),
        "protocol": dumps(PROTOCOL),
        "system": dumps(SYSTEM),
        "tensors": dumps(views),
        "keys": dumps([storage.key for storage in storages]),
    }
    raw = [s.array.size.to_bytes(8, "little") + s.array.tobytes() for s in storages]
    return b"".join([*(parts | replaced).values(), *raw, tail])


def example(**replaced):
    weights = RNG.normal(size=24).astype("float32")
    weights, steps = Storage(weights, "7"), Storage(np.array([41], "int64"), "8")
    tensors = OrderedDict(
        plain=Tensor(weights, 0, (4, 6), (6, 1)),
        turned=Tensor(weights, 0, (6, 4), (1, 6)),  # a second view of the same storage
        part=Tensor(weights, 8, (2, 3), (6, 2)),
        steps=Tensor(steps, 0, (), ()),
        nothing=Tensor(weights, 0, (0, 3), (3, 1)),
    )
    tensors._metadata = OrderedDict(version=1)  # torch hangs this on every state dict
    return legacy(tensors, [weights, steps], **replaced), weights.array.reshape(4, 6)


def read(tmp_path, data):
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    return load_torch(path)


def test_round_trip(tmp_path):
    data, expected = example()
    tensors = read(tmp_path, data)
    assert list(tensors) == ["plain", "turned", "part", "steps", "nothing"]
    np.testing.assert_array_equal(tensors["plain"], expected)
    np.testing.assert_array_equal(tensors["turned"], expected.T)
    positions = [[8, 10, 12], [14, 16, 18]]
    np.testing.assert_array_equal(tensors["part"], expected.reshape(-1)[positions])
    assert tensors["steps"].shape == () and tensors["steps"] == 41
    assert tensors["nothing"].shape == (0, 3)
    assert {x.dtype.str for x in tensors.values()} == {"<f4", "<i8"}
    tensors["plain"][:] = 0  # a copy: neither read-only nor shared with its other view
    assert tensors["turned"].any()


class Call:
    """Pickles as a call of `function`, which may itself be the result of a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call

    def __call__(self):
        raise AssertionError("only there because pickle wants something callable")


def hostile(kind, marker):
    """Bytes that make a plain `pickle.loads` leave the file `marker` behind."""
    shell, code = f"echo > {marker}", f"open({str(marker)!r}, 'w').close()"
    system = Call(os.system, shell)
    short = b"\x8c" + bytes([len(shell)]) + shell.encode()
    return {
        "call": lambda: dumps(system),
        "text protocol": lambda: dumps(system, 0),
        "newest protocol": lambda: dumps(system, pickle.HIGHEST_PROTOCOL),
        "instance": lambda: f"(S{shell!r}\nios\nsystem\n.".encode(),
        "dotted name": lambda: b"\x80\x04cos\npath.os.system\n" + short + b"\x85R.",
        "eval": lambda: dumps(Call(eval, code)),
        "exec": lambda: dumps(Call(exec, code), 4),
        "getattr chain": lambda: dumps(
            Call(Call(getattr, Call(__import__, "os"), "system"), shell)
        ),
        "nested": lambda: dumps(OrderedDict(a=[({"b": system},)])),
        "inside an allowed call": lambda: dumps(Call(OrderedDict, [("a", Call(eval, code))])),
        "inside a tensor": lambda: dumps(OrderedDict(a=Tensor(system, 0, (1,), (1,)))),
    }[kind]()


REFUSED = {
    "call": r"(posix|nt)\.system", "text protocol": r"(posix|nt)\.system",
    "newest protocol": r"(posix|nt)\.system", "instance": r"os\.system",
    "dotted name": r"os\.path\.os\.system", "eval": r"\w*builtin\w*\.eval",
    "exec": r"\w*builtin\w*\.exec", "getattr chain": r"\w*builtin\w*\.getattr",
    "nested": r"(posix|nt)\.system", "inside an allowed call": r"\w*builtin\w*\.eval",
    "inside a tensor": r"(posix|nt)\.system",
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_hostile_pickles_are_refused_in_every_part_and_never_run(tmp_path, kind):
    marker = tmp_path / "ran"
    payload = hostile(kind, marker)
    pickle.loads(payload)
    assert marker.exists()  # the payload is a live one
    marker.unlink()
    for part in PARTS:
        data, _ = example(**{part: payload})
        with pytest.raises(pickle.UnpicklingError, match=f"weights.pth.*refused {REFUSED[kind]}:"):
            read(tmp_path, data)
        assert not marker.exists(), part


@pytest.mark.parametrize(
    "pid",
    [
        {"tag": "module"},
        {"location": "cuda:0"},
        {"count": -1},
        {"count": "24"},
        {"key": 7},
        {"type": "<f8"},
        {"view": ("7", 0, 24)},
        {"view": Call(eval, "1/0")},
    ],
)
def test_odd_storages_are_refused(tmp_path, pid):
    storage = Storage(np.zeros(24, "float32"), "7", pid)
    data = legacy(OrderedDict(a=Tensor(storage, 0, (24,), (1,))), [storage])
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        read(tmp_path, data)


def test_a_storage_type_that_is_not_used_is_refused_by_name(tmp_path, torch):
    storage = Storage(np.zeros(2, "float32"), "7", {"type": sys.modules["torch"].DoubleStorage})
    with pytest.raises(pickle.UnpicklingError, match=r"refused torch\.DoubleStorage"):
        read(tmp_path, legacy(OrderedDict(a=Tensor(storage, 0, (2,), (1,))), [storage]))


@pytest.mark.parametrize(
    ("offset", "sizes", "strides"),
    [
        (1, (24,), (1,)),
        (0, (25,), (1,)),
        (0, (4, 6), (7, 1)),
        (0, (10**6, 10**6), (0, 0)),
        (-1, (24,), (1,)),
        (0, (24,), (-1,)),
        (0, (-24,), (1,)),
        (0, (24,), (1, 1)),
        (0, (24.0,), (1,)),
        (True, (2,), (1,)),
        (0, 24, 1),
    ],
)
def test_views_that_leave_their_storage_are_refused(tmp_path, offset, sizes, strides):
    storage = Storage(np.zeros(24, "float32"), "7")
    data = legacy(OrderedDict(conv=Tensor(storage, offset, sizes, strides)), [storage])
    with pytest.raises(pickle.UnpicklingError, match=r"weights\.pth.*conv.*(not a tensor|not fit)"):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"magic": dumps(1)}, f"magic number is 1, expected {MAGIC}"),
        ({"protocol": dumps(1002)}, "protocol is 1002, expected 1001"),
        ({"system": dumps({"little_endian": False})}, "expected little_endian: True"),
        ({"tensors": dumps([1])}, "expected an OrderedDict, found a list"),
        ({"tensors": dumps(OrderedDict())}, "list of storages"),
        ({"keys": dumps(["7"])}, "list of storages"),
        ({"keys": dumps(["7", "7"])}, "list of storages"),
        ({"keys": dumps(["8", "7"])}, "storage 8 holds 24 elements, 1 were announced"),
        ({"tail": b"x"}, "1 bytes are left over"),
    ],
)
def test_parts_that_disagree_are_named(tmp_path, replaced, message):
    with pytest.raises(pickle.UnpicklingError, match=message):
        read(tmp_path, example(**replaced)[0])


@pytest.mark.parametrize("view", [1, "7", ("7", 0, (1,), (1,)), OrderedDict()])
def test_what_is_no_tensor_is_refused(tmp_path, view):
    with pytest.raises(pickle.UnpicklingError, match="'a' is not a tensor: "):
        read(tmp_path, legacy(OrderedDict(a=view), []))


def test_a_zip_is_recognised(tmp_path):
    with pytest.raises(pickle.UnpicklingError, match="use_new_zipfile_serialization=False"):
        read(tmp_path, b"PK\x03\x04 and so on")


def test_every_truncation_is_an_error_that_names_the_file(tmp_path):
    data, _ = example()
    for length in range(len(data)):
        with pytest.raises(pickle.UnpicklingError, match=rf"weights\.pth \({length:,} bytes\)"):
            read(tmp_path, data[:length])


def test_garbage_and_changed_bytes_give_no_other_error(tmp_path):
    data, _ = example()
    refused = 0
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        try:
            read(tmp_path, changed)  # a changed float, or a name, is still a valid file
        except pickle.UnpicklingError:
            refused += 1
    assert refused > len(data) / 2
    for _ in range(200):
        with pytest.raises(pickle.UnpicklingError):
            read(tmp_path, RNG.bytes(100))
