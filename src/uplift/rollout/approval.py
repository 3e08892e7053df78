"""A person's word that a run may go on after a wave."""

from __future__ import annotations

import os
from pathlib import Path

from uplift.controller import person
from uplift.rollout.journal import RUNS, found, read
from uplift.spec.errors import UsageError


def approve(run: str, root: Path = RUNS) -> tuple[str, int]:
    """Approve the wave after which a run waits.

    Args:
        run: its id, the beginning of it, or ``last``.
        root: folder of all runs.

    Returns:
        The run's id, and the wave.

    Raises:
        UsageError: it does not wait.
    """
    folder = found(run, root, refused=False)
    told = read(folder)
    if not told.waits:
        raise UsageError(f"{told.id} does not wait for approval")
    new = folder / f"approved-{told.paused}.new"
    with new.open("w") as file:
        file.write(f"{person()}\n")
        file.flush()
        os.fsync(file.fileno())
    new.rename(folder / f"approved-{told.paused}")
    return told.id, told.paused
