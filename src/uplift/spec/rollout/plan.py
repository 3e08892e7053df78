"""What a run would change on each host, bound to what was seen there: the document of a plan."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from uplift.spec.base import Block
from uplift.spec.errors import Exit, SettingsError, UsageError
from uplift.spec.rollout.ways import way_back

VERSION = 1
"""Of the document: a reader refuses a newer one, and understands all older ones."""

Effect = Literal["none", "change", "maybe", "unclear", "refused"]


class Step(Block):
    """What one operation would do on a host.

    Args:
        name: of the operation, as pyinfra shows it.
        function: which operation it is, as ``uplift.operations.uv.installed``.
        effect: ``none``; ``change``; ``maybe``: whether it runs is decided in the run; ``unclear``:
            it cannot tell before an operation ahead of it has changed the host; ``refused``: it
            would fail.
        lines: what would change, or why it would fail, in the words of our operations.
        restarts: what stops and starts again.
        removes: what is gone afterwards and does not come back.
        way_back: how it comes back when the run fails; where nothing brings it back, it begins with
            ``none`` and says why, or is empty: of an operation that is not this project's.
        reverts: a rollout does that by itself.
    """

    name: str
    function: str = ""
    effect: Effect = "none"
    lines: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    way_back: str = ""
    reverts: bool = False

    @property
    def changes(self) -> bool:
        """Return whether it would change something, or might."""
        return self.effect in ("change", "maybe", "unclear")


class Read(Block):
    """What was seen of a host by one read.

    Args:
        fact: what was read, as ``container.Containers``.
        parts: keyed fingerprints by name of the part, as ``containers.redis``.
    """

    fact: str
    parts: dict[str, str] = Field(default_factory=dict)


class HostPlan(Block):
    """What would happen on one host.

    Args:
        name: in the inventory.
        state: ``unchanged``, ``changes``; ``refused``: an operation would fail; ``failed``: it
            could not be read; ``unreachable``.
        text: why, for the last three.
        steps: operations in their order.
        reads: what was seen, by the read's key.
    """

    name: str
    state: Literal["unchanged", "changes", "refused", "failed", "unreachable"]
    text: str = ""
    steps: tuple[Step, ...] = ()
    reads: dict[str, Read] = Field(default_factory=dict)


class Plan(Block):
    """The document: what a run would change, and what it was judged by.

    Args:
        version: of this schema.
        uplift: release that made it.
        made: when, as 2026-11-21T17:21:00Z.
        by: user and machine.
        inventory: as it was given.
        deploys: deploy files, in their order.
        limit: as it was given.
        data: as it was given with ``--data``.
        inputs: hash of inventory, deploy files, data, settings, templates, uplift's code and
            pyinfra's version.
        waves: names of hosts that would change together, in their order.
        hosts: in the inventory's order.
    """

    version: Literal[1] = 1
    uplift: str
    made: str
    by: str
    inventory: str
    deploys: tuple[str, ...]
    limit: tuple[str, ...] = ()
    data: dict[str, str] = Field(default_factory=dict)
    inputs: str = ""
    waves: tuple[tuple[str, ...], ...] = ()
    hosts: tuple[HostPlan, ...]

    @property
    def exit_code(self) -> Exit:
        """Return the exit code of ``uplift plan``."""
        states = {host.state for host in self.hosts}
        if "unreachable" in states:
            return Exit.HELD
        if states & {"failed", "refused"}:
            return Exit.FAILED
        return Exit.PENDING if "changes" in states else Exit.DONE

    @property
    def irreversible(self) -> dict[str, tuple[str, ...]]:
        """Return the operations that would change and that a rollout cannot put back, by host."""
        found = {
            host.name: tuple(step.name for step in host.steps if step.changes and not step.reverts)
            for host in self.hosts
        }
        return {name: steps for name, steps in found.items() if steps}

    def host(self, name: str) -> HostPlan | None:
        """Return the plan of one host; None when it has none."""
        return next((host for host in self.hosts if host.name == name), None)


def load(text: str, source: str) -> Plan:
    """Return the plan of a document.

    Args:
        text: JSON.
        source: file in which it stands, for the error's text.

    Raises:
        UsageError: it is no plan, or a newer one than this release knows.
    """
    try:
        found = json.loads(text)
        newer = isinstance(found, dict) and int(found.get("version", 0)) > VERSION
    except (ValueError, TypeError) as error:
        raise UsageError(f"{source}: no plan: {error}") from None
    if newer:
        raise UsageError(
            f"{source}: made by uplift {found.get('uplift', '?')}, in version {found['version']} "
            f"of the document; this release knows {VERSION}: use that one, or plan again"
        )
    try:
        return Plan.model_validate_json(text)
    except ValueError:
        raise _no_plan(found, source) from None


def _no_plan(found: Any, source: str) -> SettingsError | UsageError:
    try:
        Plan.parse(found, path="", source=source)
    except SettingsError as error:
        return error
    return UsageError(f"{source}: no plan")


def stale(
    plan: Plan,
    host: str,
    parts: Mapping[str, Mapping[str, str]],
    replaced: Collection[str] = (),
) -> list[str]:
    """Say what moved on a host since the plan was made.

    Args:
        plan: that shall be carried out.
        host: its name.
        parts: what was read now, by the read's key, as in ``HostOutcome.parts``.
        replaced: keys of reads that do not count any more, as ``shared`` gives them.

    Returns:
        One line for each read that differs; empty when the host is as the plan saw it. What was
        not read for the plan does not count: of several hosts, one publishes for all, and in
        another wave that is another one.
    """
    planned = plan.host(host)
    if planned is None:
        return [f"{host} is not in the plan"]
    if planned.state in ("failed", "unreachable"):
        why = planned.text.partition("\n")[0]
        return [f"{host} was {planned.state} when the plan was made ({why}): plan again"]
    lines = []
    for key, seen in planned.reads.items():
        if key in replaced:
            continue
        now = parts.get(key)
        if now is None:
            lines.append(f"{host}: {seen.fact} was read for the plan and is not any more")
        elif moved := differing(seen.parts, now):
            lines.append(f"{host}: {seen.fact}: {', '.join(moved)}")
    return lines


# What these read may be one service that several hosts speak to.
_SERVICES = frozenset({"images", "influxdb", "nexus", "packages"})
_OWN = ("//127.", "//localhost", "//[::1]")


def shared(plan: Plan, host: str, others: Collection[str]) -> frozenset[str]:
    """Return the reads of a host whose service other hosts of the plan change: keys.

    Args:
        plan: that is carried out.
        host: its name.
        others: names of hosts that the run has changed, or changes at the same time.
    """
    planned = plan.host(host)
    reads = planned.reads if planned else {}
    # A server that a host speaks to on itself is no other host's.
    own = {_subject(key) for key in reads if any(word in key for word in _OWN)}
    changed = {
        _subject(step.function.removeprefix("uplift.operations."))
        for one in plan.hosts
        if one.name in others and one.name != host
        for step in one.steps
        if step.changes
    }
    return frozenset(key for key in reads if _subject(key) in (_SERVICES & changed) - own)


def _subject(name: str) -> str:
    return name.partition(".")[0]


# Nothing but their own operations, and pyinfra's, changes what these read.
_ALONE = frozenset({"backup", "certificates", "clients", "uv"})


def touched(function: str, key: str) -> bool:
    """Tell whether an operation may have changed what a read finds.

    Args:
        function: the operation, as ``uplift.operations.uv.installed``.
        key: of the read, as ``uv.Installed:1f…``.
    """
    ours, _, rest = function.partition("uplift.operations.")
    if ours or not rest:
        return True
    fact = key.partition(".")[0]
    return fact not in _ALONE or fact == rest.partition(".")[0]


def differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the parts of a read that are not the same, with a word where one came or went.

    Args:
        before: fingerprints by name.
        now: the same later.
    """
    found = []
    for name in sorted({*before, *now}):
        if name not in now:
            found.append(f"{name} (gone)")
        elif name not in before:
            found.append(f"{name} (new)")
        elif before[name] != now[name]:
            found.append(name)
    return found


def step(
    operation: Mapping[str, Any],
    told: Sequence[Mapping[str, Any]],
    refused: Sequence[str],
    *,
    moved: bool,
) -> Step:
    """Return what an operation would do on a host.

    Args:
        operation: as the event ``prepared`` names it.
        told: its ``change`` events: ``text``, ``restarts``, ``removes``, ``lasting``.
        refused: texts of its refusals.
        moved: an operation ahead of it would change the host.
    """
    function = str(operation.get("function", ""))
    lines = [str(one["text"]) for one in told]
    effect: Effect = "none"
    if operation.get("change"):
        effect = "maybe" if operation.get("conditional") else "change"
    if refused:
        # Ahead of the change that it waits for: a container on a host without Docker.
        effect = "unclear" if moved else "refused"
        lines += refused
    way = way_back(function, [str(one["lasting"]) for one in told if one.get("lasting")])
    return Step(
        name=str(operation["name"]),
        function=function,
        effect=effect,
        lines=tuple(dict.fromkeys(lines)),
        restarts=_all(told, "restarts"),
        removes=_all(told, "removes"),
        way_back=way.words if way and effect != "none" else "",
        reverts=bool(way and way.reverts and effect != "none"),
    )


def _all(told: Sequence[Mapping[str, Any]], word: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(name) for one in told for name in one.get(word) or ()))
