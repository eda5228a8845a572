"""What the book adds to Sphinx: no search index of its own, and figures that can be told apart."""

import os
import re
from collections import Counter
from typing import Any

import book_colab
from docutils import nodes
from sphinx.application import Sphinx


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", no_index)
    app.connect("doctree-read", number_figures)
    app.connect("html-page-context", add_buttons, priority=700)  # after those of the theme


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
    """A button to Colab above a notebook, where the address of the repository is known."""
    repository = os.environ.get("BOOK_REPOSITORY", "").rstrip("/")
    address = book_colab.address(repository, f"{page}.ipynb")
    if address and re.fullmatch(r"notebooks/(solutions/)?\d\d_\w+", page):
        button = {"type": "link", "url": address, "tooltip": "Open in Colab", "text": "Colab"}
        context["header_buttons"].append(button | {"icon": "fas fa-rocket", "label": "colab"})
