"""MiniLM-L6: documented answers, a NumPy oracle, every tensor of the file, and as a branch."""

import functools

import keras
import numpy as np
import pytest
from optional import needs
from scipy.special import erf

import mmkeras as mm
from mmkeras import assets
from mmkeras.pretrained import bert_encoder, minilm_l6, minilm_tokenizer
from mmkeras.pretrained.minilm_l6 import WEIGHTS, _assign
from mmkeras.pretrained.weights import load_safetensors

LENGTH, UNITS, BLOCKS = 6, 8, 2
TINY = {"vocabulary_size": 12, "units": UNITS, "heads": 2, "blocks": BLOCKS}
IDS = np.array([[3, 7, 2, 0, 0, 0], [5, 1, 9, 4, 2, 8], [0] * LENGTH], "int32")  # the last is empty


def run(model, inputs):
    """The outputs at inference, without the seconds that `predict` takes to build a graph."""
    return np.asarray(model(inputs, training=False))


# ---- a small one, with a file that was made up --------------------------------------------------


def shapes(vocabulary=12, places=10, units=UNITS, blocks=BLOCKS):
    """The tensors of a weight file of BERT, name -> shape."""
    found = {
        "embeddings.position_ids": (1, places),
        "embeddings.word_embeddings.weight": (vocabulary, units),
        "embeddings.position_embeddings.weight": (places, units),
        "embeddings.token_type_embeddings.weight": (2, units),
        "embeddings.LayerNorm.weight": (units,),
        "embeddings.LayerNorm.bias": (units,),
        "pooler.dense.weight": (units, units),
        "pooler.dense.bias": (units,),
    }
    sizes = {
        "attention.self.query": (units, units), "attention.self.key": (units, units),
        "attention.self.value": (units, units), "attention.output.dense": (units, units),
        "attention.output.LayerNorm": (units,), "intermediate.dense": (4 * units, units),
        "output.dense": (units, 4 * units), "output.LayerNorm": (units,),
    }  # fmt: skip
    for name, size in sizes.items():
        for block in range(blocks):
            found[f"encoder.layer.{block}.{name}.weight"] = size
            found[f"encoder.layer.{block}.{name}.bias"] = size[:1]
    return found


@pytest.fixture(scope="module")
def tensors():
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.7, size).astype("float32") for name, size in shapes().items()}


def tiny(tensors, layer=BLOCKS, length=LENGTH, **options):
    model = bert_encoder(length, **(TINY | {"blocks": layer}), **options)
    _assign(model, tensors)
    return model


def oracle(tensors, ids, heads=2):
    """The states after the embeddings and after each block, in float64."""
    t = {name: x.astype("float64") for name, x in tensors.items()}

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        scaled = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * t[f"{name}.weight"] + t[f"{name}.bias"]

    def dense(x, name):
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def apart(x):
        return x.reshape(*ids.shape, heads, -1).swapaxes(1, 2)

    x = t["embeddings.word_embeddings.weight"][ids]
    x = x + t["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = norm(x + t["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    states = [x]
    for block in range(sum(name.endswith("output.dense.bias") for name in t) // 2):
        name = f"encoder.layer.{block}"
        q, k, v = (apart(dense(x, f"{name}.attention.self.{w}")) for w in ("query", "key", "value"))
        scores = np.where((ids > 0)[:, None, None], q @ k.swapaxes(2, 3), -1e9)
        e = np.exp((scores - scores[..., :1]) / np.sqrt(q.shape[-1]))
        told = (e / e.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(x.shape)
        x = norm(
            x + dense(told, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm"
        )
        h = dense(x, f"{name}.intermediate.dense")
        x = norm(
            x + dense(h * (1 + erf(h / np.sqrt(2))) / 2, f"{name}.output.dense"),
            f"{name}.output.LayerNorm",
        )
        states.append(x)
    return [x * (ids > 0)[..., None] for x in states]


def mean(states, ids):
    return states.sum(1) / np.maximum((ids > 0).sum(1, keepdims=True), 1)


def near(got, want, far=1e-5):
    assert np.abs(got - want).max() < far * np.abs(want).max()


@pytest.fixture(scope="module")
def want(tensors):
    """float64 states after the embeddings and after each block."""
    return oracle(tensors, IDS)


@pytest.fixture(scope="module")
def below(tensors):
    return tiny(tensors, layer=1, tokens=True)


@pytest.fixture(scope="module")
def whole(tensors):
    return tiny(tensors, normalize=True)


def test_numpy_computes_the_same(tensors, want, below, whole):
    near(run(tiny(tensors, layer=0), IDS), mean(want[0], IDS))
    near(run(below, IDS), want[1])
    vectors = mean(want[2], IDS)
    vectors[:2] /= np.linalg.norm(vectors[:2], axis=1, keepdims=True)  # the last stays 0
    near(run(whole, IDS), vectors)


def test_the_blocks_behind_others(tensors, want, below):
    """As if they were one, also when what is between them was kept as float16."""
    above = tiny(tensors, after=1)
    assert above.input_shape == (None, LENGTH, UNITS)
    states = run(below, IDS)
    near(run(above, states), mean(want[2], IDS))
    near(run(above, states.astype("float16").astype("float32")), mean(want[2], IDS), far=0.01)


def test_more_padding_does_not_matter(tensors, whole):
    model = tiny(tensors, length=9, normalize=True)
    near(run(model, np.pad(IDS, ((0, 0), (0, 3)))), run(whole, IDS))


@pytest.mark.parametrize("change", ["missing", "surplus", "shape"])
def test_a_file_that_does_not_fit_is_refused(tensors, whole, change):
    name, changed = "encoder.layer.1.attention.self.key.bias", dict(tensors)
    if change == "missing":
        del changed[name]
    elif change == "surplus":
        name = "encoder.layer.1.attention.distance.weight"
        changed[name] = np.zeros(3)
    else:
        name, changed[name] = "shape", np.zeros(3)
    before = whole.get_weights()
    with pytest.raises(ValueError, match=name):
        _assign(whole, changed)
    whole.set_weights(before)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"length": 1}, "length must be an integer from 2 to 512, got 1"),
        ({"length": 513}, "length must be an integer from 2 to 512, got 513"),
        ({"layer": 7}, "layer must be an integer from 0 to 6, got 7"),
        ({"layer": 2, "after": 3}, "after must be an integer from 0 to 2, got 3"),
        ({"tokens": True, "normalize": True}, "does not go with tokens"),
        ({"weights": "imagenet"}, 'expected "all-MiniLM-L6-v2" or None'),
        ({"name": "a b"}, "name must be made of"),
    ],
)
def test_arguments_that_cannot_work(options, match):
    with pytest.raises(ValueError, match=match):
        minilm_l6(**({"length": 8, "layer": 1} | options))


def test_a_random_start_needs_no_file(monkeypatch):
    monkeypatch.setattr(assets, "fetch", None)
    model = minilm_l6(9, layer=2, after=1, trainable=True, weights=None, name="words")
    assert (model.name, model.inputs[0].name, model.output_shape) == ("words", "words", (None, 384))
    assert model.count_params() == 1_774_464
    assert [layer.name for layer in model.layers] == ["words", "padding", "block_2", "average"]


def test_it_drops_into_a_multimodal_model(whole, tmp_path):
    """Under the name of the text branch; saved and loaded without the weight file."""
    model = mm.multimodal_model([whole, mm.vector_branch(2, units=3)], {"y": 2})
    x = {"vector": np.eye(3, 2, dtype="float32"), "text": IDS}
    model.save(tmp_path / "joint.keras")
    again = keras.saving.load_model(tmp_path / "joint.keras")
    np.testing.assert_allclose(run(again, x), run(model, x), atol=1e-6)


# ---- the real one -------------------------------------------------------------------------------

SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]


@functools.cache
def file():
    return load_safetensors(assets.fetch("minilm-l6") / WEIGHTS)


@pytest.mark.slow
@needs("minilm-l6")
def test_known_answers_and_numpy():
    """The cosines in the documentation of Sentence Transformers; float64 to 1e-5 and below."""
    ids = minilm_tokenizer()([*SENTENCES, "", "word " * 99], 24)
    vectors = run(minilm_l6(24, normalize=True), ids)
    cosines = (vectors @ vectors.T)[[0, 0, 1], [1, 2, 2]]
    np.testing.assert_allclose(cosines, [0.6660, 0.1046, 0.1411], atol=5e-5)
    assert np.flatnonzero(vectors.std(axis=0) < 1e-6).tolist() == [127, 223, 319]
    states = oracle(file(), ids, heads=12)
    want = mean(states[-1], ids)
    near(vectors, want / np.linalg.norm(want, axis=1, keepdims=True))
    near(run(minilm_l6(24, layer=4, tokens=True), ids), states[4])
    near(run(minilm_l6(24, after=4), states[4].astype("float32")), want)


@pytest.mark.slow
@needs("minilm-l6")
def test_every_tensor_of_the_file_is_in_the_model_once():
    left = {n: x.shape for n, x in file().items()}
    assert left == shapes(30_522, 512, 384, 6)
    model = minilm_l6(512, weights=None)
    assert model.count_params() == 22_368_000 + 384 * 512
    _assign(model, file())
    spare = {n for n in left if n.startswith("pooler") or n.endswith("position_ids")}
    kept = {n: x for n, x in file().items() if n not in spare and "embeddings." not in n}
    words = file()["embeddings.word_embeddings.weight"]

    def fingerprint(arrays):
        return sorted((x.size, np.sort(x, None).tobytes()) for x in arrays)

    embedding, places, gain, bias, *blocks = model.get_weights()
    np.testing.assert_array_equal(embedding, words)
    assert fingerprint(blocks) == fingerprint([x for n, x in kept.items()])
    for part, x in (("weight", gain), ("bias", bias)):
        np.testing.assert_array_equal(x, file()[f"embeddings.LayerNorm.{part}"])
