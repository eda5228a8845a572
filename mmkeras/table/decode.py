"""Decode the pictures that a table names, with complete checks and in bounded memory."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from .paths import Refused, opened

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
PICTURES = "PNG, JPEG, WebP, BMP, GIF or TIFF"
IN_FLIGHT = 64_000_000  # pixels that all threads together unpack at a time
STRIP = 1 << 20  # pixels that are converted at a time
ORIENTATION = 0x0112  # of Exif
_TURNS = dict(zip((2, 3, 4, 5, 6, 7, 8), (
    Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
), strict=True))  # fmt: skip
_STARTS = {
    b"%PDF": "a PDF", b"<svg": "an SVG", b"<?xml": "XML or SVG", b"<!DOCTYPE": "a web page",
    b"<html": "a web page", b"PK\x03\x04": "a ZIP archive", b"\x00\x00\x01\x00": "an icon (ICO)",
    b"8BPS": "a Photoshop file", b"caff": "a CAF recording", b"#!AMR": "an AMR recording",
    b"\x1aE\xdf\xa3": "a Matroska or WebM file", b"version https://git-lfs": "a Git LFS pointer",
}  # fmt: skip
_BRANDS = {b"heic": "an HEIC picture", b"heix": "an HEIC picture", b"mif1": "an HEIC picture",
           b"avif": "an AVIF picture", b"M4A ": "an M4A recording"}  # fmt: skip
_noted = threading.local()


def note(text: str) -> None:
    """Keep a note on a file that is not a problem; the text continues "n files …"."""
    _noted.texts = [*getattr(_noted, "texts", []), text]


def notes() -> list[str]:
    """The notes of this thread since the last call."""
    found, _noted.texts = getattr(_noted, "texts", []), []
    return found


def other_format(start: bytes) -> str:
    """Half a sentence about a file of a format that cannot be read."""
    brand = _BRANDS.get(start[8:12], "an MP4 or QuickTime file") if start[4:8] == b"ftyp" else ""
    known = brand or next((name for magic, name in _STARTS.items() if start.startswith(magic)), "")
    return f"it is {known}; convert it" if known else f"it starts with {start[:8]!r}"


# ---- pictures -------------------------------------------------------------------------------


class _Room:
    """Admits threads while the sum of their pixels is small; a single thread is always admitted."""

    def __init__(self) -> None:
        self.taken, self.changed = 0, threading.Condition()

    @contextlib.contextmanager
    def __call__(self, pixels: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: not self.taken or self.taken + pixels <= IN_FLIGHT)
            self.taken += pixels
        try:
            yield
        finally:
            with self.changed:
                self.taken -= pixels
                self.changed.notify_all()


_room = _Room()


def decode_image(source: str | bytes, size: tuple[int, int], max_pixels: int) -> np.ndarray:
    """The picture as uint8 (height, width, 3), RGB, turned by its EXIF, on white, padded in black.

    The picture keeps its proportions, and is shrunk (antialiased) or enlarged until it touches two
    sides. 16 bits become 8; if no value reaches 4,096, the values are taken for 12 bits, with a
    note. The first frame of an animation and the first page of a TIFF are used; colour profiles are
    ignored. The peak memory is at most 1.5 times the unpacked picture with 4 bytes per pixel, or 4
    times for a WebP, because of its decoder.

    Args:
        source: the path of a file, or its content.
        size: (height, width) in pixels.
        max_pixels: largest number of pixels.

    Raises:
        Refused: the file is not a PNG, JPEG, WebP, BMP, GIF or TIFF picture, is damaged, or has
            more than ``max_pixels``, which is read from its header before anything is unpacked.
    """
    with opened(source) as stream:
        try:
            with Image.open(stream, formats=IMAGE_FORMATS) as image:
                pixels = image.width * image.height
                if pixels > max_pixels:
                    raise Refused(
                        f"the picture has {image.width}×{image.height} pixels, "
                        f"more than max_pixels={max_pixels:,}"
                    )
                return _unpacked(image, size)
        except Refused:
            raise
        except Image.DecompressionBombError:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise Refused(f"the picture has more than {most:,} pixels, Pillow's limit") from None
        except Image.UnidentifiedImageError:
            raise Refused(_no_picture(stream)) from None
        except Exception as error:  # a damaged file may raise anything, depending on the damage
            raise Refused(f"unreadable picture: {error}") from None


def _no_picture(stream: BinaryIO) -> str:
    stream.seek(0)
    start = stream.read(32)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "unreadable picture: a PNG whose header is damaged (its checksum does not fit)"
    return f"not a {PICTURES} picture: {other_format(start)}"


def _unpacked(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    turn = None
    if image.format in ("JPEG", "MPO"):  # unpack a smaller one
        turn = image.getexif().get(ORIENTATION)
        inner = _inner(image.size, size, turn)
        image.draft(None, (2 * inner[0], 2 * inner[1]))
    with _room(image.width * image.height * (4 if image.format == "WEBP" else 1)):
        wide = bool(image.tile) and ";16" in str(image.tile[0][3])
        image.load()
        if wide and not image.mode.startswith("I"):
            _check_colours(image)
        turn = image.getexif().get(ORIENTATION) if turn is None else turn
        small = _shrunk(image, _inner(image.size, size, turn))
    if turn in _TURNS:
        small = small.transpose(_TURNS[turn])
    height, width = size
    canvas = Image.new("RGB", (width, height))
    canvas.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    return np.asarray(canvas)


def _inner(whole: tuple[int, int], size: tuple[int, int], turn: int | None) -> tuple[int, int]:
    """(width, height) before turning, so that the picture touches two sides of ``size``."""
    height, width = size[::-1] if turn in (5, 6, 7, 8) else size
    scale = min(height / whole[1], width / whole[0])
    return max(1, round(whole[0] * scale)), max(1, round(whole[1] * scale))


def _shrunk(image: Image.Image, inner: tuple[int, int]) -> Image.Image:
    """The picture in RGB and of this size, made strip by strip, without a second large copy.

    Means over blocks shrink it to three times the size, and a bicubic filter does the rest, as in
    Pillow's ``resize(…, reducing_gap=3)`` of a picture that was converted before.
    """
    white = _white_of(image)
    factors = [max(1, int(whole / to / 3)) for whole, to in zip(image.size, inner, strict=True)]
    how: dict[str, Any] = {"size": inner, "resample": Image.Resampling.BICUBIC}
    strips = range(0, image.height, max(1, STRIP // image.width // factors[1]) * factors[1])
    parts = ((top, image.crop((0, top, image.width, min(image.height, top + strips.step))))
             for top in strips)  # fmt: skip
    if factors == [1, 1] and image.mode in ("RGB", "L") and not image.has_transparency_data:
        return image.resize(**how).convert("RGB")
    if factors == [1, 1] and image.mode in ("RGBA", "LA"):  # put on white where it stands
        for top, strip in parts:
            image.paste(_rgb(strip, white).convert(image.mode), (0, top))
        bands = [image.getchannel(band).resize(**how) for band in image.mode[:-1]]
        return Image.merge("RGB", bands * (3 // len(bands)))
    width, height = (-(-n // f) for n, f in zip(image.size, factors, strict=True))
    small = Image.new("RGB", (width, height))
    for top, strip in parts:
        small.paste(_rgb(strip, white).reduce(tuple(factors)), (0, top // factors[1]))
    box = (0, 0, image.width / factors[0], image.height / factors[1])
    return small.resize(**how, box=box)


def _white_of(image: Image.Image) -> int:
    """The value of white: 255, or that of a picture with more than 8 bits."""
    if image.mode == "F":
        raise Refused("the picture holds floating-point numbers; save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return 255
    low, high = image.getextrema()
    if low < 0 or high > 65535:
        raise Refused(f"its values go from {low} to {high}; expected 0 to 65,535 (16 bits)")
    if high >= 4096:
        return 65535
    if high > 0:
        note("have 16 bits, but no value above 4,095: they are taken for 12 bits (4,095 is white)")
    return 4095


def _check_colours(image: Image.Image) -> None:
    """Refuse 12-bit colours in 16 bits: Pillow keeps the upper 8 bits, so only 4 would be left."""
    bands = image.getextrema()[: 1 if image.mode == "LA" else 3]
    if 0 < max(high for _, high in bands) < 16:
        raise Refused("its colours have 16 bits, but none is above 4,095, which is nearly black; "
                      "save it with 8 bits")  # fmt: skip


def _rgb(strip: Image.Image, white: int) -> Image.Image:
    if strip.mode.startswith("I"):
        grey = np.round(np.asarray(strip, np.float32) * np.float32(255 / white))
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if strip.has_transparency_data:
        strip = strip.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB")
    return strip.convert("RGB")
