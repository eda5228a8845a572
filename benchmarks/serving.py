"""How fast `mmkeras serve` answers, and what broken requests do to it.

    python benchmarks/serving.py [--seconds 8] [--fuzz 10000] [--restart 2000]

A run of the rendered sample is trained and served on one core, the load is made on another one. A
request is a form of a text, a PNG and a WAV, 28 kB. All rows are of one
run of this script. Linux only (taskset, /proc).
"""

import argparse
import asyncio
import contextlib
import csv
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("what", "connections", "requests_per_second", "p50_ms", "p99_ms", "cpu_ms", "answers")


# ---- the service ----------------------------------------------------------------------------


class Server:
    """`mmkeras serve` in a process of its own, on one core."""

    def __init__(self, run: Path, log: Path, core: int, *options: str, port: int = 0) -> None:
        self.log = log
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), sys.executable, "-m", "mmkeras", "serve", str(run),
                 f"--port={port}", "--no-log", *options],
                stdout=file, stderr=file,
            )  # fmt: skip
        self.begun = time.perf_counter()
        self.port = int(self._find(r"http://127.0.0.1:(\d+)"))
        self._find('"event": "ready"')
        self.ready = time.perf_counter() - self.begun

    def _find(self, pattern: str) -> str:
        while not (found := re.search(pattern, self.log.read_text("utf-8"))):
            if self.process.poll() is not None:
                sys.exit(self.log.read_text("utf-8"))
            time.sleep(0.05)
        return found[1] if found.groups() else found[0]

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


# ---- requests -------------------------------------------------------------------------------


def form(**parts: bytes) -> tuple[bytes, str]:
    """A form as browsers send it, and its type."""
    body = b""
    for name, value in parts.items():
        file = '; filename="x"' if name in ("image", "audio") else ""
        head = f'--x9x9\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        body += head.encode() + value + b"\r\n"
    return body + b"--x9x9--\r\n", "multipart/form-data; boundary=x9x9"


def request(body: bytes, kind: str, path: str = "/predict", method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection goes on."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])
    return int(head[9:12]), await reader.readexactly(length), b"connection: close" not in head


async def load(port: int, sent: bytes, connections: int, seconds: float) -> list[tuple[int, float]]:
    """Status and seconds of each request of `connections` clients that ask without a pause."""
    found: list[tuple[int, float]] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (begun := time.perf_counter()) < end:
            writer.write(sent)
            status, _, _ = await answer_of(reader)
            found.append((status, time.perf_counter() - begun))
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return found


def measure(server: Server, what: str, sent: bytes, connections: int, seconds: float) -> dict:
    asyncio.run(load(server.port, sent, connections, 2.0))  # warm
    cpu, begun = server.cpu(), time.perf_counter()
    found = asyncio.run(load(server.port, sent, connections, seconds))
    took, cpu = time.perf_counter() - begun, server.cpu() - cpu
    times = np.array([t for _, t in found]) * 1000
    statuses = {status: sum(s == status for s, _ in found) for status in {s for s, _ in found}}
    return {
        "what": what,
        "connections": connections,
        "requests_per_second": round(len(found) / took, 1),
        "p50_ms": round(float(np.percentile(times, 50)), 1),
        "p99_ms": round(float(np.percentile(times, 99)), 1),
        "cpu_ms": round(1000 * cpu / len(found), 2),
        "answers": " ".join(f"{n}×{status}" for status, n in sorted(statuses.items())),
    }


# ---- what broken clients send ---------------------------------------------------------------


def broken(rng: random.Random, good: dict[str, bytes]) -> bytes:
    """A request with something wrong: the files, the form, the JSON, the head or the path."""
    parts = dict(good)
    kind = rng.randrange(8)
    if kind < 3:  # a file with some bytes changed, cut off, or doubled
        name = rng.choice(["image", "audio", "text"])
        data = bytearray(parts[name])
        for _ in range(rng.randrange(1, 30)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        parts[name] = bytes(data[: rng.randrange(1, len(data))] if kind == 2 else data)
    elif kind == 3:
        parts = {rng.choice(["image", "audio", "degrees", "x", "text[3]"]): rng.randbytes(50)}
    body, type_ = form(**parts)
    if kind == 4:  # the form itself
        at = rng.randrange(len(body))
        body = body[:at] + rng.randbytes(rng.randrange(9)) + body[at + rng.randrange(200) :]
    elif kind == 5:
        type_ = "application/json"
        words = [b'{"text": "', b"null", b"[", b"{", b'"rows":', b"1e999", b'"\\ud800"', b"}", b"]",
                 b'"image": "aGk="', b",", rng.randbytes(3)]  # fmt: skip
        body = b"".join(rng.choice(words) for _ in range(rng.randrange(1, 20)))
    elif kind == 6:
        type_ = rng.choice(
            [
                "",
                "text/html",
                "multipart/form-data",
                "multipart/form-data; boundary=",
                "application/json; charset=x",
                "multipart/form-data; boundary=\xe9",
            ]
        )
    elif kind == 7:
        path = rng.choice(
            ["/", "/../etc/passwd", "/predict?skip_bad_rows=%ff", "/predict/", "/%00"]
        )
        return request(body, type_, path, rng.choice(["GET", "POST", "PUT", "DELETE", "TRACE"]))
    return request(body, type_)


async def fuzz(port: int, good: dict[str, bytes], count: int, clients: int = 8) -> dict[int, int]:
    """Status → number of answers to broken requests; 0 stands for a closed connection."""
    found: dict[int, int] = {}

    async def client(number: int) -> None:
        rng, reader, writer = random.Random(number), None, None
        for _ in range(count // clients):
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(broken(rng, good))
            try:
                status, _, goes_on = await asyncio.wait_for(answer_of(reader), 60)
            except (asyncio.IncompleteReadError, ConnectionError):
                status, goes_on = 0, False
            found[status] = found.get(status, 0) + 1
            if not goes_on:
                writer.close()
                writer = None

    await asyncio.gather(*(client(i) for i in range(clients)))
    return found


async def persistent(port: int, sent: bytes, count: int, clients: int = 8) -> tuple[set, int]:
    """The different answers to `count` requests of clients that ask again until they get one."""
    answers, again, left = set(), 0, count

    async def once() -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(sent)
                status, body, _ = await asyncio.wait_for(answer_of(reader), 60)
            finally:
                writer.close()
        except (OSError, asyncio.IncompleteReadError):
            return False
        if status == 503:
            return False
        answers.add((status, re.sub(rb'"request":"\w+",', b"", body)))
        return True

    async def client() -> None:
        nonlocal again, left
        while left > 0:
            left -= 1
            while not await once():
                again += 1
                await asyncio.sleep(0.05)

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers, again


async def restarted(run: Path, folder: Path, first: Server, sent: bytes, count: int) -> str:
    asking = asyncio.create_task(persistent(first.port, sent, count))
    await asyncio.sleep(2)
    status = await asyncio.to_thread(first.stop)
    second = await asyncio.to_thread(Server, run, folder / "again.log", 0, port=first.port)
    answers, again = await asking
    second.stop()
    return (f"{count} requests while it was stopped (status {status}) and started: "
            f"{len(answers)} different answer, {again} tries without one")  # fmt: skip


# ---- the script -----------------------------------------------------------------------------


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--seconds", type=float, default=8.0)
    p.add_argument("--fuzz", type=int, default=10_000)
    p.add_argument("--restart", type=int, default=2000)
    options = p.parse_args()
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        _measure(Path(name), options)


def _train(folder: Path) -> tuple[Path, dict[str, bytes]]:
    """A run of three modalities, and a row of 28 kB."""
    from mmkeras.__main__ import main as mmkeras

    mmkeras(["sample", "weather"])
    mmkeras(["train", "weather/data.csv", "--label", "label", "--encoders", "scratch", "--epochs",
             "3", "--ignore", "degrees", "--ignore", "station", "--no-cache"])  # fmt: skip
    image = max((folder / "weather/pictures").glob("*.png"), key=lambda f: f.stat().st_size)
    audio = next((folder / "weather/sounds").glob("*.wav"))
    row = {"text": b"Umbrella, and still wet shoes.", "image": image.read_bytes(),
           "audio": audio.read_bytes()}  # fmt: skip
    return folder / "weather/run", row


def _measure(folder: Path, options: argparse.Namespace) -> None:
    run, row = _train(folder)
    whole, text = request(*form(**row)), request(*form(text=row["text"]))
    server = Server(run, folder / "log", 0)
    rows = [
        measure(server, what, sent, connections, options.seconds)
        for what, sent in (("text", text), ("text, picture, sound", whole))
        for connections in (1, 16)
    ]
    print(f"ready after {server.ready:.1f} s, {server.memory():.0f} MB; a request of "
          f"{len(whole):,} bytes")  # fmt: skip
    for one in [dict(zip(COLUMNS, COLUMNS, strict=True)), *rows]:
        print("  ".join(f"{one[name]!s:>20}" for name in COLUMNS))
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / "serving.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    if options.fuzz:
        asyncio.run(fuzz(server.port, row, options.fuzz // 10))
        before = server.memory()
        found = asyncio.run(fuzz(server.port, row, options.fuzz))
        print(f"{options.fuzz} broken requests: {dict(sorted(found.items()))}; memory "
              f"{before:.0f} → {server.memory():.0f} MB")  # fmt: skip
    if options.restart:
        print(asyncio.run(restarted(run, folder, server, text, options.restart)))
    else:
        server.stop()


if __name__ == "__main__":
    main()
