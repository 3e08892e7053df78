"""The hosts of a pyinfra inventory, as pyinfra itself sees them."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from uplift.spec.base import near_miss
from uplift.spec.errors import UsageError

TIME_LIMIT = 60.0


@dataclass(frozen=True)
class InventoryHost:
    """One host of an inventory.

    Args:
        name: as in the inventory.
        groups: the groups that it is in, in pyinfra's order.
        data: its group and host data, merged by pyinfra; may hold passwords, so never shown.
    """

    name: str
    groups: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def connector(self) -> str:
        """Return the name of pyinfra's connector: ``ssh``, ``local``, ``docker``, …"""
        return self.name[1:].split("/", 1)[0] if self.name.startswith("@") else "ssh"

    @property
    def address(self) -> str:
        """Return the name or address that pyinfra connects to by SSH."""
        return str(self.data.get("ssh_hostname") or self.name.removeprefix("@ssh/"))


def hosts(
    inventory: str, limit: Iterable[str] = (), *, time_limit: float = TIME_LIMIT
) -> list[InventoryHost]:
    """Ask pyinfra, in a process of its own, which hosts an inventory has.

    The project folder is the current one, as for pyinfra. pyinfra is never imported here:
    its command line patches sockets and threads of the process that loads it.

    Args:
        inventory: a file, or what else pyinfra takes as an inventory.
        limit: names of groups or patterns of host names, as pyinfra's ``--limit``.
        time_limit: seconds after which loading the inventory is given up.

    Raises:
        UsageError: there is no such file, it cannot be loaded, or no host is selected.
    """
    patterns = tuple(limit)
    _check_file(inventory)
    found = _parse(inventory, _ask_pyinfra(inventory, patterns, time_limit))
    if not found:
        raise UsageError(f"{inventory}: no hosts in this inventory")
    return select(found, patterns, inventory)


def select(
    found: Sequence[InventoryHost], patterns: Sequence[str], inventory: str
) -> list[InventoryHost]:
    """Return the hosts that pyinfra's ``--limit`` would select, in the inventory's order.

    Args:
        found: all hosts.
        patterns: a group's name selects its hosts, anything else is a pattern of host names.
        inventory: for the error's text.

    Raises:
        UsageError: a pattern selects nothing.
    """
    if not patterns:
        return list(found)
    groups = {group for host in found for group in host.groups}
    chosen: set[str] = set()
    for pattern in patterns:
        matches = {
            host.name
            for host in found
            if (pattern in host.groups if pattern in groups else fnmatch(host.name, pattern))
        }
        if not matches:
            raise UsageError(_nothing(inventory, pattern, found, groups))
        chosen |= matches
    return [host for host in found if host.name in chosen]


def exactly(name: str) -> str:
    """Return the ``--limit`` that selects one host, also where a group has its name.

    Args:
        name: of the host.
    """
    # In brackets a letter is a pattern, which no group is called like.
    first = f"[{name[0]}]" if name[0] not in "[*?" else glob.escape(name[0])
    return first + glob.escape(name[1:])


def _nothing(inventory: str, pattern: str, found: Sequence[InventoryHost], groups: set[str]) -> str:
    names = [host.name for host in found]
    guess = near_miss(pattern, [*groups, *names])
    hint = f" Did you mean {guess!r}?" if guess else ""
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return (
        f"{inventory}: --limit {pattern!r} selects no host.{hint}\n"
        f"Groups: {', '.join(sorted(groups)) or 'none'}\nHosts: {shown}"
    )


def _check_file(inventory: str) -> None:
    """Refuse a path that is not there: pyinfra would take it for the name of a host."""
    path = Path(inventory)
    if path.is_dir():
        raise UsageError(f"{inventory} is a folder: name an inventory file in it")
    looks_like_a_file = inventory.endswith(".py") or (os.sep in inventory and "@" not in inventory)
    if path.exists() or not looks_like_a_file:
        return
    beside = sorted(str(other) for other in path.parent.glob("*.py"))
    guess = near_miss(str(path), beside)
    hint = f" Did you mean {guess}?" if guess else ""
    there = f"\nThere are: {', '.join(beside)}" if beside else ""
    raise UsageError(f"no inventory file {inventory} in {Path.cwd()}.{hint}{there}")


def _ask_pyinfra(inventory: str, patterns: Sequence[str], time_limit: float) -> str:
    # -P: as with the `pyinfra` script, a json.py of the project must not stand in for Python's.
    command = [sys.executable, "-P", "-m", "pyinfra", inventory, "debug-inventory", "--json"]
    for pattern in patterns:  # pyinfra ignores it here, but a config.py may refuse it
        command += ["--limit", pattern]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=time_limit,
            env=os.environ | {"PYINFRA_PROGRESS": "off", "PYTHONIOENCODING": "utf-8"},
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{inventory}: pyinfra did not load this inventory within {time_limit:g} s"
        ) from None
    if done.returncode or not done.stdout.strip():
        raise UsageError(_complaint(inventory, done.stderr))
    return done.stdout


def _complaint(inventory: str, stderr: str) -> str:
    """Return what pyinfra, or the project's config.py, said; without pyinfra's own progress."""
    lines = [
        line.rstrip()
        for line in stderr.splitlines()
        if line.strip() and not line.startswith(("--> Loading", "--> Disconnecting"))
    ]
    text = "\n".join(lines[-20:]) or "pyinfra said nothing"
    ours = "uplift: "  # a refusal of ours already says which file it is about
    return text.removeprefix(ours) if text.startswith(ours) else f"{inventory}:\n{text}"


def _parse(inventory: str, text: str) -> list[InventoryHost]:
    # The document is pyinfra's last line; a print() in somebody's inventory stands before it.
    try:
        document = json.loads(text.strip().splitlines()[-1])
        return [
            InventoryHost(
                name=str(item["name"]),
                groups=tuple(dict.fromkeys(item["groups"])),
                data=dict(item["data"]),
            )
            for item in document
        ]
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{inventory}: pyinfra's debug-inventory gave no list of hosts") from None
