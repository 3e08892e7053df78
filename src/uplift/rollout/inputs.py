"""The code and settings that a run is made of, as a hash: a resumed run must be the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

import uplift

CODE = Path(uplift.__file__).parent
"""Of this package. Two checkouts may have the same version: some 2 MB are read."""

_FOLDERS = ("deploys", "group_data", "inventories", "templates")


def fingerprint(inventory: str, deploys: Iterable[str], data: Mapping[str, str]) -> str:
    """Return a hash of the inventory, the deploy files, the settings, uplift and pyinfra.

    Args:
        inventory: a file.
        deploys: deploy files.
        data: what is given to them.
    """
    found = hashlib.sha256(version("pyinfra").encode())
    files = {*_files(), *(Path(one) for one in (inventory, *deploys))}
    named = [(str(path), path) for path in files]
    # It may be installed at different places of the machines that plan and carry out.
    named += [(f"uplift: {path.relative_to(CODE)}", path) for path in CODE.rglob("*.py")]
    for name, path in sorted(named):
        if path.is_file():
            content = path.read_bytes()
            found.update(f"\0{name}\0{len(content)}\0".encode() + content)
    for name, value in sorted(data.items()):
        found.update(f"\0{name}={value}".encode())
    return found.hexdigest()


def _files() -> Iterable[Path]:
    yield Path("config.py")
    for folder in _FOLDERS:
        for path in Path(folder).rglob("*"):
            if "__pycache__" not in path.parts:
                yield path
