"""What a host has of its backups' schedules, and how that differs from the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from uplift.spec.backup.models import Backup
from uplift.spec.entry import ABSENT, Entry

PROGRAMS = "/usr/local/lib/uplift"
CONFIGURATION = "/etc/uplift/backup"
STATE = "/var/lib/uplift/backup"
UNITS = "/etc/systemd/system"
KEY = "id"


def program(subject: str) -> str:
    """Return the path of a subject's script on the host."""
    return f"{PROGRAMS}/backup-{subject}"


def unit(subject: str) -> str:
    """Return the name of a subject's units, without their ends."""
    return f"uplift-backup-{subject}"


@dataclass(frozen=True)
class Wanted:
    """A file that a host shall have.

    Args:
        path: of the file.
        mode: as ``600``; all are root's.
        hash: sha256 of salt and content.
        content: what it holds, perhaps a secret; shown nowhere.
    """

    path: str
    mode: str
    hash: str
    content: str = field(repr=False)

    @property
    def entry(self) -> Entry:
        """Return what the host's fact says of it when all is well."""
        return Entry("file", f"{self.mode} 0:0", self.hash)


@dataclass(frozen=True)
class Subject:
    """What a host has for one subject.

    Args:
        files: what stands at the paths that were asked for.
        enabled: the timer starts with the host.
        active: the timer runs.
        stale: systemd has not read the units as they are on disk.
        key: public half of the key that the host made, or nothing.
        calendar: whether systemd understands the schedule.
    """

    files: Mapping[str, Entry]
    enabled: bool
    active: bool
    stale: bool
    key: str
    calendar: bool


@dataclass(frozen=True)
class State:
    """What a host has.

    Args:
        uid: user that looked.
        systemd: it runs systemd.
        missing: programs that are needed and not there.
        there: subjects that have a timer of ours, wanted or not.
        subjects: by name, those that were asked for.
    """

    uid: int
    systemd: bool
    missing: Sequence[str]
    there: frozenset[str]
    subjects: Mapping[str, Subject]


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Args:
        files: that are written.
        start: subjects whose timer is enabled and started.
        keys: subjects for which the host makes a key.
        remove: subjects that the settings do not have any more.
        words: each change, for people; empty when nothing is to be done.
    """

    files: Sequence[Wanted]
    start: Sequence[str]
    keys: Sequence[str]
    remove: Sequence[str]
    words: Sequence[str]


def refusal(wanted: Mapping[str, Backup], state: State) -> str | None:
    """Return why a host cannot make these backups, if it cannot."""
    if not wanted and not state.there:
        return None
    if not state.systemd:
        return "backup: this host has no systemd, whose timers start the backups"
    if state.uid != 0:
        return "backup: this needs root; set _sudo = True in the group data"
    if wanted and state.missing:
        return f"backup: not installed on this host: {', '.join(state.missing)}"
    for name, backup in wanted.items():
        if not state.subjects[name].calendar:
            return (
                f"backup: backups.{name}.schedule: systemd does not understand "
                f"{backup.schedule!r}; try: systemd-analyze calendar '{backup.schedule}'"
            )
    return None


def plan(wanted: Mapping[str, Backup], files: Mapping[str, Iterable[Wanted]], state: State) -> Plan:
    """Compare a host with the settings.

    Args:
        wanted: by subject.
        files: that each subject needs.
        state: of the host; :func:`refusal` has nothing against it.
    """
    write: list[Wanted] = []
    start, keys, words = [], [], []
    for name, backup in wanted.items():
        found = state.subjects[name]
        differing = [it for it in files[name] if found.files.get(it.path, ABSENT) != it.entry]
        write += differing
        words += [f"{name}: {_difference(it, found)}" for it in differing]
        own_key = backup.ssh is not None and backup.ssh.key is None
        if own_key and not found.key:
            keys.append(name)
            words.append(f"{name}: the host makes an SSH key for {backup.place.login}")
        units = any(it.path.startswith(UNITS) for it in differing)
        if units or found.stale or not (found.enabled and found.active):
            start.append(name)
            if not found.enabled or not found.active:
                words.append(f"{name}: timer started")
            elif found.stale and not units:
                words.append(f"{name}: systemd reads the units anew")
    remove = sorted(state.there - set(wanted))
    words += [f"{name}: schedule removed; its backups stay" for name in remove]
    return Plan(write, start, keys, remove, words)


def _difference(it: Wanted, found: Subject) -> str:
    entry = found.files.get(it.path, ABSENT)
    if entry == ABSENT:
        return f"{it.path} written"
    if entry.kind != "file":
        return f"{it.path}: a {entry.kind} is replaced by the file"
    if entry.rights != it.entry.rights:
        return f"{it.path}: {entry.rights} -> {it.entry.rights}"
    return f"{it.path} changed"
