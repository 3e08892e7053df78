"""Single writes: to the server, to the host, to the controller's secrets; and proofs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from uplift.spec.http import Request
from uplift.spec.secret import MadeSecret, Secret


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


@dataclass(frozen=True)
class KeepWrite:
    """A token, to be kept on the controller.

    Args:
        subject: which token, for people.
        secret: its name there.
        content: the token.
    """

    subject: str
    secret: MadeSecret
    content: Secret = field(repr=False)

    def __str__(self) -> str:
        return f"{self.subject}: kept as {self.secret}"


@dataclass(frozen=True)
class Proof:
    """What a token must be able to do before the one before it goes; none of it has an effect.

    Args:
        subject: which token, for people.
        id: the server's, of the token.
        requests: sent with the token; ``tokens.proved`` judges the answers.
    """

    subject: str
    id: str
    requests: Sequence[Request] = field(repr=False)


@dataclass(frozen=True)
class Spared:
    """A token that still works although a new one is there: not all hosts have the new one.

    Args:
        subject: which token, for people.
        reason: who lacks it.
    """

    subject: str
    reason: str

    def __str__(self) -> str:
        return f"{self.subject}: the old one stays until {self.reason}"
