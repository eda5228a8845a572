"""Build the book: a static site of the chapters, their solutions, the pages and the API.

    python tools/book.py            build it into build/book/html (`make site` calls this)
    python tools/book.py --serve    show it at http://127.0.0.1:8000

It runs in an environment of its own (tools/site.sh makes it from book/requirements.txt) and needs
neither TensorFlow nor a network: the outputs of the notebooks are those that are committed. The
chapters are those that are there. The sources are first copied to build/book/source, in the same
folders, with links and headings as Sphinx understands them (book_source.py), alternative texts of
the figures (book_alt.py), and pages that are made from the chapters (book_pages.py).

BOOK_REPOSITORY, such as https://github.com/OWNER/NAME, gives the links to the source and to Colab.
"""

import argparse
import functools
import http.server
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import book_api
import book_colab
import book_slides
from book_source import stage

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "book"


def mathjax(target: Path) -> None:
    """Copy MathJax and its fonts out of the package that brings them."""
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None or found.origin is None:
        sys.exit("The package sphinx-mathjax-offline is missing: run `make site`.")
    source = Path(found.origin).parent / "static" / "mathjax"
    fonts = Path("output", "chtml", "fonts", "woff-v2")
    (target / fonts).mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "tex-chtml.js", target)
    for font in (source / fonts).glob("*.woff"):
        shutil.copy(font, target / fonts)


def build(root: Path = ROOT, out: Path = OUT) -> Path:
    """The folder of the finished site."""
    source, html = out / "source", out / "html"
    repository = os.environ.get("BOOK_REPOSITORY", "").rstrip("/")
    originals = stage(root, source, repository, book_api.pages(root))
    mathjax(out / "static" / "mathjax")
    shutil.rmtree(html, ignore_errors=True)
    options = ["-q", "--fail-on-warning", "--keep-going", "-c", str(root / "book")]
    command = ["sphinx", *options, "-d", str(out / "doctrees"), str(source), str(html)]
    subprocess.run([sys.executable, "-m", *command], check=True)
    for name, file in originals.items():  # the download is the notebook, not its staged copy
        shutil.copy(file, html / "_sources" / name)
    book_colab.write(originals, html / "colab", repository)
    search = ["--site", str(html), "--root-selector", "article.bd-article"]
    search += ["--exclude-selectors", ".headerlink"]
    done = subprocess.run(
        [sys.executable, "-m", "pagefind", *search], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"Pagefind made no index of the search:\n{done.stdout}{done.stderr}")
    book_slides.write(source, html / "slides")  # after the index, which leaves them out
    return html


def serve(folder: Path, port: int = 8000) -> None:
    """Show the site on this machine; the search needs a server."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"The book: http://127.0.0.1:{port} (Ctrl-C ends it)")
        server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--serve", action="store_true", help="show what was built")
    if parser.parse_args().serve:
        serve(OUT / "html")
    else:
        print(f"The book is in {build().relative_to(ROOT)}; `make site-serve` shows it.")


if __name__ == "__main__":
    main()
