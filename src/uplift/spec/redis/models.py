"""The wanted state of a host's Redis."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from uplift.spec.base import Block
from uplift.spec.container import Container
from uplift.spec.container.models import Address, Image, Name, Size
from uplift.spec.container.units import memory_bytes
from uplift.spec.redis.server import AUTH, HEALTH, START, WHERE
from uplift.spec.secret import SecretRef

Policy = Literal[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]

# Where what a key of redis.conf would say is said instead.
_ELSEWHERE = {
    "port": "use the key 'port' of this block: inside the container it is 6379",
    "bind": "use the key 'address' of this block: inside the container Redis listens everywhere",
    "requirepass": "use the key 'password' of this block",
    "maxmemory": "use the key 'maxmemory' of this block",
    "maxmemory-policy": "use the key 'maxmemory_policy' of this block",
    "appendonly": "use the key 'appendonly' of this block",
    "appendfsync": "use the key 'appendfsync' of this block",
    **dict.fromkeys(
        ("dir", "dbfilename", "appendfilename", "appenddirname"),
        "is fixed: the data is looked for in /data under Redis' own names",
    ),
    **dict.fromkeys(
        ("masterauth", "masteruser", "user", "aclfile", "include", "tls-key-file-pass"),
        "is not supported: it would bring passwords, and those never stand in the settings",
    ),
    **dict.fromkeys(
        ("daemonize", "supervised", "pidfile", "logfile"),
        "is not supported: Docker looks after the process and its log",
    ),
    "protected-mode": "is fixed: it stays on",
    "rename-command": "is not supported: the commands are needed to read the server",
}

Value = StrictStr | StrictInt | StrictBool


def _key(word: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", word):
        msg = f"a key of redis.conf in small letters, as 'maxclients'; found {word!r}"
        raise ValueError(msg)
    if word in _ELSEWHERE:
        msg = f"{word!r} {_ELSEWHERE[word]}"
        raise ValueError(msg)
    return word


def _value(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[\x20-\x7e]*", value):
        msg = "what stands behind the key in redis.conf: one line of printable ASCII"
        raise ValueError(msg)
    if any(word.startswith("--") for word in _words(value)):
        msg = "no word may begin with '--'"
        raise ValueError(msg)
    return value


def _words(value: Value) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("yes" if value else "no",)
    # Without a word there would be no argument: redis.conf writes "" for it.
    return tuple(shlex.split(str(value))) or ("",)


class Redis(Block):
    """A Redis in a container: append-only, behind a password, on one address of the host.

    Args:
        image: Redis 7 or 8, by tag or digest.
        address: of the host, where its port is published.
        port: on the host.
        volume: that holds the data.
        password: of the user ``default``; nobody gets in without it.
        maxmemory: for data, as ``512m``; unlimited when it is left out.
        maxmemory_policy: what goes when that is full; ``noeviction`` refuses writes.
        appendonly: each write goes to the append-only file.
        appendfsync: when that file is synced: each second, each write, or as the kernel likes.
        config: further keys of ``redis.conf``, as they are written there.
        memory: limit of the container; forks for saving need more than ``maxmemory``.
        user: numeric user and group of the image that Redis runs as, and to whom the data belongs.
        stop_timeout: seconds that it has to write its data when it is stopped.
    """

    image: Image
    address: Address = "127.0.0.1"
    port: int = Field(default=6379, ge=1, le=65535)
    volume: Name = "redis"
    password: SecretRef
    maxmemory: Size | None = None
    maxmemory_policy: Policy = "noeviction"
    appendonly: bool = True
    appendfsync: Literal["everysec", "always", "no"] = "everysec"
    config: dict[Annotated[str, AfterValidator(_key)], Annotated[Value, AfterValidator(_value)]] = (
        Field(default_factory=dict)
    )
    memory: Size | None = None
    user: str = Field(default="999:999", pattern=r"^[0-9]+(:[0-9]+)?$")
    stop_timeout: int = Field(default=60, ge=1, le=3600)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.maxmemory is None and self.maxmemory_policy != "noeviction":
            msg = f"maxmemory_policy: {self.maxmemory_policy!r} does nothing without maxmemory"
            raise ValueError(msg)
        given = [memory_bytes(size) for size in (self.memory, self.maxmemory) if size]
        if len(given) > 1 and given[0] <= given[1]:
            msg = f"memory: {self.memory} leaves no room beside maxmemory {self.maxmemory}"
            raise ValueError(msg)
        return self

    @property
    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the server's configuration, password and append-only file left out."""
        return {
            "dir": (WHERE,),
            "protected-mode": ("yes",),
            "maxmemory": (str(memory_bytes(self.maxmemory)) if self.maxmemory else "0",),
            "maxmemory-policy": (self.maxmemory_policy,),
            "appendfsync": (self.appendfsync,),
            **{key: _words(value) for key, value in self.config.items()},
        }

    @property
    def container(self) -> Container:
        """Return the container that it runs in."""
        words = [word for key, values in self.options.items() for word in (f"--{key}", *values)]
        return Container.model_validate(
            {
                "name": "redis",
                "image": self.image,
                "entrypoint": ("sh", "-c", START, "redis-start"),
                "command": ("yes" if self.appendonly else "no", *words),
                "secrets": {"auth.conf": AUTH},
                "ports": [{"container": 6379, "host": self.port, "address": self.address}],
                "mounts": [{"volume": self.volume, "target": WHERE}],
                "memory": self.memory,
                "user": self.user,
                "cap_drop": ("ALL",),
                "no_new_privileges": True,
                "stop_timeout": self.stop_timeout,
                "health": {"command": ("sh", "-c", HEALTH), "start_period": 600, "stable": 2},
                "stateful": True,
            }
        )
