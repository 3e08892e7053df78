"""A FastAPI application with health, readiness, version and metrics.

    app = create_app(load(Settings), checks={"database": database.healthy})

    @app.get("/orders")
    def orders() -> list[Order]: ...

Every request has an id, in its logs and in the answer's ``X-Request-ID``.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from maestro_core_config import Settings
from maestro_core_logging import bind
from maestro_core_monitoring import Metrics

__all__ = ["create_app"]

Check = Callable[[], bool]

_LOG = logging.getLogger(__name__)
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def create_app(
    settings: Settings, *, checks: Mapping[str, Check] | None = None, metrics: Metrics | None = None
) -> FastAPI:
    """Return an application that an operator can watch.

    Args:
        settings: name and version of the service.
        checks: what must work before the service takes requests, by name.
        metrics: where requests are counted; new ones when left out.
    """
    app = FastAPI(title=settings.service, version=settings.version)
    app.state.metrics = metrics or Metrics(settings)
    app.middleware("http")(_observed)
    _watched(app, settings, checks or {})
    return app


def _watched(app: FastAPI, settings: Settings, checks: Mapping[str, Check]) -> None:
    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> JSONResponse:
        found = {name: check() for name, check in checks.items()}
        return JSONResponse({"checks": found}, status_code=200 if all(found.values()) else 503)

    @app.get("/version", include_in_schema=False)
    def version() -> dict[str, str]:
        return {"service": settings.service, "version": settings.version}

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        body, kind = app.state.metrics.render()
        return Response(body, headers={"Content-Type": kind})


async def _observed(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    """Give a request its id, time it, and log how it ended."""
    given = request.headers.get("X-Request-ID", "")
    # What a stranger sends goes into the logs: only when it looks like an id.
    request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
    # Each name is a series of its own for ever: a stranger's words make none.
    method = request.method if request.method in _METHODS else "other"
    with bind(request_id=request_id), request.app.state.metrics.timed(f"http_{method}"):
        response = await go_on(request)
        fields = {"path": request.url.path, "status": response.status_code}
        _LOG.info("%s answered", method, extra=fields)
    response.headers["X-Request-ID"] = request_id
    return response
