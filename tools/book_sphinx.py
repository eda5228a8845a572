"""What the book adds to Sphinx: no search index of its own, and figures that can be told apart."""

import os
import re
from collections import Counter
from typing import Any

import book_colab
from book_source import LANGUAGES
from docutils import nodes
from sphinx.application import Sphinx


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", no_index)
    app.connect("doctree-read", number_figures)
    app.connect("html-page-context", add_buttons, priority=700)  # after those of the theme
    app.connect("html-page-context", other_languages, priority=710)


def no_index(app: Sphinx) -> None:
    """Pagefind makes the index of the search."""
    app.builder.search = False


def number_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Pictures of one cell have the same text; say which of them each is."""
    pictures = [node for node in doctree.findall(nodes.image) if node.get("alt")]
    number = Counter(node["alt"] for node in pictures)
    seen: Counter[str] = Counter()
    for node in pictures:
        alt = node["alt"]
        if number[alt] > 1:
            seen[alt] += 1
            node["alt"] = f"Picture {seen[alt]} of {number[alt]}. {alt}"


def add_buttons(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Buttons above a notebook: its slides; Colab, where the repository's address is known."""
    if re.fullmatch(r"notebooks/\d\d_\w+", page):
        slides = context["pathto"](page.replace("notebooks", "slides"))
        button = {"type": "link", "url": slides, "tooltip": "Slides of this chapter"}
        button |= {"text": "", "icon": "fas fa-person-chalkboard", "label": "slides"}
        context["header_buttons"].append(button)
    repository = os.environ.get("BOOK_REPOSITORY", "").rstrip("/")
    address = book_colab.address(repository, f"{page}.ipynb")
    if address and re.fullmatch(r"notebooks/(solutions/)?\d\d_\w+", page):
        button = {"type": "link", "url": address, "tooltip": "Open in Colab", "text": "Colab"}
        context["header_buttons"].append(button | {"icon": "fas fa-rocket", "label": "colab"})


def other_languages(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """The language of the page, and a button to the same chapter in each other language."""
    found = re.fullmatch(r"(?:([a-z]{2})/)?(notebooks/\d\d_\w+)", page)
    if not found:
        return
    here, chapter = found[1] or "en", found[2]
    context["language"] = here
    for language, name in {"en": "English", **LANGUAGES}.items():
        there = chapter if language == "en" else f"{language}/{chapter}"
        if language != here and there in app.env.found_docs:
            button = {"type": "link", "url": context["pathto"](there), "text": name}
            button |= {"tooltip": name, "icon": "fas fa-language", "label": f"language-{language}"}
            context["header_buttons"].append(button)
