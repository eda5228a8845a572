"""Rendered speech: English sentences said by eSpeak NG with a pitch and a speed of one's choice.

Nobody spoke here. eSpeak NG (GPL-3) comes with its data in the package espeakng-loader, for Linux,
macOS and Windows, and runs in a process of its own (`espeak_process`). On one machine the same list
gives the same samples. Other builds say the same with other samples, and a sentence alone differs a
little from the same sentence after others, so compare claims across machines, not bits. Used in
chapters 14 and 16.
"""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import resample_poly

from ..assets import AssetError

INSTALL = "python -m pip install espeakng-loader"
_AUDIBLE = 0.01  # of the largest sample that int16 holds
_PROCESS = Path(__file__).with_name("espeak_process.py")


class Utterance(NamedTuple):
    """What to say and how: pitch 0 to 99 (50 is the voice's own), speed 80 to 450 words a minute.

    The voice is a language and a variant of eSpeak NG, as in "en-us+m3". The seed decides the
    small irregularities of the voice.
    """

    sentence: str
    voice: str
    pitch: int
    speed: int
    seed: int


def speak(utterances: Sequence[Utterance], rate: int) -> list[np.ndarray]:
    """Each utterance as float32 `(samples,)` in [-1, 1], at `rate` samples per second.

    About 2 ms for each.

    Raises:
        mmkeras.assets.AssetError: espeakng-loader is not installed; the synthesizer failed, or
            gave silence.
    """
    spoken, own_rate = _synthesize(utterances)
    return _resampled(utterances, spoken, own_rate, rate)


def speak_words(
    utterances: Sequence[Utterance], rate: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """As `speak`, and where each word begins.

    Returns:
        The waves, as `speak` gives them, and for each float64 (words,), the seconds at which its
        words begin, in the order in which they are said. A word ends where the next one begins; a
        pause belongs to the word before it.

    Raises:
        mmkeras.assets.AssetError: as `speak`; or a sentence has not as many words, parted by
            spaces, as the synthesizer announced ("of the" may be said as one).
    """
    spoken, starts, own_rate = _timed(utterances)
    for utterance, begun in zip(utterances, starts, strict=True):
        if len(begun) != len(utterance.sentence.split()):
            raise AssetError(
                f"eSpeak NG announced {len(begun)} words in {utterance.sentence!r}, which has "
                f"{len(utterance.sentence.split())}: choose another sentence"
            )
    seconds = [begun / own_rate for begun in starts]
    return _resampled(utterances, spoken, own_rate, rate), seconds


def _resampled(
    utterances: Sequence[Utterance], spoken: list[np.ndarray], own_rate: int, rate: int
) -> list[np.ndarray]:
    common = math.gcd(rate, own_rate)
    waves = []
    for utterance, samples in zip(utterances, spoken, strict=True):
        loudest = np.abs(samples.astype(np.int32)).max(initial=0)
        if loudest < _AUDIBLE * 32_768:
            raise AssetError(
                f"eSpeak NG gave silence for {utterance} ({len(samples)} samples, none above "
                f"{loudest}). Install it anew: {INSTALL} --force-reinstall"
            )
        wave = resample_poly(samples / 32_768, rate // common, own_rate // common)
        waves.append(np.clip(wave, -1, 1).astype(np.float32))
    return waves


def _package() -> Any:
    try:
        import espeakng_loader
    except ImportError as error:
        raise AssetError(f"what speaks is not installed. To install it: {INSTALL}") from error
    return espeakng_loader


def _synthesize(utterances: Sequence[Utterance]) -> tuple[list[np.ndarray], int]:
    """int16 samples of each, and their rate."""
    clips, _, rate = _timed(utterances)
    return clips, rate


def _timed(utterances: Sequence[Utterance]) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """int16 samples of each, the samples at which its words begin, and the rate."""
    package = _package()
    done = subprocess.run(
        [sys.executable, "-P", str(_PROCESS), package.get_library_path()],
        cwd=Path(package.get_data_path()).parent,
        input=json.dumps(utterances).encode(),
        capture_output=True,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise AssetError(
            f"eSpeak NG failed with status {done.returncode}: {said[-1]}. "
            f"Install it anew: {INSTALL} --force-reinstall"
        )
    return _parse(done.stdout, len(utterances))


def _parse(output: bytes, count: int) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    rate, at = int(np.frombuffer(output, np.int32, 1)[0]), 4
    clips: list[np.ndarray] = []
    starts: list[np.ndarray] = []
    for _ in range(count):
        for type_, found in ((np.int16, clips), (np.int32, starts)):
            size = int(np.frombuffer(output, np.int32, 1, at)[0])
            found.append(np.frombuffer(output, type_, size, at + 4))
            at += 4 + size * np.dtype(type_).itemsize
    return clips, starts, rate
