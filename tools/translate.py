"""Translations of the chapters: what is translated, what has changed, and notebooks made of it.

    python tools/translate.py status             what each translation has, lacks, or has behind it
    python tools/translate.py diff zh 00         how the English of outdated cells has changed
    python tools/translate.py accept zh 00       take the file over for the chapter of today
    python tools/translate.py build zh           translated notebooks, in build/translations/zh

A translation is a text file, book/translations/LANGUAGE/NN_slug.md. For each Markdown cell it has
the English text and its translation, under the id of the cell. The id is a digest of the text
(tools/notebooks.py), so a cell whose English changes gets another id, and its translation is out
of date: the cell is shown in English until somebody has mended the translation and run `accept`.
That command also adds what is new, without a translation. A translation that has other formulas,
links, code or numbers than its original is refused, and the cell is shown in English.
"""

import argparse
import difflib
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MARK = "<!-- cell {} {} -->"
ALIKE = 0.4  # least likeness of two texts that are taken for two versions of one cell


@dataclass
class Cell:
    """A Markdown cell: its id, its English text, and the translation, "" if there is none."""

    id: str
    english: str
    translated: str = ""


def folder(root: Path, language: str) -> Path:
    return root / "book" / "translations" / language


def file(root: Path, language: str, notebook: Path) -> Path:
    """Where the translation of a chapter is, or would be."""
    return folder(root, language) / f"{notebook.stem}.md"


def languages(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "book" / "translations").glob("*") if path.is_dir())


def chapter(root: Path, number: str) -> Path:
    found = sorted(root.glob(f"notebooks/{number}_*.ipynb"))
    if len(found) != 1:
        sys.exit(f"There is no chapter {number!r}: give its two digits.")
    return found[0]


def english(notebook: Path) -> list[Cell]:
    """The Markdown cells of a chapter."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = [(c["id"], "".join(c["source"])) for c in cells if c["cell_type"] == "markdown"]
    return [Cell(name, text) for name, text in texts]


def load(file: Path) -> list[Cell]:
    """What a file of translations holds.

    Raises:
        ValueError: the marks of a cell are not in the order "en", then the language.
    """
    if not file.exists():
        return []
    parts = re.split(r"(?m)^<!-- cell (\S+) (\w+) -->\n", file.read_text(encoding="utf-8"))[1:]
    blocks = list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))
    cells = []
    for (name, first, original), (other, second, text) in zip(
        blocks[::2], blocks[1::2], strict=True
    ):
        if name != other or first != "en" or second == "en":
            raise ValueError(
                f"{file.name}: cell {name}: expected its English, then its translation"
            )
        cells.append(Cell(name, original.strip("\n"), text.strip("\n")))
    return cells


def save(file: Path, cells: list[Cell]) -> None:
    language = file.parent.name
    blocks = []
    for cell in cells:
        blocks += [MARK.format(cell.id, "en"), cell.english, ""]
        blocks += [MARK.format(cell.id, language), cell.translated, ""]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(blocks).rstrip("\n") + "\n", encoding="utf-8")


# ---- the lint ------------------------------------------------------------------------------------

KEPT = {
    "formulas": r"(?s)\$\$.*?\$\$|\$[^$\n]+\$",
    "code": r"(?s)^```.*?^```|`[^`\n]+`",
    "links": r"\]\(([^)\s]+)\)",
    "anchors": r'<a id="[^"]+">',
    "numbers": r"\d+(?:[.,]\d+)*",
}


def differences(cell: Cell) -> list[str]:
    """What a translation has otherwise than its original, as in "numbers: 3 is missing"."""
    found = []
    before, after = cell.english, cell.translated
    for kind, pattern in KEPT.items():
        want, got = (Counter(re.findall(pattern, text, re.MULTILINE)) for text in (before, after))
        found += [f"{kind}: {one} is missing" for one in (want - got).elements()]
        found += [f"{kind}: {one} is not in the English" for one in (got - want).elements()]
        if kind != "numbers":  # those in formulas, code and links were compared with them
            before, after = (re.sub(pattern, " ", t, flags=re.MULTILINE) for t in (before, after))
    for kind, pattern in {"headings": r"^(#+) ", "rows of tables": r"^\|"}.items():
        want, got = (
            len(re.findall(pattern, t, re.MULTILINE)) for t in (cell.english, cell.translated)
        )
        if want != got:
            found.append(f"{kind}: {got}, not {want}")
    return found


# ---- a chapter that has changed ------------------------------------------------------------------


def outdated(now: list[Cell], kept: list[Cell]) -> list[tuple[Cell, Cell | None]]:
    """Translations whose English is no longer there, each with the cell that took its place."""
    known = {cell.id for cell in kept}
    there = {cell.id for cell in now}
    new = [cell for cell in now if cell.id not in known]
    pairs: list[tuple[Cell, Cell | None]] = []
    for old in kept:
        if old.id not in there:
            likeness = [difflib.SequenceMatcher(None, old.english, c.english).ratio() for c in new]
            best = max(range(len(new)), key=likeness.__getitem__, default=None)
            match = new.pop(best) if best is not None and likeness[best] >= ALIKE else None
            pairs.append((old, match))
    return pairs


def accept(now: list[Cell], kept: list[Cell]) -> tuple[list[Cell], list[str]]:
    """The cells of today with their translations, and what stands against them.

    A translation of an outdated cell goes over to the cell that took its place if it passes the
    lint with the new text; otherwise that cell has none, and the problem is named.
    """
    given = {cell.id: cell.translated for cell in kept}
    renewed = {new.id: old for old, new in outdated(now, kept) if new is not None}
    cells, problems = [], []
    for cell in now:
        old = renewed.get(cell.id)
        text = old.translated if old else given.get(cell.id, "")
        candidate = Cell(cell.id, cell.english, text)
        wrong = differences(candidate) if text else []
        if wrong:
            problems += [f"cell {cell.id}: {line}" for line in wrong]
            candidate = old or candidate
        cells.append(candidate)
    return cells, problems


def texts(notebook: Path, root: Path, language: str) -> dict[str, str]:
    """The translations that hold today and pass the lint, by the id of the cell."""
    there = {cell.id for cell in english(notebook)}
    kept = [c for c in load(file(root, language, notebook)) if c.translated and c.id in there]
    return {cell.id: cell.translated for cell in kept if not differences(cell)}


def translated(notebook: Path, root: Path, language: str) -> dict[str, Any]:
    """The notebook with its translated cells; the others are in English."""
    nb: dict[str, Any] = json.loads(notebook.read_text(encoding="utf-8"))
    found = texts(notebook, root, language)
    for cell in nb["cells"]:
        if cell["id"] in found:
            cell["source"] = found[cell["id"]]
    return nb


# ---- the commands --------------------------------------------------------------------------------


def status(root: Path) -> list[str]:
    lines = []
    for language in languages(root):
        for path in sorted(folder(root, language).glob("*.md")):
            now, kept = english(chapter(root, path.name[:2])), load(path)
            done = {cell.id for cell in kept if cell.translated}
            old = [cell for cell, _ in outdated(now, kept) if cell.translated]
            wrong = [c.id for c in kept if c.translated and c.id not in old and differences(c)]
            have = sum(cell.id in done for cell in now)
            said = f"{have} of {len(now)} cells, {len(old)} out of date, {len(wrong)} refused"
            lines.append(f"{language} {path.stem}: {said} {' '.join(wrong)}".strip())
    return lines


def changes(root: Path, language: str, number: str) -> list[str]:
    notebook = chapter(root, number)
    kept = load(file(root, language, notebook))
    lines = []
    for old, new in outdated(english(notebook), kept):
        lines.append(f"cell {old.id} " + (f"is now {new.id}:" if new else "has gone:"))
        after = new.english.splitlines() if new else []
        lines += difflib.unified_diff(old.english.splitlines(), after, "before", "now", lineterm="")
        lines += ["its translation:", old.translated, ""]
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=["status", "diff", "accept", "build"])
    parser.add_argument("language", nargs="?", help="such as zh")
    parser.add_argument("chapter", nargs="?", help="its two digits, such as 00")
    given = parser.parse_args(arguments)
    if given.command == "status":
        print("\n".join(status(ROOT)))
        return 0
    if not given.language or (given.command != "build" and not given.chapter):
        parser.error(
            f"{given.command} needs a language" + " and a chapter" * (given.command != "build")
        )
    if given.command == "build":
        for path in sorted(folder(ROOT, given.language).glob("*.md")):
            notebook = chapter(ROOT, path.name[:2])
            target = ROOT / "build" / "translations" / given.language / notebook.name
            target.parent.mkdir(parents=True, exist_ok=True)
            nb = translated(notebook, ROOT, given.language)
            text = json.dumps(nb, ensure_ascii=False, indent=1)
            target.write_text(text + "\n", encoding="utf-8")
            print(target.relative_to(ROOT))
        return 0
    if given.command == "diff":
        print("\n".join(changes(ROOT, given.language, given.chapter)))
        return 0
    notebook = chapter(ROOT, given.chapter)
    place = file(ROOT, given.language, notebook)
    cells, problems = accept(english(notebook), load(place))
    save(place, cells)
    print("\n".join(problems) or f"{place.relative_to(ROOT)} is that of the chapter of today.")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
