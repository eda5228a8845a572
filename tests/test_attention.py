"""Attention against NumPy and against Keras' own layer, masks, and files of before."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import erf

import mmkeras.models  # noqa: F401  registers the classes in the files of before
from mmkeras.attention import AttentionBlock, MultiHeadAttention, scaled_dot_product_attention

RNG = np.random.default_rng(0)
N, T, S, U, D = 3, 5, 4, 8, 6
X, MEMORY = (RNG.normal(size=s).astype("float32") for s in ((N, T, U), (N, S, D)))
SEEN = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], "float32")


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_the_formula_in_numpy() -> None:
    q, k, v = (RNG.normal(size=(2, n, d)).astype("float32") for n, d in ((3, 4), (5, 4), (5, 2)))
    mask = RNG.random((2, 3, 5)) < 0.5
    mask[:, 0] = False  # nothing may be looked at
    got, weights = scaled_dot_product_attention(q, k, v, mask)
    for n in range(2):
        assert not np.asarray(weights[n])[~mask[n]].any() and not np.asarray(got[n, 0]).any()
        for t in (1, 2):
            there = mask[n, t]
            want = softmax(q[n, t] @ k[n, there].T / np.sqrt(4))
            np.testing.assert_allclose(np.asarray(weights)[n, t, there], want, atol=1e-6)
            np.testing.assert_allclose(got[n, t], want @ v[n, there], atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 3, 16])
def test_the_same_numbers_as_keras(heads: int, causal: bool) -> None:
    """With the same weights; 3 does not divide the width, 16 is above it."""
    ours = MultiHeadAttention(heads, use_bias=True, causal=causal)
    memory = X if causal else MEMORY
    seen = np.ones((N, memory.shape[1]), "float32") if causal else SEEN
    ours(X, memory, seen)
    weights = [RNG.normal(0, 0.5, w.shape) for w in ours.get_weights()]
    ours.set_weights(weights)
    theirs = keras.layers.MultiHeadAttention(heads, max(U // heads, 1))
    theirs.build((N, T, U), memory.shape)
    theirs.set_weights([w.reshape(v.shape) for w, v in zip(weights, theirs.weights, strict=True)])
    got, scores = ours(X, memory, seen, return_attention_scores=True)
    want, theirs_scores = theirs(
        X, memory, attention_mask=seen[:, None] > 0, use_causal_mask=causal,
        return_attention_scores=True,
    )  # fmt: skip
    there = seen.any(1)  # where nothing may be looked at, theirs looks everywhere
    np.testing.assert_allclose(got[there], np.asarray(want)[there], atol=1e-5)
    np.testing.assert_allclose(scores[there], np.asarray(theirs_scores)[there], atol=1e-6)
    np.testing.assert_allclose(got[~there], np.broadcast_to(weights[-1], got[~there].shape))
    assert ours.count_params() == theirs.count_params()


def test_the_block_in_numpy() -> None:
    block = AttentionBlock(2)
    block(X, MEMORY, SEEN)
    for w in block.weights:
        w.assign(RNG.normal(0, 0.5, w.shape))

    def norm(x: np.ndarray, layer: Any) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return scaled * layer.gamma.numpy() + layer.beta.numpy()

    seen = block.attention(norm(X, block.norms[0]), norm(MEMORY, block.norms[1]), SEEN)
    x = X + np.asarray(seen)
    np.testing.assert_allclose(x[2], X[2])  # it had nothing to look at
    (w1, b1), (w2, b2) = block.wide.get_weights(), block.narrow.get_weights()
    want = x + np.maximum(norm(x, block.norms[2]) @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(block(X, MEMORY, SEEN), want, atol=1e-4)
    heads, k = 2, U // 2
    attention = 2 * U * heads * k + 2 * D * heads * k
    assert block.count_params() == attention + 2 * (2 * U + D) + 4 * U * U + 3 * U


@pytest.mark.parametrize("memory", [None, MEMORY])
def test_the_post_norm_block_in_numpy(memory: Any) -> None:
    """As in BERT: the sums are normalised, and the memory is not; the hidden layer is 4·u wide."""
    block = AttentionBlock(2, "gelu", True, post_norm=True, hidden=4 * U, epsilon=1e-12)
    told, seen = (X, None) if memory is None else (MEMORY, SEEN)
    block(X, memory, seen)
    for w in block.weights:
        w.assign(RNG.normal(0, 0.5, w.shape))

    def norm(x: np.ndarray, layer: Any) -> np.ndarray:
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return scaled * layer.gamma.numpy() + layer.beta.numpy()

    x = norm(X + np.asarray(block.attention(X, told, memory_mask=seen)), block.norms[0])
    (w1, b1), (w2, b2) = block.wide.get_weights(), block.narrow.get_weights()
    wide = x @ w1 + b1
    wide = wide * (1 + erf(wide / np.sqrt(2))) / 2  # gelu without an approximation
    want = norm(x + wide @ w2 + b2, block.norms[1])
    np.testing.assert_allclose(block(X, memory, seen), want, atol=1e-4)
    attention = 4 * U + 2 * U * U + 2 * told.shape[-1] * U  # two heads of U / 2 features each
    assert block.count_params() == attention + 4 * U + 8 * U * U + 5 * U


def test_masks_of_keras_are_respected() -> None:
    ids = np.array([[3, 5, 0, 0], [1, 2, 3, 4]])
    embedding = keras.layers.Embedding(9, U, mask_zero=True)
    block = AttentionBlock(2)
    short = block(embedding(ids[:, :2]))
    np.testing.assert_allclose(block(embedding(ids))[0, :2], short[0], atol=1e-6)
    cross = AttentionBlock(2)
    want = cross(X[:2], embedding(ids), (ids > 0).astype("float32"))
    np.testing.assert_allclose(cross(X[:2], embedding(ids)), want, atol=1e-6)


def test_a_causal_block_sees_the_past_only() -> None:
    block = AttentionBlock(2, causal=True)
    before = np.asarray(block(X))
    changed = X.copy()
    changed[:, 3:] += 1
    after = np.asarray(block(changed))
    np.testing.assert_allclose(after[:, :3], before[:, :3], atol=1e-6)
    assert np.abs(after[:, 3:] - before[:, 3:]).max() > 0.1
    with pytest.raises(ValueError, match="give the memory to another block"):
        AttentionBlock(2, causal=True)(X, MEMORY)


@pytest.mark.parametrize("heads", [0, -1, 1.5, True, "4"])
def test_heads_must_be_a_positive_integer(heads: Any) -> None:
    for layer in (AttentionBlock, MultiHeadAttention):
        with pytest.raises(ValueError, match="heads must be a positive integer, got"):
            layer(heads)
    assert AttentionBlock(np.int64(2)).get_config()["heads"] == 2


BEFORE = Path(__file__).parent / "data" / "before_attention"


@pytest.mark.parametrize("path", sorted(BEFORE.glob("*.keras")), ids=lambda path: path.stem)
def test_models_saved_with_keras_attention_still_load(path: Path, tmp_path: Path) -> None:
    """They held `keras.layers.MultiHeadAttention`, whose kernels had an axis for the heads."""
    with np.load(path.with_suffix(".npz")) as stored:
        x = dict(stored)
    want = x.pop("want")
    old = keras.models.load_model(path)
    np.testing.assert_allclose(old(x), want, atol=1e-6)
    old.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    np.testing.assert_allclose(again(x), want, atol=1e-6)


def test_there_are_files_of_before() -> None:
    assert len(list(BEFORE.glob("*.keras"))) == 4
