"""Which image may be started on which data: asked before an image is pulled."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

Number = tuple[int, int, int]

_NUMBER = re.compile(r"(3)\.(\d+)\.(\d+)(?![0-9.])")
_WITHOUT_ORIENT: Number = (3, 71, 0)
_NEW_H2: Number = (3, 70, 0)
_COMMUNITY: Number = (3, 77, 0)
_SMALLER: Number = (3, 87, 0)

ORIENT = frozenset({"config", "security", "component"})
"""Folders of OrientDB below ``db``; the same that 3.71 and later look for when they start."""

H2 = "nexus.mv.db"
"""File of H2 below ``db``."""


def number(text: str) -> Number | None:
    """Return the version that a tag, label or log line begins with, as ``3.30.0-01``.

    Args:
        text: anything.
    """
    found = _NUMBER.match(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def newest(texts: Iterable[str]) -> Number | None:
    """Return the highest version among texts, or None.

    Args:
        texts: each a version or not.
    """
    return max((found for text in texts if (found := number(text))), default=None)


@dataclass(frozen=True)
class Step:
    """A change of the image over data that is there.

    Args:
        image: as the settings name it.
        wanted: its version, where it is known.
        current: version of the data, where it is known.
        databases: what is below ``db``.
    """

    image: str
    wanted: Number | None
    current: Number | None
    databases: Collection[str] = ()


def refusal(step: Step) -> str:
    """Return why an image must not be started on the data, with the way to go; else nothing.

    Args:
        step: what is wanted over what is there.
    """
    current, wanted = step.current, step.wanted
    if wanted is None:
        return (
            f"image {step.image} does not say which version it is, and there is data that an "
            f"older one could not read: name it with its version, as NAME:3.85.0@sha256:…"
        )
    if current is None:
        return (
            "there is data, and neither a running server, its log nor its cache says which version "
            "wrote it: start it once as it ran before, or set data_version"
        )
    if wanted < current:
        return (
            f"the data is of Nexus {words(current)}, and image {step.image} is older: no version "
            f"reads the data of a newer one. Keep {words(current)} or newer, or restore a backup "
            f"that was made with {words(wanted)}"
        )
    orient = set(step.databases) >= ORIENT and H2 not in step.databases
    if orient and wanted >= _WITHOUT_ORIENT:
        return (
            f"the data is in OrientDB, which Nexus {words(wanted)} does not read. The way: upgrade "
            f"to the latest 3.70 first; stop it and turn its database into H2 with Sonatype's "
            f"migrator for that 3.70 (nexus-db-migrator); then go on to an image of 3.71 or later, "
            f"which brings the Java 17 that it needs"
        )
    if H2 in step.databases and current < _NEW_H2 <= wanted:
        return (
            f"the data is in H2 of Nexus {words(current)}, and the format changed with 3.70: on "
            f"3.69 export it with the task 'Admin - Export SQL database to script', and follow "
            f"Sonatype's 'Upgrading H2'"
        )
    return ""


def remarks(step: Step) -> list[str]:
    """Return what changes for people with an upgrade.

    Args:
        step: what is wanted over what is there.
    """
    found: list[str] = []
    if step.current is None or step.wanted is None:
        return found
    if step.current < _COMMUNITY <= step.wanted:
        found.append(
            "from 3.77 on, Nexus without a licence is the Community Edition: its terms must be "
            "accepted, and it takes at most 100,000 components and 200,000 requests a day"
        )
    if step.current < _SMALLER <= step.wanted:
        found.append(
            "from 3.87 on, the Community Edition takes at most 40,000 components and 100,000 "
            "requests a day (before: 100,000 and 200,000); with more, nothing new is taken in"
        )
    return found


def words(version: Number) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, version))
