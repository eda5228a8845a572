"""Every subset of note, ECG and scan on the heart cohort. Rendered signals, not for clinical use.

    python benchmarks/heart.py folds        5 folds by patient, 3 seeds
    python benchmarks/heart.py hospitals    one hospital left out at a time
    python benchmarks/heart.py simulated    simulated patients, 300 to 10,000, against the oracle

Each writes benchmarks/results/heart_<name>.csv, which the chapters read, and prints the table. Each
takes about 20 minutes on two cores. The settings below were compared on the folds of seed 0; the
tables use seeds from 1 on, with other folds of the same patients, and other simulated patients.

On simulated patients every network gets the same number of training steps, whatever the number of
patients, and is tested with the weights that had the highest AUC on VALID other patients.
"""

import argparse
import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.metrics import roc_auc_score

import mmkeras as mm
from mmkeras.datasets import Heart, load_heart, note_words, simulate_heart
from mmkeras.datasets.heart.model import MODALITIES
from mmkeras.evaluate import METRICS, answers, subsets
from mmkeras.training import Trainer

RESULTS = Path(__file__).parent / "results"
WORDS, LENGTH, UNITS = 400, 52, 32
RECORDINGS = range(1, 9)  # of the training patients; recording 0 is used for the test
EPOCHS, BATCH, RATE, DECAY, DROPOUT = 12, 32, 2e-3, 1e-3, 0.3
SIZES = (300, 1000, 3000, 10_000)  # simulated patients to learn from
SIMULATED = (*((m,) for m in MODALITIES), MODALITIES)  # the subsets that the chapters show
STEPS, CHECKS, VALID = 2000, 20, 1000  # training steps; number of validations; validation patients
REPLICATES = 500  # of the bootstrap, which draws simulated test patients


def build(
    subset: tuple[str, ...], steps: int, fusion: str = "concatenate", tokens: bool = False
) -> keras.Model:
    """The joint model of some modalities, compiled for this total number of steps."""
    kind = {"units": UNITS, "tokens": tokens}
    branches = {
        "note": lambda: mm.text_branch(WORDS, LENGTH, encoder="conv", name="note", **kind),
        "ecg": lambda: mm.signal_branch(1250, name="ecg", **kind),
        "scan": lambda: mm.image_branch((64, 64, 1), encoder="small", name="scan", **kind),
    }
    model = mm.multimodal_model(
        [branches[m]() for m in subset], {"disease": "binary"}, fusion=fusion, dropout=DROPOUT
    )
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=DECAY), "binary_crossentropy")
    return model


def vocabulary(notes: np.ndarray) -> keras.layers.Layer:
    layer = keras.layers.TextVectorization(
        max_tokens=WORDS, output_sequence_length=LENGTH, standardize=None
    )
    layer.adapt(note_words(notes))
    return layer


def arrays(heart: Heart, words: keras.layers.Layer) -> dict[str, np.ndarray]:
    """The inputs of the model by name, with rows in the order of the cohort."""
    ids = np.asarray(words(note_words(heart.note)), "int32")
    return {"note": ids, "ecg": heart.ecg, "scan": heart.scan}


def trainer_of(subset: tuple[str, ...], steps: int) -> Trainer:
    """A trainer of one subset, for this number of steps."""
    return Trainer(functools.partial(build, subset, steps))


def real(by: str, seeds: range) -> Iterator[pd.DataFrame]:
    """Out-of-fold probability of every patient, one column per subset, one block per seed."""
    heart = load_heart()
    takes = [heart, *(heart.record(r) for r in RECORDINGS)]
    blocks = []
    for seed in seeds:
        block = heart.table[["patient", "hospital", "disease"]].assign(seed=seed, fold=-1)
        folds = heart.fold_rows(5, by=by, seed=seed)
        inputs = []
        for number, (train, test) in enumerate(folds):
            block.loc[block.index[test], "fold"] = number
            words = vocabulary(np.concatenate([take.note[train] for take in takes[1:]]))
            inputs.append([arrays(take, words) for take in takes])
        for subset in subsets(MODALITIES)[1:]:
            started = time.perf_counter()
            column = np.empty(len(heart))
            trainers = {}
            for number, (train, test) in enumerate(folds):
                x, y = stream(inputs[number], heart.y, train, np.random.default_rng([seed, number]))
                steps = -(-len(y) // BATCH)
                trainer = trainers.get(steps) or trainers.setdefault(
                    steps, trainer_of(subset, steps)
                )
                trainer.fit(x, y, seed=seed, batch_size=BATCH, shuffle=False)
                tested = {m: inputs[number][0][m][test] for m in subset}
                column[test] = trainer.predict(tested)[:, 0]
            block["+".join(subset)] = column.round(4)
            auc = np.mean([roc_auc_score(heart.y[t], column[t]) for _, t in folds])
            name = "+".join(subset)
            print(
                f"seed {seed} {name:14} {auc:.3f} {time.perf_counter() - started:5.0f} s",
                flush=True,
            )
        blocks.append(block)
        yield pd.concat(blocks)


def stream(
    inputs: list[dict[str, np.ndarray]], y: np.ndarray, train: np.ndarray, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """EPOCHS passes over the training patients in random order, each with another recording."""
    order = np.concatenate([rng.permutation(train) for _ in range(EPOCHS)])
    takes = np.repeat(1 + np.arange(EPOCHS) % len(RECORDINGS), len(train))
    out = {}
    for modality in MODALITIES:
        pile = np.empty((len(order), *inputs[0][modality].shape[1:]), inputs[0][modality].dtype)
        for take in np.unique(takes):
            here = takes == take
            pile[here] = inputs[take][modality][order[here]]
        out[modality] = pile
    return out, y[order]


class Best(keras.callbacks.Callback):
    """Keeps the weights with the highest AUC on validation data, and their step."""

    def __init__(self, x: dict[str, np.ndarray], y: np.ndarray) -> None:
        super().__init__()
        self.x, self.y = x, y
        self.auc, self.step, self.weights = -1.0, 0, []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        p = self.model.predict(self.x, batch_size=250, verbose=0)
        auc = roc_auc_score(self.y, p[:, 0])
        if auc > self.auc:
            self.auc, self.step = auc, (epoch + 1) * STEPS // CHECKS
            self.weights = self.model.get_weights()


def simulated(seeds: range) -> Iterator[pd.DataFrame]:
    """AUC by number of training patients, and that of the oracle, on 10,000 other patients."""
    valid, test = simulate_heart(VALID, seed=20_000), simulate_heart(10_000, seed=10_000)
    drawn = np.random.default_rng(0).multinomial(len(test), np.full(len(test), 1 / len(test)),
                                                 REPLICATES)  # fmt: skip
    trainers = {subset: trainer_of(subset, STEPS) for subset in SIMULATED}
    rows = []
    for seed in seeds:
        train = simulate_heart(max(SIZES), seed=seed)
        words = vocabulary(train.note[:1000])
        x, x_valid, x_test = (arrays(part, words) for part in (train, valid, test))
        for subset, trainer in trainers.items():
            posterior = test.posterior["+".join(subset)]
            oracle = roc_auc_score(test.y, posterior)
            best = weighted_auc(test.y, posterior, drawn)
            for n in SIZES:
                started = time.perf_counter()
                own = {m: x[m][:n] for m in subset}
                watch = Best({m: x_valid[m] for m in subset}, valid.y)
                fit_steps(trainer, own, train.y[:n], seed, watch)
                last = roc_auc_score(test.y, trainer.predict(x_test)[:, 0])
                trainer.model.set_weights(watch.weights)
                p = trainer.predict(x_test)[:, 0]
                auc = roc_auc_score(test.y, p)
                share = (weighted_auc(test.y, p, drawn) - 0.5) / (best - 0.5)
                low, high = np.quantile(share, [0.025, 0.975])
                gain = (auc - 0.5) / (oracle - 0.5)
                name = "+".join(subset)
                rows.append((name, n, seed, watch.step, last, auc, oracle, gain, low, high))
                spent = time.perf_counter() - started
                print(f"{name:14} {n:6} step {watch.step:4} last {last:.4f} best {auc:.4f} "
                      f"{oracle:.4f} {gain:.3f} ({low:.3f} to {high:.3f}) {spent:4.0f} s",
                      flush=True)  # fmt: skip
            columns = ["subset", "n", "seed", "best_step", "auc_last", "auc", "oracle"]
            columns += ["share_of_gain", "low", "high"]
            yield pd.DataFrame(rows, columns=columns).round(4)


def fit_steps(
    trainer: Trainer, x: dict[str, np.ndarray], y: np.ndarray, seed: int, watch: Best
) -> None:
    """Train on STEPS batches, whatever the number of patients, with a new order in each pass."""
    rng, wanted = np.random.default_rng(seed), STEPS * BATCH
    order = np.concatenate([rng.permutation(len(y)) for _ in range(-(-wanted // len(y)))])[:wanted]
    held = {m: tf.constant(values) for m, values in x.items()}, tf.constant(y)
    batches = tf.data.Dataset.from_tensor_slices(order).batch(BATCH)
    batches = batches.map(lambda rows: tf.nest.map_structure(lambda v: tf.gather(v, rows), held))
    steps = STEPS // CHECKS
    trainer.fit(
        batches.prefetch(2), seed=seed, epochs=CHECKS, steps_per_epoch=steps, callbacks=[watch]
    )


def weighted_auc(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC for each row of weights (replicates, n)."""
    (model,) = answers(y, {"it": p.astype(float)}).values()
    return METRICS["roc_auc"].weighted(model, weights.astype(float))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["folds", "hospitals", "simulated"])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    options = parser.parse_args()
    mm.start(seed=0)
    RESULTS.mkdir(exist_ok=True)
    seeds = range(1, 1 + options.seeds)
    if options.what == "simulated":
        tables = simulated(seeds)
    else:
        tables = real("patient" if options.what == "folds" else "hospital", seeds)
    for table in tables:  # written after each step, so that an interrupted run leaves some
        table.to_csv(RESULTS / f"heart_{options.what}.csv", index=False)
    if options.what == "simulated":
        print(
            table.pivot_table(
                index="subset", columns="n", values="share_of_gain", sort=False
            ).round(3)
        )
        return
    groups = ["seed", "hospital"] if options.what == "hospitals" else ["seed", "fold"]
    names = ["+".join(subset) for subset in subsets(MODALITIES)[1:]]
    auc = pd.DataFrame(
        {
            s: table.groupby(groups)[["disease", s]].apply(lambda g: roc_auc_score(*g.T.values))
            for s in names
        }
    )
    print(auc.groupby(groups[:1] if options.what == "folds" else groups[1:]).mean().round(3))
    print(auc.agg(["mean", "std"]).round(3))


if __name__ == "__main__":
    main()
