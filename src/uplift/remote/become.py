"""The inventory's sudo, su, shell and environment around a command, as pyinfra puts them there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.util import make_unix_command_for_host

from uplift.secrets import sudo

# How a command is run, not what is run: pyinfra's connectors take these apart as well.
_CONTROL = ("_success_exit_codes", "_timeout", "_get_pty", "_stdin")
_OF_SUDO = ("_sudo", "_sudo_user", "_use_sudo_login", "_preserve_sudo_env", "_sudo_password")


def wrapped(
    state: State, host: Host, command: StringCommand, arguments: Mapping[str, Any], password: str
) -> StringCommand:
    """Return a command in all that the inventory wants around it.

    pyinfra would put sudo's password into the command line. Here sudo reads it from standard
    input, where :func:`uplift.secrets.sudo.answer` goes first.

    Args:
        state: that the host belongs to.
        host: of pyinfra's.
        command: a program with its arguments, not more of the shell's language.
        arguments: of the host, by pyinfra's names.
        password: of sudo, empty when it needs none.
    """
    around = {key: value for key, value in arguments.items() if key not in _CONTROL}
    if not password:
        return make_unix_command_for_host(state, host, command, **around)
    inside = {key: value for key, value in around.items() if key not in _OF_SUDO}
    reading = f'{sudo.before(password)}exec "$@"'
    guarded = StringCommand("sh", "-c", QuoteString(reading), "uplift", command)
    # At a terminal sudo throws away what came before its question: from a pipe it does not.
    pipe = ["cat", "|"] if arguments["_get_pty"] else []
    return StringCommand(
        *pipe, *_sudo(around, password), make_unix_command_for_host(state, host, guarded, **inside)
    )


def _sudo(arguments: Mapping[str, Any], password: str) -> list[str | QuoteString]:
    words: list[str | QuoteString] = ["sudo", "-H"]
    words += [QuoteString(flag) for flag in sudo.flags(password)]
    words += ["-i"] if arguments["_use_sudo_login"] else []
    words += ["-E"] if arguments["_preserve_sudo_env"] else []
    user = arguments["_sudo_user"]
    words += ["-u", QuoteString(user)] if user else []
    return words
