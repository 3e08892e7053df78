"""Which release the container in a slot serves with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from uplift.spec.app.release import Release


def newest(releases: Iterable[Release]) -> Release | None:
    """Return the newest good release that this tool made serve.

    A container that was only taken over as a way back may be of a later date.

    Args:
        releases: of an application on a host.
    """
    return max(_served(releases), key=lambda one: one.id, default=None)


def _served(releases: Iterable[Release]) -> list[Release]:
    return [one for one in releases if one.outcome == "good" and (one.of or not one.foreign)]


@dataclass(frozen=True)
class SlotContainer:
    """The container in a slot.

    Args:
        id: of it.
        image: id of its image.
        release: that it was made for, by its label; a later one may have taken it as it was.
    """

    id: str
    image: str
    release: str = ""


def served_with(container: SlotContainer, releases: Iterable[Release]) -> Release | None:
    """Return the newest good release that a container serves with, where its image says the same.

    Args:
        container: in a slot.
        releases: of the application on the host.
    """
    served = [one for one in _served(releases) if one.local in ("", container.image)]
    for fits in (
        [one for one in served if one.container == container.id],
        [one for one in served if container.release and container.release in (one.id, one.of)],
        # The record of its label may be gone: of one release only the newest stays.
        [one for one in served if one.local],
    ):
        if fits:
            return newest(fits)
    return None
