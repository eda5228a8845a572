"""Explanations against the truth: simulated heart patients whose exact effects are known.

    python benchmarks/explanations.py run      # three seeds; a quarter of an hour on two cores
    python benchmarks/explanations.py show     # print the stored tables

A seed draws 2,000 patients to learn from (6 epochs), 150 to explain, and the initial weights. Note,
ECG and scan are read by convolutions and concatenated. The truth about a patient is
`Heart.effects`: what each of nine regions (five values and the opening of the note, the ECG, the
two halves of the scan) adds to the exact log-odds. Each method attributes the log-odds of the model
to words, samples and pixels, or to regions; what it gives to the parts of a region is added up.

Writes three tables into benchmarks/results:

- explanations_effects.csv: a row per seed, method and patient, with a column per region, and the
  seconds that the method took for all patients. Method "truth" holds the exact effects.
- explanations_changes.csv: one value of a patient changed, the same noise rendered again: the
  change of the model's log-odds beside that of the exact ones.
- explanations_curves.csv: the model's log-odds while the regions are deleted, or inserted, in the
  order of some methods, and in the order of the exact effects.

`explanations_attention.py` does the same with networks that attend.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers

import mmkeras as mm
from mmkeras import explain
from mmkeras.datasets.heart import model as truth_of
from mmkeras.files import one_at_a_time

RESULTS = Path(__file__).parent / "results"
SEEDS, LEARN, ASK, EPOCHS, BATCH = (1, 2, 3), 2000, 150, 6, 32
WORDS, LENGTH, UNITS, RATE = 400, 52, 32, 3e-3
REGIONS = tuple(truth_of.REGIONS)
LAST = {"note": "windows_only", "ecg": "relu3", "scan": "relu3"}  # the last maps of the branches
OTHERS, ORDERS, STEPS, DRAWS = 4, 6, 16, 200
# A value of each region, and the level that a patient gets instead of the own one.
CHANGED = {
    "cp": ("asymptomatic", "atypical angina"),
    "exang": (1.0, 0.0),
    "restecg": ("lv hypertrophy", "normal"),
    "oldpeak": (3.0, 0.0),
    "thal": ("reversible defect", "normal"),
    "ca": (2.0, 0.0),
}
Inputs = dict[str, np.ndarray]


# ------------------------------------------------------------------------------ data and model


class Reader:
    """Notes become ids of words that the patients to learn from have."""

    def __init__(self, notes: np.ndarray) -> None:
        self.layer = layers.TextVectorization(
            WORDS, output_sequence_length=LENGTH, standardize=None
        )
        self.layer.adapt(mm.datasets.note_words(notes))

    def __call__(self, heart: Any) -> Inputs:
        ids = np.asarray(self.layer(mm.datasets.note_words(heart.note)), "int32")
        return {"note": ids, "ecg": heart.ecg, "scan": heart.scan.astype("float32")}


def network() -> keras.Model:
    parts = [
        mm.text_branch(WORDS, LENGTH, encoder="conv", units=UNITS, name="note"),
        mm.signal_branch(1250, units=UNITS, name="ecg"),
        mm.image_branch((64, 64, 1), encoder="small", units=UNITS, name="scan"),
    ]
    return mm.multimodal_model(parts, {"disease": "binary"}, dropout=0.3)


def trained(x: Inputs, y: np.ndarray, seed: int, epochs: int = EPOCHS) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = network()
    rate = keras.optimizers.schedules.CosineDecay(RATE, epochs * (len(y) // BATCH))
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), "binary_crossentropy")
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def regions_of(heart: Any) -> explain.Regions:
    """The nine regions: the words of each note, the whole ECG, the halves of the scan."""
    note = np.full((len(heart), LENGTH), -1)
    for row, names in zip(note, heart.word_regions, strict=True):
        codes = [REGIONS.index(name) for name in names[:LENGTH]]
        row[: len(codes)] = codes
    scan = np.full((1, 64, 64, 1), REGIONS.index("thal"))
    scan[:, 32:] = REGIONS.index("ca")
    return explain.Regions(
        {"note": note, "ecg": np.full((1, 1250), REGIONS.index("ecg")), "scan": scan}, REGIONS
    )


# ------------------------------------------------------------------------------ the methods


def mean_row(x: Inputs) -> Inputs:
    """The mean ECG and scan; of the note, whose ids have no mean, padding."""
    return {k: np.zeros_like(v[:1]) if k == "note" else v.mean(0, keepdims=True)
            for k, v in x.items()}  # fmt: skip


def slopes(model: keras.Model, x: Inputs, times_input: bool) -> Inputs:
    """The size of the slopes, or slopes times inputs; of a word, over its vector."""
    found, values = explain.gradients(model, x)
    if times_input:
        found = {k: v * values[k] for k, v in found.items()}
        return {**found, "note": found["note"].sum(-1)}
    return {**{k: np.abs(v) for k, v in found.items()},
            "note": np.linalg.norm(found["note"], axis=-1)}  # fmt: skip


def grad_cam(model: keras.Model, x: Inputs, *, signed: bool) -> Inputs:
    """Grad-CAM (Selvaraju et al. 2017) of the three branches, spread over words, samples, pixels.

    A map is Σ_k a_k A_k, where A_k is channel k of the last convolution and a_k the mean slope of
    the log-odds with respect to it; unless `signed`, what is below 0 becomes 0.
    """
    kernel, found, start = model.get_layer("disease").kernel, {}, 0
    for name, layer in LAST.items():
        branch = model.get_layer(f"{name}_encoder")
        convolved = branch.get_layer(layer).output
        maps = keras.Model(branch.input, convolved)(x[name])
        rest = keras.Model(convolved, branch.output)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            log_odds = tf.matmul(rest(maps), kernel[start : start + UNITS])
        start += UNITS
        places = list(range(1, len(maps.shape) - 1))
        slope = tf.reduce_mean(tape.gradient(log_odds, maps), places, keepdims=True)
        found[name] = tf.reduce_sum(slope * maps, -1).numpy()
        found[name] = found[name] if signed else np.maximum(found[name], 0)
    found["scan"] = found["scan"].repeat(8, 1).repeat(8, 2)[..., None] / 64
    found["ecg"] = found["ecg"].repeat(20, 1)[:, : x["ecg"].shape[1]] / 20
    return found


def surrogate(model: keras.Model, x: Inputs, parts: Any, others: Inputs, seed: int) -> np.ndarray:
    """LIME's idea: a ridge regression on which regions were kept, weighted by how many."""
    rng, size = np.random.default_rng(seed), len(parts)
    keep = rng.random((DRAWS, size)) < rng.random((DRAWS, 1))
    game = explain.removal._Game(model, x, parts, others, None, None, 256)
    answers = np.stack([game.value(one) for one in keep])  # (draws, n)
    weight = np.exp(-((1 - keep.mean(1)) ** 2) / 0.25)[:, None]
    design = np.column_stack([np.ones(DRAWS), keep]) * np.sqrt(weight)
    penalty = np.diag([0.0, *np.ones(size)])
    return np.linalg.solve(
        design.T @ design + penalty, design.T @ (answers * np.sqrt(weight))
    )[1:].T  # fmt: skip


def methods(model: keras.Model, x: Inputs, parts: Any, learn: Inputs, seed: int) -> dict[str, Any]:
    """Name → function without arguments, which gives float (n, 9)."""
    rng = np.random.default_rng(seed)
    zero = {k: np.zeros_like(v[:1]) for k, v in x.items()}
    picked = rng.choice(len(learn["ecg"]), OTHERS, replace=False)
    others = {k: v[picked] for k, v in learn.items()}
    mean = mean_row(learn)
    floats = {k: v for k, v in mean.items() if k != "note"}
    padded = {**others, "note": np.zeros_like(others["note"])}

    def integrated(baseline: Any) -> Callable[[], np.ndarray]:
        return lambda: parts.sums(
            explain.integrated_gradients(model, x, baseline=baseline, steps=STEPS).parts
        )

    def occluded(by: Inputs) -> Callable[[], np.ndarray]:
        return lambda: explain.occlusion(model, x, parts, by)

    return {
        "random": lambda: rng.normal(size=(len(x["ecg"]), len(parts))),
        "gradient": lambda: parts.sums(slopes(model, x, False)),
        "gradient × input": lambda: parts.sums(slopes(model, x, True)),
        "Grad-CAM": lambda: parts.sums(grad_cam(model, x, signed=False)),
        "Grad-CAM, signed": lambda: parts.sums(grad_cam(model, x, signed=True)),
        "integrated gradients, from zeros": integrated(None),
        "integrated gradients, from the mean": integrated(floats),
        "integrated gradients, from padding and 4 patients": lambda: np.mean(
            [
                integrated({k: v[i : i + 1] for k, v in others.items() if k != "note"})()
                for i in range(OTHERS)
            ],
            axis=0,
        ),
        "occlusion by zeros": occluded(zero),
        "occlusion by the mean": occluded(mean),
        "occlusion by padding and 4 patients": occluded(padded),
        "occlusion by 4 patients": occluded(others),
        "Shapley, 4 patients": lambda: explain.shapley(
            model, x, parts, others, permutations=ORDERS, seed=seed
        ),
        "local surrogate, 4 patients": lambda: surrogate(model, x, parts, others, seed),
    }


# ------------------------------------------------------------------------------ the runs


def effects(seed: int) -> None:
    """The three tables of one seed."""
    learn = mm.datasets.simulate_heart(LEARN, seed=100 + seed)
    ask = mm.datasets.simulate_heart(ASK, seed=200 + seed)
    read = Reader(learn.note)
    x, learned = read(ask), read(learn)
    model = trained(learned, learn.y, seed)
    parts = regions_of(ask)
    found = [rows_of(seed, "truth", ask.effects.to_numpy(), 0.0)]
    scores: dict[str, np.ndarray] = {"truth": ask.effects.to_numpy()}
    for name, method in methods(model, x, parts, learned, seed).items():
        began = time.process_time()
        scores[name] = method()
        found.append(rows_of(seed, name, scores[name], time.process_time() - began))
        print(seed, name, round(correlation(scores[name], scores["truth"]), 3), flush=True)
    answer = explain.Answer(model)(x)
    whole = rows_of(seed, "answer", np.tile(answer[:, None], len(REGIONS)), 0.0)
    keep("explanations_effects.csv", seed, pd.concat([*found, whole]))
    keep("explanations_changes.csv", seed, changes(seed, model, read, ask))
    # Not the patients by which regions were occluded: these would favour their own order.
    picked = np.random.default_rng(1000 + seed).choice(LEARN, OTHERS, replace=False)
    others = {k: v[picked] for k, v in learned.items()}
    curves = []
    for name in ("truth", "random", "gradient × input", "occlusion by 4 patients",
                 "Shapley, 4 patients"):  # fmt: skip
        signed = scores[name] * np.sign(answer)[:, None]  # what speaks for the answer goes first
        for kind in ("deletion", "insertion"):
            way = explain.deletion_curve(
                model, x, parts, others, signed, insert=kind == "insertion"
            )
            mean = (way * np.sign(answer)[:, None]).mean(0)
            curves.append(pd.DataFrame(mean[None]).assign(seed=seed, method=name, kind=kind))
    keep("explanations_curves.csv", seed, pd.concat(curves))


def rows_of(seed: int, method: str, values: np.ndarray, seconds: float) -> pd.DataFrame:
    table = pd.DataFrame(values, columns=list(REGIONS))
    return table.assign(seed=seed, method=method, patient=range(len(table)), seconds=seconds)


def changes(seed: int, model: keras.Model, read: Reader, heart: Any) -> pd.DataFrame:
    """Each value set to one level and to another, everything else and the noise the same."""
    answer, found = explain.Answer(model), []
    for value, levels in CHANGED.items():
        told, exact = [], []
        for level in levels:
            table = heart.table.assign(**{value: level})
            posterior = truth_of.posterior(table, None)["note+ecg+scan"].to_numpy()
            told.append(answer(read(type(heart)(table))))
            exact.append(np.log(posterior) - np.log1p(-posterior))
        rows = {"seed": seed, "value": value, "patient": range(len(heart))}
        moved = {"model": told[0] - told[1], "truth": exact[0] - exact[1]}
        found.append(pd.DataFrame(rows | moved))
    return pd.concat(found)


def correlation(found: np.ndarray, truth: np.ndarray) -> float:
    """Of all effects of all patients."""
    return float(np.corrcoef(found.ravel(), truth.ravel())[0, 1])


def keep(name: str, seed: int, table: pd.DataFrame) -> None:
    """Replace the rows of a seed; seeds may run beside each other."""
    path = RESULTS / name
    table.columns = [str(column) for column in table.columns]
    with one_at_a_time(path):
        old = pd.read_csv(path) if path.exists() else pd.DataFrame({"seed": []})
        old = old[old["seed"] != seed]
        whole = pd.concat([old, table] if len(old) else [table]).round(4)
        whole.sort_values("seed", kind="stable").to_csv(path, index=False)


def show() -> None:
    table = pd.read_csv(RESULTS / "explanations_effects.csv")
    columns = list(REGIONS)
    for seed, block in table.groupby("seed"):
        truth = block[block["method"] == "truth"][columns].to_numpy()
        for method, part in block.groupby("method", sort=False):
            r = correlation(part[columns].to_numpy(), truth)
            print(seed, f"{method:45} r {r:.2f}  {part['seconds'].iloc[0]:.1f} s")
    changed = pd.read_csv(RESULTS / "explanations_changes.csv")
    by = changed.groupby(["seed", "value"])
    print(by.apply(lambda part: part[["model", "truth"]].mean()).round(2))
    print(pd.read_csv(RESULTS / "explanations_curves.csv").round(2).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("run", "show"))
    parser.add_argument("--seed", type=int, choices=SEEDS, help="only this one")
    options = parser.parse_args()
    if options.what == "show":
        show()
    else:
        mm.start(0)
        for seed in [options.seed] if options.seed else SEEDS:
            effects(seed)
