"""The steps of a switch, and what a host says of one that did not come to its end."""

from __future__ import annotations

from dataclasses import dataclass

STEPS = ("record", "name", "traffic", "hold", "spare", "tell", "stop", "close")
"""What a switch does, in its order; between ``record`` and ``name`` the container is made, with
the steps of a container's own journal."""

BACK = ("give_back", "put_away", "fail")
"""What giving the traffic back to the release of before does, in its order."""

POINTS = tuple(
    f"{one} {moment}"
    for one in (*STEPS, *BACK)
    for moment in ("before", "after")
    # The last step of each takes the journal away.
    if (one, moment) not in {("close", "after"), ("fail", "after")}
)
"""The lines that the journal on the host may hold: where a switch can be interrupted."""


@dataclass(frozen=True)
class Journal:
    """A switch that did not come to its end.

    Args:
        release: id of the release that was on its way; empty when none was made.
        slot: that it was to serve in.
        at: last line of the journal.
    """

    release: str = ""
    slot: str = ""
    at: str = ""


def parse(text: str) -> Journal:
    """Read the journal of a switch.

    Args:
        text: of the file.
    """
    lines = text.splitlines()
    named = next((line.split() for line in lines if line.startswith("release ")), [])
    steps = [line for line in lines if line in POINTS]
    return Journal(
        release=named[1] if len(named) > 2 else "",
        slot=named[2] if len(named) > 2 else "",
        at=steps[-1] if steps else "",
    )
