"""Lay the sources of the book out for Sphinx: notebooks and pages, with links that it understands.

A link may name a heading as JupyterLab does (`#Exercise-1-·-title`) or as GitHub does
(`#exercise-1--title`); here both become the latter. A link to a file that is not in the book leads
to the repository, or is only text where no BOOK_REPOSITORY is given.
"""

import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import book_alt
import book_pages
import translate
from book_glossary import Linker
from book_pages import slug
from notebook_page import split_headings

PARTS = (
    ("I · Foundations", range(0, 5)),
    ("II · Fusion", range(5, 11)),
    ("III · Medicine", range(11, 13)),
    ("IV · Large models in small", range(13, 17)),
    ("V · To production", range(17, 21)),
    ("VI · Responsibility", range(21, 23)),
)
LANGUAGES = {"zh": "中文"}
ABOUT = ("docs/install.md", "docs/package.md", "data/README.md", "docs/results.md")
LAST = ("CONTRIBUTING.md", "CHANGELOG.md")
FILES = ("LICENSE", "LICENSE-text", "CITATION.cff", "docs/*.png", "data/catalogue.toml")
PLACES = {"README.md": "index.md", "notebooks/solutions": "notebooks/solutions/index.md"}
ANCHORS = re.compile(r'(?m)^(?:<a id="[^"]+"></a>)+$')  # they stand before a heading
CODE_OR_LINK = re.compile(
    r"(?s)(```.*?```|`[^`\n]+`)|(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)"
)


class Book:
    """What is in the book, and how its files name one another."""

    def __init__(self, root: Path, repository: str = "", made: Collection[str] = ()) -> None:
        self.root, self.repository, self.made = root, repository, made
        self.chapters = sorted(root.glob("notebooks/[0-9][0-9]_*.ipynb"))
        self.solutions = sorted(root.glob("notebooks/solutions/[0-9][0-9]_*.ipynb"))
        self.docs = [p for p in sorted(root.glob("docs/*.md")) if p.name not in ABOUT]
        pages = [root / name for name in ("README.md", *ABOUT, *LAST) if (root / name).exists()]
        self.pages = sorted({*pages, *self.docs})
        self.files = [path for pattern in FILES for path in sorted(root.glob(pattern))]
        self.translated = {
            language: [p for p in self.chapters if translate.file(root, language, p).exists()]
            for language in translate.languages(root)
        }
        self._headings: dict[Path, dict[str, str]] = {}

    def holds(self, path: Path) -> bool:
        return path in {*self.chapters, *self.solutions, *self.pages, *self.files}

    def markdown(self, text: str, page: Path) -> str:
        """The Markdown of a file of the repository, with links for the book."""

        def mend(found: re.Match[str]) -> str:
            code, picture, words, target = found.groups()
            if code or re.match(r"(https?|mailto|attachment):", target):
                return found[0]
            if new := self.link(target, page):
                inner = CODE_OR_LINK.sub(mend, words) if "](" in words else words
                return f"{picture}[{inner}]({new})"
            return words

        return ANCHORS.sub(targets, CODE_OR_LINK.sub(mend, text))

    def link(self, target: str, page: Path) -> str:
        """The target of a link in `page`, as it is in the book; empty if it leads nowhere."""
        name, _, anchor = unquote(target).partition("#")
        path = Path(os.path.normpath(page.parent / name)) if name else page
        inside = path.relative_to(self.root).as_posix()
        if inside in self.made:
            return target
        if inside not in PLACES and not self.holds(path):
            return f"{self.repository}/blob/main/{inside}" if self.repository else ""
        anchor = self.headings(path).get(anchor, anchor) if path.suffix in (".md", ".ipynb") else ""
        if not name:
            return f"#{anchor}"
        here = Path(PLACES.get(page.relative_to(self.root).as_posix(), page.relative_to(self.root)))
        there = os.path.relpath(PLACES.get(inside, inside), here.parent).replace(os.sep, "/")
        return there + (f"#{anchor}" if anchor else "")

    def headings(self, path: Path) -> dict[str, str]:
        """The anchor of every heading of a file, by the two ways to write it."""
        if path not in self._headings:
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".ipynb":
                cells = json.loads(text)["cells"]
                text = "\n\n".join(source(c) for c in cells if c["cell_type"] == "markdown")
            titles = [title for level, title in split_headings(text) if level]
            names = {re.sub(r"[*`]", "", title).replace(" ", "-"): slug(title) for title in titles}
            self._headings[path] = names
        return self._headings[path]


def targets(found: re.Match[str]) -> str:
    """Anchors as MyST writes them, one a line."""
    return "\n".join(f"({name})=" for name in re.findall(r'id="([^"]+)"', found[0]))


def source(cell: dict[str, Any]) -> str:
    """The text of a cell, which a notebook may hold as one text or as lines."""
    return "".join(cell["source"])


def notebook(
    book: Book, path: Path, written: dict[str, str], terms: Collection[str] = ()
) -> dict[str, Any]:
    """A notebook for the book: its links, those to `terms`, and the texts of its figures."""
    nb: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    first_uses = Linker(terms, path.name[:2])
    for place, cell in enumerate(nb["cells"]):
        if cell["cell_type"] == "markdown":
            text = first_uses(source(cell)) if terms else source(cell)
            cell["source"] = book.markdown(text, path)
        elif book_alt.figures(cell):
            alt = written.get(cell["id"]) or book_alt.alt_text(nb["cells"], place)
            cell["metadata"]["mystnb"] = {"image": {"alt": alt}}
    return nb


def stage(
    root: Path, out: Path, repository: str = "", api: dict[str, str] | None = None
) -> dict[str, Path]:
    """Fill the folder `out`; the names of the notebooks in it, and the files they were made of.

    Args:
        root: the repository.
        repository: its address, or "".
        api: the pages of book_api.py, which needs a package of the book's environment.
    """
    shutil.rmtree(out, ignore_errors=True)
    made = {**book_pages.pages(root), **(api or {})}
    book, written = Book(root, repository, made), book_alt.written()
    terms = book_pages.terms(made["notebooks/glossary.md"])
    originals = {}
    for path in [*book.chapters, *book.solutions]:
        name = path.relative_to(root).as_posix()
        originals[name] = path
        nb = notebook(book, path, written, terms if path in book.chapters else ())
        write(out / name, json.dumps(nb, ensure_ascii=False, indent=1))
    for name, path in translations(book, out, written):
        originals[name] = path
    for path in book.pages:
        name = path.relative_to(root).as_posix()
        text = book.markdown(path.read_text(encoding="utf-8"), path)
        write(out / PLACES.get(name, name), text + (contents(book) if name == "README.md" else ""))
    for path in book.files:
        target = out / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    write(out / "notebooks/solutions/index.md", solutions(book))
    for name, text in made.items():
        write(out / name, book.markdown(text, root / name))
    return originals


def translations(book: Book, out: Path, written: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """Lay out the translated chapters, as zh/notebooks/00_welcome.ipynb: their names and files."""
    for language, paths in book.translated.items():
        there = {f"notebooks/{path.name}" for path in paths}

        def link(found: re.Match[str], language: str = language, there: set[str] = there) -> str:
            name, sign, anchor = found[1].partition("#")
            place = os.path.normpath(f"notebooks/{name}") if name else ""
            if not name or place in there:  # its anchors have names of their own
                return f"]({Path(name).name}{sign}{f'{language}-{anchor}' * bool(anchor)})"
            return f"]({os.path.relpath(place, f'{language}/notebooks')}{sign}{anchor})"

        for path in paths:
            nb = notebook(book, path, written)
            texts = translate.texts(path, book.root, language)
            for cell in nb["cells"]:
                if cell["cell_type"] == "markdown":
                    if cell["id"] in texts:
                        cell["source"] = book.markdown(texts[cell["id"]], path)
                    cell["source"] = re.sub(r"\]\((?!\w+:)([^()\s]+)\)", link, cell["source"])
                    mark = rf"({language}-\1)="
                    cell["source"] = re.sub(r"(?m)^\(([\w-]+)\)=$", mark, cell["source"])
            name = f"{language}/notebooks/{path.name}"
            write(out / name, json.dumps(nb, ensure_ascii=False, indent=1))
            yield name, path


def contents(book: Book) -> str:
    """The table of contents, as Sphinx reads it at the end of the first page."""
    parts = []
    for title, numbers in PARTS:
        inside = [p for p in book.chapters if int(p.name[:2]) in numbers]
        parts.append((title, [p.relative_to(book.root).as_posix() for p in inside]))
    more = [p.relative_to(book.root).as_posix() for p in book.docs]
    about = [name for name in ABOUT if (book.root / name).exists()]
    last = [name for name in LAST if (book.root / name).exists()]
    first = [*book_pages.NAMES, "notebooks/solutions/index.md"]
    for language, paths in book.translated.items():
        names = [f"{language}/notebooks/{path.name}" for path in paths]
        parts.append((LANGUAGES.get(language, language), names))
    parts.append(("Reference", [*first, *[n for n in more if n not in about]]))
    parts.append(("The package, the data", [*about, "api/index.md", *last]))
    return "\n" + "\n".join(tree(title, names) for title, names in parts if names)


def tree(title: str, names: list[str], hidden: bool = True) -> str:
    lines = [":hidden:"] * hidden + [f":caption: {title}"] * bool(title)
    return "\n".join(["```{toctree}", *lines, "", *names, "```", ""])


def solutions(book: Book) -> str:
    text = "# Solutions\n\nTry an exercise first: its self-check says what is still wrong.\n\n"
    return text + tree("", [path.name for path in book.solutions], hidden=False)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
