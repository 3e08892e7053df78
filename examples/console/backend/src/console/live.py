"""Open WebSockets, and what they are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from prometheus_client import CollectorRegistry, Gauge
from pydantic import ValidationError
from redis import RedisError

from console.notes import Draft, Notes

_LOG = logging.getLogger(__name__)

AGAIN = 1  # seconds
RESTART = 1012
"""Close code of RFC 6455's registry, "service restart": a page comes back by itself."""


class Live:
    """Every page that is open here.

    Args:
        notes: where news come from.
        about: what a page is told first.
        registry: of metrics.
    """

    def __init__(self, notes: Notes, about: dict[str, Any], registry: CollectorRegistry) -> None:
        self._notes, self._about = notes, about
        self._open: set[WebSocket] = set()
        gauge = Gauge("console_websockets", "Pages that are open.", registry=registry)
        gauge.set_function(lambda: len(self._open))

    async def serve(self, socket: WebSocket) -> None:
        """Talk with one page until it leaves.

        Args:
            socket: that it opened.
        """
        await socket.accept()
        self._open.add(socket)
        try:
            await socket.send_json(await self._hello())
            while True:
                await self._heard(socket, await socket.receive_text())
        except WebSocketDisconnect:
            pass
        except RedisError:
            _LOG.exception("a page is sent away: the notes cannot be reached")
            await socket.close(RESTART)
        finally:
            self._open.discard(socket)

    async def _heard(self, socket: WebSocket, text: str) -> None:
        try:
            await self._notes.add(Draft.model_validate_json(text))
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            await socket.send_json({"type": "refused", "why": found[0]["msg"]})

    async def _hello(self) -> dict[str, Any]:
        newest = [one.model_dump(mode="json") for one in await self._notes.newest()]
        return {"type": "hello", **self._about, "notes": newest}

    async def _tell(self, message: dict[str, Any]) -> None:
        for socket in list(self._open):
            # One that has gone is found by its own loop.
            with suppress(WebSocketDisconnect, RuntimeError):
                await socket.send_json(message)

    async def send_away(self) -> int:
        """Close every WebSocket, so that the pages connect to the console of today.

        Returns:
            How many there were.
        """
        there = list(self._open)
        for socket in there:
            with suppress(WebSocketDisconnect, RuntimeError):
                await socket.close(RESTART)
        return len(there)

    @asynccontextmanager
    async def listening(self, *_: object) -> AsyncIterator[None]:
        """Pass news on while the application runs."""
        task = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._notes.close()

    async def _listen(self) -> None:
        while True:
            try:
                async for note in self._notes.news():
                    # After a time without news every page gets all that it may have missed.
                    known = {"type": "note", "note": note.model_dump(mode="json")} if note else None
                    await self._tell(known or await self._hello())
            except RedisError as error:
                _LOG.warning("no news from Redis", extra={"error": str(error)})
            await asyncio.sleep(AGAIN)
