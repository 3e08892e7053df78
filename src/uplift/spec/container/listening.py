"""Who listens on the ports of a host, as ``ss`` says it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from uplift.spec.container.models import Container

_ANY = frozenset({"0.0.0.0", "*"})  # noqa: S104 - what listens, not what we listen on
_PROGRAM = re.compile(r'users:\(\("([^"]+)"')


@dataclass(frozen=True)
class Listener:
    """A socket that waits for others.

    Args:
        protocol: tcp or udp.
        address: of the host; ``*`` for all of both families.
        port: on it.
        program: that has it; empty when it is not known.
    """

    protocol: str
    address: str
    port: int
    program: str = ""

    def __str__(self) -> str:
        return f"{self.address}:{self.port}/{self.protocol} ({self.program or 'not known by whom'})"

    def meets(self, address: str, port: int, protocol: str = "tcp") -> bool:
        """Tell whether nobody else can listen there while this one does.

        Args:
            address: of the host; ``*`` for all of both families.
            port: on it.
            protocol: tcp or udp.
        """
        if (protocol, port) != (self.protocol, self.port):
            return False
        both = {address, self.address}
        family = {":" in one for one in both if one != "*"}
        return address == self.address or (len(family) == 1 and bool(both & {*_ANY, "::"}))


def parse(text: str) -> Iterator[Listener]:
    """Read what ``ss -Hltunp`` prints.

    Args:
        text: its lines; what is none of them is left out.
    """
    for line in text.splitlines():
        words = line.split()
        address, _, port = words[4].rpartition(":") if len(words) > 4 else ("", "", "")
        if words[:1] in (["tcp"], ["udp"]) and port.isdecimal():
            found = _PROGRAM.search(line)
            # An address of one interface has its name behind it.
            plain = address.partition("%")[0].strip("[]")
            yield Listener(words[0], plain, int(port), found[1] if found else "")


def in_the_way(
    it: Container, listeners: Iterable[Listener], containers: Mapping[str, Mapping[str, Any]]
) -> list[Listener]:
    """Return who listens where a container is to be published.

    What a container of ours has is none of them: it is replaced, or its name says enough.

    Args:
        it: the container.
        listeners: of the host.
        containers: that are known, as ``docker inspect`` shows them.
    """
    ours = {place for one in containers.values() for place in _published(one)}
    return [
        one
        for port in it.ports
        for one in listeners
        if (one.protocol, one.port) not in ours
        and one.meets(port.address, port.host or port.container, port.protocol)
    ]


def _published(container: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    if container.get("State", {}).get("Status") not in ("running", "restarting", "paused"):
        return
    bindings = container.get("HostConfig", {}).get("PortBindings") or {}
    for name, places in bindings.items():
        for place in places or ():
            if str(place.get("HostPort", "")).isdecimal():
                yield name.rpartition("/")[2], int(place["HostPort"])
