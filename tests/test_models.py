"""fuse() and multimodal_model(): composition, heads, feeding by name, and the traps around it."""

import gc
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmkeras as mm

RNG = np.random.default_rng(0)
N = 12
FEED = {
    "text": RNG.integers(0, 20, (N, 5)).astype("int32"),
    "image": RNG.integers(0, 256, (N, 8, 8, 3)).astype("uint8"),
    "audio": RNG.uniform(-1, 1, (N, 400)).astype("float32"),
    "vector": RNG.normal(size=(N, 3)).astype("float32"),
}
HEADS = {"ill": "binary", "group": 4, "rate": "regression"}
LOSSES = {"ill": "binary_crossentropy", "group": "sparse_categorical_crossentropy", "rate": "mse"}
TARGETS = {
    "ill": RNG.integers(0, 2, (N, 1)),
    "group": RNG.integers(0, 4, N),
    "rate": RNG.normal(size=(N, 1)),
}


def branch(name, units=4):
    return {
        "text": lambda: mm.text_branch(20, 5, units=units),
        "image": lambda: mm.image_branch((8, 8, 3), units=units),
        "audio": lambda: mm.audio_branch(400, 8000, units=units),
        "vector": lambda: mm.vector_branch(3, units=units),
    }[name]()


def model(names=("text", "image", "audio", "vector"), heads=HEADS, **kwargs):
    keras.utils.set_random_seed(0)
    return mm.multimodal_model([branch(n) for n in names], heads, **kwargs)


def feed(names, n=N):
    return {name: FEED[name][:n] for name in names}


SUBSETS = [*((name,) for name in FEED), ("text", "vector"), ("image", "audio"), tuple(FEED)]


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_any_set_of_branches(names):
    m = model(names, {"group": 4})
    assert [x.name for x in m.inputs] == list(names)
    assert m.count_params() == sum(branch(n).count_params() for n in names) + 4 * len(names) * 4 + 4
    assert m(feed(names)).shape == (N, 4)


def test_concatenation_equals_numpy():
    m = model()
    parts = [np.asarray(m.get_layer(f"{n}_encoder")(FEED[n])) for n in FEED]
    joint = np.concatenate(parts, axis=1)
    want = {
        h: joint @ m.get_layer(h).get_weights()[0] + m.get_layer(h).get_weights()[1] for h in HEADS
    }
    want["ill"] = 1 / (1 + np.exp(-want["ill"]))
    want["group"] = np.exp(want["group"]) / np.exp(want["group"]).sum(1, keepdims=True)
    got = m(FEED)
    for head in HEADS:
        np.testing.assert_allclose(got[head], want[head], rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------ heads

SMALL = {"left": FEED["vector"], "right": FEED["vector"][::-1]}


def small(heads=HEADS, **kwargs):
    """Two vectors: for what does not depend on the branches."""
    keras.utils.set_random_seed(0)
    branches = [mm.vector_branch(3, units=4, name=name) for name in SMALL]
    return mm.multimodal_model(branches, heads, **kwargs)


@pytest.mark.parametrize("head", HEADS)
def test_one_head_is_a_tensor_and_takes_a_plain_loss(head):
    """Targets go by themselves or by the head's name, as where there are several."""
    m = small({head: HEADS[head]})
    assert isinstance(m.output, keras.KerasTensor)
    losses = []
    for y in (TARGETS[head], {head: TARGETS[head]}):
        m = small({head: HEADS[head]})
        metrics = ["mse"] if head == "rate" else ["accuracy"]
        m.compile("adam", LOSSES[head], metrics=metrics, run_eagerly=True)
        losses.append(m.train_on_batch(SMALL, y))
    np.testing.assert_array_equal(*losses)
    assert np.isfinite(losses).all()
    with pytest.raises(ValueError, match=f"targets are given for 'other', but .* is '{head}'"):
        m.train_on_batch(SMALL, {"other": TARGETS[head]})


def test_targets_by_name_from_a_dataset_and_with_weights():
    weights = {"ill": np.arange(N, dtype="float32")}
    plain, named = small({"ill": "binary"}), small({"ill": "binary"})
    for m, y, w in (
        (plain, TARGETS["ill"], weights["ill"]),
        (named, {"ill": TARGETS["ill"]}, weights),
    ):
        m.compile("sgd", "binary_crossentropy")
        m.fit(tf.data.Dataset.from_tensors((SMALL, y, w)), epochs=2, verbose=0)
    for a, b in zip(plain.get_weights(), named.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_several_heads_are_a_dict():
    m = small()
    m.compile("adam", LOSSES, metrics={"group": ["accuracy"]})
    history = m.fit(SMALL, TARGETS, verbose=0).history
    assert set(m.predict(SMALL, verbose=0)) == set(HEADS)
    assert {"ill_loss", "group_accuracy"} <= set(history)


@pytest.mark.parametrize("number", [np.int64(4), np.uint8(4), np.arange(4).max() + 1])
def test_numbers_of_numpy(number):
    m = small({"group": number})
    assert m.output_shape == (None, 4) and m.get_layer("group").activation.__name__ == "softmax"
    branches = [mm.text_branch(np.int64(9), np.int32(4), units=np.int64(3)),
                mm.vector_branch(np.int64(3), units=np.uint8(2))]  # fmt: skip
    hide = mm.missing.ModalityDropout(np.float32(0.3), seed=np.int64(3))
    fusion = mm.fusion.LowRankFusion(np.int64(4), rank=np.int64(2))
    m = mm.multimodal_model(branches, {"group": number}, fusion=fusion, missing=hide)
    again = keras.models.model_from_json(m.to_json())  # JSON knows no number of NumPy
    assert again.count_params() == m.count_params()


def test_heads_of_any_kind():
    """Logits, several labels at once and a projection, beside one of ours, in half precision."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        own = {
            "logits": keras.layers.Dense(5, name="logits"),
            "labels": keras.layers.Dense(3, "sigmoid", dtype="float32"),
            "embedding": keras.Sequential(
                [keras.layers.Dense(6, "sigmoid"), keras.layers.UnitNormalization(dtype="float32")]
            ),
        }
        m = small({**own, "group": np.int64(4)}, dropout=0.1)
    finally:
        keras.config.set_dtype_policy("float32")
    out = m(SMALL)
    assert {name: tuple(v.shape[1:]) for name, v in out.items()} == {
        "logits": (5,), "labels": (3,), "embedding": (6,), "group": (4,)
    }  # fmt: skip
    assert out["group"].dtype == out["labels"].dtype == out["embedding"].dtype == "float32"
    assert out["logits"].dtype == "float16"  # a layer is used as it is
    joint = m.get_layer("fusion").output
    np.testing.assert_allclose(np.linalg.norm(out["embedding"], axis=1), 1, atol=1e-3)
    assert m.get_layer("logits") is own["logits"] and joint.shape == (None, 8)
    losses = {**dict.fromkeys(own, "mse"), "group": LOSSES["group"]}
    m.compile("sgd", losses, run_eagerly=True)
    y = {**{name: np.zeros(v.shape) for name, v in out.items()}, "group": TARGETS["group"]}
    assert np.isfinite(m.train_on_batch(SMALL, y)).all()


def test_one_layer_as_the_only_head_is_called_by_the_head():
    m = small({"labels": keras.layers.Dense(3, "sigmoid")})
    m.compile("sgd", {"labels": "binary_crossentropy"})
    assert np.isfinite(m.train_on_batch(SMALL, {"labels": np.zeros((N, 3))}))
    assert m.output_names == ["labels"]


def test_decisions_of_a_layer():
    """Each branch gets one of its own."""
    head = keras.layers.Dense(3, "sigmoid")
    m = small({"labels": head}, fusion="decision")
    votes = [m.get_layer(f"labels_{name}") for name in SMALL]
    each = [
        v(m.get_layer(f"{n}_encoder")(x)) for v, (n, x) in zip(votes, SMALL.items(), strict=True)
    ]
    np.testing.assert_allclose(m(SMALL), np.mean(each, axis=0), atol=1e-6)
    with pytest.raises(ValueError, match="'labels' is no number of classes.*'average'"):
        small({"labels": head}, fusion=mm.fusion.DecisionFusion("product"))


def test_mixed_precision_keeps_heads_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        m = small()
    finally:
        keras.config.set_dtype_policy("float32")
    assert m.get_layer("left_encoder").output.dtype == "float16"
    assert {value.dtype for value in m(SMALL).values()} == {tf.float32}


# ------------------------------------------------------------------------------ feeding


def test_order_of_names_does_not_matter():
    x = feed(["text", "image", "vector"])
    m = model(list(x), {"ill": "binary"})
    want = m(x)
    for names in itertools.permutations(x):
        np.testing.assert_array_equal(m({n: x[n] for n in names}), want)


@pytest.fixture(scope="module")
def compiled():
    m = small()
    m.compile("adam", LOSSES)
    return m


def as_dataset(x):
    return tf.data.Dataset.from_tensor_slices((x, TARGETS)).batch(4)


@pytest.mark.parametrize(
    "how",
    [
        lambda m, x: m(x),
        lambda m, x: m.fit(x, TARGETS, verbose=0),
        lambda m, x: m.predict(x, verbose=0),
        lambda m, x: m.evaluate(x, TARGETS, verbose=0),
        lambda m, x: m.fit(as_dataset(x), verbose=0),
        lambda m, x: m.train_on_batch(x, TARGETS),
    ],
    ids=["call", "fit", "predict", "evaluate", "fit a dataset", "train_on_batch"],
)
def test_unknown_and_missing_names_are_errors(compiled, how):
    how(compiled, SMALL)
    with pytest.raises(ValueError, match="^unknown input 'label'; .* takes 'left', 'right'"):
        how(compiled, {"label": FEED["vector"], **SMALL})
    missing = {"left": SMALL["left"]}
    with pytest.raises(ValueError, match="(?s)right.*left"):
        how(compiled, missing)
    with pytest.raises(ValueError, match="(?s)right"):
        how(compiled, {**missing, "write": SMALL["right"]})


def test_the_trap_that_a_dict_of_inputs_sets():
    """A plain model built from a dict of Inputs swaps modalities when fed one name too many."""
    inputs = {name: keras.Input((2,), name=name) for name in ("text", "image")}
    plain = keras.Model(inputs, keras.ops.concatenate([inputs["text"], inputs["image"]], axis=1))
    x = {"text": np.zeros((1, 2), "float32"), "image": np.ones((1, 2), "float32")}
    extra = {"audio": np.full((1, 2), 9.0, "float32"), **x}
    assert plain.predict(x, verbose=0).tolist() == [[0, 0, 1, 1]]
    with pytest.warns(UserWarning, match="structure of `inputs`"):
        swapped = plain.predict(extra, verbose=0)
    assert swapped.tolist() != [[0, 0, 1, 1]], (
        "Keras has mended this: tell the readers of chapter 6"
    )

    ours = mm.multimodal_model(
        [mm.vector_branch(2, name=n) for n in ("text", "image")], {"y": "binary"}
    )
    with pytest.raises(ValueError, match="unknown input 'audio'"):
        ours.predict(extra, verbose=0)


# ------------------------------------------------------------------ branches of all kinds


def test_any_keras_model_is_a_branch_and_shares_its_weights():
    pixels = keras.Input((8, 8, 3), name="some_input")
    backbone = keras.Model(
        pixels,
        keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(5, 3)(pixels)),
        name="image",
    )
    table = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    m = mm.multimodal_model({"image": backbone, "table": table}, {"ill": "binary"})
    before = backbone.get_weights()[0].copy()
    m.compile("sgd", "binary_crossentropy")
    m.train_on_batch({"table": FEED["vector"], "image": FEED["image"]}, TARGETS["ill"])
    assert np.abs(backbone.get_weights()[0] - before).max() > 0


def test_a_frozen_branch_stays_frozen():
    frozen = mm.image_branch((8, 8, 3), encoder="conv", units=4)
    frozen.trainable = False
    before = [w.copy() for w in frozen.get_weights()]
    m = mm.multimodal_model({"image": frozen, "text": branch("text")}, {"ill": "binary"})
    m.compile("adam", "binary_crossentropy")
    m.train_on_batch(feed(["text", "image"]), TARGETS["ill"])
    for old, new in zip(before, frozen.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # moving statistics of the normalisation included


def test_one_encoder_for_two_modalities():
    shared = mm.vector_branch(3, units=4)
    m = mm.multimodal_model({"left": shared, "right": shared}, {"ill": "binary"})
    assert m.count_params() == shared.count_params() + 8 + 1


def test_a_layer_as_fusion():
    m = model(("text", "vector"), {"group": 4}, fusion=keras.layers.Multiply(name="product"))
    assert m.get_layer("product").output.shape == (None, 4)


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.Model):
    """A functional model that does more than its graph."""

    def call(self, x, training=None, mask=None):
        return 2 * super().call(x, training=training, mask=mask)


def test_a_branch_with_a_call_of_its_own_is_not_bypassed(tmp_path):
    x = keras.Input((3,))
    branch = Doubled(x, keras.layers.Dense(4, name="features")(x), name="table")
    m = mm.multimodal_model([branch], {"value": keras.layers.Identity()})
    np.testing.assert_allclose(m({"table": FEED["vector"]}), branch(FEED["vector"]), rtol=1e-6)
    m.compile("sgd", "mse")
    before = branch.get_weights()[0].copy()
    m.train_on_batch({"table": FEED["vector"]}, np.ones((N, 4)))
    assert np.abs(branch.get_weights()[0] - before).max() > 0
    m.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again(FEED["vector"]), m(FEED["vector"]), rtol=1e-6)


class Pairs(keras.layers.Layer):
    """A fusion that forgets to pool."""

    def call(self, features):
        return keras.ops.stack(features, axis=1)


@pytest.mark.parametrize("fusion", [Pairs(name="pairs"), keras.layers.Lambda(lambda x: x)])
def test_a_fusion_that_gives_no_vector_is_refused(fusion):
    with pytest.raises(ValueError, match=f"fusion '{fusion.name}'.*one vector per sample"):
        small(fusion=fusion)


@pytest.mark.parametrize("name", ["诊断", "a b", "größe", "_private", "a/b", ""])
def test_names_that_would_fail_later_fail_when_they_are_given(name):
    for build in (
        lambda: small({name: "binary"}),
        lambda: mm.multimodal_model({name: mm.vector_branch(3)}, {"y": "binary"}),
        lambda: mm.vector_branch(3, name=name),
        lambda: mm.text_branch(9, 3, name=name),
        lambda: mm.image_branch((8, 8, 3), name=name),
        lambda: mm.audio_branch(800, 8000, name=name),
        lambda: mm.signal_branch(40, name=name),
    ):
        with pytest.raises(ValueError, match="must be made of the letters A to Z"):
            build()


def test_odd_names_inside_are_found_too():
    x = keras.Input((3,), name="x")
    branch = keras.Model(x, keras.layers.Dense(2, name="erste Schicht")(x), name="table")
    with pytest.raises(ValueError, match="layer Dense must be made .*'erste Schicht'"):
        mm.multimodal_model([branch], {"y": "binary"})
    m = small({"a-1.b_C": "binary"})
    assert m.predict(SMALL, verbose=0).shape == (N, 1)


def test_quantized_it_loads(tmp_path, monkeypatch):
    """Sublayers of the fusion, the branches and the heads, each with its policy."""
    m = small(fusion="gated", missing=True)
    x = {**SMALL, "present": np.ones((N, 2), "float32")}
    with monkeypatch.context() as patch:
        patch.setattr(gc, "collect", lambda: 0)  # Keras would do it after each layer
        m.quantize("int8")
    want = m(x)
    m.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    for head, value in again(x).items():
        np.testing.assert_array_equal(value, want[head])
    assert again.get_layer("fusion").gates[0].quantization_mode == "int8"


def two_inputs():
    a, b = keras.Input((2,)), keras.Input((2,))
    return keras.Model([a, b], keras.layers.Add()([a, b]))


class Unbuilt(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("branches", "heads", "words"),
    [
        ([], {"y": "binary"}, "branches is empty"),
        (
            [mm.vector_branch(2), mm.vector_branch(3)],
            {"y": "binary"},
            "two branches are called 'vector'",
        ),
        ([mm.vector_branch(2)], {}, "heads must be a dict"),
        ([mm.vector_branch(2)], "binary", "heads must be a dict"),
        ([mm.vector_branch(2)], {"y": "softmax"}, "'softmax'"),
        ([mm.vector_branch(2)], {"y": 1}, 'use "binary"'),
        ([mm.vector_branch(2)], {"y": True}, "got True"),
        ([mm.vector_branch(2)], {"vector": "binary"}, "rename the head"),
        ([mm.vector_branch(2)], {"fusion": 3}, "rename the head"),
        ({"pair": two_inputs()}, {"y": "binary"}, "one input and one output, but it has 2 and 1"),
        ({"mine": Unbuilt()}, {"y": "binary"}, "no symbolic input yet"),
        ({"mine": "text"}, {"y": "binary"}, "must be a keras.Model"),
        (["text"], {"y": "binary"}, "branch 'text' must be a keras.Model"),
        (
            {"map": keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])},
            {"y": "binary"},
            "GlobalAveragePooling2D",
        ),
    ],
)
def test_wrong_arguments_say_what_would_work(branches, heads, words):
    with pytest.raises(ValueError) as caught:
        mm.multimodal_model(branches, heads)
    assert words in str(caught.value)


def test_fuse_alone():
    a, b = keras.Input((2,)), keras.Input((3,))
    assert mm.fuse([a, b]).shape == (None, 5)
    assert mm.fuse({"a": a}).shape == (None, 2)
    with pytest.raises(ValueError, match="unknown fusion 'glue'; choose 'concatenate'"):
        mm.fuse([a, b], "glue")
    with pytest.raises(ValueError, match="nothing to fuse"):
        mm.fuse([])


def test_a_model_is_a_part_of_another():
    """Fed by name, whatever the order of the names."""
    branches = {name: mm.text_branch(20, 5, units=4) for name in ("words", "title")}
    branches["picture"] = mm.image_branch((8, 8, 3), encoder="small", units=4)
    inner = mm.multimodal_model(branches, {"ill": "binary"})
    inputs = {name: keras.Input(inner.get_layer(f"{name}_encoder").input.shape[1:], name=name)
              for name in ("picture", "title", "words")}  # fmt: skip
    outer = keras.Model(list(inputs.values()), inner(inputs))
    x = {"picture": FEED["image"], "title": FEED["text"], "words": FEED["text"][::-1]}
    np.testing.assert_array_equal(outer(x), inner(x))


class CountsTraces(keras.layers.Layer):
    traces = 0

    def call(self, x):
        type(self).traces += 1
        return x


@pytest.mark.parametrize("metrics", [None, ["accuracy"], {"y": ["accuracy"], "z": ["accuracy"]}])
def test_the_first_fit_and_evaluate_trace_their_steps_once(metrics):
    x = keras.Input((3,))
    branch = keras.Model(x, CountsTraces()(x))
    heads = {"y": 2, "z": "binary"} if isinstance(metrics, dict) else {"y": 2}
    losses = ["sparse_categorical_crossentropy", "binary_crossentropy"][: len(heads)]
    model = mm.multimodal_model({"numbers": branch}, heads)
    model.compile("adam", dict(zip(heads, losses, strict=True)), metrics=metrics)
    data = {"numbers": np.ones((4, 3))}, {name: np.array([0, 1, 0, 1]) for name in heads}
    CountsTraces.traces = 0
    model.fit(*data, batch_size=2, verbose=0)
    assert CountsTraces.traces == 1
    model.compile("adam", dict(zip(heads, losses, strict=True)), metrics=metrics)
    assert len(model.evaluate(*data, verbose=0, return_dict=True)) >= len(heads)
    assert CountsTraces.traces == 2
