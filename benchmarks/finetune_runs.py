"""What the benchmarks of fine-tuning share: tasks, the probe, training runs, and their tables."""

import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
from keras import layers
from sklearn.linear_model import LogisticRegression

from mmkeras.pretrained import unfreeze

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS, DEVELOPMENT, SPLIT = (11, 12, 13), (99,), 41
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
        self.peak, self.steps, self.warm, self.step = peak, steps, max(steps // 10, 1), 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        left = (self.steps - self.step + 1) / (self.steps - self.warm + 1)
        self.model.optimizer.learning_rate = self.peak * min(self.step / self.warm, left)


class ByDepth(keras.optimizers.AdamW):
    """AdamW with a rate for each weight: `factors` maps the id of a variable to its share."""

    def __init__(self, factors: dict[int, float]) -> None:
        super().__init__(1e-3, global_clipnorm=1.0)
        self.factors = factors

    def build(self, variables: Any) -> None:
        super().build(variables)
        self.shares = [self.factors.get(id(variable), 1.0) for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        share = self.shares[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * share)


def probe(task: Task, train: Rows, floor: float = 1e-3) -> tuple[np.ndarray, np.ndarray, float]:
    """Kernel and bias of the best logistic regression, the standardisation folded in, and its C.

    A feature is divided by its deviation, or by `floor` where that is larger.
    """
    x, held = task.features(train.x), task.features(task.valid.x)
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), floor)
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
    """A model that is compiled once, and trained from the start for each run.

    `factors` give single weights a smaller rate; see `ByDepth`.
    """

    def __init__(
        self,
        encoder: keras.Model,
        classes: int,
        epochs: int,
        factors: dict[int, float] | None = None,
    ) -> None:
        self.epochs, self.encoder, self.factors = epochs, encoder, factors or {}
        head = layers.Dense(classes, name="head")
        self.model = keras.Model(encoder.input, head(encoder.output))
        self.compile()
        self.start = self.model.get_weights()
        self.trained = sum(math.prod(w.shape) for w in self.model.trainable_weights)

    def compile(self) -> None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(ByDepth(self.factors), loss)

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
        self.learn(train, schedule)

    def learn(self, train: Rows, schedule: Rate) -> None:
        how = {"epochs": self.epochs, "batch_size": 32, "callbacks": [schedule]}
        self.model.fit(train.x, train.y, verbose=0, **how)

    def right(self, rows: Rows) -> np.ndarray:
        return self.model.predict(rows.x, verbose=0, batch_size=100).argmax(1) == rows.y


class Gradual(Tuned):
    """One epoch with the top two of six blocks, one with four, one with all: Howard and Ruder."""

    def learn(self, train: Rows, schedule: Rate) -> None:
        for top in (2, 4, 6):
            unfreeze(self.encoder, top)
            self.compile()
            self.model.fit(train.x, train.y, batch_size=32, callbacks=[schedule], verbose=0)


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


def bits(lines: pd.Series) -> np.ndarray:
    """The column `right` as numbers, (runs, test rows)."""
    return np.array([list(map(int, line)) for line in lines])


def drawn(task: Task, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(len(task.pool.y), task.n, replace=False)


def draw(task: Task, seed: int) -> Rows:
    return task.pool.take(drawn(task, seed))


def run_probe(table: Table, task: Task, seeds: tuple[int, ...] = SEEDS) -> None:
    for seed in seeds:
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
    table: Table,
    task: Task,
    method: str,
    tuned: Tuned,
    rates: tuple,
    *,
    random_head: bool = False,
    floor: float = 1e-3,
    shrink: float = 1.0,
    development: tuple[int, ...] = DEVELOPMENT,
    seeds: tuple[int, ...] = SEEDS,
) -> float:
    """All seeds of a method; with several rates, that of the best mean validation accuracy.

    The probe's kernel and bias are divided by `shrink`: smaller weights, the same answers.
    """

    def run(part: str, rate: float, seed: int, tests: dict[str, Rows]) -> None:
        key = (method, part, rate, seed)
        if all(table.has(name, *key) for name in tests):
            return
        start, train = time.process_time(), draw(task, seed)
        start_at = None if random_head else [w / shrink for w in probe(task, train, floor)[:2]]
        tuned.fit(train, start_at, rate, seed)
        seconds = time.process_time() - start
        for name, rows in tests.items():
            table.add((name, *key), task.n, tuned.right(rows), seconds, tuned.trained)

    if len(rates) > 1:
        for rate, seed in itertools.product(rates, development):
            run("valid", rate, seed, {task.name: task.valid})
        tried = pd.DataFrame(table.rows).query("method == @method and part == 'valid'")
        rates = (tried.groupby("rate", sort=False)["accuracy"].mean().idxmax(),)
    for seed in seeds:
        run("test", rates[0], seed, task.tests)
    return rates[0]
