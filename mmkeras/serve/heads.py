"""Limits for the head of a request, which uvicorn lacks.

Derived in chapter 19 (what they are for).
"""

import asyncio
from typing import Any


def patient(seconds: float, base: Any = None, most: int = 64 * 1024) -> Any:
    """uvicorn's protocol of a connection, closed if the head of a request is late or too large.

    uvicorn closes a connection that is idle between two requests, and `Gate` limits the time of a
    body. A client that opens connections and sends nothing, or a head letter by letter
    ("Slowloris"), would hold them for ever.

    Args:
        seconds: longest time from the first letter of a head (of the first request: from the
            connection) to its end.
        base: uvicorn's class; by default the quickest that is installed.
        most: bytes of a head that is not complete yet.
    """
    if base is None:
        from uvicorn.protocols.http.auto import AutoHTTPProtocol as base

    class Patient(base):  # type: ignore[misc,valid-type,unused-ignore]
        _late: asyncio.TimerHandle | None = None
        _length = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._begin()

        def data_received(self, data: bytes) -> None:
            before = self.cycle  # uvicorn makes a new one when a head is complete
            super().data_received(data)
            if self.cycle is not before:
                self._end()
            elif before is None or before.response_complete:
                self._length += len(data)
                if self._length > most:
                    self.transport.close()
                elif self._late is None:
                    self._begin()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            super().connection_lost(exc)

        def _begin(self) -> None:
            self._late = self.loop.call_later(seconds, self.transport.close)

        def _end(self) -> None:
            self._length = 0
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Patient
