"""``uplift status`` and ``uplift drift``: what runs where, and what is not as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import click
from rich.markup import escape
from rich.table import Table

from uplift.cli.output import as_json, error, progress, results
from uplift.rollout.drift import Drift, look
from uplift.rollout.status import Status, read
from uplift.spec.container.image import brief
from uplift.spec.rollout.drift import WORDS
from uplift.spec.rollout.status import GOOD, Row

VERSION = 1
"""Of both JSON documents."""


@click.command()
@click.argument("inventory")
@click.option("--limit", multiple=True, help="Only this group, or hosts whose name matches.")
@click.option("--json", "want_json", is_flag=True, help="Print the rows as JSON.")
def status(inventory: str, limit: tuple[str, ...], want_json: bool) -> int:
    """Say what the hosts of INVENTORY run: read from HAProxy, Docker and the hosts' records.

    Nothing is written, and each host gets one command.

    \b
    Exit codes: 0 every host was read · 1 one could not be read · 3 one could not be reached
    64 wrong usage or settings
    """
    with progress.status("reading the hosts …"):
        found = read(inventory, limit)
    if want_json:
        rows = [row.model_dump(mode="json") for row in found.rows]
        as_json({"version": VERSION, "rows": rows, "errors": dict(found.errors)})
    else:
        _show(found)
    return found.exit_code


@click.command()
@click.argument("inventory")
@click.argument("deploys", nargs=-1, metavar="[DEPLOY...]")
@click.option("--limit", multiple=True, help="Only this group, or hosts whose name matches.")
@click.option("--json", "want_json", is_flag=True, help="Print the findings as JSON.")
def drift(inventory: str, deploys: tuple[str, ...], limit: tuple[str, ...], want_json: bool) -> int:
    """Say where the hosts of INVENTORY are not as their settings say, or not like each other.

    What the DEPLOY files would change (deploys/site.py when none is named), containers that no
    settings name, the same tag with another digest, hosts behind. Nothing is written.

    \b
    Exit codes: 0 no drift · 2 drift · 1 a host could not be read, or an operation would fail
    3 a host could not be reached · 64 wrong usage or settings
    """
    with progress.status("reading the hosts …"):
        found = look(inventory, deploys, limit, lambda event: None)
    if want_json:
        as_json(
            {
                "version": VERSION,
                "findings": [one.model_dump(mode="json") for one in found.findings],
                "errors": dict(_errors(found)),
                "exit_code": int(found.exit_code),
            }
        )
    else:
        _show_drift(found)
    return found.exit_code


def age(since: str, now: datetime) -> str:
    """Return how long ago something was, in its largest unit.

    Args:
        since: as Docker writes it, with nanoseconds.
        now: the present.
    """
    try:
        then = datetime.fromisoformat(since.partition(".")[0].removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        return ""
    seconds = max(0, int((now - then).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _show(found: Status) -> None:
    now = datetime.now(UTC)
    cells = [_cells(row, now) for row in found.rows]
    # A column that says nothing only takes room.
    used = [name for name in _COLUMNS if any(one[name] for one in cells)]
    table = Table(*used, box=None, pad_edge=False)
    for one in cells:
        table.add_row(*[one[name] for name in used])
    results.print(table)
    for row in found.rows:
        for note in row.notes:
            error(f"{row.host}: {row.name}: {note}")
    for host, text in found.errors.items():
        error(f"{host}: {text}")


_COLUMNS = ("host", "what", "release", "image", "digest", "built by", "state", "for", "gate")


def _cells(row: Row, now: datetime) -> dict[str, str]:
    colour = "green" if row.good else "yellow" if row.state in GOOD else "red"
    slot = f" [dim]{row.slot}[/]" if row.slot else ""
    return {
        "host": escape(row.host),
        "what": f"{escape(row.name)}{slot}",
        "release": escape(row.release),
        "image": escape(row.image),
        "digest": brief(row.digest).removeprefix("sha256:"),
        "built by": escape(row.builder),
        "state": f"[{colour}]{escape(row.state)}[/]",
        "for": age(row.since, now) if row.state in GOOD else "",
        "gate": escape(row.gate),
    }


def _show_drift(found: Drift) -> None:
    host = ""
    for one in found.findings:
        if one.host != host:
            host = one.host
            results.print(f"[bold]{escape(host)}[/]")
        results.print(f"  {escape(one.subject)}: [yellow]{WORDS[one.kind]}[/]")
        for line in one.text.splitlines():
            results.print(f"      {escape(line)}")
    hosts = {one.host for one in found.findings}
    read = len(found.plan.hosts) - len(_errors(found))
    results.print(f"{read} hosts read, {len(hosts)} with drift" if read else "no host was read")
    for name, text in _errors(found).items():
        error(f"{name}: {text}")


def _errors(found: Drift) -> Mapping[str, str]:
    planned = {
        host.name: host.text
        for host in found.plan.hosts
        if host.state in ("refused", "failed", "unreachable")
    }
    return {**planned, **found.status.errors}
