"""What the step of a recipe that downloads or compiles is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from uplift.lab.images.places import Report


@dataclass(frozen=True)
class Kit:
    """Where to work, whom to tell, and what is allowed.

    Args:
        folder: an empty folder, removed after the build.
        report: told what is done.
        install: whether missing tools may be installed on the controller.
    """

    folder: Path
    report: Report
    install: bool
