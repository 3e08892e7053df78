"""How HAProxy reaches the slots of an application, and by which answer it takes them as up."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from uplift.spec.app.models import SLOTS, App

ANY_ANSWER = "100-599"
"""Status that every server fits which answers at all."""

_WORDS = {
    "path": re.compile(r"\s+option\s+httpchk\s+GET\s+(\S+)\s*"),
    "status": re.compile(r"\s+http-check\s+expect\s+status\s+(\S+)\s*"),
    **{slot: re.compile(rf"\s+server\s+{slot}\s+127\.0\.0\.1:(\d+)(?:\s.*)?") for slot in SLOTS},
}


@dataclass(frozen=True)
class Backend:
    """What differs between the backends of two releases.

    It belongs to the release that serves: what the settings say of the next one would take the
    traffic from it.

    Args:
        path: that HAProxy asks for.
        status: answers that it takes as up, in HAProxy's words.
        ports: of the host's 127.0.0.1, for blue and for green.
    """

    path: str
    status: str
    ports: tuple[int, int]

    @classmethod
    def of(cls, app: App) -> Backend:
        """Return the backend of an application as it shall be.

        Args:
            app: with its check and its slots.
        """
        http = app.open_check
        if http is None:
            return cls("/", ANY_ANSWER, app.slot_ports)
        return cls(http.path, ",".join(map(str, http.status)), app.slot_ports)

    def between(self, other: Backend, slot: str) -> Backend:
        """Return one in which this one serves and another can take over.

        The next release need not know the path of this one, nor this one that of the next: what
        answers at all is up while both have a place, and the check of the next is made by the host.

        Args:
            other: of the next release.
            slot: that the next release gets.
        """
        ports = dict(zip(SLOTS, self.ports, strict=True))
        ports[slot] = other.ports[SLOTS.index(slot)]
        return replace(other, status=ANY_ANSWER, ports=(ports[SLOTS[0]], ports[SLOTS[1]]))

    @property
    def words(self) -> str:
        """Return it for people."""
        blue, green = self.ports
        return f"GET {self.path} ({self.status}) on ports {blue} and {green}"


def parse(config: str) -> dict[str, Backend]:
    """Read the backends of a configuration; one of a template of other words is left out.

    Args:
        config: text of ``haproxy.cfg``.
    """
    found: dict[str, dict[str, str]] = {}
    backend = ""
    for line in config.splitlines():
        if line and not line[0].isspace():
            words = line.split()
            backend = words[1] if words[0] == "backend" and len(words) > 1 else ""
            continue
        for word, pattern in _WORDS.items():
            if backend and (match := pattern.fullmatch(line)):
                found.setdefault(backend, {})[word] = match[1]
    return {
        name: Backend(one["path"], one["status"], (int(one[SLOTS[0]]), int(one[SLOTS[1]])))
        for name, one in found.items()
        if one.keys() == _WORDS.keys()
    }
