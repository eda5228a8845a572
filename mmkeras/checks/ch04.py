"""Checks of chapter 04, audio."""

from collections.abc import Callable

import numpy as np

from . import NotYet, exercise, expect_close


@exercise(
    "04.1",
    "the alias",
    hint="take away the nearest whole multiple of the rate, rate * round(f / rate), and drop the "
    "sign with abs",
)
def heard(answer: Callable) -> str | None:
    """A function of f and rate, both in Hz: the alias |f - rate * round(f / rate)|."""
    for f, rate in ((1000, 8000), (9000, 8000), (4100, 8000), (7000, 8000), (21_500, 16_000)):
        want = abs(f - rate * round(f / rate))
        got = answer(f, rate)
        case = f"{f} Hz at {rate} samples per second"
        slips = {
            "the remainder f % rate goes up to the rate; above half of it the tone folds back": f
            % rate,
            "the frequency itself is heard only below half the rate": f,
            "a frequency is heard without a sign: take the absolute value": f
            - rate * round(f / rate),
            "tones are not cut off at half the rate, they fold back": min(f, rate / 2),
        }
        for problem, slip in slips.items():
            if np.shape(got) == () and np.isclose(got, slip) and not np.isclose(slip, want):
                raise NotYet(f"{problem} ({case}: yours is {slip:g}, expected {want:g})")
        expect_close(got, want, case, atol=1e-6)
    return "and so 7000 Hz is a 1000 Hz tone from then on, for ever"


@exercise(
    "04.2",
    "the shape of an STFT",
    hint="the first frame needs `frame` samples, each further one `hop` more; a real frame has "
    "frame // 2 + 1 bins, rate / frame Hz apart",
)
def stft_shape(answer: Callable) -> str | None:
    """A function of samples, frame, hop, rate: (frames, bins, Hz between two bins)."""
    for samples, frame, hop, rate in ((4000, 256, 80, 8000), (16_000, 512, 160, 16_000),
                                      (256, 256, 80, 8000), (200, 256, 80, 8000)):  # fmt: skip
        got = answer(samples, frame, hop, rate)
        case = f"for samples={samples}, frame={frame}, hop={hop}"
        if not isinstance(got, tuple | list | np.ndarray) or len(got) != 3:
            raise NotYet("return three numbers: (frames, bins, Hz between two bins)")
        frames = 1 + (samples - frame) // hop if samples >= frame else 0
        if samples < frame and got[0] != 0:
            raise NotYet(f"a clip shorter than a frame gives no frame; yours gives {got[0]} {case}")
        if got[0] == frames - 1 and frames > 0:
            raise NotYet(f"the first frame starts at 0 and counts too: {frames} frames {case}")
        if got[0] == samples // hop:
            raise NotYet(f"the last frame must fit: take `frame` away before you divide {case}")
        if got[1] == frame // 2:
            raise NotYet("one bin is missing: both 0 Hz and the Nyquist frequency have one")
        if got[1] == frame:
            raise NotYet("of a real signal one half of the bins, and one, tells all")
        if np.isclose(got[2], rate / 2 / (frame // 2 + 1)) or np.isclose(got[2], rate / hop):
            raise NotYet("bins are rate / frame apart: from 0 to rate / 2 in frame / 2 steps")
        expect_close(got[0], frames, f"the number of frames {case}")
        expect_close(got[1], frame // 2 + 1, f"the number of bins {case}")
        expect_close(got[2], rate / frame, f"the distance of two bins {case}", atol=1e-3)
    return "a clip shorter than one frame gives nothing at all: pad it"


@exercise(
    "04.3",
    "decibels a clip at a time",
    hint="10 * np.log10(np.maximum(power, 1e-10)), then np.maximum with the maximum over frames "
    "and bands (axis=(1, 2), keepdims=True) minus top_db",
)
def to_db(answer: Callable) -> str | None:
    """A function of power (clips, frames, bands) and top_db: dB with a floor a clip."""
    rng = np.random.default_rng(0)
    power = 10 ** rng.uniform(-9, 0, (3, 6, 5)) * np.array([1, 1e4, 0])[:, None, None]
    for top_db in (40.0, 80.0):
        got = answer(power.copy(), top_db)
        level = 10 * np.log10(np.maximum(power, 1e-10))
        want = np.maximum(level, level.max(axis=(1, 2), keepdims=True) - top_db)
        slips = {
            "this is the floor of the whole batch, the trap itself: take each clip's own maximum, "
            "axis=(1, 2)": np.maximum(level, level.max() - top_db),
            "nothing is raised to the floor: use top_db": level,
            "this takes the maximum of each frame; a clip has one floor for all": np.maximum(
                level, level.max(axis=2, keepdims=True) - top_db
            ),
            "10 times the logarithm for power; 20 is for amplitudes": np.maximum(
                2 * level, 2 * level.max(axis=(1, 2), keepdims=True) - top_db
            ),
            "the logarithm to base 10, not the natural one": np.maximum(
                level * np.log(10), level.max(axis=(1, 2), keepdims=True) * np.log(10) - top_db
            ),
        }
        for problem, slip in slips.items():
            if (
                np.shape(got) == slip.shape
                and np.allclose(got, slip)
                and not np.allclose(slip, want)
            ):
                raise NotYet(problem)
        expect_close(got, want, f"the levels for top_db={top_db:g}", atol=1e-3)
    return "a clip no longer knows who sits beside it"


@exercise(
    "04.4",
    "a zero for each speaker",
    hint="for each value of np.unique(speaker): the rows of that speaker minus np.nanmedian of "
    "these rows, in a copy",
)
def by_speaker(answer: Callable) -> str | None:
    """A function of semitones (clips, points) and speaker (clips,): minus the speaker's median."""
    rng = np.random.default_rng(0)
    speaker = np.array(["b", "a", "c", "a", "b", "a", "c", "b"])
    base = np.array([{"a": 3.0, "b": 15.0, "c": 22.0}[one] for one in speaker])[:, None]
    given = base + rng.gamma(1.0, 3.0, (8, 5))
    given[1, :2], given[6, 4] = np.nan, np.nan
    want, means = given.copy(), given.copy()
    for one in np.unique(speaker):
        want[speaker == one] -= np.nanmedian(given[speaker == one])
        means[speaker == one] -= np.nanmean(given[speaker == one])
    handed = given.copy()
    got = answer(handed, speaker.copy())
    if not np.array_equal(handed, given, equal_nan=True):
        raise NotYet("your function changes the array it is given: work on a copy")
    if np.shape(got) != want.shape:
        raise NotYet(f"return shape {want.shape}, yours is {np.shape(got)}")
    got = np.asarray(got, float)
    if np.isnan(got).all(axis=1).any():
        raise NotYet("a NaN spreads over a whole clip: np.nanmedian leaves the NaN out")
    slips = {
        "this is one median for all speakers": given - np.nanmedian(given),
        "this is the median of each clip; a clip of a high tone must stay high": given
        - np.nanmedian(given, axis=1, keepdims=True),
        "this is the mean; a slip of an octave moves it, the median hardly": means,
        "this is a median for each point in time; the speaker has one": given
        - np.nanmedian(given, axis=0),
    }
    for problem, slip in slips.items():
        if np.allclose(got, slip, equal_nan=True):
            raise NotYet(problem)
    if not np.array_equal(np.isnan(got), np.isnan(given)):
        raise NotYet("NaN should stay NaN, and nothing else should become NaN")
    expect_close(np.nan_to_num(got), np.nan_to_num(want), "the contours", atol=1e-9)
    return "now 0 means the same for everybody: the middle of one's own voice"


@exercise(
    "04.5",
    "any recording",
    hint="whole numbers divided by 32768, the mean over the channels, scipy.signal.resample_poly "
    "to 8000, then [:4000], np.pad at the end, and astype(np.float32)",
)
def prepare(answer: Callable) -> str | None:
    """A function of wave (samples,) or (samples, channels), and rate: float32 (4000,) at 8000."""
    cases = [(8000, 0.5, "mono", "float"), (16_000, 0.6, "mono", "float")]
    cases += [(16_000, 0.5, "stereo", "float"), (44_100, 0.3, "mono", "int")]
    for rate, seconds, channels, kind in cases:
        t = np.arange(round(seconds * rate)) / rate
        given = 0.4 * np.sin(2 * np.pi * 500 * t)
        if rate > 12_000:  # above the new Nyquist frequency: this must not come through
            given += 0.3 * np.sin(2 * np.pi * 6000 * t)
        if channels == "stereo":
            given = np.stack([2 * given, np.zeros_like(given)], axis=1)  # the mean is `given`
        if kind == "int":
            given = np.round(32768 * given).astype(np.int16)
        case = f"{given.dtype} {given.shape} at {rate} samples per second"
        got = answer(given, rate)
        if np.shape(got) != (4000,):
            raise NotYet(f"return shape (4000,), yours is {np.shape(got)} for {case}")
        if (dtype := np.asarray(got).dtype) != np.float32:
            raise NotYet(f"return float32, yours is {dtype} for {case}")
        if not np.isfinite(got).all():
            raise NotYet(f"your answer holds NaN or infinity for {case}")
        _compare_tone(np.asarray(got, float), min(4000, round(8000 * seconds)), case)
    return "now record yourself, and say beforehand how often the network will be right"


def _compare_tone(got: np.ndarray, end: int, case: str) -> None:
    """Raise unless `got` is the tone of 500 Hz up to `end`, and zero from there on."""
    if end < 4000 and np.abs(got[end + 50 :]).max() > 0.01:
        raise NotYet(f"a short clip is filled up with zeros, at its end: not so for {case}")
    inner = slice(100, end - 100)  # a filter may differ at the ends
    length = end - 200
    strength = np.abs(np.fft.rfft(got[inner] * np.hanning(length))) * 4 / length
    hertz = np.fft.rfftfreq(length, 1 / 8000)
    if strength.max() > 100:
        raise NotYet(f"whole numbers go up to 32767: divide by 32768, for {case}")
    found = round(hertz[strength.argmax()], -1)  # to 10 Hz
    if abs(found - 500) > 20:
        raise NotYet(
            f"a tone of 500 Hz comes out at {found:.0f} Hz: resample from the rate that is given "
            f"to 8000, for {case}"
        )
    if strength[np.abs(hertz - 2000) < 20].max() > 0.05:
        raise NotYet(
            "a tone of 6000 Hz has folded down to 2000 Hz: filter before you thin out, as "
            f"scipy.signal.resample_poly does, for {case}"
        )
    loud = got[inner].std() / (0.4 / np.sqrt(2))
    if abs(loud - 1) > 0.05:
        raise NotYet(
            f"the level is {loud:.2f} times what it should be: the mean of the channels, and "
            f"nothing scaled but whole numbers, for {case}"
        )
    want = 0.4 * np.sin(2 * np.pi * 500 * np.arange(4000) / 8000)
    expect_close(got[inner], want[inner], f"the samples for {case}", atol=0.05)
