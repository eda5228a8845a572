"""Checks of chapter 18, smaller models."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import NotYet, exercise, expect_close, expect_verdicts, refuse_slips

VERDICTS = {
    "A": "wrong currency",
    "B": "not compared",
    "C": "chosen on the test set",
    "D": "no rival",
    "E": "holds",
}
LOOK = {
    "A": "what was counted, and what is claimed? Section 5 measured both",
    "B": "who has looked at an answer of the file?",
    "C": "on which rows was the threshold chosen, and on which is the gain reported?",
    "D": "what would the same small network have reached without the teacher?",
    "E": "read what is claimed: is it more than the interval says?",
}


@exercise(
    "18.1",
    "what a convolution costs",
    hint="each number of the output map is a sum of kernel · kernel · channels products; how many "
    "numbers does the map have, when a stride of s keeps every s-th row and column?",
)
def convolution(function: Callable) -> str | None:
    """Return the multiply-adds of the convolution for one picture, an int."""
    for height, width, kernel, channels, filters, stride in (
        (48, 48, 3, 4, 32, 1),
        (48, 32, 3, 3, 32, 2),
        (13, 9, 5, 8, 16, 2),
    ):
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        weights = kernel * kernel * channels * filters
        want = rows * columns * weights
        got = function(height, width, kernel, channels, filters, stride)
        slips = {
            "these are the weights: each is used at every place of the output": weights,
            "this counts every place of the input: with a stride the map is smaller": height
            * width
            * weights,
            "the stride shortens both sides of the map": rows * width * weights,
            "the stride shortens both sides of the map, not only its width": height
            * columns
            * weights,
            "a product and its sum count as one multiply-add, not as two": 2 * want,
            "biases are no multiply-adds": want + rows * columns * filters,
            "each filter sums over all channels": want // channels,
            "there are many filters, and each makes a map": want // filters,
            "the kernel has rows and columns: k · k weights per channel": want // kernel,
            'with padding "same" the map has ceil(side / stride) places: round up': (
                height // stride
            )
            * (width // stride)
            * weights,
            'padding is "same": the map does not lose its border': (
                math.ceil((height - kernel + 1) / stride)
                * math.ceil((width - kernel + 1) / stride)
                * weights
            ),
        }
        refuse_slips(got, {k: v for k, v in slips.items() if v != want}, want)
        expect_close(got, want, "the number of multiply-adds", atol=0.5)
    return "a stride of 2 saves three quarters of them"


@exercise(
    "18.2",
    "a grid that need not be symmetric",
    hint="let the range reach from min(values, 0) to max(values, 0); 2**bits numbers leave "
    "2**bits - 1 steps; the zero point is the number that the value 0.0 gets, when the smallest "
    "value gets -2**(bits - 1)",
)
def grid(function: Callable) -> str | None:
    """Return the whole numbers, the scale and the zero point."""
    rng = np.random.default_rng(2)
    cases = ((rng.normal(1.0, 1.0, 40), 8), (rng.uniform(0.5, 3, 25), 4), (-rng.gamma(2, 1, 30), 8))
    for values, bits in cases:
        low, high = min(values.min(), 0.0), max(values.max(), 0.0)
        least = -(2 ** (bits - 1))
        steps = 2**bits - 1
        scale = (high - low) / steps
        zero = np.round(least - low / scale)
        got = function(values.copy(), bits)
        try:
            numbers, own_scale, own_zero = got
        except (TypeError, ValueError):
            raise NotYet(f"return three things: numbers, scale, zero; got {got!r:.60}") from None
        most, narrow = np.abs(values).max(), values.max() - values.min()
        slips = {
            "this grid is symmetric: let it reach from the smallest to the largest value": most
            / (2 ** (bits - 1) - 1),
            "2**bits numbers have 2**bits - 1 steps between them": (high - low) / 2**bits,
            "0.0 must be on the grid: let the range include it": narrow / steps,
            "the scale is the size of a step; this is its inverse": 1 / scale,
        }
        refuse_slips(own_scale, {k: v for k, v in slips.items() if v != scale}, scale, atol=1e-9)
        expect_close(own_scale, scale, "the scale", atol=1e-9)
        zeros = {
            "this is a value: the zero point is a whole number": low,
            "the smallest number is -2**(bits - 1), not 0": np.round(-low / scale),
            "the zero point must be whole: round it": least - low / scale,
            "the sign is turned round: the value 0.0 lies above the smallest value": np.round(
                least + low / scale
            ),
        }
        refuse_slips(own_zero, {k: v for k, v in zeros.items() if v != zero}, zero, atol=1e-9)
        expect_close(own_zero, zero, "the zero point", atol=1e-9)
        want = np.clip(np.round(values / scale) + zero, least, least + steps)
        down = np.clip(np.floor(values / scale) + zero, least, least + steps)
        shifted = np.clip(np.round((values - low) / scale) + least, least, least + steps)
        cut = {
            "these are rounded down: round to the nearest number": down,
            "these are cut towards zero: round to the nearest number": np.clip(
                np.trunc(values / scale) + zero, least, least + steps
            ),
            "add the zero point": np.clip(np.round(values / scale), least, least + steps),
            "add the zero point, before you cut off": np.round(values / scale),
            "you shifted before rounding: round v / scale first, then add the rounded zero point, "
            "so that 0.0 stays on the grid": shifted,
            "these are values again: return the whole numbers": scale * (want - zero),
        }
        refuse_slips(numbers, cut, want)
        expect_close(np.asarray(numbers, dtype=float), want, "the numbers")
    return "each value is at most half a step away, and 0.0 stays 0.0"


@exercise(
    "18.3",
    "the fewest questions",
    hint="sort by confidence; the first k rows get the answer of `dear`, the others that of "
    "`cheap`; compute the accuracy over all rows for every k from 0 to n, and take the first k "
    "that is good enough",
)
def fewest(function: Callable) -> str | None:
    """Return the smallest number of rows that must be asked, an int."""
    rng = np.random.default_rng(5)
    for n, allowed in ((12, 0.0), (60, 0.05), (200, 0.02)):
        confidence = rng.permutation(n) / n
        cheap = (rng.random(n) < 0.25 + 0.5 * confidence).astype(int)
        dear = (rng.random(n) < 0.8).astype(int)
        order = np.argsort(confidence)

        def counts(order: Any, cheap: Any = cheap, dear: Any = dear) -> np.ndarray:
            k = np.arange(len(order) + 1)[:, None]
            asked = np.arange(len(order))[None, :] < k
            return np.where(asked, dear[order], cheap[order]).mean(axis=1)

        def first(accuracy: np.ndarray, bar: float) -> int:
            found = np.flatnonzero(accuracy >= bar - 1e-12)
            return int(found[0]) if len(found) else len(accuracy) - 1

        path, bar = counts(order), dear.mean() - allowed
        want = first(path, bar)
        got = function(confidence.copy(), cheap.copy(), dear.copy(), allowed)
        last = np.flatnonzero(path < bar - 1e-12)
        slips = {
            "this asks where the cheap model is most sure: ask where it is least sure": first(
                counts(order[::-1]), bar
            ),
            "this asks in the order of the rows: sort by confidence": first(
                counts(np.arange(n)), bar
            ),
            "this allows nothing: the accuracy may lie `allowed` below that of `dear`": first(
                path, dear.mean()
            ),
            "compare with the accuracy of `dear`, not with that of `cheap`": first(
                path, cheap.mean() - allowed
            ),
            "this is one too many: with the rows before it the accuracy is reached": want + 1,
            "this is one too few": want - 1,
            "this is the last place where it fails; the first that holds is asked for": int(
                last[-1]
            )
            + 1
            if len(last)
            else 0,
            "this is a share of the rows: return their number": want / n,
            "the model answers right or wrong: do not count a row that either of them knows": first(
                np.array([np.maximum(cheap, dear)[order][:k].sum() + cheap[order][k:].sum()
                          for k in range(n + 1)]) / n, bar
            ),
        }  # fmt: skip
        refuse_slips(got, {k: v for k, v in slips.items() if v != want}, want)
        expect_close(got, want, f"the number of rows to ask of {n}")
    return "choose it on validation rows, and report the accuracy on others"


@exercise(
    "18.4",
    "five reports",
    hint="ask of each claim: is the currency that is counted the one that is claimed, was an "
    "answer looked at, on which rows was something chosen, and what is the simplest rival?",
)
def verdicts(answers: dict[str, str]) -> str | None:
    """Give each of the claims A to E one of the five verdicts."""
    expect_verdicts(answers, VERDICTS, LOOK)
    return "count what is claimed, look at the answers, choose elsewhere, train the rival"
