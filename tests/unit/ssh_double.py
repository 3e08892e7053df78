"""A real SSH server of paramiko's, as wrong as a test needs it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paramiko


@dataclass
class SshDouble(paramiko.ServerInterface):
    """Take one user's key and run what is asked for with the system's sh.

    Args:
        folder: gets the user's key and the known_hosts file.
        greets: send the banner; without it the server accepts and says nothing.
        shell: what runs commands; ``None`` answers like an account without a shell.
        path: PATH of the commands, so that a test can put another sudo in the way.
    """

    folder: Path
    greets: bool = True
    shell: str | None = "sh"
    path: str = "/usr/bin:/bin:/usr/sbin:/sbin"
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.host_key = paramiko.ECDSAKey.generate()
        self.user_key = paramiko.ECDSAKey.generate()
        self.key_file = self.folder / "id"
        self.user_key.write_private_key_file(str(self.key_file))
        self.known_hosts = self.folder / "known_hosts"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.know(self.host_key)
        self.open: list[object] = []
        self.logins = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def know(self, key: paramiko.PKey | None) -> None:
        """Write the known_hosts file anew, with one key or none."""
        line = f"[127.0.0.1]:{self.port} {key.get_name()} {key.get_base64()}\n" if key else ""
        self.known_hosts.write_text(line)

    @property
    def data(self) -> dict[str, object]:
        """Host data that reach this server."""
        return {
            "ssh_hostname": "127.0.0.1",
            "ssh_port": self.port,
            "ssh_user": "tester",
            "ssh_key": str(self.key_file),
            "ssh_known_hosts_file": str(self.known_hosts),
            "ssh_config_file": "/dev/null",
        }

    def close(self) -> None:
        """Stop listening, also for the thread that waits for the next client."""
        with contextlib.suppress(OSError):  # closed before
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        for thing in self.open:
            thing.close()  # type: ignore[attr-defined]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.open.append(client)
                if self.greets:
                    transport = paramiko.Transport(client)
                    transport.add_server_key(self.host_key)
                    transport.start_server(event=threading.Event(), server=self)
                    self.open.append(transport)

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = key == self.user_key
        self.logins += good
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        threading.Thread(target=self._relay, args=(chanid, destination), daemon=True).start()
        return paramiko.OPEN_SUCCEEDED

    def _relay(self, chanid: int, destination: tuple[str, int]) -> None:
        """Be a bastion: pass bytes on in both directions."""
        transports = [it for it in self.open if isinstance(it, paramiko.Transport)]
        channel = transports[-1].accept(10)
        with socket.create_connection(destination) as target:
            back = threading.Thread(target=_copy, args=(target, channel), daemon=True)
            back.start()
            _copy(channel, target)
            back.join(10)

    def check_channel_pty_request(self, *args: object) -> bool:
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.commands.append(command.decode())
        threading.Thread(target=self._run, args=(channel, command.decode()), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        if self.shell is None:
            with contextlib.suppress(OSError):
                channel.makefile("rb").read()
                channel.sendall(b"This account is currently not available.\n")
                channel.send_exit_status(1)
                channel.close()
            return
        process = subprocess.Popen(
            [self.shell, "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": self.path, "HOME": str(self.folder)},
        )
        stdin = channel.makefile("rb").read()
        with contextlib.suppress(OSError):
            out, err = process.communicate(stdin, timeout=60)
            channel.sendall(out)
            channel.sendall_stderr(err)
            channel.send_exit_status(process.returncode)
            channel.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def ssh_server(folder: Path, **wrong: object) -> Iterator[SshDouble]:
    """Serve on a free loopback port until the end of the block."""
    server = SshDouble(folder, **wrong)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.close()
