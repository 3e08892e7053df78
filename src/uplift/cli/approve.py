"""``uplift approve``: let a run go on that waits for a person."""

from __future__ import annotations

import click

from uplift.cli.output import as_json, progress
from uplift.controller import person
from uplift.rollout.approval import approve as give


@click.command()
@click.argument("run", default="last")
@click.option("--json", "want_json", is_flag=True, help="Print what was approved as JSON.")
def approve(run: str, want_json: bool) -> None:
    """Let RUN (the last one) go on, which waits after a wave for a person.

    A run that waits but whose process has ended goes on with `uplift resume`.
    """
    name, wave = give(run)
    if want_json:
        as_json({"run": name, "wave": wave, "by": person()})
    else:
        progress.print(f"{name}: approved after wave {wave}")
