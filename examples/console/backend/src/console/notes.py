"""Notes in Redis, and the channel on which every console hears of a new one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from pydantic import BaseModel, Field
from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis

from console.settings import ConsoleSettings

KEY = "console:notes"
CHANNEL = "console:news"
KEPT = 100
TIMEOUT = 2  # seconds


class Draft(BaseModel):
    """A note as it is sent.

    Args:
        text: what it says.
    """

    text: str = Field(min_length=1, max_length=280)


class Note(Draft):
    """A note as it is kept.

    Args:
        at: when it was taken.
        by: version of the console that took it.
    """

    at: datetime
    by: str


class Notes:
    """The newest notes, shared by all consoles on one Redis.

    Args:
        settings: where Redis is.
    """

    def __init__(self, settings: ConsoleSettings) -> None:
        password = settings.redis_password
        login = {
            "host": settings.redis_host,
            "port": settings.redis_port,
            "password": password.get_secret_value() if password else None,
            "socket_connect_timeout": TIMEOUT,
            "decode_responses": True,
        }
        self._version = settings.version
        self._redis = AsyncRedis(**login, socket_timeout=TIMEOUT)
        # One that waits for news, for as long as there are none.
        self._listener = AsyncRedis(**login)
        self._probe = Redis(**login, socket_timeout=TIMEOUT)

    def healthy(self) -> bool:
        """Tell whether Redis answers; for readiness."""
        try:
            return bool(self._probe.ping())
        except RedisError:
            return False

    async def newest(self) -> list[Note]:
        """Return the notes, the newest first."""
        found = await self._redis.lrange(KEY, 0, KEPT - 1)
        return [Note.model_validate_json(one) for one in found]

    async def add(self, draft: Draft) -> Note:
        """Keep a note, and tell every console of it.

        Args:
            draft: what was sent.
        """
        note = Note(text=draft.text, at=datetime.now(UTC), by=self._version)
        text = note.model_dump_json()
        async with self._redis.pipeline(transaction=True) as pipe:
            await pipe.lpush(KEY, text).ltrim(KEY, 0, KEPT - 1).publish(CHANNEL, text).execute()
        return note

    async def news(self) -> AsyncIterator[Note | None]:
        """Give each new note, of whichever console, until the connection is lost.

        Before the first comes a None: what was written until then is among the newest notes.
        """
        async with self._listener.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            async for message in channel.listen():
                if message["type"] == "subscribe":
                    yield None
                elif message["type"] == "message":
                    yield Note.model_validate_json(message["data"])

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        await self._listener.aclose()
        self._probe.close()
