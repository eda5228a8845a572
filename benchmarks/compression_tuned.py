"""The student of compression.py whose picture encoder learns, too: its last blocks, at 32×32."""

from collections.abc import Iterator
from typing import Any

import compression_models as models
import keras
import numpy as np
import pandas as pd
from compression_models import CLASSES, MIDDLE, SIDE_TINY, UNITS, Pictures, right, said
from keras import layers

import mmkeras as mm
from mmkeras.compression import distillation_loss
from mmkeras.datasets import load_emoji
from mmkeras.training import Trainer

PASSES, SLOW = 8, 5e-4  # epochs, and the learning rate of all weights
WAYS = ("labels", "taught")


def halves() -> tuple[keras.Model, keras.Model]:
    """EfficientNet-Lite0 at 32×32 up to MIDDLE, and the rest, which is to be trained."""
    whole = mm.pretrained.efficientnet_lite0((SIDE_TINY, SIDE_TINY, 3), trainable=True)
    middle = whole.get_layer(MIDDLE).output
    return keras.Model(whole.input, middle), keras.Model(middle, whole.output)


def student(setting: tuple[float, float]) -> Trainer:
    """Name, and a picture's map behind MIDDLE; statistics of BatchNorm stay as they are."""

    def build() -> keras.Model:
        rest = halves()[1]
        maps = keras.Input(rest.input.shape[1:], name="image")
        x = layers.Dense(UNITS, activation="relu", name="features")(rest(maps, training=False))
        branch = keras.Model(maps, x, name="image")
        model = mm.multimodal_model(models.parts(branch), {"group": CLASSES}, dropout=0.5)
        model.compile(keras.optimizers.Adam(SLOW), distillation_loss(CLASSES, *setting))
        return model

    return Trainer(build)


def tuned(make_run: Any, make_trainers: Any, settings: dict[str, Any]) -> Iterator[pd.DataFrame]:
    """1 where a student is right, one row per test picture; one artist per seed, four in all.

    Each way has the same number of steps; there is no validation, and nothing was chosen here.
    """
    pictures, pages = Pictures(), []
    first = halves()[0]
    maps = mm.pretrained.cached_features(first, load_emoji(size=SIDE_TINY).images)
    pictures.features["maps"] = maps.astype("float32")
    teachers, made = make_trainers(pictures), {}
    for seed, artist in enumerate(pictures.data.artists, start=1):
        run = make_run(pictures, artist, seed)
        run.teach(teachers.get("teacher"))
        page = run.emoji.table.loc[run.rows[2], ["hexcode", "family", "artist"]].assign(seed=seed)
        p = teachers.get("teacher").predict(run.x("teacher", 2))
        page["teacher"] = right(p, run.y[run.rows[2]])
        for way in WAYS:
            setting = settings[f"32px, {way}"]
            trainer = made.setdefault(setting, student(setting))
            x, y = run.lesson("maps", way, setting)
            count = PASSES * len(run.rows[0]) // len(y)
            trainer.fit(x, y, seed=seed, epochs=count, batch_size=64)
            p = trainer.predict(run.x("maps", 2))
            page[f"32px, tuned, {way}"] = right(p, np.asarray(run.y[run.rows[2]]))
        pages.append(page)
        said(page)
        yield pd.concat(pages)
