"""The colour of a drawing, read from its pixels.

A rule of ours: every pixel gets a name by its hue, saturation and brightness, and a drawing has the
colour of most of its pixels, if they agree well enough. Used in chapter 14.
"""

import numpy as np
from matplotlib.colors import rgb_to_hsv

NAMES = ("red", "orange", "yellow", "green", "blue", "brown", "grey")
AGREE, COVERED = 0.5, 0.1  # least share of the coloured pixels that agree; of all that are coloured
# Degrees of hue at which a name ends; red goes on from 345 to 360. None: purple and pink.
_ENDS = ((14, "red"), (36, "orange"), (68, "yellow"), (165, "green"), (255, "blue"), (345, None))


def name_pixels(pixels: np.ndarray) -> np.ndarray:
    """A name for each pixel: uint8 `(..., 3)`, RGB → int64 `(...)`.

    The numbers are places in `NAMES`. -1 stands for background and outline (nearly white, nearly
    black), -2 for a colour without a name here (purple, pink).
    """
    hue, saturation, value = np.moveaxis(rgb_to_hsv(pixels / 255.0), -1, 0)
    hue = hue * 360
    named = np.zeros(hue.shape, np.int64)
    for end, name in reversed(_ENDS):
        named[hue < end] = -2 if name is None else NAMES.index(name)
    reddish, pale = named == NAMES.index("red"), (saturation < 0.55) & (value > 0.75)
    named[reddish & pale] = -2  # pink
    named[(hue < 45) & (value < 0.72)] = NAMES.index("brown")
    named[saturation < 0.2] = NAMES.index("grey")
    named[(saturation < 0.12) & (value > 0.93)] = -1
    named[value < 0.22] = -1
    return named


def name_drawings(drawings: np.ndarray) -> np.ndarray:
    """A name for each drawing: uint8 `(n, height, width, 3)` → object `(n,)`.

    It is one of `NAMES`; or "" where fewer than half of the pixels that are neither background nor
    outline have the same colour, where it has no name, or where they cover less than a tenth.
    """
    named = name_pixels(drawings).reshape(len(drawings), -1)
    counts = np.stack([(named == k).sum(axis=1) for k in range(len(NAMES))], axis=1)
    coloured = (named != -1).sum(axis=1)
    clear = counts.max(axis=1) >= AGREE * np.maximum(coloured, 1)
    clear &= coloured >= COVERED * named.shape[1]
    return np.where(clear, np.array(NAMES, object)[counts.argmax(axis=1)], "")
