"""When does fine-tuning beat a frozen probe? The tables behind chapter 16.

    python benchmarks/finetune.py scans      rendered heart scans: probe, LP-FT and rivals
    python benchmarks/finetune.py voices     tones: the voice of the training set, and another
    python benchmarks/finetune.py reviews    film reviews: probe, the top two blocks, LoRA
    python benchmarks/finetune.py show       the stored tables, with intervals

Each writes benchmarks/results/finetune_*.csv run by run, and goes on where it was stopped. A row is
a run; `right` has a 1 for each test row that was answered rightly, so that the intervals can be
computed from the file. All methods are trained and tested on the same rows; a seed draws the
training rows and their order. AdamW, 10% warm-up, linear decay, global clip 1. Embeddings, and
BatchNormalization where nothing else is said, are frozen. The first head is the probe: a logistic
regression on standardised features, with one of three strengths chosen by the validation rows.

The rates: in `scans` and `voices` each method has one rate, chosen on no data of this file; the one
of `scans` comes from earlier runs of LP-FT on other patients. In `reviews` the top two blocks and
LoRA of rank 4 chose among three on the validation rows with a seed of their own (part "valid");
ranks 1 and 16 take that of rank 4.
"""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
from keras import layers
from sklearn.linear_model import LogisticRegression

from mmkeras.attention import AttentionBlock
from mmkeras.datasets import load_reviews, load_syllables
from mmkeras.datasets.heart import simulate_heart
from mmkeras.evaluate import paired_difference
from mmkeras.pretrained import (
    cached_features,
    efficientnet_lite0,
    minilm_l6,
    minilm_tokenizer,
    unfreeze,
    whisper_tiny,
)

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS, DEVELOPMENT, SPLIT = (11, 12, 13), 99, 41
STRENGTHS = (0.001, 0.01, 0.1)
KEYS = ["data", "method", "part", "rate", "seed"]


class Rows(NamedTuple):
    x: np.ndarray
    y: np.ndarray

    def take(self, rows: np.ndarray) -> "Rows":
        return Rows(self.x[rows], self.y[rows])


class Task(NamedTuple):
    """Rows to draw `n` from for training, for choices, and for the tests, by name."""

    name: str
    n: int
    pool: Rows
    valid: Rows
    tests: dict[str, Rows]
    features: Callable[[np.ndarray], np.ndarray]  # those of the frozen encoder


class Rate(keras.callbacks.Callback):
    """From 0 up to `peak` in the first tenth of the steps, and down to 0 in a straight line."""

    def __init__(self, peak: float, steps: int) -> None:
        super().__init__()
        self.peak, self.steps, self.warm = peak, steps, max(steps // 10, 1)

    def on_train_begin(self, logs: Any = None) -> None:
        self.step = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        left = (self.steps - self.step + 1) / (self.steps - self.warm + 1)
        self.model.optimizer.learning_rate = self.peak * min(self.step / self.warm, left)


def probe(task: Task, train: Rows) -> tuple[np.ndarray, np.ndarray, float]:
    """Kernel and bias of the best logistic regression, the standardisation folded in, and its C."""
    x, held = task.features(train.x), task.features(task.valid.x)
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-3)
    best: tuple[float, Any, float] | None = None
    for strength in STRENGTHS:
        fit = LogisticRegression(C=strength, max_iter=2000).fit((x - mean) / scale, train.y)
        score = fit.score((held - mean) / scale, task.valid.y)
        if best is None or score > best[0]:
            best = score, fit, strength
    assert best is not None
    kernel, bias = best[1].coef_.T, best[1].intercept_
    if kernel.shape[1] == 1:  # two classes: the logit of the second beside 0
        kernel, bias = np.hstack([0 * kernel, kernel]), np.append(0, bias)
    kernel = kernel / scale[:, None]
    return kernel, bias - mean @ kernel, best[2]


class Tuned:
    """A model that is compiled once, and trained from the start for each run."""

    def __init__(self, encoder: keras.Model, classes: int, epochs: int) -> None:
        self.epochs = epochs
        head = layers.Dense(classes, name="head")
        self.model = keras.Model(encoder.input, head(encoder.output))
        self.model.compile(
            keras.optimizers.AdamW(1e-3, global_clipnorm=1.0),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self.start = self.model.get_weights()
        self.trained = sum(math.prod(w.shape) for w in self.model.trainable_weights)

    def fit(self, train: Rows, head: Any, rate: float, seed: int) -> None:
        """With `head` None the head starts from random weights, drawn by the seed."""
        keras.utils.set_random_seed(seed)
        self.model.set_weights(self.start)
        for variable in self.model.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        if head is None:
            shape = self.model.get_layer("head").kernel.shape
            head = [keras.initializers.GlorotUniform(seed)(shape), np.zeros(shape[1])]
        self.model.get_layer("head").set_weights(list(head))
        schedule = Rate(rate, self.epochs * -(-len(train.y) // 32))
        self.model.fit(
            train.x, train.y, epochs=self.epochs, batch_size=32, verbose=0, callbacks=[schedule]
        )

    def right(self, rows: Rows) -> np.ndarray:
        return self.model.predict(rows.x, verbose=0, batch_size=100).argmax(1) == rows.y


class Table:
    """A CSV that grows run by run."""

    def __init__(self, name: str) -> None:
        self.path = RESULTS / f"finetune_{name}.csv"
        self.rows = read(self.path).to_dict("records") if self.path.exists() else []

    def has(self, *key: Any) -> bool:
        return any(tuple(row[k] for k in KEYS) == key for row in self.rows)

    def add(self, key: tuple, n: int, right: np.ndarray, seconds: float, trained: int) -> None:
        row = dict(zip(KEYS, key, strict=True)) | {
            "n": n,
            "accuracy": round(float(right.mean()), 4),
            "cpu_seconds": round(seconds, 2),
            "trained": trained,
            "right": "".join(map(str, right.astype(int))),
        }
        self.rows.append(row)
        pd.DataFrame(self.rows).to_csv(self.path, index=False)
        print(*list(row.values())[:-1], flush=True)


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"right": str})


def draw(task: Task, seed: int) -> Rows:
    rows = np.random.default_rng(seed).choice(len(task.pool.y), task.n, replace=False)
    return task.pool.take(rows)


def run_probe(table: Table, task: Task) -> None:
    for seed in SEEDS:
        key = ("probe", "test", 0.0, seed)
        if all(table.has(name, *key) for name in task.tests):
            continue
        start = time.process_time()
        kernel, bias, _ = probe(task, draw(task, seed))
        seconds = time.process_time() - start
        for name, rows in task.tests.items():
            right = (task.features(rows.x) @ kernel + bias).argmax(1) == rows.y
            table.add((name, *key), task.n, right, seconds, kernel.size + bias.size)


def run_tuned(
    table: Table, task: Task, method: str, tuned: Tuned, rates: tuple, *, random_head: bool = False
) -> float:
    """All seeds of a method; with several rates, that of the best validation accuracy."""

    def run(part: str, rate: float, seed: int, tests: dict[str, Rows]) -> None:
        key = (method, part, rate, seed)
        if all(table.has(name, *key) for name in tests):
            return
        start, train = time.process_time(), draw(task, seed)
        tuned.fit(train, None if random_head else probe(task, train)[:2], rate, seed)
        seconds = time.process_time() - start
        for name, rows in tests.items():
            table.add((name, *key), task.n, tuned.right(rows), seconds, tuned.trained)

    if len(rates) > 1:
        for rate in rates:
            run("valid", rate, DEVELOPMENT, {task.name: task.valid})
        tried = [r for r in table.rows if (r["method"], r["part"]) == (method, "valid")]
        rates = (max(tried, key=lambda row: row["accuracy"])["rate"],)
    for seed in SEEDS:
        run("test", rates[0], seed, task.tests)
    return rates[0]


def scans() -> None:
    """How many arteries are narrowed (0 to 3), as drawn in a scan of 64 pixels."""
    heart = simulate_heart(1300, seed=SPLIT)
    pixels = np.repeat(heart.scan, 3, axis=3)
    every = Rows(pixels, heart.table["ca"].to_numpy().astype(int))
    frozen = efficientnet_lite0((64, 64, 3))
    task = Task(
        "scans", 300, every.take(np.arange(500, 1300)), every.take(np.arange(300, 500)),
        {"scans": every.take(np.arange(300))}, lambda x: cached_features(frozen, x),
    )  # fmt: skip
    table = Table("scans")
    run_probe(table, task)
    encoder = efficientnet_lite0((64, 64, 3), trainable=True)
    unfreeze(encoder)
    tuned = Tuned(encoder, 4, 5)
    run_tuned(table, task, "LP-FT", tuned, (3e-4,))
    run_tuned(table, task, "random head", tuned, (3e-4,), random_head=True)
    moving = Tuned(efficientnet_lite0((64, 64, 3), trainable=True), 4, 5)
    run_tuned(table, task, "BatchNorm trained", moving, (3e-4,))


def syllables() -> Any:
    """The clips with one of the four tones, without the three that are all but silent."""
    table = (spoken := load_syllables(16_000)).table
    return spoken.take((table["tone"].to_numpy() < 5) & (table["peak"].to_numpy() > 0.02))


def voices() -> None:
    """The four tones: trained on one voice, tested on new syllables of that voice and the other."""
    table, spoken = Table("voices"), syllables()
    encoder = whisper_tiny(0.64, 2, trainable=True)
    tuned = Tuned(encoder, 4, 6)
    depths = {layer: whisper_tiny(0.64, layer) for layer in (0, 2, 4)}

    def rows(part: Any) -> Rows:
        return Rows(part.waves, part.y)

    for voice, other in (("low", "high"), ("high", "low")):
        pool, valid, away = map(rows, spoken.split(other, seed=SPLIT))
        same = rows(spoken.split(voice, seed=SPLIT)[2])
        tests = {f"{voice} to {voice}": same, f"{voice} to {other}": away}
        for layer, frozen in depths.items():
            task = Task(
                voice, 100, pool, valid, tests, lambda x, frozen=frozen: cached_features(frozen, x)
            )
            renamed = task._replace(tests={f"{k}, layer {layer}": v for k, v in tests.items()})
            run_probe(table, renamed)
            if layer == 2:
                run_tuned(table, renamed, "LP-FT", tuned, (1e-4,))


def lora(rank: int) -> keras.Model:
    """The top two blocks, frozen but for LoRA on the queries and values."""
    encoder = minilm_l6(32, after=4, trainable=True)
    for block in (x for x in encoder.layers if isinstance(x, AttentionBlock)):
        for part in block._flatten_layers(include_self=False):
            part.trainable = False
        block.attention.trainable = True
        for part in block.attention._flatten_layers(include_self=False):
            part.trainable = False
        for dense in (block.attention.query_dense, block.attention.value_dense):
            dense.trainable = True
            dense.enable_lora(rank)
            dense.bias.trainable = False
    return encoder


def films() -> list[Any]:
    """1,500 rows to draw from, 200 to choose by, 500 for the test; no document in two of them."""
    parts = load_reviews().of("films").clear().split(seed=SPLIT)
    rng = np.random.default_rng(SPLIT)
    sizes = (1500, 200, 500)
    return [p.take(rng.permutation(len(p))[:n]) for p, n in zip(parts, sizes, strict=True)]


def reviews() -> None:
    """Sentences from reviews of films: for or against; ratings within 0.5 of neutral left out."""
    states, tokenizer = minilm_l6(32, 4, tokens=True), minilm_tokenizer()
    top = minilm_l6(32, after=4)

    def rows(part: Any) -> Rows:
        x = cached_features(states, tokenizer(list(part.text), 32)).astype("float32")
        return Rows(x, part.y.astype(int))

    pool, valid, test = map(rows, films())
    task = Task("films", 300, pool, valid, {"films": test}, lambda x: cached_features(top, x))
    table = Table("reviews")
    run_probe(table, task)
    whole = Tuned(minilm_l6(32, after=4, trainable=True), 2, 3)
    run_tuned(table, task, "top two", whole, (3e-5, 1e-4, 3e-4))
    rate = run_tuned(table, task, "LoRA 4", Tuned(lora(4), 2, 3), (3e-4, 1e-3, 3e-3))
    for rank in (1, 16):
        run_tuned(table, task, f"LoRA {rank}", Tuned(lora(rank), 2, 3), (rate,))


def bits(lines: pd.Series) -> np.ndarray:
    return np.array([list(map(int, line)) for line in lines])


def units(data: str) -> np.ndarray:
    """What was sampled, for each test row: a patient, a syllable, or a document with its copies."""
    if data == "scans":
        return np.arange(300)
    if data == "films":
        return films()[2].table["group"].to_numpy()
    to = data.partition(",")[0].rpartition(" ")[2]
    return syllables().split(to, seed=SPLIT)[2].table["syllable"].to_numpy()


def summary(path: Path) -> pd.DataFrame:
    """Mean accuracy, and the difference to the probe, paired by seed and test row.

    The interval is over the `units` of the test rows, with the answers of all seeds; Bonferroni for
    the lines of the table. It does not cover the draw of three training sets: `lowest` and
    `highest` are the differences of the single seeds.
    """
    table = read(path).query("part == 'test'")
    lines = []
    groups = table.groupby(["data", "method"], sort=False)
    count = table.loc[table["method"] != "probe", ["data", "method"]].drop_duplicates().shape[0]
    for (data, method), runs in groups:
        line = {"data": data, "method": method, "seeds": len(runs), "n": runs["n"].iloc[0]}
        line |= {"trained": runs["trained"].iloc[0], "cpu_seconds": runs["cpu_seconds"].mean()}
        line["accuracy"] = runs["accuracy"].mean()
        if method != "probe":
            base = table[(table["data"] == data) & (table["method"] == "probe")]
            both = runs.merge(base, on="seed", suffixes=("", "_probe"))
            first, second = bits(both["right"]), bits(both["right_probe"])
            unit = np.tile(units(data), len(first))
            gap = paired_difference(first.ravel(), second.ravel(), unit, comparisons=count)
            each = (first - second).mean(axis=1)
            line |= {"difference": gap[0], "low": gap[1], "high": gap[2]}
            line |= {"lowest": each.min(), "highest": each.max()}
        lines.append(line)
    return pd.DataFrame(lines)


def show(names: tuple[str, ...] = ("scans", "voices", "reviews")) -> None:
    for name in names:
        if (path := RESULTS / f"finetune_{name}.csv").exists():
            print(f"\n{name}\n{summary(path).round(3).to_string(index=False, na_rep='')}")


if __name__ == "__main__":
    what = sys.argv[1]
    if what != "show":
        {"scans": scans, "voices": voices, "reviews": reviews}[what]()
    show((what,) if what != "show" else ("scans", "voices", "reviews"))
