"""``uplift resume``: go on with a run."""

from __future__ import annotations

import click

from uplift.cli.rollout import shown
from uplift.cli.watching import watch
from uplift.rollout.run import resume as go_on


@click.command()
@click.argument("run", default="last")
@click.option("--json", "want_json", is_flag=True, help="Print what happens as JSON lines.")
def resume(run: str, want_json: bool) -> int:
    """Go on with RUN (the last one), which was held, interrupted or killed.

    Hosts that are done stay as they are; those in progress are done again, which changes only what
    is missing. Deploy files and settings must be those that the run began with.

    \b
    Exit codes: as for `uplift rollout` · 5 deploy files or settings are others now, or another
    run has changed its hosts since
    """
    with watch(want_json) as seen:
        result = go_on(run, seen.tell)
    return shown(result, want_json)
