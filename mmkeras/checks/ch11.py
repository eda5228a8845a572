"""Checks of chapter 11, a note and a scan."""

from collections.abc import Callable

import numpy as np

from ..evaluate import best_threshold, expected_cost
from . import NotYet, exercise, expect_close


@exercise(
    "11.1",
    "counted by formula",
    hint="a window of kernel pixels without padding loses kernel - 1 pixels a side, pooling halves "
    "what is left, and Flatten gives side * side * filters numbers",
)
def flatten_weights(count: Callable) -> str | None:
    """A function of side, channels, kernel, filters, units: weights of Conv and Dense together."""
    for side, channels, kernel, filters, units in (
        (64, 1, 3, 32, 64),
        (224, 3, 3, 16, 128),
        (48, 3, 4, 8, 10),
    ):
        conv = kernel * kernel * channels * filters + filters
        pooled = (side - kernel + 1) // 2
        dense = pooled * pooled * filters * units + units
        got = count(side, channels, kernel, filters, units)
        case = f"a picture of {side} × {side} × {channels}, {filters} windows, {units} units"
        slips = {
            conv + dense - units: "the biases of the Dense layer are missing",
            conv + dense - filters: "the biases of the convolution are missing",
            conv + dense - units - filters: "the biases are missing: one a window, one a unit",
            dense: "this is the Dense layer alone: add the convolution",
            conv + (side // 2) ** 2 * filters * units + units: "without padding the convolution "
            f"loses {kernel - 1} pixels per side before the pooling",
            conv + (side - kernel + 1) ** 2 * filters * units + units: "the pooling halves both "
            "sides before Flatten",
            conv + pooled * pooled * channels * units + units: "after the convolution there are "
            f"{filters} channels, not {channels}",
        }
        slip = slips.get(int(got)) if isinstance(got, int | float | np.number) else None
        if slip and got != conv + dense:
            raise NotYet(f"{case}: {slip}")
        expect_close(got, conv + dense, f"the count for {case}")
    return "nearly all of them are in the Dense layer, and they grow with the square of the side"


@exercise(
    "11.2",
    "what is easy is turned down",
    hint="p_t is p where y is 1 and 1 - p where y is 0; then -(1 - p_t)**gamma * log(p_t), "
    "and the mean of it",
)
def focal_loss(loss: Callable) -> str | None:
    """A function of y (n,), p (n,) and gamma: the mean focal loss, a number."""
    rng = np.random.default_rng(0)
    y, p = (rng.random(40) < 0.3).astype(int), rng.uniform(0.02, 0.98, 40)
    for gamma in (2.0, 0.0, 0.5):
        truth = np.where(y == 1, p, 1 - p)
        rows = -((1 - truth) ** gamma) * np.log(truth)
        got, want = loss(y.copy(), p.copy(), gamma), rows.mean()
        if np.shape(got) == rows.shape:
            raise NotYet("this is one loss per patient: take the mean")
        if np.shape(got) == () and gamma:
            slips = {
                "this is the sum: take the mean": rows.sum(),
                "a loss is positive: put a minus before the logarithm": -want,
                "p_t of a healthy patient is 1 - p": (-((1 - p) ** gamma) * np.log(p)).mean(),
                "the factor is (1 - p_t), not p_t: the easy ones are turned down": (
                    -(truth**gamma) * np.log(truth)
                ).mean(),
                "the factor (1 - p_t)**gamma is missing": -np.log(truth).mean(),
                "the healthy have a loss as well": np.where(y == 1, rows, 0).mean(),
            }
            for message, value in slips.items():
                if np.allclose(got, value, atol=1e-9):
                    raise NotYet(message)
        expect_close(got, want, f"the loss with gamma = {gamma:g}", atol=1e-6)
    return "with gamma = 0 it is the cross-entropy; at 2 a p_t of 0.68 gets a tenth of it"


@exercise(
    "11.3",
    "an augmentation that keeps the diagnosis",
    hint="copy the sheets to float, shift each by np.roll of -2 to 2 pixels, multiply by a factor "
    "from 0.9 to 1.1, add noise only where the sheet is not black, clip to 0..255, cast to uint8",
)
def augment(change: Callable) -> str | None:
    """A function of sheets, uint8 (n, 64, 64, 1), and rng: new sheets that mean the same."""
    sheets = _test_sheets()
    before = sheets.copy()
    got = change(sheets, np.random.default_rng(1))
    if not np.array_equal(sheets, before):
        raise NotYet("it changes the sheets it was given: start from a copy")
    got = np.asarray(got)
    if got.shape != sheets.shape or got.dtype != np.uint8:
        raise NotYet(
            f"uint8 {sheets.shape} should come out, yours is {got.dtype} {got.shape}: "
            "np.clip(…, 0, 255).astype('uint8')"
        )
    if np.array_equal(got, sheets):
        raise NotYet("nothing has changed")
    if any(np.array_equal(new, old) for new, old in zip(got, sheets, strict=True)):
        raise NotYet("some sheets have not changed")
    _check_gaps(got)
    _check_meaning(got, sheets)
    again = np.asarray(change(sheets, np.random.default_rng(2)))
    if np.array_equal(again, got):
        raise NotYet("another rng gives the same sheets: draw the change from rng")
    return "stress stays left, arteries below, and a gap stays a gap"


def _test_sheets() -> np.ndarray:
    """Eight sheets: six with four blobs of different brightness, two with a black half."""
    rows, columns = np.mgrid[:64, :64]
    sheet = np.full((64, 64), 12.0)
    for (row, column), bright in zip(_BLOBS, _BRIGHT, strict=True):
        sheet[(rows - row) ** 2 + (columns - column) ** 2 <= 25] = bright
    sheets = np.repeat(sheet[None], 8, axis=0)
    sheets[6, 32:], sheets[7, :32] = 0, 0
    return sheets[..., None].astype(np.uint8)


_BLOBS = ((16, 16), (16, 48), (48, 16), (48, 48))
_BRIGHT = (60, 110, 160, 210)
_NEAR = 3 + 1  # rows next to the middle and the edges that a shift, or its wrap, may fill


def _check_gaps(got: np.ndarray) -> None:
    above, below = slice(_NEAR, 32 - _NEAR), slice(32 + _NEAR, 64 - _NEAR)
    if got[6, below].any() or got[7, above].any():
        if not got[6, above].any() or not got[7, below].any():
            raise NotYet("above and below are exchanged: the arteries must stay below")
        raise NotYet("a black half is no longer black: add noise and brightness only where it is")


def _check_meaning(got: np.ndarray, sheets: np.ndarray) -> None:
    """The brightest patch near each blob, compared with the blob that was there."""
    order = []
    for new in got[:6, ..., 0].astype(float):
        level = [np.median(new[r - 3 : r + 4, c - 3 : c + 4]) for r, c in _BLOBS]
        order.append(level)
        if (np.argsort(level) == [1, 0, 3, 2]).all():
            raise NotYet("left and right are exchanged: stress must stay on the left")
        if (np.argsort(level) == [2, 3, 0, 1]).all():
            raise NotYet("above and below are exchanged: the arteries must stay below")
        if (np.argsort(level) != [0, 1, 2, 3]).any():
            raise NotYet(
                "the parts of the sheet are no longer where they were: no rotation, no flip, no "
                "crop, and a shift of at most 3 pixels"
            )
    change = np.array(order) / np.array(_BRIGHT)
    if change.min() < 0.6 or change.max() > 1.5:
        raise NotYet("something was cut off or changed beyond recognition: keep within 10 to 20%")
    whole = (got[:6] > 40).sum(axis=(1, 2, 3)) / (sheets[:6] > 40).sum(axis=(1, 2, 3))
    if whole.min() < 0.85:
        raise NotYet("a part of the sheet was cut off: nothing may get lost")


@exercise(
    "11.4",
    "chosen on some patients, paid on others",
    hint="mm.evaluate.best_threshold on the validation patients, then mm.evaluate.expected_cost "
    "on the test patients, both with false_positive= and false_negative=",
)
def threshold_for(choose: Callable) -> str | None:
    """A function of labels and probabilities (validation, test) and two costs: threshold, cost."""
    rng = np.random.default_rng(0)
    for false_positive, false_negative in ((1, 5), (4, 1)):
        y_valid, y_test = (rng.random(200) < 0.4).astype(int), (rng.random(300) < 0.4).astype(int)
        p_valid = np.clip(0.35 * y_valid + rng.uniform(0, 0.65, 200), 0, 1) ** 2
        p_test = np.clip(0.35 * y_test + rng.uniform(0, 0.65, 300), 0, 1) ** 2
        got = choose(y_valid, p_valid, y_test, p_test, false_positive, false_negative)
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise NotYet("return two numbers: the threshold, and its mean cost on the test rows")
        best = best_threshold(y_valid, p_valid, false_positive, false_negative)
        swapped = best_threshold(y_valid, p_valid, false_negative, false_positive)
        on_test = best_threshold(y_test, p_test, false_positive, false_negative)
        slips = {
            swapped: "the two costs are exchanged",
            on_test: "this threshold was chosen on the test patients, who only pay for it",
            false_positive / (false_positive + false_negative): "this is the threshold of the "
            "theory, which needs calibrated probabilities, and these are not: search on the "
            "validation patients",
            0.5: "0.5 is right only when both mistakes cost the same",
        }
        try:
            given = float(got[0])
        except (TypeError, ValueError):
            raise NotYet("the first of the two should be a number, the threshold") from None
        paid = expected_cost(y_valid, p_valid, best, false_positive, false_negative)
        ok = 0 <= given <= 1 and np.isclose(
            expected_cost(y_valid, p_valid, given, false_positive, false_negative), paid
        )
        for value, message in slips.items():
            if not ok and np.isclose(given, value):
                raise NotYet(message)
        if not ok:
            raise NotYet(f"at {given:.3g} the validation patients do not pay the least")
        want = expected_cost(y_test, p_test, given, false_positive, false_negative)
        again = expected_cost(y_valid, p_valid, given, false_positive, false_negative)
        if np.isscalar(got[1]) and np.isclose(got[1], again) and not np.isclose(again, want):
            raise NotYet("this is the cost on the validation patients: report that of the test")
        expect_close(got[1], want, "the mean cost on the test patients")
    return "the cost on the test patients is the number to publish"


@exercise(
    "11.5",
    "another hospital, another prior",
    hint="multiply p by real / trained, column by column, and divide each row by its sum",
)
def correct_priors(correct: Callable) -> str | None:
    """A function of p (n, K), trained (K,), real (K,): corrected probabilities, (n, K)."""
    rng = np.random.default_rng(0)
    for classes in (3, 2):
        p = rng.dirichlet(np.ones(classes), 6)
        trained, real = rng.dirichlet(np.full(classes, 4.0), 2)
        got = correct(p.copy(), trained.copy(), real.copy())
        raw, other = p * real / trained, p * trained / real
        want = raw / raw.sum(axis=1, keepdims=True)
        slips = {
            "each row must sum to 1: divide by its sum (axis=1, keepdims=True)": raw,
            "trained and real are exchanged": other / other.sum(axis=1, keepdims=True),
            "divide by the shares in training: the model has them inside already": (
                p * real / (p * real).sum(axis=1, keepdims=True)
            ),
        }
        for message, value in slips.items():
            if np.shape(got) == value.shape and np.allclose(got, value, atol=1e-9):
                raise NotYet(message)
        expect_close(got, want, f"the corrected probabilities of {classes} classes")
    return "it holds where only the shares differ, and not what illness looks like"
