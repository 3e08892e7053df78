"""Which of several hosts with the same settings does what is done once."""

from __future__ import annotations

from pyinfra.api.host import Host


def first(this: Host, block: str) -> str:
    """Return the first host of the run whose group data has the same block.

    Args:
        this: the host that asks.
        block: its name in the group data.
    """
    wanted = this.data.get(block)
    for other in this.inventory:
        takes_part = other in this.state.active_hosts and this.state.is_host_in_limit(other)
        if takes_part and other.data.get(block) == wanted:
            return str(other.name)
    return str(this.name)
