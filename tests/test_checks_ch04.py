"""Chapter 4: right answers in several styles pass; a likely slip is named."""

from typing import Any

import numpy as np
import pytest
from check_cases import accepted, refused
from scipy.signal import resample, resample_poly

from mmkeras.checks import ch04

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def aliases(f: float, rate: float, top: float, signs: Any = (1, -1), first: int = 0) -> list[float]:
    turns = range(first, int(top // rate) + 2)
    found = {round(sign * f % rate + turn * rate, 6) for sign in signs for turn in turns}
    return sorted(one for one in found if one <= top)


def by_search(f: float, rate: float, top: float) -> np.ndarray:
    """All that lie on a grid of half Hertz, tried one by one."""
    grid = np.arange(0, top + 0.5, 0.5)
    n = np.arange(7)[:, None]
    samples = np.cos(2 * np.pi * grid * n / rate)
    return grid[np.abs(samples - np.cos(2 * np.pi * f * n / rate)).max(axis=0) < 1e-9]


def twice(f: float, rate: float, top: float) -> list[float]:
    return sorted(one for k in range(9) for one in (k * rate + f, k * rate - f) if 0 <= one <= top)


def three_turns(f: float, rate: float, top: float) -> list[float]:
    found = {abs(f + k * rate) for k in range(-3, 4)}
    return sorted(one for one in found if one <= top)


def collected(window: np.ndarray, hop: int) -> np.ndarray:
    total = np.zeros(hop)
    for i, value in enumerate(window):
        total[i % hop] += value
    return total


def steady(window: np.ndarray, hop: int) -> np.ndarray:
    """Really add many windows, and read the middle."""
    count = 2 * len(window) // hop + 2
    total = np.zeros(count * hop + len(window))
    for start in range(0, count * hop, hop):
        total[start : start + len(window)] += window
    middle = count // 2 * hop
    return total[middle : middle + hop]


def cut(window: np.ndarray, hop: int, rows: int | None = None) -> np.ndarray:
    whole = window[: len(window) // hop * hop].reshape(-1, hop)
    return whole[:rows].sum(axis=0)


def levels(
    power: np.ndarray, top_db: float = 80.0, axis: Any = (1, 2), factor: float = 10.0
) -> Any:
    level = factor * np.log10(np.maximum(power, 1e-10))
    return np.maximum(level, level.max(axis=axis, keepdims=True) - top_db)


def one_by_one(power: np.ndarray, top_db: float) -> list[Any]:
    level = [10 * np.log10(np.clip(clip, 1e-10, None)) for clip in power]
    return [np.clip(clip, clip.max() - top_db, None) for clip in level]


def resampled(wave: np.ndarray, rate: int, mono: Any = None, full: float = 32768) -> np.ndarray:
    if wave.dtype.kind == "i":
        wave = wave / full
    if wave.ndim == 2:
        wave = (mono or (lambda x: x.mean(axis=1)))(wave)
    common = int(np.gcd(rate, 8000))
    return resample_poly(wave, 8000 // common, rate // common)


def ready(
    wave: np.ndarray, rate: int, mono: Any = None, full: float = 32768, front: bool = False
) -> Any:
    wave = resampled(wave, rate, mono, full)[:4000]
    short = 4000 - len(wave)
    return np.pad(wave, (short, 0) if front else (0, short)).astype(np.float32)


def last(wave: np.ndarray, rate: int) -> Any:
    whole = resampled(wave, rate)[-4000:]
    return np.pad(whole, (0, 4000 - len(whole))).astype(np.float32)


def middle(wave: np.ndarray, rate: int) -> Any:
    whole = resampled(wave, rate)
    whole = whole[max(0, len(whole) - 4000) // 2 :][:4000]
    return np.pad(whole, (0, 4000 - len(whole))).astype(np.float32)


def by_fourier(wave: np.ndarray, rate: int) -> Any:
    wave = wave / 32768 if wave.dtype.kind == "i" else wave
    wave = wave.mean(axis=1) if wave.ndim == 2 else wave
    wave = resample(wave, round(len(wave) * 8000 / rate))[:4000]
    return np.pad(wave, (0, 4000 - len(wave))).astype(np.float32)


def thinned(wave: np.ndarray, rate: int) -> Any:
    wave = wave.mean(axis=1) if wave.ndim == 2 else wave
    return np.pad(wave[:: rate // 8000][:4000], (0, 4000))[:4000].astype(np.float32)


READ = {"A": "two changes", "B": "same voice", "C": "wrong measure", "D": "too few",
        "E": "supported"}  # fmt: skip

WRONG = {
    ch04.sounds_like: [
        ("only whole turns more", lambda: (lambda *a: aliases(*a, signs=(1,)),), "turns backwards"),
        ("only backwards", lambda: (lambda *a: aliases(*a, signs=(-1,)),), "the tone itself"),
        ("the frequency alone", lambda: (lambda f, rate, top: [f],), "is missing"),
        ("what is heard", lambda: (lambda f, rate, top: [min(f % rate, -f % rate)],), "is missing"),
        (
            "the formula of the chapter",
            lambda: (lambda f, rate, top: abs(f - rate * round(f / rate)),),
            "return a list",
        ),
        (
            "folded at half the rate, then cut off",
            lambda: (lambda f, rate, top: [f, rate - f],),
            "is missing",
        ),
        ("negative ones", lambda: (lambda f, rate, top: [-f, *aliases(f, rate, top)],), "no sign"),
        ("above top", lambda: (lambda f, rate, top: aliases(f, rate, 3 * top),), "above top"),
        ("0 and half the rate twice", lambda: (twice,), "comes twice"),
        ("three turns at most", lambda: (three_turns,), "is missing"),
        ("falling", lambda: (lambda *a: aliases(*a)[::-1],), "rising order"),
        (
            "multiples of f",
            lambda: (lambda f, rate, top: [f * k for k in range(1, 4)],),
            "has other samples",
        ),
    ],
    ch04.overlap_sum: [
        ("only two windows", lambda: (lambda w, hop: cut(w, hop, 2),), "only two windows"),
        ("squares", lambda: (lambda w, hop: collected(w**2, hop),), "the square belongs"),
        ("the rest lost", lambda: (lambda w, hop: cut(w, hop),), "the rest of the window is lost"),
        (
            "divided by the mean",
            lambda: (lambda w, hop: collected(w, hop) / collected(w, hop).mean(),),
            "how large it is matters",
        ),
        (
            "true or false",
            lambda: (lambda w, hop: bool(np.ptp(collected(w, hop)) < 1e-9),),
            "return shape (64,)",
        ),
        (
            "the whole length",
            lambda: (lambda w, hop: np.resize(collected(w, hop), len(w)),),
            "return shape (64,)",
        ),
    ],
    ch04.to_db: [
        (
            "the floor of the batch",
            lambda: (lambda p, top: levels(p, top, None),),
            "the trap itself",
        ),
        (
            "no floor",
            lambda: (lambda p, top: 10 * np.log10(np.maximum(p, 1e-10)),),
            "nothing is raised",
        ),
        ("a floor per frame", lambda: (lambda p, top: levels(p, top, 2),), "maximum of each frame"),
        ("amplitudes", lambda: (lambda p, top: levels(p, top, factor=20),), "20 is for amplitudes"),
        (
            "natural logarithm",
            lambda: (lambda p, top: levels(p, top, factor=10 * np.log(10)),),
            "not the natural one",
        ),
        ("one clip", lambda: (lambda p, top: np.log(p[:, 0]),), "shape"),
        (
            "divided by a silent maximum",
            lambda: (lambda p, top: p / p.max(axis=(1, 2), keepdims=True),),
            "NaN or infinity",
        ),
        ("always 80", lambda: (lambda p, top: levels(p, 80.0),), "the levels for top_db=40"),
    ],
    ch04.report: [
        ("all believed", lambda: (dict.fromkeys(READ, "supported"),), "A is not 'supported'"),
        (
            "new syllables taken for new speakers",
            lambda: (READ | {"B": "supported"},),
            "B is not 'supported'",
        ),
        ("a leak suspected in B", lambda: (READ | {"B": "leak"},), "seen in training"),
        ("SNR taken for accuracy", lambda: (READ | {"C": "supported"},), "to believe it"),
        ("the point estimate believed", lambda: (READ | {"D": "supported"},), "D is not"),
        (
            "one voice held against E",
            lambda: (READ | {"E": "same voice"},),
            "not about another voice",
        ),
        ("a letter is missing", lambda: ({"A": "two changes"},), "the keys A, B, C, D, E"),
        ("a word of one's own", lambda: (READ | {"A": "wrong"},), "none of the words"),
    ],
    ch04.prepare: [
        ("untouched", lambda: (lambda x, rate: x,), "return float32"),
        ("only the type", lambda: (lambda x, rate: x.astype(np.float32),), "return shape (4000,)"),
        ("NaN", lambda: (lambda x, rate: ready(x, rate) * np.float32(np.nan),), "NaN or infinity"),
        ("the last half second", lambda: (last,), "keep the first 4000 samples"),
        ("the middle", lambda: (middle,), "keep the first 4000 samples"),
        ("the rate ignored", lambda: (lambda x, rate: ready(x, 8000),), "comes out at 250 Hz"),
        ("every second sample", lambda: (thinned,), "has folded down to 2000 Hz"),
        (
            "the left channel",
            lambda: (lambda x, rate: ready(x, rate, lambda two: two[:, 0]),),
            "2.00 times",
        ),
        (
            "the sum of the channels",
            lambda: (lambda x, rate: ready(x, rate, lambda two: two.sum(axis=1)),),
            "the mean of the",
        ),
        (
            "whole numbers as they are",
            lambda: (lambda x, rate: ready(x, rate, full=1),),
            "divide by 32768",
        ),
        (
            "zeros in front",
            lambda: (lambda x, rate: ready(x, rate, front=True),),
            "zeros, at its end",
        ),
        (
            "three samples late",
            lambda: (lambda x, rate: np.roll(ready(x, rate), 3),),
            "the samples for",
        ),
    ],
}
RIGHT = {
    ch04.sounds_like: [
        ("from the formula", lambda: (aliases,)),
        ("by trying", lambda: (by_search,)),
        ("a set", lambda: (lambda *a: set(aliases(*a)),)),
    ],
    ch04.overlap_sum: [
        ("sample by sample", lambda: (collected,)),
        ("by adding many windows", lambda: (steady,)),
    ],
    ch04.to_db: [("at once", lambda: (levels,)), ("clip by clip", lambda: (one_by_one,))],
    ch04.report: [("as the solution", lambda: (dict(READ),))],
    ch04.prepare: [("filter", lambda: (ready,)), ("Fourier", lambda: (by_fourier,))],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
