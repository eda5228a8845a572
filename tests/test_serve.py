"""The service in this process: what it answers, what it refuses, and what it never writes down."""

import asyncio
import base64
import io
import json
import logging
import socket
import threading
import time

import httpx
import numpy as np
import pytest
import uvicorn
from command_line import call, change, read
from PIL import Image

from mmkeras.serve import bodies, gate
from mmkeras.serve.app import make_app
from mmkeras.serve.batches import Batcher, Full
from mmkeras.serve.counts import Counts
from mmkeras.serve.engine import Engine
from mmkeras.serve.rows import Reader, stacked
from mmkeras.serve.service import Limits, Loaded
from mmkeras.table.command import RunError

LIMITS = Limits(max_pixels=10_000_000)
SIZES = {"max_pixels": 10_000_000, "max_audio_seconds": 60.0}
SECRET = "only-between-us-7741"


def run(work):
    return asyncio.run(work)


@pytest.fixture(scope="module")
def engine(trained):
    return Engine(trained.run, **SIZES)


@pytest.fixture
def service(trained, engine):
    """`ask(path, …)` → a response, of an application that has loaded the run."""

    def ask(*requests, limits=LIMITS, during=None, **options):
        async def go():
            app = make_app(trained.run, limits=limits, **options)
            state = app.app.state.service
            state.loaded = Loaded(engine, limits, state.counts)
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                if during:
                    await during(state, client)
                work = [client.request(**{"method": "POST", "url": "/predict", **r})
                        for r in requests]  # fmt: skip
                answers = await asyncio.gather(*work)
            await state.close()
            return answers

        return run(go())

    return ask


@pytest.fixture(scope="module")
def rows(trained):
    """The sample's new rows as column → cell or content, and what `mmkeras predict` answers."""
    new = trained.folder / "new.csv"
    cells = read(new).to_dict("records")
    files = [column for column in ("image", "audio") if column in cells[0]]
    found = []
    for row in cells:
        row = {name: cell for name, cell in row.items() if name in trained.settings["columns"]
               .values() or name in [*trained.settings["numbers"],
                                     *trained.settings["categories"]]}  # fmt: skip
        for name in files:
            row[name] = (trained.folder / row[name]).read_bytes() if row[name] else b""
        found.append(row)
    out = trained.folder / "served.csv"
    assert call("predict", trained.run, new, "--out", out, "--force", "--no-cache")[0] == 0
    return found, read(out)


def as_json(row):
    coded = {name: base64.b64encode(cell).decode() if isinstance(cell, bytes) else cell
             for name, cell in row.items()}  # fmt: skip
    return {name: cell for name, cell in coded.items() if cell}


def as_form(row, at=None):
    place = "" if at is None else f"[{at}]"
    return {
        f"{name}{place}": ("a", cell) if isinstance(cell, bytes) else (None, cell)
        for name, cell in row.items()
        if cell
    }


def same(told, csv, i):
    """Whether an answer is that of the command in row i."""
    names = [name for name in csv.columns if name.startswith("probability_")]
    wanted = {name.removeprefix("probability_"): float(csv[name][i]) for name in names}
    assert told["probabilities"] == pytest.approx(wanted, abs=2e-6)
    assert told["prediction"] == csv["prediction"][i]


# ---- answers --------------------------------------------------------------------------------


def test_forms_and_json_answer_as_the_command_does(service, rows):
    given, csv = rows
    many = {"json": {"rows": [as_json(row) for row in given]}}
    form = {"files": {k: v for i, row in enumerate(given) for k, v in as_form(row, i).items()}}
    ones = [{"json": as_json(row)} for row in given] + [{"files": as_form(row)} for row in given]
    first, second, *rest = service(many, form, *ones)
    for answer in (first, second):
        told = answer.json()["predictions"]
        assert answer.status_code == 200 and [one["row"] for one in told] == [*range(1, 10)]
        for i, one in enumerate(told):
            same(one, csv, i)
    for i, answer in enumerate(rest):
        same(answer.json()["predictions"][0], csv, i % len(given))


def test_what_is_absent_is_said(service, rows):
    (answer,) = service({"json": {"text": "Umbrella, and still wet shoes."}})
    (told,) = answer.json()["predictions"]
    assert told["absent"] == ["image", "audio", "numbers"]
    assert sum(told["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def odd_files(folder):
    """Pictures and sounds as people have them: other modes, formats, rates and turns."""
    import soundfile

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (37, 61, 3), np.uint8)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=exif)
    picture.convert("P").save(folder / "a.gif")
    picture.convert("LA").save(folder / "a.png")
    picture.convert("CMYK").save(folder / "a.tiff")
    picture.save(folder / "a.webp")
    Image.fromarray((rng.random((40, 30)) * 65535).astype(np.uint16)).save(folder / "16.png")
    wave = rng.normal(0, 0.1, (20_000, 2)).clip(-1, 1)
    soundfile.write(folder / "a.flac", wave, 44_100)
    soundfile.write(folder / "a.ogg", wave, 22_050)
    soundfile.write(folder / "a.mp3", wave, 32_000)
    soundfile.write(folder / "short.wav", wave[:5], 8_000)
    soundfile.write(folder / "u.wav", wave, 11_025, subtype="ULAW")
    lying = (folder / "u.wav").read_bytes()
    (folder / "lying.wav").write_bytes(lying[:4] + b"\xff\xff\xff\xff" + lying[8:])
    names = sorted(path.name for path in folder.iterdir())
    return [n for n in names if n[-3:] in ("jpg", "gif", "png", "iff", "ebp")], [
        n for n in names if n[-3:] in ("lac", "ogg", "mp3", "wav")
    ]


def test_odd_files_become_the_arrays_of_load_table(engine, trained, tmp_path):
    from mmkeras.table import load_table

    settings = trained.settings["table"]
    pictures, sounds = odd_files(tmp_path)
    texts = ["CAFE\u0301 \u200bnaïve red/green 12.50", "它很好", " ", "don't\u00a0go"]
    cells = [[texts[i % 4], pictures[i % len(pictures)], sounds[i % len(sounds)], value, place]
             for i, (value, place) in enumerate(zip(
                 ["-2.6", "", "1e1", "\u22123", "+4", "0.5", "NA", "7"],
                 ["summit", "harbour ", "", "elsewhere", "sum\u200bmit", "", "summit", "valley"],
                 strict=True))]  # fmt: skip
    header = ["text", "image", "audio", "degrees", "station"]
    csv = change(trained.folder / "new.csv", lambda r: r.__setitem__(slice(None), [header, *cells]),
                 tmp_path / "odd.csv")  # fmt: skip
    (batch,) = load_table(csv, label=None, cache=False, **settings).dataset("all")
    for i, cell in enumerate(cells):
        row = dict(zip(header, cell, strict=True))
        for name in ("image", "audio"):
            row[name] = (tmp_path / row[name]).read_bytes()
        x, problems = engine.reader.read(row)
        assert problems == []
        for name in ("image", "audio", "numbers", "present"):
            np.testing.assert_array_equal(x[name], batch[name][i], err_msg=f"{name} of {cell}")
        ids = engine.reader.vectorizer(stacked([x], 1)["text"])
        np.testing.assert_array_equal(ids[0], batch["text"][i])


def test_padding_changes_no_answer(engine, rows):
    read_rows = [engine.reader.read(row)[0] for row in rows[0]]
    whole = engine.answer(read_rows)
    ones = np.concatenate([engine.answer([x]) for x in read_rows])
    np.testing.assert_allclose(whole, ones, atol=1e-6)
    np.testing.assert_allclose(whole.sum(axis=1), 1)


def test_explain_gives_the_shares_that_the_command_gives(service, rows, trained, engine):
    from mmkeras.table import load_table
    from mmkeras.table.explained import Explainer
    from mmkeras.table.run import load

    given, _ = rows
    (answer,) = service({"url": "/explain", "json": {"rows": [as_json(row) for row in given[:3]]}})
    settings = trained.settings["table"]
    table = load_table(trained.folder / "new.csv", label=None, cache=False, **settings)
    explain = Explainer(load(trained.run)[0], table, engine.classes, permutations=1)
    for place, told in enumerate(answer.json()["predictions"]):
        wanted = explain(place, dict.fromkeys(settings, ""), None)
        shares = {name: share for name, share in wanted.shares.items() if share is not None}
        assert told["log_odds"]["shares"] == pytest.approx(shares, abs=2e-3)
        assert told["log_odds"]["all"] == pytest.approx(wanted.odds, abs=2e-3)
        assert told["prediction"] == engine.classes[wanted.chosen]
        parts = told["log_odds"]
        assert sum(parts["shares"].values()) == pytest.approx(parts["all"] - parts["nothing"], 1e-3)
    (many,) = service({"url": "/explain", "json": {"rows": [{"text": "a"}] * 9}})
    assert many.status_code == 413 and "8 allowed" in many.json()["error"]


# ---- rows with problems ---------------------------------------------------------------------


def png(width, height, mode="RGB"):
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, "PNG")
    return stream.getvalue()


BAD = {
    "an unknown column": ({"txt": "x"}, "txt", "did you mean 'text'?"),
    "nothing": ({"text": " "}, "", "are all blank"),
    "not a picture": ({"image": b"GIF89a, or so"}, "image", "not a PNG, JPEG"),
    "another file": ({"image": b"%PDF-1.4"}, "image", "a PDF"),
    "a bomb": ({"image": png(5000, 5000, "1")}, "image", "more than 10,000,000"),
    "not a sound": ({"audio": b"RIFF....WAVE"}, "audio", "unreadable recording"),
    "cut short": ({"audio": b"fLaC"}, "audio", "unreadable recording"),
    "not a number": ({"degrees": "warm"}, "degrees", "is not a number"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_row_with_a_problem_is_refused_by_name(service, name):
    row, column, reason = BAD[name]
    form, coded = service({"files": as_form(row)}, {"json": as_json(row) or {"text": ""}})
    for answer in (form, coded):
        (problem,) = answer.json()["problems"]
        assert answer.status_code == 422 and problem["row"] == 1
        assert problem["column"] == column and reason in problem["reason"], problem


def test_the_other_rows_are_answered_on_request(service):
    body = {"rows": [{"text": "rain"}, {"degrees": "warm"}, {"text": "sun"}]}
    strict, lenient = service({"json": body}, {"json": body, "params": {"skip_bad_rows": "true"}})
    assert strict.status_code == 422 and strict.json()["problems"][0]["row"] == 2
    told = lenient.json()["predictions"]
    assert ["prediction" in one for one in told] == [True, False, True]
    assert told[1]["problems"][0]["column"] == "degrees"


def test_many_problems_are_counted_and_some_listed(service):
    (answer,) = service({"json": {"rows": [{"degrees": "warm"}] * 64}})
    told = answer.json()
    assert told["error"].startswith("64 problems") and len(told["problems"]) == 20


# ---- bodies ---------------------------------------------------------------------------------

KINDS = {"text": "text", "image": "image", "degrees": "number"}
FORM = "multipart/form-data; boundary=xx"


def part(name, value, more=b""):
    head = b'--xx\r\nContent-Disposition: form-data; name="' + name + b'"' + more
    return head + b"\r\n\r\n" + value + b"\r\n"


@pytest.mark.parametrize(
    "kind, body, status, reason",
    [
        ("text/plain", b"x", 415, "application/json or multipart/form-data"),
        ("", b"x", 415, "got none"),
        ("application/json", b"\xff", 400, "not JSON in UTF-8"),
        ("application/json", b"{", 400, "not JSON"),
        ("application/json", b"[" * 100_000, 400, "JSON"),
        ("application/json", b'{"degrees": 1' + b"0" * 10_000 + b"}", 400, "not JSON"),
        ("application/json", b"[1]", 400, "row 1 must be an object"),
        ("application/json", b'{"rows": []}', 400, "object of columns"),
        ("application/json", b'{"rows": [{"text": ["a"]}]}', 400, "row 1, column 'text'"),
        ("application/json", b'{"degrees": true}', 400, "got bool"),
        ("application/json", b'{"image": 5}', 400, "in base64"),
        ("application/json", b'{"image": "@@"}', 400, "not in base64"),
        ("application/json", b'{"image": "\\u00e9"}', 400, "not in base64"),
        ("application/json", b'{"text": "\\ud800"}', 400, "half a character"),
        ("application/json", b'{"rows": [{}, {}, {}, {}]}', 413, "4 rows, more than the 3"),
        ("multipart/form-data", b"x", 400, "boundary"),
        (FORM, b"", 400, "malformed"),
        (FORM, part(b"text", b"a"), 400, "ends before its last boundary"),
        (FORM, b"--xx--\r\n", 400, "form"),
        (FORM, part(b"text", b"\xff") + b"--xx--", 400, "not text in UTF-8"),
        (FORM, part(b"text", b"a") * 2 + b"--xx--", 400, "two parts 'text'"),
        (FORM, part(b"text[0]", b"a") + part(b"text[2]", b"a") + b"--xx--", 400, "without a gap"),
        (FORM, b"".join(part(b"text[%d]" % i, b"a") for i in range(4)) + b"--xx--", 413, "4 rows"),
        (FORM, b"--xx\r\nX: y\r\n\r\na\r\n--xx--", 400, "no name"),
    ],
)  # fmt: skip
def test_malformed_bodies_are_refused_with_a_reason(kind, body, status, reason):
    with pytest.raises(bodies.BadBody, match=reason) as caught:
        bodies.rows_of(body, kind, KINDS, most=3)
    assert caught.value.status == status


def test_a_body_becomes_rows_of_text_and_bytes():
    data = "data:image/png;base64,aGk="
    body = json.dumps({"rows": [{"text": "a", "image": data, "degrees": -1.5}, {"text": None}]})
    found = bodies.rows_of(body.encode(), "application/json; charset=utf-8", KINDS, 3)
    assert found == [{"text": "a", "image": b"hi", "degrees": "-1.5"}, {"text": ""}]
    file = part(b"image", b"a\r\n--x\r\nb", b'; filename="\xc3\xa9.png"')
    form = file + part(b"text", "ü".encode()) + b"--xx--\r\n"
    assert bodies.rows_of(form, FORM, KINDS, 3) == [{"image": b"a\r\n--x\r\nb", "text": "ü"}]


# ---- the gate -------------------------------------------------------------------------------


def test_a_key_is_asked_for_and_compared(service, tmp_path):
    file = tmp_path / "keys"
    file.write_text("# ours\nann: 0123456789abcdef\n\nfedcba9876543210\n", "utf-8")
    keys = gate.read_keys(file)
    assert [*keys] == ["ann", "key 4"]
    ask = {"json": {"text": "rain"}}
    heads = [{}, {"X-API-Key": "0123456789abcdeF"}, {"X-API-Key": "0123456789abcdef"},
             {"Authorization": "Bearer fedcba9876543210"},
             {"X-API-Key": "\u00e9" * 20}]  # fmt: skip
    heads = [{k: v.encode("latin-1") for k, v in head.items()} for head in heads]
    found = service(*({**ask, "headers": head} for head in heads), keys=keys)
    assert [answer.status_code for answer in found] == [401, 401, 200, 200, 401]
    assert found[0].headers["www-authenticate"] == "Bearer"
    pages = [{"method": "GET", "url": url} for url in ("/", "/health", "/ready", "/about", "/docs")]
    assert [a.status_code for a in service(*pages, keys=keys)] == [200, 200, 200, 401, 401]


@pytest.mark.parametrize(
    "text, reason",
    [("", "holds no key"), ("short", "16 or more"), ("a: 0123456789abcde f", "no spaces"),
     ("a: 0123456789abcdef\na: 0123456789abcdeg", "occurs twice")],
)  # fmt: skip
def test_a_file_of_keys_with_a_problem_is_refused(tmp_path, text, reason):
    (tmp_path / "keys").write_text(text, "utf-8")
    with pytest.raises(RunError, match=reason):
        gate.read_keys(tmp_path / "keys")
    with pytest.raises(RunError, match="cannot be read"):
        gate.read_keys(tmp_path / "gone")


def test_the_rate_is_a_bucket_per_client():
    rate = gate.Rate(2.0)
    assert [rate.wait("a", 0.0) for _ in range(3)] == [0, 0, pytest.approx(0.5)]
    assert rate.wait("b", 0.0) == 0
    assert rate.wait("a", 0.5) == 0 and rate.wait("a", 0.5) > 0
    assert [rate.wait("a", 100.0) for _ in range(3)] == [0, 0, pytest.approx(0.5)]


def test_too_many_requests_are_told_when_to_go_on(service):
    asked = [{"json": {"text": "rain"}}] * 3
    found = service(*asked, rate=gate.Rate(0.5))
    assert sorted(answer.status_code for answer in found) == [200, 429, 429]
    assert {a.headers.get("retry-after") for a in found if a.status_code == 429} == {"2"}


def test_a_large_body_is_refused_whether_or_not_it_says_so(service):
    async def in_parts():
        for _ in range(100):
            yield b"x" * 1000

    limits = Limits(max_body=10_000)
    said, unsaid = service({"content": b"x" * 10_001}, {"content": in_parts()}, limits=limits)
    assert said.status_code == unsaid.status_code == 413
    assert "10,000 bytes" in said.json()["error"]


def test_a_slow_body_and_a_slow_model_are_given_up(service, engine, monkeypatch):
    async def slowly():
        yield b"{"
        await asyncio.sleep(1)
        yield b"}"

    limits = Limits(timeout=0.2)
    (answer,) = service({"content": slowly()}, limits=limits)
    assert answer.status_code == 408
    monkeypatch.setattr(engine, "answer", lambda rows: time.sleep(0.6) or np.eye(3)[:1])
    (answer,) = service({"json": {"text": "rain"}}, limits=limits)
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"


def test_what_finds_no_room_may_come_again_and_what_never_fits_may_not(
    service, engine, monkeypatch
):
    true = engine.answer
    monkeypatch.setattr(engine, "answer", lambda rows: time.sleep(0.3) or true(rows))
    limits = Limits(queue=2)
    found = service(*[{"json": {"text": "rain"}}] * 8, limits=limits)
    full = [answer for answer in found if answer.status_code == 503]
    assert full and {answer.headers["retry-after"] for answer in full} == {"1"}
    assert {answer.status_code for answer in found} == {200, 503}
    (answer,) = service({"json": {"rows": [{"text": "rain"}] * 3}}, limits=limits)
    assert answer.status_code == 413 and "retry-after" not in answer.headers
    assert "3 rows; at most 2 can wait" in answer.json()["error"]


def test_a_fault_of_the_server_tells_nothing(service, engine, monkeypatch, caplog):
    def fail(rows):
        raise ValueError(f"cannot take {SECRET}")

    monkeypatch.setattr(engine, "answer", fail)
    with caplog.at_level(logging.DEBUG, "mmkeras.serve"):
        (answer,) = service({"json": {"text": SECRET}})
    assert answer.status_code == 500 and SECRET not in answer.text
    assert "ValueError" in caplog.text and SECRET not in caplog.text


def test_the_log_holds_no_content_and_no_path_that_a_client_made_up(service, caplog):
    with caplog.at_level(logging.DEBUG, "mmkeras.serve"):
        found = service(
            {"json": {"text": SECRET}},
            {"json": {SECRET: "x"}},
            {"files": {"image": (SECRET, b"x")}},
            {"method": "GET", "url": f"/{SECRET}?{SECRET}"},
            {"json": {"text": "x"}, "headers": {"X-API-Key": SECRET, "User-Agent": SECRET}},
        )
    assert [a.status_code for a in found] == [200, 422, 422, 404, 200]
    assert SECRET not in caplog.text
    lines = [json.loads(record.message) for record in caplog.records]
    assert {line["path"] for line in lines} == {"/predict", "(unknown)"}
    assert {a.headers["x-request-id"] for a in found} == {line["request"] for line in lines}


def test_no_answer_names_a_path_of_the_server(service, trained):
    asked = [{"method": "GET", "url": u} for u in ("/about", "/docs", "/openapi.json", "/metrics")]
    for answer in service(*asked, {"files": as_form({"image": b"x"})}):
        assert str(trained.folder.parent) not in answer.text and "data.csv" not in answer.text


# ---- the queue ------------------------------------------------------------------------------


def test_batches_grow_while_the_model_works():
    sizes = []

    def slow(rows):
        time.sleep(0.05)
        return np.array(rows)

    async def go():
        batcher = Batcher(slow, most=8, waiting=100, seen=lambda n, s: sizes.append(n))
        found = await asyncio.gather(*(batcher.answer([i, -i]) for i in range(10)))
        await batcher.close()
        return found

    assert [one.tolist() for one in run(go())] == [[i, -i] for i in range(10)]
    assert sum(sizes) == 20 and max(sizes) == 8 and len(sizes) <= 4


def test_a_full_queue_refuses_and_then_goes_on():
    async def go():
        batcher = Batcher(lambda rows: time.sleep(0.05) or np.array(rows), most=2, waiting=3)
        first = asyncio.create_task(batcher.answer([1, 2]))
        await asyncio.sleep(0.02)  # these two are with the model
        second = asyncio.create_task(batcher.answer([3, 4]))
        await asyncio.sleep(0)
        with pytest.raises(Full, match="2 rows are waiting; at most 3 may"):
            await batcher.answer([5, 6])
        third = await batcher.answer([7])
        found = [*(await first), *(await second), *third]
        await batcher.close()
        return found

    assert run(go()) == [1, 2, 3, 4, 7]


def test_a_client_that_left_costs_no_answer_and_a_fault_only_its_batch():
    seen = []

    def answer(rows):
        seen.extend(rows)
        if "bad" in rows:
            raise ValueError("bad row")
        time.sleep(0.05)
        return np.arange(len(rows))

    async def go():
        batcher = Batcher(answer, most=1, waiting=10)
        first = asyncio.create_task(batcher.answer(["a"]))
        await asyncio.sleep(0.01)
        gone = asyncio.create_task(batcher.answer(["gone"]))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(ValueError, match="bad row"):
            await batcher.answer(["bad"])
        await batcher.answer(["b"])
        await first
        await batcher.close()

    run(go())
    assert seen == ["a", "bad", "b"]


def test_rows_whose_client_has_closed_its_connection_are_not_computed():
    """Through a real server: the tests above cancel by themselves, which no client can do."""
    computed, free, statuses = [], threading.Event(), []

    def answer(rows):
        computed.extend(rows)
        free.wait(60)
        return np.array(rows)

    batcher = Batcher(answer, most=1, waiting=3)

    async def app(scope, receive, send):
        body = (await receive())["body"]
        await batcher.answer([int(body)])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def until(true):
        async with asyncio.timeout(60):
            while not true():
                await asyncio.sleep(0.01)

    async def ask(port, row):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(row)}"
        writer.write(f"{head}\r\n\r\n{row}".encode())
        await writer.drain()
        return reader, writer

    async def go():
        watched = gate.Gate(app, keys={}, rate=None, max_body=100, timeout=60,
                            seen=lambda path, status, seconds: statuses.append(status))  # fmt: skip
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(watched, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        port = listening.getsockname()[1]
        patient = await ask(port, "1")
        await until(lambda: computed)
        leaving = [await ask(port, row) for row in "23"]
        await until(lambda: len(batcher) == 2)
        for _, writer in leaving:
            writer.close()
        await until(lambda: len(statuses) == 2)
        assert len(batcher) == 0, "they still take room in the queue"
        last = await ask(port, "4")
        await until(lambda: len(batcher) == 1)
        free.set()
        said = [(await reader.read()).split()[1] for reader, _ in (patient, last)]
        server.should_exit = True
        await serving
        await batcher.close()
        return said

    assert run(go()) == [b"200", b"200"]
    assert computed == [1, 4] and sorted(statuses) == [200, 200, 499, 499]


# ---- the run --------------------------------------------------------------------------------


def test_it_says_that_it_is_loading_and_then_loads(trained):
    async def go():
        app = make_app(trained.run, limits=LIMITS)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            early = [await client.get(url) for url in ("/health", "/ready", "/about", "/docs")]
            early.append(await client.post("/predict", json={"text": "rain"}))
            await app.app.state.service.load()
            late = [await client.get("/ready"), await client.post("/predict", json={"text": "r"})]
        await app.app.state.service.close()
        return [a.status_code for a in early], [a.status_code for a in late], early[-1].headers

    early, late, headers = run(go())
    assert early == [200, 503, 503, 503, 503] and late == [200, 200]
    assert headers["retry-after"] == "2"


def test_a_run_is_exchanged_without_losing_a_request(service, trained):
    changes = []

    async def reload(state, client):
        before = state.loaded

        async def ask():
            while state.loaded is before:
                answer = await client.post("/predict", json={"text": "rain"})
                changes.append(answer.status_code)

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        await state.load()
        await asyncio.gather(*asking)
        changes.append(state.loaded is not before)

    (answer,) = service({"json": {"text": "rain"}}, during=reload)
    assert answer.status_code == 200 and changes.pop() is True
    assert len(changes) >= 4 and set(changes) == {200}


def test_a_request_that_is_being_read_survives_a_reload(service, engine, monkeypatch):
    """The old model answers it, although nothing waited when the new one took over."""
    reading, go_on = threading.Event(), threading.Event()
    read = engine.reader.read

    def slowly(row, at=1):
        reading.set()
        assert go_on.wait(60)
        return read(row, at)

    monkeypatch.setattr(engine.reader, "read", slowly)

    async def reload(state, client):
        asking = asyncio.create_task(client.post("/predict", json={"text": "rain"}))
        await asyncio.to_thread(reading.wait, 60)
        monkeypatch.setattr(state, "_load", lambda: Loaded(engine, LIMITS, state.counts))
        await state.load()
        go_on.set()
        found.append(await asking)

    found = []
    service(during=reload)
    assert found[0].status_code == 200


def test_a_damaged_run_leaves_the_old_one_or_ends_the_service(service, trained, tmp_path):
    async def spoil(state, client):
        state.folder = tmp_path
        await state.load()

    (answer,) = service({"json": {"text": "rain"}}, during=spoil)
    assert answer.status_code == 200
    told = []

    async def go():
        app = make_app(tmp_path, limits=LIMITS, failed=told.append)
        await app.app.state.service.load()

    run(go())
    assert len(told) == 1 and "not a run" in told[0]


def test_it_describes_itself(service, trained):
    about, openapi, docs, page, script, metrics = service(
        *({"method": "GET", "url": url}
          for url in ("/about", "/openapi.json", "/docs", "/", "/page.js", "/metrics"))
    )  # fmt: skip
    assert about.json()["classes"] == trained.settings["classes"]
    assert about.json()["columns"] == {"text": "text", "image": "image", "audio": "audio",
                                       "degrees": "number", "station": "category"}  # fmt: skip
    row = openapi.json()["components"]["schemas"]["Row"]["properties"]
    sent = openapi.json()["paths"]["/predict"]["post"]["requestBody"]["content"]
    kinds = {
        name: told["contentType"] for name, told in sent["multipart/form-data"]["encoding"].items()
    }
    assert kinds == {"image": "image/*", "audio": "audio/*"}
    assert [*row] == [*about.json()["columns"]] and openapi.json()["openapi"] == "3.1.0"
    assert "curl -F" in docs.text and "station" in docs.text
    for answer in (docs, page, script):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "http://" not in answer.text.replace("http://test/", "")
        assert "https://" not in answer.text
    assert "mmkeras_batch_rows" in metrics.text


def test_a_hostile_name_of_a_column_is_escaped():
    from mmkeras.serve import describe

    hostile = "<script>alert(1)</script>'\"; rm -rf"
    about = {"mmkeras": "1", "columns": {hostile: "text"}, "classes": ["a"], "limits": {"rows": 3}}
    page = describe.page(about, "http://x/")
    assert "<script>alert" not in page and "&lt;script&gt;" in page
    assert describe.openapi(about)["components"]["schemas"]["Row"]["properties"][hostile]


def test_counts_of_unknown_paths_are_one():
    counts = Counts()
    for path in ("/predict", "/a", "/b"):
        counts.request(path, 404, 0.1)
    text = counts.text().decode()
    assert 'requests_total{path="(unknown)",status="404"} 2.0' in text and "/a" not in text


# ---- the command ----------------------------------------------------------------------------


def test_wrong_usage_is_told_in_the_flags_of_the_command(trained, tmp_path):
    status, _, err = call("serve", trained.run, "--host", "0.0.0.0")
    assert status == 2 and "--key-file" in err and "--without-key" in err
    status, _, err = call("serve", tmp_path)
    assert status == 1 and "not a run of mmkeras train" in err
    status, _, err = call("serve", trained.run, "--key-file", tmp_path / "gone")
    assert status == 1 and "gone" in err
    status, _, err = call("serve", trained.run, "--max-body", "much")
    assert status == 2 and "--max-body" in err
    status, _, err = call("serve", trained.run, "--host", "256.1.1.1", "--without-key")
    assert status == 1 and "--host and --port" in err


def test_a_reader_of_text_alone_takes_pieces(tmp_path):
    settings = {
        "table": {
            "text": "note", "image": None, "audio": None, "numbers": None, "words": 8,
            "tokens": "wordpiece", "ngrams": 1, "image_size": [8, 8], "audio_rate": 8000,
            "audio_seconds": 1.0,
            "vocabulary": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "rain", "##y"],
        }
    }  # fmt: skip
    reader = Reader(settings, **SIZES)
    x, problems = reader.read({"note": "Rainy"})
    assert problems == [] and x["text"].tolist()[:4] == [2, 4, 5, 3] and x["present"] == [1]
    blank, problems = reader.read({"note": ""})
    assert problems[0]["reason"] == "is blank: 'note'" and not blank["text"].any()
