"""Chapter 18: right answers pass, and a student with a likely slip is told which one."""

import math
from typing import Any

import numpy as np
from check_cases import accepted, refused, right_verdicts, wrong_verdicts

from mmkeras.checks import ch18


def count(rows: Any = None, weights: Any = None, factor: int = 1, bias: bool = False) -> Any:
    """Multiply-adds of a convolution, with a slip in the size of the map or of the kernel."""

    def function(height: int, width: int, kernel: int, channels: int, filters: int, stride: int):
        size = (rows or places)(height, width, kernel, stride)
        each = (weights or (lambda k, c, f: k * k * c * f))(kernel, channels, filters)
        return factor * size * each + (size * filters if bias else 0)

    return function


def places(height: int, width: int, kernel: int, stride: int) -> int:
    return math.ceil(height / stride) * math.ceil(width / stride)


def grid(
    bits_of: Any = lambda bits: 2**bits - 1,
    symmetric: bool = False,
    zero_in: bool = True,
    round_numbers: Any = np.round,
    round_zero: Any = np.round,
    least_of: Any = lambda bits: -(2 ** (bits - 1)),
    shift: int = 1,
) -> Any:
    """An affine grid with a slip."""

    def function(values: np.ndarray, bits: int) -> tuple:
        low, high = values.min(), values.max()
        if zero_in:
            low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / bits_of(bits)
        least = least_of(bits)
        if symmetric:
            scale = np.abs(values).max() / (2 ** (bits - 1) - 1)
            return np.round(values / scale), scale, 0
        zero = round_zero(least - low / scale)
        numbers = np.clip(round_numbers(values / scale) + shift * zero, least, least + 2**bits - 1)
        return numbers, scale, zero

    return function


def fewest(
    order: Any = np.argsort,
    bar: Any = lambda cheap, dear, allowed: dear.mean() - allowed,
    result: Any = lambda k, n: k,
) -> Any:
    """Asks the rows in an order until the accuracy is reached."""

    def function(
        confidence: np.ndarray, cheap: np.ndarray, dear: np.ndarray, allowed: float
    ) -> Any:
        sequence, answers = order(confidence), cheap.astype(float).copy()
        least = bar(cheap, dear, allowed)
        for k in range(len(cheap) + 1):
            if answers.mean() >= least - 1e-12:
                return result(k, len(cheap))
            if k < len(cheap):
                answers[sequence[k]] = dear[sequence[k]]
        return result(len(cheap), len(cheap))

    return function


def by_sums(confidence: np.ndarray, cheap: np.ndarray, dear: np.ndarray, allowed: float) -> int:
    gain = np.concatenate([[0], np.cumsum((dear - cheap)[np.argsort(confidence)])])
    return int(np.argmax(cheap.sum() + gain >= dear.sum() - allowed * len(dear) - 1e-9))


def numbers_only(values: np.ndarray, bits: int) -> np.ndarray:
    return grid()(values, bits)[0]


def values_again(values: np.ndarray, bits: int) -> tuple:
    numbers, scale, zero = grid()(values, bits)
    return scale * (numbers - zero), scale, zero


def not_cut(values: np.ndarray, bits: int) -> tuple:
    _, scale, zero = grid()(values, bits)
    return np.round(values / scale), scale, zero


def shifted(values: np.ndarray, bits: int) -> tuple:
    _, scale, zero = grid()(values, bits)
    least = -(2 ** (bits - 1))
    numbers = np.round((values - min(values.min(), 0)) / scale) + least
    return np.clip(numbers, least, least + 2**bits - 1), scale, zero


WRONG = {
    ch18.convolution: [
        ("weights", lambda: (count(rows=lambda *_: 1),), "these are the weights"),
        ("no stride", lambda: (count(rows=lambda h, w, k, s: h * w),), "with a stride the map"),
        ("one side", lambda: (count(rows=lambda h, w, k, s: -(-h // s) * w),), "both sides"),
        ("operations", lambda: (count(factor=2),), "one multiply-add, not as two"),
        ("bias", lambda: (count(bias=True),), "biases are no multiply-adds"),
        ("one channel", lambda: (count(weights=lambda k, c, f: k * k * f),), "over all channels"),
        ("one filter", lambda: (count(weights=lambda k, c, f: k * k * c),), "many filters"),
        ("kernel once", lambda: (count(weights=lambda k, c, f: k * c * f),), "rows and columns"),
        ("round down", lambda: (count(rows=lambda h, w, k, s: (h // s) * (w // s)),), "round up"),
        ("valid", lambda: (count(rows=lambda h, w, k, s: -(-(h - k + 1) // s)
                                 * -(-(w - k + 1) // s)),), "does not lose its border"),
        ("text", lambda: (lambda *_: "many",), "should be numbers"),
    ],
    ch18.grid: [
        ("symmetric", lambda: (grid(symmetric=True),), "this grid is symmetric"),
        ("2**bits", lambda: (grid(bits_of=lambda b: 2**b),), "2**bits - 1 steps"),
        ("no zero", lambda: (grid(zero_in=False),), "0.0 must be on the grid"),
        ("floor", lambda: (grid(round_numbers=np.floor),), "rounded down"),
        ("trunc", lambda: (grid(round_numbers=np.trunc),), "cut towards zero"),
        ("fraction", lambda: (grid(round_zero=lambda z: z),), "must be whole"),
        ("from 0", lambda: (grid(least_of=lambda b: 0),), "is -2**(bits - 1), not 0"),
        ("no zero point, not cut", lambda: (not_cut,), "before you cut off"),
        ("no zero point", lambda: (grid(shift=0),), "add the zero point"),
        ("shifted", lambda: (shifted,), "you shifted before rounding"),
        ("numbers only", lambda: (numbers_only,), "return three things"),
        ("values", lambda: (values_again,), "these are values again"),
    ],
    ch18.fewest: [
        ("most sure", lambda: (fewest(lambda c: np.argsort(-c)),), "ask where it is least sure"),
        ("row order", lambda: (fewest(lambda c: np.arange(len(c))),), "in the order of the rows"),
        ("nothing allowed", lambda: (fewest(bar=lambda c, d, a: d.mean()),), "allows nothing"),
        ("percent", lambda: (fewest(bar=lambda c, d, a: d.mean() - a / 100),), "allows nothing"),
        ("one too many", lambda: (fewest(result=lambda k, n: k + 1),), "one too many"),
        ("share", lambda: (fewest(result=lambda k, n: k / n),), "return their number"),
        ("against cheap", lambda: (fewest(bar=lambda c, d, a: c.mean() - a),), "not with that of"),
    ],
    ch18.verdicts: wrong_verdicts(ch18.VERDICTS),
}  # fmt: skip
RIGHT = {
    ch18.convolution: [
        ("the formula", lambda: (count(),)),
        ("NumPy", lambda: (lambda h, w, k, c, f, s: np.int64(places(h, w, k, s)) * k**2 * c * f,)),
    ],
    ch18.grid: [
        ("the formula", lambda: (grid(),)),
        ("a list", lambda: (lambda v, b: list(grid()(v, b)),)),
    ],
    ch18.fewest: [("a loop", lambda: (fewest(),)), ("sums", lambda: (by_sums,))],
    ch18.verdicts: right_verdicts(ch18.VERDICTS),
}  # fmt: skip
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
