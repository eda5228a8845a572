"""Slides of each chapter, one HTML file that the arrow keys go through; the book links to them.

Which cells are slides is a rule, so that the slides follow the chapter. In reading order:

- the title, with what will be learned;
- each section: its heading, its first paragraph, its first formula, and the first figure;
- each "Predict" question, and then what the next code cell printed or drew;
- each box "What goes wrong", the recap, and the list of exercises;
- each other cell with the tag `slide`: its text, or what it printed or drew.

MathJax and the fonts are those of the book, so a slide asks no outside address.
"""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from notebook_page import SLIDE, boxes, split_headings

BOX = "What goes wrong"
LONGEST = 14  # printed lines that fit on a slide
MATH = re.compile(r"(?s)```.*?```|`[^`]+`|\$\$(.+?)\$\$|(?<!\\)\$([^$]+)\$")
PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<link rel="icon" href="../_static/favicon.svg">
<link rel="stylesheet" href="../_static/slides.css">
<script defer src="../_static/slides.js"></script>
<script defer src="../_static/mathjax/tex-chtml.js"></script>
</head>
<body>
<article>
{slides}
</article>
</body>
</html>
"""


class Slide(NamedTuple):
    """A heading, what stands below it in Markdown, and the outputs, which are notebook JSON."""

    title: str
    text: list[str]
    outputs: list[tuple[dict[str, Any], str]]  # with the alternative text of its pictures


def slides(cells: Iterable[dict[str, Any]]) -> list[Slide]:
    """The slides of a chapter, whose staged cells have alternative texts."""
    found: list[Slide] = []
    section, answer, figure = "", False, True  # is an answer next, has the section its figure
    for cell in cells:
        source, tagged = "".join(cell["source"]), SLIDE in cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code":
            drawn = any("image/png" in output.get("data", {}) for output in cell["outputs"])
            if cell["outputs"] and (answer or tagged or (drawn and not figure)):
                alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
                found.append(Slide(section, [], [(output, alt) for output in cell["outputs"]]))
                figure |= drawn
            answer = False
            continue
        for slide in _of_text(source, section, tagged):
            if slide.title == "References":
                return found
            if slide.title == "Exercises" == section:
                found[-1].text.extend(slide.text)
            elif slide.text or slide.title != section:
                found.append(slide)
            figure &= slide.title in (section, BOX)
            section = section if slide.title == BOX else slide.title
        answer = "**Predict:" in source
    return found


def _of_text(source: str, title: str, tagged: bool) -> Iterator[Slide]:
    """The slides of one Markdown cell in the section `title`."""
    plain = re.sub(r"(?ms)^<div .*?^</div>", "", source)
    slide = Slide(title, [], [])
    for level, text in split_headings(plain):
        if level in (1, 2) or (level == 3 and re.match(r"\d", text)):
            yield slide
            slide = Slide(text, [], [])
        elif slide.title == "Exercises":
            slide.text.extend([f"- {text}"] * (level > 0))
        elif not level and (slide.title == "Recap" or (tagged and slide.title == title)):
            slide.text.append(text)
        elif not level and slide.title != title:
            slide.text.extend(_opening(text))
    yield slide
    for question in re.findall(r"(?s)\*\*Predict:.*?(?=\n\s*\n|\Z)", plain):
        yield Slide(slide.title, [question], [])
    for box in boxes(source):
        yield Slide(BOX, [re.sub(r"(?m)^> ?", "", box)], [])


def _opening(text: str) -> list[str]:
    """What a section begins with: a paragraph and a formula; at the head, what is learned."""
    if learned := re.search(r"(?ms)^\*\*You will learn\W*\*\*\W*?\n(.*?)(?=^\*\*|\Z)", text):
        return [learned[1]]
    formula = re.search(r"(?s)\$\$.+?\$\$", text)
    rest = re.split(r"\n\s*\n", text.replace(formula[0], "") if formula else text)
    said = [p for p in rest if p.strip() and not re.match(r"\s*([|<>(!]|```)|.*\*\*Predict", p)]
    return said[:1] + ([formula[0]] if formula else [])


# ---- as HTML -------------------------------------------------------------------------------------


def _markdown(text: str) -> str:
    """HTML of Markdown; links are words, and formulas stay for MathJax, out of Markdown's way."""
    from markdown_it import MarkdownIt  # noqa: PLC0415  (comes with the book's environment)

    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        if not (formula := found[1] or found[2]):
            return found[0]
        left, right = (r"\[", r"\]") if found[1] else (r"\(", r"\)")
        kept.append(f'<span class="math">{left}{html.escape(formula)}{right}</span>')
        return f"FORMULA{len(kept) - 1}X"

    text = re.sub(r"(?m)^\([\w-]+\)=$|<[^>\n]+>", "", MATH.sub(keep, text))
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\([^()\s]+\)", r"\1", text)
    done = MarkdownIt("commonmark").enable("table").render(text)
    return re.sub(r"FORMULA(\d+)X", lambda found: kept[int(found[1])], done)


def _output(output: dict[str, Any], alt: str) -> str:
    """A picture, a table of numbers or printed lines; a player stays in the book."""
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        base64.b64decode(picture, validate=True)
        return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{picture}">'
    lines = "".join(output.get("text", data.get("text/plain", ""))).rstrip().splitlines()
    more = ["…"] * (len(lines) > LONGEST)
    is_player = "<audio" in "".join(data.get("text/html", ""))
    return "" if is_player else f"<pre>{html.escape(chr(10).join(lines[:LONGEST] + more))}</pre>"


def page(cells: list[dict[str, Any]], chapter: str, language: str = "en") -> str:
    """The slides of a chapter as one page; `chapter` is the address of its page in the book."""
    parts, seen = [], set()
    chosen = slides(cells)
    for number, slide in enumerate(chosen, start=1):
        pictures = [alt for output, alt in slide.outputs if "image/png" in output.get("data", {})]
        inside = [_markdown("\n\n".join(slide.text))]
        for output, alt in slide.outputs:
            same = f"{alt} (Slide {number}.)" if len(pictures) > 1 or alt in seen else alt
            while same in seen:
                same += " Next."
            seen |= {same} if "image/png" in output.get("data", {}) else set()
            inside.append(_output(output, same))
        level = "h1" if number == 1 else "h2"
        title = _markdown(slide.title).removeprefix("<p>").removesuffix("</p>\n")
        head = f"<{level}>{title}</{level}>"
        foot = f'<footer><a href="{chapter}">The chapter</a> · {number} / {len(chosen)}</footer>'
        body = "\n".join([head, *inside, foot])
        parts.append(f'<section id="{number}">\n{body}\n</section>')
    return PAGE.format(
        language=language, title=html.escape(chosen[0].title), slides="\n".join(parts)
    )


def write(source: Path, out: Path) -> list[Path]:
    """The slides of every staged chapter in `source`, into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    made = []
    for path in sorted(source.glob("notebooks/[0-9]*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        made.append(out / f"{path.stem}.html")
        made[-1].write_text(page(cells, f"../notebooks/{path.stem}.html"), encoding="utf-8")
    return made
