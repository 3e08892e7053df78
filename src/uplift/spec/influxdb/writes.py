"""Single writes, to the server and to the host."""

from __future__ import annotations

from dataclasses import dataclass, field

from uplift.spec.http import Request
from uplift.spec.secret import Secret


@dataclass(frozen=True)
class Write:
    """One write to the server.

    Args:
        subject: what is changed, for people.
        change: how, for people.
        request: what is sent; None while it waits for another write.
    """

    subject: str
    change: str
    request: Request | None = None

    def __str__(self) -> str:
        return f"{self.subject}: {self.change}"


@dataclass(frozen=True)
class FileWrite:
    """The file of a token, to be written whole.

    Args:
        subject: which token, for people.
        change: why, for people.
        path: on the host.
        owner: user whom it belongs to.
        content: the token.
    """

    subject: str
    change: str
    path: str
    owner: str
    content: Secret = field(repr=False)

    def __str__(self) -> str:
        return f"{self.subject}: {self.change}"
