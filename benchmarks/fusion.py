"""Every fusion on two data sets. The heart signals are rendered, and not for clinical use.

    python benchmarks/fusion.py emoji      new concepts by a new artist: 4 artists, 5 seeds
    python benchmarks/fusion.py heart      2 folds by patient, 5 seeds, end to end from scratch
    python benchmarks/fusion.py article    the usual tutorial's model, and a PyTorch twin, on emoji
    python benchmarks/fusion.py cost       weights, time a step, time to a quality, peak memory
    python benchmarks/fusion.py table      the tables, as Markdown, from the stored files

The first four write benchmarks/results/fusion_<name>.csv, which chapter 07 reads: one row a test
picture (1 where a method was right) or patient (its probability), one column a method. On two cores
they take about 15, 20, 25 and 15 minutes; the PyTorch twin needs the extra `bench`.

On the emoji every method trains until its validation loss has not fallen for PATIENCE epochs, and
is tested with the weights of its best epoch. On the heart signals all get the schedule of
benchmarks/heart.py. Learning rate, dropout and widths are those that chapters 06 and 12 chose for
concatenation: no other method was tuned, which favours it.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import heart as heart_bench
import keras
import numpy as np
import pandas as pd
from keras import layers
from sklearn.metrics import roc_auc_score

import mmkeras as mm
from mmkeras.datasets import load_emoji, load_heart
from mmkeras.evaluate import METRICS, answers
from mmkeras.fusion import METHODS

RESULTS = Path(__file__).parent / "results"
SEEDS = range(1, 6)
LENGTH, IDS, UNITS, CLASSES = 8, 1000, 64, 6
EPOCHS, BATCH = 60, 256  # at most so many epochs
PATIENCE, SHORT = 5, 12
FOLDS, STEPS = 2, 171  # 12 passes over half of the patients, the last one cut short
REPLICATES = 500
QUALITY = {"emoji": 0.60, "heart": 0.85}  # validation accuracy, validation AUC
MODALITIES = {"emoji": ("text", "image"), "heart": ("note", "ecg", "scan")}
SEQUENCES = ("cross_attention", "bottleneck")  # on the heart signals they get the tokens


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
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    return model


def heart_model(method: str) -> keras.Model:
    """The same for note, ECG and scan; settings of benchmarks/heart.py."""
    if method in MODALITIES["heart"]:
        return heart_bench.build((method,), STEPS)
    fusion = "concatenate" if method == "shuffled" else method
    return heart_bench.build(MODALITIES["heart"], STEPS, fusion=fusion, tokens=method in SEQUENCES)


def methods(data: str) -> list[str]:
    return [*MODALITIES[data], *METHODS, "shuffled"]


def columns(data: str) -> list[str]:
    """Of the stored table."""
    return ["concatenate", "torch", "article"] if data == "article" else methods(data)


# ------------------------------------------------------------------------------ emoji


class EmojiData:
    """Word ids and frozen picture features of a split, as in chapter 06."""

    def __init__(self, pixels: int = 128) -> None:
        self.emoji = load_emoji(size=pixels)
        encoder = mm.pretrained.efficientnet_lite0((pixels, pixels, 3))
        self.features = mm.pretrained.cached_features(encoder, self.emoji.images)
        self.names = self.emoji.table["label_en"].to_numpy(object)

    def rows(self, artist: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Training, validation and test rows."""
        parts = self.emoji.split(artist, seed=seed)
        train, valid, test = (part.table.index.to_numpy() for part in parts)
        return train, valid, test

    def inputs(self, known: np.ndarray) -> dict[str, np.ndarray]:
        """Of all rows; the vocabulary is that of the names that are known."""
        words = keras.layers.TextVectorization(max_tokens=IDS, output_sequence_length=LENGTH)
        words.adapt(self.names[known])
        return {"text": np.asarray(words(self.names), "int32"), "image": self.features}


def only(trainer: heart_bench.Trainer, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {m: x[m] for m in trainer.modalities}


def patience() -> keras.callbacks.Callback:
    return keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True)


def emoji(seeds: range) -> Iterator[pd.DataFrame]:
    """1 where a method names the group of a held-out concept by a held-out artist."""
    data = EmojiData()
    artists = data.emoji.table["artist"].unique()
    trainers = {m: heart_bench.Trainer(lambda m=m: emoji_model(m)) for m in methods("emoji")}
    blocks = []
    for seed in seeds:
        for artist in artists:
            train, valid, test = data.rows(artist, seed)
            x = data.inputs(train)
            seen, checked, unseen = ({k: v[r] for k, v in x.items()} for r in (train, valid, test))
            block = data.emoji.table.loc[test, ["hexcode", "family", "artist"]].assign(seed=seed)
            for method, trainer in trainers.items():
                y = data.emoji.y
                if method == "shuffled":
                    y = np.random.default_rng(seed).permutation(y)
                watched = {"validation_data": (only(trainer, checked), y[valid])}
                watched["callbacks"] = [patience()]
                trainer.fit(seen, y[train], EPOCHS, seed, batch_size=BATCH, **watched)
                p = trainer.predict(unseen)
                block[method] = (p.argmax(axis=1) == data.emoji.y[test]).astype(int)
            blocks.append(block)
            print(f"seed {seed} {artist:9}", block[list(trainers)].mean().round(3).to_dict(),
                  flush=True)  # fmt: skip
        yield pd.concat(blocks)


# ------------------------------------------------------------------------------ heart


def heart(seeds: range) -> Iterator[pd.DataFrame]:
    """Out-of-fold probability of every patient, one column a method, one block a seed."""
    cohort = load_heart()
    takes = [cohort, *(cohort.record(r) for r in heart_bench.RECORDINGS)]
    trainers = {m: heart_bench.Trainer(lambda m=m: heart_model(m)) for m in methods("heart")}
    blocks = []
    for seed in seeds:
        block = cohort.table[["patient", "hospital", "disease"]].assign(seed=seed, fold=-1)
        block[list(trainers)] = np.nan
        for fold, (train, test) in enumerate(cohort.fold_rows(FOLDS, seed=seed)):
            block.loc[block.index[test], "fold"] = fold
            words = heart_bench.vocabulary(np.concatenate([t.note[train] for t in takes[1:]]))
            inputs = [heart_bench.arrays(take, words) for take in takes]
            x, rows = passes(inputs, train, seed, fold)
            tested = {m: inputs[0][m][test] for m in MODALITIES["heart"]}
            shuffled = cohort.y.copy()
            shuffled[train] = np.random.default_rng(seed).permutation(shuffled[train])
            for method, trainer in trainers.items():
                y = shuffled if method == "shuffled" else cohort.y
                started = time.perf_counter()
                trainer.fit(x, y[rows], 1, seed)
                p = trainer.predict(tested)[:, 0]
                block.loc[block.index[test], method] = p.astype(float).round(4)
                auc, spent = roc_auc_score(cohort.y[test], p), time.perf_counter() - started
                print(f"seed {seed} fold {fold} {method:15} {auc:.3f} {spent:4.0f} s", flush=True)
        blocks.append(block)
        yield pd.concat(blocks)


def passes(
    inputs: list[dict[str, np.ndarray]], train: np.ndarray, seed: int, fold: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The training stream of benchmarks/heart.py, cut to STEPS batches, and the row of each."""
    everyone = np.arange(len(inputs[0]["note"]))
    rng = np.random.default_rng([seed, fold])
    x, rows = heart_bench.stream(inputs, everyone, train, rng)
    n = STEPS * heart_bench.BATCH
    return {m: values[:n] for m, values in x.items()}, rows[:n]


# ------------------------------------------------------------------------------ baselines


def article_model() -> keras.Model:
    """The literal recipe of many tutorials: LSTM over 500 words, Flatten of a 128×128 picture."""
    ids = keras.Input((500,), dtype="int32", name="text")
    x = layers.LSTM(64)(layers.Embedding(IDS, 128)(ids))
    pixels = keras.Input((128, 128, 3), name="image")
    y = layers.Conv2D(32, 3, activation="relu")(layers.Rescaling(1 / 255)(pixels))
    y = layers.Flatten()(layers.MaxPooling2D(2)(y))
    y = layers.Dense(64, activation="relu")(y)
    joint = layers.Dense(64, activation="relu")(layers.Concatenate()([x, y]))
    model = keras.Model([ids, pixels], layers.Dense(CLASSES, activation="softmax")(joint))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def torch_twin(
    first: keras.Model, x: dict[str, Any], y: np.ndarray, test: dict[str, Any], seed: int
) -> np.ndarray:
    """Class numbers of the test rows, by the concatenation model in PyTorch.

    It starts from the weights of the Keras model and has the same sizes, optimiser and batches.
    """
    sys.modules.setdefault("triton", None)  # type: ignore[arg-type]  # crashes beside TensorFlow
    import torch

    torch.manual_seed(seed)
    weights = [torch.nn.Parameter(torch.tensor(w)) for w in first.get_weights()]
    words, *dense = weights
    optimiser = torch.optim.Adam(weights, lr=2e-3, eps=1e-7)

    def logits(ids: Any, vectors: Any, training: bool) -> Any:
        there = (ids != 0).float()[..., None]
        mean = (words[ids] * there).sum(1) / there.sum(1).clamp(min=1)
        text = torch.relu(mean @ dense[0] + dense[1])
        image = torch.relu(vectors @ dense[2] + dense[3])
        joint = torch.cat([text, image], 1)
        joint = torch.nn.functional.dropout(joint, 0.5, training=training)
        return joint @ dense[4] + dense[5]

    ids, vectors = torch.tensor(x["text"]).long(), torch.tensor(x["image"])
    truth = torch.tensor(y).long()
    for _ in range(SHORT):
        for rows in torch.randperm(len(y)).split(BATCH):
            optimiser.zero_grad()
            out = logits(ids[rows], vectors[rows], True)
            torch.nn.functional.cross_entropy(out, truth[rows]).backward()
            optimiser.step()
    with torch.no_grad():
        out = logits(torch.tensor(test["text"]).long(), torch.tensor(test["image"]), False)
    return out.argmax(1).numpy()


def article(seeds: range) -> Iterator[pd.DataFrame]:
    """1 where right, for the article's model, the concatenation and its twin; an artist a seed.

    All three train for SHORT epochs on training and validation part, as chapter 06 does.
    """
    data, blocks = EmojiData(), []
    artists = data.emoji.table["artist"].unique()
    ours = heart_bench.Trainer(lambda: emoji_model("concatenate"))
    for seed in seeds:
        train, valid, test = data.rows(artists[seed % len(artists)], seed)
        known, y = np.concatenate([train, valid]), data.emoji.y
        x = data.inputs(known)
        raw = {"text": np.pad(x["text"], ((0, 0), (0, 500 - LENGTH))), "image": data.emoji.images}
        seen, unseen = ({k: v[rows] for k, v in x.items()} for rows in (known, test))
        ours.fit(seen, y[known], SHORT, seed, batch_size=BATCH)
        said = {"concatenate": ours.predict(unseen).argmax(axis=1)}
        ours.reset(seed)
        said["torch"] = torch_twin(ours.model, seen, y[known], unseen, seed)
        keras.utils.set_random_seed(seed)
        theirs = article_model()
        theirs.fit({k: v[known] for k, v in raw.items()}, y[known], epochs=SHORT, verbose=0)
        p = theirs.predict({k: v[test] for k, v in raw.items()}, verbose=0)
        said["article"] = p.argmax(axis=1)
        block = data.emoji.table.loc[test, ["hexcode", "family", "artist"]].assign(seed=seed)
        blocks.append(block.assign(**{k: (v == y[test]).astype(int) for k, v in said.items()}))
        print(blocks[-1][list(said)].mean().round(3).to_dict(), flush=True)
        yield pd.concat(blocks)


# ------------------------------------------------------------------------------ cost


def arena(data: str) -> dict[str, Any]:
    """Training inputs and labels, validation inputs and labels, batch, and the maker of a model."""
    if data == "emoji":
        whole = EmojiData()
        train, valid, _ = whole.rows("noto", 1)
        x, y = whole.inputs(train), whole.emoji.y
        parts = [({k: v[rows] for k, v in x.items()}, y[rows]) for rows in (train, valid)]
        return dict(zip("tv", parts, strict=True), batch=BATCH, make=emoji_model)
    train, valid, _ = load_heart().split(seed=1)
    takes = [train, *(train.record(r) for r in heart_bench.RECORDINGS)]
    words = heart_bench.vocabulary(np.concatenate([take.note for take in takes[1:]]))
    rows = np.arange(len(train))
    x, order = passes([heart_bench.arrays(take, words) for take in takes], rows, 1, 0)
    parts = [(x, train.y[order]), (heart_bench.arrays(valid, words), valid.y)]
    return dict(zip("tv", parts, strict=True), batch=heart_bench.BATCH, make=heart_model)


def batches(place: dict[str, Any], data: str, seed: int) -> Iterator[tuple[dict, np.ndarray]]:
    """Up to EPOCHS passes on the emoji, the stream as it is on the heart signals."""
    x, y = place["t"]
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS if data == "emoji" else 1):
        order = rng.permutation(len(y)) if data == "emoji" else np.arange(len(y))
        for start in range(0, len(y) - place["batch"] + 1, place["batch"]):
            rows = order[start : start + place["batch"]]
            yield {k: v[rows] for k, v in x.items()}, y[rows]


def quality(trainer: heart_bench.Trainer, place: dict[str, Any], data: str) -> float:
    """Validation accuracy on the emoji, validation AUC on the heart signals."""
    x, y = place["v"]
    p = trainer.predict(x)
    return (p.argmax(axis=1) == y).mean() if data == "emoji" else roc_auc_score(y, p[:, 0])


def seconds_to(trainer: heart_bench.Trainer, place: dict[str, Any], data: str, seed: int) -> float:
    """Training time until the quality is reached, asked every 10 steps with the clock stopped."""
    trainer.reset(seed)
    spent = 0.0
    for step, (x, y) in enumerate(batches(place, data, seed), start=1):
        x = only(trainer, x)
        started = time.perf_counter()
        trainer.model.train_on_batch(x, y)
        spent += time.perf_counter() - started
        if step % 10 == 0 and quality(trainer, place, data) >= QUALITY[data]:
            return spent
    return np.nan


def cost(seeds: range) -> Iterator[pd.DataFrame]:
    """Weights, milliseconds per step (alternating), seconds to a set quality, peak memory."""
    rows = []
    for data in MODALITIES:
        place = arena(data)
        trainers = {
            m: heart_bench.Trainer(lambda m=m, place=place: place["make"](m))
            for m in methods(data)[:-1]
        }
        times: dict[str, list[float]] = {method: [] for method in trainers}
        x, y = next(batches(place, data, 0))
        for turn in range(33):
            for method, trainer in trainers.items():
                own = only(trainer, x)
                started = time.perf_counter()
                trainer.model.train_on_batch(own, y)
                if turn >= 3:  # the first steps compile
                    times[method].append(1000 * (time.perf_counter() - started))
        for method, trainer in trainers.items():
            reached = [seconds_to(trainer, place, data, seed) for seed in seeds[:3]]
            asked = [sys.executable, __file__, "memory", "--data", data, "--method", method]
            said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
            t = np.array(times[method])
            rows.append(
                {
                    "dataset": data,
                    "method": method,
                    "parameters": trainer.model.count_params(),
                    "ms_step": np.median(t).round(2),
                    "ms_step_min": t.min().round(2),
                    "ms_step_max": t.max().round(2),
                    # The median run; empty where at least half of the runs never got there.
                    "seconds_to_quality": round(float(np.sort(reached)[len(reached) // 2]), 2),
                    "peak_mb": int(said.split()[-1]),
                }
            )
            print(rows[-1], flush=True)
            yield pd.DataFrame(rows)


def memory(data: str, method: str) -> None:
    """Print the most memory, in MB, that this process has held by the end of 20 steps."""
    model = emoji_model(method) if data == "emoji" else heart_model(method)
    rng = np.random.default_rng(0)
    n = BATCH if data == "emoji" else heart_bench.BATCH
    x = {t.name: rng.integers(0, 2, (n, *t.shape[1:])).astype(t.dtype) for t in model.inputs}
    for _ in range(20):
        model.train_on_batch(x, rng.integers(0, 2, n))
    print(peak_kb() // 1024)


def peak_kb() -> int:
    """Of this process; ru_maxrss, where there is nothing better, counts what its parent held."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# ------------------------------------------------------------------------------ tables


def table() -> None:
    """Accuracy or AUC with intervals, and the difference from concatenation, as Markdown."""
    for data, unit, scores in (
        ("emoji", "family", accuracy),
        ("article", "family", accuracy),
        ("heart", "patient", mean_auc),
    ):
        rows = pd.read_csv(RESULTS / f"fusion_{data}.csv")
        member = pd.factorize(rows[unit])[0]
        count = member.max() + 1
        times = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), REPLICATES)
        weights = np.concatenate([np.ones((1, len(rows))), times[:, member]])
        values = {m: 100 * scores(rows, m, weights) for m in columns(data)}  # first: as they are
        print(f"\n| {data} | value | 95% | minus concatenation | 95% |\n|---|---|---|---|---|")
        for method, value in values.items():
            gap = value - values["concatenate"]
            print(
                f"| {method} | {value[0]:.1f} | {limits(value)} | {gap[0]:+.1f} | {limits(gap)} |"
            )


def accuracy(rows: pd.DataFrame, method: str, weights: np.ndarray) -> np.ndarray:
    """Of all runs together, for each line of weights."""
    return weights @ rows[method].to_numpy() / weights.sum(axis=1)


def mean_auc(rows: pd.DataFrame, method: str, weights: np.ndarray) -> np.ndarray:
    """Mean over seeds and folds of the AUC, for each line of weights."""
    parts = []
    for _, places in rows.groupby(["seed", "fold"]).indices.items():
        part = rows.iloc[places]
        (model,) = answers(part["disease"], {method: part[method]}).values()
        parts.append(METRICS["roc_auc"].weighted(model, weights[:, places].astype(float)))
    return np.mean(parts, axis=0)


def limits(draws: np.ndarray) -> str:
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return f"{low:.1f} to {high:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=[*JOBS, "memory", "table"])
    parser.add_argument("--data", choices=list(MODALITIES), help="for memory")
    parser.add_argument("--method", help="for memory")
    options = parser.parse_args()
    mm.start(seed=0)
    if options.what == "memory":
        return memory(options.data, options.method)
    if options.what == "table":
        return table()
    RESULTS.mkdir(exist_ok=True)
    for rows in JOBS[options.what](SEEDS):  # written after each step: a run cut short leaves some
        rows.to_csv(RESULTS / f"fusion_{options.what}.csv", index=False)


JOBS = {"emoji": emoji, "heart": heart, "article": article, "cost": cost}

if __name__ == "__main__":
    main()
