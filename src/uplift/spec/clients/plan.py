"""What to do on a host: which files to write, what to tell people, what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from uplift.spec.clients.merge import Merged, merge
from uplift.spec.clients.record import FileRecord, Record, parse
from uplift.spec.clients.state import (
    FOLDER,
    FOLDER_RIGHTS,
    FORMATS,
    IN_THE_WAY,
    PIP,
    PIP_OLD,
    FileState,
    HostState,
    Place,
)
from uplift.spec.clients.text import Broken, decode
from uplift.spec.clients.wanted import Wanted


@dataclass(frozen=True)
class Change:
    """What happens to one file.

    Args:
        place: which file.
        action: ``put``, ``remove``, or ``clean`` (only leftovers go).
        expect: hash of what was read, ``absent`` without a file; else the host refuses.
        content: new bytes.
    """

    place: Place
    action: str
    expect: str
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Plan:
    """What happens on a host.

    Args:
        changes: files to write.
        first: the record before the files are written: ours before or after; None if it is so.
        last: the record when all are written; None if it is so.
        lines: what changes, one line a file.
        warnings: what is odd and not ours to change.
        errors: files that are left as they are, and why.
        seen: hash of the record that this was decided by, ``absent`` without one.
        folder: whether the record's folder has to be closed to others again.
    """

    changes: tuple[Change, ...] = ()
    first: str | None = field(default=None, repr=False)
    last: str | None = field(default=None, repr=False)
    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    seen: str = "absent"
    folder: bool = False

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing has to be written."""
        record = self.first is not None or self.last is not None
        return not (self.changes or record or self.folder)


@dataclass
class _File:
    """What becomes of one file."""

    record: FileRecord
    change: Change | None = None
    line: str | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None


def places(files: Iterable[Wanted]) -> list[Place]:
    """Return every file that has to be read for these files.

    Args:
        files: what is wanted.
    """
    found = [file.place for file in files]
    old = [Place(place.user, PIP_OLD) for place in found if place.relative == PIP]
    return found + old


def plan(files: Sequence[Wanted], host: HostState, *, key: bytes, salt: str) -> Plan:
    """Decide what has to change on a host.

    Args:
        files: what is wanted.
        host: what is there.
        key: for fingerprints of secrets.
        salt: for the hashes of a new record.

    Raises:
        UpliftError: a newer version of this program wrote the record.
    """
    record = parse(host.record, salt)
    known = {file.place: file for file in files}
    for place in record.files:
        if place.relative in FORMATS and place not in known:
            known[place] = Wanted(place, ())
    done = {place: _decide(file, host, record, key) for place, file in known.items()}
    kept = {place: old for place, old in record.files.items() if place not in done}
    last = Record(record.salt, kept | {place: file.record for place, file in done.items()})
    found = list(done.values())
    folder = _folder(host)
    return Plan(
        changes=tuple(file.change for file in found if file.change),
        **_records(host, record, last),
        lines=(*folder, *(file.line for file in found if file.line)),
        warnings=tuple(text for file in found for text in file.warnings),
        errors=tuple(file.error for file in found if file.error),
        seen=host.record_sha256,
        folder=bool(folder),
    )


def _folder(host: HostState) -> list[str]:
    """Return what is wrong with the folder of the record, when there is one."""
    if host.folder in (None, FOLDER_RIGHTS):
        return []
    return [f"{FOLDER}: {host.folder} -> {FOLDER_RIGHTS}"]


def _records(host: HostState, old: Record, new: Record) -> dict[str, str | None]:
    """Return the record before and after the files: a killed run must forget nothing."""
    if not any(new.files.values()) and host.record is None:
        return {"first": None, "last": None}
    both = {
        place: old.files.get(place, FileRecord()).joined(new.files.get(place, FileRecord()))
        for place in {*old.files, *new.files}
    }
    first, last = Record(old.salt, both).render(), new.render()
    return {
        "first": first if first not in (host.record, last) else None,
        "last": last if last != host.record else None,
    }


def _decide(wanted: Wanted, host: HostState, record: Record, key: bytes) -> _File:
    state = _state(wanted.place, host)
    own = record.files.get(wanted.place, FileRecord())
    if not wanted.entries and state.status in ("absent", "no-user", "no-home"):
        return _File(FileRecord())
    if reason := "; ".join(wanted.faults) or IN_THE_WAY.get(state.status):
        return _File(own, error=f"{state.path}: {reason}")
    try:
        merged = merge(decode(state.content), wanted, record, key)
    except Broken as error:
        return _File(own, error=f"{state.path}: {error}")
    return _decided(wanted, state, host, own, merged)


def _state(place: Place, host: HostState) -> FileState:
    there = place.is_host or place.user in host.users
    return host.files.get(place, FileState("absent" if there else "no-user", str(place)))


def _decided(
    wanted: Wanted, state: FileState, host: HostState, own: FileRecord, merged: Merged
) -> _File:
    created = own.created or state.status == "absent"
    content = merged.text.encode()
    rights = _rights(wanted.place, state, host) if wanted.entries else []
    words = [*rights, *merged.words]
    action = "put" if rights or content != state.content else ""
    if not wanted.entries and created and not merged.text.strip():
        action, words = "remove", [*words, "the file, which was made for them, removed"]
    if not action and state.leftovers:
        action, words = "clean", [*words, "what a killed run left beside it removed"]
    return _File(
        replace(merged.record, created=created),
        Change(wanted.place, action, state.sha256, content) if action else None,
        f"{state.path}: {', '.join(words)}" if words else None,
        (*(f"{state.path}: {text}" for text in merged.warnings), *_old_pip(wanted, host)),
    )


def _rights(place: Place, state: FileState, host: HostState) -> list[str]:
    """Return what is wrong with the mode and the owner of a file that is there."""
    if state.status == "absent":
        return []
    user = host.users.get(place.user)
    owner = f"{user.uid}:{user.gid}" if user else "0:0"
    words = [f"mode {state.mode} -> {place.mode}"] if state.mode != place.mode else []
    return words + ([f"owner {state.owner} -> {owner}"] if state.owner != owner else [])


def _old_pip(wanted: Wanted, host: HostState) -> list[str]:
    """Return warnings for the older file that pip reads as well, before the one of today."""
    place = Place(wanted.place.user, PIP_OLD)
    state = host.files.get(place)
    if wanted.place.relative != PIP or state is None or state.status != "file":
        return []
    try:
        document = FORMATS[PIP](decode(state.content))
    except Broken as error:
        return [f"{state.path}: {error}"]
    keys = {entry.key: entry.value for entry in wanted.entries}
    return [f"{state.path}: {text}" for text in document.warnings(keys)]
