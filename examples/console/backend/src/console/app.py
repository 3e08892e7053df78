"""The console as an application of FastAPI."""

from __future__ import annotations

from importlib.metadata import distribution

from fastapi import FastAPI, WebSocket
from maestro_core_api import create_app
from maestro_core_monitoring import Metrics
from pydantic import BaseModel

from console.drain import Drain
from console.live import Live
from console.notes import Draft, Note, Notes
from console.settings import ConsoleSettings


class About(BaseModel):
    """What runs here.

    Args:
        version: of the console.
        installer: what installed its packages, as they say themselves.
        node: host that it runs on.
    """

    version: str
    installer: str
    node: str


def create(settings: ConsoleSettings) -> FastAPI:
    """Return the application.

    Args:
        settings: of it.
    """
    metrics, notes = Metrics(settings), Notes(settings)
    about = About(version=settings.version, installer=_installer(), node=settings.node)
    live = Live(notes, about.model_dump(), metrics.registry)
    drain = Drain(settings.drain_token, live)
    checks = {"redis": notes.healthy, "serving": drain.serving}
    app = create_app(settings, checks=checks, metrics=metrics)
    app.router.lifespan_context = live.listening
    app.include_router(drain.router)

    @app.get("/api/about")
    def about_it() -> About:
        return about

    @app.get("/api/notes")
    async def newest() -> list[Note]:
        return await notes.newest()

    @app.post("/api/notes", status_code=201)
    async def add(draft: Draft) -> Note:
        return await notes.add(draft)

    @app.websocket("/ws")
    async def open_page(socket: WebSocket) -> None:
        await live.serve(socket)

    return app


def _installer() -> str:
    """Return what installed FastAPI here: uv, pip, or Poetry with its version."""
    return (distribution("fastapi").read_text("INSTALLER") or "unknown").strip()
