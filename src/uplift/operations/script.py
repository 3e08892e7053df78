"""Commands that operations yield: a script with hidden input, and a refusal."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.context import host

from uplift.facts.script import HiddenInput


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
    arguments: dict[str, object] = {}
    if stdin is not None:
        arguments["_stdin"] = HiddenInput(stdin)
    if timeout is not None:
        arguments["_timeout"] = timeout
    quoted = [QuoteString(arg) for arg in args]
    return StringCommand("sh", "-c", QuoteString(script), "uplift", *quoted, **arguments)  # type: ignore[arg-type]


def refuse(message: str, code: int = 1) -> StringCommand:
    """Return a command that fails on this host alone and says why.

    An exception in one host's operation would end the run on every host.

    Args:
        message: what is wrong and what to do; never a secret.
        code: exit code of the command.
    """
    announce(message)
    return run(f'printf "%s\\n" "$1" >&2; exit {code}', message)


def announce(line: str) -> None:
    """Show what an operation would do, where pyinfra only looks: with ``--dry``, or before it asks.

    pyinfra then stops at the operation's first command, and shows no more than that there is one.
    In a run that changes hosts, the operation says it itself, once it is done.

    Args:
        line: what would change, or why nothing will; never a secret.
    """
    if not host.state.is_executing:
        for part in line.splitlines():
            host.log(part)
