"""Missing modalities: nothing of what is absent gets through, and dropout hides what it says."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmkeras as mm
from mmkeras import fusion, multimodal_model, vector_branch
from mmkeras.evaluate import subsets
from mmkeras.missing import ModalityDropout, mask_of, only

NAMES = ("a", "b", "c")
MASKS = np.array([[m in s for m in NAMES] for s in subsets(NAMES)], np.float32)
Y = np.arange(8, dtype="float32")[:, None] % 2


def model_of(missing: Any, method: str = "concatenate") -> keras.Model:
    keras.utils.set_random_seed(0)
    branches = [vector_branch(3, units=4, name=name) for name in NAMES]
    return multimodal_model(branches, {"y": "binary"}, fusion=method, missing=missing)


def inputs(absent: float = np.nan) -> dict[str, np.ndarray]:
    """One row a subset, from nothing to everything; `absent` stands where nothing is."""
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(8, 3)).astype("float32") for name in NAMES}
    for column, name in enumerate(NAMES):
        x[name][MASKS[:, column] == 0] = absent
    return {**x, "present": MASKS}


@pytest.mark.parametrize(
    ("method", "missing"),
    [*((method, "zero") for method in fusion.METHODS), ("concatenate", "learned")],
)  # learned stand-ins are there: the fusion sees no gap
def test_nan_in_absent_inputs_reaches_neither_loss_nor_gradients(method: str, missing: str) -> None:
    model = model_of(missing, method)
    with tf.GradientTape() as tape:
        p = model(inputs(), training=True)
        loss = tf.reduce_mean(keras.losses.binary_crossentropy(Y, p))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert np.isfinite(loss)
    assert all(np.isfinite(np.asarray(g)).all() for g in gradients if g is not None)
    np.testing.assert_array_equal(model(inputs()), model(inputs(1e6)))
    nothing = model(only(inputs(), [], NAMES)).numpy()
    assert np.isfinite(nothing).all() and np.ptp(nothing) < 1e-6  # SIMD tails round otherwise


def test_weights_stay_finite_in_a_fit() -> None:
    model = model_of(True)
    model.compile("adam", "binary_crossentropy")
    loss = model.fit(inputs(), Y, epochs=2, batch_size=4, verbose=0).history["loss"]
    assert np.isfinite(loss).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_dropout_against_numpy() -> None:
    layer = ModalityDropout(0.5, seed=7)
    x = [np.full((8, d), d, "float32") for d in (2, 3, 4)]
    for training in (False, True):
        filled, mask = layer(x, present=MASKS, training=training)
        u = keras.random.uniform((8, 3), seed=keras.random.SeedGenerator(7)).numpy()
        largest = (u * MASKS).max(axis=1, keepdims=True)
        q = MASKS * ((u >= 0.5) | (u >= largest)) if training else MASKS
        np.testing.assert_array_equal(mask, q)
        for m, stand_in in enumerate(layer.stand_ins):
            want = np.where(q[:, m : m + 1] > 0, x[m], stand_in.numpy())
            np.testing.assert_allclose(filled[m], want, rtol=1e-6)


def test_dropout_never_hides_all_and_prefers_none() -> None:
    present = np.tile(MASKS[-1:], (30_000, 1))
    _, mask = ModalityDropout(0.6, "zero", seed=1)([present[:, :1]] * 3, present, training=True)
    mask = np.asarray(mask)
    assert mask.sum(axis=1).min() == 1
    np.testing.assert_allclose(1 - mask.mean(axis=0), 0.6 - 0.6**3 / 3, atol=0.012)
    np.testing.assert_allclose(mask[mask.sum(axis=1) == 1].mean(axis=0), 1 / 3, atol=0.02)


def test_rate_zero_hides_nothing() -> None:
    _, mask = ModalityDropout(0.0)([MASKS[:, :1]] * 3, MASKS, training=True)
    np.testing.assert_array_equal(mask, MASKS)


@pytest.mark.parametrize("wrong", ["mean", 0.3, None])
def test_unknown_missing_says_what_would_work(wrong: Any) -> None:
    with pytest.raises(ValueError, match="'learned', 'zero' or a ModalityDropout"):
        model_of(wrong)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="rename it"):
        multimodal_model([vector_branch(3, name="present")], {"y": "binary"}, missing=True)
    with pytest.raises(ValueError, match="present"):
        model_of(True)({name: x for name, x in inputs().items() if name != "present"})
    with pytest.raises(ValueError, match="rate"):
        ModalityDropout(1.0)
    with pytest.raises(ValueError, match="each once"):
        mask_of(["a", "d"], NAMES, 2)
    with pytest.raises(ValueError, match="'c'"):
        only({"a": MASKS, "b": MASKS}, ["a"], NAMES)


# ------------------------------------------------------------------------------ old and half


def test_a_model_that_was_saved_before_masks_existed_still_loads():
    old = keras.models.load_model(Path(__file__).parent / "data" / "before_missing.keras")
    ids = np.array([[1, 5, 0, 0], [0, 0, 0, 0], [3, 11, 7, 2]], "int32")
    vector = np.array([[0.5, -1], [0, 0], [2, 3]], "float32")
    got = old.predict({"text": ids, "vector": vector}, verbose=0)  # what it said when it was saved
    np.testing.assert_allclose(got["ill"][:, 0], [0.32718, 0.5, 0.22747], atol=1e-4)
    np.testing.assert_allclose(got["group"][2], [0.02149, 0.39843, 0.58008], atol=1e-4)


@pytest.mark.parametrize("missing", ["zero", "learned"])
def test_half_precision(missing):
    """Ids above 2048 are not whole in float16: the blank must not touch them."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        branches = [mm.text_branch(5000, 2, units=4), mm.vector_branch(3, units=4)]
        half = mm.multimodal_model(branches, {"ill": "binary"}, fusion="gated", missing=missing)
    finally:
        keras.config.set_dtype_policy("float32")
    branches = [mm.text_branch(5000, 2, units=4), mm.vector_branch(3, units=4)]
    full = mm.multimodal_model(branches, {"ill": "binary"}, fusion="gated", missing=missing)
    half.get_layer("text_encoder").get_layer("embedding").embeddings.assign(
        np.random.default_rng(0).normal(size=(5000, 4))
    )
    full.set_weights(half.get_weights())
    ids = np.array([[4097, 4099], [2049, 0], [0, 0]], "int32")
    vector = np.array([[1, 2, 3], [np.nan] * 3, [np.nan] * 3], "float32")
    x = {"text": ids, "vector": vector, "present": np.array([[1, 1], [1, 0], [0, 0]], "float32")}
    np.testing.assert_allclose(np.asarray(half(x)), np.asarray(full(x)), atol=5e-3)


def test_a_seed_repeats_the_draws():
    x = [np.ones((64, 2), "float32")] * 3
    layers = [mm.missing.ModalityDropout(0.5, seed=s) for s in (1, 1, 2)]
    masks = [np.asarray(layer(x, training=True)[1]) for layer in layers]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


def test_a_mask_of_the_wrong_width_and_a_forgotten_mask_are_errors():
    m = mm.multimodal_model(
        [mm.vector_branch(3, name=n) for n in "ab"], {"ill": "binary"}, missing="zero"
    )
    x = {n: np.ones((2, 3), "float32") for n in "ab"}
    with pytest.raises(ValueError, match="present"):
        m.predict(x, verbose=0)
    with pytest.raises(ValueError, match="expected shape=\\(None, 2\\)"):
        m.predict({**x, "present": np.ones((2, 3), "float32")}, verbose=0)
    with pytest.raises(ValueError, match="a column for each of the 2 modalities"):
        mm.fuse([keras.Input((3,)), keras.Input((3,))], "gated", keras.Input((3,)))
