"""Runs that are killed and resumed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import mmkeras as mm
from mmkeras.training import Resume, Trainer, prepare

RNG = np.random.default_rng(0)
X = {m: RNG.normal(size=(64, 5)).astype("float32") for m in ("text", "image")}
Y = RNG.integers(0, 3, 64)


def two_branches() -> keras.Model:
    keras.utils.set_random_seed(0)
    branches = [mm.vector_branch(5, units=4, name=m) for m in ("text", "image")]
    return mm.multimodal_model(branches, {"group": 3}, dropout=0.5)


SCRIPT = """
import os, sys, time
import mmkeras as mm
import keras, numpy as np, tensorflow as tf
from mmkeras.training import Resume
mm.multimodal_model, mm.vector_branch  # loads them

class Slow(keras.callbacks.Callback):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(self.seconds)

def train(folder, slow):
    mm.start(seed=0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)).astype("float32"), rng.integers(0, 3, 60)
    keras.utils.set_random_seed(0)
    text = mm.vector_branch(5, units=8, name="text")
    model = mm.multimodal_model([text], {"group": 3}, dropout=0.5)
    rate = keras.optimizers.schedules.CosineDecay(0.05, 60, warmup_target=0.1, warmup_steps=20)
    model.compile(keras.optimizers.AdamW(rate), "sparse_categorical_crossentropy")
    resume = Resume(folder, seed=5)
    data = resume.rows(60).batch(10).map(lambda i: ({"text": tf.gather(x, i)}, tf.gather(y, i)))
    model.fit(data.prefetch(2), initial_epoch=resume.done, epochs=10, verbose=0,
              shuffle=False, callbacks=[resume, Slow(slow)])
    np.savez(folder + ".npz", *model.get_weights(), loss=[h["loss"] for h in resume.history])

train(sys.argv[1], float(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows knows neither fork nor SIGKILL")
def test_a_run_that_is_killed_twice_ends_like_one_that_was_not(tmp_path: Path, forks: Any) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(mm.__file__).parent.parent)}
    env.pop("TF_ENABLE_ONEDNN_OPTS", None)  # as in the forks
    # No fork of the same process, so that it hashes strings differently.
    whole = [sys.executable, "-c", SCRIPT, str(tmp_path / "whole"), "0"]
    undisturbed = subprocess.Popen(whole, env=env, stdout=subprocess.DEVNULL)
    for epochs in (2, 5):
        run = forks.start(SCRIPT, tmp_path / "killed", 0.05, cwd=tmp_path)
        deadline = time.monotonic() + 120
        while Resume(tmp_path / "killed").done < epochs:
            os.kill(run, 0)  # it is there
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.1)  # into the next epoch
        os.kill(run, signal.SIGKILL)
        assert forks.wait() == -signal.SIGKILL
        assert epochs <= Resume(tmp_path / "killed").done < 10
    ran = forks.run(SCRIPT, tmp_path / "killed", 0, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert undisturbed.wait() == 0
    with np.load(tmp_path / "whole.npz") as want, np.load(tmp_path / "killed.npz") as got:
        assert len(want["loss"]) == 10 and set(want.files) == set(got.files)
        for name in want.files:
            np.testing.assert_array_equal(got[name], want[name], err_msg=name)


class Stop(keras.callbacks.Callback):
    """Raise in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.at, self.now = epoch, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.now = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.now == self.at and batch == 1:
            raise KeyboardInterrupt


def train(callback: Any, *more: Any, data: Any, first: int = 0) -> keras.Model:
    model = two_branches()
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(
        data, initial_epoch=first, epochs=4, verbose=0, shuffle=False, callbacks=[callback, *more]
    )
    return model


def batches(rows: tf.data.Dataset) -> tf.data.Dataset:
    return rows.batch(16).map(
        lambda i: ({m: tf.gather(x, i) for m, x in X.items()}, tf.gather(Y, i))
    )


@pytest.mark.usefixtures("eager")
def test_what_keras_restores_is_not_all(tmp_path: Path) -> None:
    """If this fails, Keras has learned to keep the state of dropout, and chapter 08 can say so."""

    def run(folder: str, *more: Any) -> keras.Model:
        fixed = batches(tf.data.Dataset.range(64))  # one order for all: only dropout differs
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / folder))
        return train(backup, *more, data=fixed)

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("cut", Stop(2))
    resumed = run("cut")
    gaps = [
        np.abs(a - b).max() for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True)
    ]
    assert max(gaps) > 1e-3


@pytest.mark.usefixtures("eager")
def test_resume_in_one_process_and_all_orders(tmp_path: Path) -> None:
    orders: dict[str, list[Any]] = {}

    def run(folder: str, *more: Any) -> keras.Model:
        resume = Resume(tmp_path / folder, seed=1)
        model = train(resume, *more, data=batches(resume.rows(64)), first=resume.done)
        orders[folder] = resume.history
        return model

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("cut", Stop(2))
    resumed = run("cut")
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert orders["whole"] == orders["cut"] and len(orders["cut"]) == 4


def test_every_epoch_has_every_row_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    seen: dict[int, list[list[int]]] = {}
    for seed in (0, 1):
        resume = Resume(tmp_path / str(seed), seed=seed)
        data, seen[seed] = resume.rows(50), []
        for epoch in range(3):
            resume.epoch.assign(epoch)
            seen[seed].append([int(i) for i in data])
    orders = seen[0] + seen[1]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 6
    assert int(resume.rows(50).cardinality()) == 50


@pytest.mark.usefixtures("eager")
def test_resume_refuses_a_wrong_start_and_another_model(tmp_path: Path) -> None:
    resume = Resume(tmp_path)
    assert resume.done == 0
    train(resume, data=batches(resume.rows(64)))
    assert Resume(tmp_path).done == 4 and set(resume.history[0]) == {"loss"}
    again = Resume(tmp_path)
    with pytest.raises(ValueError, match="begins at epoch 0, but 4 are done"):
        model = two_branches()
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(batches(again.rows(64)), epochs=6, verbose=0, shuffle=False, callbacks=[again])
    other = keras.Sequential([keras.Input((5,)), layers.Dense(3, name="d")])
    other.compile("sgd", "mse")
    with pytest.raises(ValueError, match="belongs to another model"):
        other.fit(X["text"], Y, initial_epoch=4, epochs=5, verbose=0, callbacks=[Resume(tmp_path)])


@pytest.mark.usefixtures("eager")
def test_a_kill_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume = Resume(tmp_path)
    train(resume, data=batches(resume.rows(64)))
    before = (tmp_path / "state.npz").read_bytes()

    def half(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError("killed")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="killed"):
        resume.on_epoch_end(4)
    assert (tmp_path / "state.npz").read_bytes() == before and Resume(tmp_path).done == 4


# --- Trainer: compiled once, trained many times -------------------------------------------------


def busy() -> keras.Model:
    """All that has a state: batch norm, dropout in two places, a schedule, two heads."""
    text, image = keras.Input((6,), dtype="int32", name="text"), keras.Input((5,), name="image")
    h = layers.SpatialDropout1D(0.2)(layers.Embedding(9, 3)(text))
    seen = layers.BatchNormalization()(layers.Dense(4, use_bias=False)(image))
    z = layers.Concatenate()([layers.Flatten()(h), seen])
    z = layers.GaussianNoise(0.1)(layers.Dropout(0.5)(z))
    heads = [layers.Dense(3, "softmax", name="group")(z), layers.Dense(1, name="size")(z)]
    model = keras.Model([text, image], heads)
    rate = keras.optimizers.schedules.CosineDecay(0.05, 20)
    losses = ["sparse_categorical_crossentropy", "mse"]
    model.compile(keras.optimizers.AdamW(rate), losses, metrics=[["accuracy"], ["mae"]])
    return model


BUSY = {"text": RNG.integers(0, 9, (50, 6)), "image": RNG.normal(size=(50, 5)).astype("float32")}
HEADS = RNG.integers(0, 3, 50), RNG.normal(size=50).astype("float32")
WEIGHT = RNG.random(50).astype("float32")


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer(busy)


def built_and_fitted(seed: int, *args: Any, **kwargs: Any) -> keras.Model:
    """What a trainer must give, without a graph."""
    keras.utils.set_random_seed(seed)
    model = busy()
    model.run_eagerly = True
    model.fit(*args, verbose=0, **kwargs)
    return model


def same(one: keras.Model, other: keras.Model) -> bool:
    pairs = zip(_state(one), _state(other), strict=True)
    return all(np.allclose(a, b, atol=1e-5) for a, b in pairs)


def _state(model: keras.Model) -> list[np.ndarray]:
    """Weights, states of random numbers, and the optimiser's."""
    generators = [v for v in model.variables if "seed" in v.path]
    return [np.array(v) for v in [*model.weights, *generators, *model.optimizer.variables]]


@pytest.mark.parametrize("seed", [0, 7])
def test_a_restart_is_a_model_just_built(trainer: Trainer, seed: int) -> None:
    trainer.fit(BUSY, HEADS, seed=3)
    trainer.restart(seed)
    keras.utils.set_random_seed(seed)
    fresh = busy()
    fresh.optimizer.build(fresh.trainable_variables)
    assert same(trainer.model, fresh)
    assert len([v for v in fresh.variables if "seed" in v.path]) >= 3, "dropout twice, and noise"


def test_a_fit_is_build_and_fit_whatever_was_trained_before(trainer: Trainer) -> None:
    seed = 7  # the next tests have others, among them 0, whose first weights are there already
    options = {"epochs": 2, "batch_size": 16, "shuffle": False}
    want = built_and_fitted(seed, BUSY, HEADS, **options)
    for before in ({"epochs": 1}, {"epochs": 3, "batch_size": 8}):
        trainer.fit(BUSY, HEADS, seed=5, **before)
        trainer.model.optimizer.iterations.assign(99)
        history = trainer.fit(BUSY, HEADS, seed=seed, **options)
        assert same(trainer.model, want)
    assert len(history.history["loss"]) == 2
    np.testing.assert_allclose(
        trainer.predict(BUSY)[0], want.predict(BUSY, verbose=0)[0], atol=1e-5
    )
    trainer.fit(BUSY, HEADS, seed=seed + 1, **options)
    assert not same(trainer.model, want)


def test_a_step_is_traced_once_if_its_variables_are_there_before() -> None:
    """Keras creates those of losses, metrics and the optimiser in the first step, traced twice."""
    traced = []

    class Counted(keras.Model):
        def train_step(self, data: Any) -> Any:
            traced.append(self)
            return super().train_step(data)

    def build() -> keras.Model:
        port = keras.Input((3,))
        heads = {name: keras.layers.Dense(1, name=name)(port) for name in ("a", "b")}
        model = Counted(port, heads)
        model.compile("adam", {"a": "mse", "b": "mae"}, metrics={"a": ["mae"], "b": []})
        return model

    x, rng = np.ones((8, 3), "float32"), np.random.default_rng(0)
    y = {name: rng.random((8, 1)).astype("float32") for name in ("a", "b")}
    keras.utils.set_random_seed(0)
    plain, ready = build(), build()
    ready.set_weights(plain.get_weights())
    prepare(ready, x, y)
    for model in (plain, ready):
        model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    assert traced == [plain, plain, ready]
    assert same(plain, ready)
    kept = Trainer(build)
    kept.fit(x, y, seed=0, epochs=2, batch_size=4)
    assert traced.count(kept.model) == 1


def test_rows_are_shuffled_by_the_seed_anew_in_each_epoch(trainer: Trainer) -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.permutation(50) for _ in range(2)])
    assert not (rows[:50] == rows[50:]).all()
    part = {name: values[rows] for name, values in BUSY.items()}
    want = built_and_fitted(0, part, [y[rows] for y in HEADS], batch_size=10, shuffle=False)
    trainer.fit(BUSY, HEADS, seed=0, epochs=2, batch_size=10)
    assert same(trainer.model, want)


def test_metrics_read_in_one_call_are_those_of_keras() -> None:
    """From the second fit on; the methods of Keras are back afterwards."""
    trainer = Trainer(busy)
    options: dict[str, Any] = {"epochs": 3, "batch_size": 16, "validation_data": (BUSY, HEADS)}
    logs = [trainer.fit(BUSY, HEADS, seed=0, **options).history for _ in range(3)]
    assert logs[0].keys() == logs[1].keys() == logs[2].keys() and len(logs[0]) >= 4
    for name, values in logs[0].items():
        np.testing.assert_allclose([log[name] for log in logs[1:]], [values] * 2, rtol=1e-5)
        assert "loss" not in name or len(set(values)) == 3, f"{name} is read anew in each epoch"
    assert "reset_metrics" not in vars(trainer.model)
    trainer.model.compile("sgd", ["sparse_categorical_crossentropy", "mse"], metrics=[[], ["mse"]])
    again = trainer.model.fit(BUSY, list(HEADS), verbose=0).history
    assert "size_mse" in again and "size_mae" not in again, "the metrics of a new compile"


def test_a_fit_takes_weights_of_rows_and_datasets(trainer: Trainer) -> None:
    weights = [WEIGHT, WEIGHT]
    want = built_and_fitted(1, BUSY, list(HEADS), sample_weight=weights, shuffle=False)
    trainer.fit(BUSY, list(HEADS), seed=1, sample_weight=tuple(weights), shuffle=False)
    assert same(trainer.model, want)
    batches = tf.data.Dataset.from_tensor_slices((BUSY, HEADS, tuple(weights))).batch(32)
    trainer.fit(batches, seed=1)
    assert same(trainer.model, want)


def test_a_fit_stops_early_on_validation_rows(trainer: Trainer) -> None:
    stop = keras.callbacks.EarlyStopping("val_loss", patience=0, min_delta=100.0)
    more = {**BUSY, "audio": np.zeros(50)}  # an input that the model does not have
    history = trainer.fit(
        more, HEADS, seed=2, epochs=9, validation_data=(more, HEADS), callbacks=[stop]
    )
    assert len(history.history["val_loss"]) == 2


def test_a_trainer_predicts_in_one_batch_or_in_many(trainer: Trainer) -> None:
    more = {**BUSY, "audio": np.zeros(50)}
    at_once, in_parts = trainer.predict(more), trainer.predict(more, batch_size=16)
    for one, other in zip(at_once, in_parts, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_trainer_answers_alike_once_it_has_made_a_graph_of_the_model() -> None:
    trainer, wide = Trainer(two_branches_compiled), {m: x.astype("float64") for m, x in X.items()}
    for seed in range(2):  # the graph reads the weights that the model has now
        trainer.restart(seed)
        want = np.asarray(trainer.model(X, training=False))
        for rows in (64, 1, 7, 64, 33, 2):
            got = trainer.predict({m: x[:rows] for m, x in wide.items()})
            np.testing.assert_allclose(got, want[:rows], atol=1e-5)
    assert trainer._graph is not None and trainer._calls == 12


def test_a_trainer_leaves_the_random_numbers_of_python_alone() -> None:
    random.seed(11)
    want = random.random()
    random.seed(11)
    Trainer(two_branches_compiled).restart(1)
    assert random.random() == want


def two_branches_compiled() -> keras.Model:
    branches = [mm.vector_branch(5, units=4, name=m) for m in ("text", "image")]
    model = mm.multimodal_model(branches, {"group": 3}, dropout=0.5)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def test_a_trainer_says_what_it_lacks(trainer: Trainer) -> None:
    with pytest.raises(ValueError, match="must return a compiled model"):
        Trainer(two_branches)
    with pytest.raises(ValueError, match=r"\['text', 'image'\]; x lacks \['image'\]"):
        trainer.fit({"text": BUSY["text"]}, HEADS, seed=0)
    with pytest.raises(ValueError, match="seed"):
        trainer.fit(BUSY, HEADS, seed=-1)
