"""Costs of six models, and the recipe of many tutorials made smaller, for compression.py."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import compression_models as models
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from article import article_model
from compression_models import first, right, said
from fusion import CLASSES, LENGTH, EmojiData
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import mmkeras as mm
from mmkeras.compression import factors, multiply_adds

SEEDS = range(1, 4)
RANKS = (1, 2, 4, 8, 16, 32)


def article() -> Iterator[pd.DataFrame]:
    """Answers of the recipe of many tutorials with a thin first Dense layer, and in int8."""
    data, pages = EmojiData(), []
    for seed in SEEDS:
        artist = data.artists[seed % len(data.artists)]
        train, valid, test = data.rows(artist, seed)
        ids = data.inputs(train)["text"]
        x = {"text": np.pad(ids, ((0, 0), (0, 500 - LENGTH))), "image": data.emoji.images}
        keras.utils.set_random_seed(seed)
        model = article_model()
        model.fit({k: v[train] for k, v in x.items()}, data.emoji.y[train], epochs=4, verbose=0)
        asked = {k: v[test] for k, v in x.items()}
        page = data.emoji.table.loc[test, ["hexcode", "family", "artist"]].assign(seed=seed)
        page["whole"] = right(model.predict(asked, verbose=0), data.emoji.y[test])
        for rank, p in with_rank(model, asked):
            page[f"rank {rank}"] = right(p, data.emoji.y[test])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "m.keras"
            model.save(file)
            for kind in ("float32", "int8", "int4"):
                copy = keras.saving.load_model(file, compile=False)
                if kind != "float32":
                    copy.quantize(kind)
                copy.save(Path(folder) / "copy.keras")
                page[f"bytes {kind}"] = (Path(folder) / "copy.keras").stat().st_size
                page[kind] = right(copy.predict(asked, verbose=0), data.emoji.y[test])
        pages.append(page)
        said(page)
        yield pd.concat(pages)


def with_rank(model: keras.Model, x: dict[str, np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Answers of the recipe when its widest matrix is the product of two thin ones."""
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    words = next(layer for layer in model.layers if isinstance(layer, keras.layers.LSTM))
    flat, text = keras.Model(model.inputs, [dense[0].input, words.output]).predict(x, verbose=0)
    (kernel, bias), (inner, shift), (last, base) = (layer.get_weights() for layer in dense)
    left, narrow = factors(kernel, min(kernel.shape))
    for rank in (*RANKS, min(kernel.shape)):
        image = np.maximum(flat @ left[:, :rank] @ narrow[:rank] + bias, 0)
        both = np.maximum(np.concatenate([text, image], axis=1) @ inner + shift, 0)
        yield rank, both @ last + base


# ------------------------------------------------------------------------------ costs


def cost() -> Iterator[pd.DataFrame]:
    """Weights, bytes, multiply-adds and time of six models, at one row and at 64."""
    rng, rows = np.random.default_rng(0), []
    mini = mm.pretrained.minilm_l6(16)
    nets = {
        "name, 8 words": mm.multimodal_model(models.parts(None), {"group": CLASSES}),
        "name + 48 px, small": models.small_model(),
        "EfficientNet-Lite0, 128 px": mm.pretrained.efficientnet_lite0((128, 128, 3)),
        "EfficientNet-Lite0, 224 px": mm.pretrained.efficientnet_lite0((224, 224, 3)),
        "MiniLM-L6, 16 pieces": mini,
        "article's recipe": article_model(),
    }
    for name, model in nets.items():
        x = {t.name: (rng.integers(1, 900, (64, *t.shape[1:])) if t.dtype == "int32"
                      else rng.uniform(0, 255, (64, *t.shape[1:]))).astype(t.dtype)
             for t in model.inputs}  # fmt: skip
        run = models.graph(model)
        times = models.milliseconds({n: partial(run, first(x, n)) for n in (1, 64)})
        counts = multiply_adds(model)
        rows.append({"model": name, "weights": model.count_params(),
                     "multiply_adds": sum(counts.values()), "profiler": profiled(model) // 2,
                     "ms_1": round(times[1], 3), "ms_64": round(times[64], 3)})  # fmt: skip
        print(rows[-1], flush=True)
        yield pd.DataFrame(rows)


def profiled(model: keras.Model) -> int:
    """Floating-point operations of one row, as TensorFlow's profiler counts them."""
    specs = [tf.TensorSpec((1, *t.shape[1:]), t.dtype) for t in model.inputs]
    run = tf.function(lambda *x: model(list(x), training=False), input_signature=specs)
    frozen = convert_variables_to_constants_v2(run.get_concrete_function())
    options = {**tf.compat.v1.profiler.ProfileOptionBuilder.float_operation(), "output": "none"}
    found = tf.compat.v1.profiler.profile(frozen.graph, options=options)
    return found.total_float_ops
