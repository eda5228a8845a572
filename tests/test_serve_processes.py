"""The service as a user starts it: processes, signals, workers, and the page in a browser."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals"),
]
LIMIT = 120  # seconds until something that should come is given up
ASK = json.dumps({"text": "Umbrella, and still wet shoes."})


class Served:
    """A running `mmkeras serve`."""

    def __init__(self, run, *options, log):
        self.log = log
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mmkeras", "serve", str(run), "--port=0", *options],
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        try:
            found = self.wait(lambda: re.search(r"http://127.0.0.1:(\d+)", self.text()))
            self.port = int(found[1])
            self.wait(lambda: self.ask("GET", "/ready")[0] == 200)
        except BaseException:
            self.close()
            raise

    def text(self):
        return self.log.read_text("utf-8")

    def wait(self, ask):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            assert self.process.poll() is None, self.text()
            with contextlib.suppress(OSError, http.client.HTTPException):
                if answer := ask():
                    return answer
            time.sleep(0.1)
        pytest.fail(f"not within {LIMIT} seconds: {self.text()}")

    def ask(self, method="POST", path="/predict", body=ASK):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        with contextlib.closing(link):
            link.request(method, path, body if method == "POST" else None,
                         {"Content-Type": "application/json"})  # fmt: skip
            answer = link.getresponse()
            return answer.status, answer.read()

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Clients:
    """Threads that ask until they have `count` answers, and ask again where there was none."""

    def __init__(self, port, count, threads=4):
        self.port, self.left, self.answers, self.lock = port, count, [], threading.Lock()
        self.again = 0
        self.threads = [threading.Thread(target=self.work) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while True:
            with self.lock:
                if not self.left:
                    return
                self.left -= 1
            while not self.once():
                self.again += 1
                time.sleep(0.1)

    def once(self):
        try:
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
            with contextlib.closing(link):
                link.request("POST", "/predict", ASK, {"Content-Type": "application/json"})
                answer = link.getresponse()
                body = answer.read()
        except (OSError, http.client.HTTPException):
            return False
        if answer.status == 503:
            return False
        self.answers.append((answer.status, json.loads(body)["predictions"]))
        return True

    def join(self):
        for thread in self.threads:
            thread.join(LIMIT)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served")


def test_it_stops_under_load_and_every_request_is_answered_once_it_is_back(trained, folder):
    first = Served(trained.run, log=folder / "first.log")
    try:
        clients = Clients(first.port, 300)
        first.wait(lambda: len(clients.answers) > 50)
        first.process.terminate()
        assert first.process.wait(LIMIT) == 0
        assert "Traceback" not in first.text()
        before = len(clients.answers)
        second = Served(trained.run, f"--port={first.port}", log=folder / "second.log")
        try:
            clients.join()
            answers = clients.answers
            assert len(answers) == 300 > before and {status for status, _ in answers} == {200}
            assert all(told == answers[0][1] for _, told in answers)
        finally:
            second.close()
    finally:
        first.close()


def test_two_workers_share_one_address_and_survive_each_other(trained, folder):
    served = Served(trained.run, "--workers=2", log=folder / "two.log")
    try:
        served.wait(lambda: served.text().count('"event": "ready"') == 2)
        children = served.wait(lambda: len(_children(served.process.pid)) == 2
                               and _children(served.process.pid))  # fmt: skip
        clients = Clients(served.port, 200)
        served.wait(lambda: len(clients.answers) > 20)
        os.kill(children[0], signal.SIGKILL)
        served.process.send_signal(signal.SIGHUP)
        served.wait(lambda: served.text().count('"event": "reloaded"') >= 1)
        clients.join()
        assert {status for status, _ in clients.answers} == {200} and len(clients.answers) == 200
        served.wait(lambda: "another starts" in served.text())
        served.wait(lambda: served.text().count('"event": "ready"') >= 3)
        status, metrics = served.ask("GET", "/metrics")
        asked = re.findall(rb'requests_total\{path="/predict",status="200"\} (\d+)', metrics)
        assert status == 200 and int(asked[0]) >= 150  # of both, and of the one that died
        served.process.terminate()
        assert served.process.wait(LIMIT) == 0
        assert not [pid for pid in children if _alive(pid)]
    finally:
        served.close()


def _children(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]
    return []


def _alive(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().split()[2] != "Z"
    return False


def test_a_model_that_cannot_be_loaded_ends_the_service(trained, folder, forks):
    broken = folder / "broken"
    shutil.copytree(trained.run, broken)
    (broken / "model.keras").write_bytes(b"not a model")
    code = "import sys; from mmkeras.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = forks.run(code, "serve", broken, "--port=0", cwd=folder)
    assert done.returncode == 1 and "cannot be loaded" in done.stderr


# ---- the page -------------------------------------------------------------------------------

FILL = """(async () => {
  document.querySelector("textarea").value = "Umbrella, and still wet shoes.";
  const canvas = Object.assign(document.createElement("canvas"), {width: 90, height: 60});
  canvas.getContext("2d").fillRect(10, 10, 30, 30);
  const blob = await new Promise((done) => canvas.toBlob(done));
  const data = new DataTransfer();
  data.items.add(new File([blob], "picture.png", {type: "image/png"}));
  const input = document.querySelector("input[type=file][accept^=image]");
  input.files = data.files;
  input.dispatchEvent(new Event("change"));
  const sound = new DataTransfer();
  sound.items.add(new File([wav([new Float32Array(8000).fill(0.1)], 8000)], "a.wav"));
  const drop = document.querySelectorAll(".drop")[1];
  drop.dispatchEvent(new DragEvent("drop", {dataTransfer: sound, bubbles: true, cancelable: true}));
  document.querySelector("button[type=submit]").focus();
  document.activeElement.click();
})()"""
UNNAMED = """[...document.querySelectorAll("input, textarea, button")].filter((e) =>
  e.offsetParent && !(e.ariaLabel || e.textContent || e.labels?.length)).length"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    pytest.importorskip("websocket", reason="jupyter_server brings it")
    from browser import BROWSER, Browser

    if BROWSER is None:
        pytest.skip("no Chromium or Chrome here")
    page = Browser(tmp_path_factory.mktemp("browser"))
    yield page
    page.close()


@pytest.fixture(scope="module")
def served(trained, folder, browser):
    """One service for all pages, since each start takes seconds."""
    made = Served(trained.run, log=folder / "page.log")
    yield made
    made.close()


@pytest.mark.parametrize("width", [360, 1200])
def test_a_person_drops_a_picture_types_and_sees_bars(trained, folder, browser, served, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    browser.events.clear()
    browser.call("Page.navigate", url=f"http://127.0.0.1:{served.port}/")
    served.wait(lambda: browser.ask("document.querySelectorAll('fieldset').length") == 5)
    assert browser.ask(UNNAMED) == 0
    browser.ask(FILL)
    served.wait(lambda: browser.ask("document.querySelectorAll('#answer tr').length") == 3)
    title = browser.ask("document.querySelector('#answer h2').textContent")
    assert title in trained.settings["classes"]
    assert browser.ask("document.activeElement.id") == "answer"  # a screen reader is there
    assert "numbers" in browser.ask("document.querySelector('#answer').textContent")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.ask(wide) == 0 and browser.errors() == []
    browser.picture(folder / f"page-{width}.png")
    browser.ask("document.querySelector('button[type=reset]').click()")
    browser.ask("document.querySelector('button[type=submit]').click()")
    said = "document.querySelector('#answer').textContent"
    served.wait(lambda: "blank" in browser.ask(said))
