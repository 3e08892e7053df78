"""pyinfra's SSH connector behind the fence, whatever a deploy file or an inventory asks for."""

from __future__ import annotations

from typing import Any

from paramiko import SSHException
from pyinfra import logger
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.connectors.ssh import SSHConnector

from uplift.spec.rollout.lock import SHELLS

_BECOME = ("_sudo", "_su_user", "_doas", "_dzdo")


def tell_lost() -> None:
    """Let a command say when its connection has ended: by itself it has failed like any other."""
    run = SSHConnector.run_shell_command

    def run_shell_command(self: Any, *args: Any, **arguments: Any) -> Any:
        good, output = run(self, *args, **arguments)
        transport = self.client and self.client.get_transport()
        if not good and not (transport and transport.is_active()):
            # As pyinfra has it from paramiko where a command cannot even begin.
            raise SSHException("the connection was lost")
        return good, output

    SSHConnector.run_shell_command = run_shell_command  # type: ignore[method-assign]


def pass_fence(program: str | None) -> None:
    """Send every command and every uploaded file of this process through a run's shell.

    By itself pyinfra's ``--shell-executable`` is only what is used when nothing else says
    ``_shell_executable``, and a file that needs no sudo is written by SFTP, past every shell.

    Args:
        program: pyinfra's shell; another one than that of a run changes nothing.
    """
    if not program or not program.startswith(SHELLS):
        return
    run, put = SSHConnector.run_shell_command, SSHConnector.put_file

    def run_shell_command(self: Any, command: Any, *args: Any, **arguments: Any) -> Any:
        arguments["_shell_executable"] = through(program, arguments.get("_shell_executable"))
        return run(self, command, *args, **arguments)

    def put_file(
        self: Any,
        filename_or_io: Any,
        remote_filename: str,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,
    ) -> bool:
        # pyinfra's own name is the same in every run: a controller that wakes up too late would
        # change what the newer run has uploaded and not yet put in its place.
        temporary = self.host.get_temp_filename(f"{program} {remote_filename}")
        shown: Any = {"print_output": print_output, "print_input": print_input}
        if any(arguments.get(key) for key in _BECOME):
            done: bool = put(self, filename_or_io, remote_filename, temporary, **shown, **arguments)
            return done
        self._put_file(filename_or_io, temporary)
        words = QuoteString(temporary)
        place = StringCommand("cp", words, QuoteString(remote_filename), "&&", "rm", "-f", words)
        good, output = self.run_shell_command(place, **shown, **arguments)
        if not good:
            logger.error(f"{self.host.print_prefix}File upload error: {output.stderr}")
        return bool(good)

    SSHConnector.run_shell_command = run_shell_command  # type: ignore[method-assign]
    SSHConnector.put_file = put_file  # type: ignore[method-assign]
    SSHConnector.check_can_rsync = _no_rsync  # type: ignore[method-assign]


def through(program: str, wanted: str | None) -> str:
    """Return the words that run a command of some shell behind the fence.

    Args:
        program: the shell of the run.
        wanted: what an operation, a fact or the inventory names.
    """
    if wanted and wanted.startswith(program):
        return wanted
    return program if wanted in (None, "", "sh") else f"{program} {wanted}"


def _no_rsync(self: Any) -> None:
    raise NotImplementedError(
        "files.rsync reaches hosts past the lock of a rollout: use files.sync, or run this deploy "
        "file by pyinfra alone"
    )
