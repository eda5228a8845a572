"""Does the cheap default image encoder lose accuracy? Training from scratch on the emoji.

    python benchmarks/encoders.py

It writes benchmarks/results/image_encoders.csv with one row per test picture (1 where an encoder
was right) of new concepts by a new artist, for 4 artists and 5 seeds, in about half an hour on two
cores. Then it prints the mean accuracies, and how far the default is ahead of the others.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import mmkeras as mm
from mmkeras.datasets import Emoji, load_emoji
from mmkeras.training import Trainer

RESULTS = Path(__file__).parent / "results" / "image_encoders.csv"
CLASSES, UNITS, SIDE, BATCH = 6, 64, 48, 64
DEFAULT, REFERENCE = "conv", "stack"
COMPARED = (DEFAULT, "patch", REFERENCE)
SEEDS = range(1, 6)
STEPS, RATE, DROPOUT = 240, 2e-3, 0.5  # of every fit


def build(encoder: str) -> keras.Model:
    branch = mm.image_branch((SIDE, SIDE, 3), encoder=encoder, units=UNITS)
    model = mm.multimodal_model([branch], {"group": CLASSES}, dropout=DROPOUT)
    rate = keras.optimizers.schedules.CosineDecay(RATE, STEPS)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


def right(trainer: Trainer, part: Emoji) -> np.ndarray:
    said = trainer.predict({"image": part.images})
    return (said.argmax(axis=1) == part.y).astype(int)


def stream(part: Emoji, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """STEPS batches from passes in random order; half of the pictures are mirrored."""
    rng = np.random.default_rng(seed)
    wanted = STEPS * BATCH
    order = [rng.permutation(len(part)) for _ in range(-(-wanted // len(part)))]
    rows = np.concatenate(order)[:wanted]
    pictures = part.images[rows]
    mirrored = rng.random(wanted) < 0.5
    pictures[mirrored] = pictures[mirrored, :, ::-1]
    return pictures, part.y[rows]


def accuracy(seeds: range) -> Iterator[pd.DataFrame]:
    """1 where an encoder is right, for every held-out artist and seed, on new concepts."""
    emoji = load_emoji(SIDE)
    trainers = {encoder: Trainer(lambda e=encoder: build(e)) for encoder in COMPARED}
    blocks = []
    for seed in seeds:
        for artist in emoji.table["artist"].unique():
            train, valid, test = emoji.split(artist, seed=seed)
            block = test.table[["family"]].rename_axis("row").reset_index()
            block.insert(0, "seed", seed)
            block.insert(0, "artist", artist)
            for encoder, trainer in trainers.items():
                started = time.perf_counter()
                pictures, labels = stream(train, seed)
                x = {"image": pictures}
                trainer.fit(x, labels, seed=seed, batch_size=BATCH, shuffle=False)
                block[encoder] = right(trainer, test)
                print(
                    f"seed {seed} {artist:9} {encoder:6} "
                    f"valid {right(trainer, valid).mean():.3f} "
                    f"{time.perf_counter() - started:4.0f} s",
                    flush=True,
                )
            blocks.append(block)
            yield pd.concat(blocks)


def gain(table: pd.DataFrame, base: str, replicates: int = 1000) -> pd.Series:
    """Mean over runs of the accuracy of the default minus that of `base`, with a 95% interval.

    The bootstrap draws families of concepts; a family that is drawn is drawn in every run.
    """
    table = table.assign(gain=table[DEFAULT] - table[base], pictures=1)
    runs = table.groupby(["artist", "seed", "family"])[["gain", "pictures"]].sum().unstack()
    won, size = (runs[c].fillna(0).to_numpy() for c in ("gain", "pictures"))  # (runs, families)
    n = won.shape[1]
    draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), replicates).T
    means = ((won @ draws) / (size @ draws)).mean(axis=0)
    low, high = np.quantile(means, [0.025, 0.975])
    value = (won.sum(axis=1) / size.sum(axis=1)).mean()
    return pd.Series({"difference": value, "low": low, "high": high, "runs": len(won)})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="default 5")
    options = parser.parse_args()
    mm.start(seed=0)
    for table in accuracy(range(1, 1 + options.seeds)):  # an interrupted run leaves what it has
        table.to_csv(RESULTS, index=False)
    print(table.groupby(["artist", "seed"])[list(COMPARED)].mean().round(3))
    print(pd.DataFrame({base: gain(table, base) for base in COMPARED[1:]}).round(3))


if __name__ == "__main__":
    main()
