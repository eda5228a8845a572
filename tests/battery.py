"""One set of checks that every layer and every builder of the package passes.

A case is a function that builds a model, and a few rows to feed it; tests/test_battery.py has a
line for each. The checks run on many cases at once, as parts of one model (`zoo`), since to save,
compile or export one large model takes a fraction of the time that thirty small ones take. A
failure names the case.
"""

import contextlib
import copy
import functools
import gc
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx.graph
import tf2onnx.optimizer
from keras.src import backend
from keras.src.export.saved_model_export_archive import SavedModelExportArchive
from tensorflow.lite.python import lite

from mmkeras.models import MultimodalModel

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A model with one output, and what to feed it.

    Args:
        build: makes the functional model; called anew for each dtype policy.
        x: as many rows as all other cases have, by input name.
        refused: format → a word of the message with which its export must be refused.
        idle: parts of the paths of weights that no gradient may reach, since none can.
        int8: whether it has a layer that `quantize("int8")` covers.
        half: how far half precision may be off, as a share of the largest number.
        noise: spread of what is added to each weight; 0 where weights were trained.
    """

    build: Callable[[], keras.Model]
    x: Arrays
    refused: Mapping[str, str] = field(default_factory=dict)
    idle: tuple[str, ...] = ()
    int8: bool = True
    half: float = 0.02
    noise: float = 0.1


class Cases(dict[str, Case]):
    """Cases by name, that share one model in all checks that leave it as it is."""

    archive: Path | None = None  # the SavedModel of all of them, where one was written

    @functools.cached_property
    def model(self) -> MultimodalModel:
        return zoo(self)

    @functools.cached_property
    def again(self) -> keras.Model:
        """A deepcopy; the check that changes it takes it away.

        Keras makes it of the bytes of a file, as it loads one. Files on the disk are loaded by
        check_int8 and check_lora.
        """
        return copy.deepcopy(self.model)

    @functools.cached_property
    def want(self) -> dict[str, np.ndarray]:
        return answers(self.model, self)


MASKS = ("__present", "__mask")  # inputs that nobody asks the gradient of


def zoo(cases: Cases, policy: str = "float32") -> MultimodalModel:
    """All cases side by side, with weights in which no zero or one of the start hides an error."""
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(policy)
    inputs, outputs = [], {}
    try:
        for name, case in cases.items():
            part = case.build()
            own = [
                keras.Input(t.shape[1:], dtype=t.dtype, name=f"{name}__{t.name}")
                for t in part.inputs
            ]
            outputs[name] = keras.Model(part.inputs, part.outputs[0], name=name)(own)
            inputs += own
    finally:
        keras.config.set_dtype_policy("float32")
    model = MultimodalModel(inputs, outputs, name="zoo")
    weights = [(case, w) for n, case in cases.items() for w in model.get_layer(n).trainable_weights]
    for i, (case, weight) in enumerate(weights):
        weight.assign(weight + np.random.default_rng(i).normal(0, case.noise, weight.shape))
    return model


def feed(cases: Cases, rows: slice = slice(None)) -> dict[str, np.ndarray]:
    return {
        f"{name}__{key}": value[rows]
        for name, case in cases.items()
        for key, value in case.x.items()
    }


def answers(model: Any, cases: Cases, rows: slice = slice(None)) -> dict[str, np.ndarray]:
    """What each case says, float array by name."""
    x = {name: tf.constant(value) for name, value in feed(cases, rows).items()}
    return {name: np.asarray(value) for name, value in model(x).items()}


def same(got: Mapping[str, Any], want: Arrays, atol: float = 1e-6) -> None:
    assert set(got) == set(want)
    for name, value in want.items():
        np.testing.assert_allclose(np.asarray(got[name]), value, atol=atol, err_msg=name)


def saved(model: keras.Model, folder: Path) -> keras.Model:
    model.save(folder / "zoo.keras")
    return keras.models.load_model(folder / "zoo.keras")


def kinds(model: keras.Model) -> list[tuple[str, str | None]]:
    """Each layer and how it is quantized."""
    return [(layer.name, layer.quantization_mode) for layer in model._flatten_layers()]


def configs(model: keras.Model, cases: Cases) -> dict[str, str]:
    return {name: json.dumps(model.get_layer(name).get_config()) for name in cases}


def clone(cases: Cases) -> keras.Model:
    other = keras.models.clone_model(cases.model)
    other.set_weights(cases.model.get_weights())
    return other


SHARED = re.compile(r", 'shared_object_id': \d+")  # in a config only while a model is copied


@contextlib.contextmanager
def shapes_remembered() -> Iterator[None]:
    """Each layer of ours is traced once for its shapes, not in each of the six copies of it.

    Keras finds them by a call on symbols. That is made for the layer as it was built, and once more
    where it was quantized. What the copies say is asked on numbers, right after they were made.
    """
    trace, known = backend.compute_output_spec, dict[str, Any]()

    def spec(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        layer = getattr(call, "__self__", None)
        if not (type(layer).__module__.startswith("mmkeras.") and layer.built):
            return trace(call, *args, **kwargs)
        told = keras.tree.map_structure(_symbol, (args, kwargs))
        config = SHARED.sub("", str(layer.get_config() | {"name": ""}))
        key = f"{type(layer)} {config} {told}"
        if key not in known:
            known[key] = trace(call, *args, **kwargs)
        return keras.tree.map_structure(lambda t: keras.KerasTensor(t.shape, t.dtype), known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "compute_output_spec", spec)
        yield


def _symbol(value: Any) -> str:
    return f"{value.shape} {value.dtype}" if hasattr(value, "dtype") else repr(value)


# ------------------------------------------------------------------------------ the checks


def check_copies(cases: Cases) -> None:
    """Config and deepcopy: the same numbers and the same config, and no weight is shared."""
    for name, value in cases.want.items():
        assert np.isfinite(value).all() and np.ptp(value) > 0, name
        # What Keras was told of the shape is true.
        assert cases.model.output[name].shape == (None, *value.shape[1:]), name
    same(answers(cases.again, cases), cases.want)
    assert configs(cases.again, cases) == configs(cases.model, cases)
    assert not {id(w) for w in cases.again.weights} & {id(w) for w in cases.model.weights}


def check_int8(cases: Cases, folder: Path) -> None:
    """`quantize("int8")` of a copy: near, and the same after save and load."""
    model = cases.again
    del cases.again
    same(answers(model, cases), cases.want)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda: 0)  # Keras would do it after each layer
        model.quantize("int8")
    want = answers(model, cases)
    for name, case in cases.items():
        assert ("int8" in dict(kinds(model.get_layer(name))).values()) == case.int8, name
        whole = cases.want[name]
        off = np.abs(want[name] - whole).max()
        assert off < 0.05 + 0.1 * np.abs(whole).max(), (name, off)
    again = saved(model, folder)
    same(answers(again, cases), want)
    assert kinds(again) == kinds(model)
    assert configs(again, cases) == configs(model, cases)  # so it can be saved again


def check_lora(cases: Cases, folder: Path) -> None:
    """A clone, then LoRA in every Dense layer: other answers, the same after save and load."""
    model = clone(cases)
    same(answers(model, cases), cases.want)
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.Dense:
            layer.enable_lora(2)
            layer.lora_kernel_b.assign(layer.lora_kernel_b + 0.1)
    want = answers(model, cases)
    for name in cases:
        dense = any(type(i) is keras.layers.Dense for i in model.get_layer(name)._flatten_layers())
        assert (np.abs(want[name] - cases.want[name]).max() > 1e-4) == dense, name
    same(answers(saved(model, folder), cases), want, atol=1e-5)


def check_half(cases: Cases) -> None:
    """float16 inside: near the whole numbers with the same weights."""
    half = zoo(cases, "mixed_float16")
    half.set_weights(cases.model.get_weights())
    got = answers(half, cases)
    for name, want in cases.want.items():
        far = cases[name].half * max(1, np.abs(want).max())
        np.testing.assert_allclose(got[name], want, atol=far, err_msg=name)


def check_rows(cases: Cases) -> None:
    """A batch of one is the same: no row hears its neighbours."""
    for row, want in single(cases):
        same(answers(cases.model, cases, row), want, atol=2e-5)


def check_xla(cases: Cases) -> None:
    """Compiled by XLA, all rows at once and each by itself, it is the same."""
    compiled = tf.function(lambda x: cases.model(x), jit_compile=True, autograph=False)
    same(answers(compiled, cases), cases.want, atol=1e-4)
    for row, want in single(cases):
        same(answers(compiled, cases, row), want, atol=2e-5)


def single(cases: Cases) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Each row by itself, and what is said of it among the others."""
    for i in range(len(next(iter(cases.want.values())))):
        row = slice(i, i + 1)
        yield row, {name: value[row] for name, value in cases.want.items()}


def check_gradients(cases: Cases) -> None:
    """Finite everywhere, and not zero in any weight that can matter."""
    model, before = cases.model, cases.model.get_weights()
    x = {name: tf.constant(value) for name, value in feed(cases).items()}
    floats = {k: v for k, v in x.items() if v.dtype == tf.float32 and not k.endswith(MASKS)}
    with tf.GradientTape() as tape:
        tape.watch(floats)
        loss = sum(
            tf.reduce_sum(tf.square(y) * np.linspace(1, 2, y.shape[-1], dtype="float32"))
            for y in model(x, training=True).values()
        )
    weights = [(name, w) for name in cases for w in model.get_layer(name).trainable_variables]
    assert len(weights) == len(model.trainable_variables)
    by_weight, by_input = tape.gradient(loss, ([w.value for _, w in weights], floats))
    model.set_weights(before)  # the statistics of normalisation moved
    steepest = dict.fromkeys(cases, 1.0)
    sizes = []
    for (name, weight), gradient in zip(weights, by_weight, strict=True):
        assert gradient is not None, (name, weight.path)
        sizes.append(np.abs(tf.convert_to_tensor(gradient)).max())
        assert np.isfinite(sizes[-1]), (name, weight.path)
        steepest[name] = max(steepest[name], sizes[-1])
    for (name, weight), largest in zip(weights, sizes, strict=True):
        if any(part in weight.path for part in cases[name].idle):  # nothing but rounding
            assert largest < 1e-4 * steepest[name], (name, weight.path, largest)
        else:
            assert largest > 1e-6, (name, weight.path, largest)
    for name, gradient in by_input.items():
        assert gradient is not None and np.isfinite(gradient).all() and np.any(gradient), name


def only(cases: Cases, names: list[str]) -> MultimodalModel:
    """The same model with fewer parts."""
    inputs = [t for t in cases.model.inputs if t.name.split("__")[0] in names]
    return MultimodalModel(inputs, {name: cases.model.output[name] for name in names})


@contextlib.contextmanager
def lean(archive: Path | None = None) -> Iterator[None]:
    """Spare `export` what it does twice; what it writes stays the same.

    Keras traces every model inside the model once more, to find lookup tables. tf2onnx copies the
    graph before each of its passes, to go on without one that fails; here such a pass is an error.
    It also counts the nodes before and after each, for its log. The LiteRT file is made from a
    SavedModel, which it loads twice; that is the `archive`, if there is one, as it was loaded.
    """
    passes = tf2onnx.optimizer.optimize_graph

    def optimize(graph: Any, *_: Any, **__: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tf2onnx.graph.Graph, "dump_node_statistics", lambda _: Counter())
            return passes(graph, catch_errors=False)

    def write_out(_: Any, path: Path, **__: Any) -> None:
        shutil.copytree(archive, path, dirs_exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "_default_save_signature", None)
        patch.setattr(tf2onnx.optimizer, "optimize_graph", optimize)
        if archive:
            patch.setattr(SavedModelExportArchive, "write_out", write_out)
            patch.setattr(lite, "_load", lambda *_: loaded(archive))
        yield


def check_export(cases: Cases, format: str, folder: Path) -> None:
    """Equal numbers from the file, or refused by name before there is one."""
    suffix, run = FORMATS[format]
    target = folder / f"zoo{suffix}"
    for name, case in cases.items():
        if format not in case.refused:
            continue
        try:
            only(cases, [name]).export(target, format=format, verbose=False)
        except ValueError as refusal:
            message = str(refusal)
            assert case.refused[format] in message and "format='tf_saved_model'" in message, message
        else:
            raise AssertionError(f"{name} was not refused by {format}")
        assert not target.exists()
    names = [name for name, case in cases.items() if format not in case.refused]
    if not names:
        return
    model = only(cases, names)
    with lean(cases.archive if format == "litert" and len(names) == len(cases) else None):
        model.export(target, format=format, verbose=False)
    if format == "tf_saved_model":
        cases.archive = target
    x = {t.name: tf.constant(feed(cases)[t.name], t.dtype).numpy() for t in model.inputs}
    same(run(target, x, sorted(names)), {name: cases.want[name] for name in names}, atol=2e-5)


@functools.cache
def loaded(path: Path) -> Any:
    return tf.saved_model.load(str(path))


def _saved_model(path: Path, x: Arrays, names: list[str]) -> Mapping[str, Any]:
    served = loaded(path).signatures["serving_default"]
    return served(**{name: tf.constant(value) for name, value in x.items()})


def _litert(path: Path, x: Arrays, names: list[str]) -> Mapping[str, Any]:
    return tf.lite.Interpreter(str(path)).get_signature_runner()(**x)


def _onnx(path: Path, x: Arrays, names: list[str]) -> Mapping[str, Any]:
    out = onnxruntime.InferenceSession(path).run(None, dict(x))  # in the order of the names
    return dict(zip(names, out, strict=True))


FORMATS: dict[str, tuple[str, Callable[[Path, Arrays, list[str]], Mapping[str, Any]]]] = {
    "tf_saved_model": ("", _saved_model),
    "litert": (".tflite", _litert),
    "onnx": (".onnx", _onnx),
}
