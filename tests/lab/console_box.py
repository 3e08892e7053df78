"""The console on the lab's hosts, taken away after tests: others want its ports."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

INVENTORY = "inventories/console.py"
LIMIT = 1800  # seconds; images are built

Run = Callable[..., subprocess.CompletedProcess[str]]


def take_away(lab: dict[str, Any], uplift: Run, ssh: Run) -> None:
    """Remove both applications, and the proxy's configuration."""
    for app in ("console", "console-web"):
        uplift("remove", INVENTORY, app, "--purge", "--yes", limit=LIMIT)
    stop = "sudo systemctl disable -q --now haproxy; sudo rm -f /etc/haproxy/haproxy.cfg"
    for host in lab["hosts"]:
        if "apps" in host["groups"]:
            ssh(host["name"], stop)
