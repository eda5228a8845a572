"""`mmkeras serve` writes down nothing of what it is sent: a real process is sent marked requests.

The marks are looked for in what the process prints, in /metrics, and in every file that is there
when it has ended, in the forms in which they might come: as text, in base64, in hexadecimal digits.
"""

import base64
import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import soundfile
from command_line import contents
from PIL import Image

from mmkeras.serve import discreet, gate
from mmkeras.serve.gate import _line

MARK = "Wilhelmine7741"
LIMIT = 120  # seconds
# `mmkeras serve`, with faults of ours: one in the thread of the model, one in that of a decoder.
FAULTY = """
import sys
from mmkeras.serve import engine, rows

answer, read = engine.Engine.answer, rows.Reader.read

def broken_answer(self, some):
    if any(b"broken" in row["text"].item() for row in some):
        raise ValueError(f"cannot answer {some}")
    return answer(self, some)

def broken_read(self, row, at=1):
    if "unread" in str(row.get("text")):
        print(1 / 0 if row is None else "", end="")
        raise KeyError(f"cannot read {row}")
    return read(self, row, at)

engine.Engine.answer, rows.Reader.read = broken_answer, broken_read
from mmkeras.__main__ import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""


def forms():
    """Every form in which a mark may come, or at least four letters of it."""
    data = MARK.encode()
    yield from (data, data.lower(), data.upper(), MARK.encode("utf-16-le"), data[:10])
    for i in range(3):  # in base64, by its place
        code = base64.b64encode(b"\0" * i + data)
        yield code[4:-4]
    for i in range(len(data) - 3):  # as mpg123 prints four bytes of a file
        for piece in (data[i : i + 4], data[i : i + 4][::-1]):
            yield b"0x" + piece.hex().encode()
            yield b"0x" + piece.hex().upper().encode()
    yield b"0x57 0x69"  # as libjpeg prints two


def leaks(text):
    return [form for form in set(forms()) if form in text]


def test_the_search_finds_each_form():
    for text in (MARK, repr({"x": MARK}), f"{base64.b64encode(b'ab' + MARK.encode())}",
                 "Illegal Audio-MPEG-Header 0x57696c68 at"):  # fmt: skip
        assert leaks(text.encode())
    assert not leaks(b"Illegal Audio-MPEG-Header 0x00000000 at offset 864; Wilhelm")


# ---- what is sent ---------------------------------------------------------------------------


def picture(kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(file, kind, **options)
    return file.getvalue()


def sound(kind="WAV"):
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(16_000) / 9) / 2, 16_000, format=kind)
    return file.getvalue()


def damaged():
    """Column, name and content of files that make decoders speak."""
    mark = MARK.encode()
    mp3 = sound("MP3")
    tag = b"COMM" + bytes([0, 0, 0, len(mark) + 1]) + b"\0\0\x07" + mark
    yield "audio", "a.mp3", mp3[:800] + mark * 20 + mp3[800:]
    yield "audio", "a.mp3", b"ID3\4\0\0" + bytes([0, 0, 0, len(tag)]) + tag + mp3
    yield "audio", f"{MARK}.wav", sound()[:200] + mark
    yield "audio", f"{MARK}.wav", mark * 9
    for options in ({"compression": "tiff_lzw"}, {"compression": "jpeg"}):
        tiff = picture("TIFF", tiffinfo={270: MARK}, **options)
        for at in (16, len(tiff) // 2, len(tiff) - 30):
            yield "image", f"{MARK}.tif", tiff[:at] + mark + tiff[at + len(mark) :]
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + mark * 3
    yield "image", "a.jpg", picture("JPEG", exif=exif)
    yield "image", f"../{MARK}.png", picture()[:-40] + mark
    yield "image", "a.svg", f"<svg>{MARK}</svg>".encode()


def form(*parts, boundary=MARK):
    """A form, and its header; a part is (name, file name or None, content)."""
    body = b""
    for name, file, content in parts:
        named = f'; filename="{file}"' if file else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n'.encode()
        body += b"X-Note: " + MARK.encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def requests():
    """Status, method, path, body, type of the body."""
    text, code = MARK.encode(), base64.b64encode(MARK.encode()).decode()
    ours = "application/json"

    def js(**row):
        return json.dumps(row).encode()

    yield 200, "POST", "/predict", js(text=MARK), ours
    yield 200, "POST", "/explain", js(text=f"{MARK} and sun"), ours
    yield 500, "POST", "/predict", js(text=f"{MARK} broken"), ours
    yield 500, "POST", "/explain", js(text=f"{MARK} broken"), ours
    yield 500, "POST", "/predict", js(text=f"{MARK} unread"), ours
    yield 500, "POST", "/predict", *form(("text", None, text + b" broken"))
    yield 422, "POST", "/predict", js(text="x", **{MARK: MARK}), ours
    yield 422, "POST", "/predict", js(text=MARK, degrees=MARK), ours
    yield 422, "POST", "/predict", js(image=code), ours
    yield 200, "POST", "/predict?skip_bad_rows=true", js(image=code), ours
    yield 400, "POST", "/predict", js(image=f"{MARK}!"), ours
    yield 400, "POST", "/predict", js(text=[MARK]), ours
    yield 400, "POST", "/predict", b'{"text": "' + text, ours
    yield 400, "POST", "/predict", b"\xff\xfe" + text, ours
    yield 400, "POST", "/predict", b"[" * 100_000 + text, ours
    yield 415, "POST", "/predict", text, f"text/{MARK}"
    yield 415, "POST", "/predict", text, f"{MARK}; charset={MARK}"
    yield 413, "POST", "/predict", js(rows=[{"text": MARK}] * 65), ours
    yield 200, "POST", "/predict", *form(("text", None, text), ("image", f"{MARK}.png", picture()))
    yield 422, "POST", "/predict", *form((MARK, MARK, text))
    yield 400, "POST", "/predict", *form(("text", None, b"\xff" + text))
    yield 400, "POST", "/predict", form(("text", None, text))[0][:-9], form(("t", None, b""))[1]
    yield 400, "POST", "/predict", text, f"multipart/form-data; boundary={MARK}"
    for column, name, content in damaged():
        yield None, "POST", "/predict", *form((column, name, content))
    yield 404, "GET", f"/{MARK}?{MARK}={MARK}", b"", ours
    yield 404, "POST", f"/predict/{MARK}", js(text=MARK), ours
    yield 405, "PUT", f"/predict?{MARK}", text, MARK
    yield 405, "GET", f"/predict?text={MARK}", b"", ours
    yield 200, "GET", f"/docs?{MARK}", b"", ours
    yield 200, "GET", f"/?{MARK}", b"", ours


def raw():
    """Letters that are no proper request."""
    mark = MARK.encode()
    yield mark + b" /predict HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"GET /" + mark + b" HTTP/9." + mark + b"\r\n\r\n"
    yield b"GET / HTTP/1.1\r\nHost: x\r\n" + mark + b"\r\n\r\n"
    yield b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: " + mark + b"\r\n\r\n"
    yield b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + mark
    yield b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n" + mark  # and away
    yield b"GET /" + mark + b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade" \
        b"\r\nSec-WebSocket-Key: " + mark + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"  # fmt: skip
    yield b"\x16\x03\x01\x02\x00" + mark * 9
    yield mark * 9_000


def ask(port, method, path, body, kind):
    head = f"{method} {path} HTTP/1.1\r\nHost: {MARK}\r\nContent-Type: {kind}\r\n"
    head += f"Content-Length: {len(body)}\r\nUser-Agent: {MARK}\r\nCookie: {MARK}\r\n"
    head += f"X-API-Key: {MARK}\r\nX-Forwarded-For: {MARK}\r\nConnection: close\r\n\r\n"
    answer = send(port, head.encode() + body)
    return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]


def send(port, letters, seconds=LIMIT):
    """The answer; the client goes away when it is complete, or after some seconds of silence."""
    answer = b""
    link = socket.create_connection(("127.0.0.1", port), timeout=seconds)
    with link, contextlib.suppress(OSError):  # closed before all is read, or silent
        link.sendall(letters)
        while some := link.recv(65_536):
            answer += some
    return answer


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("quick", [True, False], ids=["httptools", "h11"])
def test_nothing_that_is_sent_is_written_anywhere(trained, tmp_path, quick):
    keys = ("TMPDIR", "HOME", "MMKERAS_CACHE", "XDG_CACHE_HOME")
    places = {key: str(tmp_path / key) for key in keys}
    for place in places.values():
        os.mkdir(place)
    before, log = contents(trained.folder), tmp_path / "log.txt"
    code = FAULTY if quick else f"import sys; sys.modules['httptools'] = None\n{FAULTY}"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "always", "-c", code, str(trained.run), "--port=0"],
            stdout=file, stderr=file, env={**os.environ, **places}, cwd=tmp_path,
        )  # fmt: skip
    try:
        port = int(until(process, lambda: re.search(rb"127.0.0.1:(\d+)", log.read_bytes()), log)[1])
        until(process, lambda: ask(port, "GET", "/ready", b"", "")[0] == 200, log)
        seen = [(want, ask(port, *request)[0]) for want, *request in requests()]
        wrong = [(i, pair) for i, pair in enumerate(seen) if pair[0] not in (None, pair[1])]
        assert not wrong, wrong
        for letters in raw():
            send(port, letters, seconds=0.5)
        process.send_signal(signal.SIGHUP)
        until(process, lambda: b'"reloaded"' in log.read_bytes(), log)
        metrics = ask(port, "GET", "/metrics", b"", "")[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        process.wait()
    written = log.read_bytes()
    lines = [json.loads(line) for line in written.splitlines() if line.startswith(b"{")]
    assert sum(line.get("path") == "/predict" for line in lines) > 25, "requests are logged"
    assert sum(line.get("event") == "error" for line in lines) >= 4, "and faults"
    assert b'path="/predict",status="500"' in metrics
    assert leaks(written) == [] and leaks(metrics) == []
    for folder in places.values():
        for name, content in contents(tmp_path / folder).items():
            assert not leaks(content) and not leaks(str(name).encode()), name
    assert contents(trained.folder) == before


def until(process, found, log):
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text("utf-8", "replace")
        with contextlib.suppress(OSError, IndexError):
            if answer := found():
                return answer
        time.sleep(0.1)
    pytest.fail(log.read_text("utf-8", "replace"))


# ---- the parts ------------------------------------------------------------------------------


def test_a_method_that_a_client_made_up_is_not_logged():
    scope = {"method": MARK, "path": "/", "state": {"said": {}}}
    assert json.loads(_line(scope, "1", 405, 0.1))["method"] == "(unknown)"
    assert json.loads(_line({**scope, "method": "PUT"}, "1", 405, 0.1))["method"] == "PUT"


def test_a_warning_is_logged_without_its_message(caplog):
    with caplog.at_level("INFO", gate.log.name), discreet.discreet():
        warnings.simplefilter("always")
        warnings.warn(f"Corrupt EXIF data: {MARK}", stacklevel=1)
    (record,) = caplog.records
    told = json.loads(record.message)
    assert told["type"] == "UserWarning" and told["where"].startswith("test_serve_secrets.py:")
    assert MARK not in record.message


@pytest.mark.slow
def test_what_c_prints_is_lost_and_what_python_prints_is_not(tmp_path):
    code = (
        "import os, sys\n"
        "from mmkeras.serve.discreet import discreet\n"
        "with discreet():\n"
        "    os.write(2, b'of C')\n"
        "    print('of Python: é', file=sys.stderr)\n"
        "os.write(2, b'after')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert ran.stderr.decode() == "of Python: é\nafter" and ran.stdout == b""
