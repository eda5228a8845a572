"""Smaller pictures in notebooks: nbval does not compare their pixels, and a course is downloaded.

A line plot has fewer than 256 colours, so a palette holds it exactly in half the bytes. A picture
with more colours gets a palette, too, if its pixels then move by less than two levels of 255 on
average, which nobody sees; other photographs stay as they are.
"""

import base64
import io

import numpy as np
from nbformat import NotebookNode
from PIL import Image

MOVED = 2.0  # levels of 255: the mean difference that a palette may make


def shrink_pictures(nb: NotebookNode) -> None:
    """Replace each PNG of the outputs by a smaller one of the same size, where there is one."""
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            if "image/png" in (data := output.get("data", {})):
                data["image/png"] = _smaller(data["image/png"])


def _smaller(encoded: str) -> str:
    before = base64.b64decode(encoded)
    picture = Image.open(io.BytesIO(before)).convert("RGBA")
    if picture.getextrema()[3][0] < 255:  # see-through: a palette would lose that
        return encoded
    picture = picture.convert("RGB")
    palette = picture.quantize(256, kmeans=1, dither=Image.Dither.NONE)
    moved = np.abs(np.asarray(palette.convert("RGB"), int) - np.asarray(picture, int)).mean()
    stream = io.BytesIO()
    (palette if moved < MOVED else picture).save(stream, "png", optimize=True)
    after = stream.getvalue()
    return base64.b64encode(after).decode() if len(after) < len(before) else encoded
