"""Towers, losses and ranks against NumPy, by hand, and against every order of the ties."""

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import average_precision_score
from sklearn.neighbors import NearestNeighbors

import mmkeras as mm
from mmkeras.retrieval import (
    InfoNCE,
    Pairs,
    SigmoidLoss,
    TripletLoss,
    average_precision,
    csls,
    hubness,
    median_rank,
    modality_gap,
    ranks,
    recall_at,
    search,
    tower,
    two_tower,
)
from mmkeras.training import Trainer

RNG = np.random.default_rng(0)
N, D = 6, 4
LEFT, RIGHT = (RNG.normal(size=(N, D)).astype("float32") for _ in range(2))
PAIRS = np.stack([LEFT, RIGHT], axis=1)
LOGITS = (LEFT @ RIGHT.T).astype(float)
ALONE, TWINS = np.arange(N), np.array([0, 1, 2, 0, 4, 2])


def softmax_loss(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """InfoNCE row by row, without any vector."""
    losses = []
    for i in range(len(logits)):
        kept = [j for j in range(len(logits)) if j == i or target[j] != target[i]]
        row = -np.log(np.exp(logits[i, i]) / sum(np.exp(logits[i, j]) for j in kept))
        column = -np.log(np.exp(logits[i, i]) / sum(np.exp(logits[j, i]) for j in kept))
        losses.append((row + column) / 2)
    return np.array(losses)


def sigmoid_loss(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-logits))
    n = range(len(logits))
    return np.array(
        [-np.log(p[i, i]) - sum(np.log(1 - p[i, j]) for j in n if target[j] != target[i])
         for i in n]
    )  # fmt: skip


def triplet_loss(logits: np.ndarray, target: np.ndarray, reduce=np.mean) -> np.ndarray:
    losses = []
    for i in range(len(logits)):
        far = [j for j in range(len(logits)) if target[j] != target[i]]
        row = [max(0, 0.5 - logits[i, i] + logits[i, j]) for j in far]
        column = [max(0, 0.5 - logits[i, i] + logits[j, i]) for j in far]
        losses.append((reduce(row) + reduce(column)) / 2)
    return np.array(losses)


# ------------------------------------------------------------------------------ losses


@pytest.mark.parametrize("target", [ALONE, TWINS], ids=["alone", "twins"])
@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (InfoNCE(reduction=None), softmax_loss),
        (SigmoidLoss(reduction=None), sigmoid_loss),
        (TripletLoss(0.5, reduction=None), triplet_loss),
        (
            TripletLoss(0.5, hardest=True, reduction=None),
            lambda logits, target: triplet_loss(logits, target, max),
        ),
    ],
    ids=["info_nce", "sigmoid", "triplet", "hardest"],
)
def test_a_loss_is_that_by_hand(loss, by_hand, target):
    want = by_hand(LOGITS, target)
    np.testing.assert_allclose(loss(target, PAIRS), want, rtol=1e-5)
    np.testing.assert_allclose(loss(target[:, None], PAIRS), want, rtol=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    np.testing.assert_allclose(again(target, PAIRS), want, rtol=1e-5)


def test_twins_matter_and_the_same_loss_is_that_of_chance_for_equal_logits():
    assert not np.allclose(softmax_loss(LOGITS, ALONE), softmax_loss(LOGITS, TWINS))
    same = np.ones((N, 2, D), "float32")
    np.testing.assert_allclose(InfoNCE()(ALONE, same), np.log(N), rtol=1e-6)
    np.testing.assert_allclose(TripletLoss(0.3)(ALONE, same), 0.3, rtol=1e-6)
    assert float(TripletLoss(0.3)(np.zeros(N), same)) == 0  # not one negative
    assert float(InfoNCE()(np.zeros(N), same)) == 0


@pytest.mark.parametrize("loss", [InfoNCE(), SigmoidLoss(), TripletLoss()])
def test_a_loss_refuses_what_is_no_pair(loss):
    with pytest.raises(ValueError, match=r"\(batch, 2, d\).*\(6, 4\)"):
        loss(ALONE, LEFT)


def test_a_margin_must_be_above_0():
    with pytest.raises(ValueError, match="margin must be above 0, got 0"):
        TripletLoss(0)


# ------------------------------------------------------------------------------ towers


def branch(name: str, size: int = 5) -> keras.Model:
    return mm.vector_branch(size, units=16, name=name)


def test_pairs_hold_cosine_over_temperature_plus_bias():
    left, right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (LEFT, RIGHT))
    for bias in (None, -3.0):
        layer = Pairs(0.2, bias=bias)
        pairs = layer(left, right).numpy()
        want = left @ right.T / 0.2 + (bias or 0)
        np.testing.assert_allclose(pairs[:, 0] @ pairs[:, 1].T, want, atol=1e-5)
        assert len(layer.trainable_weights) == (1 if bias is None else 2)
    fixed = Pairs(0.2, learned=False)
    fixed(left, right)
    assert fixed.trainable_weights == []


def test_a_tower_gives_one_side_by_name_of_length_1_after_saving_too(tmp_path: Path):
    model = two_tower([branch("image"), branch("name", 3)], units=8)
    assert [x.name for x in model.inputs] == ["image", "name"] and model.output.shape == (
        None,
        2,
        8,
    )
    x = {"name": RNG.normal(size=(N, 3)), "image": RNG.normal(size=(N, 5))}
    model.compile("sgd", SigmoidLoss())
    model.fit(x, ALONE, verbose=0)
    scale = np.exp(model.get_layer("pairs").log_scale.numpy())
    pairs = model.predict(x, verbose=0)
    sides = {key: tower(model, key).predict(x[key], verbose=0) for key in x}
    for vectors in sides.values():
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(pairs[:, 0], sides["image"] * scale, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(pairs[:, 1], sides["name"], rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "towers.keras")
    again = keras.saving.load_model(tmp_path / "towers.keras")
    np.testing.assert_allclose(tower(again, "name").predict(x["name"], verbose=0), sides["name"])
    assert isinstance(again.loss, SigmoidLoss)
    with pytest.raises(ValueError, match="no tower 'audio'.*'image', 'name'"):
        tower(model, "audio")
    with pytest.raises(ValueError, match="unknown input 'names'"):
        model({"image": x["image"], "names": x["name"]})


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        (InfoNCE(), {}),
        (SigmoidLoss(), {"temperature": 0.1, "bias": -3}),
        (TripletLoss(), {"temperature": 1, "learned": False}),
    ],
    ids=["info_nce", "sigmoid", "triplet"],
)
def test_training_finds_the_partner_of_new_rows(loss, settings):
    """Both sides are turned copies of one hidden vector, which a linear tower can turn back."""
    hidden = np.random.default_rng(1).normal(size=(300, 6))
    turns = np.random.default_rng(2).normal(size=(2, 6, 6))
    x = {key: (hidden @ turn).astype("float32") for key, turn in zip("ab", turns, strict=True)}

    def build() -> keras.Model:
        sides = []
        for key in "ab":
            inputs = keras.Input((6,), name=key)
            out = keras.layers.Dense(8, name="features")(inputs)
            sides.append(keras.Model(inputs, out, name=key))
        model = two_tower(sides, units=8, **settings)
        model.compile(keras.optimizers.Adam(1e-2), loss)
        return model

    trainer = Trainer(build)
    trainer.fit({k: v[:250] for k, v in x.items()}, np.arange(250), seed=0, epochs=40)
    new = {k: tower(trainer.model, k).predict(v[250:], verbose=0) for k, v in x.items()}
    assert recall_at(new["a"] @ new["b"].T, np.arange(50), 1).mean() > 0.3  # chance: 0.02
    trainer.restart(0)
    raw = {k: tower(trainer.model, k).predict(v[250:], verbose=0) for k, v in x.items()}
    assert recall_at(raw["a"] @ raw["b"].T, np.arange(50), 1).mean() < 0.2


def test_the_temperature_stays_within_its_limit_and_the_frozen_tower_as_it_is():
    image = two_tower([branch("image"), branch("name")], units=8)
    locked = tower(image, "image")
    locked.trainable = False
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8)], name="other")
    model = two_tower([locked, other], units=None, temperature=0.0101)
    model.compile(keras.optimizers.SGD(10.0), InfoNCE())
    before = locked.get_weights()
    x = {"image": RNG.normal(size=(N, 5)), "other": RNG.normal(size=(N, 3))}
    model.fit(x, np.arange(N), epochs=5, verbose=0)
    assert float(model.get_layer("pairs").log_scale.numpy()) <= np.log(100) + 1e-5
    assert all(np.array_equal(a, b) for a, b in zip(before, locked.get_weights(), strict=True))
    assert len(model.trainable_weights) == 3  # kernel, bias, temperature


@pytest.mark.slow
def test_half_precision_and_a_compiled_graph_agree():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = two_tower([branch("a"), branch("b")], units=8)
    finally:
        keras.config.set_dtype_policy("float32")
    x = {key: RNG.normal(size=(N, 5)).astype("float32") for key in "ab"}
    pairs = model(x)
    assert pairs.dtype == "float32"
    loss = tf.function(InfoNCE(), jit_compile=True)(tf.constant(ALONE), pairs)
    np.testing.assert_allclose(loss, InfoNCE()(ALONE, pairs), rtol=1e-5)


@pytest.mark.parametrize(
    ("branches", "words"),
    [
        (lambda: [branch("a")], "list of two keras.Model"),
        (lambda: [branch("a"), branch("a")], "both branches are called 'a'"),
        (lambda: [branch("a"), "b"], "list of two keras.Model"),
        (
            lambda: [branch("a"), mm.text_branch(9, 4, tokens=True, name="b")],
            r"branch 'b' has 1 inputs.*one output \(batch, d\)",
        ),
    ],
)
def test_branches_that_do_not_fit_are_refused(branches, words):
    with pytest.raises(ValueError, match=words):
        two_tower(branches())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"units": 0}, "units must be a positive integer, got 0"),
        ({"temperature": 0}, "temperature must be at least 0.01, got 0"),
        ({"units": None}, "both be"),
        ({"name": "zwei Türme"}, "name must be made of"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, words):
    wide = mm.vector_branch(5, units=7, name="b")
    with pytest.raises(ValueError, match=words):
        two_tower([branch("a"), wide], **settings)


# ------------------------------------------------------------------------------ ranks


def orders(scores: np.ndarray):
    """Every order of the candidates in which no score rises."""
    for order in itertools.permutations(range(len(scores))):
        if (np.diff(scores[list(order)]) <= 0).all():
            yield list(order)


def expected(scores: np.ndarray, right: np.ndarray, measure) -> float:
    return float(np.mean([measure(right[order]) for order in orders(scores)]))


def precision(hits: np.ndarray) -> float:
    return float(np.mean([hits[: i + 1].mean() for i in np.flatnonzero(hits)]))


TIED = RNG.integers(0, 3, (40, 6))  # three levels among six candidates: many ties
SEVERAL = RNG.random((40, 6)) < 0.4
SEVERAL[np.arange(40), RNG.integers(0, 6, 40)] = True


def test_with_ties_each_measure_is_the_mean_over_all_orders():
    for name, got, measure in [
        ("rank", ranks(TIED, SEVERAL), lambda hits: 1 + hits.argmax()),
        ("precision", average_precision(TIED, SEVERAL), precision),
        *[(k, recall_at(TIED, SEVERAL, k), lambda hits, k=k: hits[:k].any()) for k in range(1, 8)],
    ]:
        want = [expected(s, r, measure) for s, r in zip(TIED, SEVERAL, strict=True)]
        np.testing.assert_allclose(got, want, atol=1e-12, err_msg=str(name))


def test_without_ties_they_are_what_everybody_computes():
    scores = RNG.normal(size=(30, 20))
    own = RNG.integers(0, 20, 30)
    place = 1 + (scores > scores[np.arange(30), own][:, None]).sum(axis=1)
    assert ranks(scores, own).tolist() == place.tolist()
    assert recall_at(scores, own, 5).tolist() == (place <= 5).tolist()
    assert median_rank(scores, own) == np.median(place)
    np.testing.assert_allclose(average_precision(scores, own), 1 / place)
    several = RNG.random((30, 20)) < 0.3
    several[:, 0] = True
    want = [average_precision_score(r, s) for r, s in zip(several, scores, strict=True)]
    np.testing.assert_allclose(average_precision(scores, several), want)


def test_a_collapsed_model_is_at_chance():
    flat, own = np.zeros((50, 20)), np.arange(50) % 20
    assert recall_at(flat, own, 1).mean() == pytest.approx(1 / 20)
    assert recall_at(flat, own, 10).mean() == pytest.approx(10 / 20)
    assert recall_at(flat, own, 99).mean() == 1
    assert median_rank(flat, own) == 10.5
    harmonic = np.mean(1 / np.arange(1, 21))
    assert average_precision(flat, own).mean() == pytest.approx(harmonic)


@pytest.mark.parametrize("measure", [ranks, average_precision, lambda s, r: recall_at(s, r, 2)])
@pytest.mark.parametrize(
    ("scores", "relevant", "words"),
    [
        (np.zeros(3), np.zeros(3, int), r"\(queries, candidates\).*\(3,\)"),
        (np.zeros((0, 3)), np.zeros(0, int), "not empty"),
        (np.array([["a"]]), np.array([0]), "must be numbers"),
        (np.array([[0, 1], [np.nan, 1]]), np.array([0, 1]), "query 1 hold NaN"),
        (np.zeros((2, 3)), np.array([0, 3]), r"relevant\[1\] is 3, but there are 3"),
        (np.zeros((2, 3)), np.array([-1, 0]), r"relevant\[0\] is -1"),
        (np.zeros((2, 3)), np.array([0.0, 1.0]), r"int \(2,\) or bool \(2, 3\), got float64"),
        (np.zeros((2, 3)), np.array([0, 1, 2]), "int \\(2,\\)"),
        (np.zeros((2, 3)), np.array([[1, 0, 0], [0, 0, 0]], bool), "query 1 has no relevant"),
    ],
)
def test_ranks_refuse_what_they_cannot_rank(measure, scores, relevant, words):
    with pytest.raises(ValueError, match=words):
        measure(scores, relevant)


def test_k_must_be_a_positive_integer():
    with pytest.raises(ValueError, match="k must be a positive integer, got 0"):
        recall_at(np.zeros((1, 2)), np.array([0]), 0)


# ------------------------------------------------------------------------------ space


def unit(n: int, d: int = 8, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("block", [1, 7, 256])
def test_search_finds_what_scikit_learn_finds(block):
    queries, candidates = unit(20), unit(90, seed=1)
    scores, found = search(queries, candidates, 5, block=block)
    far, want = NearestNeighbors(n_neighbors=5, metric="cosine").fit(candidates).kneighbors(queries)
    assert found.tolist() == want.tolist() and found.dtype == np.int64
    np.testing.assert_allclose(scores, 1 - far, atol=1e-12)


def test_search_gives_all_in_order_with_the_lower_index_first():
    candidates = np.array([[1.0, 0], [0, 1], [1, 0], [-1, 0]])
    scores, found = search(np.array([[1.0, 0]]), candidates, 4)
    assert found.tolist() == [[0, 2, 1, 3]] and scores.tolist() == [[1, 1, 0, -1]]


def test_csls_is_that_of_the_formula_and_takes_a_hub_down():
    scores, k = unit(7) @ unit(9, seed=1).T, 3
    got = csls(scores, k)
    for i, j in np.ndindex(scores.shape):
        near = np.sort(scores[i])[-k:].mean() + np.sort(scores[:, j])[-k:].mean()
        assert got[i, j] == pytest.approx(2 * scores[i, j] - near)
    queries = unit(200)
    hub = queries.mean(axis=0) / np.linalg.norm(queries.mean(axis=0))
    scores = np.c_[queries @ unit(50, seed=2).T * 0.4, 0.3 + 0.1 * (queries @ hub)]
    assert hubness(csls(scores), 1).counts[-1] < hubness(scores, 1).counts[-1]


def test_hubness_counts_and_its_skewness():
    scores = np.array([[3, 2, 1, 0], [3, 1, 2, 0], [0, 3, 2, 1.0]])
    counts, skewness = hubness(scores, 2)
    assert counts.tolist() == [2, 2, 2, 0]
    spread = np.array([0.5, 0.5, 0.5, -1.5])
    assert skewness == pytest.approx((spread**3).mean() / (spread**2).mean() ** 1.5)
    assert hubness(np.eye(4), 1).counts.tolist() == [1, 1, 1, 1]
    assert hubness(np.eye(4), 1).skewness == 0


def test_the_gap_is_the_distance_of_the_means():
    assert modality_gap([[1, 0], [0, 1]], [[0, 1], [1, 0]]) == 0
    assert modality_gap([[1, 0]], [[-1, 0], [-1, 0]]) == 2
    one, other = unit(30), unit(40, seed=3)
    want = np.sqrt(((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum())
    assert modality_gap(one, other) == pytest.approx(want)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: search(unit(3), unit(4), 5), "k must be an integer from 1 to 4, got 5"),
        (lambda: search(unit(3), unit(4, 7)), "queries have 8 columns and candidates 7"),
        (lambda: search(unit(3)[0], unit(4)), "queries must be numbers"),
        (lambda: search(unit(3), unit(4), 2, block=0), "block must be a positive"),
        (lambda: csls(np.zeros((3, 5)), 4), "k must be an integer from 1 to 3"),
        (lambda: csls([[np.inf]], 1), "scores hold NaN or infinity in row 0"),
        (lambda: hubness(np.zeros((3, 5)), 6), "k must be an integer from 1 to 5"),
        (lambda: hubness([], 1), "scores must be numbers"),
        (lambda: modality_gap(unit(3), 2 * unit(3)), "row . of second has the length 2"),
        (lambda: modality_gap(unit(3), unit(3, 5)), "first have 8 columns and second 5"),
    ],
)
def test_the_space_refuses_what_does_not_fit(call, words):
    with pytest.raises(ValueError, match=words):
        call()
