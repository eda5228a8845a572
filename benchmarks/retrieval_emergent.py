"""English finds Chinese through pictures, with towers that know no translation.

    python benchmarks/retrieval_emergent.py    # about 3 minutes on two cores

An English tower and a Chinese tower are trained with pictures only, never with each other: the
first together with the picture tower, the second against that picture tower, frozen. Then the names
of new concepts are compared. Beside this: untrained towers; the Chinese tower trained on names that
were shuffled among the training concepts; and "direct", two towers trained on pairs of names. The
learning rate of each tower is chosen on the validation set. The splits, the towers and the number
of steps are those of retrieval.py. It writes benchmarks/results/retrieval_emergent.csv, one row per
query (a new concept, from either language): whether its translation is among the first ten, where
ties count by their expected share (`retrieval.recall_at`).
"""

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers
from retrieval import BASE, EPOCHS, RATES, SPLITS, WIDTH, Data, Rate, branch

import mmkeras as mm
from mmkeras import retrieval
from mmkeras.training import Trainer

RESULTS = Path(__file__).parent / "results"


def side(size: int, name: str) -> keras.Model:
    """A branch that ends in an embedding, for a model without projections."""
    inner = branch(size, name)
    vector = layers.Dense(128, use_bias=False, name=f"{name}_vector")(inner.output)
    return keras.Model(inner.input, vector, name=name)


def build(first: tuple[int, str], second: tuple[int, str]) -> keras.Model:
    """Two towers; one called "seen" is no tower: its input is an embedding already."""
    sides = []
    for size, name in (first, second):
        x = keras.Input((size,), name=name)
        as_is = keras.Model(x, layers.Identity(name="as_is")(x), name=name)
        sides.append(as_is if name == "seen" else side(size, name))
    model = retrieval.two_tower(sides, units=None)
    model.compile(keras.optimizers.AdamW(weight_decay=1e-3), retrieval.InfoNCE())
    return model


class Learner:
    """Trains the same two towers again and again; keeps the best of three learning rates."""

    def __init__(self, *sides: tuple[int, str]) -> None:
        self.names = [name for _, name in sides]
        self.trainer = Trainer(lambda: build(*sides))

    def embed(self, *arrays: np.ndarray) -> list[np.ndarray]:
        towers = [retrieval.tower(self.trainer.model, name) for name in self.names]
        return [np.asarray(one(x)) for one, x in zip(towers, arrays, strict=True)]

    def fit(self, train: tuple, numbers: np.ndarray, valid: tuple, own: np.ndarray) -> None:
        """Train on pairs of rows; valid: two arrays, of which right[i] belongs to left[own]."""
        best, kept = -1.0, None
        for rate in RATES:
            x = dict(zip(self.names, train, strict=True))
            how: dict[str, Any] = {"epochs": EPOCHS, "batch_size": 256, "callbacks": [Rate(rate)]}
            self.trainer.fit(x, numbers, seed=0, **how)
            left, right = self.embed(*valid)
            score = (1 / retrieval.ranks(left @ right.T, own)).mean()
            if score > best:
                best, kept = score, self.trainer.model.get_weights()
        self.trainer.model.set_weights(kept)


def measure(data: Data, artists: list[str]) -> pd.DataFrame:
    learners = {
        kind: Learner((1280, "image"), (384 if kind == BASE else WIDTH, "english"))
        for kind in ("words", BASE)
    }
    locked = Learner((128, "seen"), (WIDTH, "chinese"))
    direct = Learner((WIDTH, "english"), (WIDTH, "chinese"))
    blocks = []
    for artist in artists:
        seed, rows = SPLITS[artist], data.rows(artist)
        who = {part: data.concept[rows[part]] for part in rows}
        concepts, own = np.unique(who["valid"], return_inverse=True)
        chinese, new = data.texts("Chinese", rows["train"]), who["new"]
        scores: dict[str, np.ndarray] = {}
        for kind, learner in learners.items():
            english = data.texts(kind, rows["train"])
            learner.trainer.restart(0), locked.trainer.restart(0)
            blank = data.pictures[:1]
            apart = [learner.embed(blank, english[new])[1]]
            apart.append(locked.embed(np.ones((1, 128)), chinese[new])[1])
            scores[f"{kind}, untrained"] = apart[0] @ apart[1].T
            pictures = [data.pictures[rows[part]] for part in ("train", "valid")]
            learner.fit((pictures[0], english[who["train"]]), who["train"],
                        (pictures[1], english[concepts]), own)  # fmt: skip
            seen = [learner.embed(x, english[:1])[0] for x in pictures]
            names = learner.embed(blank, english[new])[1]
            ways = {"through pictures": chinese}
            known, mixed = np.unique(who["train"]), chinese.copy()
            mixed[known] = chinese[np.random.default_rng(seed).permutation(known)]
            ways["shuffled"] = mixed
            for way, texts in ways.items():
                locked.fit((seen[0], texts[who["train"]]), who["train"],
                           (seen[1], texts[concepts]), own)  # fmt: skip
                scores[f"{kind}, {way}"] = names @ locked.embed(seen[0][:1], chinese[new])[1].T
        english = data.texts("words", rows["train"])
        direct.fit((english[who["train"]], chinese[who["train"]]), who["train"],
                   (english[concepts], chinese[concepts]), np.arange(len(concepts)))  # fmt: skip
        left, right = direct.embed(english[new], chinese[new])
        scores["words, direct"] = left @ right.T
        for query in ("English", "Chinese"):
            block = data.emoji.table.loc[rows["new"], ["family"]].assign(
                artist=artist, seed=seed, query=query
            )
            for way, matrix in scores.items():
                matrix = matrix if query == "English" else matrix.T
                block[way] = retrieval.recall_at(matrix, np.arange(len(matrix)), 10)
            blocks.append(block)
            print(artist, query, block[list(scores)].mean().round(3).to_dict(), flush=True)
    return pd.concat(blocks)


def summary(table: pd.DataFrame) -> None:
    ways = list(table.columns[table.columns.get_loc("query") + 1 :])
    print((100 * table.groupby("query")[ways].mean()).round(1).T)
    for kind in ("words", BASE):
        for control in ("untrained", "shuffled"):
            first, second = table[f"{kind}, through pictures"], table[f"{kind}, {control}"]
            print(kind, control, mm.evaluate.paired_difference(
                first, second, table["family"], comparisons=4))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--artists", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the table")
    options = parser.parse_args()
    mm.start(seed=0)
    path = options.out / "retrieval_emergent.csv"
    measure(Data(), options.artists).rename_axis("row").to_csv(path, float_format="%.4g")
    summary(pd.read_csv(path))


if __name__ == "__main__":
    main()
