"""Every fusion on two data sets, equally tuned. Heart signals are rendered; not for clinical use.

    python benchmarks/fusion.py tune       the settings below for every method, on validation data
    python benchmarks/fusion.py emoji      new concepts by a new artist: 4 artists, 5 seeds
    python benchmarks/fusion.py heart      2 folds by patient, 3 seeds, end to end from scratch

They write benchmarks/results/fusion_<name>.csv (tune: fusion_tuning.csv), which chapter 07 reads,
and take about 25, 10 and 6 minutes on one core. `fusion_emoji.csv` has one row per test picture
(1 where a method was right), `fusion_heart.csv` one per patient (the probability of each method).

Each method, including each modality alone, gets the same SETTINGS: four learning rates, the two
highest also with a warm-up, in which the rate grows from 0. The setting with the best mean score on
the validation data of the development seed is used; the stored answers come from other seeds. These
divide the same concepts and patients differently, so a validation row of one seed can be a test row
of another. On the heart signals, the test halves of the development seed take the place of
validation data; together they are all patients. Everything else is as chapters 06 and 12 chose it
for concatenation: the widths, the dropout and, on the heart signals, the weight decay.

On the emoji, a method is trained until its validation accuracy has not risen for PATIENCE epochs,
and is tested with the weights of its best epoch. On the heart signals, all get the same STEPS.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import heart as heart_bench
import keras
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import mmkeras as mm
from mmkeras.datasets import load_emoji, load_heart
from mmkeras.fusion import METHODS
from mmkeras.training import Trainer

RESULTS = Path(__file__).parent / "results"
SEEDS, DEVELOPMENT = {"emoji": range(1, 6), "heart": range(1, 4)}, 0
LENGTH, IDS, UNITS, CLASSES = 8, 1000, 64, 6
EPOCHS, BATCH, PATIENCE = 60, 256, 8  # on the emoji; the largest number of epochs
FOLDS, STEPS = 2, 171  # 12 passes over half of the patients, the last one cut short
MODALITIES = {"emoji": ("text", "image"), "heart": ("note", "ecg", "scan")}
SEQUENCES = ("cross_attention", "bottleneck")  # on the heart signals they get the tokens


class Setting(NamedTuple):
    """Learning rate, and the number of first steps in which it grows from 0."""

    rate: float
    warm_up: int


RATES, WARM_UP = (5e-4, 1e-3, 2e-3, 5e-3), 40
SETTINGS = [*(Setting(r, 0) for r in RATES), *(Setting(r, WARM_UP) for r in RATES[2:])]


class Rate(keras.callbacks.Callback):
    """Sets the learning rate before every step: a linear warm-up, then constant or a cosine."""

    def __init__(self, setting: Setting, steps: int | None = None) -> None:
        super().__init__()
        self.setting, self.steps, self.step = setting, steps, 0

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        rate, warm = self.setting
        share = min(1.0, (self.step + 1) / (warm + 1))
        if self.steps and self.step > warm:  # down to 0 at the last step
            share = (1 + np.cos(np.pi * (self.step - warm) / (self.steps - warm))) / 2
        self.model.optimizer.learning_rate = rate * share
        self.step += 1


# ------------------------------------------------------------------------------ models


def emoji_model(method: str) -> keras.Model:
    """A fusion by name, or one modality alone, compiled; settings of chapter 06."""
    branches = [
        mm.text_branch(IDS, LENGTH, units=UNITS),
        mm.vector_branch(1280, units=UNITS, name="image"),
    ]
    single = [branch for branch in branches if branch.name == method]
    fusion = "concatenate" if single or method == "shuffled" else method
    model = mm.multimodal_model(single or branches, {"group": CLASSES}, fusion=fusion, dropout=0.5)
    model.compile(
        keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def heart_model(method: str) -> keras.Model:
    """The same for note, ECG and scan; settings of benchmarks/heart.py."""
    single = (method,) if method in MODALITIES["heart"] else None
    fusion = "concatenate" if single or method == "shuffled" else method
    model = heart_bench.build(
        single or MODALITIES["heart"], STEPS, fusion=fusion, tokens=method in SEQUENCES
    )
    decay = heart_bench.DECAY
    model.compile(keras.optimizers.AdamW(2e-3, weight_decay=decay), "binary_crossentropy")
    return model


def methods(data: str) -> list[str]:
    return [*MODALITIES[data], *METHODS, "shuffled"]


def trainers(data: str) -> dict[str, Trainer]:
    build: Callable[[str], keras.Model] = {"emoji": emoji_model, "heart": heart_model}[data]
    return {m: Trainer(lambda m=m: build(m)) for m in methods(data)}


# ------------------------------------------------------------------------------ emoji


class EmojiData:
    """Word ids and frozen picture features, as in chapter 06."""

    def __init__(self, pixels: int = 128) -> None:
        self.emoji = load_emoji(size=pixels)
        encoder = mm.pretrained.efficientnet_lite0((pixels, pixels, 3))
        self.features = mm.pretrained.cached_features(encoder, self.emoji.images)
        self.names = self.emoji.table["label_en"].to_numpy(object)
        self.artists = list(self.emoji.table["artist"].unique())

    def rows(self, artist: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Training, validation and test rows."""
        parts = self.emoji.split(artist, seed=seed)
        train, valid, test = (part.table.index.to_numpy() for part in parts)
        return train, valid, test

    def inputs(self, known: np.ndarray) -> dict[str, np.ndarray]:
        """The inputs of all rows; the vocabulary is that of the names of the known rows."""
        words = keras.layers.TextVectorization(max_tokens=IDS, output_sequence_length=LENGTH)
        words.adapt(self.names[known])
        return {"text": np.asarray(words(self.names), "int32"), "image": self.features}


class EmojiRun:
    """One artist and one seed: fits a trainer, and keeps the validation score of the last fit."""

    def __init__(self, data: EmojiData, artist: str, seed: int) -> None:
        self.rows, self.seed = data.rows(artist, seed), seed
        x = data.inputs(self.rows[0])
        self.x = [{m: values[rows] for m, values in x.items()} for rows in self.rows]
        self.y = [data.emoji.y[rows] for rows in self.rows]

    def fit(self, trainer: Trainer, setting: Setting, shuffled: bool = False) -> float:
        """Validation accuracy of the best epoch, whose weights the model has afterwards."""
        y = np.random.default_rng(self.seed).permutation(self.y[0]) if shuffled else self.y[0]
        stop = keras.callbacks.EarlyStopping(
            "val_accuracy", mode="max", patience=PATIENCE, restore_best_weights=True
        )
        history = trainer.fit(
            self.x[0], y, seed=self.seed, epochs=EPOCHS, batch_size=BATCH,
            validation_data=(self.x[1], self.y[1]), validation_batch_size=1024,
            callbacks=[stop, Rate(setting)],
        )  # fmt: skip
        return max(history.history["val_accuracy"])

    def right(self, trainer: Trainer) -> np.ndarray:
        """1 where the group of the test picture is predicted, else 0."""
        return (trainer.predict(self.x[2]).argmax(axis=1) == self.y[2]).astype(int)


def emoji(seeds: range) -> Iterator[pd.DataFrame]:
    """1 where a method predicts the group of a held-out concept by a held-out artist."""
    data, settings, fitted = EmojiData(), chosen("emoji"), trainers("emoji")
    blocks = []
    for seed in seeds:
        for artist in data.artists:
            run = EmojiRun(data, artist, seed)
            table = data.emoji.table.loc[run.rows[2], ["hexcode", "family", "artist"]]
            block = table.assign(seed=seed)
            for method, trainer in fitted.items():
                run.fit(trainer, settings[method], method == "shuffled")
                block[method] = run.right(trainer)
            blocks.append(block)
            print(f"seed {seed} {artist:9}", block[list(fitted)].mean().round(3).to_dict(),
                  flush=True)  # fmt: skip
        yield pd.concat(blocks)


# ------------------------------------------------------------------------------ heart


class HeartRun:
    """One division by patient: fits a trainer on the training half."""

    def __init__(self, cohort, seed: int, fold: int) -> None:
        takes = [cohort, *(cohort.record(r) for r in heart_bench.RECORDINGS)]
        self.seed = seed
        self.train, self.test = cohort.fold_rows(FOLDS, seed=seed)[fold]
        words = heart_bench.vocabulary(np.concatenate([t.note[self.train] for t in takes[1:]]))
        inputs = [heart_bench.arrays(take, words) for take in takes]
        rng = np.random.default_rng([seed, fold])
        x, rows = heart_bench.stream(inputs, np.arange(len(cohort)), self.train, rng)
        n = STEPS * heart_bench.BATCH
        self.x, self.rows = {m: values[:n] for m, values in x.items()}, rows[:n]
        self.tested = {m: inputs[0][m][self.test] for m in MODALITIES["heart"]}
        self.y = cohort.y

    def fit(self, trainer: Trainer, setting: Setting, shuffled: bool = False) -> np.ndarray:
        """Probabilities of the patients in the test half."""
        y = self.y.copy()
        if shuffled:
            y[self.train] = np.random.default_rng(self.seed).permutation(y[self.train])
        trainer.fit(
            self.x, y[self.rows], seed=self.seed, batch_size=heart_bench.BATCH, shuffle=False,
            callbacks=[Rate(setting, STEPS)],
        )  # fmt: skip
        return trainer.predict(self.tested)[:, 0].astype(float)


def heart(seeds: range) -> Iterator[pd.DataFrame]:
    """Out-of-fold probability of every patient, one column per method, one block per seed."""
    cohort, settings, fitted = load_heart(), chosen("heart"), trainers("heart")
    blocks = []
    for seed in seeds:
        block = cohort.table[["patient", "hospital", "disease"]].assign(seed=seed, fold=-1)
        block[list(fitted)] = np.nan
        for fold in range(FOLDS):
            run = HeartRun(cohort, seed, fold)
            block.loc[block.index[run.test], "fold"] = fold
            said = {}
            for method, trainer in fitted.items():
                p = run.fit(trainer, settings[method], method == "shuffled")
                block.loc[block.index[run.test], method] = p.round(4)
                said[method] = round(roc_auc_score(run.y[run.test], p), 3)
            print(f"seed {seed} fold {fold}", said, flush=True)
        blocks.append(block)
        yield pd.concat(blocks)


# ------------------------------------------------------------------------------ tuning


def tune(data: str) -> Iterator[pd.DataFrame]:
    """Validation score of every method with every setting, on the development seed."""
    fitted = trainers(data)
    del fitted["shuffled"]  # it takes the setting of concatenate
    if data == "emoji":
        whole = EmojiData()
        runs = {artist: EmojiRun(whole, artist, DEVELOPMENT) for artist in whole.artists}
    else:
        runs = {f"fold {k}": HeartRun(load_heart(), DEVELOPMENT, k) for k in range(FOLDS)}
    rows = []
    for method, trainer in fitted.items():
        for setting in SETTINGS:
            for unit, run in runs.items():
                score = run.fit(trainer, setting)
                if data == "heart":
                    score = roc_auc_score(run.y[run.test], score)
                row = {"data": data, "method": method, **setting._asdict()}
                rows.append({**row, "seed": DEVELOPMENT, "unit": unit, "score": round(score, 4)})
                print(list(rows[-1].values()), flush=True)
        yield pd.DataFrame(rows)


def chosen(data: str) -> dict[str, Setting]:
    """The setting of each method with the best mean validation score; the first of equal ones."""
    table = pd.read_csv(RESULTS / "fusion_tuning.csv").query("data == @data")
    keys = ["method", "rate", "warm_up"]
    best = table.groupby(keys, sort=False)["score"].mean().groupby("method").idxmax()
    settings = {method: Setting(*key[1:]) for method, key in best.items()}
    return {**settings, "shuffled": settings["concatenate"]}


# ------------------------------------------------------------------------------ main


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["tune", *JOBS])
    parser.add_argument("--data", choices=list(MODALITIES), help="tune this one alone")
    options = parser.parse_args()
    mm.start(seed=0)
    RESULTS.mkdir(exist_ok=True)
    if options.what == "tune":
        file = RESULTS / "fusion_tuning.csv"
        for data in [options.data] if options.data else MODALITIES:
            kept = pd.read_csv(file).query("data != @data") if file.exists() else None
            for rows in tune(data):
                pd.concat([kept, rows]).to_csv(file, index=False)
        return
    for rows in JOBS[options.what](
        SEEDS[options.what]
    ):  # written after each step: a run cut short leaves some
        rows.to_csv(RESULTS / f"fusion_{options.what}.csv", index=False)


JOBS = {"emoji": emoji, "heart": heart}

if __name__ == "__main__":
    main()
