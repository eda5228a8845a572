"""The addresses of the service."""

import asyncio
import contextlib
import importlib.resources
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from .. import __version__
from .counts import Counts
from .gate import Gate, Rate
from .service import Limits, Service, refuse

PAGE_RULES = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; "
    "img-src blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def make_app(
    folder: Path,
    *,
    limits: Limits,
    keys: Mapping[str, bytes] | None = None,
    rate: Rate | None = None,
    failed: Callable[[str], None] = lambda why: None,
    wait: bool = False,
) -> Any:
    """The ASGI application that answers with the run in this folder.

    It listens before the run is loaded: /health answers at once, /ready and /predict with status
    503 until it is; with `wait`, it listens afterwards. SIGHUP loads the run again, while the old
    one goes on to answer. If the run cannot be loaded at all, `failed` is called with the reason.
    """
    counts = Counts()
    service = Service(folder, limits, counts, failed)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        if wait:
            await service.load()
        else:
            service.load_soon()
        with contextlib.suppress(NotImplementedError, AttributeError, RuntimeError, ValueError):
            hangup = signal.SIGHUP  # type: ignore[attr-defined,unused-ignore]  # not on Windows
            asyncio.get_running_loop().add_signal_handler(hangup, service.load_soon)
        yield
        await service.close()

    app = FastAPI(title="mmkeras", version=__version__, lifespan=life, docs_url=None,
                  redoc_url=None, openapi_url=None)  # fmt: skip
    _add(app, service, counts)
    app.state.service = service
    return Gate(
        app,
        keys=keys or {},
        rate=rate,
        max_body=limits.max_body,
        timeout=limits.timeout,
        seen=counts.request,
    )


def _add(app: FastAPI, service: Service, counts: Counts) -> None:
    """Add the addresses."""
    from . import describe

    app.post("/predict")(service.predict)
    app.post("/explain")(service.explain)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready")
    async def ready() -> Response:
        if service.loaded:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "loading"}, 503, {"retry-after": "2"})

    @app.get("/about")
    async def about(request: Request) -> Response:
        if service.loaded is None:
            return refuse(request, 503, "the run is still being loaded", again=2)
        return JSONResponse(service.loaded.about())

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(counts.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json")
    async def openapi(request: Request) -> Response:
        if service.loaded is None:
            return refuse(request, 503, "the run is still being loaded", again=2)
        return JSONResponse(describe.openapi(service.loaded.about()))

    @app.get("/docs")
    async def docs(request: Request) -> Response:
        if service.loaded is None:
            return refuse(request, 503, "the run is still being loaded", again=2)
        page = describe.page(service.loaded.about(), str(request.base_url))
        return HTMLResponse(page, headers={"content-security-policy": PAGE_RULES})

    app.get("/")(_file("page.html", "text/html"))
    app.get("/page.js")(_file("page.js", "text/javascript"))


def _file(name: str, kind: str) -> Callable[[], Any]:
    content = importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")

    async def file() -> Response:
        return Response(content, media_type=kind, headers={"content-security-policy": PAGE_RULES})

    return file
