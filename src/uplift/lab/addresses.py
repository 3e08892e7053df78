"""Loopback addresses and ports of a lab: chosen free once, then kept."""

from __future__ import annotations

import errno
import hashlib
import socket
from collections.abc import Callable, Container

from uplift.lab import names
from uplift.spec.base import Block
from uplift.spec.errors import UpliftError

SSH_PORT = 22
REGISTRY_PORT = 5000
# Published on every full host, because service tests and load tests go to loopback addresses:
# HTTP, HTTPS, registry, applications (8000, 8080), InfluxDB, HAProxy's statistics, Nexus.
SERVICE_PORTS = (80, 443, 5000, 8000, 8080, 8086, 8404, 28081)
PORTS = (SSH_PORT, *SERVICE_PORTS)

_FIRST_BLOCK, _LAST_BLOCK = 2, 254
_REGISTRY, _HOSTS, _BOOKWORM = 2, 10, 250
MOST_HOSTS = _BOOKWORM - _HOSTS - 1


class Addresses(Block):
    """Where a lab is reached from this machine.

    Args:
        block: the lab's addresses are ``127.0.<block>.x``.
        ports: port inside a host to the port on its loopback address.
    """

    block: int
    ports: dict[int, int]

    def of(self, host: str) -> str:
        """Return the loopback address of a host, or of ``registry``."""
        return f"127.0.{self.block}.{_last_number(host)}"


def _last_number(host: str) -> int:
    fixed = {names.REGISTRY: _REGISTRY, names.BOOKWORM_HOST: _BOOKWORM}
    return fixed[host] if host in fixed else _HOSTS + int(host.removeprefix("lab-"))


def ports_of(kind: str) -> tuple[int, ...]:
    """Return the ports that a host of this image has published."""
    return (SSH_PORT,) if kind == names.LIGHT else PORTS


def is_free(address: str, port: int) -> bool:
    """Say whether a server could listen on an address of this machine."""
    with socket.socket() as probe:
        # As Docker's proxy does: connections that are just closing do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except PermissionError:  # a low port and not root: ask who is there
            return not _answers(address, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise UpliftError(
                f"{address} is not usable on this machine ({error.strerror})"
            ) from error
    return True


def _answers(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def choose(
    lab: str, taken: Container[int], free: Callable[[str, int], bool] = is_free
) -> Addresses:
    """Choose addresses and ports that nobody uses.

    Args:
        lab: name of the lab; the search starts at a block that depends on it.
        taken: blocks of other labs, running or not.
        free: says whether a server could listen on an address and port.
    """
    count = _LAST_BLOCK - _FIRST_BLOCK + 1
    start = int.from_bytes(hashlib.sha256(lab.encode()).digest()[:4], "big")
    for step in range(count):
        block = _FIRST_BLOCK + (start + step) % count
        if block in taken:
            continue
        if ports := _free_ports(block, free):
            return Addresses(block=block, ports=ports)
    raise UpliftError("no free block of loopback addresses 127.0.2.x to 127.0.254.x is left")


def _free_ports(block: int, free: Callable[[str, int], bool]) -> dict[int, int] | None:
    """Return a port for each of ``PORTS``, or nothing when one has no free place."""
    probes = [Addresses(block=block, ports={}).of(host) for host in (names.REGISTRY, "lab-1")]
    found = {}
    for port in PORTS:
        # A server of this machine that listens on all addresses (its own sshd, for example)
        # has the port on every loopback address too: then the lab takes another number.
        options = (port, port + 2200 if port == SSH_PORT else port + 20000)
        fits = [o for o in options if all(free(address, o) for address in probes)]
        if not fits:
            return None
        found[port] = fits[0]
    return found
