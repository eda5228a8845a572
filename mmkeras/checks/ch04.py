"""Checks of chapter 04, audio."""

from collections.abc import Callable

import numpy as np

from . import NotYet, exercise, expect_close


@exercise(
    "04.1",
    "the aliases",
    hint="samples stay the same when a multiple of the rate is added to f or to -f; which of these "
    "lie between 0 and top?",
)
def sounds_like(answer: Callable) -> str | None:
    """Return all frequencies from 0 to top, in Hz, that give the same samples as f."""
    cases: list[tuple[float, int, int]] = [(1000, 8000, 20_000), (4100, 8000, 12_000)]
    cases += [(0, 8000, 20_000), (4000, 8000, 20_000)]
    cases += [(300.5, 1000, 1700), (1000, 8000, 5000), (700, 4000, 50_000)]
    for f, rate, top in cases:
        got = answer(f, rate, top)
        case = f"for f={f:g}, rate={rate}, top={top}"
        try:
            found = [float(one) for one in (sorted(got) if isinstance(got, set) else got)]
        except TypeError:
            raise NotYet(f"return a list of frequencies {case}, not {type(got).__name__}") from None
        turns = range(int(top // rate) + 2)
        same_way = {f % rate + turn * rate for turn in turns}
        backwards = {-f % rate + turn * rate for turn in turns}
        want = sorted(one for one in same_way | backwards if one <= top)
        _compare_aliases(found, want, same_way, f, top, case)
    return "and so a 7000 Hz tone, once sampled at 8000, is a 1000 Hz tone for ever"


def _compare_aliases(
    found: list[float], want: list[float], same_way: set[float], f: float, top: float, case: str
) -> None:
    """Raise unless the frequencies found are those that are wanted, in rising order."""
    if any(one < 0 for one in found):
        raise NotYet(f"a tone has no sign: leave out frequencies below 0 {case}")
    if any(one > top for one in found):
        raise NotYet(f"{max(found):g} Hz is above top {case}")
    if len({round(one, 6) for one in found}) < len(found):
        raise NotYet(f"a frequency comes twice {case}: f and -f may lead to the same one")
    if found != sorted(found):
        raise NotYet(f"put the frequencies into rising order {case}")
    missing = [one for one in want if not np.isclose(one, found).any()]
    extra = [one for one in found if not np.isclose(one, want).any()]
    if extra:
        raise NotYet(f"{extra[0]:g} Hz has other samples {case}")
    if missing and all(one not in same_way for one in missing):
        raise NotYet(
            f"{missing[0]:g} Hz is missing {case}: a point that turns backwards, -f, has the same "
            "cosine; add multiples of the rate to it, too"
        )
    if missing and np.isclose(missing[0], f):
        raise NotYet(f"the tone itself, {f:g} Hz, is one of the answers {case}")
    if missing:
        raise NotYet(f"{missing[0]:g} Hz is missing {case}: one more full turn between two looks")


@exercise(
    "04.2",
    "the sum of the windows",
    hint="sample i of the window falls on place i % hop of the hop neighbouring places: add each "
    "sample to its place",
)
def overlap_sum(answer: Callable) -> str | None:
    """Return the sum of all shifted windows at hop neighbouring places, (hop,)."""
    rng = np.random.default_rng(0)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    for window, hop in ((hann, 64), (hann, 80), (rng.uniform(0.1, 1, 50), 20),
                        (rng.uniform(0.1, 1, 12), 12), (np.ones(100), 30)):  # fmt: skip
        got = answer(window.copy(), hop)
        case = f"for a window of {len(window)} samples and a hop of {hop}"
        if np.shape(got) != (hop,):
            raise NotYet(f"return shape ({hop},), yours is {np.shape(got)} {case}")
        whole = np.resize(np.pad(window, (0, -len(window) % hop)), (-(-len(window) // hop), hop))
        want = whole.sum(axis=0)
        slips = {
            "the square belongs to istft; here the windows themselves are added": (whole**2).sum(0),
            "only two windows are added; all that reach a place count": whole[:2].sum(axis=0),
            "the mean of the windows is not their sum": whole.mean(axis=0),
            "the sum is not divided by its mean: how large it is matters": want / want.mean(),
            "the rest of the window is lost: its length need not be a multiple of the hop": whole[
                : len(window) // hop
            ].sum(axis=0),
            "the places are shifted: place 0 is where a window begins": want[::-1],
        }
        for problem, slip in slips.items():
            if np.allclose(got, slip) and not np.allclose(slip, want):
                raise NotYet(f"{problem} ({case})")
        expect_close(got, want, f"the sum {case}", atol=1e-6)
    return "with a hop of 80 the sum has ripples: divide by it, or take a hop of 64"


@exercise(
    "04.3",
    "decibels per clip",
    hint="take the logarithm first, of no power below 1e-10; each clip then has one maximum, over "
    "its frames and bands: keep these axes, so that it can be compared with every value",
)
def to_db(answer: Callable) -> str | None:
    """Return the levels in dB, (clips, frames, bands), with one floor per clip."""
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


_WORDS = ("supported", "two changes", "same voice", "wrong measure", "too few", "leak")
_REPORT = {
    "A": ("two changes", "the second network had shifts and 10 more epochs: which of the two "
          "helped? A control with 18 epochs and no shifts would tell"),
    "B": ("same voice", "new syllables are tested, and new customers are claimed: a new customer "
          "is a new voice"),
    "C": ("wrong measure", "the SNR was measured, and not how often the recogniser is right"),
    "D": ("too few", "the interval from -4 to 19 holds 0, so there may be no difference at all"),
    "E": ("supported", "the claim is about this voice, the test holds new syllables, and the "
          "whole interval, drawn by syllable, lies above 28%"),
}  # fmt: skip
_ASIDE = {  # where the word that was given would need something that the sentence does not say
    "leak": "nothing in it says that test clips were seen in training",
    "too few": "see whether an interval is given, and where it lies: is the number of clips the "
    "main fault?",
    "same voice": "what it claims is not about another voice",
    "two changes": "how many things differ between what it compares?",
    "wrong measure": "what it measured and what it claims are the same quantity",
    "supported": "what would you need to know to believe it?",
}


@exercise(
    "04.4",
    "a report, read closely",
    hint="ask of each sentence: what is claimed, what was measured, on whom, and what else "
    "differed?",
)
def report(answer: dict[str, str]) -> str | None:
    """Give a dict from the letters A to E to one of the six words."""
    if not isinstance(answer, dict) or set(answer) != set(_REPORT):
        raise NotYet("give a dict with the keys A, B, C, D, E, and one word for each")
    for letter, word in answer.items():
        if not isinstance(word, str) or word not in _WORDS:
            raise NotYet(f"{letter}: {word!r} is none of the words {', '.join(_WORDS)}")
    wrong = [letter for letter in sorted(answer) if answer[letter] != _REPORT[letter][0]]
    if wrong:
        letter = wrong[0]
        others = f" ({len(wrong)} of 5 are not right yet)" if len(wrong) > 1 else ""
        raise NotYet(f"{letter} is not {answer[letter]!r}: {_ASIDE[answer[letter]]}{others}")
    return "E claims little and tests just that; the others claim more than they measured"


@exercise(
    "04.5",
    "any recording",
    hint="five steps, in this order: the scale of whole numbers, one channel, the rate (section 2 "
    "has a function that filters first), the length, the type",
)
def prepare(answer: Callable) -> str | None:
    """Return the recording as float32 (4000,) at 8000 samples per second."""
    cases = [(8000, 0.5, "mono", "float"), (16_000, 0.6, "mono", "float")]
    cases += [(16_000, 0.5, "stereo", "float"), (44_100, 0.3, "mono", "int")]
    for rate, seconds, channels, kind in cases:
        t = np.arange(round(seconds * rate)) / rate
        given = 0.4 * np.sin(2 * np.pi * 500 * t)
        if rate > 12_000:  # above the new Nyquist frequency: this must not come through
            given += 0.3 * np.sin(2 * np.pi * 6000 * t)
        given[t >= 0.5] = 0  # what the network does not get is silent
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
        raise NotYet(f"a short clip should be padded with zeros, at its end; not so for {case}")
    if end == 4000 and np.abs(got[-250:-100]).max() < 0.01:
        raise NotYet(f"your answer ends in silence: keep the first 4000 samples, for {case}")
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
