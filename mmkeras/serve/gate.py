"""What stands before every address: a key, a rate, limits of size and time, a log and counts.

The log and the counts hold no content: no cell, no file name, no answer. Derived in chapter 19 (the
bucket of tokens).
"""

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from ..table.command import RunError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

OPEN = ("/", "/health", "/ready")  # need no key: the page holds nothing of the data
PROBES = ("/health", "/ready", "/metrics")  # asked every few seconds; not in the log
GONE = 499  # in the log and the counts: the client closed the connection (as nginx calls it)
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")  # a client may send any word
log = logging.getLogger("mmkeras.serve")


def read_keys(path: Path) -> dict[str, bytes]:
    """Name → SHA-256 of the key, from a file with one key, or `name: key`, per line.

    Blank lines and lines that begin with # are ignored. A key without a name is called key 1, key
    2, … by its line.

    Raises:
        RunError: the file cannot be read, has no key, or a key is shorter than 16 characters.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"the keys in {path} cannot be read: {error}") from None
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, mark, key = line.partition(":")
        name, key = (name.strip(), key.strip()) if mark else (f"key {number}", line.strip())
        if len(key) < 16 or not key.isascii() or " " in key:
            raise RunError(f"{path}, line {number}: a key has 16 or more characters of ASCII, and "
                           "no spaces; make one with: openssl rand -hex 24")  # fmt: skip
        if name in keys:
            raise RunError(f"{path}, line {number}: the name {name!r} occurs twice")
        keys[name] = hashlib.sha256(key.encode()).digest()
    if not keys:
        raise RunError(f"{path} holds no key; write one per line, as in name: key")
    return keys


class Rate:
    """A bucket of tokens per client: `burst` requests at once, then `per_second` of them.

    A client that has been quiet until its bucket is full again is forgotten.
    """

    def __init__(self, per_second: float, burst: int | None = None) -> None:
        self.per_second = per_second
        self.burst = burst or max(1, round(per_second))
        self._left: dict[str, tuple[float, float]] = {}

    def wait(self, client: str, now: float) -> float:
        """0 if the client may go on, else the seconds until it may."""
        if len(self._left) > 10_000:
            full = self.burst / self.per_second
            self._left = {c: (n, t) for c, (n, t) in self._left.items() if now - t < full}
        left, then = self._left.get(client, (float(self.burst), now))
        left = min(self.burst, left + (now - then) * self.per_second)
        if left < 1:
            return (1 - left) / self.per_second
        self._left[client] = (left - 1, now)
        return 0.0


class Refusal(Exception):
    """A request that is not answered, with the status and the headers to say so."""

    def __init__(self, status: int, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.status, self.headers = status, dict(headers or {})


class Gate:
    """ASGI middleware around the whole application; see the head of this module.

    Args:
        app: the application.
        keys: as from `read_keys`; empty: no key is asked for.
        rate: of requests per key (per address without keys), or None.
        max_body: most bytes of a body, counted while it arrives.
        timeout: seconds in which the body must arrive and the answer be made.
        seen: is called with path, status and seconds of each request.
    """

    def __init__(
        self,
        app: Any,
        *,
        keys: Mapping[str, bytes],
        rate: Rate | None,
        max_body: int,
        timeout: float,
        seen: Callable[[str, int, float], None],
    ) -> None:
        self.app, self.keys, self.rate = app, keys, rate
        self.max_body, self.timeout, self.seen = max_body, timeout, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, request = time.perf_counter(), secrets.token_hex(8)
        scope["state"] = {**scope.get("state", {}), "id": request, "said": {}}
        status = 0

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *_headers(request)]
            await send(message)

        try:
            body = await self._admit(scope, receive)
            async with asyncio.timeout(self.timeout):
                await _while_there(self.app, scope, body, receive, answer)
        except Gone:
            status = status or GONE
        except Refusal as refusal:
            await _refuse(answer, request, refusal)
        except TimeoutError:
            if not status:
                late = f"no answer within {self.timeout:g} s"
                await _refuse(answer, request, Refusal(503, late, {"retry-after": "1"}))
        except Exception as error:
            log.error(_fault(request, error))
            if not status:
                await _refuse(answer, request, Refusal(500, "an error of the server"))
        seconds = time.perf_counter() - begun
        self.seen(scope.get("route_path", scope["path"]), status, seconds)
        level = logging.DEBUG if scope["path"] in PROBES else logging.INFO
        log.log(level, _line(scope, request, status, seconds))

    async def _admit(self, scope: Scope, receive: Receive) -> bytes:
        """The body, of a client that may send it."""
        headers = {name: value for name, value in scope["headers"]}
        client = (scope.get("client") or ("",))[0]
        if self.keys and scope["path"] not in OPEN:
            client = self._name(headers)
            scope["state"]["said"]["key"] = client
        limited = self.rate and scope["path"] not in OPEN
        if self.rate and limited and (wait := self.rate.wait(client, time.monotonic())):
            soon = {"retry-after": str(int(wait) + 1)}
            raise Refusal(429, f"more than {self.rate.per_second:g} requests per second", soon)
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and len(announced) < 20 and int(announced) > self.max_body:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.timeout):
                body = await self._read(receive)
        except TimeoutError:
            late = f"the body did not arrive within {self.timeout:g} s"
            raise Refusal(408, late, {"connection": "close"}) from None
        scope["state"]["said"]["bytes"] = len(body)
        return body

    def _name(self, headers: Mapping[bytes, bytes]) -> str:
        """The name of the key; all keys are compared, each in constant time."""
        given = headers.get(b"x-api-key", b"")
        if not given and headers.get(b"authorization", b"").lower().startswith(b"bearer "):
            given = headers[b"authorization"][7:].strip()
        digest = hashlib.sha256(given).digest()
        found = [name for name, key in self.keys.items() if hmac.compare_digest(key, digest)]
        if not found:
            what = "this key is not known" if given else "send a key in the header X-API-Key"
            raise Refusal(401, what, {"www-authenticate": "Bearer"})
        return found[0]

    async def _read(self, receive: Receive) -> bytes:
        parts, length = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "the client went away before its body was complete")
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            if length > self.max_body:
                raise self._too_large()
            if not message.get("more_body"):
                return b"".join(parts)

    def _too_large(self) -> Refusal:
        close = {"connection": "close"}  # the rest of the body is not read
        return Refusal(413, f"the body has more than {self.max_body:,} bytes", close)


class Gone(Exception):
    """The client has closed the connection before it was answered."""


async def _while_there(app: Any, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Run the application, and cancel it if the client goes away: nobody waits for its answer.

    The server tells that in its next message, which no application reads that only computes.

    Raises:
        Gone: the client went away.
    """
    gone, work = asyncio.Event(), asyncio.current_task()
    given = False

    async def replay() -> MutableMapping[str, Any]:
        """The body in one piece; afterwards, that the client has gone, when it has."""
        nonlocal given
        if given:
            await gone.wait()
            return {"type": "http.disconnect"}
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()
        if work:
            work.cancel()

    watching = asyncio.create_task(watch())
    try:
        await app(scope, replay, send)
    except asyncio.CancelledError:
        if work and gone.is_set() and not work.uncancel():
            raise Gone from None
        raise
    finally:
        watching.cancel()


def _headers(request: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-request-id", request.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
    ]


async def _refuse(send: Send, request: str, refusal: Refusal) -> None:
    body = json.dumps({"error": str(refusal), "request": request}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _fault(request: str, error: Exception) -> str:
    """One line about an error of the server: its type and where it arose, without its message,
    which may quote what was sent."""
    places = traceback.extract_tb(error.__traceback__)[-6:]
    where = [f"{Path(p.filename).name}:{p.lineno} {p.name}" for p in places]
    told = {"request": request, "event": "error", "type": type(error).__name__, "where": where}
    return json.dumps(told)


def _line(scope: Scope, request: str, status: int, seconds: float) -> str:
    """One line of JSON about a request; unknown paths, which a client chooses, are not written."""
    known = scope.get("route") is not None or scope["path"] in OPEN
    return json.dumps(
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "request": request,
            "method": scope["method"] if scope["method"] in METHODS else "(unknown)",
            "path": scope["path"] if known else "(unknown)",
            "status": status,
            "ms": round(1000 * seconds, 1),
            **scope["state"]["said"],
        }
    )
