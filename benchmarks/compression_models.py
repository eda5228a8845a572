"""What benchmarks/compression.py measures: data, teacher, students, and files in other formats."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from fusion import CLASSES, IDS, LENGTH, UNITS, EmojiData
from keras import layers
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import mmkeras as mm
from mmkeras.compression import distillation_loss
from mmkeras.datasets import load_emoji
from mmkeras.training import Trainer

BATCH, RATE, EPOCHS = 256, 2e-3, 24
SIDE, WIDTHS = 48, (32, 64, 128)  # of the small model, as in mm.image_branch
ROUNDS = 5

# ------------------------------------------------------------------------------ data


class Pictures:
    """Features of the drawings from frozen encoders, by name; computed once and cached."""

    def __init__(self) -> None:
        self.data = EmojiData()
        self.features = {"teacher": self.data.features}
        images = load_emoji(size=SIDE_TINY).images
        for name, block in FIRST_BLOCKS.items():
            self.features[name] = mm.pretrained.cached_features(first_blocks(block), images)


SIDE_TINY, MIDDLE = 32, "block4c_add"
FIRST_BLOCKS = {"32px": "top_relu6", "32px-first": MIDDLE}


def first_blocks(block: str) -> keras.Model:
    """EfficientNet-Lite0 at 32×32 up to a layer, and the mean over all places."""
    whole = mm.pretrained.efficientnet_lite0((SIDE_TINY, SIDE_TINY, 3))
    mean = layers.GlobalAveragePooling2D(name="mean")(whole.get_layer(block).output)
    return keras.Model(whole.input, mean, name="first_blocks")


# ------------------------------------------------------------------------------ models


def parts(image: int | keras.Model | None, units: int = UNITS) -> list[keras.Model]:
    """The branch of the name, and one for the picture: ready features of this length, or pixels."""
    text = mm.text_branch(IDS, LENGTH, units=units)
    if image is None:
        return [text]
    if isinstance(image, keras.Model):
        return [text, image]
    return [text, mm.vector_branch(image, units=units, name="image")]


def trainer(
    image: int | None, temperature: float = 1.0, share: float = 0.0, **options: Any
) -> Trainer:
    """A student; `y` of its fit has the teacher's answer and the label (see distillation_loss)."""

    def build() -> keras.Model:
        model = mm.multimodal_model(parts(image), {"group": CLASSES}, dropout=0.5)
        loss = distillation_loss(CLASSES, temperature, share)
        model.compile(keras.optimizers.Adam(RATE), loss, **options)
        return model

    return Trainer(build)


def picture_branch(widths: tuple[int, ...] = WIDTHS, side: int = SIDE) -> keras.Model:
    """As `mm.image_branch((side, side, 3))`, with any number of filters."""
    pixels = keras.Input((side, side, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(pixels)
    for i, filters in enumerate(widths, start=1):
        x = x if i == 1 else layers.MaxPooling2D(2, name=f"pool{i - 1}")(x)
        stride = 2 if i == 1 else 1
        x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False,
                          name=f"convolution{i}")(x)  # fmt: skip
        x = layers.BatchNormalization(momentum=0.9, name=f"norm{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dense(UNITS, activation="relu", name="features")(x)
    return keras.Model(pixels, x, name="image")


def small_model(widths: tuple[int, ...] = WIDTHS, text: bool = True) -> keras.Model:
    """Name (if `text`) and 48×48 picture, from scratch; compiled for labels."""
    image = picture_branch(widths)
    model = mm.multimodal_model(parts(image) if text else [image], {"group": CLASSES}, dropout=0.5)
    model.compile(keras.optimizers.Adam(RATE), "sparse_categorical_crossentropy")
    return model


# ------------------------------------------------------------------------------ formats


def litert(model: keras.Model, kind: str, sample: dict[str, np.ndarray] | None = None) -> bytes:
    """A LiteRT file: "float32", "float16", "dynamic" or "int8" (with a sample of inputs)."""
    names = [t.name for t in model.inputs]
    specs = [tf.TensorSpec(t.shape, t.dtype, name=t.name) for t in model.inputs]
    run = tf.function(lambda *x: model(list(x), training=False), input_signature=specs)
    # With the weights as constants: of variables, calibration for int8 finds no values.
    frozen = convert_variables_to_constants_v2(run.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":

        def rows() -> Any:
            for i in range(len(sample[names[0]])):
                yield [sample[n][i : i + 1].astype(t.dtype) for n, t in
                       zip(names, model.inputs, strict=True)]  # fmt: skip

        converter.representative_dataset = rows
    return converter.convert()


class LiteRT:
    """Runs a LiteRT file; `answer` takes a dict of inputs with any number of rows."""

    def __init__(self, content: bytes, model: keras.Model) -> None:
        self.run = tf.lite.Interpreter(model_content=content, num_threads=1)
        self.types = {t.name: np.dtype(t.dtype) for t in model.inputs}
        given = self.run.get_input_details()
        shapes = {tuple(t.shape[1:]): t.name for t in model.inputs}
        self.at = {shapes[tuple(d["shape"][1:])]: d["index"] for d in given}
        self.rows = 0

    def answer(self, x: dict[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(x.values())))
        if count != self.rows:
            for name, index in self.at.items():
                self.run.resize_tensor_input(index, (count, *x[name].shape[1:]))
            self.run.allocate_tensors()
            self.rows = count
        for name, index in self.at.items():
            self.run.set_tensor(index, x[name].astype(self.types[name]))
        self.run.invoke()
        return self.run.get_tensor(self.run.get_output_details()[0]["index"])


def onnx_file(model: keras.Model, path: Path) -> Path:
    model.export(path, format="onnx", verbose=False)
    return path


def onnx_quantized(path: Path, sample: dict[str, np.ndarray] | None = None) -> Path:
    """ONNX Runtime's own quantization: dynamic, or static if there is a sample."""
    from onnxruntime import quantization as q

    target = path.with_name(path.stem + ("-static" if sample else "-dynamic") + path.suffix)
    if sample is None:
        q.quantize_dynamic(path, target, weight_type=q.QuantType.QInt8)
        return target

    class Rows(q.CalibrationDataReader):
        def __init__(self) -> None:
            count = len(next(iter(sample.values())))
            self.left = iter([{n: v[i : i + 1] for n, v in sample.items()} for i in range(count)])

        def get_next(self) -> Any:
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        q.quant_pre_process(path, ready, skip_symbolic_shape=True)
        q.quantize_static(ready, target, Rows(), per_channel=True, weight_type=q.QuantType.QInt8)
    return target


class Onnx:
    """Runs an ONNX file."""

    def __init__(self, path: Path, model: keras.Model) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self.session = onnxruntime.InferenceSession(path, options)
        self.types = {t.name: np.dtype(t.dtype) for t in model.inputs}

    def answer(self, x: dict[str, np.ndarray]) -> np.ndarray:
        return self.session.run(None, {n: x[n].astype(t) for n, t in self.types.items()})[0]


def graph(model: keras.Model) -> Callable[[dict[str, np.ndarray]], Any]:
    """The model as a compiled TensorFlow function: what serves a Keras model fastest."""
    run = tf.function(lambda x: model(x, training=False))
    types = {t.name: t.dtype for t in model.inputs}
    return lambda x: run({n: tf.convert_to_tensor(x[n], d) for n, d in types.items()}).numpy()


# ------------------------------------------------------------------------------ time


def milliseconds(runners: dict[str, Callable[[], Any]], budget: float = 0.4) -> dict[str, float]:
    """Median processor time of a call; runners take turns, ROUNDS times, after a warm-up."""
    calls = {}
    for name, run in runners.items():
        run()
        started = time.process_time()
        run()
        once = max(time.process_time() - started, 1e-5)
        calls[name] = int(np.clip(budget / ROUNDS / once, 1, 200))
    times: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(ROUNDS):
        for name in list(runners)[:: 1 if turn % 2 == 0 else -1]:
            started = time.process_time()
            for _ in range(calls[name]):
                runners[name]()
            times[name].append(1000 * (time.process_time() - started) / calls[name])
    return {name: float(np.median(t)) for name, t in times.items()}


def first(x: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    return {name: values[:count] for name, values in x.items()}


def said(page: pd.DataFrame) -> None:
    """Print the means of the columns that hold numbers."""
    print(page.select_dtypes("number").mean().round(3).to_dict(), flush=True)


def right(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (p.argmax(axis=1) == y).astype(int)
