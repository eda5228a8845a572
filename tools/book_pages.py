"""Pages of the book that are made from the chapters: glossary, indexes, an exam and its key."""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import symbols
from book_glossary import anchor
from notebook_page import boxes, split_headings

NAMES = tuple(
    f"notebooks/{name}.md"
    for name in "glossary formulas traps data all_symbols slides exam exam_key".split()
)
# Exercises that ask for a judgement and need no computer
JUDGED = {
    "00": 5, "01": 1, "02": 5, "03": 5, "04": 4, "06": 5, "07": 5, "09": 5, "13": 4,
    "14": 4, "15": 4, "17": 4, "18": 4, "19": 4, "20": 5, "21": 4, "22": 4,
}  # fmt: skip
LOADERS = {  # the card in data/README.md, and what loads the set
    "the-emoji-set": "load_emoji", "emoji-sentiment": "load_emoji_scores",
    "the-sentiment-posts-load_sentiment": "load_sentiment", "the-scenes-load_scenes": "load_scenes",
    "heart": "load_heart", "the-cohort-load_heart-and-simulate_heart": "simulate_heart",
    "mandarin-syllables": "load_syllables", "reviews": "load_reviews",
    "efficientnet-lite0": "efficientnet_lite0", "minilm-l6": "minilm_l6",
    "whisper-tiny-en": "whisper_tiny",
}  # fmt: skip


def slug(title: str) -> str:
    """The anchor of a heading, as GitHub makes it; conf.py tells MyST to make the same."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"[*`]", "", title).lower()).replace(" ", "-")


def pages(root: Path) -> dict[str, str]:
    """The text of each page, by its place. Links are written as in the chapters."""
    chapters = sorted(root.glob("notebooks/[0-9][0-9]_*.ipynb"))
    made = (glossary, formulas, traps, data, all_symbols, slides, exam, exam_key)
    return {name: page(chapters) for name, page in zip(NAMES, made, strict=True)}


@functools.cache
def read(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook, each with its source as one text."""
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def prose(path: Path) -> str:
    """All text of a notebook."""
    return "\n\n".join(c["source"] for c in read(path) if c["cell_type"] == "markdown")


def title(path: Path) -> str:
    """The title of a chapter, such as "4 · From sound to tensors"."""
    return next(title for level, title in split_headings(prose(path)) if level == 1)


def table(head: str, columns: str, rows: list[str]) -> str:
    line = "|" + "---|" * (columns.count("|") + 1)
    return "\n".join([head, "", f"| {columns} |", line, *rows, ""])


def _links(chapters: list[Path]) -> str:
    return ", ".join(f"[{path.name[:2]}]({path.name})" for path in chapters)


# ---- what is looked up ---------------------------------------------------------------------------


def glossary(chapters: list[Path]) -> str:
    """The two glossaries of chapter 00 as one alphabetical table."""
    pattern = r"(?m)^\| term \| meaning \|\n\|[-| ]+\|\n((?:\|.*\n?)+)"
    parts = re.findall(pattern, prose(chapters[0]))
    rows = sorted({row for part in parts for row in part.splitlines()}, key=_bare)
    head = "# Glossary\n\nThe terms of the course, with the chapter that explains each."
    return table(
        head, "term | meaning", [re.sub(r"(?<=^\| )(.*?)(?= \|)", _target, r) for r in rows]
    )


def _target(term: re.Match[str]) -> str:
    return f'<span id="{anchor(term[1])}"></span>{term[1]}'


def terms(glossary: str) -> list[str]:
    """The terms of the page that `glossary` makes, as they are written in its rows."""
    return re.findall(r'(?m)^\| <span id="[^"]+"></span>(.*?) \|', glossary)


def _bare(row: str) -> str:
    return re.sub(r"[*`$| ]", "", row).lower()


def formulas(chapters: list[Path]) -> str:
    """The sections of chapter 01, and the chapters that link to each."""
    path = next((p for p in chapters if p.name.startswith("01_")), None)
    rows = []
    if path:
        texts = {p: prose(p) for p in chapters if p != path}
        pattern = r'((?:<a id="[^"]+"></a>)+)\s*\n#+ (\d+\.\d+) · (.*)'
        for anchors, number, name in re.findall(pattern, prose(path)):
            names = re.findall(r'"([^"]+)"', anchors)
            aims = [f"({path.name}#{anchor})" for anchor in names]
            used = [p for p, text in texts.items() if any(aim in text for aim in aims)]
            rows.append(f"| [{number} · {name}]({path.name}#{names[0]}) | {_links(used)} |")
    head = "# Index of formulas\n\nEach is derived by hand, in NumPy and in Keras in chapter 01."
    return table(head, "formula | chapters that use it", rows)


def traps(chapters: list[Path]) -> str:
    """Every box "What goes wrong", with its section."""
    parts = [
        "# What goes wrong",
        "The traps that the chapters make visible, and cure. Each line is the beginning of a box; "
        "the link leads to its section.",
    ]
    for path in chapters:
        rows, heading = [], ""
        for cell in read(path):
            if cell["cell_type"] != "markdown":
                continue
            for level, text in split_headings(cell["source"]):
                heading = text if level else heading
                for box in boxes(text + "\n") if not level else []:
                    said = _trap(box).replace("](#", f"]({path.name}#")
                    rows.append(f"- {said} [{heading}]({path.name}#{slug(heading)})")
        if rows:
            parts += [f"## {title(path)}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def _trap(box: str) -> str:
    """The name of a trap, or its first sentence."""
    text = " ".join(re.sub(r"(?m)^> ?", "", box).split()).removeprefix("⚠ ").replace("**.**", ".")
    name = re.match(r"\*\*What goes wrong(?: \([a-z]\))?: (.*?)\.?\*\*", text)
    rest = re.sub(r"^\*\*What goes wrong.*?\*\*", "", text).lstrip(" .")
    first = re.split(r"(?<=[.?!])\s+(?=[A-Z*`])", rest)[0]
    return f"**{name[1][0].upper()}{name[1][1:]}.** {first}" if name else first


def data(chapters: list[Path]) -> str:
    """Which chapter uses which data set or pretrained network."""
    code = {
        p: "\n".join(c["source"] for c in read(p) if c["cell_type"] == "code") for p in chapters
    }
    rows = []
    for card, loader in LOADERS.items():
        used = [p for p, text in code.items() if re.search(rf"\b{loader}\(", text)]
        links = _links(used) or "none; see docs/results.md"
        rows.append(f"| [`{loader}`](../data/README.md#{card}) | {links} |")
    head = (
        "# Data sets and pretrained networks, by chapter\n\nThe link leads to the card of the set."
    )
    return table(head, "loaded by | chapters", rows)


def all_symbols(chapters: list[Path]) -> str:
    """Every symbol of the tables beside the formulas."""
    found = symbols.in_chapters(chapters[0].parent.parent)
    names = {path.name[:2]: path.name for path in chapters}
    rows = []
    for symbol in sorted(found, key=lambda s: (re.sub(r"\W|_.*", "", s).lower(), s)):
        for number, meanings in found[symbol].items():
            said = "; ".join(dict.fromkeys(meanings)).replace("](#", f"]({names[number]}#")
            rows.append(f"| ${symbol}$ | [{number}]({names[number]}) | {said} |")
    head = "# All symbols\n\nAs the chapters have them; [Symbols](../docs/symbols.md) sums up."
    return table(head, "symbol | chapter | meaning", rows)


def slides(chapters: list[Path]) -> str:
    """The decks that book_slides.py makes, which Sphinx does not know."""
    head = (
        "# Slides\n\nOne deck per chapter, made from it: headings, the first formula and figure of "
        "each section, every question before its answer, the traps, the recap. Arrow keys, space, "
        "Home and End lead through it; the browser prints it, one slide per page."
    )
    rows = [f'- <a href="../slides/{p.stem}.html">{p.name[:2]} · {title(p)}</a>' for p in chapters]
    return f"{head}\n\n" + "\n".join(re.sub(r" · \d+ · ", " · ", row) for row in rows) + "\n"


# ---- an exam -------------------------------------------------------------------------------------


def exam(chapters: list[Path]) -> str:
    """The exercises of judgement, without a computer and without answers."""
    parts = [
        "# An exam of judgement",
        "These exercises ask what follows from what, and need no computer. They are those of the "
        "chapters, so their answers are public: change letters and numbers before you use them for "
        "marks. The [key](exam_key.md) is a page of its own.",
    ]
    for path, number in _judged(chapters):
        section = list(_exercise(path, number))
        text = re.sub(r"(?m)^.*\[Solution\]\([^)]*\).*$", _unlinked, section[0]["source"])
        parts.append(_titled(text, path))
    return "\n\n".join(parts) + "\n"


def exam_key(chapters: list[Path]) -> str:
    """The answers, from the solutions."""
    parts = ["# Key to the exam of judgement", "The answers of the [exam](exam.md)."]
    for path, number in _judged(chapters):
        solution = path.parent / "solutions" / path.name
        for cell in _exercise(solution, number):
            if cell["cell_type"] == "markdown":
                parts.append(_titled(cell["source"].replace("](../", "]("), path))
            else:
                code = re.sub(r"(?m)^ch\d\d\..*$", "", cell["source"]).strip()
                parts += [f"```python\n{code}\n```"] if code else []
    return "\n\n".join(parts) + "\n"


def _judged(chapters: list[Path]) -> Iterator[tuple[Path, int]]:
    return ((path, JUDGED[path.name[:2]]) for path in chapters if path.name[:2] in JUDGED)


def _exercise(path: Path, number: int) -> Iterator[dict[str, Any]]:
    """The cells of an exercise, the first one from its heading on."""
    inside = False
    for cell in read(path):
        text = cell["source"]
        if cell["cell_type"] == "markdown":
            start = re.search(rf"(?m)^### Exercise {number}\b", text)
            if start:
                inside, text = True, text[start.start() :]
            following = re.search(r"(?m)^##+ ", text[4:] if start else text)
            if inside and following:
                rest = text[: following.start() + (4 if start else 0)].strip()
                if rest:
                    yield {**cell, "source": rest}
                return
        if inside:
            yield {**cell, "source": text}


def _titled(text: str, path: Path) -> str:
    """The exercise with its chapter as the heading."""
    head = rf"## [\1]({path.name}#Exercises) (chapter {path.name[:2]})"
    return re.sub(r"^### (Exercise \d+ · .*)", head, text)


def _unlinked(line: re.Match[str]) -> str:
    return re.sub(r"\s*\[Solution\]\([^)]*\)\.?", "", line[0])
