"""What stands at a path of a host, as several facts see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """What stands at a path, without following a link.

    Args:
        kind: ``absent``, ``link``, ``file``, ``folder`` or ``other``.
        rights: mode, user and group, as ``755 0:0``; empty for a link or when absent.
        detail: where a link points, or a file's sha256 where a fact takes it.
    """

    kind: str
    rights: str = ""
    detail: str = ""


ABSENT = Entry("absent")
