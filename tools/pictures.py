"""Make the pictures in notebooks smaller, so that the course downloads faster.

nbval does not compare their pixels. A line plot has fewer than 256 colours, so a palette holds it
exactly in half the bytes. A picture with more colours gets a palette, too, if its pixels then
change by less than two levels of 255 on average, which nobody sees; others stay as they are.
"""

import base64
import io

import numpy as np
from nbformat import NotebookNode
from PIL import Image

MOVED = 2.0  # largest mean difference by a palette, in levels of 255


def shrink_pictures(nb: NotebookNode) -> None:
    """Replace each PNG of the outputs by one with fewer bytes and the same size, if possible."""
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            if "image/png" in (data := output.get("data", {})):
                data["image/png"] = _smaller(data["image/png"])


def _smaller(encoded: str) -> str:
    before = base64.b64decode(encoded)
    picture = Image.open(io.BytesIO(before)).convert("RGBA")
    if picture.getextrema()[3][0] < 255:  # a palette would lose the transparency
        return encoded
    picture = picture.convert("RGB")
    palette = picture.quantize(256, kmeans=1, dither=Image.Dither.NONE)
    moved = np.abs(np.asarray(palette.convert("RGB"), int) - np.asarray(picture, int)).mean()
    stream = io.BytesIO()
    (palette if moved < MOVED else picture).save(stream, "png", optimize=True)
    after = stream.getvalue()
    return base64.b64encode(after).decode() if len(after) < len(before) else encoded
