"""Scripts that run on a host: input and output that pyinfra never prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from paramiko import SSHException
from pyinfra import logger
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host
from pyinfra.connectors.util import CommandOutput

from uplift import events
from uplift.facts import expected
from uplift.secrets import fingerprint_key
from uplift.spec.rollout.event import Kind
from uplift.spec.seen import fingerprint, parts

T = TypeVar("T")


class HiddenInput:
    """Text for a remote command's standard input that pyinfra cannot print.

    pyinfra shows a fact's arguments at ``-v`` and an operation's in ``--debug-operations``;
    whatever has a ``repr`` of its own shows that instead.

    Args:
        text: what the command reads; a final newline is added when there is none. Something
            large comes as lines, which are shared by all hosts and sent one by one.
    """

    def __init__(self, text: str | Sequence[str]) -> None:
        pieces = [text] if isinstance(text, str) else text
        self._pieces = [piece if piece.endswith("\n") else piece + "\n" for piece in pieces]

    def readlines(self) -> list[str]:
        """Return the text's pieces: pyinfra writes each on its own."""
        return self._pieces

    def __iter__(self) -> Iterator[str]:
        return iter(self.readlines())

    def __repr__(self) -> str:
        return "<hidden input>"


def run_quietly(
    host: Host, command: str | StringCommand, arguments: Mapping[str, Any]
) -> tuple[bool, CommandOutput]:
    """Run a command as the operation's other commands are run; pyinfra prints none of its output.

    Args:
        host: where to run it.
        command: what to run.
        arguments: of the connection, as ``_stdin``; they win over the operation's.
    """
    wanted = dict(host.current_op_global_arguments or {})
    given, _ = pop_global_arguments(host.state, host, wanted)
    connection = {key: value for key, value in given.items() if key in CONNECTOR_ARGUMENT_KEYS}
    return host.run_shell_command(
        command,
        print_output=False,
        print_input=host.state.print_fact_input,
        **{**connection, **arguments},
    )


def read_quietly(
    host: Host, fact: type[FactBase[T]], stdin: HiddenInput | None = None, **arguments: Any
) -> T | None:
    """Return a fact whose output must not be shown: pyinfra prints it at ``-vvv`` and on failure.

    Args:
        host: where to read.
        fact: what to read.
        stdin: what the fact's command reads.
        arguments: of the fact's command.

    Returns:
        The fact, or None when it could not be read, or is not as the plan of this run saw it:
        then the host has failed.
    """
    try:
        good, output = run_quietly(
            host, fact().command(**arguments), {} if stdin is None else {"_stdin": stdin}
        )
        if good:
            value = fact().process(output.stdout_lines)
            return value if tell_read(host, fact, value, arguments) else None
        reason = "\n".join(output.stderr_lines)
    except (TimeoutError, OSError, SSHException, FactProcessError) as error:
        reason = str(error) or type(error).__name__
    text = f"{fact.__name__} could not be read: {reason}"
    host.log(text, log_func=logger.error)
    tell(host, Kind.UNREAD, text)
    host.state.fail_hosts({host})
    return None


def read(host: Host, fact: type[FactBase[T]], **arguments: Any) -> T | None:
    """Return a fact that pyinfra may show, as ``host.get_fact`` does, and tell who listens.

    Args:
        host: where to read.
        fact: what to read.
        arguments: of the fact's command, and pyinfra's own.

    Returns:
        The fact, or None as ``read_quietly``.
    """
    value: T = host.get_fact(fact, **arguments)
    own = {key: given for key, given in arguments.items() if not key.startswith("_")}
    return value if tell_read(host, fact, value, own) else None


def tell_read(host: Host, fact: type[FactBase[T]], value: T, arguments: Mapping[str, Any]) -> bool:
    """Tell who listens what a fact has found, as fingerprints.

    Args:
        host: that was read.
        fact: that has read.
        value: what it found.
        arguments: that it was given.

    Returns:
        Whether the run may go on, as ``saw``.
    """
    if not events.wanted():
        return True
    asked = fingerprint(arguments, fingerprint_key())
    name = f"{fact.__module__.rpartition('.')[2]}.{fact.__name__}"
    return saw(host, name, value, asked)


def saw(host: Host, name: str, value: object, asked: str = "") -> bool:
    """Tell who listens what was understood of a host, as fingerprints.

    Args:
        host: that was read.
        name: what was read, as ``nexus.State``.
        value: what it found.
        asked: tells one question from another.

    Returns:
        Whether the run may go on; not where a host is no longer as its plan saw it: it has failed.
    """
    if not events.wanted():
        return True
    key = fingerprint_key()
    found = parts(value, key)
    which = f"{name}:{asked}" if asked else name
    tell(
        host, Kind.READ, fact=name, key=which, fingerprint=fingerprint(found, key), parts=found
    )  # fmt: skip
    moved = expected.moved(host.name, which, found) if host.state.is_executing else []
    if moved:
        text = f"not as the plan saw it: {name}: {', '.join(moved)}"
        host.log(text, log_func=logger.error)
        tell(host, Kind.STALE, text, fact=name, key=which)
        host.state.fail_hosts({host})
    return not moved


def tell(host: Host, kind: Kind, text: str = "", **data: Any) -> None:
    """Tell who listens what happens on a host, in the operation that it is in.

    Args:
        host: where.
        kind: of event.
        text: for people; never a secret.
        data: more about it; never a secret.
    """
    if not events.wanted():
        return
    hash = host.current_op_hash
    names = sorted(host.state.get_op_meta(hash).names) if hash else []
    data = {"id": hash, **data} if hash else data
    events.write(kind, host=host.name, operation=" / ".join(names), text=text, **data)
