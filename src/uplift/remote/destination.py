"""Where a connection goes, with what ``~/.ssh/config`` says about it."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pyinfra.connectors.sshuserclient.client import get_ssh_config


@dataclass(frozen=True)
class Destination:
    """Where a connection goes.

    Args:
        address: name or address, after ``~/.ssh/config``.
        port: of the SSH server.
        user: who logs in.
        key: file of the private key that the inventory names.
        known_hosts: file that holds the keys of hosts.
        bastion: ProxyJump or ProxyCommand of ``~/.ssh/config``.
    """

    address: str
    port: int
    user: str
    key: str | None
    known_hosts: str
    bastion: str | None

    @classmethod
    def of(cls, name: str, data: Mapping[str, Any]) -> Self:
        """Return the destination of a host.

        Args:
            name: as in the inventory.
            data: pyinfra's connection data.
        """
        address = str(data.get("ssh_hostname") or name)
        config = get_ssh_config(data.get("ssh_config_file"))
        said = config.lookup(address) if config else {}
        return cls(
            address=str(said.get("hostname", address)),
            port=int(data.get("ssh_port") or said.get("port", 22)),
            user=str(data.get("ssh_user") or said.get("user") or getpass.getuser()),
            key=data.get("ssh_key"),
            known_hosts=data.get("ssh_known_hosts_file")
            or str(said.get("userknownhostsfile", "~/.ssh/known_hosts")).split()[0],
            bastion=said.get("proxyjump") or said.get("proxycommand"),
        )
