"""Effects as marks: coloured words, a map over a picture, bars over time, bars in a table.

For is blue with a line below, or a "+"; against is orange with a broken line, or a "−": they can be
told apart in grey, too.
"""

import base64
import io

import numpy as np
from markupsafe import Markup
from PIL import Image

from ..cuts import Cut
from .markup import tag

FAINT = 0.05  # log-odds; what is smaller is never drawn in a deep colour
BLUE, ORANGE = "46, 116, 214", "226, 120, 10"
MARKED = 0.35  # share of the deepest colour from which on a patch gets a + or −
STYLE = f"""
nav {{ margin: 1rem 0; }} a {{ color: inherit; }}
.words {{ font-size: 1.15rem; line-height: 2.1; white-space: pre-wrap; padding: 0.6rem 0.8rem;
  border: 1px solid var(--line); border-radius: 6px; }}
mark {{ color: inherit; border-radius: 3px; padding: 0.1em 0; }}
.for {{ border-bottom: 3px solid rgb({BLUE}); background: rgba({BLUE}, 0.25); }}
.against {{ border-bottom: 3px dashed rgb({ORANGE}); background: rgba({ORANGE}, 0.25); }}
svg.map {{ width: min(20rem, 100%); border-radius: 6px; image-rendering: pixelated; }}
svg.time {{ width: 100%; max-width: 40rem; }} svg text {{ fill: var(--ink); }}
svg .for, svg .plus {{ fill: rgb({BLUE}); }} svg .against, svg .minus {{ fill: rgb({ORANGE}); }}
svg .line {{ stroke: var(--ink); }} svg .wave {{ fill: var(--ink); opacity: 0.45; }}
.bar {{ display: block; position: relative; width: min(14rem, 34vw); height: 1rem;
  background: linear-gradient(var(--line), var(--line)) center / 1px 100% no-repeat; }}
.bar span {{ position: absolute; top: 0.1rem; height: 0.8rem; }}
.bar .plus {{ background: rgb({BLUE}); }}
.bar .minus {{ background: repeating-linear-gradient(45deg, rgb({ORANGE}) 0 4px,
  rgba({ORANGE}, 0.45) 4px 7px); }}
"""


def signed(value: float) -> str:
    """0.5 → +0.50, -0.5 → −0.50, and 0.00 where nothing is left after rounding."""
    text = f"{value:+.2f}".replace("-", "−")
    return "0.00" if text[1:] == "0.00" else text


def scale_of(effects: np.ndarray) -> float:
    """The effect that gets the deepest colour."""
    return max(FAINT, float(np.abs(effects).max(initial=0.0)))


def bar(effect: float, most: float) -> Markup:
    """A bar to the right (for) or to the left (against) of the middle."""
    width = 50 * min(1.0, abs(effect) / most)
    left, kind = (50.0, "plus") if effect > 0 else (50 - width, "minus")
    inside = tag("span", class_=kind, style=f"left: {left:.1f}%; width: {width:.1f}%")
    return tag("td", tag("span", inside, class_="bar", aria_hidden="true"))


def words(text: str, cut: Cut, effects: np.ndarray) -> Markup:
    """The text, each part on the colour of its effect."""
    most, pieces, end = scale_of(effects), [], 0
    for (start, stop), effect in zip(cut.spans, effects, strict=True):
        share = min(1.0, abs(effect) / most)
        pieces.append(text[end:start])
        style = f"background: rgba({BLUE if effect > 0 else ORANGE}, {0.75 * share:.2f})"
        kind = {} if share < MARKED else {"class_": "for" if effect > 0 else "against"}
        pieces.append(tag("mark", text[start:stop], title=signed(effect), style=style, **kind))
        end = stop
    return tag("p", *pieces, text[end:], class_="words")


def over_picture(pixels: np.ndarray, cut: Cut | None, effects: np.ndarray, alt: str) -> Markup:
    """The picture, uint8 (height, width, 3), with the patches of a cut drawn over it, if given."""
    height, width = pixels.shape[:2]
    grey = pixels if cut is None else np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)
    file = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(file, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    size = {"width": str(width), "height": str(height)}
    parts = [tag("title", alt), tag("image", href=uri, **size)]
    for r in range(len(effects) if cut is not None else 0):
        assert cut is not None and cut.labels is not None
        parts += _patch(cut.labels == r, effects[r], scale_of(effects), cut.names[r])
    box = f"0 0 {width} {height}"
    return tag("svg", *parts, viewBox=box, class_="map", role="img", aria_label=alt)


def _patch(there: np.ndarray, effect: float, most: float, name: str) -> list[Markup]:
    ys, xs = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    (y, x), (h, w) = (ys[0], xs[0]), (len(ys), len(xs))
    share, plus = min(1.0, abs(effect) / most), effect > 0
    place = {"x": str(x), "y": str(y), "width": str(w), "height": str(h)}
    said = tag("title", f"{name}: {signed(effect)}")
    fill = {"class_": "plus" if plus else "minus", "fill_opacity": f"{0.8 * share:.2f}"}
    found = [tag("rect", said, **place, **fill)]
    if share >= MARKED:
        at = {"x": f"{x + w / 2:g}", "y": f"{y + h / 2:g}", "font_size": f"{0.7 * min(h, w):.2g}"}
        middle = {"text_anchor": "middle", "dominant_baseline": "central", "style": "fill: #fff"}
        found.append(tag("text", "+" if plus else "−", **at, **middle))
    return found


def over_time(wave: np.ndarray, rate: int, effects: np.ndarray, names: list[str]) -> Markup:
    """The sound above, and below it a bar for each stretch: up speaks for, down against."""
    width, top, middle, tall = 600, 40, 135, 45
    columns = np.array_split(np.abs(wave), min(200, len(wave)))
    loud = np.array([c.max() for c in columns])
    loud = loud / max(float(loud.max()), 1e-9) * 32
    step = width / len(loud)
    shape = [f"{i * step:.1f},{top - v:.1f}" for i, v in enumerate(loud)]
    shape += [f"{i * step:.1f},{top + v:.1f}" for i, v in reversed(list(enumerate(loud)))]
    parts = [tag("polygon", points=" ".join(shape), class_="wave")]
    size, most = width / len(effects), scale_of(effects)
    for r, (effect, name) in enumerate(zip(effects, names, strict=True)):
        high = tall * min(1.0, abs(effect) / most)
        place = {"x": f"{r * size + 1:.1f}", "width": f"{size - 2:.1f}", "height": f"{high:.1f}"}
        place["y"] = f"{middle - high if effect > 0 else middle:.1f}"
        kind = "plus" if effect > 0 else "minus"
        parts.append(tag("rect", tag("title", f"{name}: {signed(effect)}"), **place, class_=kind))
    line = {"x1": "0", "x2": str(width), "y1": str(middle), "y2": str(middle)}
    parts.append(tag("line", **line, class_="line"))
    seconds = len(wave) / rate
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = {"x": f"{share * width:g}", "y": "200", "text_anchor": anchor, "font_size": "16"}
        parts.append(tag("text", f"{share * seconds:g} s", **at))
    best = int(np.abs(effects).argmax())
    alt = f"effects over time; the strongest is {signed(effects[best])}, from {names[best]}"
    return tag("svg", *parts, viewBox=f"0 0 {width} 206", class_="time", role="img", aria_label=alt)
