"""One host, held open: pyinfra's own connector, settings and sudo, with a time limit a step."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from paramiko import SSHException
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.config import Config
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.sshuserclient import client as pyinfra_client
from pyinfra.connectors.util import CommandOutput

from uplift.facts.script import HiddenInput
from uplift.remote import become
from uplift.remote.destination import Destination
from uplift.remote.inventory import InventoryHost
from uplift.remote.unreachable import Reason, StepTimeout, Unreachable, from_pyinfra
from uplift.secrets import sudo
from uplift.spec.errors import UsageError

CONNECT_LIMIT = 10.0
STEP_LIMIT = 60.0

# What they log is in the exceptions as well; without a handler Python prints it on stderr.
for _name in ("pyinfra", "paramiko"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

# pyinfra asks at the terminal whether to trust a bastion that it does not know: in a thread nobody
# can answer, and the thread would wait for ever. Refused, it is an unknown host key like any other.
pyinfra_client.input = lambda _question: "n"  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Result:
    """What a command left behind.

    Args:
        rc: exit code.
        stdout: exactly what it printed.
        stderr: the same for errors; empty with a terminal, which joins both.
        sent: clock of the controller (seconds since 1970) when it was sent.
        received: the same when its last output was there.
    """

    rc: int
    stdout: str
    stderr: str
    sent: float
    received: float


class Connection:
    """A host of the inventory, reached as pyinfra reaches it.

    Unlike pyinfra it never learns a host key and never asks a question: it is used from
    threads, where nobody could answer. One step at a time runs on a connection.

    Args:
        host: with its merged data, as :func:`uplift.remote.inventory.hosts` gives it.
        connect_limit: seconds for each of reaching, greeting and logging in.

    Raises:
        UsageError: the connection data of the host are of a wrong type.
    """

    def __init__(self, host: InventoryHost, *, connect_limit: float = CONNECT_LIMIT) -> None:
        self.name = host.name
        self._lock = threading.Lock()
        self._password = sudo.password(host.data)
        config = Config(CONNECT_TIMEOUT=math.ceil(connect_limit))
        try:
            # A state of its own, so that wrong data of one host stops no other.
            inventory = Inventory(([(host.name, dict(host.data))], {}))
            self._state = State(inventory, config)
            self._host: Host = next(iter(inventory))
            arguments: dict[str, Any] = dict(pop_global_arguments(self._state, self._host, {})[0])
        except (PyinfraError, TypeError) as error:
            raise UsageError(f"{host.name}: {error}") from None
        self._arguments = {key: arguments[key] for key in CONNECTOR_ARGUMENT_KEYS}
        self._connect_limit = connect_limit
        self._harden()

    @property
    def in_thread(self) -> bool:
        """Return whether it may be used outside the main thread.

        gevent's child processes, which pyinfra's local connectors start, may not.
        """
        return isinstance(self._host.connector, SSHConnector)

    @property
    def has_sudo(self) -> bool:
        """Return whether the inventory says to become another user."""
        return any(self._arguments[key] for key in ("_sudo", "_su_user", "_doas", "_dzdo"))

    @property
    def shell(self) -> str:
        """Return the shell that the inventory names for commands."""
        return str(self._arguments["_shell_executable"] or "sh")

    @property
    def helper_folder(self) -> str:
        """Return where pyinfra, in its own runs, puts a program that hands over sudo's password.

        Empty when sudo gets none; TMPDIR of the host comes before it.
        """
        own = self._arguments.get("_temp_dir") or self._host.get_temp_dir_config()
        return str(own) if self._password else ""

    @property
    def checks_host_key(self) -> bool:
        """Return whether a wrong host key is refused."""
        return self._data.get("ssh_strict_host_key_checking") not in ("no", "off")

    @property
    def destination(self) -> Destination:
        """Return where it connects to, with what ``~/.ssh/config`` says about it."""
        return Destination.of(self.name, self._data)

    def connect(self) -> None:
        """Log in.

        Raises:
            Unreachable: with the reason.
        """
        limit = 4 * self._connect_limit
        try:
            with self._limited(limit):
                self._host.connect(show_errors=False, raise_exceptions=True)
        except PyinfraError as error:
            raise from_pyinfra(self.name, error) from None
        except (OSError, SSHException, EOFError) as error:
            raise Unreachable(self.name, Reason.OTHER, str(error) or repr(error)) from None

    def as_configured(self, command: StringCommand) -> StringCommand:
        """Return a program with its arguments in the sudo, su, shell and environment it needs.

        Raises:
            Unreachable: su needs a password, and the helper that gives it could not be written.
        """
        with self._faults(STEP_LIMIT):
            return become.wrapped(self._state, self._host, command, self._arguments, self._password)

    def run(
        self,
        script: str,
        *args: str,
        stdin: str | None = None,
        sudo: bool = True,
        time_limit: float = STEP_LIMIT,
    ) -> Result:
        """Run a POSIX shell script on the host.

        Args:
            script: shell text; visible in the process list, so never holds a secret.
            args: positional arguments ``$1`` and on; visible as well.
            stdin: what the script reads; this is the way in for secrets.
            sudo: become the user that the inventory says; else stay the SSH user.
            time_limit: seconds after which the connection is cut.

        Raises:
            StepTimeout: the time limit passed; the connection is closed.
            Unreachable: the connection was lost, or the login gives no shell.
        """
        quoted = [QuoteString(arg) for arg in args]
        command = StringCommand("sh", "-c", QuoteString(script), "uplift", *quoted)
        with self._lock, self._faults(time_limit):
            wrapped = self.as_configured(command) if sudo else command
            return self._execute(wrapped, self._stdin(stdin, sudo), time_limit)

    def execute(self, command: StringCommand, *, time_limit: float = STEP_LIMIT) -> Result:
        """Run a command as the SSH user, shell syntax and one :meth:`as_configured` part included.

        Nothing else in it may read standard input, which may hold sudo's password.

        Raises:
            StepTimeout: the time limit passed; the connection is closed.
            Unreachable: the connection was lost, or the login gives no shell.
        """
        with self._lock, self._faults(time_limit):
            return self._execute(command, self._stdin(None, True), time_limit)

    def close(self) -> None:
        """Log out; a connection that is broken already is no error."""
        if self._host.connected:
            with self._limited(self._connect_limit):
                self._host.disconnect()
        self._cut()

    def _stdin(self, content: str | None, with_sudo: bool) -> HiddenInput | None:
        """Return what to write: sudo's password goes first, never into argv."""
        lines = sudo.answer(self._password) if with_sudo else []
        lines += [] if content is None else [content]
        if lines and self._arguments["_get_pty"]:
            lines.append(_END)
        return HiddenInput(lines) if lines else None

    def _execute(self, command: StringCommand, stdin: HiddenInput | None, limit: float) -> Result:
        # pyinfra gives no exit code, and asks for a password when sudo wants one and the
        # command fails: so the command always succeeds and prints its exit code last.
        mark = f"uplift-exit-{secrets.token_hex(6)}"
        marked = StringCommand("{", command, f"; }}; printf '\\n%s %s\\n' {mark} \"$?\"")
        sent = time.time()
        _, output = self._host.run_shell_command(
            marked,
            _stdin=stdin,
            _get_pty=self._arguments["_get_pty"],
            _shell_executable=self._arguments["_shell_executable"],
            _timeout=None if self.in_thread else math.ceil(limit),
        )
        return self._result(output, mark, sent, time.time())

    def _result(self, output: CommandOutput, mark: str, sent: float, received: float) -> Result:
        lines = [line.rstrip("\r") for line in output.stdout_lines]
        if self._arguments["_get_pty"]:
            lines = sudo.unechoed(self._password, lines)
        if not lines or not lines[-1].startswith(mark):
            raise self._broken(next((ln for ln in output.output_lines if ln.strip()), "nothing"))
        rc = int(lines[-1].split()[1])
        return Result(rc, "\n".join(lines[:-1]), output.stderr, sent, received)

    def _broken(self, said: str) -> Unreachable:
        """Return why there is no result: the connection is gone, or the login has no shell."""
        if self.in_thread and not self._active():
            return Unreachable(self.name, Reason.LOST, f"the connection was lost ({said})")
        return Unreachable(
            self.name, Reason.SHELL, f"no POSIX shell after the login; it said: {said}"
        )

    @contextmanager
    def _faults(self, limit: float) -> Iterator[None]:
        """Turn what breaks a step into an error that names the host."""
        try:
            with self._limited(limit):
                yield
        except TimeoutError:
            raise StepTimeout(self.name, limit) from None
        except PyinfraError as error:
            raise from_pyinfra(self.name, error) from None
        except (OSError, SSHException, EOFError) as error:
            raise self._broken(str(error) or type(error).__name__) from None

    @contextmanager
    def _limited(self, seconds: float) -> Iterator[None]:
        """Cut the connection when the time is over: what waits for it then ends by itself."""
        expired = threading.Event()

        def cut() -> None:
            expired.set()
            self._cut()

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception:
            if not expired.is_set():
                raise
        finally:
            timer.cancel()
        if expired.is_set():
            raise StepTimeout(self.name, seconds)

    @property
    def _data(self) -> dict[str, Any]:
        data: dict[str, Any] = self._host.connector.data
        return data

    def _harden(self) -> None:
        """Set time limits that pyinfra leaves to paramiko, and refuse unknown host keys."""
        if not self.in_thread:
            return
        if self.checks_host_key:
            self._data["ssh_strict_host_key_checking"] = "yes"
        # Shorter than the time for the handshake: paramiko would not say that no banner came.
        limits = {"banner_timeout": 0.8 * self._connect_limit, "auth_timeout": self._connect_limit}
        self._data["ssh_paramiko_connect_kwargs"] = {
            **limits,
            **(self._data.get("ssh_paramiko_connect_kwargs") or {}),
        }

    def _active(self) -> bool:
        client = getattr(self._host.connector, "client", None)
        transport = client.get_transport() if client else None
        return bool(transport and transport.is_active())

    def _cut(self) -> None:
        client = getattr(self._host.connector, "client", None)
        if client is not None:
            client.close()


# A terminal ends its input by this letter at the start of a line, not when the sender is done.
_END = "\x04"
