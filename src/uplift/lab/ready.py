"""Wait until a host is what a rented server is when its provider hands it over."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from pathlib import Path

import paramiko
from docker.models.containers import Container

from uplift.lab import names
from uplift.lab.containers import read_file
from uplift.lab.keys import HOST_KEYS
from uplift.lab.state import Host
from uplift.spec.errors import UpliftError

SSH_LIMIT = 90  # seconds from the start of a host to its sshd's first answer
BOOT_LIMIT = 180  # seconds until systemd has started everything
_STATE = (
    "command -v systemctl >/dev/null || { echo running; exit 0; }; "
    f"LC_ALL=C timeout {BOOT_LIMIT} systemctl is-system-running --wait; "
    "LC_ALL=C systemctl --failed --plain --no-legend --no-pager; "
    "! test -e /run/nologin || echo 'only root may log in: /run/nologin is still there'"
)


def wait_for_sshd(container: Container, host: Host) -> None:
    """Wait until sshd answers; by then the host has made its host keys.

    Raises:
        UpliftError: the host ended, or the time limit passed.
    """
    limit = time.monotonic() + SSH_LIMIT
    while not _greets(host.address, host.port):
        container.reload()
        if container.status != "running":
            raise UpliftError(f"{host.name} ended while it started:\n{_log(container)}")
        if time.monotonic() > limit:
            raise UpliftError(
                f"{host.name}: no sshd at {host.address}:{host.port} after {SSH_LIMIT} s:\n"
                f"{_log(container)}"
            )
        time.sleep(0.1)


def _greets(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _log(container: Container) -> str:
    text = container.logs(tail=15).decode(errors="replace").strip()
    return text or f"(nothing in `docker logs {container.name}`)"


def host_keys(container: Container, host: Host) -> list[str]:
    """Return a host's public keys, read through Docker: no trust on first use.

    Raises:
        UpliftError: it has none.
    """
    found = [key for file in HOST_KEYS if (key := read_file(container, file))]
    if not found:
        raise UpliftError(f"{host.name} has no SSH host keys in /etc/ssh: see `docker logs`")
    return found


def boot_trouble(host: Host, key: Path, known_hosts: Path) -> list[str]:
    """Log in as root, wait until systemd is done, and return what it could not start.

    Args:
        host: where to log in.
        key: the lab's key.
        known_hosts: with this host's keys in it.

    Raises:
        UpliftError: login is refused, or systemd did not finish in time.
    """
    state, *failed = _as_root(host, key, known_hosts, _STATE).splitlines() or [""]
    if state not in ("running", "degraded"):
        raise UpliftError(
            f"{host.name}: systemd is not up after {BOOT_LIMIT} s ({state or 'no answer'}).\n"
            f"See `docker exec {names.HOST} systemctl list-jobs`."
        )
    return failed


def _as_root(host: Host, key: Path, known_hosts: Path, command: str) -> str:
    client = paramiko.SSHClient()
    client.load_host_keys(str(known_hosts))
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        with closing(client):
            client.connect(
                host.address, host.port, "root", key_filename=str(key),
                allow_agent=False, look_for_keys=False,
                timeout=10, banner_timeout=30, auth_timeout=30,
            )  # fmt: skip
            _, output, _ = client.exec_command(command, timeout=BOOT_LIMIT + 20)
            return output.read().decode()
    except (paramiko.SSHException, OSError) as error:
        raise UpliftError(
            f"{host.name}: no login as root at {host.address}: {error or 'no answer in time'}"
        ) from error
