"""Rows of several requests, answered together by one call of the model.

Derived in chapter 19.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


class Full(Exception):
    """Too many rows are waiting; the client should try again later."""


class Batcher:
    """A bounded queue in front of a model that answers a batch nearly as fast as one row.

    While the model works, new rows wait. When it is free, it takes all that wait, up to `most`. So
    a lone row waits for nobody, and the batches grow with the load, without a fixed delay.

    Args:
        answer: rows → answers, one per row; runs in a thread of its own.
        most: most rows of a batch.
        waiting: most rows that wait; further ones are refused.
        seen: is called with the number of rows of each batch and the seconds it took.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Any]], np.ndarray],
        *,
        most: int,
        waiting: int,
        seen: Callable[[int, float], None] = lambda rows, seconds: None,
    ) -> None:
        self._answer, self.most, self.limit, self._seen = answer, most, waiting, seen
        self._queue: deque[tuple[Any, asyncio.Future[np.ndarray]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """The number of rows that wait."""
        return len(self._queue)

    async def answer(self, rows: Sequence[Any]) -> np.ndarray:
        """The answers of these rows, (rows, …).

        Raises:
            Full: with these rows, more than `waiting` would wait. None of them is taken.
        """
        if len(self._queue) + len(rows) > self.limit:
            raise Full(f"{len(self._queue)} rows are waiting; at most {self.limit} may")
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in rows]
        self._queue.extend(zip(rows, futures, strict=True))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            return np.stack(await asyncio.gather(*futures))
        finally:  # a client that went away: its rows need no answer, and no room
            for future in futures:
                future.cancel()
            if any(future.cancelled() for future in futures):
                self._queue = deque(one for one in self._queue if not one[1].done())

    async def _work(self) -> None:
        """Answer batches until nothing waits."""
        loop = asyncio.get_running_loop()
        while self._queue:
            taken = [self._queue.popleft() for _ in range(min(self.most, len(self._queue)))]
            wanted = [(row, future) for row, future in taken if not future.done()]
            if not wanted:
                continue
            begun = loop.time()
            try:
                found = await loop.run_in_executor(
                    self._thread, self._answer, [row for row, _ in wanted]
                )
            except Exception as error:  # of the model: these requests fail, the next go on
                for _, future in wanted:
                    if not future.done():
                        future.set_exception(error)
                continue
            self._seen(len(wanted), loop.time() - begun)
            for (_, future), one in zip(wanted, found, strict=True):
                if not future.done():
                    future.set_result(one)

    async def close(self) -> None:
        """Answer what waits, then end the thread."""
        if self._worker is not None:
            await self._worker
        self._thread.shutdown()
