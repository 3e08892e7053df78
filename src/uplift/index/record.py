"""The project's record of uv's hashes: ``.uplift/uv.json``.

``trusted`` is what an index said when a version was first seen; it holds from then on.
``wheels`` spares the download of a wheel whose binaries are known; it can be lost without harm.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uplift.spec.errors import UpliftError
from uplift.spec.uv import Member, Release

FORMAT = 1


class Record:
    """Hashes that this project has seen, shared by every run in its folder.

    Args:
        path: of the file; beside it stands a lock.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path(".uplift") / "uv.json"

    def trusted(self, version: str, arch: str) -> str | None:
        """Return the sha256 of a wheel that was seen first, if there was one."""
        sha256: str | None = self._read()["trusted"].get(version, {}).get(arch)
        return sha256

    def release(self, sha256: str) -> Release | None:
        """Return what is known about a wheel, if it is known."""
        known = self._read()["wheels"].get(sha256)
        if known is None:
            return None
        binaries = {name: Member(**member) for name, member in known["binaries"].items()}
        return Release(known["version"], known["file"], sha256, known["size"], binaries)

    def trust(self, version: str, arch: str, sha256: str) -> None:
        """Record the sha256 of a wheel that is seen for the first time.

        Raises:
            UpliftError: another run has recorded a different one meanwhile.
        """
        with self._changing() as data:
            first = data["trusted"].setdefault(version, {}).setdefault(arch, sha256)
            if first != sha256:
                message = f"uv {version} for {arch}: two runs saw two hashes: {first} and {sha256}"
                raise UpliftError(message)

    def remember(self, release: Release) -> None:
        """Record what is inside a wheel."""
        with self._changing() as data:
            data["wheels"][release.sha256] = {
                "version": release.version,
                "file": release.file,
                "size": release.size,
                "binaries": {name: asdict(member) for name, member in release.binaries.items()},
            }

    def _read(self) -> dict[str, Any]:
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return {"format": FORMAT, "trusted": {}, "wheels": {}}
        try:
            data = json.loads(text)
            complete = data["format"] == FORMAT and isinstance(data["trusted"], Mapping)
            complete = complete and isinstance(data.setdefault("wheels", {}), Mapping)
        except (ValueError, TypeError, KeyError):
            complete = False
        if not complete:
            # Not repaired by itself: that would forget which hashes this project trusts.
            message = (
                f"{self.path}: this is not a record of uv's hashes; put it back from a backup, "
                f"or remove it to trust the index once more"
            )
            raise UpliftError(message)
        return dict(data)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.path.with_suffix(".json.lock").open("a") as lock:
            # Held for a read and a write of a small file only.
            fcntl.flock(lock, fcntl.LOCK_EX)
            data = self._read()
            yield data
            self._write(json.dumps(data, indent=2, sort_keys=True) + "\n")

    def _write(self, text: str) -> None:
        temporary = self.path.with_suffix(".json.tmp")
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
