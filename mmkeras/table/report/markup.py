"""The parts of a page that is one HTML file, without scripts, with all pictures inside.

Text from the data is always escaped: `tag` makes `markupsafe.Markup`, and escapes every child that
is not `Markup` itself. Text from the data is never passed to the plotting library, which would read
a `$` as a formula.
"""

import base64
import io
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import soundfile
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image


def tag(name: str, *children: Any, **attributes: str) -> Markup:
    """An HTML element; `class_` is the attribute class, `aria_label` is aria-label."""
    given = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, given, Markup("").join(map(escape, children)))


def table(
    header: Sequence[Any], rows: Iterable[Sequence[Any]], left: Collection[int] = ()
) -> Markup:
    """A table with rows of text or of finished <td>; the first column has the headings of the rows.

    Args:
        left: the numbers of the columns of words, which are aligned to the left.
    """
    kinds = [{"class_": "left"} if i in left else {} for i in range(len(header))]
    heads = (tag("th", c, scope="col", **k) for c, k in zip(header, kinds, strict=True))
    body = (_line(row, kinds) for row in rows)
    inside = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body))
    return tag("div", inside, class_="wide", tabindex="0")  # so that keys can scroll it, too


def _line(row: Sequence[Any], kinds: Sequence[dict[str, str]]) -> Markup:
    first, *rest = row
    cells = (
        c if isinstance(c, Markup) and c.startswith("<td") else tag("td", c, **kind)
        for c, kind in zip(rest, kinds[1:], strict=True)
    )
    return tag("tr", tag("th", first, scope="row"), *cells)


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(pixels: np.ndarray, alt: str) -> Markup:
    """uint8 or float (height, width, 3), 0 to 255 → an <img> with these pixels."""
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "PNG")
    return tag("img", src=_uri("image/png", file.getvalue()), alt=alt, class_="pixels")


def sound(wave: np.ndarray, rate: int, label: str) -> Markup:
    """float (samples,) in [-1, 1] → a player with this sound."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(wave, -1, 1), rate, format="WAV", subtype="PCM_16")
    return tag("audio", controls="", src=_uri("audio/wav", file.getvalue()), aria_label=label)


def plot(figure: Figure, alt: str) -> Markup:
    """An <img> of a figure; at most 5 inches wide, so that a phone can show its letters."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=160)
    width = f"width: {5 * figure.get_figwidth():.0f}rem"
    return tag("img", src=_uri("image/png", file.getvalue()), alt=alt, class_="plot", style=width)


def side_by_side(*parts: Markup) -> Markup:
    """The parts side by side if there is room, else one below the other."""
    return tag("div", *parts, class_="beside")


STYLE = """
:root { color-scheme: light dark; --ink: #1f2d3d; --paper: #fff; --line: #c9d3de; --soft: #eef2f7;
  --warn: #fff4d6; --edge: #b98900; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --paper: #14191f; --line: #3b4653;
  --soft: #1f2730; --warn: #3a3010; --edge: #d9a514; }
  img.plot { filter: invert(0.91) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; font-size: 0.92rem; }
small { opacity: 0.85; white-space: nowrap; }
.wide { overflow-x: auto; margin: 1rem 0; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right;
  max-width: 24rem; overflow-wrap: break-word; }
td { white-space: nowrap; } td.left { white-space: normal; } th[scope=row] { min-width: 6.5rem; }
th:first-child, .left { text-align: left; } thead th { background: var(--soft); }
td.diagonal { outline: 2px solid var(--ink); outline-offset: -3px; }
.beside { display: flex; flex-wrap: wrap; gap: 1rem; align-items: start; }
.beside > * { min-width: 0; }
img.plot { background: #fff; border-radius: 6px; max-width: 100%; height: auto; }
img.pixels { height: 96px; max-width: 100%; object-fit: contain; border-radius: 4px;
  image-rendering: pixelated; }
audio { height: 2rem; width: 12rem; } pre, code { background: var(--soft); border-radius: 4px; }
pre { padding: 0.7rem; white-space: pre-wrap; }
.warning { background: var(--warn); border-left: 5px solid var(--edge); border-radius: 4px;
  padding: 0.5rem 1rem; margin: 0.6rem 0; }
.lead { font-size: 1.15rem; } .example { display: flex; gap: 1rem; flex-wrap: wrap;
  align-items: center; border-bottom: 1px solid var(--line); padding: 0.6rem 0; }
.example p { flex: 1 1 18rem; margin: 0; }
@media (max-width: 40rem) { body { margin: 1rem auto; padding: 0 0.7rem; }
  th, td { padding: 0.2rem 0.4rem; } }
"""
POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


def document(title: str, parts: Iterable[Markup], more_style: str = "") -> str:
    """The text of the whole HTML file; `more_style` is CSS that only some pages need."""
    head = Markup(
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
    )
    style = Markup(f"<style>{STYLE}{more_style}</style>")
    body = tag("body", tag("main", Markup("\n").join(parts)))
    return Markup('<!DOCTYPE html>\n<html lang="en"><head>{}{}{}</head>\n{}</html>\n').format(
        head, tag("title", title), style, body
    )
