"""``uplift history`` and ``uplift show``: what runs did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from uplift.cli.output import as_json, error, results
from uplift.cli.rollout import conclude
from uplift.cli.watching import denied, words
from uplift.rollout.ends import Result
from uplift.rollout.journal import all_runs, found, read, records
from uplift.spec.errors import Exit
from uplift.spec.rollout.gate import summary
from uplift.spec.rollout.journal import Run
from uplift.spec.rollout.policy import shown


@click.command()
@click.option("-n", "count", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--json", "want_json", is_flag=True, help="Print the runs as JSON.")
def history(count: int, want_json: bool) -> int:
    """List the runs of this project, the newest first.

    \b
    Exit codes: 0 listed · 1 a journal could not be read, the others are listed
    """
    runs, problems = all_runs()
    if want_json:
        as_json([_plain(run) for run in runs[:count]])
    else:
        results.print(_table(runs[:count]))
    for problem in problems:
        error(problem)
    return Exit.FAILED if problems else Exit.DONE


def _table(runs: Sequence[Run]) -> Table:
    table = Table()
    # The run is what a person types next: a narrow terminal must not cut it.
    table.add_column("run", no_wrap=True)
    for name in ("began", "lasted", "by", "deploys", "hosts", "outcome", "exit"):
        table.add_column(name)
    for run in runs:
        done = len(run.at("committed"))
        table.add_row(
            run.id,
            _moment(run.began),
            f"{run.last - run.began:.0f} s",
            escape(run.request["actor"]),
            escape(", ".join(run.request["deploys"])),
            f"{done} of {len(run.hosts)}",
            _outcome(run),
            "-" if run.exit_code is None else str(run.exit_code),
        )
    return table


def _outcome(run: Run) -> str:
    found = run.outcome or "[yellow]not ended[/]"
    if not run.denied:
        return found
    return f"{found}; {run.denied['what']} refused {_moment(run.denied['at'])}"


@click.command()
@click.argument("run", default="last")
@click.option("--json", "want_json", is_flag=True, help="Print every record as JSON.")
def show(run: str, want_json: bool) -> None:
    """Show what RUN (the last one) did, step by step."""
    folder = found(run)
    if want_json:
        as_json({**_plain(read(folder)), "records": [shown(one) for one in records(folder)]})
        return
    told = read(folder)
    for record in records(folder):
        # While it ran, they were shown as they came.
        lines = [escape(f"  {line}") for one in record.get("lines", ()) for line in one.split("\n")]
        for line in [*words(record), *lines]:
            results.print(f"{_moment(record['at'], '%H:%M:%S')}  {line}")
    conclude(Result(told, told.serving))
    ended = f"{told.outcome} (exit code {told.exit_code})" if told.outcome else "not ended"
    if told.denied:
        at = _moment(told.denied["at"])
        results.print(f"{told.id}: {at}: {escape(denied(told.denied))}; it can be tried again")
    results.print(f"{told.id}: {ended}; pyinfra's and the tests' own output is in {folder}")


def _plain(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "began": run.began,
        "lasted": round(run.last - run.began, 3),
        "actor": run.request["actor"],
        "inventory": run.request["inventory"],
        "deploys": run.request["deploys"],
        "waves": run.request["waves"],
        "hosts": dict(run.hosts),
        "words": dict(run.words),
        "changed": {name: list(names) for name, names in run.changed.items()},
        "took": dict(run.took),
        "gate": summary(run.gates),
        "serving": dict(run.serving),
        "denied": dict(run.denied) or None,
        "outcome": run.outcome or None,
        "exit_code": run.exit_code,
    }


def _moment(at: float, form: str = "%Y-%m-%d %H:%M:%SZ") -> str:
    return datetime.fromtimestamp(at, UTC).strftime(form)
