"""``uplift plan``: what a run would change, before it does."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.markup import escape
from rich.status import Status

from uplift.cli.output import as_json, progress, results
from uplift.rollout.plan import Request
from uplift.rollout.plan import plan as make
from uplift.spec.errors import UsageError
from uplift.spec.rollout.event import Event
from uplift.spec.rollout.plan import HostPlan, Plan, Step


@click.command()
@click.argument("inventory")
@click.argument("deploys", nargs=-1, required=True, metavar="DEPLOY...")
@click.option("--limit", multiple=True, help="Only this group, or hosts whose name matches.")
@click.option("--waves", help="As for a rollout (default: those of the block `rollout`).")
@click.option("--data", multiple=True, metavar="NAME=TEXT", help="For the deploy files, as text.")
@click.option("-o", "--output", metavar="FILE", help="Keep the plan, for `uplift rollout --plan`.")
@click.option("--json", "want_json", is_flag=True, help="Print the plan as JSON.")
def plan(
    inventory: str,
    deploys: tuple[str, ...],
    limit: tuple[str, ...],
    waves: str | None,
    data: tuple[str, ...],
    output: str | None,
    want_json: bool,
) -> int:
    """Say what the DEPLOY files would change on the hosts of INVENTORY; nothing is written.

    A plan that is kept is bound to what was seen: `uplift rollout --plan` refuses a host that has
    moved on since.

    \b
    Exit codes: 0 nothing would change · 2 something would · 1 an operation would fail, or a
    host could not be read · 3 a host could not be reached · 64 wrong usage or settings
    """
    if output and not Path(output).parent.is_dir():
        raise UsageError(f"{output}: there is no folder {Path(output).parent}")
    request = Request(
        inventory, deploys, limit, pairs(data), [word.strip() for word in (waves or "").split(",")]
        if waves else (),
    )  # fmt: skip
    with progress.status("reading the hosts …") as status:
        made = make(request, lambda event: _tell(status, event))
    if output:
        _keep(Path(output), made)
    if want_json:
        as_json(document(made))
    else:
        _show(made)
    return made.exit_code


def pairs(given: tuple[str, ...], option: str = "--data") -> dict[str, str]:
    """Return what follows an option that is given once for each name.

    Args:
        given: each as NAME=TEXT.
        option: for the error's text.

    Raises:
        UsageError: one has no value.
    """
    for one in given:
        if "=" not in one.lstrip("="):
            raise UsageError(f"{option} {one!r} has no value: write {option} {one}=TEXT")
    return dict(one.split("=", 1) for one in given)


def document(made: Plan) -> dict[str, object]:
    """Return a plan as plain data.

    Args:
        made: the plan.
    """
    return made.model_dump(mode="json")


def _keep(file: Path, made: Plan) -> None:
    """Write a plan whole, for its owner alone: it shows how hosts are made."""
    part = file.with_name(f".{file.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as to:
            to.write(made.model_dump_json(indent=2) + "\n")
        part.replace(file)
    except OSError as wrong:
        raise UsageError(f"{file} cannot be written: {wrong.strerror}") from None


def _tell(status: Status, event: Event) -> None:
    if event.kind == "read":
        status.update(f"{escape(event.host)}: {escape(event.operation)}")


def _show(made: Plan) -> None:
    waves = made.waves or (tuple(host.name for host in made.hosts),)
    for number, names in enumerate(waves, start=1):
        if made.waves:
            results.print(f"[bold]wave {number} of {len(waves)}[/]")
        for group in _alike([host for host in made.hosts if host.name in names]):
            _show_hosts(group)
    _sum_up(made)


def _alike(hosts: list[HostPlan]) -> list[list[HostPlan]]:
    """Put hosts together that have the same before them."""
    found: dict[str, list[HostPlan]] = {}
    for host in hosts:
        found.setdefault(repr((host.state, host.text, host.steps)), []).append(host)
    return list(found.values())


_COLOURS = {"unchanged": "green", "changes": "yellow"}


def _show_hosts(group: list[HostPlan]) -> None:
    one = group[0]
    names = ", ".join(host.name for host in group)
    colour = _COLOURS.get(one.state, "bold red")
    results.print(f"[bold]{escape(names)}[/]  [{colour}]{one.state}[/]")
    if one.state in ("failed", "unreachable"):
        results.print(f"    {escape(one.text)}")
    for step in one.steps:
        if step.effect != "none":
            _show_step(step)


_MARKS = {"change": "~", "maybe": "?", "unclear": "?", "refused": "✘"}
_WORDS = {
    "maybe": " (if its condition holds)",
    "unclear": " (known when the changes before it are done)",
    "refused": " (would fail)",
}


def _show_step(step: Step) -> None:
    stock = step.function.startswith("pyinfra.operations.")
    by = f"  {step.function.removeprefix('pyinfra.operations.')}" if stock else ""
    results.print(f"  {_MARKS[step.effect]} {escape(step.name + by)}{_WORDS.get(step.effect, '')}")
    for line in step.lines:
        for part in line.splitlines():
            results.print(f"      {escape(part)}")
    for word, names in (("restarts", step.restarts), ("removes for good", step.removes)):
        if names:
            results.print(f"      [yellow]{word}: {escape(', '.join(names))}[/]")
    if step.changes:
        way = step.way_back or "none"
        results.print(f"      [dim]way back: {escape(way)}[/]")


def _sum_up(made: Plan) -> None:
    counts = {
        state: sum(host.state == state for host in made.hosts)
        for state in ("changes", "unchanged", "refused", "failed", "unreachable")
    }
    words = [f"{number} {state}" for state, number in counts.items() if number]
    results.print(f"{len(made.hosts)} hosts: {', '.join(words)}")
    if made.irreversible:
        steps = dict.fromkeys(name for names in made.irreversible.values() for name in names)
        results.print(
            f"a rollout cannot put back by itself: {escape(', '.join(steps))}", style="dim"
        )
