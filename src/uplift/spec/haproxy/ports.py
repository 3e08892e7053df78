"""On which ports a configuration lets HAProxy listen, and who has them already."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterable

from uplift.spec.container.listening import Listener

_BIND = re.compile(r"^[ \t]*bind[ \t]+(\S+)(.*)$", re.MULTILINE)
_ANY = {"": "0.0.0.0", "*": "0.0.0.0", "::": "*"}  # noqa: S104 - HAProxy's words, then those of ss


def binds(config: str) -> set[tuple[str, int]]:
    """Return addresses and ports on which HAProxy listens, as ``ss`` would say it.

    A template of other words may have sockets and ranges as well: these are left out.

    Args:
        config: text of ``haproxy.cfg``.
    """
    found = set()
    for places, more in _BIND.findall(config):
        for place in places.split(","):
            address, colon, port = place.rpartition(":")
            if colon and port.isdecimal() and "@" not in address:
                found.add((_plain(address, alone="v6only" in more.split()), int(port)))
    return found


def _plain(address: str, *, alone: bool) -> str:
    """Write an address as the kernel does; alone: of its own family."""
    with contextlib.suppress(ValueError):
        address = str(ipaddress.ip_address(address.strip("[]")))
    return address if alone and address == "::" else _ANY.get(address, address)


def taken(config: str, listeners: Iterable[Listener], running: str = "") -> list[Listener]:
    """Return who else listens where HAProxy shall.

    Args:
        config: as wanted.
        listeners: of the host.
        running: configuration of the HAProxy that runs; what nobody is known to have on its ports
            is its own.
    """
    wanted, own = binds(config), binds(running)

    def meets(places: set[tuple[str, int]], one: Listener) -> bool:
        return any(one.meets(address, port) for address, port in places)

    return [
        one
        for one in listeners
        if one.program != "haproxy"
        and meets(wanted, one)
        and not (not one.program and meets(own, one))
    ]
