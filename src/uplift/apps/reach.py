"""Commands in the container that serves, by the SSH connection that verification uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uplift.remote.applications import having
from uplift.spec.app.models import App
from uplift.spec.base import near_miss
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.haproxy.models import CONFIG
from uplift.verify.connection import Connection, Connections

# $1 application, $2 "proxied" or nothing: $name is the container that serves. HAProxy's file names
# the slot; the first of two that run is none to guess by.
SERVING = rf"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
serving() {{
  name=$1
  [ -n "$2" ] || return 0
  slot=$(awk -v app="$1" '
    /^[^ \t]/ {{ inside = ($1 == "backend" && $2 == app) }}
    inside && $1 == "server" && ($2 == "blue" || $2 == "green") && !/ disabled$/ {{ print $2 }}
  ' {CONFIG} 2>/dev/null | head -n 1)
  [ -n "$slot" ] || {{ echo "uplift: no slot of $1 serves on this host" >&2; return 1; }}
  name=$1-$slot
}}
"""


@dataclass(frozen=True)
class Place:
    """A host with an application, and the way to it.

    Args:
        name: of the host.
        app: its settings there.
        connection: that is open.
    """

    name: str
    app: App
    connection: Connection

    @property
    def words(self) -> tuple[str, str]:
        """Return the arguments of :data:`SERVING`'s function."""
        return (self.app.name, "proxied" if self.app.proxy == "haproxy" else "")


class LostError(UpliftError):
    """Say which hosts could not be reached."""

    exit_code = Exit.HELD


@contextmanager
def places(
    inventory: str, app: str, limit: Sequence[str] = (), host: str | None = None
) -> Iterator[list[Place]]:
    """Connect to the hosts that have an application, and disconnect in the end.

    Args:
        inventory: a file, or what else pyinfra takes as an inventory.
        app: name of the application.
        limit: groups or patterns of host names.
        host: the only one.

    Raises:
        UsageError: no such application or host.
        LostError: a host could not be reached.
    """
    found = having(inventory, app, limit)
    if host is not None:
        names = [one.name for one, _ in found]
        found = [(one, its) for one, its in found if one.name == host]
        if not found:
            guess = near_miss(host, names)
            hint = f" Did you mean {guess!r}?" if guess else ""
            there = ", ".join(names)
            raise UsageError(f"{host!r} is no host with {app!r}.{hint} There are: {there}")
    connections = Connections.prepare([one for one, _ in found], Path.cwd())
    try:
        connections.open()
        every = connections.by_name
        problems = [f"{name}: {one.problem}" for name, one in every.items() if one.problem]
        if problems:
            raise LostError("\n".join(problems))
        yield [Place(one.name, its, every[one.name]) for one, its in found]
    finally:
        connections.close()
