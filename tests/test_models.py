"""fuse() and multimodal_model(): composition, heads, feeding by name, and the traps around it."""

import itertools

import keras
import numpy as np
import onnxruntime
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


SUBSETS = [s for k in range(1, 5) for s in itertools.combinations(FEED, k)]


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_any_set_of_branches(names):
    m = model(names, {"group": 4})
    assert [x.name for x in m.inputs] == list(names)
    assert m.count_params() == sum(branch(n).count_params() for n in names) + 4 * len(names) * 4 + 4
    assert m.predict(feed(names), verbose=0).shape == (N, 4)


def test_concatenation_equals_numpy():
    m = model()
    parts = [m.get_layer(f"{n}_encoder").predict(FEED[n], verbose=0) for n in FEED]
    joint = np.concatenate(parts, axis=1)
    want = {
        h: joint @ m.get_layer(h).get_weights()[0] + m.get_layer(h).get_weights()[1] for h in HEADS
    }
    want["ill"] = 1 / (1 + np.exp(-want["ill"]))
    want["group"] = np.exp(want["group"]) / np.exp(want["group"]).sum(1, keepdims=True)
    got = m.predict(FEED, verbose=0)
    for head in HEADS:
        np.testing.assert_allclose(got[head], want[head], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_one_head_is_a_tensor_and_takes_a_plain_loss(head):
    m = model(heads={head: HEADS[head]})
    assert isinstance(m.output, keras.KerasTensor)
    m.compile("adam", LOSSES[head])
    history = m.fit(FEED, TARGETS[head], epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_several_heads_are_a_dict():
    m = model()
    m.compile("adam", LOSSES, metrics={"group": ["accuracy"]})
    history = m.fit(FEED, TARGETS, verbose=0).history
    assert set(m.predict(FEED, verbose=0)) == set(HEADS)
    assert {"ill_loss", "group_accuracy"} <= set(history)


def test_gradient_reaches_every_weight():
    m = model()
    with tf.GradientTape() as tape:
        out = m(FEED, training=True)
        loss = sum(tf.reduce_sum(o * np.linspace(1, 2, o.shape[-1])) for o in out.values())
    for weight, grad in zip(
        m.trainable_variables, tape.gradient(loss, m.trainable_variables), strict=True
    ):
        assert np.abs(tf.convert_to_tensor(grad)).max() > 0, weight.path


@pytest.mark.parametrize("heads", [HEADS, {"ill": "binary"}], ids=["three heads", "one head"])
def test_round_trips(heads, tmp_path):
    m = model(heads=heads)
    flat = lambda out: np.concatenate([np.asarray(x) for x in keras.tree.flatten(out)], 1)  # noqa: E731
    want = flat(m.predict(FEED, verbose=0))
    clone = type(m).from_config(m.get_config())
    clone.set_weights(m.get_weights())
    np.testing.assert_array_equal(flat(clone.predict(FEED, verbose=0)), want)
    m.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(flat(loaded.predict(FEED, verbose=0)), want)
    with pytest.raises(ValueError, match="unknown input 'picture'"):
        loaded.predict({**FEED, "picture": FEED["image"]}, verbose=0)
    m.export(tmp_path / "saved", verbose=False)
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    served = saved.signatures["serving_default"]
    by_name = {t.name: tf.constant(FEED[t.name], t.dtype) for t in m.inputs}
    out = served(**by_name)
    if len(heads) > 1:
        np.testing.assert_allclose(flat([out[h] for h in sorted(out)]), want, atol=1e-5)
    else:
        np.testing.assert_allclose(flat(out), want, atol=1e-5)


def test_mixed_precision_keeps_heads_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        m = model()
    finally:
        keras.config.set_dtype_policy("float32")
    assert m.get_layer("text_encoder").output.dtype == "float16"
    full = model()
    full.set_weights(m.get_weights())
    for head, got in m.predict(FEED, verbose=0).items():
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, full.predict(FEED, verbose=0)[head], atol=0.05)


def test_a_batch_of_one():
    m = model()
    m.compile("adam", LOSSES)
    m.fit(feed(FEED, 1), {h: y[:1] for h, y in TARGETS.items()}, verbose=0)
    assert all(np.isfinite(w).all() for w in m.get_weights())
    assert m.predict(feed(FEED, 1), verbose=0)["group"].shape == (1, 4)


# ------------------------------------------------------------------------------ feeding


def test_order_of_names_does_not_matter():
    m = model()
    want = m.predict(FEED, verbose=0)["ill"]
    for names in itertools.permutations(FEED):
        np.testing.assert_array_equal(
            m.predict({n: FEED[n] for n in names}, verbose=0)["ill"], want
        )


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
def test_unknown_and_missing_names_are_errors(how):
    m = model()
    m.compile("adam", LOSSES)
    how(m, FEED)
    with pytest.raises(
        ValueError, match="^unknown input 'label'; this model takes 'text', 'image'"
    ):
        how(m, {"label": FEED["text"], **FEED})
    missing = {k: v for k, v in FEED.items() if k != "audio"}
    with pytest.raises(ValueError, match="(?s)audio.*text"):
        how(m, missing)
    with pytest.raises(ValueError, match="(?s)audio"):
        how(m, {**missing, "sound": FEED["audio"]})


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
    m.fit({"table": FEED["vector"], "image": FEED["image"]}, TARGETS["ill"], verbose=0)
    assert np.abs(backbone.get_weights()[0] - before).max() > 0


def test_a_frozen_branch_stays_frozen():
    frozen = mm.image_branch((8, 8, 3), encoder="conv", units=4)
    frozen.trainable = False
    before = [w.copy() for w in frozen.get_weights()]
    m = mm.multimodal_model({"image": frozen, "text": branch("text")}, {"ill": "binary"})
    m.compile("adam", "binary_crossentropy")
    m.fit(feed(["text", "image"]), TARGETS["ill"], verbose=0)
    for old, new in zip(before, frozen.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # moving statistics of the normalisation included


def test_one_encoder_for_two_modalities():
    shared = mm.vector_branch(3, units=4)
    m = mm.multimodal_model({"left": shared, "right": shared}, {"ill": "binary"})
    assert m.count_params() == shared.count_params() + 8 + 1


def test_a_layer_as_fusion():
    m = model(("text", "vector"), {"group": 4}, fusion=keras.layers.Multiply(name="product"))
    assert m.get_layer("product").output.shape == (None, 4)


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
    branches = {name: branch_of("text", "average") for name in ("words", "title")}
    branches["picture"] = branch_of("image", "small")
    inner = mm.multimodal_model(branches, {"ill": "binary"})
    inputs = {name: keras.Input(inner.get_layer(f"{name}_encoder").input.shape[1:], name=name)
              for name in ("picture", "title", "words")}  # fmt: skip
    outer = keras.Model(list(inputs.values()), inner(inputs))
    x = {"picture": FEED["image"], "title": FEED["text"], "words": FEED["text"][::-1]}
    np.testing.assert_array_equal(outer(x), inner(x))


# ------------------------------------------------------------------------------ export


def branch_of(kind, encoder):
    size = {"text": (20, 5), "image": ((8, 8, 3),), "audio": (400, 8000)}[kind]
    return getattr(mm, f"{kind}_branch")(*size, encoder=encoder, units=4)


@pytest.mark.parametrize(
    ("kind", "encoder", "format", "layer"),
    [
        ("text", "lstm", "litert", "LSTM"),
        ("audio", "gru", "litert", "GRU"),
        ("text", "transformer", "onnx", "gelu"),
        ("image", "patch", "onnx", "gelu"),
        ("audio", "conv", "onnx", "LogMel"),
    ],
)
def test_what_would_be_written_broken_is_refused_by_name(kind, encoder, format, layer, tmp_path):
    m = mm.multimodal_model([branch_of(kind, encoder)], {"ill": "binary"})
    target = tmp_path / {"litert": "m.tflite", "onnx": "m.onnx"}[format]
    with pytest.raises(ValueError, match=f"layer '.*{layer}.*use format='tf_saved_model'"):
        m.export(target, format=format, verbose=False)
    assert not target.exists()


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_litert_gives_the_same_numbers(tmp_path):
    """Every branch that LiteRT can hold, with the mask and the stand-ins, in one file."""
    kinds = {"words": ("text", "average"), "picture": ("image", "conv"), "clip": ("audio", "conv")}
    branches = {name: branch_of(*which) for name, which in kinds.items()}
    m = mm.multimodal_model(branches, {"ill": "binary"}, fusion="gated", missing=True)
    x = dict(zip(kinds, (FEED["text"], FEED["image"], FEED["audio"]), strict=True))
    x = {n: v[:3].astype(m.get_layer(f"{n}_encoder").input.dtype) for n, v in x.items()}
    x["present"] = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 0]], "float32")
    m.export(tmp_path / "m.tflite", format="litert", verbose=False)
    runner = tf.lite.Interpreter(str(tmp_path / "m.tflite")).get_signature_runner()
    (got,) = runner(**x).values()
    np.testing.assert_allclose(got, np.asarray(m(x)), atol=1e-5)


@pytest.mark.filterwarnings("ignore:In the future `np.object`")
def test_onnx_gives_the_same_numbers(tmp_path):
    """Branches that ONNX can hold, recurrent ones too, with the mask and the stand-ins."""
    kinds = {"words": ("text", "lstm"), "title": ("text", "conv"), "picture": ("image", "conv")}
    branches = {name: branch_of(*which) for name, which in kinds.items()}
    m = mm.multimodal_model(branches, {"ill": "binary"}, fusion="gated", missing=True)
    x = dict(zip(kinds, (FEED["text"], FEED["text"], FEED["image"]), strict=True))
    x = {n: v[:3].astype(m.get_layer(f"{n}_encoder").input.dtype) for n, v in x.items()}
    x["present"] = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 0]], "float32")
    m.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    (got,) = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, x)
    np.testing.assert_allclose(got, np.asarray(m(x)), atol=1e-5)
