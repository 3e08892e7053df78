"""The policy of a rollout: the command line, a file, the settings, or what a command says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from uplift.cli.plan import pairs
from uplift.remote.inventory import InventoryHost
from uplift.remote.settings import from_host
from uplift.settings import Settings
from uplift.spec.errors import UsageError
from uplift.spec.rollout import Policy


def policy(
    inventory: str,
    hosts: Sequence[InventoryHost],
    said: Mapping[str, Any],
    default: Mapping[str, Any],
) -> Policy:
    """Return the policy: the command line before a file before the group data before a default.

    Args:
        inventory: a file.
        hosts: that are selected of it.
        said: options: `file`, `gate`, `no_gate`, `budgets`, and fields of the policy.
        default: fields, for what nothing else says.

    Raises:
        SettingsError: a value is wrong.
        UsageError: the file cannot be read, or hosts have different settings.
    """
    settings = [from_host(host, inventory) for host in hosts]
    found = _from_file(said["file"]) if said["file"] else _from_settings(hosts, settings)
    own = {name: value for name, value in default.items() if name not in found.model_fields_set}
    typed = {name: said[name] for name in Policy.model_fields if said.get(name) not in (None, ())}
    if said["no_gate"]:
        # The settings' time is one for their tests.
        typed = {"bake": 0, **typed, "gate": ()}
    if given := said.get("budgets"):
        typed["budget"] = {**found.budget.model_dump(), **pairs(given, "--budget")}
    return found.but(**{**own, **typed})


def _from_file(file: str) -> Policy:
    try:
        return Policy.parse(
            yaml.safe_load(Path(file).read_text(encoding="utf-8")), path="", source=file
        )
    except OSError as wrong:
        raise UsageError(f"--policy {file}: {wrong.strerror}") from None
    except yaml.YAMLError as wrong:
        raise UsageError(f"--policy {file}: {wrong}") from None


def _from_settings(hosts: Sequence[InventoryHost], settings: Sequence[Settings]) -> Policy:
    found: dict[Policy, str] = {}
    for host, one in zip(hosts, settings, strict=True):
        found.setdefault(one.rollout or Policy(), host.name)
    if len(found) > 1:
        names = " and ".join(found.values())
        raise UsageError(
            f"{names} have different `rollout` settings: put the block into group_data/all.py, "
            "or select hosts that have the same by --limit"
        )
    return next(iter(found))
