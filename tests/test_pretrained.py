"""EfficientNet-Lite0: known answers, a NumPy oracle, every weight; and the cache of features."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image
from sklearn.datasets import load_sample_image

import mmkeras as mm
from mmkeras import assets
from mmkeras.pretrained import cached_features, efficientnet_lite0, unfreeze
from mmkeras.pretrained.efficientnet_lite0 import STAGES, WEIGHTS
from mmkeras.pretrained.weights import load_torch

ENCODER = sys.modules["mmkeras.pretrained.efficientnet_lite0"]  # the function has its name

SHAPE = (32, 32, 3)
PICTURES = np.random.default_rng(0).integers(0, 256, (4, *SHAPE), dtype="uint8")


@pytest.fixture(scope="module")
def tensors():
    return load_torch(assets.fetch("efficientnet-lite0") / WEIGHTS)


@pytest.fixture(scope="module")
def classifier():
    return efficientnet_lite0(include_top=True)


@pytest.fixture(scope="module")
def encoder():
    return efficientnet_lite0(SHAPE)


@pytest.fixture(scope="module")
def features(encoder):
    return run(encoder, PICTURES)


def run(model, inputs):
    """The outputs at inference, without the seconds that `predict` takes to build a graph."""
    return model(inputs, training=False).numpy()


# ---- the network ----------------------------------------------------------------------------


def square(picture, size=224):
    """The middle of a photograph, scaled to size x size."""
    picture = Image.fromarray(picture)
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box))


@pytest.mark.slow
def test_known_answers(classifier):
    """Three photographs: ImageNet's 652 military uniform, 985 daisy, 698 palace.

    Grace Hopper in uniform is TensorFlow's own known answer. The flower is a dahlia: daisy is the
    nearest of the only two flowers in ImageNet. The building is in the Summer Palace in Beijing.
    """
    with get_sample_data("grace_hopper.jpg") as file:
        hopper = np.asarray(Image.open(file))
    photos = [hopper, load_sample_image("flower.jpg"), load_sample_image("china.jpg")]
    probabilities = classifier.predict(np.stack([square(photo) for photo in photos]), verbose=0)
    assert probabilities.argmax(-1).tolist() == [652, 985, 698]
    second, first = np.sort(probabilities, -1)[:, -2:].T
    assert (first > 1.3 * second).all()
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)


def conv(x, kernel, stride):
    """Depthwise (channels, 1, k, k) convolution of (n, h, w, channels) with TensorFlow's "same"."""
    k, out = kernel.shape[-1], [-(-side // stride) for side in x.shape[1:3]]
    total = [max((o - 1) * stride + k - side, 0) for o, side in zip(out, x.shape[1:3], strict=True)]
    x = np.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)])
    return sum(
        x[:, i : i + stride * out[0] : stride, j : j + stride * out[1] : stride][
            :, : out[0], : out[1]
        ]
        * kernel[:, 0, i, j]
        for i in range(k)
        for j in range(k)
    )


@pytest.mark.slow
def test_numpy_computes_the_same_features(tensors, features):
    def bn(x, prefix, low=0.0, high=6.0):
        gain, bias, mean, var = (
            tensors[f"{prefix}.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return np.clip((x - mean) / np.sqrt(var + 1e-3) * gain + bias, low, high)

    def dense(x, prefix):
        return x @ tensors[f"{prefix}.weight"][:, :, 0, 0].T

    x = (PICTURES.astype("float32") - 127) / 128
    stem = tensors["_conv_stem.weight"]
    x = np.stack([conv(x, kernel[:, None], 2).sum(-1) for kernel in stem], -1)
    x, number = bn(x, "_bn0"), 0
    for repeats, _, stride, expansion, _ in STAGES:
        for repeat in range(repeats):
            block, start = f"_blocks.{number}.", x
            if expansion > 1:
                x = bn(dense(x, f"{block}_expand_conv"), f"{block}_bn0")
            kernel = tensors[f"{block}_depthwise_conv.weight"]
            x = bn(conv(x, kernel, 1 if repeat else stride), f"{block}_bn1")
            x = bn(dense(x, f"{block}_project_conv"), f"{block}_bn2", -np.inf, np.inf)
            x = x + start if repeat else x  # at the later blocks of a stage the shapes agree
            number += 1
    x = bn(dense(x, "_conv_head"), "_bn1").mean((1, 2))
    np.testing.assert_allclose(features, x, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_weight_count_by_formula(classifier, encoder):
    norm = lambda width: 4 * width  # noqa: E731  gain, bias, and two statistics
    count, width = 3 * 3 * 3 * 32 + norm(32), 32
    for repeats, kernel, _, expansion, filters in STAGES:
        for _ in range(repeats):
            wide = width * expansion
            count += width * wide + norm(wide) if expansion > 1 else 0
            count += kernel**2 * wide + norm(wide) + wide * filters + norm(filters)
            width = filters
    count += width * 1280 + norm(1280)
    assert encoder.count_params() == count == 3_413_024
    assert classifier.count_params() == count + 1280 * 1000 + 1000 == 4_694_024


@pytest.mark.slow
def test_every_tensor_of_the_file_is_in_the_model_once(tensors, classifier):
    def fingerprint(arrays):
        return sorted((x.size, np.sort(x, None).tobytes()) for x in arrays)

    steps = [key for key in tensors if key.endswith("num_batches_tracked")]
    kept = [x for key, x in tensors.items() if key not in steps]
    assert len(tensors) == 296 and len(steps) == 49
    assert fingerprint(kept) == fingerprint(classifier.get_weights())


@pytest.mark.slow
@pytest.mark.parametrize("change", ["missing", "surplus"])
def test_a_file_that_does_not_fit_is_refused(tensors, monkeypatch, change):
    changed, name = dict(tensors), "_blocks.3._bn1.bias"
    if change == "missing":
        del changed[name]
    else:
        name = "_blocks.3._se_reduce.weight"
        changed[name] = np.zeros(3)
    monkeypatch.setattr(ENCODER, "load_torch", lambda path: changed)
    with pytest.raises(ValueError, match=name):
        efficientnet_lite0(SHAPE)


@pytest.mark.parametrize(
    "shape",
    [(224, 224), 224, None, (None, None, 3), (96, 96, 1), (31, 96, 3), (96, 31, 3), (96.0, 96, 3)],
)
def test_shapes_that_cannot_work(shape):
    with pytest.raises(ValueError, match=r"expected \(height, width, 3\).*at least 32"):
        efficientnet_lite0(shape, weights=None)


def test_unknown_weights():
    with pytest.raises(ValueError, match='expected "imagenet" or None'):
        efficientnet_lite0(SHAPE, weights="noisy-student")


@pytest.mark.slow
def test_a_random_start_needs_no_file(monkeypatch, encoder):
    monkeypatch.setattr(assets, "fetch", None)
    model = efficientnet_lite0([np.int64(64), 33, 3], weights=None, name="image")
    assert (model.name, model.output_shape, model.input_shape[1:]) == (
        "image",
        (None, 1280),
        (64, 33, 3),
    )
    assert [x.shape for x in model.weights] == [x.shape for x in encoder.weights]
    assert not np.array_equal(model.get_weights()[0], encoder.get_weights()[0])


@pytest.mark.slow
def test_layer_names_are_readable_and_do_not_count_up(encoder):
    names = [layer.name for layer in encoder.layers]
    assert names == [layer.name for layer in efficientnet_lite0(SHAPE, weights=None).layers]
    assert {"pixels", "stem_conv", "block2a_expand_conv", "block6d_add", "top_bn", "pool"} < {
        *names
    }


@pytest.mark.slow
def test_float_pixels_single_pictures_and_extremes(encoder, features):
    np.testing.assert_array_equal(run(encoder, PICTURES.astype("float32")), features)
    np.testing.assert_allclose(run(encoder, PICTURES[:1]), features[:1], rtol=1e-3, atol=1e-4)
    flat = run(encoder, np.stack([np.zeros(SHAPE), np.full(SHAPE, 255)]))
    assert flat.min() >= 0 and flat.max() <= 6 and np.ptp(flat, 0).max() > 0.1


@pytest.mark.slow
def test_mixed_precision(features):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = efficientnet_lite0(SHAPE, include_top=True)
    finally:
        keras.config.set_dtype_policy(before)
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    assert model.output.dtype == "float32"
    pool = keras.Model(model.input, model.get_layer("pool").output)
    half = run(pool, PICTURES)
    assert half.dtype == np.float16
    cosine = (
        (half * features).sum(-1)
        / np.linalg.norm(half, axis=-1)
        / np.linalg.norm(features, axis=-1)
    )
    assert cosine.min() > 0.99


# ---- as a branch ----------------------------------------------------------------------------


BATCH = {"image": PICTURES.astype("float32"), "facts": np.eye(4, 2, dtype="float32")}


def fitted_joint(trainable, **options):
    """An encoder, the model it is a branch of, and for each weight of both: did `fit` keep it?"""
    keras.utils.set_random_seed(0)
    image = efficientnet_lite0(SHAPE, trainable)
    model = mm.multimodal_model({"image": image, "facts": mm.vector_branch(2, units=3)}, {"y": 2})
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", **options)
    before = image.get_weights(), model.get_weights()
    model.fit(BATCH, np.array([0, 1, 0, 1]), batch_size=2, epochs=2, verbose=0)
    after = image.get_weights(), model.get_weights()
    kept = [list(map(np.array_equal, *pair)) for pair in zip(before, after, strict=True)]
    return image, model, *kept


@pytest.fixture(scope="module")
def frozen():
    return fitted_joint(trainable=False)


@pytest.mark.slow
def test_frozen_means_every_bit_of_it(frozen, features):
    image, _, image_kept, model_kept = frozen
    assert len(image_kept) == 49 * 5 and all(image_kept)
    assert not all(model_kept)  # the head has learned
    assert not image.trainable_weights
    np.testing.assert_array_equal(run(image, PICTURES), features)


@pytest.mark.slow
def test_fine_tuning_reaches_every_weight_and_statistic():
    image, _, kept, _ = fitted_joint(trainable=True, run_eagerly=True)
    stuck = [weight.path for weight, same in zip(image.weights, kept, strict=True) if same]
    # What follows a projection is 1x1 convolutions, each with a BatchNorm that takes the mean away:
    # the shift of a projection has no gradient but rounding errors while batches are normalised.
    assert [path for path in stuck if not path.endswith("project_bn/beta")] == []
    assert len(image.trainable_weights) == 49 * 3


@pytest.mark.slow
def test_saved_models_need_no_weight_file(frozen, tmp_path, monkeypatch):
    _, model, *_ = frozen
    model.save(tmp_path / "joint.keras")
    monkeypatch.setattr(assets, "fetch", None)
    again = keras.saving.load_model(tmp_path / "joint.keras")
    np.testing.assert_allclose(run(again, BATCH), run(model, BATCH), atol=1e-6)
    assert len(again.trainable_weights) == len(model.trainable_weights) > 0


@pytest.mark.slow
def test_config_round_trip(encoder, features):
    clone = keras.Model.from_config(encoder.get_config())
    assert not clone.trainable_weights
    clone.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(run(clone, PICTURES), features)


@pytest.mark.slow
def test_inner_features_and_the_network_behind_them(encoder, features, tmp_path):
    inner = encoder.get_layer("block5c_add").output
    maps = cached_features(keras.Model(encoder.input, inner), PICTURES, cache=tmp_path)
    assert maps.dtype == np.float16 and maps.shape == (4, 2, 2, 112)
    behind = keras.Model(inner, encoder.output)
    np.testing.assert_allclose(run(behind, maps.astype("float32")), features, atol=0.02)


def test_the_last_blocks_without_their_batch_normalisation():
    model = efficientnet_lite0(SHAPE, weights=None)

    def trained():
        return [layer.name for layer in model.layers if layer.trainable_weights]

    unfreeze(model, top=2)
    assert trained()[-1] == "top_conv" and not [x for x in trained() if x.endswith("_bn")]
    assert {name.split("_")[0] for name in trained()} == {"block6d", "block7a", "top"}
    unfreeze(model)
    assert trained()[0] == "stem_conv" and len(trained()) == 49
    with pytest.raises(ValueError, match="top must be an integer from 0 to 16, got 17"):
        unfreeze(model, top=17)


# ---- the cache of features ------------------------------------------------------------------


class Counted(keras.Model):
    """A functional model that counts how often it computes, at once and without a graph."""

    computed = 0

    def predict(self, inputs, **options):
        self.computed += 1
        return run(self, inputs)


def small(kind=Counted, rate=0.5):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,), name="x")
    x = keras.layers.BatchNormalization(name="norm")(inputs)
    x = keras.layers.Dropout(rate, name="drop")(keras.layers.Dense(3, name="dense")(x))
    return kind(inputs, x, name="small")


X = np.random.default_rng(1).normal(size=(7, 5)).astype("float32")


def test_features_are_computed_once_per_content(tmp_path):
    model = small()
    first = cached_features(model, X, cache=tmp_path)
    assert first.dtype == np.float32 and first.shape == (7, 3)
    np.testing.assert_array_equal(first, run(model, X))
    model.computed, twin = 0, small()  # built again: the same content
    for again in (model, twin):
        np.testing.assert_array_equal(cached_features(again, X, cache=tmp_path), first)
    np.testing.assert_array_equal(cached_features(model, X.copy("F"), cache=tmp_path), first)
    assert model.computed == twin.computed == 0
    assert len([*tmp_path.glob("*.npz")]) == 1 and not [*tmp_path.glob("*.part")]


@pytest.mark.parametrize(
    "change", ["pixel", "order", "dtype", "shape", "weight", "statistic", "config"]
)
def test_any_change_is_computed_anew(tmp_path, change):
    model, x = small(), X.copy()
    cached_features(model, x, cache=tmp_path)
    if change == "pixel":
        x[6, 4] = np.nextafter(x[6, 4], 9)
    elif change == "order":
        x = x[::-1]
    elif change == "dtype":
        x = x.view("int32")  # the same bytes
    elif change == "shape":
        x = x[:6]
    elif change == "config":
        model = small(rate=0.4)
    else:
        weight = model.get_layer("dense" if change == "weight" else "norm").weights[-1]
        weight.assign(weight + 1)
    model.computed = 0
    result = cached_features(model, x, cache=tmp_path)
    np.testing.assert_array_equal(result, run(model, x).astype("float32"))
    assert model.computed == 1 and len([*tmp_path.glob("*.npz")]) == 2


def test_a_model_may_be_trained_between_calls(tmp_path):
    model = small(keras.Model)  # Keras' own predict, in batches: no dropout
    before = cached_features(model, X, cache=tmp_path, batch_size=3)
    np.testing.assert_allclose(before, run(model, X), rtol=1e-5)
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(X, np.ones((7, 3)), verbose=0)
    after = cached_features(model, X, cache=tmp_path, batch_size=3)
    np.testing.assert_allclose(after, run(model, X), rtol=1e-5)
    assert not np.allclose(before, after)


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:-30], lambda data: b"garbage " * 40, flip],
    ids=["empty", "truncated", "garbage", "one bit"],
)
def test_a_damaged_file_is_replaced(tmp_path, damage):
    model = small()
    first = cached_features(model, X, cache=tmp_path)
    (file,) = tmp_path.glob("*.npz")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert file.read_bytes() != whole
    np.testing.assert_array_equal(cached_features(model, X, cache=tmp_path), first)
    assert model.computed == 2
    np.testing.assert_array_equal(cached_features(model, X, cache=tmp_path), first)
    assert model.computed == 2


@pytest.mark.parametrize("stored", [{"other": X}, {"features": X}, {"features": X[:, :3] > 0}])
def test_a_file_with_other_contents_is_replaced(tmp_path, stored):
    model = small()
    first = cached_features(model, X, cache=tmp_path)
    (file,) = tmp_path.glob("*.npz")
    np.savez(file, **stored)
    np.testing.assert_array_equal(cached_features(model, X, cache=tmp_path), first)


def test_calls_at_the_same_time_compute_once(tmp_path):
    model = small()
    with ThreadPoolExecutor(4) as pool:
        results = [*pool.map(lambda _: cached_features(model, X, cache=tmp_path), range(4))]
    assert model.computed == 1
    assert all(np.array_equal(result, results[0]) for result in results)


def test_a_folder_that_cannot_be_written_costs_the_cache_not_the_features(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    model = small()
    with pytest.warns(UserWarning, match="features cannot be cached"):
        result = cached_features(model, X, cache=tmp_path / "file" / "features")
    np.testing.assert_allclose(result, run(model, X), rtol=1e-5)


@pytest.mark.slow
def test_pictures_go_to_the_cache_of_the_assets(encoder, features, tmp_path, monkeypatch):
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path))
    np.testing.assert_allclose(cached_features(encoder, PICTURES), features, rtol=1e-3, atol=1e-4)
    assert len([*Path(tmp_path, "features").glob("*.npz")]) == 1


def sequences(scale=1.0):
    """A model from five numbers to three times two."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,), name="x")
    x = keras.layers.Dense(6, name="dense")(inputs)
    x = keras.layers.Rescaling(scale, name="scale")(x)
    return Counted(inputs, keras.layers.Reshape((3, 2), name="steps")(x), name="sequences")


def test_sequences_are_kept_in_half_the_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["mmkeras.pretrained.features"], "ROWS", 3)
    model = sequences()
    first = cached_features(model, X, cache=tmp_path, batch_size=2)
    assert model.computed == 2  # four rows at a time: whole batches of two
    assert first.dtype == np.float16 and first.shape == (7, 3, 2)
    np.testing.assert_allclose(first, run(model, X), rtol=5e-4)
    np.testing.assert_array_equal(cached_features(model, X, cache=tmp_path), first)
    assert model.computed == 2


def test_numbers_that_are_too_large_for_half_the_bytes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"features up to .*e\+0\d do not fit float16"):
        cached_features(sequences(1e6), X, cache=tmp_path)
    lost = cached_features(sequences(np.inf), X, cache=tmp_path)
    assert np.isinf(lost).any()  # what the model says is given as it is


def test_the_folder_keeps_what_was_used_last(tmp_path):
    model = small()
    size = 0
    for n in (7, 6, 5):
        cached_features(model, X[:n], cache=tmp_path)
        size = size or next(tmp_path.glob("*.npz")).stat().st_size
        for file in tmp_path.glob("*.npz"):  # a second passes
            os.utime(file, ns=(0, file.stat().st_mtime_ns - 10**9))
    cached_features(model, X, cache=tmp_path)  # used again
    cached_features(model, X[:4], cache=tmp_path, max_bytes=2 * size)
    assert len([*tmp_path.glob("*.npz")]) == 2
    model.computed = 0
    for n, computed in ((7, 0), (4, 0), (6, 1)):
        cached_features(model, X[:n], cache=tmp_path, max_bytes=9 * size)
        assert model.computed == computed
    with pytest.warns(UserWarning, match="84 bytes are more than max_bytes=83"):
        large = cached_features(small(rate=0.1), X, cache=tmp_path, max_bytes=83)
    assert large.shape == (7, 3)


def test_what_cannot_be_cached_is_named(tmp_path):
    for images in (X[:0], X[:, :4], X[0], X[..., None], np.array([["a"] * 5]), np.array([None])):
        with pytest.raises(ValueError, match=r"expected numbers of shape \(n, 5\), n at least 1"):
            cached_features(small(), images, cache=tmp_path)
    a, b = keras.Input((5,)), keras.Input((5,))
    for model in (keras.Model([a, b], a + b), keras.Model(a, [a, a * 2]), keras.Sequential()):
        with pytest.raises(ValueError, match="one input and one output"):
            cached_features(model, X, cache=tmp_path)
    with pytest.raises(ValueError, match="batch_size must be a positive integer, got 0"):
        cached_features(small(), X, cache=tmp_path, batch_size=0)
    assert not [*tmp_path.iterdir()]


def test_a_model_may_leave_its_sizes_open(tmp_path):
    inputs = keras.Input((None,), name="x")
    model = Counted(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs), name="open")
    for _ in range(2):
        np.testing.assert_array_equal(cached_features(model, X, cache=tmp_path), X * 2)
    assert model.computed == 1
