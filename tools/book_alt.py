"""The alternative text of a figure in a notebook, for readers who do not see it.

It is made of what the figure itself says (the titles, the labels of the axes and the legend, read
in the code that draws it) and of the sentence of the chapter beside it. So nothing is claimed that
the chapter does not say. Where that is not enough, book/alt.toml has a text by the cell's id.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from notebook_page import split_headings

TABLE = Path(__file__).resolve().parent.parent / "book" / "alt.toml"
KINDS = {
    "suptitle": "title", "set_title": "title", "title": "title",
    "set_xlabel": "x", "xlabel": "x", "supxlabel": "x",
    "set_ylabel": "y", "ylabel": "y", "supylabel": "y",
    "label": "legend", "set_label": "legend",
}  # fmt: skip
LEADS = {"title": "titles", "x": "horizontally", "y": "vertically", "legend": "legend"}
MOST = 6  # words of one kind that are read out
FAR = 3  # cells between a figure and the text about it


def written() -> dict[str, str]:
    """The texts that were written by hand, by the id of the cell that draws."""
    return dict(tomllib.loads(TABLE.read_text(encoding="utf-8"))) if TABLE.exists() else {}


def figures(cell: dict[str, Any]) -> list[str]:
    """What matplotlib says of each picture among the outputs, as in "<Figure … with 2 Axes>"."""
    found = [output.get("data", {}) for output in cell.get("outputs", [])]
    return ["".join(data.get("text/plain", "")) for data in found if "image/png" in data]


def alt_text(cells: list[dict[str, Any]], place: int) -> str:
    """The alternative text of the figures that cell `place` draws."""
    source = "".join(cells[place]["source"])
    panels = max(
        (int(n) for n in re.findall(r"with (\d+) Axes", figures(cells[place])[0])), default=1
    )
    parts = [f"Figure of {panels} panels" if panels > 1 else "Figure"]
    if section := _section(cells, place):
        parts[0] += f" in “{section}”"
    said = list(_said(source))
    for kind, lead in LEADS.items():
        if words := list(dict.fromkeys(word for k, word in said if k == kind))[:MOST]:
            parts.append(f"{lead}: {', '.join(words)}")
    text = "; ".join(parts) + "."
    return f"{text} {_beside(cells, place)}".strip()


def _section(cells: list[dict[str, Any]], place: int) -> str:
    """The last heading before the cell."""
    for cell in reversed(cells[:place]):
        if cell["cell_type"] == "markdown":
            titles = [title for level, title in split_headings("".join(cell["source"])) if level]
            if titles:
                return _plain(titles[-1])
    return ""


def _said(source: str) -> Iterator[tuple[str, str]]:
    """Pairs (kind, words) of the texts that the code writes into a figure."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        given = [(name, node.args[0])] if name in KINDS and node.args else []
        given += [(key.arg, key.value) for key in node.keywords if key.arg in KINDS]
        for key, value in given:
            if words := _words(value):
                yield KINDS[key], words


def _words(node: ast.expr) -> str:
    """A text in the code; what an f-string computes is left out. Empty if it says nothing."""
    if isinstance(node, ast.JoinedStr):
        parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        parts = [node.value]
    else:
        return ""
    text = " ".join("".join(map(str, parts)).split())
    return _plain(text) if re.search(r"\w{2}|[^\W\d_]", text.replace("…", "")) else ""


def _beside(cells: list[dict[str, Any]], place: int) -> str:
    """The first sentence after the figure, or, if there is none near, the last one before it."""
    for cell in cells[place + 1 : place + 1 + FAR]:
        if cell["cell_type"] == "markdown":
            sentences = _sentences("".join(cell["source"]))
            if sentences and not "".join(cell["source"]).lstrip().startswith(("#", "<a id", "$$")):
                return sentences[0]
            break
        if figures(cell):
            break
    for cell in reversed(cells[max(0, place - FAR) : place]):
        if cell["cell_type"] == "markdown" and (found := _sentences("".join(cell["source"]))):
            return found[-1]
    return ""


def _sentences(markdown: str) -> list[str]:
    """The sentences of the paragraphs; no headings, tables, formulas or questions to the reader."""
    found = []
    for level, text in split_headings(re.sub(r"(?s)\$\$.*?\$\$", "\n\n", markdown)):
        for paragraph in re.split(r"\n\s*\n", text) if not level else []:
            if not re.match(r"\s*(\||<|>|```|\*\*(Predict|Change|Time))", paragraph):
                paragraph = re.sub(r"(?m)^\s*[-*] ", "", paragraph)
                found += re.split(r"(?<=[.?!])\s+(?=[A-Z“\"*])", _plain(paragraph))
    whole = [
        s
        for s in found
        if re.search(r"\w{3}.*\w.*[.!)]$", s) and not s.startswith(("Predict", "By hand"))
    ]
    return [s for s in whole if "\\" not in s] or whole  # a formula is hard to listen to


def _plain(text: str) -> str:
    """Markdown as it is read aloud: the words of links and code, formulas as they are written."""
    text = re.sub(r"<[^>]+>", " ", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"[*`$]|\\[,;!]", "", text).replace("\\n", " ")
    return " ".join(text.split())
