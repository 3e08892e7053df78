"""``uplift lock``: see who has the hosts, hold them for maintenance, free them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from rich.markup import escape
from rich.table import Table

from uplift.cli.output import as_json, error, progress, results
from uplift.controller import person
from uplift.remote import inventory as inventories
from uplift.remote.fleet import Fleet
from uplift.rollout import locks
from uplift.rollout.locks import Row
from uplift.spec.errors import Exit
from uplift.spec.rollout.lock import Standing

F = TypeVar("F", bound=Callable[..., Any])

_COLOURS = {
    Standing.FREE: "green",
    Standing.OVER: "green",
    Standing.MAINTENANCE: "yellow",
    Standing.TAKING: "red",
    Standing.HELD: "red",
}


def _common(function: F) -> F:
    """Add what every command here takes."""
    for add in (
        click.option("--json", "want_json", is_flag=True, help="Print the result as JSON."),
        click.option(
            "--limit", multiple=True, help="Only this group, or hosts whose name matches."
        ),
        click.argument("inventory"),
    ):
        function = add(function)
    return function


@click.group()
def lock() -> None:
    """See who has the hosts, hold them for maintenance, free them.

    A rollout locks every host before it changes one, and frees it at its end. When its machine
    dies, the lock ends with its lease, a minute after the last heartbeat.
    """


@lock.command()
@_common
def status(inventory: str, limit: tuple[str, ...], want_json: bool) -> int:
    """Show who has the hosts of INVENTORY, since when, and how far that run is.

    \b
    Exit codes: 0 shown · 3 a host could not be reached · 64 wrong usage
    """
    with _fleet(inventory, limit) as fleet:
        rows = locks.held(fleet)
    _show(rows, want_json)
    return _code(rows)


@lock.command()
@_common
@click.option("-m", "--message", required=True, help="Why; whoever is refused reads it.")
def hold(inventory: str, limit: tuple[str, ...], want_json: bool, message: str) -> int:
    """Keep every rollout away from the hosts of INVENTORY until `uplift lock release`.

    All of the hosts are held, or none is. A plain `pyinfra` run asks nobody: see docs/locks.md.

    \b
    Exit codes: 0 held · 3 a host could not be reached, none is held
    4 a run or somebody else's hold has a host, none is held · 64 wrong usage
    """
    if not message.strip():
        raise click.BadParameter("say why, for those who are refused", param_hint="-m")
    with _fleet(inventory, limit) as fleet:
        rows = locks.hold(fleet, message, owner=person())
    _show(rows, want_json)
    return _code(rows)


@lock.command()
@_common
@click.option("--run", metavar="RUN", default="", help="Only where this run or hold has the lock.")
@click.option("--force", is_flag=True, help="Also somebody else's hold, and a run that is alive.")
def release(inventory: str, limit: tuple[str, ...], want_json: bool, run: str, force: bool) -> int:
    """Free the hosts of INVENTORY: from your own hold, and from runs whose lease is over.

    A run that loses its lock has its next command refused on that host.

    \b
    Exit codes: 0 free now · 3 a host could not be reached
    4 a host stays locked: the output says whose it is · 64 wrong usage
    """
    with _fleet(inventory, limit) as fleet:
        rows = locks.free(fleet, owner=person(), run=run, force=force)
    _show(rows, want_json)
    if run and not any(row.freed or row.refused or row.error for row in rows):
        error(f"no host is locked by {run}: nothing was freed")
        return Exit.USAGE
    return _code(rows)


@contextmanager
def _fleet(inventory: str, limit: Sequence[str]) -> Iterator[Fleet]:
    hosts = inventories.hosts(inventory, limit)
    with progress.status(f"asking {len(hosts)} hosts …"), Fleet(hosts) as fleet:
        yield fleet


def _code(rows: Sequence[Row]) -> Exit:
    if any(row.refused for row in rows):
        return Exit.LOCKED
    return Exit.HELD if any(row.error for row in rows) else Exit.DONE


def _show(rows: Sequence[Row], want_json: bool) -> None:
    if want_json:
        as_json({"hosts": [_plain(row) for row in rows]})
    else:
        table = Table("host", "lock", "run", "whose", "what")
        for column in table.columns[:3]:
            column.no_wrap = True
        for row in rows:
            table.add_row(escape(row.host), *_cells(row))
        results.print(table)
    for row in rows:
        if row.error:
            error(f"{row.host}: {row.error}")


def _cells(row: Row) -> list[str]:
    if row.seen is None:
        return ["[bold red]not known[/]", "-", "-", "-"]
    seen, record = row.seen, row.seen.record
    state = f"[{_COLOURS[seen.standing]}]{seen.standing}[/]"
    run, owner = escape(record.run) or "-", escape(record.owner) or "-"
    if not seen.locked:
        return [state, run, owner, "freed now" if row.freed else "the last one" if run else "-"]
    state += f", {seen.left} s" if seen.left is not None else ""
    since = f"since {datetime.fromtimestamp(record.taken, UTC):%m-%d %H:%M:%S} UTC"
    return [
        state,
        run,
        owner,
        escape(", ".join(filter(None, (record.purpose, record.note, since)))),
    ]


def _plain(row: Row) -> dict[str, Any]:
    if row.seen is None:
        return {"host": row.host, "error": row.error}
    seen, record = row.seen, row.seen.record
    return {
        "host": row.host,
        "error": row.error or None,
        "state": seen.standing.value,
        "locked": seen.locked,
        "owner": record.owner or None,
        "run": record.run or None,
        "purpose": record.purpose or None,
        "note": record.note or None,
        "taken": _time(record.taken),
        "heartbeat": _time(record.beat),
        "lease": record.lease or None,
        "lease_left": seen.left,
        "host_time": _time(seen.now),
        "token": seen.token,
        "freed": row.freed,
        "freed_by": record.freed or None,
    }


def _time(seconds: int) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None
