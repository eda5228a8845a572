"""The gradient knob, the two rules that turn it, and runs that are killed and resumed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import mmkeras as mm
from mmkeras.training import (
    GradientBlending,
    GradientModulation,
    GradientScale,
    Resume,
    blending_weights,
    gradient_scales,
    ogm_coefficients,
    overfitting_to_generalisation,
    scaled,
)

RNG = np.random.default_rng(0)
X = {m: RNG.normal(size=(64, 5)).astype("float32") for m in ("text", "image")}
Y = RNG.integers(0, 3, 64)


def two_branches(
    text: keras.Model | None = None, *, seed: int = 0, dropout: float = 0.0
) -> keras.Model:
    keras.utils.set_random_seed(seed)
    branches = [scaled(mm.vector_branch(5, units=4, name=m)) for m in ("text", "image")]
    return mm.multimodal_model(branches, {"group": 3}, dropout=dropout)


# --- GradientScale -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (7, 3), (4, 4, 2)])
@pytest.mark.parametrize("scale", [0.0, 0.3, 2.0])
def test_the_scale_changes_the_gradient_and_not_the_value(
    shape: tuple[int, ...], scale: float
) -> None:
    x = tf.constant(RNG.normal(size=(2, *shape)), "float32")
    layer = GradientScale(scale)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(y**3)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_allclose(tape.gradient(loss, x), scale * 3 * x.numpy() ** 2, rtol=1e-5)
    assert layer.count_params() == 1 and not layer.trainable_variables


def test_a_bad_scale_is_refused() -> None:
    for bad in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="scale must be at least 0"):
            GradientScale(bad)


def test_behind_a_head_it_is_a_loss_weight() -> None:
    def build(scale: float | None) -> keras.Model:
        keras.utils.set_random_seed(3)
        x = keras.Input((5,), name="x")
        h = layers.Dense(4, name="h")(x)
        outputs = {}
        for name, factor in {"a": 1.0, "b": scale}.items():
            p = layers.Dense(3, "softmax", name=f"{name}_head")(h)
            outputs[name] = p if factor is None else GradientScale(factor, name=name)(p)
        model = keras.Model(x, outputs)
        weights = None if scale is not None else {"a": 1.0, "b": 0.25}
        losses = dict.fromkeys(outputs, "sparse_categorical_crossentropy")
        if scale is None:
            model = keras.Model(
                x, {"a": outputs["a"], "b": layers.Identity(name="b")(outputs["b"])}
            )
        model.compile(keras.optimizers.SGD(0.5), losses, loss_weights=weights)
        for _ in range(3):
            model.train_on_batch(X["text"], {"a": Y, "b": Y})
        return model

    by_scale, by_loss_weight = build(0.25), build(None)
    for one, other in zip(
        by_scale.trainable_variables, by_loss_weight.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_scale_of_zero_freezes_a_branch_under_fit_and_can_be_changed_without_compiling() -> None:
    model = two_branches()
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    scales = gradient_scales(model)
    assert set(scales) == {"text", "image"}
    kernels = {m: model.get_layer(f"{m}_encoder").trainable_variables[0] for m in scales}
    for frozen, moving in (("text", "image"), ("image", "text")):
        scales[frozen].scale.assign(0.0)
        scales[moving].scale.assign(1.0)
        before = {m: kernel.numpy() for m, kernel in kernels.items()}
        model.fit(X, Y, epochs=1, verbose=0)
        np.testing.assert_array_equal(kernels[frozen], before[frozen])
        assert np.abs(kernels[moving].numpy() - before[moving]).max() > 1e-4


def test_a_model_with_scales_comes_back_from_disk(tmp_path: Path) -> None:
    model = two_branches()
    gradient_scales(model)["image"].scale.assign(0.25)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(X), model(X))
    assert float(gradient_scales(again)["image"].scale.numpy()) == 0.25
    assert gradient_scales(again)["text"].get_config()["scale"] == 1.0
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    (got,) = served(**{m: tf.constant(x) for m, x in X.items()}).values()
    np.testing.assert_allclose(got, model(X), atol=1e-6)


def test_masks_and_half_precision_pass_through() -> None:
    layer = GradientScale(0.5, dtype="mixed_float16")
    assert layer(tf.ones((2, 3), "float16")).dtype == "float16"
    ids = keras.Input((4,), dtype="int32")
    x = GradientScale(name="scale")(layers.Embedding(9, 2, mask_zero=True, name="words")(ids))
    model = keras.Model(ids, layers.LSTM(2, name="lstm")(x))
    padded, short = np.array([[5, 3, 0, 0]]), np.array([[5, 3, 0, 0]])
    padded[0, 3] = 0
    np.testing.assert_allclose(model(padded), model(short))
    assert x._keras_mask is not None


# --- OGM -----------------------------------------------------------------------------------------


def test_ogm_is_equation_10() -> None:
    got = ogm_coefficients({"audio": 0.6, "visual": 0.2}, alpha=0.3)
    assert got == pytest.approx({"audio": 1 - np.tanh(0.3 * 3.0), "visual": 1.0})
    assert ogm_coefficients({"a": 0.4, "b": 0.4}, alpha=1.0) == {"a": 1.0, "b": 1.0}
    assert ogm_coefficients({"a": 0.9, "b": 0.1}, alpha=0.0) == {"a": 1.0, "b": 1.0}


def test_ogm_with_three_compares_with_the_mean_of_the_others() -> None:
    got = ogm_coefficients({"a": 0.6, "b": 0.2, "c": 0.1}, alpha=0.5)
    assert got == pytest.approx({"a": 1 - np.tanh(0.5 * 0.6 / 0.15), "b": 1.0, "c": 1.0})


@pytest.mark.parametrize(
    ("confidence", "alpha", "problem"),
    [
        ({"a": 0.5}, 0.5, "two modalities"),
        ({"a": 0.5, "b": 0.0}, 0.5, "'b' must be in"),
        ({"a": 1.5, "b": 0.5}, 0.5, "'a' must be in"),
        ({"a": 0.5, "b": 0.5}, -1.0, "alpha must be"),
    ],
)
def test_ogm_refuses(confidence: dict[str, float], alpha: float, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ogm_coefficients(confidence, alpha)


def test_modulation_brakes_the_leader_under_fit() -> None:
    model = two_branches()
    model.compile("sgd", "sparse_categorical_crossentropy")
    answers = iter([{"text": 0.6, "image": 0.2}, {"text": 0.2, "image": 0.4}])
    scales = gradient_scales(model)
    callback = GradientModulation(scales, lambda: next(answers), alpha=0.5, every=2)
    model.fit(X, Y, batch_size=16, epochs=1, verbose=0, callbacks=[callback])  # 4 batches
    slow, slower = 1 - np.tanh(0.5 * 3), 1 - np.tanh(0.5 * 2)
    assert [h["text"] for h in callback.history] == pytest.approx([slow, 1.0])
    assert [h["image"] for h in callback.history] == pytest.approx([1.0, slower])
    assert float(scales["image"].scale.numpy()) == pytest.approx(slower)


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_a_bad_interval_is_refused(every: Any) -> None:
    for callback in (GradientModulation, GradientBlending):
        with pytest.raises(ValueError, match="every must be a positive integer"):
            callback({}, dict, every=every)


def test_values_for_other_modalities_are_refused() -> None:
    model = two_branches()
    model.compile("sgd", "sparse_categorical_crossentropy")
    callback = GradientModulation(gradient_scales(model), lambda: {"text": 0.5, "audio": 0.5})
    with pytest.raises(
        ValueError, match=r"\['image', 'text'\], but values for \['audio', 'text'\]"
    ):
        model.fit(X, Y, verbose=0, callbacks=[callback])


# --- gradient blending -----------------------------------------------------------------------


BEFORE = ({"both": 1.8, "text": 1.7}, {"both": 1.8, "text": 1.75})
AFTER = ({"both": 0.5, "text": 1.0}, {"both": 1.2, "text": 1.15})


def test_ogr_and_weights_by_formula() -> None:
    # both: the gap grew from 0 to 0.7, validation fell by 0.6; text: from 0.05 to 0.15, by 0.6
    ogr = overfitting_to_generalisation(BEFORE, AFTER)
    assert ogr == pytest.approx({"both": 0.7 / 0.6, "text": 0.1 / 0.6})
    raw = {"both": 0.6 / 0.7**2, "text": 0.6 / 0.1**2}
    want = {k: v / sum(raw.values()) for k, v in raw.items()}
    assert blending_weights(BEFORE, AFTER) == pytest.approx(want)


def test_the_weights_are_those_of_the_least_ogr() -> None:
    """Proposition 1: with errors that do not go together, no other blend has a lower OGR²."""
    gain, gap = np.array([0.6, 0.4, 0.5]), np.array([0.7, 0.1, 0.3])
    names = list("abc")
    start = (dict.fromkeys(names, 2.0), dict.fromkeys(names, 2.0))
    end = (dict(zip(names, 2 - gain - gap, strict=True)), dict(zip(names, 2 - gain, strict=True)))
    weights = blending_weights(start, end)
    assert weights is not None
    best = np.array([weights[k] for k in names])

    def squared(w: np.ndarray) -> float:
        return (w**2 * gap**2).sum() / (w * gain).sum() ** 2

    for other in np.random.default_rng(1).dirichlet(np.ones(3), 500):
        assert squared(best) <= squared(other) + 1e-12


def test_a_head_that_got_worse_has_no_weight_and_without_any_there_is_no_answer() -> None:
    worse = ({"both": 0.5, "text": 1.0}, {"both": 1.9, "text": 1.15})
    assert blending_weights(BEFORE, worse) == {"both": 0.0, "text": 1.0}
    assert blending_weights(BEFORE, (worse[0], {"both": 1.9, "text": 1.8})) is None
    assert overfitting_to_generalisation(BEFORE, BEFORE) == {
        "both": float("inf"),
        "text": float("inf"),
    }
    with pytest.raises(ValueError, match="heads differ"):
        blending_weights(BEFORE, (AFTER[0], {"both": 1.0}))


def test_blending_under_fit() -> None:
    model = two_branches()
    model.compile("sgd", "sparse_categorical_crossentropy")
    third = ({"both": 0.4, "text": 0.9}, {"both": 1.3, "text": 1.2})  # both heads got worse
    answers = iter([BEFORE, AFTER, third])
    scales = {name: GradientScale(name=name) for name in ("both", "text")}
    for layer in scales.values():
        layer(tf.ones((1, 2)))
    callback = GradientBlending(scales, lambda: next(answers), every=2)
    model.fit(X, Y, epochs=4, verbose=0, callbacks=[callback])
    weights = blending_weights(BEFORE, AFTER)
    assert callback.history == [{"both": 0.5, "text": 0.5}, weights, weights]
    assert weights is not None
    assert float(scales["text"].scale.numpy()) == pytest.approx(weights["text"])


# --- resuming ------------------------------------------------------------------------------------

SCRIPT = """
import sys, time
import mmkeras as mm
mm.start(seed=0)
import keras, numpy as np, tensorflow as tf
from mmkeras.training import Resume

folder, slow, result = sys.argv[1], float(sys.argv[2]), sys.argv[3]
rng = np.random.default_rng(0)
x, y = rng.normal(size=(60, 5)).astype("float32"), rng.integers(0, 3, 60)
keras.utils.set_random_seed(0)
model = mm.multimodal_model([mm.vector_branch(5, units=8, name="text")], {"group": 3}, dropout=0.5)
rate = keras.optimizers.schedules.CosineDecay(0.05, 60, warmup_target=0.1, warmup_steps=20)
model.compile(keras.optimizers.AdamW(rate), "sparse_categorical_crossentropy")
resume = Resume(folder, seed=5)
data = resume.rows(60).batch(10).map(lambda i: ({"text": tf.gather(x, i)}, tf.gather(y, i)))
class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(slow)
model.fit(data.prefetch(2), initial_epoch=resume.done, epochs=10, verbose=0,
          shuffle=False, callbacks=[resume, Slow()])
np.savez(result, *model.get_weights(), loss=[h["loss"] for h in resume.history])
"""


def test_a_run_that_is_killed_twice_ends_like_one_that_was_not(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(Path(mm.__file__).parent.parent)}

    def start(name: str, slow: float) -> "subprocess.Popen[bytes]":
        command = [sys.executable, script, tmp_path / name, str(slow), tmp_path / f"{name}.npz"]
        return subprocess.Popen(list(map(str, command)), env=env, stdout=subprocess.DEVNULL)

    whole = start("whole", 0.0)
    for epochs in (2, 5):
        run = start("killed", 0.05)
        deadline = time.monotonic() + 120
        while Resume(tmp_path / "killed").done < epochs:
            assert run.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.1)  # into the next epoch
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        assert epochs <= Resume(tmp_path / "killed").done < 10
    assert start("killed", 0.0).wait() == 0 and whole.wait() == 0
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
    model = two_branches(dropout=0.5)
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(
        data, initial_epoch=first, epochs=4, verbose=0, shuffle=False, callbacks=[callback, *more]
    )
    return model


def batches(rows: tf.data.Dataset) -> tf.data.Dataset:
    return rows.batch(16).map(
        lambda i: ({m: tf.gather(x, i) for m, x in X.items()}, tf.gather(Y, i))
    )


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


def test_resume_refuses_a_wrong_start_and_another_model(tmp_path: Path) -> None:
    resume = Resume(tmp_path)
    assert resume.done == 0
    train(resume, data=batches(resume.rows(64)))
    assert Resume(tmp_path).done == 4 and set(resume.history[0]) == {"loss"}
    again = Resume(tmp_path)
    with pytest.raises(ValueError, match="begins at epoch 0, but 4 are done"):
        model = two_branches(dropout=0.5)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(batches(again.rows(64)), epochs=6, verbose=0, shuffle=False, callbacks=[again])
    other = keras.Sequential([keras.Input((5,)), layers.Dense(3, name="d")])
    other.compile("sgd", "mse")
    with pytest.raises(ValueError, match="belongs to another model"):
        other.fit(X["text"], Y, initial_epoch=4, epochs=5, verbose=0, callbacks=[Resume(tmp_path)])


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
