"""The settings of a host of an inventory that pyinfra has read in a process of its own."""

from __future__ import annotations

from uplift.remote.inventory import InventoryHost
from uplift.settings import Settings, files_of, from_data


def from_host(host: InventoryHost, inventory: str) -> Settings:
    """Return the settings of a host.

    Args:
        host: its names, groups and data.
        inventory: the inventory file, or what else pyinfra takes.

    Raises:
        SettingsError: the data is wrong; it says in which file.
    """
    return from_data(dict(host.data), files_of(host.data, host.groups, inventory))
