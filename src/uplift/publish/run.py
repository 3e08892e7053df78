"""Publish the packages of an inventory's settings, from the hosts that the settings stand at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyinfra.api.exceptions import FactProcessError

from uplift.facts import packages as reading
from uplift.operations import packages_script as sending
from uplift.operations.packages_work import Outcome, Work, expected, outcomes
from uplift.remote import inventory as inventories
from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.remote.settings import from_host
from uplift.spec.base import near_miss
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.packages import Packages, Plan

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """What came of the packages of one block of settings.

    Args:
        host: that published, or would.
        outcomes: of all files.
        error: why there are none.
        exit_code: for this host.
    """

    host: str
    outcomes: tuple[Outcome, ...]
    error: str
    exit_code: Exit


def publish(
    inventory: str,
    names: Sequence[str] = (),
    limit: Sequence[str] = (),
    *,
    dry_run: bool,
    progress: Progress,
) -> list[Report]:
    """Publish what the servers do not have.

    Args:
        inventory: a file, or what else pyinfra takes as an inventory.
        names: of packages; all when empty.
        limit: groups or patterns of host names.
        dry_run: only look.
        progress: is called with what is done now.

    Raises:
        UpliftError: the settings are wrong, or a package could not be built: no host was asked.
    """
    jobs = [
        (host, Work.of(block, wanted, progress=lambda name: progress(f"building {name}")))
        for host, block, wanted in _jobs(inventory, names, limit)
    ]
    with Fleet([host for host, _ in jobs]) as fleet:
        found = []
        for host, work in jobs:
            lost = fleet.unreachable.get(host.name)
            if lost is not None:
                found.append(Report(host.name, (), str(lost), Exit.HELD))
            else:
                progress(f"asking the servers from {host.name}")
                found.append(_on(fleet.connections[host.name], work, dry_run, progress))
        return found


def _jobs(
    inventory: str, names: Sequence[str], limit: Sequence[str]
) -> list[tuple[InventoryHost, Packages, list[str]]]:
    """Return each block of packages once, with its first host and the names that are its own."""
    blocks: list[tuple[InventoryHost, Packages]] = []
    for host in inventories.hosts(inventory, limit):
        block = from_host(host, inventory).packages
        if block is not None and block not in [known for _, known in blocks]:
            blocks.append((host, block))
    if not blocks:
        msg = f"{inventory}: no host has a block 'packages' in its settings: docs/packages.md"
        raise UsageError(msg)
    if not names:
        return [(host, block, []) for host, block in blocks if block.publish or len(blocks) == 1]
    known = [one.name for _, block in blocks for one in block.publish]
    for name in names:
        if name not in known:
            guess = near_miss(name, known)
            hint = f" Did you mean {guess!r}?" if guess else ""
            there = ", ".join(known) or "none"
            raise UsageError(f"no package {name!r} in packages.publish.{hint}\nThere are: {there}")
    jobs = [
        (host, block, [one.name for one in block.publish if one.name in names])
        for host, block in blocks
    ]
    return [job for job in jobs if job[2]]


def _on(connection: Connection, work: Work, dry_run: bool, progress: Progress) -> Report:
    name = connection.name
    try:
        todo = _read(connection, work)
        if todo.conflicts or dry_run or not todo.todo:
            return _report(name, expected(todo), dry_run=dry_run)
        progress(f"publishing {len(todo.todo)} files from {name}")
        limit = (sending.LIMIT + 30) * len(todo.todo)
        done = connection.run(
            sending.PUBLISH,
            str(sending.LIMIT),
            stdin=str.join("", work.files(todo)),
            time_limit=limit,
        )
        sent = sending.understood(done.stdout.splitlines())
        after = _read(connection, work)
        return _report(name, outcomes(todo, sent, after), dry_run=False)
    except FactProcessError as error:
        return Report(name, (), str(error), Exit.FAILED)
    except UpliftError as error:
        return Report(name, (), str(error), error.exit_code)


def _read(connection: Connection, work: Work) -> Plan:
    done = connection.run(
        reading.READ,
        *reading.arguments(work.address),
        stdin=str.join("", work.questions),
        time_limit=reading.LIMIT * (1 + len(work.asked.raw)) + 60,
    )
    return work.examine(reading.understood(done.stdout.splitlines()))


def _report(host: str, found: Sequence[Outcome], *, dry_run: bool) -> Report:
    words = {one.word for one in found}
    code = Exit.DONE
    if words & {"failed", "conflict"}:
        code = Exit.FAILED
    elif "pending" in words and dry_run:
        code = Exit.PENDING
    return Report(host, tuple(found), "", code)
