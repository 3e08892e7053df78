"""``uplift images``: what was built, and where it runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from uplift.cli.output import as_json, error, results
from uplift.images.run import Overview, listed
from uplift.spec.container.image import brief
from uplift.spec.images.listing import Listed

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@click.command()
@click.argument("inventory")
@click.option(
    "--limit", multiple=True, help="Look for containers only on this group, or matching hosts."
)
@click.option("--json", "want_json", is_flag=True, help="Print the results as JSON.")
def images(inventory: str, limit: tuple[str, ...], want_json: bool) -> int:
    """List the images that INVENTORY builds, and the hosts that run them.

    Tags, digests, ages and sizes are those of the registry, which the first builder that can be
    reached asks; what runs is read from the hosts by digest.

    \b
    Exit codes: 0 all could be read · 1 a registry or Docker did not answer
    3 a host could not be reached · 64 wrong usage or settings · 130 interrupted
    """
    found = listed(inventory, limit)
    if want_json:
        as_json(_document(found))
    else:
        for table in _tables(found):
            results.print(table)
        if not found.images:
            results.print("no image was pushed yet")
    for text in (*found.unreachable.values(), *found.troubles):
        error(text)
    return found.exit_code


def _tables(found: Overview) -> Iterator[Table]:
    """Return a table for each repository: its name is long, and the same in every row."""
    for name in dict.fromkeys(one.name for one in found.images):
        table = Table(title=escape(name), title_justify="left")
        table.add_column("tags", overflow="fold")
        for column in ("digest", "built by", "age", "size", "runs on"):
            table.add_column(column, no_wrap=column != "runs on", overflow="fold")
        for one in (it for it in found.images if it.name == name):
            table.add_row(
                escape("\n".join(one.tags)) or "[yellow]none in its registry[/]",
                brief(one.digest),
                escape(one.builder or "?"),
                age(one, datetime.now(UTC)),
                _size(one.size),
                escape("\n".join(sorted(one.hosts))) or "-",
            )
        yield table


def _size(size: int | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def age(one: Listed, now: datetime) -> str:
    """Return how old an image is, for people.

    Args:
        one: of a registry or a host.
        now: with its time zone.
    """
    if one.created is None:
        return "?"
    seconds = int((now - one.created).total_seconds())
    for size, letter in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{seconds // size} {letter}"
    return "now"


def _document(found: Overview) -> dict[str, Any]:
    return {
        "images": [
            {
                "name": one.name,
                "tags": list(one.tags),
                "digest": one.digest,
                "builder": one.builder or None,
                "version": one.version or None,
                "revision": one.revision or None,
                "created": one.created.isoformat() if one.created else None,
                "size": one.size,
                "platforms": list(one.platforms),
                "hosts": {host: list(names) for host, names in sorted(one.hosts.items())},
            }
            for one in found.images
        ],
        "hosts": [
            {"name": name, "reached": name not in found.unreachable}
            for name in sorted({*found.hosts, *found.unreachable})
        ],
        "errors": [*found.unreachable.values(), *found.troubles],
        "exit_code": int(found.exit_code),
    }
