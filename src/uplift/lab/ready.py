"""Wait until a host is what a rented server is when its provider hands it over."""

from __future__ import annotations

import http.client
import logging
import socket
import time
from contextlib import closing
from pathlib import Path

import paramiko
from docker.models.containers import Container

from uplift.lab import machine
from uplift.lab.containers import read_file
from uplift.lab.keys import HOST_KEYS
from uplift.lab.state import Host, Registry
from uplift.spec.errors import UpliftError

# paramiko's own reports of failed connections; ours name the host and say what to do.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

REGISTRY_LIMIT = 30  # seconds until the registry answers
SSH_LIMIT = 90  # seconds from the start of a host to its sshd's first answer
BOOT_LIMIT = 180  # seconds until systemd has started everything
_STATE = (
    "test -d /run/systemd/system || { echo running; exit 0; }; "  # a light host
    f"LC_ALL=C timeout {BOOT_LIMIT} systemctl is-system-running --wait; "
    "LC_ALL=C systemctl --failed --plain --no-legend --no-pager; "
    "! test -e /run/nologin || echo 'only root may log in: /run/nologin is still there'"
)


def wait_for_registry(container: Container, registry: Registry) -> None:
    """Wait until the registry answers.

    Raises:
        UpliftError: it did not within the time limit.
    """
    limit = time.monotonic() + REGISTRY_LIMIT
    while not _serves(registry):
        if time.monotonic() > limit:
            raise UpliftError(
                f"the lab's registry did not answer at {registry.address}:{registry.port} within "
                f"{REGISTRY_LIMIT} s:\n{_log(container)}"
            )
        time.sleep(0.2)


def _serves(registry: Registry) -> bool:
    with closing(http.client.HTTPConnection(registry.address, registry.port, timeout=5)) as asked:
        try:
            asked.request("GET", "/v2/")
            return asked.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


def wait_for_sshd(container: Container, host: Host) -> None:
    """Wait until sshd answers; by then the host has made its host keys.

    Raises:
        UpliftError: the host ended, or the time limit passed.
    """
    limit = time.monotonic() + SSH_LIMIT
    while not _greets(host.address, host.port):
        container.reload()
        if container.status != "running":
            raise UpliftError(
                f"{host.name} ended while it started:\n{_log(container)}{machine.advice()}"
            )
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
            "What it waits for: `systemctl list-jobs` on the host."
        )
    return failed


def _as_root(host: Host, key: Path, known_hosts: Path, command: str) -> str:
    """Run a command as root; a host that is still busy with its start gets more tries."""
    limit = time.monotonic() + SSH_LIMIT
    while True:
        try:
            return _try_as_root(host, key, known_hosts, command)
        except (paramiko.SSHException, OSError) as error:
            refused = isinstance(
                error, paramiko.AuthenticationException | paramiko.BadHostKeyException
            )
            if refused or time.monotonic() > limit:
                raise UpliftError(
                    f"{host.name}: no login as root at {host.address}: {error or 'no answer'}"
                ) from error
        time.sleep(0.5)


def _try_as_root(host: Host, key: Path, known_hosts: Path, command: str) -> str:
    client = paramiko.SSHClient()
    client.load_host_keys(str(known_hosts))
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    with closing(client):
        client.connect(
            host.address, host.port, "root", key_filename=str(key),
            allow_agent=False, look_for_keys=False,
            timeout=10, banner_timeout=30, auth_timeout=30,
        )  # fmt: skip
        _, output, _ = client.exec_command(command, timeout=BOOT_LIMIT + 20)
        return output.read().decode()
