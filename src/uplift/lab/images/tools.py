"""Tools of the controller that make images: found, or installed where that is allowed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from uplift.lab.images.places import Report
from uplift.lab.images.processes import run
from uplift.spec.errors import UpliftError

TIME_LIMIT = 1800.0


def require(
    packages: Mapping[str, tuple[str, ...]], what: str, report: Report, *, install: bool
) -> None:
    """Have the commands that an image is made with.

    Args:
        packages: command to Debian packages that bring it.
        what: is made with them, for messages.
        report: told what is installed.
        install: whether they may be installed.

    Raises:
        UpliftError: some are missing and may not be installed.
    """
    missing = [command for command in packages if not shutil.which(command)]
    if not missing:
        return
    wanted = [package for command in missing for package in packages[command]]
    command_line = ["apt-get", "install", "-y", "--no-install-recommends", *wanted]
    if not install or not shutil.which("apt-get"):
        raise UpliftError(
            f"{what}: no registry answers, and making it from packages needs "
            f"{', '.join(missing)}, which this machine lacks.\n"
            f"Install them ({' '.join(command_line)}) or allow that with --yes."
        )
    report(f"{what}: installing {' '.join(wanted)}")
    for step in (["apt-get", "update"], command_line):
        run(step, report, limit=TIME_LIMIT, env={"DEBIAN_FRONTEND": "noninteractive"})
