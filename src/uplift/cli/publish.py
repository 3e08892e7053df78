"""``uplift publish``: bring packages into the repositories of an index server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click
from rich.markup import escape

from uplift.cli.output import as_json, error, progress, results
from uplift.operations.packages_work import Outcome
from uplift.publish.run import Report
from uplift.publish.run import publish as run
from uplift.spec.errors import Exit

_MARKS = {
    "unchanged": "[dim]unchanged[/]",
    "published": "[green]published[/]",
    "pending": "[yellow]would be published[/]",
    "conflict": "[bold red]conflict[/]",
    "failed": "[bold red]failed[/]",
}


@click.command()
@click.argument("inventory")
@click.argument("names", nargs=-1)
@click.option("--limit", multiple=True, help="Only this group, or hosts whose name matches.")
@click.option("--dry-run", is_flag=True, help="Build and compare, publish nothing.")
@click.option("--json", "want_json", is_flag=True, help="Print the results as JSON.")
def publish(
    inventory: str, names: tuple[str, ...], limit: tuple[str, ...], dry_run: bool, want_json: bool
) -> int:
    """Publish the packages that the settings of INVENTORY list, or only those with NAMES.

    What is served with the same content is left alone; a version that is served with other content
    is an error, and then nothing is published.

    \b
    Exit codes: 0 done, or nothing to do · 1 a build, a file or a server is wrong
    2 with --dry-run: something would be published · 3 a host could not be reached
    64 wrong usage or settings · 130 interrupted
    """
    with progress.status("reading the settings …") as status:
        reports = run(
            inventory,
            names,
            limit,
            dry_run=dry_run,
            progress=lambda text: status.update(f"{escape(text)} …"),
        )
    if want_json:
        as_json(_document(inventory, dry_run, reports))
    else:
        for report in reports:
            _show(report)
    return int(_exit_code(reports))


def _exit_code(reports: Sequence[Report]) -> Exit:
    """Return the worst: a host that was not reached, then a failure, then what is pending."""
    order = (Exit.HELD, Exit.FAILED, Exit.PENDING, Exit.USAGE)
    codes = {report.exit_code for report in reports}
    return next((code for code in order if code in codes), Exit.DONE)


def _document(inventory: str, dry_run: bool, reports: Sequence[Report]) -> dict[str, Any]:
    return {
        "inventory": inventory,
        "dry_run": dry_run,
        "hosts": [
            {
                "name": report.host,
                "error": report.error or None,
                "files": [_plain(one) for one in report.outcomes],
            }
            for report in reports
        ],
        "exit_code": int(_exit_code(reports)),
    }


def _plain(one: Outcome) -> dict[str, Any]:
    artifact = one.artifact
    return {
        "package": artifact.package,
        "repository": artifact.repository,
        "project": artifact.project,
        "version": artifact.version or None,
        "file": artifact.file,
        "size": artifact.size,
        "sha256": artifact.hashes["sha256"],
        "outcome": one.word,
        "served": one.served or None,
        "reason": one.reason or None,
    }


def _show(report: Report) -> None:
    if report.error:
        error(f"{report.host}: {report.error.removeprefix(f'{report.host}: ')}")
        return
    for one in report.outcomes:
        results.print(f"{_MARKS[one.word]} {escape(str(one.artifact))}")
        for line in one.reason.splitlines():
            results.print(f"    {escape(line)}")
    counts = Counter(one.word for one in report.outcomes)
    told = ", ".join(f"{count} {word}" for word, count in counts.items())
    results.print(f"from {escape(report.host)}: {len(report.outcomes)} files: {told}")
