"""Read what every host runs: one remote command each, and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uplift.facts import status as reading
from uplift.remote import inventory as inventories
from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.remote.settings import from_host
from uplift.settings import Settings
from uplift.spec.errors import Exit, UpliftError
from uplift.spec.rollout.status import HostStatus, Row, parse

READ_LIMIT = 120  # seconds
SETTLED_LIMIT = 330  # seconds; the script waits for a switch that is still going on


@dataclass(frozen=True)
class Status:
    """What runs where.

    Args:
        hosts: that could be read, in the inventory's order.
        errors: why the others could not, by host.
        unreachable: those of them that could not be reached at all.
        settings: of every selected host.
    """

    hosts: tuple[HostStatus, ...]
    errors: Mapping[str, str]
    unreachable: frozenset[str]
    settings: Mapping[str, Settings]

    @property
    def rows(self) -> list[Row]:
        """Return the rows of all hosts."""
        return [row for host in self.hosts for row in host.rows]

    @property
    def exit_code(self) -> Exit:
        """Return the exit code of ``uplift status``."""
        if self.errors:
            return Exit.HELD if self.unreachable else Exit.FAILED
        return Exit.DONE


def read(inventory: str, limit: Sequence[str] = ()) -> Status:
    """Read what the hosts of an inventory run.

    Args:
        inventory: a file, or what else pyinfra takes as an inventory.
        limit: groups or patterns of host names.

    Raises:
        UsageError: wrong inventory, limit or settings.
    """
    hosts = inventories.hosts(inventory, limit)
    settings = {host.name: from_host(host, inventory) for host in hosts}
    with Fleet(hosts) as fleet:
        found = {
            **fleet.each(lambda connection: of_host(connection, settings[connection.name])),
            **fleet.unreachable,
        }
        lost = frozenset(fleet.unreachable)
    read = [found[host.name] for host in hosts]
    errors = {
        host.name: str(one).removeprefix(f"{host.name}: ")
        for host, one in zip(hosts, read, strict=True)
        if isinstance(one, UpliftError)
    }
    return Status(tuple(one for one in read if isinstance(one, HostStatus)), errors, lost, settings)


def of_host(connection: Connection, settings: Settings, *, settled: bool = False) -> HostStatus:
    """Read what one host runs.

    Args:
        connection: to it.
        settings: of the host.
        settled: wait for a switch that is still going on.

    Raises:
        UpliftError: it could not be read.
    """
    names = [app.name for app in settings.apps]
    script, limit = (reading.SETTLED, SETTLED_LIMIT) if settled else (reading.READ, READ_LIMIT)
    done = connection.run(script, *names, time_limit=limit)
    try:
        return parse(connection.name, settings.apps, done.stdout.splitlines())
    except (ValueError, KeyError, IndexError):
        said = (done.stderr or done.stdout).strip()[-200:]
        msg = f"{connection.name}: what it runs could not be read: {said or done.rc}"
        raise UpliftError(msg) from None
