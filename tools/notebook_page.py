"""A notebook as the lint reads it: its cells, its text in reading order, what a cell shows."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

BOX_OPEN = '<div class="alert alert-warning" style="color: black; background: #ffe0b2">'
BOX_LEAD = "> ⚠ **What goes wrong"
IGNORE, RAISES = "nbval-ignore-output", "raises-exception"
SLIDE = "slide"  # the cell becomes a slide (book_slides.py)

Findings = Iterator[tuple[int | None, str]]  # the number of a cell, and its problem


class Block(NamedTuple):
    """A piece of a notebook in reading order: a heading (level 1 to 6), text (0) or code (-1)."""

    cell: int
    level: int
    text: str


@dataclass(frozen=True)
class Page:
    """A notebook as the rules see it: its place, its cells, its size on disk."""

    path: Path
    nb: NotebookNode
    size: int

    @property
    def number(self) -> str:
        return self.path.name[:2]

    @property
    def is_solution(self) -> bool:
        return self.path.parent.name == "solutions"

    @property
    def home(self) -> Path:
        """The folder of the chapters."""
        return self.path.parent.parent if self.is_solution else self.path.parent

    @cached_property
    def cells(self) -> list[tuple[int, NotebookNode]]:
        return list(enumerate(self.nb.cells, start=1))

    @cached_property
    def code(self) -> list[tuple[int, NotebookNode]]:
        return [(n, cell) for n, cell in self.cells if cell.cell_type == "code"]

    @cached_property
    def markdown(self) -> list[tuple[int, NotebookNode]]:
        return [(n, cell) for n, cell in self.cells if cell.cell_type == "markdown"]

    @cached_property
    def with_output(self) -> list[tuple[int, NotebookNode]]:
        return [(n, cell) for n, cell in self.code if cell.outputs]

    @cached_property
    def ignored(self) -> list[tuple[int, NotebookNode]]:
        """The cells with output that nbval does not compare."""
        return [(n, cell) for n, cell in self.with_output if IGNORE in tags(cell)]

    @property
    def share(self) -> float:
        """The share of the cells with output that nbval does not compare, 0 to 1."""
        return len(self.ignored) / max(len(self.with_output), 1)

    @cached_property
    def blocks(self) -> list[Block]:
        blocks = []
        for n, cell in self.cells:
            if cell.cell_type == "code":
                blocks.append(Block(n, -1, cell.source))
            elif cell.cell_type == "markdown":
                blocks += [Block(n, level, text) for level, text in split_headings(cell.source)]
        return blocks

    def section(self, title: str) -> list[Block]:
        """The blocks under `## title`, up to the next heading of that level; [] without one."""
        found, inside = [], False
        for block in self.blocks:
            if 0 < block.level <= 2:
                inside = block.level == 2 and block.text == title
            elif inside:
                found.append(block)
        return found

    @cached_property
    def checks(self) -> list[str]:
        """The self-checks that the notebook calls, in order."""
        return [name for _, cell in self.code for name in check_calls(cell.source, self.number)]


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def split_headings(source: str) -> Iterator[tuple[int, str]]:
    """Cut markdown into headings (level, title) and text (0, text). Code fences are text."""
    text: list[str] = []
    fenced = False
    for line in source.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        heading = None if fenced else re.match(r"(#{1,6})\s+(.*?)\s*#*$", line)
        if heading:
            if text:
                yield 0, "\n".join(text)
            text = []
            yield len(heading[1]), heading[2]
        else:
            text.append(line)
    if text:
        yield 0, "\n".join(text)


def prose(source: str) -> str:
    """Markdown without code and formulas, in which brackets mean something else."""
    for pattern in (
        r"(?ms)^\s*(```|~~~).*?^\s*\1",
        r"(`+)[^`].*?\1",
        r"(?s)\$\$.*?\$\$",
        r"\$[^$\n]+\$",
    ):
        source = re.sub(pattern, " ", source)
    return source


def boxes(source: str) -> list[str]:
    """The content of the warning boxes of a markdown cell."""
    return re.findall(rf"(?ms)^{re.escape(BOX_OPEN)}\n\n(>.*?)\n\n</div>(?:\n\n|\s*\Z)", source)


def images(source: str) -> list[tuple[str, str]]:
    """Pairs (alternative text, target) of the pictures, `![…](…)` and `<img …>` alike."""
    text = prose(source)
    found = re.findall(r"!\[([^\]]*)\]\(\s*<?([^()\s>]+)[^)]*\)", text)
    for attributes in re.findall(r"<img\b([^>]*)>", text):
        values = dict(re.findall(r"(\w+)\s*=\s*[\"']([^\"']*)[\"']", attributes))
        found.append((values.get("alt", ""), values.get("src", "")))
    return found


def links(source: str) -> list[str]:
    """The targets of every link and picture in markdown."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "picture", prose(source))
    found = re.findall(r"\[[^\[\]]*\]\(\s*<?([^()\s>]+)[^)]*\)", text)
    found += re.findall(r"<a\b[^>]*\bhref\s*=\s*[\"']([^\"']+)[\"']", text)
    return found + [target for _, target in images(source)]


def anchors(markdown: str) -> set[str]:
    """The possible targets of `#…`: headings as in JupyterLab and in GitHub, and explicit ids."""
    found = set(re.findall(r"\b(?:id|name)\s*=\s*[\"']([^\"']+)[\"']", markdown))
    for level, title in split_headings(markdown):
        if level:
            plain = re.sub(r"[*`]", "", title)
            found.add(plain.replace(" ", "-"))
            found.add(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"))
    return found


def text_of(output: NotebookNode) -> str:
    """The text that a reader can read in an output, without pictures."""
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return "\n".join([output.ename, output.evalue, *output.traceback])
    data = output.get("data", {})
    kinds = ("text/plain", "text/html", "text/markdown", "text/latex")
    text = "\n".join(str(data[kind]) for kind in kinds if kind in data)
    return re.sub(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+", "", text)


def shows_text(cell: NotebookNode) -> bool:
    """Whether nbval compares something in this cell that can state a claim."""
    return any(
        text_of(output).strip() and not any(k.startswith("image/") for k in output.get("data", {}))
        for output in cell.outputs
    )


def check_calls(source: str, number: str) -> list[str]:
    """Names of the checks called as `chNN.name(…)` or `mm.checks.chNN.name(…)`."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        function.attr
        for function in functions
        if isinstance(function, ast.Attribute)
        and ast.unparse(function.value) in (f"ch{number}", f"mm.checks.ch{number}")
    ]


def read(file: Path, place: Path | None = None) -> Page:
    """Read a notebook as committed, without converting it.

    Args:
        file: the notebook on disk.
        place: its place in the repository, if it was written elsewhere; links are relative to it.

    Raises:
        ValueError: the file is not a notebook.
    """
    raw = file.read_bytes()
    try:
        nb = nbformat.reads(raw.decode("utf-8"), as_version=nbformat.NO_CONVERT)
    except (ValueError, AttributeError, nbformat.reader.NotJSONError) as error:
        raise ValueError(f"{file} is no notebook: {error}") from error
    if "cells" not in nb:
        raise ValueError(f"{file} is no notebook of format 4, which has cells")
    return Page(place or file, nb, len(raw))
