"""Pictures and names in one space: which text encoder, which loss, and what does not help?

    python benchmarks/retrieval.py             # about 10 minutes on two cores
    python benchmarks/retrieval.py summary     # only print what the stored tables say

Drawings of the emoji find their English name among those of all test concepts, and names find their
drawing. Each of the four artists is held out once, each time with another draw of the concepts. The
test set is new concepts by the new artist; "seen" is as many training concepts by that artist. Each
method has three settings; the best on the validation set (mean of 1 / rank, both directions) is
tested. (Those of the two rivals without towers were moved once, after a first run, because the best
had been at the end of the range.)

It writes benchmarks/results/retrieval_ranks.csv, one row per query, with the rank of the right
answer by method; and retrieval_fits.csv, one row per fit, with what was chosen.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

import mmkeras as mm
from mmkeras import retrieval
from mmkeras.training import Trainer

RESULTS = Path(__file__).parent / "results"
SPLITS = {"noto": 11, "twemoji": 12, "openmoji": 13, "fluent": 14}  # held-out artist: seed
EPOCHS, WIDTH = 10, 2000  # WIDTH: columns of a TF-IDF matrix; what is not used stays 0
RATES = (1e-3, 2e-3, 4e-3)
TEXTS: dict[str, dict[str, Any]] = {
    "words": {"column": "label_en"},
    "characters": {"column": "label_en", "analyzer": "char_wb", "ngram_range": (2, 4)},
    "Chinese": {"column": "label_zh", "analyzer": "char", "ngram_range": (1, 2)},
}
TRIPLET = {"temperature": 1, "learned": False}
BASE = "MiniLM"
Embed = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
# Each variant differs from the base, MiniLM with InfoNCE, in one thing.
VARIANTS: dict[str, dict[str, Any]] = {
    "sigmoid": {"loss": retrieval.SigmoidLoss, "temperature": 0.1, "bias": -5},
    "triplet": {"loss": retrieval.TripletLoss, **TRIPLET},
    "temperature 1": {"temperature": 1, "learned": False},
    "temperature 0.07": {"temperature": 0.07, "learned": False},
    "batch 64": {"batch": 64},
    "batch 1024": {"batch": 1024},
    "false negatives": {"numbers": "rows"},
    "reconstruction": {"reconstruction": 1.0},
}


class Data:
    """Features of every picture and every concept; the rows of a split by concept number."""

    def __init__(self) -> None:
        self.emoji = mm.datasets.load_emoji(96)
        encoder = mm.pretrained.efficientnet_lite0((96, 96, 3))
        self.pictures = mm.pretrained.cached_features(encoder, self.emoji.images)
        self.concept = pd.factorize(self.emoji.table["hexcode"])[0]
        self.names = self.emoji.table.drop_duplicates("hexcode").reset_index(drop=True)
        ids = mm.pretrained.minilm_tokenizer()(self.names["label_en"].tolist(), 16)
        self.minilm = mm.pretrained.cached_features(mm.pretrained.minilm_l6(16), ids)

    def rows(self, artist: str) -> dict[str, np.ndarray]:
        """Picture rows of each part. "seen": as many training concepts as the test has."""
        parts = self.emoji.split(artist, seed=SPLITS[artist])
        train, valid, test = (part.table.index.to_numpy() for part in parts)
        own = (self.emoji.table["artist"] == artist).to_numpy()
        known = np.flatnonzero(own & np.isin(self.concept, self.concept[train]))
        seen = np.random.default_rng(SPLITS[artist]).choice(known, len(test), replace=False)
        return {"train": train, "valid": valid, "new": test, "seen": np.sort(seen)}

    def texts(self, kind: str, train: np.ndarray) -> np.ndarray:
        """A vector for the name of every concept, float32 (concepts, d), made on training names."""
        if kind == BASE:
            return self.minilm
        how = dict(TEXTS[kind])
        texts = self.names[how.pop("column")]
        vectorizer = TfidfVectorizer(max_features=WIDTH, **how)
        vectorizer.fit(texts[np.unique(self.concept[train])])
        known = vectorizer.transform(texts).toarray()
        return np.pad(8 * known, ((0, 0), (0, WIDTH - known.shape[1]))).astype("float32")


def branch(size: int, name: str) -> keras.Model:
    x = keras.Input((size,), name=name)
    hidden = layers.Dropout(0.3, name=f"{name}_dropout")(x)
    hidden = layers.Dense(256, activation="gelu", name=f"{name}_hidden")(hidden)
    return keras.Model(x, hidden, name=name)


def build(size: int, loss: Any, reconstruction: float, **settings: Any) -> keras.Model:
    """Two towers; with reconstruction, a decoder also has to restore each input."""
    model = retrieval.two_tower([branch(1280, "image"), branch(size, "text")], **settings)
    losses, weights = {"pairs": loss()}, {"pairs": 1.0}
    outputs = {"pairs": model.output}
    for name in ("image", "text") if reconstruction else ():
        vector = model.get_layer(f"{name}_projection").output
        width = model.get_layer(f"{name}_encoder").input_shape[-1]
        outputs[f"{name}_again"] = layers.Dense(width, name=f"{name}_again")(vector)
        losses[f"{name}_again"], weights[f"{name}_again"] = "mse", reconstruction
    joint = keras.Model(model.inputs, outputs, name="joint") if reconstruction else model
    joint.compile(
        keras.optimizers.AdamW(weight_decay=1e-3),
        losses if reconstruction else loss(),
        loss_weights=weights if reconstruction else None,
    )
    return joint


class Rate(keras.callbacks.Callback):
    """Sets the learning rate, which a `Trainer` has reset."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def on_train_begin(self, logs: Any = None) -> None:
        self.model.optimizer.learning_rate.assign(self.rate)


class Towers:
    """A method that trains two towers: one compiled model for all splits and settings."""

    settings = RATES

    def __init__(self, kind: str = BASE, **variant: Any) -> None:
        self.kind = kind
        self.batch, self.by = variant.pop("batch", 256), variant.pop("numbers", "concepts")
        loss, again = variant.pop("loss", retrieval.InfoNCE), variant.pop("reconstruction", 0.0)
        size = 384 if kind == BASE else WIDTH
        self.decoders = ["image", "text"] if again else []
        self.trainer = Trainer(lambda: build(size, loss, again, **variant))

    def fit(self, data: Data, train: np.ndarray, setting: float | None) -> Embed:
        """Train (None: not at all); returns (rows, concepts) → the embeddings of both."""
        texts, who = data.texts(self.kind, train), data.concept[train]
        x = {"image": data.pictures[train], "text": texts[who]}
        y: Any = who if self.by == "concepts" else np.arange(len(train))
        if self.decoders:
            y = {"pairs": y, **{f"{name}_again": x[name] for name in self.decoders}}
        if setting is None:
            self.trainer.restart(0)
        else:
            rate, size = [Rate(setting)], self.batch
            self.trainer.fit(x, y, seed=0, epochs=EPOCHS, batch_size=size, callbacks=rate)
        model = self.trainer.model
        weights = model.get_weights()  # the next fit starts anew
        sides = {name: retrieval.tower(model, name) for name in ("image", "text")}

        def embed(rows: np.ndarray, concepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            model.set_weights(weights)
            picture, name = sides["image"](data.pictures[rows]), sides["text"](texts[concepts])
            return np.asarray(picture), np.asarray(name)

        return embed


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)


class Neighbours:
    """The mean MiniLM vector of the names of the k most similar training drawings."""

    settings = (5, 15, 45)

    def fit(self, data: Data, train: np.ndarray, setting: int) -> Embed:
        def embed(rows: np.ndarray, concepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            pictures = unit(data.pictures)
            near = retrieval.search(pictures[rows], pictures[train], setting)[1]
            names = unit(data.minilm)
            return unit(names[data.concept[train][near]].mean(axis=1)), names[concepts]

        return embed


class Linear:
    """Ridge regression from the features of a drawing to the MiniLM vector of its name."""

    settings = (100.0, 1000.0, 10_000.0)

    def fit(self, data: Data, train: np.ndarray, setting: float) -> Embed:
        names = unit(data.minilm)
        ridge = Ridge(setting).fit(data.pictures[train], names[data.concept[train]])
        centre = names[np.unique(data.concept[train])].mean(axis=0)
        return lambda rows, concepts: (
            unit(ridge.predict(data.pictures[rows]) - centre), unit(names[concepts] - centre)
        )  # fmt: skip


def both_ranks(images: np.ndarray, texts: np.ndarray, own: np.ndarray) -> list[np.ndarray]:
    """Ranks of the names for each picture, and of the pictures for each name."""
    scores, right = images @ texts.T, own[:, None] == np.arange(len(texts))
    return [retrieval.ranks(scores, right), retrieval.ranks(scores.T, right.T)]


def quality(embed: Embed, data: Data, rows: np.ndarray) -> float:
    concepts, own = np.unique(data.concept[rows], return_inverse=True)
    found = both_ranks(*embed(rows, concepts), own)
    return float(np.mean([(1 / ranks).mean() for ranks in found]))


def embeddings(embed: Embed, data: Data, rows: np.ndarray, more: bool) -> Iterator[tuple]:
    """A label, and the scores of pictures (rows) with names; more: two ways to correct them."""
    images, texts = embed(rows, data.concept[rows])
    yield "", images @ texts.T
    if more:
        yield " CSLS", retrieval.csls(images @ texts.T)
        images, texts = (unit(x - x.mean(axis=0)) for x in (images, texts))
        yield " centred", images @ texts.T


def measure(data: Data) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """The ranks of all queries and the fits, after each held-out artist."""
    methods: dict[str, Any] = {BASE: Towers(), **{kind: Towers(kind) for kind in TEXTS}}
    methods |= {name: Towers(**how) for name, how in VARIANTS.items()}
    methods |= {"neighbours": Neighbours(), "linear": Linear()}
    queries, fits = [], []
    for artist, seed in SPLITS.items():
        rows = data.rows(artist)
        block = {
            (part, side): data.emoji.table.loc[rows[part], ["family"]].assign(
                artist=artist, seed=seed, part=part, query=side
            )
            for part in ("new", "seen") for side in ("picture", "name")
        }  # fmt: skip
        for name, method in methods.items():
            start = time.process_time()
            found = [method.fit(data, rows["train"], setting) for setting in method.settings]
            valid = [quality(embed, data, rows["valid"]) for embed in found]
            best = int(np.argmax(valid))
            fits.append((artist, seed, name, method.settings[best], max(valid),
                         (time.process_time() - start) / len(valid)))  # fmt: skip
            ways = {name: found[best]}
            if name == BASE or name in TEXTS:
                ways[f"{name} untrained"] = method.fit(data, rows["train"], None)
            for way, embed in ways.items():
                for part in ("new", "seen"):
                    for more, scores in embeddings(embed, data, rows[part], way == BASE):
                        own = np.arange(len(scores))
                        block[part, "picture"][way + more] = retrieval.ranks(scores, own)
                        block[part, "name"][way + more] = retrieval.ranks(scores.T, own)
            print(*fits[-1], flush=True)
        queries += block.values()
        columns = ["artist", "seed", "method", "setting", "valid", "seconds"]
        yield pd.concat(queries), pd.DataFrame(fits, columns=columns)


def recall(ranks: pd.Series, k: int = 10) -> pd.Series:
    return (ranks <= k).astype(float)


def summary(table: pd.DataFrame) -> None:
    """Levels by text encoder and control, and paired differences of the variants from the base."""
    names = list(table.columns[table.columns.get_loc("query") + 1 :])
    rows = []
    for (part, query), group in table.groupby(["part", "query"], sort=False):
        for name in names:
            ranks = group[name]
            levels = {f"R@{k}": 100 * recall(ranks, k).mean() for k in (1, 5, 10)}
            levels |= {"median rank": ranks.median(), "mAP": (1 / ranks).mean()}
            rows.append({"part": part, "query": query, "method": name, **levels})
    levels = pd.DataFrame(rows).set_index(["part", "query", "method"])
    print(levels.round({"mAP": 3}).round(1).to_string())
    new, gaps = table[table["part"] == "new"], {}
    others = [name for name in names if name != BASE]
    for name in others:
        gap = mm.evaluate.paired_difference(
            recall(new[name]), recall(new[BASE]), new["family"], comparisons=len(others)
        )
        splits = (recall(new[name]) - recall(new[BASE])).groupby(new["artist"]).mean()
        gaps[name] = [*gap, splits.min(), splits.max()]
    columns = ["difference in R@10", "low", "high", "smallest", "largest"]
    print((100 * pd.DataFrame(gaps, columns).T).round(1).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", nargs="?", choices=("towers", "summary"), default="towers")
    options = parser.parse_args()
    mm.start(seed=0)
    if options.what == "towers":
        for ranks, fits in measure(Data()):  # an interrupted run leaves what it has
            ranks.rename_axis("row").round(2).to_csv(RESULTS / "retrieval_ranks.csv")
            fits.round(4).to_csv(RESULTS / "retrieval_fits.csv", index=False)
    summary(pd.read_csv(RESULTS / "retrieval_ranks.csv"))


if __name__ == "__main__":
    main()
