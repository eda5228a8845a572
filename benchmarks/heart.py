"""Every subset of note, ECG and scan on the heart cohort. Rendered signals, not for clinical use.

    python benchmarks/heart.py folds        5 folds by patient, 3 seeds
    python benchmarks/heart.py hospitals    one hospital left out at a time
    python benchmarks/heart.py simulated    simulated patients, 300 to 20,000, against the oracle

Each writes benchmarks/results/heart_<name>.csv, which the chapters read, and prints the table. On
two cores they take about 20, 10 and 30 minutes. The settings below were compared on the folds of
seed 0; the tables use seeds from 1 on: other folds of the same patients, other simulated patients.
"""

import argparse
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import mmkeras as mm
from mmkeras.datasets import Heart, load_heart, note_words, simulate_heart
from mmkeras.datasets.heart.model import MODALITIES
from mmkeras.evaluate import subsets

RESULTS = Path(__file__).parent / "results"
WORDS, LENGTH, UNITS = 400, 52, 32
RECORDINGS = range(1, 9)  # of the training patients; recording 0 is the one that is tested
EPOCHS, BATCH, RATE, DECAY, DROPOUT = 12, 32, 2e-3, 1e-3, 0.3
SIZES = (300, 1000, 3000, 10_000, 20_000)
STEPS = 2500  # most training steps on simulated patients; least epochs is 3


def build(
    subset: tuple[str, ...], steps: int, fusion: str = "concatenate", tokens: bool = False
) -> keras.Model:
    """The joint model of some modalities, compiled for so many steps in all."""
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
    """Model inputs by name; rows in the order of the cohort."""
    ids = np.asarray(words(note_words(heart.note)), "int32")
    return {"note": ids, "ecg": heart.ecg, "scan": heart.scan}


class Trainer:
    """One compiled model; each fit starts from new weights.

    The optimiser starts anew as well. The random stream of the dropout goes on, so that a fit
    depends on those before it: a whole run repeats itself, a single fit of it does not.
    """

    def __init__(self, make: Callable[[], keras.Model]) -> None:
        self.make = make
        self.model = make()
        self.modalities = [tensor.name for tensor in self.model.inputs]

    def reset(self, seed: int) -> None:
        """New weights, and an optimiser that has seen nothing."""
        keras.utils.set_random_seed(seed)
        self.model.set_weights(self.make().get_weights())
        for variable in self.model.optimizer.variables:
            if variable.path.split("/")[-1] != "learning_rate":
                variable.assign(keras.ops.zeros_like(variable))

    def fit(
        self, x: dict[str, np.ndarray], y: np.ndarray, epochs: int, seed: int, **kwargs: Any
    ) -> None:
        """From the start; rows are taken in the order given when epochs is 1, else shuffled.

        kwargs: for `keras.Model.fit`.
        """
        self.reset(seed)
        x = {m: x[m] for m in self.modalities}
        kwargs = {"batch_size": BATCH, "shuffle": epochs > 1, "verbose": 0, **kwargs}
        self.model.fit(x, y, epochs=epochs, **kwargs)

    def predict(self, x: dict[str, np.ndarray]) -> np.ndarray:
        """Probabilities, (rows, 1) or (rows, classes)."""
        x = {m: x[m] for m in self.modalities}
        return self.model.predict(x, batch_size=256, verbose=0)


def trainer_of(subset: tuple[str, ...], steps: int) -> Trainer:
    return Trainer(functools.partial(build, subset, steps))


def real(by: str, seeds: range) -> Iterator[pd.DataFrame]:
    """Out-of-fold probability of every patient, one column a subset, one block a seed."""
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
                trainer.fit(x, y, 1, seed)
                column[test] = trainer.predict({m: inputs[number][0][m][test] for m in subset})[
                    :, 0
                ]
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
    """EPOCHS passes over the training patients in random order, each pass another recording."""
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


def simulated(seeds: range) -> Iterator[pd.DataFrame]:
    """AUC of each subset by number of training patients, beside the oracle, on 10,000 others."""
    test = simulate_heart(10_000, seed=10_000)
    rows = []
    for seed in seeds:
        train = simulate_heart(max(SIZES), seed=seed)
        words = vocabulary(train.note[:1000])
        x, x_test = arrays(train, words), arrays(test, words)
        for subset in subsets(MODALITIES)[1:]:
            oracle = roc_auc_score(test.y, test.posterior["+".join(subset)])
            for n in SIZES:
                started = time.perf_counter()
                a_pass = -(-n // BATCH)
                epochs = int(np.clip(STEPS // a_pass, 3, 30))
                trainer = trainer_of(subset, epochs * a_pass)
                trainer.fit({m: x[m][:n] for m in subset}, train.y[:n], epochs, seed)
                auc = roc_auc_score(test.y, trainer.predict(x_test)[:, 0])
                gain = (auc - 0.5) / (oracle - 0.5)
                rows.append(("+".join(subset), n, seed, epochs, auc, oracle, gain))
                spent = time.perf_counter() - started
                print(
                    f"{rows[-1][0]:14} {n:6} {auc:.4f} {oracle:.4f} {gain:.3f} {spent:5.0f} s",
                    flush=True,
                )
            yield pd.DataFrame(
                rows, columns=["subset", "n", "seed", "epochs", "auc", "oracle", "share_of_gain"]
            ).round(4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["folds", "hospitals", "simulated"])
    parser.add_argument("--seeds", type=int, help="how many; default: folds 3, others 1")
    options = parser.parse_args()
    mm.start(seed=0)
    RESULTS.mkdir(exist_ok=True)
    if options.what == "simulated":
        tables = simulated(range(1, 1 + (options.seeds or 1)))
    elif options.what == "folds":
        tables = real("patient", range(1, 1 + (options.seeds or 3)))
    else:
        tables = real("hospital", range(1, 1 + (options.seeds or 1)))
    for table in tables:  # written after each step, so that a run cut short has left something
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
