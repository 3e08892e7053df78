"""What runs where: one row for each application, service and tool of a host."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from uplift.spec.app.models import SLOTS, App
from uplift.spec.app.owner import Owner
from uplift.spec.app.owner import parse as parse_owners
from uplift.spec.app.release import Release
from uplift.spec.app.state import AppState
from uplift.spec.app.state import parse as parse_apps
from uplift.spec.base import Block
from uplift.spec.container.models import OURS
from uplift.spec.container.state import by_word

GOOD = frozenset({"healthy", "running", "installed"})
_TESTED = frozenset({"verified", "committed", "rejected", "reverted", "not-reverted"})


class Row(Block):
    """One thing that a host runs.

    Args:
        host: its name.
        kind: ``app``, ``service`` (another container that this tool made) or ``tool``.
        name: of the application, the container or the tool.
        release: id of the release that the application's container is of, or that it should be
            of where it is gone; the version of a tool.
        of: id of the release that this one went back to, or the image where there was none; empty
            for one that came by itself.
        image: reference as the settings named it.
        digest: of the image, as the host has it; the image's local id when it came from nowhere.
        builder: what built the image, from its label.
        slot: that serves, where HAProxy is in front.
        state: ``healthy``, ``unhealthy``, ``starting``, ``running`` (no health check), ``exited``
            and Docker's other words; ``absent``; ``installed`` for a tool.
        since: when the container was started, as Docker says it.
        gate: what came of the last rollout on this host, or how far it is, with the run's id; empty
            without one.
        notes: what is not as it should be, or still under way.
    """

    host: str
    kind: Literal["app", "service", "tool"]
    name: str
    release: str = ""
    of: str = ""
    image: str = ""
    digest: str = ""
    builder: str = ""
    slot: str = ""
    state: str = "absent"
    since: str = ""
    gate: str = ""
    notes: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Return the id of the release that this is, or of the first that it went back to.

        Going back makes a release newer on its host, and not otherwise.
        """
        image = "/" in self.of or ":" in self.of
        return self.release if image else self.of or self.release

    @property
    def good(self) -> bool:
        """Return whether it runs as it should."""
        return self.state in GOOD and not self.notes


@dataclass(frozen=True)
class Managed:
    """A container that this tool made.

    Args:
        name: as Docker has it.
        own: its name in the settings.
        subject: what it belongs to.
    """

    name: str
    own: str
    subject: str


@dataclass(frozen=True)
class HostStatus:
    """What a host runs.

    Args:
        host: its name.
        docker: the Engine answers.
        rows: applications first, in the settings' order.
        managed: containers that this tool made, kept ones too.
        owners: who deployed the applications that the host has records of, by name.
    """

    host: str
    docker: bool
    rows: tuple[Row, ...]
    managed: tuple[Managed, ...] = ()
    owners: Mapping[str, Owner] = field(default_factory=dict)


def parse(host: str, apps: Sequence[App], lines: Iterable[str]) -> HostStatus:
    """Read the lines of the script.

    Args:
        host: its name.
        apps: of its settings.
        lines: what the script printed.

    Raises:
        ValueError: the lines are not the script's.
    """
    known = list(lines)
    found, state = by_word(known, "the status"), parse_apps(known)
    containers = {one["name"].removeprefix("/"): one for one in _containers(found)}
    gate = _gate(host, _text(found, "last"))
    rows = [_app(host, one, state, containers, gate) for one in apps]
    own = {one.name_in(slot) for one in apps for slot in SLOTS}
    owners = parse_owners(found.get("owner", ()))
    rows += [
        _row(host, "service", name, it, state, gate=gate)
        for name, it in sorted(containers.items())
        if name not in own and not name.endswith(("--previous", "--next"))
        and _label(it, "managed") and _label(it, "subject") not in {one.name for one in apps}
        # The slot at rest of an application that other settings have is no service.
        and not (_label(it, "subject") in owners and it["status"] == "exited")
    ]  # fmt: skip
    if version := " ".join(found.get("uv", [[]])[0]):
        rows.append(Row(host=host, kind="tool", name="uv", release=version, state="installed"))
    managed = tuple(
        Managed(name, _label(it, "container"), _label(it, "subject"))
        for name, it in sorted(containers.items())
        if _label(it, "managed")
    )
    return HostStatus(host, found["docker"][0] == ["yes"], tuple(rows), managed, owners)


def _containers(found: Mapping[str, list[list[str]]]) -> list[dict[str, Any]]:
    lines = _text(found, "containers").splitlines()
    # A container of ours that was also named is inspected twice.
    return [json.loads(line) for line in dict.fromkeys(lines) if line]


def _text(found: Mapping[str, list[list[str]]], word: str) -> str:
    values = found.get(word, [[]])[0]
    return base64.b64decode(values[0], validate=True).decode() if values else ""


def _gate(host: str, line: str) -> str:
    """Return what came of the last rollout, from its line in the ledger or its own last record."""
    try:
        last = json.loads(line) if line else {}
        if last.get("kind"):
            return f"{last['kind']}, not ended ({last['run']})"
        if last.get("outcome") == "refused":
            return f"refused ({last['run']})"
        state = last.get("hosts", {}).get(host) or last.get("outcome") or ""
        return f"{state}{_tests(last, host, state)} ({last['run']})" if last else ""
    except (ValueError, KeyError, AttributeError, TypeError):
        return "the last record of a rollout cannot be read"


def _tests(last: Mapping[str, Any], host: str, state: str) -> str:
    """Return what the tests of the last rollout said of a host that came so far."""
    gates = last.get("gate")
    if gates is None or state not in _TESTED:
        return ""
    if not gates:
        return ", no tests"
    for kind, words in (("new", "tests failed"), ("flaky", "flaky tests")):
        if any(one.startswith(f"{host} ") for found in gates.values() for one in found[kind]):
            return f", {words}"
    return ", tests passed"


def _label(container: Mapping[str, Any], name: str) -> str:
    return str((container.get("labels") or {}).get(f"{OURS}{name}") or "")


def _app(
    host: str,
    app: App,
    state: AppState,
    containers: Mapping[str, Mapping[str, Any]],
    gate: str,
) -> Row:
    slot = state.active.get(app.name, "") if app.proxy == "haproxy" else ""
    name = app.name_in(slot or SLOTS[0])
    release = state.current(app.name)
    container = containers.get(name) if slot or app.proxy == "none" else None
    notes = [f"{state.busy.strip()} is at work"] if state.busy.strip() else []
    if (journal := state.journals.get(app.name)) and not notes:
        notes.append(f"a switch was interrupted at {journal.at!r}")
    if ids := state.broken.get(app.name):
        notes.append(f"records that cannot be read: {', '.join(ids)}")
    if container is None:
        notes += [] if release is None else ["its container is gone"]
        return Row(
            host=host,
            kind="app",
            name=app.name,
            release=release.id if release else "",
            of=release.of if release else "",
            image=release.reference if release else "",
            slot=slot,
            gate=gate,
            notes=tuple(notes),
        )
    same = release is not None and _is(release, container, state)
    runs = release if same else None
    row = _row(host, "app", app.name, container, state, gate=gate, slot=slot, release=runs)
    sends = state.running.get(app.name, {}).get(slot)
    if slot and sends != "ready":
        notes.append(f"HAProxy sends {slot} no traffic ({sends or 'it does not run'})")
    if release is None:
        notes.append("no release of it is recorded")
    elif not same:
        notes.append(f"runs another image than its release {release.id}")
    return row.model_copy(update={"notes": tuple(notes)})


def _is(release: Release, container: Mapping[str, Any], state: AppState) -> bool:
    id = str(container["image"])
    digests = {word.rpartition("@")[2] for word in _digests(id, state)}
    return id == release.local or release.digest in digests


def _digests(id: str, state: AppState) -> tuple[str, ...]:
    return next((one.digests for one in state.images if one.id == id), ())


def _row(
    host: str,
    kind: Literal["app", "service", "tool"],
    name: str,
    it: Mapping[str, Any],
    state: AppState,
    *,
    gate: str,
    slot: str = "",
    release: Release | None = None,
) -> Row:
    id = str(it["image"])
    digests = sorted(word.rpartition("@")[2] for word in _digests(id, state))
    digest = release.digest if release and release.digest in digests else (digests or [id])[0]
    builder = next((one.builder for one in state.images if one.id == id), "")
    return Row(
        host=host,
        kind=kind,
        name=name,
        release=release.id if release else _label(it, "release"),
        of=release.of if release else "",
        image=(release.reference if release else "") or _label(it, "image") or it["reference"],
        digest=digest,
        builder=builder,
        slot=slot,
        state=it.get("health") or it["status"],
        since=str(it["started"]),
        gate=gate,
    )
