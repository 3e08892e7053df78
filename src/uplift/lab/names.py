"""How a lab and its parts are called: names, labels, groups."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from uplift.spec.errors import UsageError

LABEL = "io.uplift.lab"  # on everything that a lab made; its value is the lab's name
ROLE = "io.uplift.lab.role"  # host or registry
HOST = "io.uplift.lab.host"  # lab-1
KIND = "io.uplift.lab.kind"  # name of the image: host, host-light, host:bookworm
SPEC = "io.uplift.lab.spec"  # hash of image and flags with which a container was made
FOLDER = "io.uplift.lab.folder"  # project folder that the lab belongs to
ADDRESSES = "io.uplift.lab.addresses"  # on the network: loopback block and ports, as JSON

FULL, LIGHT, BOOKWORM = "host", "host-light", "host:bookworm"
REGISTRY = "registry"
BOOKWORM_HOST = "lab-bookworm"

SERVED = ("registry", "redis", "influxdb:2.7.12", "nexus:3.30.0", "python")
"""Images that deploys of the lab's own settings need: ``up`` puts them into the lab's registry."""

_VALID = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def project_folder() -> Path:
    """Return the folder of the project: the nearest one upwards with ``inventories``, else here."""
    here = Path.cwd()
    return next((at for at in (here, *here.parents) if (at / "inventories").is_dir()), here)


def default_name(folder: Path) -> str:
    """Return the name of a folder's lab: ``UPLIFT_LAB``, else made from its path."""
    if chosen := os.environ.get("UPLIFT_LAB"):
        return checked(chosen)
    word = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:20].strip("-")
    return f"{word or 'lab'}-{path_hash(folder)}"


def path_hash(folder: Path) -> str:
    """Return a short hash of a folder's absolute path."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:6]


def checked(name: str) -> str:
    """Return a lab's name when it can be part of container and folder names."""
    if not _VALID.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a lab: use 1 to 40 of a-z, 0-9 and '-', no '-' at the ends"
        )
    return name


def resource(lab: str, part: str = "") -> str:
    """Return the name of a container or volume of a lab; of its network without ``part``."""
    return f"uplift-{lab}-{part}" if part else f"uplift-{lab}"


def groups(hosts: Sequence[str]) -> dict[str, list[str]]:
    """Return which hosts are in which inventory group.

    Args:
        hosts: names, the first one is the host of the services.
    """
    first, *others = hosts
    return {"services": [first], "builders": [first], "apps": others or [first]}
