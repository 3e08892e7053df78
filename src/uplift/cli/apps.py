"""``uplift logs``, ``exec`` and ``remove``: what runs of an application."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence

import click
from rich.markup import escape
from rich.table import Table

from uplift.apps import command, reach
from uplift.apps import logs as reading
from uplift.apps import remove as removing
from uplift.cli.output import as_json, error, progress, results
from uplift.spec.errors import Exit, UsageError

_SINCE = re.compile(r"[0-9][0-9A-Za-z:.+-]*")


@click.command()
@click.argument("inventory")
@click.argument("app")
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted, over switches too.")
@click.option("--since", default="", help="A time, or how long ago: 10m, 2026-01-31T12:00:00.")
@click.option("--tail", default="all", show_default=True, help="How many of the last lines.")
@click.option("--limit", multiple=True, help="Only this group, or hosts whose name matches.")
@click.option("--json", "want_json", is_flag=True, help="Print each line as a JSON object.")
def logs(
    inventory: str,
    app: str,
    follow: bool,
    since: str,
    tail: str,
    limit: tuple[str, ...],
    want_json: bool,
) -> int:
    """Print what the containers that serve APP on the hosts of INVENTORY have printed.

    \b
    Exit codes: 0 done · 1 a host has no such container · 3 a host could not be reached
    64 wrong usage or settings · 130 interrupted
    """
    if since and not _SINCE.fullmatch(since):
        raise UsageError(f"--since {since!r}: a time, or how long ago, as 10m or 2h")
    if tail != "all" and not tail.isdecimal():
        raise UsageError(f"--tail {tail!r}: a number, or all")
    with reach.places(inventory, app, limit) as places:
        width = max(len(place.name) for place in places)

        def show(host: str, line: str) -> None:
            if want_json:
                print(json.dumps({"host": host, "line": line}), flush=True)
            elif len(places) > 1:
                print(f"{host:<{width}} | {line}", flush=True)
            else:
                print(line, flush=True)

        codes = reading.logs(places, reading.Wanted(follow, since, tail), show)
    if reading.GONE in codes.values():
        return Exit.HELD
    return Exit.FAILED if any(codes.values()) else Exit.DONE


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("inventory")
@click.argument("app")
@click.option("--host", help="Which host; needed when several have the application.")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND…")
def execute(inventory: str, app: str, host: str | None, words: tuple[str, ...]) -> int:
    """Run a command in the container that serves APP, with this input and output.

    \b
    uplift exec inventories/prod.py console --host app-1 -- python -m console.shell

    The exit code is the command's own. 3: the host could not be reached; 64: wrong usage.
    """
    with reach.places(inventory, app, host=host) as places:
        return command.run(command.only(places), words)


@click.command()
@click.argument("inventory")
@click.argument("app")
@click.option("--limit", multiple=True, help="Only this group, or hosts whose name matches.")
@click.option("--purge", is_flag=True, help="Remove the records of its releases as well.")
@click.option("--yes", is_flag=True, help="Do not ask for the application's name.")
@click.option("--json", "want_json", is_flag=True, help="Print the results as JSON.")
def remove(
    inventory: str, app: str, limit: tuple[str, ...], purge: bool, yes: bool, want_json: bool
) -> int:
    """Take APP off the hosts of INVENTORY: its containers, proxy entry, own files and secrets.

    Volumes are never removed. Take it out of the settings too: the next deploy brings back what
    they name.

    \b
    Exit codes: 0 done, or nothing to do · 1 failed, or not confirmed
    3 a host could not be reached: nothing was done where the table does not say so
    4 a rollout, or somebody's hold, has a host: nothing was done
    64 wrong usage or settings, or no such application · 130 interrupted
    """

    def confirm(there: Sequence[removing.There]) -> bool:
        for one in there:
            progress.print(f"{escape(one.host)}: {escape(', '.join(one.found))}")
        return yes or _named(app)

    done, code = removing.remove(inventory, app, limit, confirm, purge=purge)
    if want_json:
        hosts = [
            {
                "name": one.host,
                "reached": one.reached,
                "removed": one.removed,
                "left": one.left,
                "error": one.error or None,
            }
            for one in done
        ]
        as_json({"app": app, "hosts": hosts, "exit_code": int(code)})
        return code
    _show(app, done, code)
    return code


def _named(app: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to confirm at: add --yes")
    name = click.prompt(f"Type {app} to remove it from these hosts", default="", err=True)
    return bool(name == app)


def _show(app: str, done: Sequence[removing.Removed], code: Exit) -> None:
    if not done:
        if code is Exit.DONE:
            results.print(f"no host has anything of {escape(app)}")
        else:
            error("not confirmed: nothing was done")
        return
    table = Table("host", "removed", "left as it is")
    for one in done:
        table.add_row(escape(one.host), escape("\n".join(one.removed)), escape("\n".join(one.left)))
    results.print(table)
    for one in done:
        if one.error:
            error(f"{one.host}: {one.error.removeprefix(f'{one.host}: ')}")
