"""What each host of a run serves: to go back to it, and to say at the end who runs what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from uplift.facts import app as reading
from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.settings import from_data
from uplift.spec.app.release import Release
from uplift.spec.app.state import parse
from uplift.spec.errors import UpliftError
from uplift.spec.uv import CURRENT

READ_LIMIT = 330  # seconds; the script waits for a switch that is still going on

Serving = Mapping[str, Any]
"""``uv``: the active version, or empty; ``apps``: release, image, digest and builder by name, or
nothing for one that serves no release."""

_UV = f'link=$(readlink {CURRENT} 2>/dev/null); echo "uv ${{link##*/}}"'


def applications(host: InventoryHost) -> tuple[str, ...]:
    """Return the names of the applications that a host's settings list.

    Args:
        host: of the inventory.
    """
    return tuple(app.name for app in from_data(dict(host.data)).apps)


def serving(fleet: Fleet, hosts: Iterable[InventoryHost]) -> dict[str, Serving | UpliftError]:
    """Read what hosts serve; one remote command on each.

    Args:
        fleet: connected.
        hosts: of the inventory.

    Returns:
        By host, or why it cannot be said.
    """
    names = {host.name: applications(host) for host in hosts}
    found = fleet.each(lambda connection: _read(connection, names.get(connection.name, ())))
    return {**found, **fleet.unreachable}


def _read(connection: Connection, apps: tuple[str, ...]) -> Serving:
    done = connection.run(f"{_UV}\n{reading.READ if apps else ''}", *apps, time_limit=READ_LIMIT)
    first, *rest = done.stdout.splitlines() or [""]
    uv = first.removeprefix("uv ").strip()
    if not apps:
        return {"uv": uv, "apps": {}}
    try:
        state = parse(rest)
    except (ValueError, KeyError, IndexError):
        said = (done.stderr or done.stdout).strip()[-200:]
        raise UpliftError(
            f"{connection.name}: applications could not be read: {said or done.rc}"
        ) from None
    return {"uv": uv, "apps": {name: _of(state.releases.get(name, ())) for name in apps}}


def _of(releases: Sequence[Release]) -> dict[str, str]:
    """Return the newest good release: the one that serves."""
    good = [one for one in releases if one.good]
    if not good:
        return {}
    last = good[-1]
    return {
        "release": last.id,
        "image": last.reference,
        "digest": last.digest,
        "builder": last.builder,
    }
