"""Commands that operations yield: a script with hidden input, one to watch, and a refusal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyinfra.api.arguments import ConnectorArguments
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput
from pyinfra.context import host

from uplift.facts.script import HiddenInput, tell
from uplift.spec.rollout.event import Kind


def run(
    script: str,
    *args: str,
    stdin: str | Sequence[str] | None = None,
    timeout: int | None = None,
) -> StringCommand:
    """Return a command that runs a POSIX shell script on the host.

    Args:
        script: shell text; it is visible in the host's process list, so never holds a secret.
        args: positional arguments ``$1`` and on; visible as well.
        stdin: what the script reads; this is the way in for secrets. Lines when it is large.
        timeout: seconds after which pyinfra gives up on the command.
    """
    return StringCommand(*_words(script, args), **_arguments(stdin, timeout))  # type: ignore[arg-type]


def follow(
    script: str,
    *args: str,
    stdin: str | Sequence[str] | None = None,
    timeout: int | None = None,
) -> StringCommand:
    """Return a command like ``run``, whose output is shown line by line at any verbosity.

    Args:
        script: shell text; it is visible in the host's process list, so never holds a secret.
        args: positional arguments ``$1`` and on; visible as well.
        stdin: what the script reads; this is the way in for secrets. Lines when it is large.
        timeout: seconds after which pyinfra gives up on the command.
    """
    return _Followed(*_words(script, args), **_arguments(stdin, timeout))  # type: ignore[arg-type]


class _Followed(StringCommand):
    """A command whose output pyinfra shows as it comes, and does not repeat when it fails."""

    def execute(
        self, state: State, host: Host, connector_arguments: ConnectorArguments
    ) -> tuple[bool, CommandOutput]:
        connector_arguments.update(self.connector_arguments)
        good, output = host.run_shell_command(
            self, print_output=True, print_input=state.print_input, **connector_arguments
        )
        return good, output if good else CommandOutput([])


def _words(script: str, args: Sequence[str]) -> list[str | QuoteString]:
    return ["sh", "-c", QuoteString(script), "uplift", *map(QuoteString, args)]


def _arguments(stdin: str | Sequence[str] | None, timeout: int | None) -> dict[str, object]:
    arguments: dict[str, object] = {}
    if stdin is not None:
        arguments["_stdin"] = HiddenInput(stdin)
    if timeout is not None:
        arguments["_timeout"] = timeout
    return arguments


def refuse(message: str, code: int = 1) -> StringCommand:
    """Return a command that fails on this host alone and says why.

    An exception in one host's operation would end the run on every host.

    Args:
        message: what is wrong and what to do; never a secret.
        code: exit code of the command.
    """
    foresee(message)
    if host.state.is_executing:
        tell(host, Kind.REFUSED, message)
    return run(f'printf "%s\\n" "$1" >&2; exit {code}', message)


def foresee(message: str) -> None:
    """Show that an operation will refuse to go on, where pyinfra only looks.

    Args:
        message: what is wrong and what to do; never a secret.
    """
    if not host.state.is_executing:
        _show(message)
        tell(host, Kind.REFUSED, message)


def announce(
    line: str, *, restarts: Sequence[str] = (), removes: Sequence[str] = (), lasting: str = ""
) -> None:
    """Show what an operation would do, where pyinfra only looks: with ``--dry``, or before it asks.

    pyinfra then stops at the operation's first command, and shows no more than that there is one:
    all that the operation would do is announced before that. In a run that changes hosts, the
    operation says it itself by :func:`changed`, once it is done.

    Args:
        line: what would change, or why nothing will; never a secret.
        restarts: what stops and starts again for it, as a container's name.
        removes: what is gone afterwards and does not come back.
        lasting: why a rollout does not put this back, where it else does what the operation does.
    """
    if not host.state.is_executing:
        _show(line)
        effects = {"restarts": list(restarts), "removes": list(removes)}
        _tell_change(line, done=False, lasting=lasting, **effects)


def changed(line: str) -> None:
    """Say what an operation has changed; where pyinfra only looks, nothing was.

    Args:
        line: what changed; never a secret.
    """
    _show(line)
    _tell_change(line, done=host.state.is_executing)


def _show(line: str) -> None:
    for part in line.splitlines():
        host.log(part)


def _tell_change(line: str, *, done: bool, lasting: str = "", **effects: list[str]) -> None:
    # What is indented belongs to the line above, as a difference of a file does.
    for part in filter(None, re.split(r"\n(?! )", line)):
        subject = part.partition(":")[0] if ":" in part else ""
        tell(host, Kind.CHANGE, part, subject=subject, done=done, lasting=lasting, **effects)
