"""The record on the host: which entries were written, as salted hashes. A hint, never the proof."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from uplift.spec.clients.state import Place
from uplift.spec.errors import UpliftError

VERSION = 1


@dataclass(frozen=True)
class FileRecord:
    """What was written into one file.

    Args:
        entries: hashes by key; two while a value is being replaced.
        made: what was made to hold the entries (sections, objects).
        created: whether the file was made for them.
    """

    entries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    made: frozenset[str] = frozenset()
    created: bool = False

    def __bool__(self) -> bool:
        return bool(self.entries)

    def joined(self, other: FileRecord) -> FileRecord:
        """Return what holds before and after a change: a killed run leaves either.

        Args:
            other: the record after the change.
        """
        entries = {
            key: tuple(dict.fromkeys((*self.entries.get(key, ()), *other.entries.get(key, ()))))
            for key in {*self.entries, *other.entries}
        }
        return FileRecord(entries, self.made | other.made, self.created or other.created)


@dataclass(frozen=True)
class Record:
    """What was written on a host; ``salt`` keeps the hashes from being looked up elsewhere."""

    salt: str
    files: Mapping[Place, FileRecord] = field(default_factory=dict)

    def hash(self, key: str, value: str) -> str:
        """Return the salted hash of an entry.

        Args:
            key: of the entry.
            value: of the entry.
        """
        return hashlib.sha256(f"{self.salt}\0{key}\0{value}".encode()).hexdigest()

    def render(self) -> str:
        """Return the text of the record: one file a line, which the host's script reads too."""
        lines = [
            f"{json.dumps(f'{place.user}|{place.relative}')}: {_dump(self.files[place])}"
            for place in sorted(self.files)
            if self.files[place]
        ]
        body = ",\n".join(lines)
        head = f'{{"version": {VERSION}, "salt": {json.dumps(self.salt)}, "files": {{'
        return f"{head}\n{body}\n}}}}\n" if lines else f"{head}}}}}\n"


def parse(text: str | None, salt: str) -> Record:
    """Return the record of a host; an empty one when there is none or it cannot be read.

    Args:
        text: of the record.
        salt: for a new record.

    Raises:
        UpliftError: a newer version of this program wrote it.
    """
    try:
        data = json.loads(text or "{}")
        version = data.get("version", VERSION)
        if isinstance(version, int) and version > VERSION:
            msg = f"the record of client files has format {version}, this uplift knows {VERSION}"
            raise UpliftError(f"{msg}: use a newer uplift")
        files = {Place(*key.split("|", 1)): _load(one) for key, one in data["files"].items()}
        return Record(str(data["salt"]), files)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Record(salt)


def _dump(record: FileRecord) -> str:
    entries = {key: list(hashes) for key, hashes in sorted(record.entries.items())}
    data = {"created": record.created, "made": sorted(record.made), "entries": entries}
    return json.dumps(data, ensure_ascii=True)


def _load(data: dict[str, Any]) -> FileRecord:
    entries = {str(key): tuple(map(str, hashes)) for key, hashes in data["entries"].items()}
    return FileRecord(entries, frozenset(data["made"]), bool(data["created"]))
