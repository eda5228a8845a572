"""Sphinx's settings for the book; tools/book.py lays out the sources and calls it."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import book_sphinx  # noqa: E402
from book_source import slug  # noqa: E402

repository = os.environ.get("BOOK_REPOSITORY", "").rstrip("/")

project = "mmkeras"
author = "The mmkeras contributors"
copyright = "the mmkeras contributors; code MIT, text and figures CC BY 4.0"
language = "en"
extensions = ["myst_nb", "sphinx_copybutton"]
source_suffix = {".ipynb": "myst-nb", ".md": "myst-nb", ".rst": "restructuredtext"}
default_role = "code"  # docstrings write `name`

nb_execution_mode = "off"  # the outputs are those that are committed
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 6
myst_heading_slug_func = slug
suppress_warnings = [
    "config.cache",  # `slug` is a function
    "myst.header",  # a chapter may go from ## to ####
    "myst.xref_missing",  # `<a id="softmax">` is no heading; tests/test_book.py follows every link
]


html_theme = "sphinx_book_theme"
html_title = "mmkeras"
html_static_path = [str(ROOT / "book" / "static"), str(ROOT / "build" / "book" / "static")]
html_favicon = str(ROOT / "book" / "static" / "favicon.svg")
html_context = {"default_mode": "auto"}
html_css_files = ["book.css"]
html_js_files = ["print.js"]
html_additional_pages = {"search": "search.html"}
templates_path = [str(ROOT / "book" / "templates")]
html_sourcelink_suffix = ""
mathjax_path = "mathjax/tex-chtml.js"
copybutton_prompt_text = ">>> "
html_theme_options = {
    "use_download_button": True,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search is in the sidebar
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
if repository:
    html_theme_options |= {
        "repository_url": repository,
        "repository_branch": "main",
        "use_repository_button": True,
        "use_issues_button": True,
    }


def setup(app):
    book_sphinx.setup(app)
