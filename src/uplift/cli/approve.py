"""``uplift approve``: let a run go on that waits for a person."""

from __future__ import annotations

import click

from uplift.cli.output import progress
from uplift.rollout.approval import approve as give


@click.command()
@click.argument("run", default="last")
def approve(run: str) -> None:
    """Let RUN (the last one) go on, which waits after a wave for a person.

    A run that waits but whose process has ended goes on with `uplift resume`.
    """
    name, wave = give(run)
    progress.print(f"{name}: approved after wave {wave}")
