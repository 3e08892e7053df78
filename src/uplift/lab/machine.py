"""Limits of this machine that hosts with systemd run into."""

from __future__ import annotations

import os
from pathlib import Path

from uplift.lab.report import Report

# Every systemd of every host takes five or more of root's inotify instances, of which kernels
# allow 128: with some twenty hosts, of all labs together, units fail or a host ends at its start.
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH = 1024


def raise_limits(report: Report, file: Path = INOTIFY) -> list[str]:
    """Raise the number of inotify instances until the machine's next start; root may.

    Args:
        report: told when it is raised.
        file: the kernel's setting.

    Returns:
        A line that says what was changed; none when nothing was, or this user may not.
    """
    before = _limit(file)
    if before >= ENOUGH or os.geteuid() != 0:
        return []
    try:
        file.write_text(f"{ENOUGH}\n")
    except OSError:  # a machine that does not let its root do it; `advice` says so when it hurts
        return []
    line = f"fs.inotify.max_user_instances: {before} raised to {ENOUGH}, until the next boot"
    report(line)
    return [line]


def advice(file: Path = INOTIFY) -> str:
    """Return what may help when a host does not come up; empty when the limits are fine."""
    if _limit(file) >= ENOUGH:
        return ""
    return (
        f"\nThis machine allows {_limit(file)} inotify instances, of which each host takes five "
        f"or more.\nRaise them: sudo sysctl fs.inotify.max_user_instances={ENOUGH}"
    )


def _limit(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return ENOUGH
