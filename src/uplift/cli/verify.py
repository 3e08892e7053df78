"""``uplift verify``: check the hosts of an inventory and print a table host by subject."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from uplift.cli.output import as_json, progress, results
from uplift.verify.run import Request, Verdict, run

SHOWN_LINES = 6
_MARKS = {"passed": "[green]✔[/]", "failed": "[bold red]✘[/]", "skipped": "[dim]skip[/]"}


@click.command()
@click.argument("inventory")
@click.option("--limit", multiple=True, help="Only this group, or hosts whose name matches.")
@click.option("-k", "expression", metavar="EXPR", help="Only tests that match, as pytest's -k.")
@click.option(
    "--tests", multiple=True, default=("tests/verify",), show_default=True, help="Folder or file."
)
@click.option("--junit", metavar="FILE", help="Write pytest's JUnit results.")
@click.option("-n", "workers", type=click.IntRange(min=0), default=0, help="Processes for tests.")
@click.option("-v", "--verbose", is_flag=True, help="Show pytest's whole output on stderr.")
@click.option("--json", "want_json", is_flag=True, help="Print the results as JSON.")
def verify(
    inventory: str,
    limit: tuple[str, ...],
    expression: str | None,
    tests: tuple[str, ...],
    junit: str | None,
    workers: int,
    verbose: bool,
    want_json: bool,
) -> int:
    """Check the hosts of INVENTORY from the outside; nothing on them changes.

    \b
    Exit codes: 0 all passed · 1 a test failed · 3 a host could not be reached
    64 wrong usage or settings, or nothing to test · 130 interrupted
    """
    progress.print(f"Verifying the hosts of {escape(inventory)} …")
    verdict = run(Request(inventory, limit, expression, tests, junit, workers, verbose))
    if want_json:
        as_json(verdict.document)
    else:
        _print(verdict)
    return int(verdict.exit_code)


def _print(verdict: Verdict) -> None:
    results.print(_table(verdict))
    for host in verdict.hosts:
        for failure in host["failures"]:
            _print_failure(host["name"], failure)
    _print_once(verdict, "warnings", "message", "[yellow]warning[/]")
    _print_once(verdict, "skips", "reason", "[dim]skipped[/]")
    for host in verdict.hosts:
        if not host["reachable"]:
            results.print(
                f"[bold red]unreachable[/] {escape(host['name'])}: {escape(host['problem'])}"
            )
    counts = ", ".join(f"{verdict.total(o)} {o}" for o in ("passed", "failed", "skipped"))
    lost = sum(not host["reachable"] for host in verdict.hosts)
    results.print(f"{len(verdict.hosts)} hosts: {counts}, {lost} unreachable")


def _table(verdict: Verdict) -> Table:
    # Where no host was reached, nothing was tested: one column still says so.
    columns = verdict.subjects or ["result"]
    table = Table("host", *columns)
    for host in verdict.hosts:
        if host["reachable"]:
            cells = [_cell(host["subjects"].get(subject)) for subject in verdict.subjects]
        else:
            cells = ["[red]unreachable[/]"] * len(columns)
        table.add_row(escape(host["name"]), *cells)
    return table


def _cell(counts: Mapping[str, int] | None) -> str:
    if counts is None:
        return "-"
    shown = [(counts[outcome], mark) for outcome, mark in _MARKS.items() if counts[outcome]]
    return " ".join(f"{count} {mark}" for count, mark in shown) or "-"


def _print_failure(host: str, failure: Mapping[str, Any]) -> None:
    results.print(
        f"[bold red]FAILED[/] {escape(host)} {failure['subject']}: {escape(failure['test'])}"
    )
    lines = failure["message"].splitlines()
    for line in lines[:SHOWN_LINES]:
        results.print(f"    {escape(line)}")
    if len(lines) > SHOWN_LINES:
        results.print("    … (all of it: -v)")


def _print_once(verdict: Verdict, kind: str, key: str, word: str) -> None:
    """Print each text of a kind once, with the hosts that it was said of."""
    texts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for host in verdict.hosts:
        for said in host[kind]:
            texts[said["subject"], said[key]].add(host["name"])
    for (subject, text), names in texts.items():
        results.print(f"{word} {subject}: {escape(text)} ({escape(', '.join(sorted(names)))})")
