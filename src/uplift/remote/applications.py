"""Which hosts of an inventory have an application."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from uplift.remote import inventory as inventories
from uplift.remote.inventory import InventoryHost
from uplift.remote.settings import from_host
from uplift.settings import Settings
from uplift.spec.app.models import App
from uplift.spec.base import near_miss
from uplift.spec.errors import UsageError


def with_settings(
    inventory: str, limit: Sequence[str] = ()
) -> list[tuple[InventoryHost, Settings]]:
    """Return the hosts of an inventory with their settings.

    Args:
        inventory: a file, or what else pyinfra takes as an inventory.
        limit: groups or patterns of host names.
    """
    return [(host, from_host(host, inventory)) for host in inventories.hosts(inventory, limit)]


def having(inventory: str, app: str, limit: Sequence[str] = ()) -> list[tuple[InventoryHost, App]]:
    """Return the hosts that have an application, in the inventory's order.

    Args:
        inventory: a file, or what else pyinfra takes as an inventory.
        app: name of the application.
        limit: groups or patterns of host names.

    Raises:
        UsageError: no host has such an application.
    """
    every = with_settings(inventory, limit)
    chosen = [(host, one) for host, its in every for one in its.apps if one.name == app]
    if not chosen:
        raise unknown(app, [one.name for _, its in every for one in its.apps])
    return chosen


def unknown(app: str, names: Iterable[str]) -> UsageError:
    """Return the error that no host has an application.

    Args:
        app: name that was given.
        names: of those that there are.
    """
    there = sorted({*names})
    guess = near_miss(app, there)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return UsageError(
        f"no host has an application {app!r}.{hint} There are: {', '.join(there) or 'none'}"
    )
