"""Decode the recordings that a table names, with complete checks and in bounded memory."""

import os
import struct
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np

from .decode import other_format
from .paths import Refused, opened

SOUNDS = "WAV, FLAC, OGG, MP3, AIFF or AU"
AUDIO_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF", "AU")
RATES = range(1_000, 768_001)  # samples per second that recorders use
LOUDEST = 2.0  # peaks up to here are overshoots, and clipped; above, the scale is not [-1, 1]
CANCELLED = 1e-3  # channels cancel if the power of their mean is below this share of the loudest
LONGEST_KNOWN = 2**62  # from this number of frames on, the length is unknown


def decode_audio(source: str | bytes, rate: int, seconds: float, max_seconds: float) -> np.ndarray:
    """The recording as float32 (round(rate · seconds),) in [-1, 1].

    The channels are averaged, resampled to ``rate``, and cut or padded with silence at the end. If
    channels cancel each other (one is the other inverted), the loudest is used instead of the mean.
    Resampling is polyphase with an antialiasing filter (`scipy.signal.resample_poly`), which
    removes the frequencies that the new rate cannot represent. The whole recording is checked,
    including the part beyond ``seconds``.

    Args:
        source: the path of a file, or its content.
        rate: samples per second of the clip.
        seconds: length of the clip.
        max_seconds: longest recording that is accepted.

    Raises:
        Refused: the file is not WAV, FLAC, OGG, MP3, AIFF or AU, is damaged or cut short, has no
            samples, NaN or infinite samples or values far outside [-1, 1], or is longer than
            ``max_seconds``.
    """
    import soundfile

    with opened(source) as stream:
        _check_length(stream)
        stream.seek(0)
        file: Any = stream
        if not isinstance(source, bytes):  # libsndfile reads a file itself, which is faster
            os.lseek(stream.fileno(), 0, os.SEEK_SET)
            file = stream.fileno()
        try:
            with soundfile.SoundFile(file, closefd=False) as sound:
                kept = _read(sound, rate, seconds, max_seconds)
                return _fit(_mono(kept), sound.samplerate, rate, seconds)
        except soundfile.LibsndfileError as error:
            stream.seek(0)
            start = stream.read(32)
            if start[:4] in (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"FORM", b".snd"):
                raise Refused(f"unreadable recording: {error.error_string}") from None
            raise Refused(f"not a {SOUNDS} recording: {other_format(start)}") from None


def _check_length(stream: BinaryIO) -> None:
    """Refuse a WAV with fewer bytes than its data chunk announces; its RIFF size is ignored.

    A recorder that writes into a pipe does not know the length, and announces a very large one:
    from 0x7FFFF000 bytes on, the data end where the file ends.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    start = stream.read(12)
    if start[:4] not in (b"RIFF", b"RIFX") or start[8:] != b"WAVE":
        return
    order = "<" if start[:4] == b"RIFF" else ">"
    while len(head := stream.read(8)) == 8:
        (length,) = struct.unpack(f"{order}I", head[4:])
        end = stream.tell() + length
        if head[:4] == b"data":
            if size < end and length < 0x7FFFF000:
                raise Refused(f"cut short: its header says {end:,} bytes, the file has {size:,}")
            return
        stream.seek(end + length % 2)


def _read(sound: Any, rate: int, seconds: float, max_seconds: float) -> np.ndarray:
    """The first samples, (n, channels), that the resampled clip depends on; all are checked."""
    if sound.format not in AUDIO_FORMATS:
        raise Refused(f"not a {SOUNDS} recording, but {sound.format}")
    if sound.samplerate not in RATES:
        raise Refused(
            f"has {sound.samplerate:,} samples per second; expected {RATES[0]:,} to {RATES[-1]:,}"
        )
    if sound.frames == 0:
        raise Refused("the recording is empty (no samples)")
    known = sound.frames < LONGEST_KNOWN
    if known:
        _check_duration(sound.frames, sound.samplerate, max_seconds)
    else:  # soundfile would seek after each block, which needs a known length
        sound.seekable = lambda: False
    reach = 12 * max(1, sound.samplerate // rate + 1)  # more than half of resample_poly's filter
    wanted = int(seconds * sound.samplerate) + reach
    kept: list[np.ndarray] = []
    read, block = 0, max(1, (1 << 20) // sound.channels)  # 4 MB of float32
    while len(samples := sound.read(block, dtype="float32", always_2d=True)):
        _check_samples(samples, read, sound.samplerate)
        if read < wanted:
            kept.append(samples[: wanted - read])
        read += len(samples)
        if not known:
            _check_duration(read, sound.samplerate, max_seconds, "at least ")
    if not read:
        raise Refused("the recording is empty (no samples)")
    if known and read < sound.frames and sound.format != "MP3":  # an MP3's length is an estimate
        raise Refused(f"cut short: {sound.frames:,} samples are promised, {read:,} can be read")
    return np.concatenate(kept)


def _check_duration(frames: int, rate: int, most: float, at_least: str = "") -> None:
    if frames > most * rate:
        raise Refused(
            f"lasts {at_least}{frames / rate:,.1f} s, more than max_audio_seconds={most:g}"
        )


def _check_samples(samples: np.ndarray, before: int, rate: int) -> None:
    if not np.isfinite(samples).all():
        at = before + int(np.flatnonzero(~np.isfinite(samples).all(1))[0])
        raise Refused(f"has NaN or infinite samples, first at {at / rate:.3f} s")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise Refused(f"its samples reach {peak:g}; expected -1 to 1: scale the recording")


def _mono(samples: np.ndarray) -> np.ndarray:
    mean = samples.mean(1)
    power = np.square(samples).sum(0)
    if np.square(mean).sum() < CANCELLED * power.max():
        return samples[:, power.argmax()]
    return mean


def _fit(samples: np.ndarray, old: int, new: int, seconds: float) -> np.ndarray:
    from scipy.signal import resample_poly

    if old != new:
        ratio = Fraction(new, old).limit_denominator(20_000)  # exact for the usual rates
        samples = resample_poly(samples, ratio.numerator, ratio.denominator)
    clip = np.zeros(clip_length(new, seconds), np.float32)
    clip[: len(samples)] = np.clip(samples[: len(clip)], -1, 1)
    return clip


def clip_length(rate: int, seconds: float) -> int:
    """The number of samples in a clip of this length in seconds."""
    return round(rate * seconds)
