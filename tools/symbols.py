"""The symbols of the chapters, and whether docs/symbols.md says what they mean."""

import json
import re
from collections import defaultdict
from pathlib import Path

MANY = 3  # a symbol in the tables of so many chapters must be in docs/symbols.md
TABLE = re.compile(r"(?m)^\| symbols? \|.*\n\|[-| :]+\|\n((?:\|.*\n?)+)")


def in_chapters(root: Path) -> dict[str, dict[str, list[str]]]:
    """For each symbol, what the tables of a chapter say: symbol → number of chapter → meanings."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(root.glob("notebooks/[0-9]*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            text = "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""
            for rows in TABLE.findall(text):
                for row in rows.splitlines():
                    symbols, meaning = re.split(r"(?<!\\)\|", row.strip("|"))[:2]
                    for symbol in re.findall(r"\$([^$]+)\$", symbols):
                        found[symbol.strip()][path.name[:2]].append(meaning.strip())
    return found


def on_page(root: Path) -> dict[str, set[str]]:
    """For each symbol of the page, the chapters that it names."""
    text = (root / "docs" / "symbols.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| \$([^$]+)\$ \|(.*)$", text)
    return {symbol: set(re.findall(r"\b\d\d\b", said)) for symbol, said in rows}


def problems(root: Path) -> list[str]:
    """What the page leaves out. It may name chapters that use a symbol only in their text."""
    there, page, found = in_chapters(root), on_page(root), []
    for symbol, chapters in sorted(there.items()):
        if symbol not in page and len(chapters) >= MANY:
            found.append(f"${symbol}$ is in the tables of {', '.join(chapters)}: add a row")
    for symbol, said in page.items():
        if lacks := set(there.get(symbol, {})) - said:
            found.append(f"${symbol}$: say what it means in chapter {', '.join(sorted(lacks))}")
    return found
