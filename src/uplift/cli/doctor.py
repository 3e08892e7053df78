"""``uplift doctor``: what keeps a run from working, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import click
from rich.markup import escape

from uplift.cli.output import as_json, progress, results
from uplift.doctor.diagnosis import diagnose
from uplift.doctor.report import CHECKS, Finding, HostReport, Report, Status

_MARKS = {
    Status.OK: "[green]✔[/]",
    Status.WARNING: "[yellow]![/]",
    Status.FAILED: "[red]✘[/]",
    Status.SKIPPED: "[dim]-[/]",
}


@click.command()
@click.argument("inventory")
@click.option("--limit", multiple=True, help="A group or a pattern of host names; repeatable.")
@click.option("--json", "json_", is_flag=True, help="Print the result as JSON.")
def doctor(inventory: str, limit: tuple[str, ...], json_: bool) -> int:
    """Check what hosts and controller need, and say what to do.

    Nothing is changed. Exit codes: 0 all is well, warnings included · 1 something is wrong ·
    3 a host could not be reached · 64 the inventory or its settings cannot be used.
    """
    with progress.status(f"examining the hosts of {escape(inventory)} …"):
        report = diagnose(inventory, limit)
    if json_:
        as_json(_plain(report))
    else:
        _show(report)
    return report.exit_code


def _plain(report: Report) -> dict[str, Any]:
    return {**asdict(report), "exit_code": int(report.exit_code)}


def _show(report: Report) -> None:
    for finding in report.controller:
        mark = _MARKS[finding.status]
        results.print(f"{mark} {finding.check:<10} {escape(finding.text)}")
    if report.hosts:
        results.print()
        _table(report.hosts)
    _remedies([("this machine", report.controller)])
    _remedies([(host.name, host.findings) for host in report.hosts])
    results.print()
    results.print(_summary(report))


def _table(hosts: Sequence[HostReport]) -> None:
    """Print a row for each host; not rich's table, which cuts names when there is no terminal."""
    width = max(len("host"), *(len(host.name) for host in hosts))
    results.print(f"[bold]{'host':<{width}}  {'  '.join(CHECKS)}[/]")
    for host in hosts:
        cells = [
            " " * (len(finding.check) // 2)
            + _MARKS[finding.status]
            + " " * (len(finding.check) - len(finding.check) // 2 - 1)
            for finding in host.findings
        ]
        results.print(f"{escape(host.name):<{width}}  {'  '.join(cells).rstrip()}")


def _remedies(found: Sequence[tuple[str, Iterable[Finding]]]) -> None:
    """Print each trouble once: the remedy for the first host that has it, then the other hosts."""
    kinds: dict[tuple[str, Status, str], list[tuple[str, Finding]]] = {}
    for name, findings in found:
        for finding in findings:
            if finding.remedy:
                kind = (finding.check, finding.status, finding.kind or finding.text)
                kinds.setdefault(kind, []).append((name, finding))
    for (check, status, _), members in kinds.items():
        name, finding = members[0]
        others = [other for other, _ in members[1:]]
        results.print()
        results.print(f"{_MARKS[status]} [bold]{escape(name)}[/] {check}: {escape(finding.text)}")
        for line in (finding.remedy or "").splitlines():
            results.print(f"    {escape(line)}")
        if others:
            shown = ", ".join(others[:8]) + (f" and {len(others) - 8} more" * (len(others) > 8))
            results.print(f"    [dim]The same on: {escape(shown)}[/]")


def _summary(report: Report) -> str:
    if not report.hosts:
        return "No host was looked at."
    lost = sum(not host.reached for host in report.hosts)
    findings = [*report.controller, *(it for host in report.hosts for it in host.findings)]
    wrong = sum(finding.status is Status.FAILED for finding in findings)
    warnings = sum(finding.status is Status.WARNING for finding in findings)
    if not wrong and not warnings:
        return f"All is well: {_count(len(report.hosts), 'host')}."
    hosts = _count(len(report.hosts), "host")
    text = f"{hosts}: {wrong} wrong, {_count(warnings, 'warning')}"
    return text + (f"; {lost} not reached" if lost else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
