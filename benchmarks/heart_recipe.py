"""The two-branch recipe of many tutorials against our model, one part exchanged at a time.

    python benchmarks/heart_recipe.py

The models read note and scan of the heart cohort (rendered signals), in 5 folds by patient with 3
seeds. "ours" is the model of chapter 11. Each of "LSTM", "Flatten" and "hidden layer" is ours with
one part of the recipe in it, and "article" has all three. Everything else (rows, recordings, their
order, steps, learning rate) is the same. The answers for patients that a model has not seen are
written to benchmarks/results/heart_recipe.csv, which chapter 11 reads. It takes about 10 minutes on
two cores.
"""

from collections.abc import Iterator

import keras
import numpy as np
import pandas as pd
from heart import (
    BATCH,
    DECAY,
    DROPOUT,
    EPOCHS,
    LENGTH,
    RATE,
    RECORDINGS,
    RESULTS,
    UNITS,
    WORDS,
    arrays,
    stream,
    vocabulary,
)
from keras import layers
from sklearn.metrics import roc_auc_score

import mmkeras as mm

# note encoder, scan encoder, and whether the head has a hidden layer in place of the dropout
VARIANTS = {
    "ours": ("conv", "small", False),
    "LSTM": ("lstm", "small", False),
    "Flatten": ("conv", "flatten", False),
    "hidden layer": ("conv", "small", True),
    "article": ("lstm", "flatten", True),
}


def note_branch(kind: str) -> keras.Model:
    if kind == "conv":
        return mm.text_branch(WORDS, LENGTH, encoder="conv", units=UNITS, name="note")
    note = keras.Input((LENGTH,), dtype="int32", name="note")
    return keras.Model(note, layers.LSTM(UNITS)(layers.Embedding(WORDS, UNITS)(note)), name="note")


def scan_branch(kind: str) -> keras.Model:
    if kind == "small":
        return mm.image_branch((64, 64, 1), encoder="small", units=UNITS, name="scan")
    scan = keras.Input((64, 64, 1), name="scan")
    x = layers.Conv2D(16, 3, activation="relu")(layers.Rescaling(1 / 255)(scan))
    x = layers.Flatten()(layers.MaxPooling2D(2)(x))
    return keras.Model(scan, layers.Dense(UNITS, activation="relu")(x), name="scan")


def build(variant: str, steps: int) -> keras.Model:
    note, scan, hidden = VARIANTS[variant]
    head = keras.Sequential(
        [layers.Dense(UNITS, activation="relu")] * hidden + [layers.Dense(1, activation="sigmoid")]
    )
    model = mm.multimodal_model(
        [note_branch(note), scan_branch(scan)],
        {"disease": head},
        dropout=0.0 if hidden else DROPOUT,
    )
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=DECAY), "binary_crossentropy")
    return model


def answers(seeds: range) -> Iterator[pd.DataFrame]:
    """Out-of-fold probability of every patient, one column per variant, one block per seed."""
    heart = mm.datasets.load_heart()
    takes = [heart, *(heart.record(r) for r in RECORDINGS)]
    steps = -(-EPOCHS * len(heart) * 4 // 5 // BATCH)
    trainers = {v: mm.training.Trainer(lambda v=v: build(v, steps)) for v in VARIANTS}
    blocks = []
    for seed in seeds:
        block = heart.table[["patient", "hospital", "disease"]].assign(seed=seed, fold=-1)
        columns = {variant: np.empty(len(heart)) for variant in VARIANTS}
        for number, (train, test) in enumerate(heart.fold_rows(5, seed=seed)):
            block.loc[block.index[test], "fold"] = number
            words = vocabulary(np.concatenate([take.note[train] for take in takes[1:]]))
            inputs = [arrays(take, words) for take in takes]
            x, y = stream(inputs, heart.y, train, np.random.default_rng([seed, number]))
            x = {name: x[name] for name in ("note", "scan")}
            asked = {name: inputs[0][name][test] for name in x}
            for variant, trainer in trainers.items():
                trainer.fit(x, y, seed=seed, epochs=1, batch_size=BATCH, shuffle=False)
                columns[variant][test] = trainer.predict(asked, batch_size=256)[:, 0]
                auc = roc_auc_score(heart.y[test], columns[variant][test])
                print(f"seed {seed} fold {number} {variant:13} {auc:.3f}", flush=True)
        blocks.append(block.assign(**{v: p.round(4) for v, p in columns.items()}))
        yield pd.concat(blocks)


def main() -> None:
    mm.start(seed=0)
    RESULTS.mkdir(exist_ok=True)
    for table in answers(range(1, 4)):  # written after each seed
        table.to_csv(RESULTS / "heart_recipe.csv", index=False)
    for variant in VARIANTS:
        auc = [roc_auc_score(part["disease"], part[variant]) for _, part in table.groupby("seed")]
        print(f"{variant:13}", np.round(auc, 3))


if __name__ == "__main__":
    main()
