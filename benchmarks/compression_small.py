"""The small model of benchmarks/compression.py: other formats, zeros, fewer channels."""

import tempfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import compression_models as models
import keras
import numpy as np
import pandas as pd
from compression_models import first, right, said
from fusion import EmojiData

from mmkeras.compression import multiply_adds
from mmkeras.datasets import load_emoji
from mmkeras.training import Trainer

LONG, MORE = 12, 6  # epochs of the small model, and after cutting
MOST = 0.95  # zeros with which it is trained on


class Small:
    """Name and 48×48 picture for one artist and one seed, read by networks from scratch."""

    def __init__(self, data: Any, images: np.ndarray, artist: str, seed: int) -> None:
        rows = data.rows(artist, seed)
        ids = data.inputs(rows[0])["text"]
        self.seed, self.y = seed, [data.emoji.y[r] for r in rows]
        self.x = [{"text": ids[r], "image": images[r].astype("float32")} for r in rows]
        self.page = data.emoji.table.loc[rows[2], ["hexcode", "family", "artist"]].assign(seed=seed)
        self.still = np.random.default_rng(seed).permutation(len(rows[0]))[:128]

    @property
    def sample(self) -> dict[str, np.ndarray]:
        """128 training rows, for what must see data."""
        return {name: values[self.still] for name, values in self.x[0].items()}

    def picture(self, part: int) -> dict[str, np.ndarray]:
        return {"image": self.x[part]["image"]}

    def right(self, answer: Any) -> np.ndarray:
        return right(np.asarray(answer(self.picture(2))), self.y[2])


def smalls() -> Iterator[Small]:
    """One artist per seed, three in all."""
    data, images = EmojiData(), load_emoji(size=models.SIDE).images
    for seed, artist in enumerate(data.artists[:3], start=1):
        yield Small(data, images, artist, seed)


def formats() -> Iterator[tuple[str, pd.DataFrame]]:
    """Answers and costs of the small model in each format."""
    pages, costs = [], []
    trainer = Trainer(models.small_model)
    for small in smalls():
        trainer.fit(small.x[0], small.y[0], seed=small.seed, epochs=LONG, batch_size=64)
        with tempfile.TemporaryDirectory() as folder:
            ready = everything(trainer.model, small.sample, Path(folder))
            exact = np.asarray(ready["Keras"][1](small.x[2]))
            times = {
                n: models.milliseconds({k: partial(f, first(small.x[2], n))
                                        for k, (_, f) in ready.items()}) for n in (1, 64)
            }  # fmt: skip
            for name, (size, answer) in ready.items():
                p = np.asarray(answer(small.x[2]))
                small.page[name] = right(p, small.y[2])
                costs.append({"format": name, "seed": small.seed, "bytes": size,
                              "ms_1": times[1][name], "ms_64": times[64][name],
                              "largest change": np.abs(p - exact).max(),
                              "other answer": (p.argmax(1) != exact.argmax(1)).mean()})  # fmt: skip
        pages.append(small.page)
        print(pd.DataFrame(costs).query("seed == @small.seed").round(4).to_string(), flush=True)
        yield "formats", pd.concat(pages)
        yield "formats_cost", pd.DataFrame(costs).round(5)


def everything(model: keras.Model, sample: dict[str, np.ndarray], folder: Path) -> dict[str, Any]:
    """Name of the format → bytes of its file, and what answers rows with that file."""
    found: dict[str, Any] = {}

    def plain() -> keras.Model:  # without the optimiser, whose state would be saved too
        model.save(folder / "all.keras")
        return keras.saving.load_model(folder / "all.keras", compile=False)

    for name, kind in {"Keras": "", "Keras int8": "int8", "Keras int4": "int4"}.items():
        copy = plain()
        if kind:
            copy.quantize(kind)
        copy.save(folder / "copy.keras")
        found[name] = (folder / "copy.keras").stat().st_size, models.graph(copy)
    for kind in ("float32", "float16", "dynamic", "int8"):
        content = models.litert(model, kind, sample)
        found[f"LiteRT {kind}"] = len(content), models.LiteRT(content, model).answer
    file = models.onnx_file(model, folder / "m.onnx")
    for name, path in {"": file, " dynamic": models.onnx_quantized(file),
                       " static": models.onnx_quantized(file, sample)}.items():  # fmt: skip
        found["ONNX" + (name or " float32")] = path.stat().st_size, models.Onnx(path, model).answer
    return found


# ------------------------------------------------------------------------------ pruning


def prune() -> Iterator[tuple[str, pd.DataFrame]]:
    """Answers of the picture's half of the small model with zeros, and with fewer channels."""
    pages, costs = [], []
    whole, built = Trainer(picture_model), {}
    for small in smalls():
        whole.fit(small.picture(0), small.y[0], seed=small.seed, epochs=LONG, batch_size=64)
        start = whole.model.get_weights()
        for share in (0, 0.5, 0.8, 0.9, 0.95):
            whole.model.set_weights(with_zeros(start, share) if share else start)
            name = f"{share:.0%} zeros" if share else "whole"
            small.page[name] = small.right(whole.model.predict_on_batch)
            costs.append(cost_of(name, whole.model, small))
        rival = Trainer(picture_model)  # no cut, and as many epochs as the cut ones
        rival.restart(small.seed)
        rival.model.set_weights(start)
        rival.model.fit(small.picture(0), small.y[0], epochs=MORE, batch_size=64, verbose=0)
        small.page["whole, trained on"] = small.right(rival.model.predict_on_batch)
        whole.model.set_weights(with_zeros(start, MOST))
        still = [StillZero(whole.model)]
        whole.model.fit(
            small.picture(0), small.y[0], epochs=MORE, batch_size=64, verbose=0, callbacks=still
        )
        small.page[f"{MOST:.0%} zeros, trained on"] = small.right(whole.model.predict_on_batch)
        whole.model.set_weights(start)
        for keep in (0.5, 0.25):
            widths = tuple(int(n * keep) for n in models.WIDTHS)
            thin = built.setdefault(widths, Trainer(lambda w=widths: picture_model(w)))
            for how in ("largest", "random"):
                rng = np.random.default_rng(small.seed) if how == "random" else None
                cut = narrowed(whole.model, widths, rng)
                thin.restart(small.seed)
                thin.model.set_weights(cut)
                name = f"{keep:.0%} of channels, {how}"
                small.page[name] = small.right(thin.model.predict_on_batch)
                thin.model.fit(small.picture(0), small.y[0], epochs=MORE, batch_size=64, verbose=0)
                small.page[f"{name}, trained on"] = small.right(thin.model.predict_on_batch)
            thin.fit(
                small.picture(0), small.y[0], seed=small.seed, epochs=LONG + MORE, batch_size=64
            )
            name = f"{keep:.0%} of channels, from scratch"
            small.page[name] = small.right(thin.model.predict_on_batch)
            costs.append(cost_of(f"{keep:.0%} of channels", thin.model, small))
        pages.append(small.page)
        said(small.page)
        yield "prune", pd.concat(pages)
        yield "prune_cost", pd.DataFrame(costs).round(5)


def whole() -> Iterator[tuple[str, pd.DataFrame]]:
    """The rival of the network with zeros: the whole one, which keeps its optimiser's state, too.

    The rival in `prune` starts with a new optimiser, as the narrow networks have to.
    """
    trainer, pages = Trainer(picture_model), []
    for small in smalls():
        x, y = small.picture(0), small.y[0]
        trainer.fit(x, y, seed=small.seed, epochs=LONG, batch_size=64)
        small.page["whole"] = small.right(trainer.model.predict_on_batch)
        trainer.model.fit(x, y, epochs=MORE, batch_size=64, verbose=0)
        small.page["whole, trained on"] = small.right(trainer.model.predict_on_batch)
        pages.append(small.page)
        said(small.page)
        yield "whole", pd.concat(pages)


def picture_model(widths: tuple[int, ...] = models.WIDTHS) -> keras.Model:
    """The small model without the name, which would hide what a cut does to the picture."""
    return models.small_model(widths, text=False)


class StillZero(keras.callbacks.Callback):
    """Puts back the zeros of a model's matrices after each step."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.masks = [(w, w.numpy() != 0) for w in model.trainable_weights if len(w.shape) > 1]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        for weight, mask in self.masks:
            weight.assign(weight * mask)


def with_zeros(start: list[np.ndarray], share: float) -> list[np.ndarray]:
    """The matrices and kernels with their smallest weights set to 0, over all of them together."""
    sizes = np.concatenate([np.abs(w).ravel() for w in start if w.ndim > 1])
    least = np.quantile(sizes, share)
    return [np.where(np.abs(w) > least, w, 0) if w.ndim > 1 else w for w in start]


def narrowed(
    model: keras.Model, widths: tuple[int, ...], rng: np.random.Generator | None
) -> list[np.ndarray]:
    """The weights of a model with fewer channels: those with the largest kernels, or any."""
    encoder = model.get_layer("image_encoder")
    cut, before = {}, np.arange(3)
    for i, width in enumerate(widths, start=1):
        kernel = encoder.get_layer(f"convolution{i}").get_weights()[0]
        order = (
            np.argsort(-np.abs(kernel).sum(axis=(0, 1, 2)))
            if rng is None
            else rng.permutation(kernel.shape[-1])
        )
        keep = np.sort(order[:width])
        cut[f"convolution{i}"] = [kernel[:, :, before][..., keep]]
        cut[f"norm{i}"] = [w[keep] for w in encoder.get_layer(f"norm{i}").get_weights()]
        before = keep
    kernel, bias = encoder.get_layer("features").get_weights()
    cut["features"] = [kernel[before], bias]
    thin = picture_model(widths)
    for layer in thin.layers:
        if layer.name != "image_encoder":
            layer.set_weights(model.get_layer(layer.name).get_weights())
    for name, values in cut.items():
        thin.get_layer("image_encoder").get_layer(name).set_weights(values)
    return thin.get_weights()


def cost_of(name: str, model: keras.Model, small: Small) -> dict[str, Any]:
    """Multiply-adds, zeros, bytes of a LiteRT file as it is and packed, milliseconds."""
    content = models.litert(model, "float32")
    run, x = models.LiteRT(content, model), first(small.picture(2), 64)
    weights = np.concatenate([w.ravel() for w in model.get_weights() if w.ndim > 1])
    return {"model": name, "seed": small.seed, "zeros": (weights == 0).mean(),
            "multiply_adds": sum(multiply_adds(model).values()), "bytes": len(content),
            "packed": len(zlib.compress(content, 9)),
            "ms_64": models.milliseconds({"": lambda: run.answer(x)})[""]}  # fmt: skip
