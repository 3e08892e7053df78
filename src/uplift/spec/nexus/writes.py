"""One write to a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from uplift.spec.http import Request


class Does(Enum):
    """What a write does to its object."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True)
class Write:
    """One write.

    Args:
        kind: of the object.
        name: of the object; empty where there is but one.
        does: to the object.
        said: what changes, for people.
        request: what is sent.
        needs: objects, by kind and name, whose writes must have succeeded before.
        sent: fingerprint of what the server will not show, to be remembered.
    """

    kind: str
    name: str
    does: Does
    said: tuple[str, ...]
    request: Request
    needs: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    sent: str | None = None

    @property
    def subject(self) -> str:
        """The object, for people."""
        return f"{self.kind} {self.name}".strip()

    def __str__(self) -> str:
        return f"{self.subject}: {', '.join(self.said)}"
