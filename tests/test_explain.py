"""Explanations: the axioms, brute force in NumPy, and answers about every kind of head."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

import mmkeras as mm
from mmkeras.explain import (
    Answer,
    Regions,
    deletion_curve,
    gradients,
    integrated_gradients,
    occlusion,
    regions,
    shapley,
)
from mmkeras.fusion import DecisionFusion

RNG = np.random.default_rng(0)
N = 5
X = {
    "text": RNG.integers(1, 12, (N, 6)).astype("int32"),
    "image": RNG.uniform(0, 255, (N, 8, 8, 3)).astype("float32"),
    "vector": RNG.normal(size=(N, 5)).astype("float32"),
}
X["text"][:, 4:] = 0
PRESENT = np.ones((N, 3), "float32")
CELLS = {"text": 3, "image": (2, 1), "vector": None}


def built(heads, names=tuple(X), **settings):
    keras.utils.set_random_seed(1)
    parts = [
        mm.text_branch(12, 6, units=8),
        mm.image_branch((8, 8, 3), units=8, encoder="small"),
        mm.vector_branch(5, units=8),
    ]
    parts = [part for part in parts if part.name in names]
    model = mm.multimodal_model(parts, heads, **settings)
    for weight in model.trainable_weights:
        weight.assign(weight + RNG.normal(0, 0.1, weight.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return built({"y": 3})


def odds(p):
    return np.log(p) - np.log1p(-p)


# ------------------------------------------------------------------------------ the answer


@pytest.mark.parametrize("target", [None, 0, 2])
def test_log_odds_of_a_class(model, target):
    p = np.asarray(model(X))
    want = p.max(1) if target is None else p[:, target]
    np.testing.assert_allclose(Answer(model, target=target)(X), odds(want), atol=1e-5)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "kind, settings, target, said",
    [
        ("binary", {}, None, lambda p: odds(p[:, 0])),
        ("binary", {}, 0, lambda p: -odds(p[:, 0])),
        ("regression", {}, None, lambda p: p[:, 0]),
        (layers.Dense(4), {}, 3, lambda z: odds(np.exp(z[:, 3]) / np.exp(z).sum(1))),
        (layers.Dense(4, "sigmoid", name="labels"), {}, 1, lambda p: odds(p[:, 1])),
        (layers.Dense(4, "tanh"), {}, 1, lambda y: y[:, 1]),
        (keras.Sequential([layers.Dense(2, "relu")]), {}, 1, lambda y: y[:, 1]),
        (3, {"fusion": "decision"}, 2, lambda p: odds(p[:, 2])),
        ("binary", {"fusion": DecisionFusion("product")}, 0, lambda p: -odds(p[:, 0])),
        ("regression", {"fusion": "decision"}, None, lambda p: p[:, 0]),
    ],
)
def test_every_kind_of_head(kind, settings, target, said):
    model = built({"y": kind, "other": 2}, ("text", "vector"), **settings)
    x = {name: X[name] for name in ("text", "vector")}
    want = said(np.asarray(model(x)["y"], float))
    np.testing.assert_allclose(Answer(model, head="y", target=target)(x), want, atol=2e-5)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("kind", ["binary", 3, "decisions"])
def test_a_head_that_is_a_model_of_its_own_is_read_through(kind):
    """As the winners of `mmkeras train` are built: encoders, and a model behind them."""
    keras.utils.set_random_seed(2)
    x, z = keras.Input((5,), name="vector"), keras.Input((4,), name="features")
    activation = "sigmoid" if kind == "binary" else "softmax"
    units = 1 if kind == "binary" else 3
    if kind == "decisions":
        votes = [layers.Dense(3, "softmax", name=f"answer_{m}")(z) for m in ("text", "vector")]
        out = DecisionFusion("average", name="answer")(votes)
    else:
        out = layers.Dense(units, activation, name="answer")(z)
    inner = keras.Model(z, out, name="inner")
    outer = keras.Model(z, inner(z), name="head") if units == 1 else inner  # one deeper still
    model = keras.Model(x, outer(layers.Dense(4, "relu")(x)))
    p = model.predict(X["vector"], verbose=0).astype(float)
    want = odds(p[:, 0]) if units == 1 else odds(p[:, 2])
    got = Answer(model, target=1 if units == 1 else 2)({"vector": X["vector"]})
    np.testing.assert_allclose(got, want, atol=2e-5)
    np.testing.assert_allclose(model.predict(X["vector"], verbose=0), p, atol=1e-6)


@pytest.mark.usefixtures("eager")
def test_log_odds_go_on_where_a_probability_has_no_digits_left():
    model = built({"y": "binary"})
    model.get_layer("y").bias.assign([60.0])
    p = np.asarray(model(X))
    assert (p == 1).all() and (Answer(model)(X) > 30).all()
    assert model.get_layer("y").activation is keras.activations.sigmoid
    np.testing.assert_array_equal(np.asarray(model(X)), p)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"head": "x"}, "head='x' must be one of 'y'"),
        ({"target": 3}, "target=3 must be an int from 0 to 2"),
        ({"target": "a"}, "target='a' must be an int from 0 to 2"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_wrong_questions(model, wrong, words):
    with pytest.raises(ValueError, match=words):
        Answer(model, **wrong)


def test_wrong_inputs(model):
    with pytest.raises(ValueError, match="must be a dict with .*image.*; got .'text', 'vector'"):
        Answer(model)({name: X[name] for name in ("text", "vector")})
    with pytest.raises(ValueError, match="same number of rows"):
        Answer(model)({**X, "text": X["text"][:2]})
    with pytest.raises(ValueError, match="must be one of 'a', 'b'"):
        Answer(built({"a": 2, "b": 2}))


# ------------------------------------------------------------------------------ gradients


def test_a_linear_model_is_explained_by_its_weights():
    x = keras.Input((5,), name="vector")
    model = keras.Model(x, layers.Dense(1, name="y")(x))
    base = RNG.normal(size=(1, 5))
    got = integrated_gradients(model, {"vector": X["vector"]}, baseline={"vector": base}, steps=1)
    want = (X["vector"] - base) * model.get_layer("y").kernel.numpy()[:, 0]
    np.testing.assert_allclose(got.parts["vector"], want, atol=1e-6)
    np.testing.assert_allclose(got.gap, 0, atol=1e-6)


@pytest.mark.parametrize("encoder", ["average", "lstm", "conv", "transformer"])
def test_the_parts_sum_to_the_answer_also_through_embeddings(encoder):
    """Completeness, for words that a mask follows, beside modalities that may be absent."""
    parts = [mm.text_branch(12, 6, units=8, encoder=encoder), mm.vector_branch(5, units=8)]
    model = mm.multimodal_model(parts, {"y": 3}, missing=True, fusion="gated")
    x = {"text": X["text"], "vector": X["vector"], "present": PRESENT[:, :2]}
    before = np.asarray(model(x))
    fine, rough = (integrated_gradients(model, x, steps=steps) for steps in (200, 2))
    assert set(fine.parts) == {"text", "vector"}
    assert fine.parts["text"].shape == X["text"].shape
    np.testing.assert_allclose(fine.answer, Answer(model)(x), atol=1e-5)
    most = 1e-2 if encoder == "transformer" else 1e-3  # LayerNorm is steep near zero vectors
    assert np.abs(fine.gap).max() < most
    assert np.abs(fine.gap).max() <= np.abs(rough.gap).max()
    if encoder in ("average", "lstm", "transformer"):
        assert (fine.parts["text"][:, 4:] == 0).all()  # padding
    assert np.abs(fine.parts["text"][:, :4]).min() > 0
    np.testing.assert_array_equal(np.asarray(model(x)), before)


def test_words_are_explained_as_their_vectors_would_be():
    """The model behind the embedding, fed the vectors: the same numbers."""
    ids, vectors = keras.Input((6,), dtype="int32", name="text"), keras.Input((6, 4), name="v")
    embedding, head = layers.Embedding(12, 4), layers.Dense(2, "softmax", name="y")
    mix = keras.Sequential([layers.Flatten(), layers.Dense(3, "tanh")])
    whole = keras.Model(ids, head(mix(embedding(ids))))
    behind = keras.Model(vectors, head(mix(vectors)))
    got = integrated_gradients(whole, {"text": X["text"]}, target=1)
    want = integrated_gradients(behind, {"v": embedding(X["text"]).numpy()}, target=1)
    np.testing.assert_allclose(got.parts["text"], want.parts["v"].sum(-1), atol=1e-6)
    np.testing.assert_allclose(got.start, want.start, atol=1e-6)


def test_slopes_are_what_a_small_step_changes(model):
    slopes, values = gradients(model, X, target=1)
    assert slopes["text"].shape == values["text"].shape == (N, 6, 8)
    answer, step = Answer(model, target=1), 1e-2
    for i in range(5):
        moved = {**X, "vector": X["vector"] + step * np.eye(5, dtype="float32")[i]}
        back = {**X, "vector": X["vector"] - step * np.eye(5, dtype="float32")[i]}
        rise = (answer(moved) - answer(back)) / (2 * step)
        np.testing.assert_allclose(slopes["vector"][:, i], rise, atol=2e-3)
    table = model.get_layer("text_encoder").get_layer("embedding").embeddings
    word = X["text"][0, 0]  # all places of this word move
    before, along = table.numpy(), np.zeros(table.shape, "float32")
    along[word, 2] = step
    ends = []
    for sign in (1, -1):
        table.assign(before + sign * along)
        ends.append(answer(X))
    table.assign(before)
    want = np.where(X["text"] == word, slopes["text"][..., 2], 0).sum(1)
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), want, atol=2e-3)


@pytest.mark.usefixtures("eager")
def test_what_a_model_ignores_gets_nothing(model):
    got = integrated_gradients(model, X, target=0, steps=4, batch_size=2)
    assert all(np.abs(part).max() > 0 for part in got.parts.values())
    silent = built({"y": 2})
    kernel = silent.get_layer("y").kernel
    kernel.assign(kernel * np.repeat([1, 0, 1], 8)[:, None])  # the image's features
    assert (integrated_gradients(silent, X, steps=4).parts["image"] == 0).all()
    parts = regions(X, CELLS)
    removed = occlusion(silent, X, parts, X)
    assert np.abs(removed[:, 3:5]).max() < 1e-6 < np.abs(removed).max()


def test_batches_change_nothing(model):
    one, all_ = (integrated_gradients(model, X, steps=3, batch_size=b) for b in (2, 64))
    for name, part in all_.parts.items():
        np.testing.assert_allclose(one.parts[name], part, atol=1e-5)
    parts = regions(X, CELLS)
    np.testing.assert_allclose(
        occlusion(model, X, parts, X, batch_size=2), occlusion(model, X, parts, X), atol=1e-5
    )


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"baseline": {"sound": 0}}, "'sound'. are not among the inputs"),
        ({"baseline": {"text": 0}}, "'text'. are not among the inputs"),
        ({"baseline": {"vector": np.zeros((2, 5))}}, "baseline of 'vector': shape .2, 5. does not"),
        ({"steps": 0}, "steps"),
    ],
)
def test_wrong_ways(model, wrong, words):
    with pytest.raises(ValueError, match=words):
        integrated_gradients(model, X, **wrong)


def test_ids_without_an_embedding_are_refused():
    ids = keras.Input((6,), dtype="int32", name="text")
    model = keras.Model(ids, layers.Dense(2, name="y")(layers.Rescaling(1.0)(ids)))
    with pytest.raises(ValueError, match="'text' holds whole numbers, and 0 Embedding"):
        integrated_gradients(model, {"text": X["text"]})


# ------------------------------------------------------------------------------ removal


def brute(model, x, parts, background, keep, target):
    """The mean answer with the regions that are kept; each row is put together by itself."""
    count, rows = len(background["vector"]), []
    for i, b in itertools.product(range(N), range(count)):
        row = {name: value[i].copy() for name, value in x.items()}
        for name, at in parts.labels.items():
            gone = np.isin(at[i if len(at) == N else 0], np.flatnonzero(~keep))
            row[name][gone] = background[name][b][gone]
        rows.append(row)
    every = {name: np.stack([row[name] for row in rows]) for name in x}
    return odds(np.asarray(model(every))[:, target]).reshape(N, count).mean(1)


BACKGROUND = {name: value[3:] for name, value in X.items()}
OWN = Regions(  # another division in each row; one region over two inputs; some of it never removed
    {
        "text": np.array([[0, 0, 1, 1, -1, -1]] * 3 + [[1, 0, 0, 0, 1, -1]] * 2),
        "vector": np.array([[0, 0, 2, 2, -1]]),
    },
    ("first", "second", "third"),
)


@pytest.mark.parametrize("parts", [regions(X, CELLS), OWN], ids=["alike", "by row"])
def test_removing_is_what_it_says(model, parts):
    size = len(parts)
    got = occlusion(model, X, parts, BACKGROUND, target=1)
    whole = brute(model, X, parts, BACKGROUND, np.ones(size, bool), 1)
    for r in range(size):
        without = brute(model, X, parts, BACKGROUND, np.arange(size) != r, 1)
        np.testing.assert_allclose(got[:, r], whole - without, atol=1e-5)


def test_shapley_values_are_those_of_the_formula(model):
    values = {
        subset: brute(model, X, OWN, BACKGROUND, np.isin(np.arange(3), subset), 1)
        for size in range(4)
        for subset in itertools.combinations(range(3), size)
    }
    got = shapley(model, X, OWN, BACKGROUND, target=1)
    for i in range(N):
        named = {tuple(OWN.names[r] for r in s): value[i] for s, value in values.items()}
        want = mm.evaluate.shapley(named, list(OWN.names))
        np.testing.assert_allclose(got[i], want[list(OWN.names)], atol=1e-5)


def test_random_orders_come_near_and_sum_to_the_whole(model):
    parts = regions(X, CELLS)
    exact = shapley(model, X, parts, BACKGROUND)
    near = shapley(model, X, parts, BACKGROUND, permutations=40, seed=1)
    nothing = deletion_curve(model, X, parts, BACKGROUND, exact)[:, -1]
    for got in (exact, near):
        np.testing.assert_allclose(got.sum(1), Answer(model)(X) - nothing, atol=1e-4)
    far = np.abs(near - exact).max()
    assert 0 < far < 0.2 * np.abs(exact).max()
    again = shapley(model, X, parts, BACKGROUND, permutations=40, seed=1)
    np.testing.assert_array_equal(near, again)


def test_what_enters_alike_is_credited_alike():
    x = keras.Input((2,), name="vector")
    model = keras.Model(x, layers.Dense(1, name="y")(layers.Multiply()([x[:, :1], x[:, 1:]])))
    rows = {"vector": np.array([[3.0, 3.0], [2.0, 2.0]])}
    parts, zero = regions(rows, {"vector": 2}), {"vector": np.zeros((1, 2))}
    got = shapley(model, rows, parts, zero)
    kernel = model.get_layer("y").kernel.numpy().item()
    np.testing.assert_allclose(got, kernel * np.array([[4.5, 4.5], [2, 2]]), rtol=1e-5)
    np.testing.assert_allclose(  # each alone takes away all of it
        occlusion(model, rows, parts, zero), kernel * np.array([[9, 9], [4, 4]]), rtol=1e-5
    )


def test_a_deletion_curve_follows_the_scores_and_insertion_goes_the_other_way(model):
    scores = np.tile([0.5, 3.0, -1.0], (N, 1))
    scores[1] = -scores[1]
    got = deletion_curve(model, X, OWN, BACKGROUND, scores, target=1)
    assert got.shape == (N, 4)
    for i, order in ((0, [1, 0, 2]), (1, [2, 0, 1])):
        for step in range(4):
            keep = ~np.isin(np.arange(3), order[:step])
            want = brute(model, X, OWN, BACKGROUND, keep, 1)[i]
            assert got[i, step] == pytest.approx(want, abs=1e-5)
    back = deletion_curve(model, X, OWN, BACKGROUND, -scores, target=1, insert=True)
    np.testing.assert_allclose(back, got[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(got[:, 0], Answer(model, target=1)(X), atol=1e-5)


def test_cells_divide_an_input_evenly():
    parts = regions(X, CELLS)
    assert parts.names == ("text 0", "text 1", "text 2", "image 0", "image 1", "vector")
    assert parts.labels["text"].tolist() == [[0, 0, 1, 1, 2, 2]]
    assert (parts.labels["image"][0, :4] == 3).all() and (parts.labels["image"][0, 4:] == 4).all()
    assert (parts.labels["vector"] == 5).all()
    sums = parts.sums({name: np.ones_like(value, float) for name, value in X.items()})
    assert sums.tolist() == [[2, 2, 2, 96, 96, 5]] * N
    assert regions(X, {"image": (3, 3)}).labels["image"].max() == 8


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m: regions(X, {"sound": 2}), "'sound' is none of the inputs 'text', 'image'"),
        (lambda m: regions(X, {}), "there is no region; name inputs"),
        (lambda m: OWN.sums({"text": X["text"]}), "no attribution for .'vector'., only for"),
        (lambda m: occlusion(m, X, OWN, {n: v[:0] for n, v in X.items()}), "1 or more"),
        (lambda m: regions(X, {"text": 7}), "7 cells are more than the 6 values of 'text'"),
        (lambda m: regions(X, {"text": (2, 2)}), "'text' has 1 axes after the rows, not 2"),
        (lambda m: regions(X, {"text": 0}), "the cells of 'text'"),
        (lambda m: Regions({"text": np.array([[0, 2]])}, ("a", "b")), "whole numbers from -1 to 1"),
        (lambda m: Regions({"text": np.array([[0, 0]])}, ("a", "b")), "region 'b' has no part"),
        (lambda m: occlusion(m, X, Regions({"text": np.zeros((1, 9), int)}, ("a",)), X), "shape"),
        (lambda m: occlusion(m, X, Regions({"cut": np.zeros((1, 6), int)}, ("a",)), X), "'cut'"),
        (lambda m: shapley(m, X, regions(X, {"image": (4, 4)}), X), "16 regions have 65,536 sub"),
        (lambda m: shapley(m, X, OWN, X, permutations=0), "permutations"),
        (lambda m: deletion_curve(m, X, OWN, X, np.zeros((N, 2))), "shape .5, 3., got .5, 2."),
    ],
)
def test_wrong_parts(model, call, words):
    with pytest.raises(ValueError, match=words):
        call(model)
