"""Does attention explain? Networks that attend, where it is known what they should look at.

    python benchmarks/explanations_attention.py patients   # three seeds; five minutes
    python benchmarks/explanations_attention.py scenes     # three splits; five minutes
    python benchmarks/explanations_attention.py show       # print the stored tables

Patients: those of `explanations.py`, with the same seeds. One answer token attends to the tokens of
note, ECG and scan, in two blocks. What it looks at is graded by the exact effects, and so are
occlusion and integrated gradients on the same network. Writes explanations_attention.csv, as
explanations_effects.csv.

Scenes: the assistant of chapter 14, whose question is about one of four cells. Each cell of a test
scene has the attention of the spoken question to it, and the loss of the log-odds of the reply when
the cell is taken from other scenes. Writes explanations_scenes.csv, a row per test scene. The
stored table is of an earlier recipe of chapter 14, on its splits 31 to 33; run again, this takes
the splits and the recipe of `scenes.py` as they are now.
"""

import argparse
from typing import Any

import explanations as base
import keras
import numpy as np
import pandas as pd
from keras import layers
from scene_models import MODELS, Data, attention_of, build, fit
from scenes import SPLITS
from scenes import STEPS as SCENE_STEPS
from sklearn.metrics import roc_auc_score

import mmkeras as mm
from mmkeras import explain
from mmkeras.attention import AttentionBlock

BLOCKS, EPOCHS, RATE = ("block1", "block2"), 12, 2e-3


# ------------------------------------------------------------------------------ patients


@keras.saving.register_keras_serializable("mmkeras-benchmarks")
class AnswerFirst(layers.Layer):
    """An answer token before the others, and a learned vector for each place: (b, n, d) →
    (b, 1 + n, d)."""

    def build(self, shape: Any) -> None:
        size = (1, 1 + shape[1], shape[2])
        self.place = self.add_weight(shape=size, initializer="random_normal", name="place")

    def call(self, x: Any) -> Any:
        return keras.ops.pad(x, [[0, 0], [1, 0], [0, 0]]) + self.place


def attentive() -> tuple[keras.Model, keras.Model]:
    """A network of two blocks, and one that gives what each block reads, and the mask."""
    branches = [
        mm.text_branch(
            base.WORDS, base.LENGTH, encoder="conv", units=base.UNITS, tokens=True, name="note"
        ),
        mm.signal_branch(1250, units=base.UNITS, tokens=True, name="ecg"),
        mm.image_branch((64, 64, 1), encoder="small", units=base.UNITS, tokens=True, name="scan"),
    ]
    inputs = [keras.Input(b.input.shape[1:], dtype=b.input.dtype, name=b.name) for b in branches]
    encoders = [keras.Model(b.input, b.output, name=f"{b.name}_encoder") for b in branches]
    x = keras.ops.concatenate([e(i) for e, i in zip(encoders, inputs, strict=True)], axis=1)
    there = keras.ops.pad(keras.ops.cast(inputs[0] > 0, "float32"),
                          [[0, 0], [1, x.shape[1] - base.LENGTH]], constant_values=1.0)  # fmt: skip
    read = [AnswerFirst(name="answer_first")(x)]
    for name in BLOCKS:
        read.append(AttentionBlock(heads=4, name=name)(read[-1], mask=there))
    told = layers.LayerNormalization(name="last_norm")(read[-1])[:, 0]
    out = layers.Dense(1, "sigmoid", name="disease")(layers.Dropout(0.3)(told))
    return keras.Model(inputs, out), keras.Model(inputs, [there, *read[:-1]])


def looks(model: keras.Model, reads: keras.Model, x: base.Inputs) -> np.ndarray:
    """The weights of both blocks, (n, 2, heads, 1 + tokens, 1 + tokens)."""
    there, *read = reads.predict(x, verbose=0)
    found = []
    for name, tokens in zip(BLOCKS, read, strict=True):
        block = model.get_layer(name)
        calm = block.norms[0](tokens)
        found.append(block.attention(calm, calm, there, return_attention_scores=True)[1].numpy())
    return np.stack(found, axis=1)


def rollout(weights: np.ndarray) -> np.ndarray:
    """Attention rollout (Abnar & Zuidema 2020): (b, layers, heads, t, t) → (b, t), what the answer
    token draws from each token if every block passes half of it on unchanged."""
    flow = np.eye(weights.shape[-1])[None]
    for layer in range(weights.shape[1]):
        flow = (0.5 * weights[:, layer].mean(1) + 0.5 * np.eye(weights.shape[-1])) @ flow
    return flow[:, 0]


def of_tokens(tokens: np.ndarray, parts: Any) -> np.ndarray:
    """The sum over the tokens of each region, (n, 9); tokens without the answer's own."""
    note, ecg, scan = np.split(tokens, [base.LENGTH, tokens.shape[1] - 64], axis=1)
    spread = {"note": note, "ecg": ecg, "scan": scan}
    halves = np.repeat([base.REGIONS.index("thal"), base.REGIONS.index("ca")], 32)[None]
    whole = np.full((1, ecg.shape[1]), base.REGIONS.index("ecg"))
    labels = {"note": parts.labels["note"], "ecg": whole, "scan": halves}
    return explain.Regions(labels, base.REGIONS).sums(spread)


def patients(seed: int) -> None:
    """The table of one network that attends."""
    learn = mm.datasets.simulate_heart(base.LEARN, seed=100 + seed)
    ask = mm.datasets.simulate_heart(base.ASK, seed=200 + seed)
    read = base.Reader(learn.note)
    x, learned, parts = read(ask), read(learn), base.regions_of(ask)
    keras.utils.set_random_seed(seed)
    model, reads = attentive()
    first = looks(model, reads, x)  # with random weights
    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * (base.LEARN // base.BATCH))
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), "binary_crossentropy")
    model.fit(learned, learn.y, batch_size=base.BATCH, epochs=EPOCHS, verbose=0)
    answer, weights = explain.Answer(model)(x), looks(model, reads, x)
    print(seed, "AUC", roc_auc_score(ask.y, answer), "of the best possible",
          roc_auc_score(ask.y, ask.posterior["note+ecg+scan"]), flush=True)  # fmt: skip
    picked = np.random.default_rng(seed).choice(base.LEARN, base.OTHERS, replace=False)
    others = {k: v[picked] for k, v in learned.items()}
    padded = {**others, "note": np.zeros_like(others["note"])}
    even = (x["note"] > 0).astype(float)
    even = np.concatenate([even, np.ones((base.ASK, weights.shape[-1] - 1 - base.LENGTH))], axis=1)
    scores = {
        "truth": ask.effects.to_numpy(),
        "answer": np.tile(answer[:, None], len(base.REGIONS)),
        "the same weight for each token": of_tokens(even, parts),
        "attention, last block": of_tokens(weights[:, 1].mean(1)[:, 0, 1:], parts),
        "attention rollout": of_tokens(rollout(weights)[:, 1:], parts),
        "attention rollout, random weights": of_tokens(rollout(first)[:, 1:], parts),
        "integrated gradients, from zeros": parts.sums(
            explain.integrated_gradients(model, x, steps=base.STEPS).parts
        ),
        "occlusion by padding and 4 patients": explain.occlusion(model, x, parts, padded),
    }
    for name, values in scores.items():
        print(seed, name, round(base.correlation(np.abs(values), np.abs(scores["truth"])), 3))
    rows = [base.rows_of(seed, name, values, 0.0) for name, values in scores.items()]
    base.keep("explanations_attention.csv", seed, pd.concat(rows).drop(columns="seconds"))


# ------------------------------------------------------------------------------ scenes


def scenes(artist: str) -> None:
    """The table of one split."""
    seed = SPLITS[artist]
    drawn = mm.datasets.load_scenes(held_out_artist=artist, seed=seed)
    data, test = Data(drawn), drawn.split()[2]
    keras.utils.set_random_seed(seed)
    model = build(MODELS[2], 2 + len(data.words.number))
    x, learned = data.x("test"), data.x("train")
    first = attention_of(model).predict(x, batch_size=500, verbose=0).mean(axis=1)
    fit(model, learned, data.y("train"), SCENE_STEPS, seed)
    looked = attention_of(model).predict(x, batch_size=500, verbose=0).mean(axis=1)
    parts = explain.regions(x, {"image": 4})
    picked = np.random.default_rng(seed).choice(len(learned["image"]), base.OTHERS, replace=False)
    others = {name: values[picked] for name, values in learned.items()}
    lost = explain.occlusion(model, x, parts, others, head="reply", batch_size=500)
    given = model.predict(x, batch_size=500, verbose=0)["reply"].argmax(axis=1)
    table = pd.DataFrame({"artist": artist, "scene": range(len(x["image"])), "clip": test.clip})
    table = table.assign(meant=test.meant, y=test.y, reply=given)
    for name, values in {"first": first, "attention": looked, "occlusion": lost}.items():
        table[[f"{name}_{cell}" for cell in range(4)]] = values
    print(artist, len(table), "right", (given == test.y).mean(), flush=True)
    base.keep("explanations_scenes.csv", seed, table.assign(seed=seed))


def show() -> None:
    table, names = pd.read_csv(base.RESULTS / "explanations_attention.csv"), list(base.REGIONS)
    for (seed, method), part in table.groupby(["seed", "method"], sort=False):
        truth = table[(table["seed"] == seed) & (table["method"] == "truth")]
        r = base.correlation(part[names].abs().to_numpy(), truth[names].abs().to_numpy())
        print(seed, f"{method:45} r of the sizes {r:.2f}")
    table = pd.read_csv(base.RESULTS / "explanations_scenes.csv")
    for name in ("first", "attention", "occlusion"):
        most = table[[f"{name}_{cell}" for cell in range(4)]].to_numpy().argmax(axis=1)
        hit = (most == table["meant"]).groupby([table["artist"], table["y"] == table["reply"]])
        print(name, hit.mean().round(3).to_dict())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("patients", "scenes", "show"))
    parser.add_argument("--only", help="one seed, or one artist")
    options = parser.parse_args()
    if options.what == "show":
        show()
    else:
        mm.start(0)
        for case in base.SEEDS if options.what == "patients" else SPLITS:
            if options.only in (None, str(case)):
                patients(case) if isinstance(case, int) else scenes(case)
