"""What a student sees: a chapter, opened by tools/lab.sh in JupyterLab, in a headless browser.

Skipped where there is no Chromium or Chrome, and where the shell scripts do not run.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, needs_browser, stop, wait

ROOT = Path(__file__).resolve().parent.parent
CHAPTER = "03_images.ipynb"
COPY = f"work/{CHAPTER}"
pytestmark = [
    pytest.mark.slow,
    needs_browser,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tools/lab.sh"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab as `make lab` starts it, in a small clone with one chapter; its address."""
    clone = tmp_path_factory.mktemp("clone")
    for name in ("tools", "docs"):
        shutil.copytree(ROOT / name, clone / name)
    (clone / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / CHAPTER, clone / "notebooks")
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    home = clone / "home"
    home.mkdir()
    settings = clone / ".venv/share/jupyter/lab/settings"
    server = {
        "ServerApp": {"ip": "127.0.0.1", "port": 0, "open_browser": False},
        "LabApp": {"app_settings_dir": str(settings)},
    }
    (home / "jupyter_server_config.json").write_text(json.dumps(server), encoding="utf-8")
    env = {**os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home)}
    env |= {"JUPYTER_RUNTIME_DIR": str(home), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings")}
    env |= {"JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    with open(home / "log", "wb") as log:
        lab = subprocess.Popen(
            ["sh", str(clone / "tools" / "lab.sh"), CHAPTER],
            env=env, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        (file,) = wait("server", lambda: list(home.glob("jpserver-*.json")))
        found = wait("address", lambda: json.loads(file.read_text("utf-8") or "null"))
        yield f"{found['url']}lab/tree/{COPY}?token={found['token']}"
    finally:
        stop(lab)


@pytest.fixture(scope="module")
def browser(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    try:
        browser.call("Page.navigate", url=address)
        wait("chapter", lambda: browser.ask("document.querySelectorAll('.jp-MarkdownCell').length"))
        yield browser
    finally:
        browser.close()


BOX = "document.querySelector('.jp-RenderedMarkdown .alert-warning')"


def test_the_chapter_opens_without_a_complaint_or_a_pop_up(browser: Browser) -> None:
    title = "document.querySelector('.jp-RenderedMarkdown h1')?.textContent"
    assert "From files to pictures" in wait("title", lambda: browser.ask(title))
    wait("kernel", lambda: browser.ask("!!document.querySelector('[data-status=idle]')"))
    assert browser.ask("document.querySelectorAll('.jp-Dialog, .Toastify__toast').length") == 0
    assert browser.errors() == []


def test_a_warning_looks_like_one(browser: Browser, tmp_path: Path) -> None:
    wait("box", lambda: browser.ask(f"!!{BOX}"))
    # Pictures above it take their room as they come into view, so it moves on for a while.
    scroll = (
        """(box => {
        box.scrollIntoView({block: "center"})
        const {left, top, width, height} = box.getBoundingClientRect()
        return box.contains(document.elementFromPoint(left + width / 2, top + height / 2))
    })"""
        + f"({BOX})"
    )
    wait("box in sight", lambda: browser.ask(scroll) and not time.sleep(1) and browser.ask(scroll))
    browser.picture(tmp_path / "box.png")
    text = browser.ask(f"{BOX}.textContent")
    assert text.strip().startswith("⚠ What goes wrong.")
    style = f"(s => [s.color, s.backgroundColor])(getComputedStyle({BOX}))"
    assert browser.ask(style) == ["rgb(0, 0, 0)", "rgb(255, 224, 178)"]  # 16 : 1, on any theme
    assert "[!" not in browser.ask("document.querySelector('.jp-Notebook').textContent")
