"""What a run of pyinfra says as it happens: one line of JSON for each event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What happened. Other kinds may come: who reads passes over those that it does not know."""

    BEGUN = "begun"
    """pyinfra is connected; ``data``: ``pid``, ``hosts`` that it reached."""
    PREPARED = "prepared"
    """A host's deploy files are read; ``data``: ``operations``, in order, each with ``id``
    (of the operation, as in events of ours that it tells), ``name``, ``function`` (which one it
    is), ``change`` (would it change something; null in a run that does not look first) and
    ``conditional`` (whether it runs is decided in the run)."""
    OPERATION_START = "operation-start"
    OPERATION_END = "operation-end"
    HOST_START = "host-start"
    HOST_SUCCESS = "host-success"
    """``data``: ``changed``."""
    HOST_ERROR = "host-error"
    """``text``: the last lines of output; ``data``: ``ignored``."""
    HOST_RETRY = "host-retry"
    """``data``: ``attempt``, ``of``."""
    CHANGE = "change"
    """``text``: what an operation of ours would change or has changed; ``data``: ``subject``,
    ``done`` (false when it was only looked at), ``restarts``, ``removes``, ``lasting`` (why a
    rollout does not put it back, though it does what else the operation changes)."""
    READ = "read"
    """An operation of ours read a host; ``data``: ``fact``, ``key`` (which one of its reads),
    ``fingerprint`` (keyed, of all that was read), ``parts`` (the same of each part, by name)."""
    NAMED = "named"
    """The settings of a host name containers; ``data``: ``names``."""
    UNREAD = "unread"
    """A host could not be read; ``text``: why. The host has failed."""
    REFUSED = "refused"
    """An operation of ours will not go on; ``text``: why."""
    STALE = "stale"
    """A host is no longer as the plan saw it; ``data``: as for ``read``. The host has failed."""
    ENDED = "ended"
    """pyinfra is done; ``data``: ``failed`` hosts, ``completed`` (nothing cut it short)."""


@dataclass(frozen=True)
class Event:
    """One thing that happened in a run.

    Args:
        kind: one of ``Kind``, or one that is not known here.
        host: on which; empty when on none in particular.
        operation: in which; empty outside of any.
        text: for people; never a secret.
        at: when, in seconds since 1970.
        data: more about it, by the kind.
    """

    kind: str
    host: str = ""
    operation: str = ""
    text: str = ""
    at: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Return the event as one line of JSON, without a line's end."""
        return json.dumps(
            {
                "kind": str(self.kind),
                "host": self.host,
                "operation": self.operation,
                "text": self.text,
                "at": self.at,
                "data": dict(self.data),
            },
            ensure_ascii=True,
        )

    @classmethod
    def parse(cls, line: str) -> Event:
        """Return the event of a line.

        Args:
            line: as made by ``line``.

        Raises:
            ValueError: it is none.
        """
        found = json.loads(line)
        if not isinstance(found, dict) or not isinstance(found.get("kind"), str):
            msg = f"no event: {line[:80]!r}"
            raise ValueError(msg)
        return cls(
            kind=found["kind"],
            host=str(found.get("host", "")),
            operation=str(found.get("operation", "")),
            text=str(found.get("text", "")),
            at=float(found.get("at", 0.0)),
            data=found.get("data") or {},
        )
