"""Chapter 4: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
import pytest
from scipy.signal import resample, resample_poly

from mmkeras.checks import ch04


def said(capsys: pytest.CaptureFixture[str], check: Any, *answers: Any) -> str:
    check(*answers)
    return capsys.readouterr().out


def shape(samples: int, frame: int, hop: int, rate: int) -> tuple[int, int, float]:
    frames = 1 + (samples - frame) // hop if samples >= frame else 0
    return frames, frame // 2 + 1, rate / frame


def levels(
    power: np.ndarray, top_db: float = 80.0, axis: Any = (1, 2), factor: float = 10.0
) -> Any:
    level = factor * np.log10(np.maximum(power, 1e-10))
    return np.maximum(level, level.max(axis=axis, keepdims=True) - top_db)


def centred(semitones: np.ndarray, speaker: np.ndarray, middle: Any = np.nanmedian) -> np.ndarray:
    result = semitones.copy()
    for one in np.unique(speaker):
        result[speaker == one] -= middle(semitones[speaker == one])
    return result


def in_place(semitones: np.ndarray, speaker: np.ndarray) -> np.ndarray:
    semitones -= 1
    return semitones


def ready(
    wave: np.ndarray, rate: int, mono: Any = None, full: float = 32768, front: bool = False
) -> Any:
    if wave.dtype.kind == "i":
        wave = wave / full
    if wave.ndim == 2:
        wave = (mono or (lambda x: x.mean(axis=1)))(wave)
    common = int(np.gcd(rate, 8000))
    wave = resample_poly(wave, 8000 // common, rate // common)[:4000]
    short = 4000 - len(wave)
    return np.pad(wave, (short, 0) if front else (0, short)).astype(np.float32)


def by_fourier(wave: np.ndarray, rate: int) -> Any:
    wave = wave / 32768 if wave.dtype.kind == "i" else wave
    wave = wave.mean(axis=1) if wave.ndim == 2 else wave
    wave = resample(wave, round(len(wave) * 8000 / rate))[:4000]
    return np.pad(wave, (0, 4000 - len(wave))).astype(np.float32)


def thinned(wave: np.ndarray, rate: int) -> Any:
    wave = wave.mean(axis=1) if wave.ndim == 2 else wave
    return np.pad(wave[:: rate // 8000][:4000], (0, 4000))[:4000].astype(np.float32)


def test_right_answers_pass(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        (ch04.heard, lambda f, rate: abs(f - rate * round(f / rate))),
        (ch04.heard, lambda f, rate: min(f % rate, rate - f % rate)),
        (ch04.stft_shape, shape),
        (ch04.to_db, levels),
        (ch04.by_speaker, centred),
        (ch04.prepare, ready),
        (ch04.prepare, by_fourier),
    ]
    for check, answer in answers:
        assert "✓" in said(capsys, check, answer), check


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda f, rate: f, "only below half the rate"),
        (lambda f, rate: f % rate, "folds back"),
        (lambda f, rate: f - rate * round(f / rate), "without a sign"),
        (lambda f, rate: min(f, rate / 2), "they fold back"),
        (lambda f, rate: 440, "1000 Hz at 8000"),
    ],
)
def test_the_alias(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch04.heard, answer)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda s, f, h, r: shape(s, f, h, r)[:2], "three numbers"),
        (lambda s, f, h, r: ((s - f) // h, f // 2 + 1, r / f), "counts too"),
        (lambda s, f, h, r: (s // h, f // 2 + 1, r / f), "the last frame must fit"),
        (lambda s, f, h, r: (1 + (s - f) // h, f // 2, r / f), "one bin is missing"),
        (lambda s, f, h, r: (1 + (s - f) // h, f, r / f), "one half of the bins"),
        (lambda s, f, h, r: (1 + (s - f) // h, f // 2 + 1, r / h), "rate / frame apart"),
        (lambda s, f, h, r: (max(1, 1 + (s - f) // h), f // 2 + 1, r / f), "gives no frame"),
    ],
)
def test_the_shape(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch04.stft_shape, answer)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda p, top: levels(p, top, axis=None), "the trap itself"),
        (lambda p, top: 10 * np.log10(np.maximum(p, 1e-10)), "nothing is raised"),
        (lambda p, top: levels(p, top, axis=2), "the maximum of each frame"),
        (lambda p, top: levels(p, top, factor=20), "20 is for amplitudes"),
        (lambda p, top: levels(p, top, factor=10 * np.log(10)), "not the natural one"),
        (lambda p, top: np.log(p[:, 0]), "shape"),
        (lambda p, top: p / p.max(axis=(1, 2), keepdims=True), "NaN or infinity"),
        (lambda p, top: levels(p, 80.0), "the levels for top_db=40"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_decibels(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch04.to_db, answer)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (in_place, "work on a copy"),
        (lambda x, who: x[0], "return shape (8, 5)"),
        (lambda x, who: centred(x, who, np.median), "np.nanmedian leaves the NaN out"),
        (lambda x, who: x - np.nanmedian(x), "one median for all"),
        (lambda x, who: x - np.nanmedian(x, axis=1, keepdims=True), "of each clip"),
        (lambda x, who: centred(x, who, np.nanmean), "this is the mean"),
        (lambda x, who: x - np.nanmedian(x, axis=0), "each point in time"),
        (lambda x, who: np.nan_to_num(centred(x, who)), "NaN should stay NaN"),
        (lambda x, who: centred(x, who) + 1, "the contours"),
    ],
)
def test_the_speakers(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch04.by_speaker, answer)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda x, rate: x, "return float32"),
        (lambda x, rate: x.astype(np.float32), "return shape (4000,)"),
        (lambda x, rate: ready(x, rate) * np.float32(np.nan), "NaN or infinity"),
        (lambda x, rate: ready(x, 8000), "comes out at 250 Hz"),
        (thinned, "has folded down to 2000 Hz"),
        (lambda x, rate: ready(x, rate, mono=lambda two: two[:, 0]), "2.00 times"),
        (lambda x, rate: ready(x, rate, mono=lambda two: two.sum(axis=1)), "the mean of the"),
        (lambda x, rate: ready(x, rate, full=1), "divide by 32768"),
        (lambda x, rate: ready(x, rate, front=True), "zeros, at its end"),
        (lambda x, rate: np.roll(ready(x, rate), 3), "the samples for"),
    ],
)
def test_a_recording(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch04.prepare, answer)


@pytest.mark.parametrize(
    "check", [ch04.heard, ch04.stft_shape, ch04.to_db, ch04.by_speaker, ch04.prepare]
)
def test_stubs_are_told_where_to_start(capsys: pytest.CaptureFixture[str], check: Any) -> None:
    def stub(*arguments: Any) -> None: ...

    assert "✗ not yet" in (line := said(capsys, check, stub)) and "Asked for" in line
