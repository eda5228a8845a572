"""Pages of the book that are made from the chapters: the glossary."""

import json
import re
from pathlib import Path

NAMES = ("notebooks/glossary.md",)


def pages(root: Path) -> dict[str, str]:
    """The text of each page, by its place. Links are written as in the chapters."""
    return {"notebooks/glossary.md": glossary(root)}


def markdown(path: Path) -> str:
    """All text of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def glossary(root: Path) -> str:
    """The two glossaries of chapter 00 as one alphabetical table."""
    (welcome,) = root.glob("notebooks/00_*.ipynb")
    rows = re.findall(r"(?m)^\| term \| meaning \|\n\|[-| ]+\|\n((?:\|.*\n?)+)", markdown(welcome))
    terms = sorted({row for part in rows for row in part.splitlines()}, key=lambda r: plain(r))
    head = "# Glossary\n\nThe terms of the course, with the chapter that explains each.\n\n"
    return head + "| term | meaning |\n|---|---|\n" + "\n".join(terms) + "\n"


def plain(row: str) -> str:
    return re.sub(r"[*`$| ]", "", row).lower()
