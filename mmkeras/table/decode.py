"""Pictures and recordings that a table names: found safely and decoded."""

import contextlib
import functools
import os
import re
import stat
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP")
AUDIO_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG")
RATES = range(1_000, 768_001)  # samples per second; what recorders write
LOUDEST = 2.0  # peaks up to here are overshoots, and clipped; above, the scale is not [-1, 1]
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|(data|file):", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class Refused(ValueError):
    """A file that cannot or must not be used; the message is the reason."""


# ---- paths ----------------------------------------------------------------------------------


def resolve(folder: str, cell: str, allow_outside: bool) -> str:
    """The real path (no links, no "..") of a cell; ``folder`` is the real path of the CSV's folder.

    A backslash separates folders, as on Windows.

    Raises:
        Refused: a URL, or a path that leaves the folder although that is not allowed.
    """
    if _URL.match(cell) and not _DRIVE.match(cell):
        raise Refused("is a URL; download the file and give its path")
    if _DRIVE.match(cell) and os.name != "nt":
        raise Refused("is a path on a Windows drive; give paths relative to the CSV's folder")
    real = os.path.realpath(os.path.join(folder, cell.replace("\\", "/")))
    if not allow_outside and not Path(real).is_relative_to(folder):
        absolute = os.path.isabs(cell.replace("\\", "/"))
        what = "is an absolute path outside the CSV's folder" if absolute else (
            "leaves the CSV's folder"
        )  # fmt: skip
        raise Refused(f"{what}; move the file, or pass allow_outside=True")
    return real


def identity(path: str, max_file_bytes: int) -> tuple[str, int, int]:
    """(path, bytes, time of change in ns) of a regular file of fair size.

    Raises:
        Refused: there is none, it is a folder or device, empty, too large, or may not be read.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise Refused(_not_there(path, error)) from None
    if stat.S_ISDIR(found.st_mode):
        raise Refused("is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise Refused("is a device, pipe or socket, not a file")
    if found.st_size == 0:
        raise Refused("the file is empty (0 bytes)")
    if found.st_size > max_file_bytes:
        raise Refused(
            f"the file has {found.st_size:,} bytes, more than max_file_bytes={max_file_bytes:,}"
        )
    return path, found.st_size, found.st_mtime_ns


def _not_there(path: str, error: OSError) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"cannot be opened: {error.strerror}"
    folder, name = os.path.split(path)
    near = _listing(folder).get(name.casefold())
    return f"no such file; there is {near!r} (capitals matter)" if near else "no such file"


@functools.lru_cache(maxsize=16)
def _listing(folder: str) -> dict[str, str]:
    """Names in a folder, by their lower-case form."""
    with contextlib.suppress(OSError):
        return {name.casefold(): name for name in os.listdir(folder)}
    return {}


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise Refused(f"cannot be opened: {error.strerror}") from None


# ---- pictures -------------------------------------------------------------------------------


def decode_image(path: str, size: tuple[int, int], max_pixels: int) -> np.ndarray:
    """uint8 (height, width, 3), RGB: turned as its EXIF says, on white, padded with black.

    The picture keeps its proportions and is shrunk (antialiased) or enlarged until it touches two
    sides. 16 bits become 8; of an animation the first frame counts; colour profiles are ignored.

    Raises:
        Refused: not a PNG, JPEG or WebP picture, damaged, or of more than ``max_pixels``, which is
            read from its header, before anything is unpacked.
    """
    with _open(path) as stream:
        try:
            with Image.open(stream, formats=IMAGE_FORMATS) as image:
                pixels = image.width * image.height
                if pixels > max_pixels:
                    raise Refused(
                        f"the picture has {image.width}×{image.height} pixels, "
                        f"more than max_pixels={max_pixels:,}"
                    )
                image.draft(None, (2 * max(size), 2 * max(size)))  # JPEG: unpack a smaller one
                return _letterbox(_rgb(ImageOps.exif_transpose(image)), size)
        except Refused:
            raise
        except Image.DecompressionBombError:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise Refused(f"the picture has more than {most:,} pixels, Pillow's limit") from None
        except Image.UnidentifiedImageError:
            stream.seek(0)
            start = stream.read(8)
            raise Refused(f"not a PNG, JPEG or WebP picture: it starts with {start!r}") from None
        except Exception as error:  # what a damaged file raises depends on where it is damaged
            raise Refused(f"unreadable picture: {error}") from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey
        grey = np.clip(np.asarray(image, np.float32) / 257, 0, 255)
        return Image.fromarray(np.round(grey).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _letterbox(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    scale = min(height / image.height, width / image.width)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(inner, Image.Resampling.BICUBIC, reducing_gap=3.0)
    canvas = Image.new("RGB", (width, height))
    canvas.paste(small, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return np.asarray(canvas)


# ---- recordings -----------------------------------------------------------------------------


def decode_audio(path: str, rate: int, seconds: float, max_seconds: float) -> np.ndarray:
    """float32 (round(rate · seconds),) in [-1, 1]: the mean of the channels, resampled, cut or
    padded with silence at its end.

    Resampling is polyphase with an antialiasing filter (`scipy.signal.resample_poly`): what the new
    rate cannot carry is removed, not folded back. The whole recording is checked, the part beyond
    ``seconds`` too.

    Raises:
        Refused: not WAV, FLAC or OGG, damaged or cut short, without samples, with NaN or infinite
            samples, with values far outside [-1, 1], or longer than ``max_seconds``.
    """
    import soundfile

    with _open(path) as stream:
        start = stream.read(12)
        if not (start[:4] in (b"RIFF", b"RF64") and start[8:] == b"WAVE") and (
            start[:4] not in (b"fLaC", b"OggS")
        ):
            raise Refused(f"not a WAV, FLAC or OGG recording: it starts with {start[:8]!r}")
        size = os.fstat(stream.fileno()).st_size
        claimed = int.from_bytes(start[4:8], "little") + 8
        if start[:4] == b"RIFF" and size < claimed < 2**32:
            raise Refused(f"cut short: its header says {claimed:,} bytes, the file has {size:,}")
        os.lseek(stream.fileno(), 0, os.SEEK_SET)
        try:
            with soundfile.SoundFile(stream.fileno(), closefd=False) as sound:
                return _fit(
                    _mono(sound, rate, seconds, max_seconds), sound.samplerate, rate, seconds
                )
        except soundfile.LibsndfileError as error:
            raise Refused(f"unreadable recording: {error.error_string}") from None


def _mono(sound: Any, rate: int, seconds: float, max_seconds: float) -> np.ndarray:
    """The first samples, as many as the resampled clip depends on; all of them are checked."""
    if sound.format not in AUDIO_FORMATS:
        raise Refused(f"not a WAV, FLAC or OGG recording, but {sound.format}")
    if sound.samplerate not in RATES:
        raise Refused(
            f"has {sound.samplerate:,} samples per second; expected {RATES[0]:,} to {RATES[-1]:,}"
        )
    if sound.frames == 0:
        raise Refused("the recording is empty (no samples)")
    if sound.frames > max_seconds * sound.samplerate:
        raise Refused(
            f"lasts {sound.frames / sound.samplerate:,.1f} s, more than "
            f"max_audio_seconds={max_seconds:g}"
        )
    reach = 12 * max(1, sound.samplerate // rate + 1)  # half of resample_poly's filter, and a bit
    wanted = int(seconds * sound.samplerate) + reach
    kept: list[np.ndarray] = []
    read, block = 0, max(1, (1 << 20) // sound.channels)  # 4 MB of float32
    while len(samples := sound.read(block, dtype="float32", always_2d=True)):
        if not np.isfinite(samples).all():
            at = read + int(np.flatnonzero(~np.isfinite(samples).all(1))[0])
            raise Refused(f"has NaN or infinite samples, first at {at / sound.samplerate:.3f} s")
        peak = float(np.abs(samples).max())
        if peak > LOUDEST:
            raise Refused(f"its samples reach {peak:g}; expected -1 to 1: scale the recording")
        if read < wanted:
            kept.append(samples[: wanted - read].mean(1))
        read += len(samples)
    if read < sound.frames:
        raise Refused(f"cut short: {sound.frames:,} samples are promised, {read:,} can be read")
    return np.concatenate(kept)


def _fit(samples: np.ndarray, old: int, new: int, seconds: float) -> np.ndarray:
    from scipy.signal import resample_poly

    if old != new:
        ratio = Fraction(new, old).limit_denominator(20_000)  # exact for usual rates
        samples = resample_poly(samples, ratio.numerator, ratio.denominator)
    clip = np.zeros(clip_length(new, seconds), np.float32)
    clip[: len(samples)] = np.clip(samples[: len(clip)], -1, 1)
    return clip


def clip_length(rate: int, seconds: float) -> int:
    return round(rate * seconds)
