"""What the files of a table say of themselves: formats, sizes, lengths, marks of a place.

Only headers are read, and of many files only some, so that this takes seconds.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..decode import IMAGE_FORMATS
from ..paths import opened
from ..recordings import LONGEST_KNOWN

LOOKED = 2000  # largest number of files that are looked at
SHARES = (0.05, 0.5, 0.95)  # of rows or files: the usual least, the middle, the usual most
GPS = 0x8825  # of Exif: where a picture was taken


def spread(values: Sequence[float]) -> list[float] | None:
    """What 5%, 50% and 95% of the values do not exceed; None without values."""
    if not values:
        return None
    return [float(v) for v in np.quantile(values, SHARES, method="inverted_cdf")]


def pictures(paths: Sequence[str]) -> dict[str, Any]:
    """Of pictures that the loader has read: formats, modes, width and height, and Exif.

    Returns:
        A dict for JSON. files, looked_at: numbers. formats, modes: name → number. width, height:
        as `spread`, in pixels, as the file stores them. exif, places: number of files with Exif
        data, and with a place in it.
    """
    found = _each(paths, _picture)
    return {
        "files": len(paths),
        "looked_at": len(found),
        **{name: _counted(one[name] for one in found) for name in ("formats", "modes")},
        **{name: spread([one[name] for one in found]) for name in ("width", "height")},
        **{name: sum(one[name] for one in found) for name in ("exif", "places")},
    }


def sounds(paths: Sequence[str]) -> dict[str, Any]:
    """Of recordings that the loader has read: formats, rates, channels and lengths.

    Returns:
        A dict for JSON. files, looked_at: numbers. formats, rates (Hz), channels: name → number.
        seconds: as `spread`; files that do not tell their length are left out of it.
    """
    found = _each(paths, _sound)
    return {
        "files": len(paths),
        "looked_at": len(found),
        **{name: _counted(one[name] for one in found) for name in ("formats", "rates", "channels")},
        "seconds": spread([one["seconds"] for one in found if one["seconds"] is not None]),
    }


def _counted(names: Any) -> dict[str, int]:
    return {str(name): n for name, n in Counter(names).most_common()}


def _each(paths: Sequence[str], look: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
    """What is seen in the files, evenly spaced; a file that is gone by now is left out."""
    found = []
    for path in paths[:: -(-len(paths) // LOOKED) or 1]:
        with contextlib.suppress(Exception):  # the loader has reported what is wrong with a file
            found.append(look(path))
    return found


def _picture(path: str) -> dict[str, Any]:
    with opened(path) as stream, Image.open(stream, formats=IMAGE_FORMATS) as image:
        exif = "exif" in image.info  # getexif() would unpack a PNG to look for it
        return {
            "formats": image.format,
            "modes": image.mode,
            "width": image.width,
            "height": image.height,
            "exif": exif,
            "places": exif and bool(image.getexif().get_ifd(GPS)),
        }


def _sound(path: str) -> dict[str, Any]:
    import soundfile

    with opened(path) as stream, soundfile.SoundFile(stream.fileno(), closefd=False) as sound:
        known = sound.frames < LONGEST_KNOWN
        return {
            "formats": sound.format,
            "rates": sound.samplerate,
            "channels": sound.channels,
            "seconds": sound.frames / sound.samplerate if known else None,
        }
