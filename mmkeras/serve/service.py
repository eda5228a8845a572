"""The state of one process of the service: the run that answers, and what it says to a request."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from .. import __version__
from ..table.command import RunError
from .batches import Batcher, Full
from .bodies import BadBody, rows_of
from .counts import Counts
from .gate import log
from .shares import masks, shares, without

EXPLAINED = 8  # most rows of a request to /explain, each of which is answered up to 16 times
PROBLEMS = 20  # most problems of one request that are spelt out


@dataclass(frozen=True)
class Limits:
    """What one request, and all together, may ask for.

    Attributes:
        max_body: bytes of a body.
        max_rows: rows of a request.
        queue: rows that wait for the model; further requests get status 503.
        timeout: seconds for the body to arrive, and for the answer.
        max_pixels: pixels of a picture.
        max_audio_seconds: length of a recording.
        threads: threads that decode files.
    """

    max_body: int = 32 * 1024**2
    max_rows: int = 64
    queue: int = 256
    timeout: float = 30.0
    max_pixels: int = 25_000_000
    max_audio_seconds: float = 600.0
    threads: int = 2


class Loaded:
    """A run that answers: its engine, and the queue in front of it."""

    def __init__(self, engine: Any, limits: Limits, counts: Counts) -> None:
        from .engine import MOST

        self.engine, self.limits = engine, limits
        self.batcher = Batcher(engine.answer, most=MOST, waiting=limits.queue, seen=counts.batch)

    def about(self) -> dict[str, Any]:
        """What /about says."""
        s, reader = self.engine.settings, self.engine.reader
        return {
            "mmkeras": __version__,
            "classes": self.engine.classes,
            "columns": reader.kinds,
            "modalities": list(reader.modalities),
            "trained": s.get("day"),
            "loaded": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.engine.loaded)),
            "data_sha256": s.get("data_sha256"),
            "settings": s.get("parameters", {}),
            "limits": {"body bytes": self.limits.max_body, "rows": self.limits.max_rows,
                       "pixels": self.limits.max_pixels,
                       "recording seconds": self.limits.max_audio_seconds},
        }  # fmt: skip


class Service:
    """The state of one process: the run that answers, which may be exchanged for a newer one."""

    def __init__(
        self, folder: Path, limits: Limits, counts: Counts, failed: Callable[[str], None]
    ) -> None:
        self.folder, self.limits, self.counts, self.failed = folder, limits, counts, failed
        self.loaded: Loaded | None = None
        self.decoders = ThreadPoolExecutor(limits.threads, thread_name_prefix="decode")
        self._loading = threading.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    def _load(self) -> Loaded:
        with self._loading:
            from .engine import Engine

            limits = self.limits
            engine = Engine(
                self.folder,
                max_pixels=limits.max_pixels,
                max_audio_seconds=limits.max_audio_seconds,
            )
            return Loaded(engine, limits, self.counts)

    async def load(self) -> None:
        """Load the run, then let it answer in place of the one before, which answers its rest.

        A run that cannot be loaded leaves the one before in its place. The one before goes, with
        its thread, when the last request that began with it is answered; were it closed here, one
        whose files are still being read would find no model.
        """
        begun = time.perf_counter()
        try:
            new = await asyncio.to_thread(self._load)
        except Exception as error:  # of a damaged run: whatever Keras raises
            why = str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"
            log.error(json.dumps({"event": "not loaded", "why": why[:500]}))
            if self.loaded is None:
                self.failed(why)
            return
        old, self.loaded = self.loaded, new
        seconds = round(time.perf_counter() - begun, 1)
        log.warning(json.dumps({"event": "reloaded" if old else "ready", "seconds": seconds}))

    def load_soon(self) -> None:
        """Begin to load, and return."""
        task = asyncio.get_running_loop().create_task(self.load())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Answer what waits, and end the threads."""
        if self.loaded:
            await self.loaded.batcher.close()
        self.decoders.shutdown()

    async def predict(self, request: Request) -> Response:
        """The answers to the rows of a request."""
        return await self._respond(request, explained=False)

    async def explain(self, request: Request) -> Response:
        """The answers, each with what the modalities did to it."""
        return await self._respond(request, explained=True)

    async def _respond(self, request: Request, explained: bool) -> Response:
        if self.loaded is None:
            return refuse(request, 503, "the run is still being loaded", again=2)
        loaded = self.loaded  # a reload meanwhile does not concern this request
        reader, said = loaded.engine.reader, request.state.said
        try:
            kind = request.headers.get("content-type", "")
            most = min(EXPLAINED, self.limits.max_rows) if explained else self.limits.max_rows
            rows = rows_of(await request.body(), kind, reader.kinds, most)
        except BadBody as error:
            return refuse(request, error.status, str(error))
        if len(rows) > self.limits.queue:  # to ask again would be of no use
            return refuse(
                request, 413, f"{len(rows)} rows; at most {self.limits.queue} can wait (--queue)"
            )
        loop = asyncio.get_running_loop()
        read = await asyncio.gather(*(
            loop.run_in_executor(self.decoders, reader.read, row, at)
            for at, row in enumerate(rows, start=1)
        ))  # fmt: skip
        said["rows"] = len(rows)
        bad = {at: problems for at, (_, problems) in enumerate(read, start=1) if problems}
        self.counts.rows.labels("refused").inc(len(bad))
        if bad and request.query_params.get("skip_bad_rows") != "true":
            return _refused(request, bad)
        good = {at: x for at, (x, problems) in enumerate(read, start=1) if not problems}
        try:
            if explained:
                found = [await self._explained(loaded, x) for x in good.values()]
            else:
                answers = await self._answers(loaded, list(good.values())) if good else []
                found = [_told(p, x, loaded) for p, x in zip(answers, good.values(), strict=True)]
        except Full as full:
            return refuse(request, 503, str(full), again=1)
        self.counts.rows.labels("answered").inc(len(good))
        told = {at: {"row": at, **one} for at, one in zip(good, found, strict=True)}
        told |= {at: {"row": at, "problems": problems} for at, problems in bad.items()}
        body = {"request": request.state.id, "predictions": [told[at] for at in sorted(told)]}
        return JSONResponse(body)

    async def _explained(self, loaded: Loaded, x: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one row, and the share of each modality in it."""
        modalities = loaded.engine.reader.modalities
        kept = masks(x["present"], modalities)
        p = await self._answers(loaded, [without(x, some, modalities) for some in kept])
        told = _told(p[-1], x, loaded)
        return told | {"log_odds": shares(kept, p, modalities, int(p[-1].argmax()))}

    async def _answers(self, loaded: Loaded, rows: Sequence[Mapping[str, Any]]) -> Any:
        try:
            return await loaded.batcher.answer(rows)
        finally:
            self.counts.waiting.set(len(loaded.batcher))


def _told(p: Any, x: Mapping[str, Any], loaded: Loaded) -> dict[str, Any]:
    classes = loaded.engine.classes
    names = loaded.engine.reader.modalities
    return {
        "prediction": classes[int(p.argmax())],
        "probabilities": {name: round(float(q), 6) for name, q in zip(classes, p, strict=True)},
        "absent": [name for name, there in zip(names, x["present"], strict=True) if not there],
    }


def _refused(request: Request, bad: Mapping[int, Sequence[Mapping[str, str]]]) -> Response:
    found = [{"row": at, **one} for at, problems in bad.items() for one in problems]
    more = f", of which {PROBLEMS} are listed" if len(found) > PROBLEMS else ""
    error = f"{len(found)} problem{'s' * (len(found) != 1)}{more}"
    body = {"error": error, "problems": found[:PROBLEMS], "request": request.state.id}
    return JSONResponse(body, status_code=422)


def refuse(request: Request, status: int, why: str, again: int = 0) -> Response:
    headers = {"retry-after": str(again)} if again else None
    return JSONResponse({"error": why, "request": request.state.id}, status, headers)
