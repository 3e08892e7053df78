"""What each host of a run serves: to go back to it, and to say at the end who runs what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.rollout.status import of_host
from uplift.settings import from_data
from uplift.spec.errors import UpliftError
from uplift.spec.rollout.status import HostStatus

Serving = Mapping[str, Any]
"""``uv``: the active version, or empty; ``apps``: release, origin, image, digest and builder by
name, or nothing for one of which nothing is there."""


def serving(fleet: Fleet, hosts: Iterable[InventoryHost]) -> dict[str, Serving | UpliftError]:
    """Read what hosts serve, as HAProxy and the containers tell it; one remote command on each.

    Args:
        fleet: connected.
        hosts: of the inventory.

    Returns:
        By host, or why it cannot be said.
    """
    settings = {host.name: from_data(dict(host.data)) for host in hosts}
    found = fleet.each(
        lambda connection: of_host(connection, settings[connection.name], settled=True)
    )
    plain = {
        name: one if isinstance(one, UpliftError) else _plain(one) for name, one in found.items()
    }
    return {**plain, **fleet.unreachable}


def _plain(host: HostStatus) -> Serving:
    return {
        "uv": next((row.release for row in host.rows if row.kind == "tool"), ""),
        "apps": {
            row.name: {
                "release": row.release,
                "origin": row.origin,
                "image": row.image,
                "digest": row.digest,
                "builder": row.builder,
            }
            if row.release or row.digest
            else {}
            for row in host.rows
            if row.kind == "app"
        },
    }
