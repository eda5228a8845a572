"""Chapter 11: what a student with a likely slip is told."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from mmkeras.checks import ch11
from mmkeras.evaluate import best_threshold, expected_cost


def said(capsys: pytest.CaptureFixture[str], check: Any, *answers: Any) -> str:
    check(*answers)
    return capsys.readouterr().out


def weights(*, conv: bool = True, bias: int = 3, pad: int = 0, pool: int = 2) -> Callable:
    def count(side: int, channels: int, kernel: int, filters: int, units: int) -> int:
        left = (side - (0 if pad else kernel - 1)) // pool
        first = kernel * kernel * channels * filters + filters * (bias & 1)
        return first * conv + left * left * filters * units + units * (bias >> 1)

    return count


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (weights(), "✓ nearly all"),
        (weights(conv=False), "the Dense layer alone"),
        (weights(bias=1), "biases of the Dense layer"),
        (weights(bias=2), "biases of the convolution"),
        (weights(bias=0), "the biases are missing: one a window"),
        (weights(pad=1), "loses 2 pixels per side"),
        (weights(pool=1), "the pooling halves"),
        (lambda side, channels, kernel, filters, units: 7, "the count for a picture of 64 × 64"),
        (lambda *sizes: None, "returns nothing yet"),
    ],
)
def test_flatten_weights(capsys: Any, count: Callable, message: str) -> None:
    assert message in said(capsys, ch11.flatten_weights, count)


def test_flatten_weights_is_what_keras_counts() -> None:
    model = keras.Sequential(
        [
            keras.Input((21, 21, 3)),
            keras.layers.Conv2D(4, 4),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(5),
        ]
    )
    assert weights()(21, 3, 4, 4, 5) == model.count_params()


def focal(y: np.ndarray, p: np.ndarray, gamma: float) -> np.ndarray:
    truth = np.where(y == 1, p, 1 - p)
    return -((1 - truth) ** gamma) * np.log(truth)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda y, p, gamma: focal(y, p, gamma).mean(), "✓ with gamma = 0"),
        (focal, "one loss per patient"),
        (lambda y, p, gamma: focal(y, p, gamma).sum(), "this is the sum"),
        (lambda y, p, gamma: -focal(y, p, gamma).mean(), "a loss is positive"),
        (lambda y, p, gamma: focal(1, p, gamma).mean(), "of a healthy patient is 1 - p"),
        (lambda y, p, gamma: focal(y, p, 0).mean(), "(1 - p_t)**gamma is missing"),
        (lambda y, p, gamma: (y * focal(y, p, gamma)).mean(), "the healthy have a loss"),
        (lambda y, p, gamma: focal(y, p, gamma).mean() / np.log(2), "the loss with gamma = 2"),
        (lambda y, p, gamma: ..., "returns nothing yet"),
    ],
)
def test_focal_loss(capsys: Any, loss: Callable, message: str) -> None:
    assert message in said(capsys, ch11.focal_loss, loss)


def test_the_loss_with_gamma_two_is_a_tenth_where_the_praise_says() -> None:
    ones = np.ones(1)
    ratio = focal(ones, np.array([0.684]), 2) / focal(ones, np.array([0.684]), 0)
    assert ratio == pytest.approx(0.1, abs=0.001)


def test_focal_loss_is_that_of_keras() -> None:
    rng = np.random.default_rng(3)
    y, p = rng.integers(0, 2, 50), rng.uniform(0.05, 0.95, 50)
    by_keras = keras.losses.BinaryFocalCrossentropy(gamma=2)(y[:, None], p[:, None])
    assert focal(y, p, 2).mean() == pytest.approx(float(by_keras), abs=1e-5)


def safe(sheets: np.ndarray, rng: np.random.Generator, *, far: int = 2) -> np.ndarray:
    out = np.empty_like(sheets)
    for i, sheet in enumerate(sheets.astype(float)):
        moved = np.roll(sheet, rng.integers(-far, far + 1, 2), (0, 1))
        noise = np.where(moved > 0, rng.normal(0, 3, moved.shape), 0)
        out[i] = np.clip(moved * rng.uniform(0.9, 1.1) + noise, 0, 255)
    return out


def after(change: Callable) -> Callable:
    return lambda sheets, rng: change(safe(sheets, rng))


def crop(sheets: np.ndarray, edge: int = 13) -> np.ndarray:
    frame = np.full((1, 64, 64, 1), 12, np.uint8)
    frame[:, edge:-edge, edge:-edge] = 255
    return np.minimum(sheets, frame)


def in_place(sheets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    sheets[:] = safe(sheets, rng)
    return sheets


def noisy_gap(sheets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(sheets + rng.normal(0, 5, sheets.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (safe, "✓ stress stays left"),
        (lambda sheets, rng: safe(sheets, rng, far=3), "✓"),
        (after(lambda sheets: sheets[:, :, ::-1]), "left and right are exchanged"),
        (after(lambda sheets: sheets[:, ::-1]), "above and below are exchanged"),
        (after(lambda sheets: np.rot90(sheets[:6], axes=(1, 2))), "should come out"),
        (after(lambda sheets: np.roll(sheets, 9, 2)), "no longer where they were"),
        (after(crop), "a part of the sheet was cut off"),
        (after(lambda sheets: crop(sheets, 24)), "something was cut off"),
        (after(lambda sheets: sheets // 3), "beyond recognition"),
        (noisy_gap, "black half is no longer black"),
        (in_place, "changes the sheets it was given"),
        (lambda sheets, rng: sheets.copy(), "nothing has changed"),
        (lambda sheets, rng: sheets + np.eye(8, 1, dtype="uint8")[..., None, None], "some sheets"),
        (lambda sheets, rng: sheets / 255, "uint8 (8, 64, 64, 1) should come out, yours is float"),
        (lambda sheets, rng: safe(sheets, np.random.default_rng(0)), "another rng gives the same"),
        (lambda sheets, rng: None, "returns nothing yet"),
    ],
)
def test_augment(capsys: Any, change: Callable, message: str) -> None:
    assert message in said(capsys, ch11.augment, change)


def test_a_mirrored_sheet_is_told_whichever_side_is_black(capsys: Any) -> None:
    upside_down = after(lambda sheets: sheets[:, ::-1])
    assert "above and below" in said(capsys, ch11.augment, upside_down)


def choose(y_valid: Any, p_valid: Any, y_test: Any, p_test: Any, fp: float, fn: float) -> Any:
    threshold = best_threshold(y_valid, p_valid, fp, fn)
    return threshold, expected_cost(y_test, p_test, threshold, fp, fn)


def chosen(pick: Callable) -> Callable:
    """A threshold by `pick`, and its cost on the test patients."""

    def answer(yv: Any, pv: Any, yt: Any, pt: Any, fp: float, fn: float) -> Any:
        threshold = pick(yv, pv, yt, pt, fp, fn)
        return threshold, expected_cost(yt, pt, threshold, fp, fn)

    return answer


def on_validation(yv: Any, pv: Any, yt: Any, pt: Any, fp: float, fn: float) -> Any:
    threshold = best_threshold(yv, pv, fp, fn)
    return threshold, expected_cost(yv, pv, threshold, fp, fn)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (choose, "✓ the cost on the test patients"),
        (chosen(lambda yv, pv, yt, pt, fp, fn: best_threshold(yv, pv, fn, fp)), "exchanged"),
        (chosen(lambda yv, pv, yt, pt, fp, fn: best_threshold(yt, pt, fp, fn)), "on the test"),
        (chosen(lambda yv, pv, yt, pt, fp, fn: fp / (fp + fn)), "of the theory"),
        (chosen(lambda *_: 0.5), "only when both mistakes cost the same"),
        (chosen(lambda *_: 0.97), "do not pay the least"),
        (on_validation, "the cost on the validation patients"),
        (lambda *a: choose(*a)[0], "return two numbers"),
        (lambda *a: ("low", 1.0), "should be a number"),
        (lambda *a: (choose(*a)[0], 99.0), "the mean cost on the test patients"),
        (lambda *a: None, "returns nothing yet"),
    ],
)
def test_threshold_for(capsys: Any, answer: Callable, message: str) -> None:
    assert message in said(capsys, ch11.threshold_for, answer)


def ratio(p: np.ndarray, trained: Any, real: Any) -> np.ndarray:
    return p * np.asarray(real) / np.asarray(trained)


def normal(p: np.ndarray) -> np.ndarray:
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("correct", "message"),
    [
        (lambda p, trained, real: normal(ratio(p, trained, real)), "✓ it holds where"),
        (ratio, "each row must sum to 1"),
        (lambda p, trained, real: normal(ratio(p, real, trained)), "exchanged"),
        (lambda p, trained, real: normal(p * real), "divide by the shares in training"),
        (lambda p, trained, real: p, "the corrected probabilities of 3 classes"),
        (lambda p, trained, real: normal(ratio(p, trained, real))[:, 0], "should have shape"),
        (lambda p, trained, real: ..., "returns nothing yet"),
    ],
)
def test_correct_priors(capsys: Any, correct: Callable, message: str) -> None:
    assert message in said(capsys, ch11.correct_priors, correct)


def test_the_correction_is_bayes_rule() -> None:
    """Two classes with known likelihoods: the corrected posterior is that of the other prior."""
    like = np.array([[0.2, 0.7], [0.5, 0.1], [0.4, 0.4]])
    trained, real = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    posterior = normal(like * trained)
    assert np.allclose(normal(ratio(posterior, trained, real)), normal(like * real))
