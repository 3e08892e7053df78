"""``uplift abort``: end a run for good."""

from __future__ import annotations

import click

from uplift.cli.rollout import shown
from uplift.cli.watching import watch
from uplift.rollout.run import abort as give_up


@click.command()
@click.argument("run", default="last")
@click.option("--revert", is_flag=True, help="Put every host back that the run has touched.")
@click.option("--json", "want_json", is_flag=True, help="Print what happens as JSON lines.")
def abort(run: str, revert: bool, want_json: bool) -> int:
    """End RUN (the last one), which was held, interrupted or killed: it cannot be resumed.

    Hosts stay as they are, or are put back to what they served when the run began. Without
    --revert, hosts that cannot be reached are named, and do not keep the run from its end.

    \b
    Exit codes: 0 no host was touched · 1 every host is as before
    3 hosts stay changed, or one could not be asked: the table says who runs what
    130 interrupted while hosts were put back: `uplift resume` goes on with that
    4 another run holds a lock · 5 another run has changed hosts since that are to be put back
    64 there is nothing to end
    """
    with watch(want_json) as seen:
        result = give_up(run, seen.tell, put_back=revert)
    return shown(result, want_json)
