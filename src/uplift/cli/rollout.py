"""``uplift rollout``: change hosts wave by wave, with tests in between."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from uplift.cli.output import GONE, error, progress, results
from uplift.cli.plan import pairs
from uplift.cli.policy import policy as policy_of
from uplift.cli.watching import said, watch
from uplift.remote import inventory as inventories
from uplift.rollout.ends import Result, described
from uplift.rollout.run import Request, begin, waves
from uplift.spec.container.image import Reference
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.rollout import Policy
from uplift.spec.rollout.gate import summary
from uplift.spec.rollout.journal import Run, Step
from uplift.spec.rollout.plan import Plan, load

VERIFY = "tests/verify"

_WRONG: tuple[Step, ...] = ("failed", "rejected", "unreachable", "not-reverted")


@click.command()
@click.argument("inventory", required=False)
@click.argument("deploys", nargs=-1, metavar="DEPLOY…")
@click.option("--plan", "plan_file", metavar="FILE", help="Carry out what `uplift plan -o` kept.")
@click.option("--limit", multiple=True, help="Only this group, or hosts whose name matches.")
@click.option("--data", multiple=True, metavar="NAME=TEXT", help="For the deploy files.")
@click.option("--waves", metavar="WORDS", help="As 1,25%,100% or databases,apps:1,apps.")
@click.option("--gate", multiple=True, help=f"Tests between waves (default: {VERIFY}).")
@click.option("--no-gate", is_flag=True, help="No tests between waves.")
@click.option("--bake", metavar="TIME", help="Time for which a wave must stay good, as 30s or 5m.")
@click.option("--on-failure", type=click.Choice(["hold", "revert-wave", "revert-fleet"]))
@click.option("--partial-revert", is_flag=True, default=None, help="Though not all has a way back.")
@click.option(
    "--budget", "budgets", multiple=True, metavar="CLASS=N",
    help="Hosts that may fail: unreachable=1, change_failed=10%, gate_failed=0.",
)  # fmt: skip
@click.option("--skip-unreachable", is_flag=True, default=None, help="Leave lost hosts out.")
@click.option("--pause-after", multiple=True, type=click.IntRange(min=1), metavar="WAVE")
@click.option("--policy", "file", type=click.Path(dir_okay=False), help="YAML file of all of it.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "want_json", is_flag=True, help="Print what happens as JSON lines.")
def rollout(
    inventory: str | None,
    deploys: tuple[str, ...],
    plan_file: str | None,
    limit: tuple[str, ...],
    data: tuple[str, ...],
    yes: bool,
    want_json: bool,
    **said: Any,
) -> int:
    """Run DEPLOY files on the hosts of INVENTORY, wave by wave, with tests in between.

    Every host is locked before the first one changes, and each step is recorded before it is taken:
    `uplift resume` goes on with a run that was held or killed. Tests that were bad before a wave
    do not stop it; a new failure does. Settings stand in the block `rollout` of the group data;
    options come first.

    \b
    Exit codes: 0 every host is done · 1 failed, and every host is as before
    3 failed and held, or a host was not reached: the table says who runs what
    4 another run holds a lock · 5 a host or the settings are not as the plan saw them
    64 wrong usage or settings · 130 interrupted
    """
    plan = _planned(plan_file, inventory, deploys, limit, data) if plan_file else None
    if plan:
        inventory, deploys, limit = plan.inventory, plan.deploys, plan.limit
        if plan.waves and said["waves"]:
            raise UsageError("--plan says the waves: leave --waves out, or plan with those")
    if not inventory or not deploys:
        raise UsageError("name an inventory and at least one deploy file, or a plan by --plan")
    hosts = tuple(inventories.hosts(inventory, limit))
    gate = {"gate": (VERIFY,)} if Path(VERIFY).is_dir() else {}
    policy = policy_of(inventory, hosts, said, gate)
    request = Request(
        inventory, hosts, deploys, policy, limit, plan.data if plan else pairs(data), plan
    )
    found = waves(request)
    if not yes:
        _ask(policy, found)
    with watch(want_json) as seen:
        result = begin(request, seen.tell)
    return shown(result, want_json)


def shown(result: Result, want_json: bool) -> Exit:
    """Print what came of a run, and return its exit code, also where nobody listens any more.

    Args:
        result: of the run.
        want_json: as one last JSON line.
    """
    with suppress(*GONE):
        _print(result, want_json)
    return result.exit_code


def _print(result: Result, want_json: bool) -> None:
    if want_json:
        print(json.dumps({"kind": "result", **described(result)}), flush=True)
        return
    conclude(result)
    run = result.run
    if result.stopped:
        error(f"{run.outcome}: {result.stopped}")
    if not run.over:
        progress.print(f"go on: uplift resume {run.id}    give up: uplift abort {run.id}")


def conclude(result: Result) -> None:
    """Print who runs what, what has changed and what the gates found.

    Args:
        result: of a run.
    """
    results.print(table(result))
    for operation, hosts in _changed_by(result.run).items():
        results.print(escape(f"changed by {operation}: {', '.join(hosts)}"))
    for wave, found in summary(result.run.gates).items():
        counts = {kind: one if isinstance(one, int) else len(one) for kind, one in found.items()}
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        results.print(f"gate of wave {wave}: {said}")
        for kind in ("new", "flaky"):
            for test in found[kind]:
                results.print(escape(f"  {kind}: {test}"))


def _changed_by(run: Run) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for wave in run.waves:
        for name in wave:
            for operation in run.changed.get(name, ()):
                found.setdefault(operation, []).append(name)
    return found


def table(result: Result) -> Table:
    """Return who runs what, and how far each host came.

    Args:
        result: of a run.
    """
    run, why = result.run, _why(result.run)
    found = Table("wave", "host", "step", "changed", "serves", *(["why"] if why else []))
    for number, wave in enumerate(run.waves, start=1):
        for name in wave:
            serving = result.serving.get(name)
            found.add_row(
                str(number),
                escape(name),
                said(run.hosts[name]),
                str(len(run.changed.get(name, ()))),
                escape(_serves(serving)),
                *([escape(why.get(name, ""))] if why else []),
            )
    return found


def _why(run: Run) -> Mapping[str, str]:
    """Return what went wrong on hosts that are not as they should be, one line each."""
    found = {}
    for name in run.at(*_WRONG):
        words = run.words.get(name, "")
        # What stays on a host is said whole; of a command that failed, its output was shown.
        stays = run.hosts[name] == "not-reverted"
        found[name] = " ".join(words.split()) if stays else words.partition("\n")[0]
    return {name: words for name, words in found.items() if words}


def _serves(serving: Mapping[str, Any] | UpliftError | None) -> str:
    if serving is None or isinstance(serving, UpliftError) or "error" in serving:
        return "?"
    apps = [
        f"{name} {Reference.parse(one['image']).tag or one['digest'][7:19]}" if one else f"{name} -"
        for name, one in serving["apps"].items()
    ]
    return ", ".join([*apps, f"uv {serving['uv']}"] if serving["uv"] else apps) or "-"


def _planned(
    file: str,
    inventory: str | None,
    deploys: tuple[str, ...],
    limit: tuple[str, ...],
    data: tuple[str, ...],
) -> Plan:
    """Return a kept plan; it says what is done, so that nothing else may."""
    if inventory or deploys or limit or data:
        raise UsageError("--plan says inventory, deploy files, --limit and --data: leave them out")
    try:
        return load(Path(file).read_text(encoding="utf-8"), file)
    except OSError as wrong:
        raise UsageError(f"--plan {file}: {wrong.strerror}") from None


def _ask(policy: Policy, found: Sequence[Sequence[str]]) -> None:
    for number, wave in enumerate(found, start=1):
        progress.print(f"wave {number}: {escape(', '.join(wave))}")
    gate = ", ".join(policy.gate) or "none"
    progress.print(
        f"gate: {escape(gate)}    bake: {policy.bake} s    on failure: {policy.on_failure}"
    )
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at: add -y to begin")
    click.confirm("Begin?", abort=True, err=True)
