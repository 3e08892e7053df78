"""The running lab as a pyinfra inventory."""

from __future__ import annotations

import socket
import sys
from typing import Any

from uplift.lab import names
from uplift.lab.state import USER, Host, NoLabError, Places, find
from uplift.spec.errors import UpliftError

Group = list[tuple[str, dict[str, Any]]]


def groups(lab: str | None = None) -> dict[str, Group]:
    """Return the groups of a running lab, each a list of hosts with their connection data.

    Docker is not asked: what ``up`` wrote down is read, and one host must answer.

    Args:
        lab: its name; by ``UPLIFT_LAB``, else by the checkout's path when left out.

    Raises:
        NoLabError: there is no such lab, or none of its hosts answers.
    """
    places, state = find(lab)
    if not any(_answers(host) for host in state.hosts):
        raise NoLabError(state.name, "is down")
    hosts = {host.name: (host.name, _data(host, places)) for host in state.hosts}
    member = names.groups(list(hosts))
    return {group: [hosts[name] for name in of_group] for group, of_group in member.items()}


def groups_or_exit(lab: str | None = None) -> dict[str, Group]:
    """Return the groups of a running lab, or end the process with a message and its exit code.

    pyinfra wraps the exceptions of an inventory, but lets SystemExit pass.
    """
    try:
        return groups(lab)
    except UpliftError as error:
        print(f"uplift: {error}", file=sys.stderr)
        raise SystemExit(int(error.exit_code)) from None


def _answers(host: Host) -> bool:
    try:
        with socket.create_connection((host.address, host.port), timeout=2):
            return True
    except OSError:
        return False


def _data(host: Host, places: Places) -> dict[str, Any]:
    return {
        "ssh_hostname": host.address,
        "ssh_port": host.port,
        "ssh_user": USER,
        "ssh_key": str(places.key),
        "ssh_known_hosts_file": str(places.known_hosts),
        "ssh_strict_host_key_checking": "yes",
        "_sudo": True,
    }
