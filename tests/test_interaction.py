"""EMAP: against loops over all pairs, and models of which the answer is known."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

from mmkeras.evaluate import emap

RNG = np.random.default_rng(0)
N = 9
X = {"text": RNG.normal(size=(N, 4)), "image": RNG.normal(size=(N, 3, 2))}
A, B = RNG.normal(size=(4, 3)), RNG.normal(size=(6, 3))


def text_part(x: dict[str, np.ndarray]) -> np.ndarray:
    return np.tanh(x["text"] @ A)


def image_part(x: dict[str, np.ndarray]) -> np.ndarray:
    return np.sin(x["image"].reshape(len(x["image"]), -1) @ B)


def additive(x: dict[str, np.ndarray]) -> np.ndarray:
    return text_part(x) + image_part(x)


def mixed(x: dict[str, np.ndarray]) -> np.ndarray:
    return additive(x) + 2 * text_part(x) * image_part(x)


def by_loops(f: Callable[[dict[str, np.ndarray]], np.ndarray]) -> np.ndarray:
    """The formula of the paper, pair by pair."""
    table = np.array(
        [
            [f({"text": X["text"][[i]], "image": X["image"][[j]]})[0] for j in range(N)]
            for i in range(N)
        ]
    )
    return np.array(
        [table[i].mean(axis=0) + table[:, i].mean(axis=0) - table.mean((0, 1)) for i in range(N)]
    )


@pytest.mark.parametrize("batch", [1, 20, 4096])
def test_two_modalities_follow_the_formula(batch: int) -> None:
    got = emap(mixed, X, from_logits=True, batch=batch)
    np.testing.assert_allclose(got, by_loops(mixed), atol=1e-12)
    assert np.abs(got - mixed(X)).max() > 0.1


def test_it_is_the_nearest_sum_by_least_squares() -> None:
    """One-hot columns of both modalities, fitted to the table of all pairs."""
    pairs = np.array(list(itertools.product(range(N), range(N))))
    table = mixed({"text": X["text"][pairs[:, 0]], "image": X["image"][pairs[:, 1]]})
    columns = np.concatenate([np.eye(N)[pairs[:, 0]], np.eye(N)[pairs[:, 1]]], axis=1)
    fitted = columns @ np.linalg.lstsq(columns, table, rcond=None)[0]
    same = pairs[:, 0] == pairs[:, 1]
    np.testing.assert_allclose(emap(mixed, X, from_logits=True), fitted[same], atol=1e-9)


def test_a_sum_is_left_unchanged_as_logits_and_as_probabilities() -> None:
    np.testing.assert_allclose(emap(additive, X, from_logits=True), additive(X), atol=1e-12)
    softmax = special.softmax(additive(X), axis=1)
    got = emap(lambda x: special.softmax(additive(x), axis=1), X)
    np.testing.assert_allclose(got, softmax, atol=1e-9)
    for shape in ((N,), (N, 1)):
        one = special.expit(additive(X)[:, 0]).reshape(shape)
        got = emap(lambda x, s=shape: special.expit(additive(x)[:, 0]).reshape(-1, *s[1:]), X)
        np.testing.assert_allclose(got, one, atol=1e-9)


BITS = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))


def test_of_xor_nothing_is_left() -> None:
    two = {"text": BITS[:, 0], "image": BITS[:, 1]}
    got = emap(lambda x: special.expit(5 * x["text"] * x["image"]), two)
    np.testing.assert_allclose(got, 0.5, atol=1e-9)


def test_of_three_modalities_a_sum_stays_and_of_parity_little_is_left() -> None:
    bits = {m: np.tile(BITS[:, k], 40) for k, m in enumerate(("text", "image", "audio"))}

    def total(x: dict[str, np.ndarray]) -> np.ndarray:
        return x["text"] + 2 * x["image"] - x["audio"] + 0.5

    np.testing.assert_allclose(emap(total, bits, from_logits=True), total(bits), atol=1e-9)
    parity = emap(lambda x: x["text"] * x["image"] * x["audio"], bits, from_logits=True)
    assert np.abs(parity).max() < 0.25  # about 1 / sqrt(320) from each modality
    pair = emap(lambda x: x["text"] * x["image"] + x["audio"], bits, from_logits=True)
    assert np.abs(pair - bits["audio"]).max() < 0.25


def test_the_mask_of_a_row_goes_with_its_modality() -> None:
    x = {**X, "present": np.array([[1, 0], [0, 1], [1, 1]] * 3)}

    def masked(x: dict[str, np.ndarray]) -> np.ndarray:
        return text_part(x) * x["present"][:, [0]] + image_part(x) * x["present"][:, [1]]

    np.testing.assert_allclose(emap(masked, x, from_logits=True), masked(x), atol=1e-12)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ({"text": X["text"]}, {}, "two modalities or more"),
        ({"text": X["text"][:1], "image": X["image"][:1]}, {}, "two rows or more"),
        ({"text": X["text"], "image": X["image"][:5]}, {}, "rows {'text': 9, 'image': 5}"),
        (X, {"modalities": ["text", "audio"]}, "'audio'"),
        (X, {"batch": 0}, "batch"),
        (X, {}, "what predict returns must"),  # logits taken for probabilities
    ],
)
def test_bad_input_is_refused(inputs: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        emap(additive, inputs, **options)
