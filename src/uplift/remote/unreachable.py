"""Hosts that cannot be reached: an error of their own, with the reason that decides what to do."""

from __future__ import annotations

import socket
from enum import StrEnum

from paramiko import AuthenticationException, BadHostKeyException, SSHException
from paramiko.ssh_exception import NoValidConnectionsError
from pyinfra.api.exceptions import ConnectError, PyinfraError

from uplift.spec.errors import Exit, UpliftError


class Reason(StrEnum):
    """Why a host could not be reached."""

    RESOLVE = "resolve"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    NETWORK = "network"
    BANNER = "banner"
    HOST_KEY_UNKNOWN = "host key unknown"
    HOST_KEY_CHANGED = "host key changed"
    AUTHENTICATION = "authentication"
    KEY_FILE = "key file"
    SHELL = "shell"
    LOST = "lost"
    OTHER = "other"


class Unreachable(UpliftError):
    """Report one host that could not be reached, or was lost, and why.

    Args:
        host: as in the inventory.
        reason: decides the remedy.
        detail: what was seen, in one line.
    """

    exit_code = Exit.HELD

    def __init__(self, host: str, reason: Reason, detail: str) -> None:
        self.host = host
        self.reason = reason
        self.detail = detail
        super().__init__(f"{host}: {detail}")


class StepTimeout(Unreachable):
    """Report a step that did not end within its time limit on one host."""

    def __init__(self, host: str, seconds: float) -> None:
        super().__init__(host, Reason.TIMEOUT, f"the step took longer than {seconds:g} s")


def from_pyinfra(host: str, error: PyinfraError) -> Unreachable:
    """Return why a connector of pyinfra gave up.

    pyinfra puts every cause into the text of one exception; Python still chains what
    paramiko or the system said, which is what can be told apart.
    """
    cause = error.__context__
    return Unreachable(host, _reason(error, cause), _detail(error, cause))


def _reason(error: PyinfraError, cause: BaseException | None) -> Reason:
    if not isinstance(error, ConnectError):
        return Reason.KEY_FILE if "key" in str(error).lower() else Reason.OTHER
    if isinstance(cause, NoValidConnectionsError):  # one error for each address of the name
        cause = next(iter(cause.errors.values()))
    for kinds, reason in _KINDS:
        if isinstance(cause, kinds):
            return reason
    text = str(error)
    for part, reason in _TEXTS.items():
        if part in text:
            return reason
    return Reason.NETWORK if isinstance(cause, OSError) else Reason.OTHER


# In this order: some of these are subclasses of later ones.
_KINDS: tuple[tuple[type[BaseException], Reason], ...] = (
    (socket.gaierror, Reason.RESOLVE),
    (BadHostKeyException, Reason.HOST_KEY_CHANGED),
    (AuthenticationException, Reason.AUTHENTICATION),
    (TimeoutError, Reason.TIMEOUT),
    (ConnectionRefusedError, Reason.REFUSED),
)

_TEXTS = {
    "No host key for": Reason.HOST_KEY_UNKNOWN,
    "SSH host key error": Reason.HOST_KEY_CHANGED,
    "protocol banner": Reason.BANNER,
    "No authentication methods available": Reason.AUTHENTICATION,
    "timed out": Reason.TIMEOUT,
    "Timeout opening channel": Reason.TIMEOUT,
    "No existing session": Reason.TIMEOUT,  # paramiko's words for a handshake that did not end
}


def _detail(error: PyinfraError, cause: BaseException | None) -> str:
    if isinstance(cause, NoValidConnectionsError):
        seen = {str(getattr(one, "strerror", None) or one) for one in cause.errors.values()}
        return ", ".join(sorted(seen))
    if isinstance(cause, (OSError, SSHException)) and str(cause).strip():
        text = str(cause.strerror or cause) if isinstance(cause, OSError) else str(cause)
    else:
        text = str(error)
    return " ".join(text.split())
