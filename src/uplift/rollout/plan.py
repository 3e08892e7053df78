"""Look what a run would change, without changing anything, and bind it to what was seen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from uplift.controller import person
from uplift.remote import inventory as inventories
from uplift.remote.inventory import InventoryHost
from uplift.remote.settings import from_host
from uplift.rollout import child
from uplift.rollout.child import Event, HostOutcome, Outcome, State
from uplift.rollout.inputs import fingerprint
from uplift.spec.base import near_miss
from uplift.spec.errors import UpliftError, UsageError
from uplift.spec.rollout.event import Kind
from uplift.spec.rollout.plan import HostPlan, Plan, Read, Step, step
from uplift.spec.rollout.waves import divided, naming


@dataclass(frozen=True)
class Request:
    """What shall be planned.

    Args:
        inventory: a file, or what else pyinfra takes.
        deploys: deploy files.
        limit: groups or patterns of host names.
        data: for ``--data``.
        waves: as for a rollout; those of the hosts' settings when left out.
    """

    inventory: str
    deploys: Sequence[str]
    limit: Sequence[str] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    waves: Sequence[str] = ()


def _nothing(event: Event) -> None:
    """Listen to no event."""


def plan(request: Request, on_event: Callable[[Event], None] = _nothing) -> Plan:
    """Ask every host what a run would change; nothing is written anywhere.

    Args:
        request: what shall be planned.
        on_event: is called with each event, for progress.

    Raises:
        UsageError: wrong inventory, deploy files, limit or settings.
        UpliftError: a deploy file cannot be run.
    """
    check_deploys(request.deploys)
    hosts = inventories.hosts(request.inventory, request.limit)
    waves = _waves(request, hosts)
    with tempfile.TemporaryDirectory(prefix="uplift-plan-") as folder:
        _, found = look(
            request.inventory,
            request.deploys,
            [host.name for host in hosts],
            data=request.data,
            log=Path(folder, "log"),
            on_event=on_event,
        )
    return Plan(
        uplift=version("pyinfra-uplift"),
        made=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        by=person(),
        inventory=request.inventory,
        deploys=tuple(request.deploys),
        limit=tuple(request.limit),
        data=dict(request.data),
        waves=waves,
        inputs=fingerprint(request.inventory, request.deploys, request.data),
        hosts=found,
    )


def _waves(request: Request, hosts: Sequence[InventoryHost]) -> tuple[tuple[str, ...], ...]:
    """Return the waves that were asked for, else those of the block ``rollout`` that all have."""
    if request.waves:
        return divided(hosts, request.waves)
    blocks = {from_host(host, request.inventory).rollout for host in hosts}
    block = next(iter(blocks), None)
    # Words about hosts that are not selected are no mistake of who only looks at some.
    words = naming(hosts, block.waves) if block and len(blocks) == 1 else ()
    return divided(hosts, words) if words else ()


def look(
    inventory: str,
    deploys: Sequence[str],
    hosts: Sequence[str],
    *,
    on_event: Callable[[Event], None] = _nothing,
    **options: Any,
) -> tuple[Outcome, tuple[HostPlan, ...]]:
    """Run deploy files so that they only look.

    Args:
        inventory: a file, or what else pyinfra takes.
        deploys: deploy files.
        hosts: names.
        on_event: is called with each event.
        options: as for ``child.run``.

    Returns:
        What came of it, and what would happen on each host.

    Raises:
        UpliftError: a deploy file cannot be run.
    """
    told: list[Event] = []

    def take(event: Event) -> None:
        told.append(event)
        on_event(event)

    outcome = child.run(inventory, deploys, hosts, dry=True, on_event=take, **options)
    if outcome.of(State.UNFINISHED):
        raise UpliftError(f"the deploy files could not be run\n{outcome.text}")
    return outcome, tuple(_host(outcome.hosts[name], told) for name in hosts)


def check_deploys(deploys: Sequence[str]) -> None:
    """Refuse a deploy file that is not there.

    Args:
        deploys: as they were typed.

    Raises:
        UsageError: names what was probably meant.
    """
    if not deploys:
        raise UsageError("name at least one deploy file, as deploys/site.py")
    for file in deploys:
        if Path(file).is_file() and file.endswith(".py"):
            continue
        there = sorted(str(path) for path in Path(file).parent.glob("*.py"))
        guess = near_miss(file, there or sorted(map(str, Path("deploys").glob("*.py"))))
        hint = f". Did you mean {guess}?" if guess else ""
        raise UsageError(f"no deploy file {file} in {Path.cwd()}{hint}")


def _host(outcome: HostOutcome, told: Sequence[Event]) -> HostPlan:
    own = [event for event in told if event.host == outcome.host]
    if outcome.state is State.UNREACHABLE:
        return HostPlan(name=outcome.host, state="unreachable", text=outcome.text)
    steps = _steps(own)
    reads = _reads(own)
    if any(event.kind == Kind.UNREAD for event in own) or not _prepared(own):
        text = f"{outcome.operation}: {outcome.text}".removeprefix(": ")
        return HostPlan(name=outcome.host, state="failed", text=text, steps=steps, reads=reads)
    refused = [one for one in steps if one.effect == "refused"]
    if refused:
        text = f"{refused[0].name}: {refused[0].lines[-1]}"
        return HostPlan(name=outcome.host, state="refused", text=text, steps=steps, reads=reads)
    changes = any(one.changes for one in steps)
    return HostPlan(
        name=outcome.host, state="changes" if changes else "unchanged", steps=steps, reads=reads
    )


def _prepared(own: Sequence[Event]) -> Event | None:
    return next((event for event in own if event.kind == Kind.PREPARED), None)


def _steps(own: Sequence[Event]) -> tuple[Step, ...]:
    prepared = _prepared(own)
    found: list[Step] = []
    for operation in prepared.data["operations"] if prepared else ():
        mine = [event for event in own if event.data.get("id") == operation["id"]]
        changes = [
            {"text": event.text, **event.data} for event in mine if event.kind == Kind.CHANGE
        ]
        refused = [event.text for event in mine if event.kind == Kind.REFUSED]
        moved = any(one.changes for one in found)
        found.append(step(operation, changes, refused, moved=moved))
    return tuple(found)


def _reads(own: Sequence[Event]) -> dict[str, Read]:
    found: dict[str, Read] = {}
    for event in own:
        if event.kind == Kind.READ:
            given = Read(fact=event.data["fact"], parts=dict(event.data["parts"]))
            found.setdefault(event.data["key"], given)
    return found
