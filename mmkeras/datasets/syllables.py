"""Spoken Mandarin syllables in two voices, and a rendered stand-in where they cannot be fetched.

The recordings are real: two speakers, each reading the same list (data/README.md has the card).
Two things can be held out: the *syllable* (what is said, whatever its tone) and the *voice* (who
says it). `load_syllables(rendered=True)` draws syllables of the same kind by a formula, for
machines without the Debian client. Used in chapters 04, 16.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from scipy.signal import lfilter, resample_poly

from .. import assets, files
from ..arguments import check_integer
from .splits import hold_out, positions

ASSET = "mandarin-syllables"
SECONDS = 0.64  # length of every clip; the longest recording has 0.63
TONES = ("high", "rising", "low", "falling", "neutral")  # tones 1, 2, 3, 4, and 5
VOICES = ("low", "high")
_FILES = {"low": "3.ogg", "high": "5.ogg"}
_DIGITS = {"2": 2, "3": 3, "4": 4, "1": 5}  # in a folder's name; no digit means the first tone
_RATES = (6000, 48_000)


@dataclass(frozen=True, eq=False)
class Syllables:
    """Clips of one syllable each, row by row.

    Attributes:
        table: one row per clip, with the columns `syllable` (str, in Bopomofo, without the tone),
            `tone` (int, 1 to 4, and 5 for the neutral tone), `voice` ("low" or "high"), `seconds`
            (float, without the padding) and `peak` (float, the largest absolute sample). The index
            is the row number in the full set, and `take` and `split` keep it.
        clips: float32 (rows of the full set, samples), shared by all parts of it.
        rate: samples per second.
        rendered: True if the clips are drawn by a formula, False if they were recorded.
    """

    table: pd.DataFrame
    clips: np.ndarray
    rate: int
    rendered: bool

    @property
    def waves(self) -> np.ndarray:
        """float32 `(rows, 0.64 * rate)`, about -1 to 1, padded with zeros at the end."""
        return self.clips[self.table.index.to_numpy()]

    @property
    def y(self) -> np.ndarray:
        """Class numbers, int32 `(rows,)`: the tone minus 1, as in `TONES`."""
        return self.table["tone"].to_numpy(np.int32) - 1

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        voices = " and ".join(f"{voice} voice" for voice in self.table["voice"].unique())
        kind = "rendered" if self.rendered else "recorded"
        number = self.table["syllable"].nunique()
        return f"Syllables({len(self)} {kind} clips of {number} syllables, {voices})"

    def take(self, rows: Sequence[int] | np.ndarray) -> "Syllables":
        """The rows at these positions (counted from 0 in this object), or where a mask is True."""
        return Syllables(self.table.iloc[positions(rows)], self.clips, self.rate, self.rendered)

    def split(
        self,
        held_out_voice: str | None = None,
        *,
        test: float = 0.25,
        valid: float = 0.1,
        seed: int = 0,
    ) -> tuple["Syllables", "Syllables", "Syllables"]:
        """Training, validation and test set that share no syllable, whatever its tone.

        With a held-out voice, the test set has the test syllables as spoken by *that* voice, and
        the other two sets have theirs as spoken by the *other* voice. With None, all voices of the
        table are in all three sets. The same seed puts the same syllables into the same set.

        Args:
            held_out_voice: "low", "high" or None.
            test: share of the syllables in the test set, between 0 and 1.
            valid: share of the syllables in the validation set; `test + valid` < 1.
            seed: seed of the draw, int from 0.

        Raises:
            ValueError: the voice is not in the table, or is the only one; a share is out of range;
                there are fewer than 10 syllables.
        """
        number = self.table["syllable"].nunique()
        if number < 10:
            raise ValueError(
                f"a split needs at least 10 different syllables, but here are {number}"
            )
        sides = hold_out(
            self.table,
            "syllable",
            "voice",
            held_out_voice,
            stratify=None,
            test=test,
            valid=valid,
            seed=seed,
        )
        training, validation, testing = map(self.take, sides)
        return training, validation, testing


def load_syllables(rate: int = 8000, *, rendered: bool = False) -> Syllables:
    """All recordings, resampled to `rate` and padded to 0.64 s; or rendered ones.

    Recorded: 2,358 clips, 1,200 in the low voice and 1,158 in the high one, of 415 syllables with
    the tones 1 to 4 and, in 24 clips, the neutral tone. Three clips of the high voice are all but
    silent (`peak` below 0.02). The clips of the low voice have an offset of about -0.03, which
    makes up a fifth of the power of a typical clip. The recordings are decoded once for each rate,
    which takes some seconds, and kept in the cache.

    Rendered: 960 clips, 120 syllables in four tones and two voices; nothing is fetched. A clip
    begins with a burst, a hiss, a hum or nothing; then the harmonics of a pitch that follows the
    tone's contour (after Chao 1930) are filtered by the two resonances of a vowel. Every call gives
    the same clips, which are no model of real speech.

    Args:
        rate: samples per second, int from 6000 to 48000.
        rendered: whether to load the rendered set.

    Raises:
        ValueError: the rate is not a whole number in this range.
        mmkeras.assets.AssetError: the recordings are not in the cache and cannot be fetched, or a
            file cannot be decoded.
    """
    rate = check_integer("rate", rate, *_RATES)
    if rendered:
        return _rendered(rate)
    root = assets.fetch(ASSET) / "gcin-voice" / "ogg"
    recorded = [
        (folder.name, voice, folder / file)
        for voice, file in _FILES.items()
        for folder in sorted(root.iterdir())
        if (folder / file).is_file()
    ]
    clips, lengths = _recordings([path for *_, path in recorded], rate)
    rows = [(*syllable_and_tone(name), voice) for name, voice, _ in recorded]
    return Syllables(_table(rows, clips, lengths / rate), clips, rate, rendered=False)


def syllable_and_tone(folder: str) -> tuple[str, int]:
    """The syllable and the tone in the name of a folder: "ㄅㄚ3" → ("ㄅㄚ", 3).

    A name without a digit means the first tone. The digit 1 means the neutral tone, which is 5
    here.
    """
    tone = _DIGITS.get(folder[-1:])
    return (folder, 1) if tone is None else (folder[:-1], tone)


def _table(
    rows: Iterable[tuple[str, int, str]], clips: np.ndarray, seconds: np.ndarray
) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["syllable", "tone", "voice"])
    return table.assign(seconds=seconds, peak=np.abs(clips).max(axis=1))


# ---- recorded -------------------------------------------------------------------------------


def _recordings(paths: list[Path], rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Clips, float32 (files, samples), and lengths, int (files,); decoded once, then cached."""
    asset = assets.catalogue()[ASSET]
    key = " ".join([asset.sha256, str(SECONDS), *(f"{p.parent.name}/{p.name}" for p in paths)])
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    shape = (len(paths), round(SECONDS * rate))

    def read(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
        with np.load(path) as kept:
            clips, lengths = kept["clips"], kept["lengths"]
        fits = clips.shape == shape and clips.dtype == np.float32 and lengths.shape == shape[:1]
        return (clips, lengths) if fits else None

    return files.cached(
        assets.cache_dir() / "rendered" / f"syllables-{rate}hz-{digest}.npz",
        lambda: _decode_all(paths, rate),
        read=read,
        write=lambda file, kept: np.savez(file, clips=kept[0], lengths=kept[1]),
        what="clips",
    )


def _decode_all(paths: list[Path], rate: int) -> tuple[np.ndarray, np.ndarray]:
    from tqdm import tqdm  # imported here, because a second run does not need it

    clips = np.zeros((len(paths), round(SECONDS * rate)), np.float32)
    lengths = np.zeros(len(paths), int)
    for i, path in enumerate(tqdm(paths, desc="decoding", delay=2, leave=False)):
        wave = decode(path, rate)
        lengths[i] = len(wave)
        clips[i, : len(wave)] = wave
    return clips, lengths


def decode(path: Path, rate: int) -> np.ndarray:
    """One audio file as float32 (samples,) at `rate`, one channel, at most 0.64 s.

    Raises:
        mmkeras.assets.AssetError: the file, which the message names, is unreadable, empty, not
            finite, or too long.
    """
    name = f"{ASSET}: {path.parent.name}/{path.name}"
    mend = f"To fetch it again: mmkeras data fetch {ASSET}"
    try:
        wave, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise assets.AssetError(f"{name} cannot be decoded ({error}). {mend}") from error
    if not len(wave) or not np.isfinite(wave).all():
        fault = "has no samples" if not len(wave) else "holds NaN or infinity"
        raise assets.AssetError(f"{name} {fault}. {mend}")
    if len(wave) > SECONDS * own_rate:
        raise assets.AssetError(
            f"{name} lasts {len(wave) / own_rate:.2f} s, expected at most {SECONDS} s. {mend}"
        )
    common = np.gcd(rate, own_rate)
    wave = resample_poly(wave.mean(axis=1), rate // common, own_rate // common)
    return wave[: round(SECONDS * rate)].astype(np.float32)


# ---- rendered -------------------------------------------------------------------------------

# Pitch over the course of a syllable on Chao's scale from 1 (low) to 5 (high).
_CONTOURS = {1: (5, 5, 5, 5), 2: (3, 3, 4, 5), 3: (2, 1, 1, 2), 4: (5, 4, 2, 1)}
_PITCH = {"low": (150, 0.50), "high": (285, 0.55)}  # Hz at 3; half of the span, in octaves
_ONSETS = ("", "ㄅ", "ㄉ", "ㄍ", "ㄊ", "ㄎ", "ㄇ", "ㄋ", "ㄌ", "ㄏ", "ㄕ", "ㄙ")
_FORMANTS = {  # Hz: the two resonances that make the vowel, rough values of textbooks
    "ㄚ": (850, 1300), "ㄛ": (550, 900), "ㄜ": (500, 1200), "ㄝ": (600, 1900), "ㄧ": (300, 2300),
    "ㄨ": (350, 700), "ㄩ": (300, 2000), "ㄞ": (700, 1700), "ㄠ": (700, 1050), "ㄡ": (450, 800),
}  # fmt: skip


def _rendered(rate: int) -> Syllables:
    rows = [
        (onset + final, tone, voice)
        for voice in VOICES
        for onset in _ONSETS
        for final in _FORMANTS
        for tone in _CONTOURS
    ]
    clips = np.zeros((len(rows), round(SECONDS * rate)), np.float32)
    seconds = np.zeros(len(rows))
    for i, (syllable, tone, voice) in enumerate(rows):
        wave = _speak(syllable, tone, voice, rate, np.random.default_rng([4, i]))
        clips[i, : len(wave)], seconds[i] = wave, len(wave) / rate
    return Syllables(_table(rows, clips, seconds), clips, rate, rendered=True)


def _speak(syllable: str, tone: int, voice: str, rate: int, rng: np.random.Generator) -> np.ndarray:
    """One rendered syllable, float (samples,), 0.35 to 0.5 s."""
    onset, final = syllable[:-1], syllable[-1]
    lead = round(rate * {"": 0.01, "ㄏ": 0.07, "ㄕ": 0.09, "ㄙ": 0.09}.get(onset, 0.04))
    length = round(rate * rng.uniform(0.3, 0.4))
    middle, span = _PITCH[voice]
    height = np.interp(np.linspace(0, 3, length), np.arange(4), _CONTOURS[tone])
    height += rng.normal(0, 0.25) + rng.normal(0, 0.2) * np.linspace(-1, 1, length)
    pitch = middle * 2 ** (span * (height - 3) / 2)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    number = np.arange(1, int(0.45 * rate / pitch.max()) + 1)  # all harmonics below the Nyquist
    voiced = (np.sin(phase[:, None] * number) / number).sum(axis=1)
    scale = (1.0 if voice == "low" else 1.15) * rng.normal(1, 0.03)
    for formant in _FORMANTS[final]:
        angle, radius = 2 * np.pi * formant * scale / rate, np.exp(-np.pi * 120 / rate)
        voiced = lfilter([1], [1, -2 * radius * np.cos(angle), radius**2], voiced)
    voiced *= np.interp(np.linspace(0, 1, length), [0, 0.1, 0.6, 1], [0, 1, 0.8, 0])
    noise = rng.normal(size=lead) * np.linspace(1, 0.2, lead) * np.abs(voiced).max() / 8
    if onset in ("ㄇ", "ㄋ", "ㄌ"):
        noise = np.sin(2 * np.pi * pitch[0] * np.arange(lead) / rate) * np.abs(voiced).max() / 4
    wave = np.concatenate([noise, voiced])
    wave += rng.normal(0, 0.002, len(wave)) * np.abs(wave).max()
    return rng.uniform(0.2, 0.5) * wave / np.abs(wave).max()
