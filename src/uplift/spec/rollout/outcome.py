"""What came of one run of pyinfra on each host that was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from uplift.spec.rollout.event import Event, Kind
from uplift.spec.rollout.lock import REFUSED

CONNECTED = "Connected"
"""How pyinfra says that it reached a host."""

_WELL = (CONNECTED, "Success", "No changes")

# How pyinfra names a connection that broke in a command.
_LOST = ("Command socket/SSH error", "Command IO error", "SSH session not active")


class State(StrEnum):
    """What came of a run on one host."""

    OK = "ok"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    """It could not be reached, or the connection broke."""
    REFUSED = "refused"
    """Another run has its lock."""
    STALE = "stale"
    """It is no longer as the plan saw it."""
    UNFINISHED = "unfinished"
    """The run was cut short before this host was done."""


@dataclass(frozen=True)
class HostOutcome:
    """What came of a run on one host.

    Args:
        host: its name.
        state: in one word.
        operation: in which it failed, or was when the run ended.
        text: the last lines that tell why.
        changed: operations that changed something, or would (when it was only looked at).
        failed: operations that failed or were cut short, perhaps after they had changed something.
        changes: what our own operations said of it, in order.
        reads: fingerprint of what was read first, by the read's key.
        parts: fingerprints of each part of it, by name, by the read's key.
    """

    host: str
    state: State
    operation: str = ""
    text: str = ""
    changed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    reads: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Return whether all operations were done."""
        return self.state is State.OK


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Args:
        hosts: each one that was asked for, in that order.
        code: exit code of pyinfra; negative when a signal ended it.
        lasted: seconds.
        text: what pyinfra said last, when it was cut short.
        operations: names, in the order in which they ran.
    """

    hosts: Mapping[str, HostOutcome]
    code: int
    lasted: float
    text: str = ""
    operations: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether every host is done."""
        return all(one.ok for one in self.hosts.values())

    @property
    def changed(self) -> bool:
        """Return whether an operation changed something on any host, or would."""
        return any(one.changed for one in self.hosts.values())

    def of(self, *states: State) -> list[HostOutcome]:
        """Return the hosts that ended in one of some states."""
        return [one for one in self.hosts.values() if one.state in states]


@dataclass
class _Host:
    """What the events told of one host so far."""

    operations: list[Mapping[str, object]] | None = None
    done: list[str] = field(default_factory=list)
    running: str = ""
    trouble: tuple[State, str, str] | None = None
    changed: dict[str, None] = field(default_factory=dict)
    failed: dict[str, None] = field(default_factory=dict)
    changes: dict[str, None] = field(default_factory=dict)
    reads: dict[str, str] = field(default_factory=dict)
    parts: dict[str, Mapping[str, str]] = field(default_factory=dict)


class Tally:
    """Gather events into an outcome.

    Args:
        hosts: that were asked for.
        dry: the run only looks.
    """

    def __init__(self, hosts: Sequence[str], *, dry: bool) -> None:
        self._hosts = {name: _Host() for name in hosts}
        self._dry = dry
        self._reached: set[str] | None = None
        self._completed = False
        self._failed: set[str] = set()
        self._operations: dict[str, None] = {}

    @property
    def begun(self) -> bool:
        """Return whether pyinfra reached any host."""
        return self._reached is not None

    @property
    def running(self) -> dict[str, list[str]]:
        """Return the operations that have begun and not ended, each with its hosts."""
        found: dict[str, list[str]] = {}
        for name, host in self._hosts.items():
            if host.running:
                found.setdefault(host.running, []).append(name)
        return found

    def take(self, event: Event) -> None:
        """Note one event."""
        if event.kind == Kind.BEGUN:
            self._reached = {str(name) for name in event.data.get("hosts", ())}
        elif event.kind == Kind.OPERATION_START:
            self._operations[event.operation] = None
        elif event.kind == Kind.ENDED:
            self._completed = bool(event.data.get("completed"))
            self._failed = {str(name) for name in event.data.get("failed", ())}
        elif host := self._hosts.get(event.host):
            self._note(host, event)

    def _note(self, host: _Host, event: Event) -> None:
        match event.kind:
            case Kind.PREPARED:
                host.operations = list(event.data.get("operations", ()))
                if self._dry:
                    names = (str(one["name"]) for one in host.operations if one.get("change"))
                    host.changed |= dict.fromkeys(names)
            case Kind.HOST_START:
                host.running = event.operation
            case Kind.HOST_SUCCESS:
                host.running = ""
                host.done.append(event.operation)
                if event.data.get("changed"):
                    host.changed[event.operation] = None
            case Kind.HOST_ERROR:
                host.running = ""
                host.failed[event.operation] = None
                if not event.data.get("ignored"):
                    before = host.trouble[2] if host.trouble else ""
                    self._trouble(host, event, event.text or before)
            case Kind.UNREAD | Kind.REFUSED:
                self._trouble(host, event, event.text)
            case Kind.STALE:
                host.trouble = (State.STALE, event.operation, event.text)
            case Kind.CHANGE:
                host.changes[event.text] = None
            case Kind.READ:
                key = str(event.data["key"])
                host.reads.setdefault(key, str(event.data["fingerprint"]))
                host.parts.setdefault(key, dict(event.data.get("parts", {})))

    @staticmethod
    def _trouble(host: _Host, event: Event, text: str) -> None:
        if host.trouble and host.trouble[0] is not State.FAILED:
            return
        host.trouble = (_class(text), event.operation, text)

    def outcome(self, code: int, lasted: float, said: Mapping[str, Sequence[str]]) -> Outcome:
        """Return what came of the run, now that it is over.

        Args:
            code: exit code of pyinfra.
            lasted: seconds.
            said: what pyinfra printed of each host, in order; of no host under ``""``.
        """
        general = said.get("", ())
        hosts = {
            name: self._host(name, found, said.get(name, ()), general)
            for name, found in self._hosts.items()
        }
        cut = any(one.state is State.UNFINISHED for one in hosts.values())
        text = "" if self.begun and not cut else "\n".join(general[-20:])
        return Outcome(hosts, code, lasted, text, tuple(self._operations))

    def _host(
        self, name: str, found: _Host, said: Sequence[str], general: Sequence[str]
    ) -> HostOutcome:
        state, operation, text = self._verdict(name, found, said)
        if state is State.UNFINISHED and general:
            # What cut the run short is said last, and of no host.
            text = general[-1]
        return HostOutcome(
            name,
            state,
            operation,
            text,
            tuple(found.changed),
            (*found.failed, *filter(None, [found.running])),
            tuple(found.changes),
            dict(found.reads),
            dict(found.parts),
        )

    def _verdict(self, name: str, found: _Host, said: Sequence[str]) -> tuple[State, str, str]:
        last = _last(said)
        if self._reached is None or name not in self._reached:
            # pyinfra leaves out hosts that it could not connect to, and goes on with the others.
            cut = self._reached is None and (not said or said[-1] == CONNECTED)
            return State.UNFINISHED if cut else State.UNREACHABLE, "", said[-1] if said else ""
        if found.trouble:
            state, operation, text = found.trouble
            lost = [line for line in said[-5:] if any(word in line for word in _LOST)]
            if state is State.FAILED and lost:
                return State.UNREACHABLE, operation, "\n".join(filter(None, [lost[-1], text]))
            return state, operation, text or last
        if name in self._failed:
            return _class(last), found.running, last
        if self._done(found):
            return State.OK, "", ""
        return State.UNFINISHED, found.running, last

    def _done(self, found: _Host) -> bool:
        if found.operations is None:
            return False
        return self._dry or self._completed or len(found.done) >= len(found.operations)


def _class(text: str) -> State:
    return State.REFUSED if REFUSED in text else State.FAILED


def _last(said: Sequence[str]) -> str:
    """Return what was said last of a host, since something of it went well."""
    found: list[str] = []
    for line in reversed(said[-3:]):
        if line in _WELL or line.startswith("Ready: "):
            break
        found.insert(0, line)
    return "\n".join(found)


def by_host(lines: Iterable[str], hosts: Iterable[str]) -> dict[str, list[str]]:
    """Part what pyinfra printed by the host that each line is about.

    Args:
        lines: as ``[web-1] Connected``.
        hosts: names.

    Returns:
        Lines without the host's name; those of no host under ``""``.
    """
    known = set(hosts)
    found: dict[str, list[str]] = {}
    for line in lines:
        text = line.strip()
        if not text:
            continue
        name, bracket, rest = text.removeprefix("[").partition("]")
        if text.startswith("[") and bracket and name in known:
            found.setdefault(name, []).append(rest.strip())
        else:
            found.setdefault("", []).append(text)
    return found
