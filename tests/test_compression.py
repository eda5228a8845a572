"""Costs of layers, whole numbers for weights, thin factors, a teacher's loss."""

import keras
import numpy as np
import pytest
from keras import layers

import mmkeras as mm
from mmkeras.attention import AttentionBlock, PositionEmbedding
from mmkeras.compression import distillation_loss, factors, multiply_adds, quantize, soften


def test_multiply_adds_are_those_of_loops():
    pixels = keras.Input((7, 9, 3), name="image")
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(pixels)
    x = layers.DepthwiseConv2D(3, padding="valid", name="depthwise")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(pixels, layers.Dense(5, name="dense")(x))
    assert multiply_adds(model) == {
        "conv": 4 * 5 * 4 * 3 * 3 * 3,
        "depthwise": 2 * 3 * 4 * 3 * 3,
        "dense": 4 * 5,
    }


def test_a_group_of_channels_reads_only_its_own():
    pixels = keras.Input((4, 4, 6), name="image")
    model = keras.Model(pixels, layers.Conv2D(8, 1, groups=2, name="conv")(pixels))
    assert multiply_adds(model) == {"conv": 16 * 3 * 8}


def test_recurrent_layers_and_attention_are_counted_at_every_step():
    ids = keras.Input((10,), dtype="int32", name="text")
    x = layers.Embedding(50, 8, name="words")(ids)
    x = PositionEmbedding(name="places")(x)
    x = AttentionBlock(2, hidden=16, name="block")(x)
    model = keras.Model(ids, layers.LSTM(6, name="lstm")(x))
    attention = 10 * 4 * 8 * 8 + 2 * 10 * 10 * 8
    assert multiply_adds(model) == {
        "block": attention + 10 * 2 * 8 * 16,
        "lstm": 10 * 4 * (8 + 6) * 6,
    }


def test_layers_inside_a_branch_have_its_name_before_them():
    model = mm.multimodal_model(
        [mm.text_branch(20, 4, units=8), mm.vector_branch(3, units=8, name="numbers")], {"y": 2}
    )
    assert list(multiply_adds(model)) == [
        "text_encoder/features",
        "numbers_encoder/features",
        "y",
    ]


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match="'odd'.*not counted"):
        x = keras.Input((4, 6))
        multiply_adds(keras.Model(x, layers.EinsumDense("abc,cd->abd", (4, 5), name="odd")(x)))
    with pytest.raises(ValueError, match="'conv' has the open shape"):
        x = keras.Input((None, 3))
        multiply_adds(keras.Model(x, layers.Conv1D(2, 3, name="conv")(x)))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_every_value_is_at_most_half_a_step_off(bits, symmetric, axis):
    rng = np.random.default_rng(0)
    for values in (rng.normal(2, 1, (6, 40)), -rng.gamma(1, 1, (6, 40)), rng.normal(0, 9, (6, 40))):
        grid = quantize(values, bits, symmetric=symmetric, axis=axis)
        assert np.abs(grid.values() - values).max() <= (grid.scale / 2).max() * (1 + 1e-9)
        assert grid.numbers.dtype == np.int8
        assert grid.numbers.max() < 2 ** (bits - 1) and grid.numbers.min() >= -(2 ** (bits - 1))
        zeros = grid.scale * (np.round(0 / grid.scale + grid.zero) - grid.zero)
        assert (zeros == 0).all(), "0.0 stays 0.0"
        if symmetric:
            assert (grid.zero == 0).all()


def test_a_scale_per_channel_is_that_of_the_channel_alone():
    values = np.random.default_rng(1).normal(size=(5, 3)) * [1, 100, 0]
    whole = quantize(values, axis=1)
    for i in range(3):
        np.testing.assert_allclose(whole.values()[:, i], quantize(values[:, i]).values())
    assert whole.scale.shape == (1, 3)
    small = np.abs(whole.values() - values)[:, 0].max()
    assert small < np.abs(quantize(values).values() - values)[:, 0].max() / 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"values": []}, "at least one"),
        ({"values": [1, np.nan]}, "finite"),
        ({"bits": 9}, "bits must be an integer from 2 to 8"),
        ({"axis": 1}, "axis must be"),
    ],
)
def test_bad_values_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        quantize(**{"values": [1.0, 2.0], **change})


@pytest.mark.parametrize("shape", [(6, 9), (200, 5)])
def test_the_error_of_thin_factors_is_what_the_singular_values_leave_out(shape):
    kernel = np.random.default_rng(0).normal(size=shape)
    s = np.linalg.svd(kernel, compute_uv=False)
    for rank in (1, 3, min(shape)):
        left, right = factors(kernel, rank)
        assert left.shape == (shape[0], rank) and right.shape == (rank, shape[1])
        error = ((left.astype(float) @ right - kernel) ** 2).sum()
        np.testing.assert_allclose(error, (s[rank:] ** 2).sum(), atol=1e-4)
    with pytest.raises(ValueError, match="rank must be"):
        factors(kernel, min(shape) + 1)
    with pytest.raises(ValueError, match="finite matrix"):
        factors(kernel[0], 1)


def test_softening_divides_the_logits():
    logits = np.random.default_rng(0).normal(size=(4, 3)) * 3

    def softmax(z):
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    for t in (0.5, 1.0, 4.0):
        np.testing.assert_allclose(soften(softmax(logits), t), softmax(logits / t))
    np.testing.assert_allclose(soften([[1.0, 0.0]], 5.0), [[1.0, 0.0]])
    with pytest.raises(ValueError, match="temperature"):
        soften(softmax(logits), 0)
    with pytest.raises(ValueError, match="sum to 1"):
        soften(logits, 2)


def test_the_loss_is_that_of_the_formula_and_least_for_the_teachers_answer():
    rng = np.random.default_rng(0)
    p, teacher = rng.dirichlet(np.ones(3), 5), rng.dirichlet(np.ones(3), 5)
    truth = np.eye(3)[rng.integers(0, 3, 5)]
    t, share = 2.0, 0.7
    y = np.concatenate([soften(teacher, t), truth], axis=1).astype("float32")
    got = distillation_loss(3, t, share)(y, p.astype("float32"))
    taught = -(soften(teacher, t) * np.log(soften(p, t))).sum(axis=1) * t**2
    want = share * taught - (1 - share) * (truth * np.log(p)).sum(axis=1)
    np.testing.assert_allclose(got, want, rtol=1e-4)
    alone = distillation_loss(3, t, 1.0)
    assert (
        np.asarray(alone(y, teacher.astype("float32"))) <= np.asarray(alone(y, p.astype("float32")))
    ).all()
    for bad in ({"temperature": 0.0}, {"share": 1.5}, {"classes": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            distillation_loss(**{"classes": 3, **bad})
