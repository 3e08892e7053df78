"""The code and settings that a run is made of, as a hash: a resumed run must be the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

_FOLDERS = ("deploys", "group_data", "inventories", "templates")


def fingerprint(inventory: str, deploys: Iterable[str], data: Mapping[str, str]) -> str:
    """Return a hash of the inventory, the deploy files, the settings and this release of uplift.

    Args:
        inventory: a file.
        deploys: deploy files.
        data: what is given to them.
    """
    found = hashlib.sha256(version("pyinfra-uplift").encode())
    for path in sorted({*_files(), *(Path(one) for one in (inventory, *deploys))}):
        if path.is_file():
            content = path.read_bytes()
            found.update(f"\0{path}\0{len(content)}\0".encode() + content)
    for name, value in sorted(data.items()):
        found.update(f"\0{name}={value}".encode())
    return found.hexdigest()


def _files() -> Iterable[Path]:
    yield Path("config.py")
    for folder in _FOLDERS:
        for path in Path(folder).rglob("*"):
            if "__pycache__" not in path.parts:
                yield path
