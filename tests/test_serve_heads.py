"""Connections that send nothing, or a head that does not end, are closed; others are not."""

import asyncio
import contextlib
import socket

import pytest
import uvicorn

from mmkeras.serve.heads import patient

LIMIT = 0.5  # seconds for a head
LONG = 60  # seconds until something that should come is given up
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope, receive, send):
    await asyncio.sleep(2 * LIMIT if scope["path"] == "/slow" else 0)
    body = {"type": "http.response.body", "body": b"well"}
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
    await send(head)
    await send(body)


def bases():
    from uvicorn.protocols.http.h11_impl import H11Protocol

    yield pytest.param(H11Protocol, id="h11")
    with contextlib.suppress(ImportError):
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        yield pytest.param(HttpToolsProtocol, id="httptools")


@pytest.fixture(params=bases())
def talk(request):
    """`talk(client)`: what a client of a running server finds, called with a function that opens a
    connection."""

    def run(client, seconds=LIMIT):
        async def go():
            listening = socket.create_server(("127.0.0.1", 0))
            port = listening.getsockname()[1]
            config = uvicorn.Config(app, http=patient(seconds, request.param), log_config=None,
                                    lifespan="off", timeout_keep_alive=LONG)  # fmt: skip
            server = uvicorn.Server(config)
            server.install_signal_handlers = lambda: None
            running = asyncio.create_task(server.serve(sockets=[listening]))
            try:
                open_ = lambda: asyncio.open_connection("127.0.0.1", port)  # noqa: E731
                return await asyncio.wait_for(client(open_), LONG)
            finally:
                server.should_exit = True
                await running

        return asyncio.run(go())

    return run


async def letters(writer, head):
    """Send letter by letter, as long as the connection stands; return how many were sent."""
    for i in range(len(head)):
        try:
            writer.write(head[i : i + 1])
            await writer.drain()
        except ConnectionError:
            return i
        await asyncio.sleep(LIMIT / 5)
    return len(head)


@pytest.mark.parametrize("first", [b"", WHOLE], ids=["first request", "second request"])
def test_a_head_that_comes_letter_by_letter_ends_the_connection(talk, first):
    async def client(open_):
        reader, writer = await open_()
        if first:
            writer.write(first)
            await reader.readuntil(b"well")
        return await letters(writer, b"GET / HTTP/1.1\r\nX: " + b"a" * 500)

    assert 0 < talk(client) < 500


def test_a_connection_that_says_nothing_is_closed(talk):
    async def client(open_):
        reader, _ = await open_()
        return await reader.read()

    assert talk(client) == b""


def test_a_head_that_does_not_end_is_cut_off(talk):
    async def client(open_):
        _, writer = await open_()
        sent = 0
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\n")
            while sent < 100_000_000:
                writer.write(b"X: " + b"a" * 10_000 + b"\r\n")
                await writer.drain()
                sent += 10_005
        return sent

    assert talk(client, seconds=LONG) < 20_000_000


def test_others_are_left_in_peace(talk):
    """A slow answer, and a pause between two requests, are no slow head."""

    async def client(open_):
        reader, writer = await open_()
        writer.write(WHOLE.replace(b"/ ", b"/slow "))
        await reader.readuntil(b"well")
        await asyncio.sleep(2 * LIMIT)
        writer.write(WHOLE[:10])
        await asyncio.sleep(LIMIT / 5)
        writer.write(WHOLE[10:])
        await reader.readuntil(b"well")
        return True

    assert talk(client)
