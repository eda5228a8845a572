"""An assistant that sees, hears and reads: three ways to join the modalities, on fresh splits.

    python benchmarks/scenes.py noto 33     # one split: an artist to hold out, and a seed
    python benchmarks/scenes.py summary     # only print what the stored tables say

Run it once for each of `SPLITS`. Every model is trained for 700 batches with the settings of
`scene_models`, fixed before these test scenes were looked at. A model that is cheaper than
cross-attention is trained for more batches, too, as many as its first run would have done in the
same time. The start of TensorFlow is in that time, so that the longer run ends a little earlier.

It writes, to benchmarks/results, one row per fit to scenes_fits.csv, with the accuracies in
percent and the processor seconds; one row per test scene and one column per fit to
scenes_replies.csv, with its clip and the number of the reply that was given; and
scenes_attention.csv, where the question looks while cross-attention is trained.
"""

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from scene_models import MODELS, Data, attention_of, build, fit

import mmkeras as mm

RESULTS = Path(__file__).parent / "results"
SPLITS = {"twemoji": 31, "openmoji": 32, "noto": 33}
STEPS, EVERY = 700, 50
PAIRS = {"image+audio": ("text",), "image+text": ("audio",), "audio+text": ("image",)}


def accuracies(given: dict[str, np.ndarray], y: dict[str, np.ndarray]) -> dict[str, float]:
    """The share of right answers of each head, in percent."""
    return {name: round(100 * float((given[name] == y[name]).mean()), 2) for name in y}


def answers(model: keras.Model, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    given = model.predict(x, batch_size=500, verbose=0)
    return {name: logits.argmax(axis=-1) for name, logits in given.items()}


def name_of(kind: str, auxiliary: bool, steps: int, seen: str) -> str:
    """The column of a fit among the replies."""
    parts = [kind, *["auxiliary"] * auxiliary, *["more steps"] * (steps > STEPS)]
    return ", ".join([*parts, *[seen] * (seen != "all")])


class Watch:
    """On 500 validation scenes: the attention on the cell that is meant, and the right replies."""

    def __init__(self, model: keras.Model, data: Data) -> None:
        self.model, self.probe, self.rows = model, attention_of(model), []
        self.x = {name: values[:500] for name, values in data.x("valid").items()}
        self.y, self.meant = data.y("valid")["reply"][:500], data.parts["valid"].meant[:500]

    def __call__(self, step: int) -> None:
        weights = self.probe.predict(self.x, batch_size=500, verbose=0).mean(axis=1)  # over heads
        reply = self.model.predict(self.x, batch_size=500, verbose=0)["reply"].argmax(axis=1)
        on_it = weights[np.arange(len(weights)), self.meant]
        row = {"step": step, "weight": on_it.mean(), "reply": (reply == self.y).mean()}
        row["largest"] = (weights.argmax(axis=1) == self.meant).mean()
        self.rows.append({name: round(float(value), 4) for name, value in row.items()})


def run(artist: str, seed: int) -> None:
    """All fits of a split, stored after each of them."""
    scenes = mm.datasets.load_scenes(held_out_artist=artist, seed=seed)
    data, test = Data(scenes), scenes.split()[2]
    words = 2 + len(data.words.number)
    fits: list[dict[str, Any]] = []
    replies = pd.DataFrame({"artist": artist, "seed": seed, "row": test.table.index})
    replies = replies.assign(clip=test.clip, y=test.y)

    def one(kind: str, auxiliary: bool, steps: int, seen: str = "all") -> float:
        keras.utils.set_random_seed(seed)
        model = build(kind, words, auxiliary)
        without = PAIRS.get(seen, ())
        watch = Watch(model, data) if kind == MODELS[2] and seen == "all" and auxiliary else None
        x, y = data.x("train", without), data.y("train")
        seconds = fit(model, x, y, steps, seed, EVERY if watch else 0, watch)
        row = {"artist": artist, "seed": seed, "model": kind, "auxiliary": auxiliary}
        row |= {"seen": seen, "steps": steps, "seconds": round(seconds, 1)}
        row["valid"] = accuracies(answers(model, data.x("valid", without)), data.y("valid"))[
            "reply"
        ]
        given = answers(model, data.x("test", without))
        row |= accuracies(given, data.y("test"))
        row["ceiling"] = round(
            100 * test.ceilings[seen if seen != "all" else "image+audio+text"], 2
        )
        fits.append(row)
        print(row, flush=True)
        store("fits", pd.DataFrame(fits), artist)
        replies[name_of(kind, auxiliary, steps, seen)] = given["reply"]
        store("replies", replies, artist)
        if watch:
            store("attention", pd.DataFrame(watch.rows).assign(artist=artist, seed=seed), artist)
        return seconds

    cross = one(MODELS[2], True, STEPS)
    for kind in MODELS[:2]:
        seconds = one(kind, True, STEPS)
        more = int(STEPS * cross / seconds / EVERY) * EVERY
        if more > STEPS:
            one(kind, True, more)
    for kind in MODELS:
        one(kind, False, STEPS)
    for seen in PAIRS:
        one(MODELS[2], True, STEPS, seen)


def store(name: str, table: pd.DataFrame, artist: str) -> None:
    """Write the rows of an artist into a table, whose other rows stay as they are."""
    path = RESULTS / f"scenes_{name}.csv"
    if path.exists():
        old = pd.read_csv(path)
        table = pd.concat([old[old["artist"] != artist], table], ignore_index=True)
    table.to_csv(path, index=False)


def summary() -> None:
    """Print the stored tables."""
    fits = pd.read_csv(RESULTS / "scenes_fits.csv")
    fits["at"] = np.where(fits["steps"] == STEPS, "700 batches", "more batches")
    table = fits.pivot_table(
        index=["seen", "model", "auxiliary", "at"], columns="artist", values="reply"
    )
    table["mean"] = table.mean(axis=1)
    print(table.round(1).to_string())
    print(
        fits[fits["seen"] == "all"]
        .groupby(["model", "auxiliary", "at"])[["seconds", "intent", "kind", "colour"]]
        .mean()
        .round(1)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("split", choices=[*SPLITS, "summary"])
    parser.add_argument("seed", type=int, nargs="?")
    asked = parser.parse_args()
    if asked.split == "summary":
        summary()
    else:
        mm.start(seed=0)
        run(asked.split, SPLITS[asked.split] if asked.seed is None else asked.seed)
