"""``uplift rollback``: take an application back to a release as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, get_args

import click
from rich.markup import escape
from rich.table import Table

from uplift.cli.output import GONE, as_json, error, results
from uplift.cli.policy import policy as policy_of
from uplift.cli.watching import watch
from uplift.remote.inventory import InventoryHost
from uplift.rollback.run import Listing, Result, arrived, listed, roll_back
from uplift.spec.app.release import Release
from uplift.spec.container.image import Reference, brief
from uplift.spec.errors import Exit
from uplift.spec.rollout.policy import OnFailure, Policy
from uplift.spec.rollout.waves import divided, naming

ALL = ("100%",)
"""At once, unless somebody says otherwise: what is gone back to has run there before."""


@click.command()
@click.argument("inventory")
@click.argument("app")
@click.option(
    "--to",
    default="previous",
    show_default=True,
    help="previous, a builder (poetry, uv, pip, dockerfile), a release's id, a tag, or a digest.",
)
@click.option("--list", "list_", is_flag=True, help="Show the releases that each host has.")
@click.option("--limit", multiple=True, help="Only this group, or hosts whose name matches.")
@click.option("--waves", metavar="WORDS", help="As for `uplift rollout` (default: 100%).")
@click.option("--gate", multiple=True, help="Tests before and after each wave (default: none).")
@click.option("--no-gate", is_flag=True, help="No tests, whatever the settings say.")
@click.option("--bake", metavar="TIME", help="Time for which a wave must stay good, as 30s.")
@click.option("--on-failure", type=click.Choice(get_args(OnFailure)))
@click.option("--partial-revert", is_flag=True, default=None, help="As for `uplift rollout`.")
@click.option("--policy", "file", type=click.Path(dir_okay=False), help="YAML file of all of it.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, on every host.")
@click.option("--ignore-schema", is_flag=True, help="Do not ask whether the schema is ahead.")
@click.option("--json", "want_json", is_flag=True, help="Print what happens as JSON lines.")
def rollback(
    inventory: str,
    app: str,
    to: str,
    list_: bool,
    limit: tuple[str, ...],
    dry_run: bool,
    ignore_schema: bool,
    want_json: bool,
    **said: Any,
) -> int:
    """Take APP on the hosts of INVENTORY back to a release as it was.

    Image, settings, environment, own files and secrets are those of the release. Nothing is begun
    unless every host can be reached and has the release. It is a rollout like any other, with
    locks, a journal, waves and gates: `uplift history` lists it, `uplift resume` goes on with it.
    The block `rollout` of the group data holds for it as well; options come first.

    \b
    Exit codes: 0 done, or nothing to do · 1 failed, and every host is as before
    3 a host could not be reached, or hosts differ now: the table says which
    4 another run holds a lock · 64 wrong usage or settings · 130 interrupted
    """
    if list_:
        found = listed(inventory, app, limit)
        _show_list(app, found, want_json)
        return Exit.DONE if all(one.reached for one in found) else Exit.HELD
    with watch(want_json) as seen:
        result = roll_back(
            inventory,
            app,
            to,
            limit,
            policy=lambda hosts: _policy(inventory, hosts, said),
            tell=seen.tell,
            dry_run=dry_run,
            schema=not ignore_schema,
        )
    with suppress(*GONE):
        if want_json:
            print(json.dumps({"kind": "result", **_document(app, to, result)}), flush=True)
        else:
            _show(result)
    return result.exit_code


def _policy(inventory: str, hosts: Sequence[InventoryHost], said: Mapping[str, Any]) -> Policy:
    """Return the policy, without waves and pauses of settings that are about other hosts."""
    found = policy_of(inventory, hosts, said, {"waves": ALL})
    waves = found.waves if said["waves"] is not None else naming(hosts, found.waves) or ALL
    number = len(divided(hosts, waves))
    pauses = [one for one in found.pause_after if one < number]
    # The settings may count on the tests that a rollout has by itself, and a rollback has not.
    bake = found.bake if found.gate or said["bake"] is not None or said["file"] else 0
    return found.but(waves=waves, pause_after=pauses, bake=bake)


def _show_list(app: str, found: Sequence[Listing], want_json: bool) -> None:
    if want_json:
        as_json({"app": app, "hosts": [_host(one) for one in found]})
        return
    table = Table("host", "release", "image", "digest", "built by", "outcome", "deployed by")
    for one in found:
        for release in reversed(one.releases):
            serves = " [green]serves[/]" if release == one.current else ""
            table.add_row(
                escape(one.host),
                release.id,
                escape(Reference.parse(release.reference).short),
                brief(release.digest),
                release.builder or "?",
                release.outcome + serves,
                escape(release.by),
            )
    results.print(table)
    _show_errors(found)


def _show(result: Result) -> None:
    _show_errors(result.before)
    if not result.after:
        if result.exit_code is not Exit.DONE:
            error("no host was touched")
        return
    table = Table("host", "before", "now", "asked for")
    for was, now in zip(result.before, result.after, strict=True):
        mark = "[green]✔[/]" if arrived(now) else "[bold red]✘[/]"
        table.add_row(
            escape(was.host),
            _short(was.current),
            f"{_short(now.current)} {mark}",
            _short(was.chosen),
        )
    results.print(table)
    _show_errors(result.after)


def _show_errors(found: Sequence[Listing]) -> None:
    for one in found:
        if one.error:
            error(f"{one.host}: {one.error.removeprefix(f'{one.host}: ')}")


def _short(release: Release | None) -> str:
    return escape(Reference.parse(release.reference).short) if release else "-"


def _document(app: str, to: str, result: Result) -> dict[str, Any]:
    return {
        "app": app,
        "to": to,
        "before": [_host(one) for one in result.before],
        "after": [{**_host(one), "arrived": arrived(one)} for one in result.after],
        "exit_code": int(result.exit_code),
    }


def _host(one: Listing) -> dict[str, Any]:
    return {
        "name": one.host,
        "reached": one.reached,
        "error": one.error or None,
        "slot": one.slot or None,
        "current": one.current.id if one.current else None,
        "chosen": one.chosen.id if one.chosen else None,
        "releases": [
            {
                "id": release.id,
                "image": release.reference,
                "digest": release.digest or None,
                "builder": release.builder or None,
                "outcome": release.outcome,
                "by": release.by,
            }
            for release in one.releases
        ],
    }
