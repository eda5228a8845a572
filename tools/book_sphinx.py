"""What the book adds to Sphinx: no search index of its own, and figures that can be told apart."""

from collections import Counter

from docutils import nodes
from sphinx.application import Sphinx


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", no_index)
    app.connect("doctree-read", number_figures)


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
