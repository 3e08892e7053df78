"""Which Nexus answers, and what it can do."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SERVER = re.compile(r"Nexus/(\d+)\.(\d+)\.(\d+)(?:-\d+)? \((\w+)\)")


@dataclass(frozen=True, order=True)
class Version:
    """A version of Nexus, as its answers' header ``Server`` names it.

    Args:
        number: its three numbers.
        edition: ``OSS``, ``COMMUNITY`` or ``PRO``.
    """

    number: tuple[int, int, int]
    edition: str = "OSS"

    def __str__(self) -> str:
        return f"Nexus {'.'.join(map(str, self.number))} ({self.edition})"

    @property
    def supported(self) -> bool:
        """Has the API that all of this speaks (``/v1`` for repositories, realms and users)."""
        return self.number >= (3, 26, 0)

    @property
    def cleanup(self) -> str | None:
        """Path of cleanup policies below ``/service/rest``: public in Pro alone."""
        if self.edition == "PRO" and (3, 85, 0) <= self.number < (3, 94, 0):
            return "/v1/cleanup-policies"
        return "/internal/cleanup-policies" if self.number >= (3, 29, 1) else None

    @property
    def creates_tasks(self) -> bool:
        """Has a public call that creates tasks."""
        return self.number >= (3, 74, 0)

    @property
    def bearer_tokens(self) -> bool:
        """Can give a proxy a bearer token."""
        return self.number >= (3, 76, 0)

    @property
    def docker_paths(self) -> bool:
        """Can serve docker below its own address."""
        return self.number >= (3, 83, 0)


def version(server: str) -> Version | None:
    """Return the version that a header names; None when something else than Nexus answers.

    Args:
        server: value of the header ``Server``.
    """
    found = _SERVER.match(server)
    if not found:
        return None
    return Version((int(found[1]), int(found[2]), int(found[3])), found[4])
