"""A headless Chromium or Chrome for the tests, steered by the DevTools protocol."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

websocket = pytest.importorskip("websocket", reason="jupyter_server brings it")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
LIMIT = 180  # seconds until something that should come is given up
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome here")


def wait(what: str, ask: Callable[[], Any]) -> Any:
    """The first true answer of `ask`."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.1)
    pytest.fail(f"after {LIMIT} seconds still no {what}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that this test has started, and what is left of its group."""
    process.terminate()
    try:
        process.wait(LIMIT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Browser:
    """One page of a headless browser, steered by the DevTools protocol."""

    def __init__(self, folder: Path) -> None:
        command = [str(BROWSER), "--headless", "--disable-gpu", "--no-first-run"]
        command += ["--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-sandbox"]
        command += ["--window-size=1400,1000", "--disable-dev-shm-usage", "about:blank"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
        try:
            file = folder / "DevToolsActivePort"
            port, path = wait("browser", lambda: file.exists() and file.read_text().split())
            self.socket = websocket.create_connection(
                f"ws://127.0.0.1:{port}{path}", timeout=LIMIT, suppress_origin=True
            )
            self.count, self.session, self.events = 0, "", []
            targets = self.call("Target.getTargets")["targetInfos"]
            (page,) = [t["targetId"] for t in targets if t["type"] == "page"]
            attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
            self.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page, JSON-fit; a promise is awaited."""
        options = {"returnByValue": True, "awaitPromise": True}
        done = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def errors(self) -> list[str]:
        """What the page has complained of so far."""
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(str(params["entry"]))
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] == "error":
                found.append(str(params["args"]))
        return found

    def picture(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        stop(self.process)
