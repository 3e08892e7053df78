"""testinfra's way to a host of the inventory: ssh over the connection that is already open."""

from __future__ import annotations

import subprocess
from typing import Any
from urllib.parse import quote, unquote

from testinfra.backend import BACKENDS
from testinfra.backend.base import BaseBackend, CommandResult

from uplift.spec.secret import Secret
from uplift.verify.connection import COMMAND_LIMIT, Connection, Connections

SCHEME = "uplift"

_current: dict[str, Connection] = {}


def use(connections: Connections) -> str:
    """Make the hosts of a run known to testinfra.

    Args:
        connections: of the hosts to test.

    Returns:
        The value for testinfra's ``--hosts``.
    """
    BACKENDS[SCHEME] = f"{__name__}.{InventoryBackend.__name__}"
    _current.clear()
    _current.update(connections.by_name)
    return ",".join(f"{SCHEME}://{quote(name, safe='')}" for name in _current)


class LostConnection(Exception):
    """Say that a host went away, or kept a command, in the middle of a test."""


class Result(CommandResult):  # type: ignore[misc]  # testinfra has no types
    """What a command gave; a failed test shows this text, which must not hold a file's content."""

    def __repr__(self) -> str:
        said = self.stderr.strip()[-500:]
        return f"<exit code {self.rc} of {self.command.decode()[:200]!r}: {said!r}>"


class InventoryBackend(BaseBackend):  # type: ignore[misc]  # testinfra has no types
    """Run commands on one host of the inventory.

    testinfra's own ssh backend reads ``~/.ssh/config`` under the name of the test instead of the
    address, waits without limit and gives no standard input.
    """

    NAME = SCHEME

    def __init__(self, hostspec: str, **_: Any) -> None:
        super().__init__(unquote(hostspec))
        self.connection = _current[self.hostname]

    def get_pytest_id(self) -> str:
        """Return the host's name as it stands in the inventory."""
        return str(self.hostname)

    def get_encoding(self) -> str:
        """Take UTF-8: hosts need no Python, which testinfra would ask."""
        return "utf-8"

    def decode(self, data: bytes) -> str:
        """Decode output; what is not text must not end a test in an unrelated error."""
        return data.decode(errors="replace")

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a command, with the inventory's sudo.

        Args:
            command: for the shell; ``%s`` stands for quoted arguments.
            args: the arguments.
            kwargs: ``stdin`` for the command, a text or a ``Secret`` (it is safe there, never in
                the command); ``timeout`` in seconds.

        Raises:
            LostConnection: names the host.
        """
        text = self.quote(command, *args)
        limit = kwargs.get("timeout", COMMAND_LIMIT)
        try:
            done = subprocess.run(
                self.connection.ssh(text),
                input=self.connection.stdin(_bytes(kwargs.get("stdin", ""))),
                capture_output=True,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            raise LostConnection(f"{self.hostname}: no end after {limit:.0f} s: {text}") from None
        if done.returncode == 255:
            said = done.stderr.decode(errors="replace").strip()
            raise LostConnection(f"{self.hostname}: {said or 'ssh failed'}")
        return Result(self, done.returncode, text.encode(), done.stdout, done.stderr)


def _bytes(stdin: str | Secret) -> bytes:
    return (stdin.reveal() if isinstance(stdin, Secret) else stdin).encode()
