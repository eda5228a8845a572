"""Pictures and names in one space: which text encoder, which loss, and what does not help?

    python benchmarks/retrieval.py             # about 5 processor minutes
    python benchmarks/retrieval.py --artists noto --out /tmp/noto    # one split, elsewhere
    python benchmarks/retrieval.py summary     # only print what the stored tables say

Drawings of the emoji find their English name among those of all test concepts, and names find their
drawing. Each of the four artists is held out once, each time with another draw of the concepts. The
test set is new concepts by the new artist; "seen" is as many training concepts by that artist. Each
method starts with three settings; as long as the best is at an end of the range, the next value
beyond it is tried, at most twice. The best on the validation set (mean of 1 / rank, both
directions) is tested.

It writes to benchmarks/results, with a column for each method:
retrieval_ranks.csv, one row per query, with the rank of the right answer (of tied ones the middle);
retrieval_hits.csv.gz, one row per query and measure (R@1, R@5, R@10, AP), where ties count by their
expected share, as in `retrieval.recall_at` (`known`: a word of the name is in a training name);
and retrieval_fits.csv, one row per split and method, with what was chosen.
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
from retrieval_rivals import Joint, Linear, Neighbours, unit
from sklearn.feature_extraction.text import TfidfVectorizer

import mmkeras as mm
from mmkeras import retrieval
from mmkeras.training import Trainer

RESULTS = Path(__file__).parent / "results"
SPLITS = {"noto": 11, "twemoji": 12, "openmoji": 13, "fluent": 14}  # held-out artist: seed
EPOCHS, WIDTH = 10, 2000  # WIDTH: columns of a TF-IDF matrix; what is not used stays 0
RATES = (1e-3, 2e-3, 4e-3)
MORE = 2  # values that are tried beyond the range
TEXTS: dict[str, dict[str, Any]] = {
    "words": {"column": "label_en"},
    "characters": {"column": "label_en", "analyzer": "char_wb", "ngram_range": (2, 4)},
    "Chinese": {"column": "label_zh", "analyzer": "char", "ngram_range": (1, 2)},
}
TRIPLET = {"temperature": 1, "learned": False}
BASE = "MiniLM"
MEASURES = ("rank", "R@1", "R@5", "R@10", "AP")
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


def chosen(method: Any, data: Data, rows: dict[str, np.ndarray]) -> tuple[Embed, float, float, int]:
    """The embeddings of the best setting, the setting, its validation result, and how many fits."""
    settings, found, valid = list(method.settings), {}, {}
    for setting in settings:  # it grows while the best is at an end
        found[setting] = method.fit(data, rows["train"], setting)
        valid[setting] = quality(found[setting], data, rows["valid"])
        if len(valid) < len(settings) or len(settings) == len(method.settings) + MORE:
            continue
        ordered, best = sorted(valid), max(valid, key=valid.__getitem__)
        ratio = ordered[1] / ordered[0]
        beyond = {ordered[0]: best / ratio, ordered[-1]: best * ratio}.get(best)
        if beyond is not None:
            settings.append(round(beyond) if isinstance(best, int) else beyond)
    best = max(valid, key=valid.__getitem__)
    return found[best], best, valid[best], len(valid)


def measured(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Of each query: the rank of the right candidate, and what ties count by their share."""
    own = np.arange(len(scores))
    hits = {f"R@{k}": retrieval.recall_at(scores, own, k) for k in (1, 5, 10)}
    precision = retrieval.average_precision(scores, own)
    return {"rank": retrieval.ranks(scores, own), **hits, "AP": precision}


def measure(data: Data, artists: list[str]) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """What `measured` gives, for all queries, and the fits, after each held-out artist."""
    methods: dict[str, Any] = {BASE: Towers(), **{kind: Towers(kind) for kind in TEXTS}}
    methods |= {name: Towers(**how) for name, how in VARIANTS.items()}
    methods |= {"neighbours": Neighbours(), "linear": Linear(), "joint code": Joint()}
    queries, fits = [], []
    for artist in artists:
        seed, rows = SPLITS[artist], data.rows(artist)
        has_word = data.texts("words", rows["train"]).any(axis=1)
        block = {
            (part, side, what): data.emoji.table.loc[rows[part], ["family"]].assign(
                artist=artist, seed=seed, part=part, known=has_word[data.concept[rows[part]]],
                measure=what, query=side,
            )
            for what in MEASURES for part in ("new", "seen") for side in ("picture", "name")
        }  # fmt: skip
        for name, method in methods.items():
            start = time.process_time()
            best, *about, count = chosen(method, data, rows)
            seconds = (time.process_time() - start) / count
            fits.append((artist, seed, name, *about, count, seconds))
            ways = {name: best}
            if name == BASE or name in TEXTS:
                ways[f"{name} untrained"] = method.fit(data, rows["train"], None)
            for way, embed in ways.items():
                for part in ("new", "seen"):
                    for more, scores in embeddings(embed, data, rows[part], way == BASE):
                        for side, matrix in (("picture", scores), ("name", scores.T)):
                            for what, values in measured(matrix).items():
                                block[part, side, what][way + more] = values
            print(*fits[-1], flush=True)
        queries += block.values()
        columns = ["artist", "seed", "method", "setting", "valid", "fits", "seconds"]
        yield pd.concat(queries), pd.DataFrame(fits, columns=columns)


def read(folder: Path = RESULTS) -> pd.DataFrame:
    """Both stored tables as one."""
    tables = [pd.read_csv(folder / f"retrieval_{name}") for name in ("ranks.csv", "hits.csv.gz")]
    return pd.concat([tables[0].assign(measure="rank"), tables[1]])


def summary(table: pd.DataFrame) -> None:
    """Levels by text encoder and control, and paired differences of the variants from the base."""
    columns = table.columns[table.columns.get_loc("query") + 1 :]
    names = [name for name in columns if name not in ("measure", "known")]
    groups = table.groupby(["part", "query", "measure"], sort=False)[names]
    levels = pd.DataFrame({key: of.median() if key[2] == "rank" else 100 * of.mean()
                           for key, of in groups}).T  # fmt: skip
    print(levels.T.round(1).to_string())
    new, gaps = table[(table["part"] == "new") & (table["measure"] == "R@10")], {}
    others = [name for name in names if name != BASE]
    for name in others:
        gap = mm.evaluate.paired_difference(
            new[name], new[BASE], new["family"], comparisons=len(others)
        )
        splits = (new[name] - new[BASE]).groupby(new["artist"]).mean()
        gaps[name] = [*gap, splits.min(), splits.max()]
    columns = ["difference in R@10", "low", "high", "smallest", "largest"]
    print((100 * pd.DataFrame(gaps, columns).T).round(1).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", nargs="?", choices=("towers", "summary"), default="towers")
    parser.add_argument("--artists", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the tables")
    options = parser.parse_args()
    mm.start(seed=0)
    if options.what == "towers":
        how: dict[str, Any] = {"float_format": "%.4g"}
        for table, fits in measure(Data(), options.artists):  # one that stops leaves what it has
            table, rank = table.rename_axis("row"), table["measure"] == "rank"
            ranks = table[rank].drop(columns=["known", "measure"])
            ranks.to_csv(options.out / "retrieval_ranks.csv", **how)
            packed = {"method": "gzip", "mtime": 0}  # the same bytes for the same table
            table[~rank].to_csv(options.out / "retrieval_hits.csv.gz", compression=packed, **how)
            fits.to_csv(options.out / "retrieval_fits.csv", index=False, **how)
    summary(read(options.out))


if __name__ == "__main__":
    main()
