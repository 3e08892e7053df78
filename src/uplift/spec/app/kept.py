"""Which records of releases, and which images, a host needs no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from uplift.spec.app.models import BUILDERS
from uplift.spec.app.release import Release
from uplift.spec.container.image import Reference

FAILED = 3
"""How many releases that failed, or were interrupted, stay to be looked at."""


@dataclass(frozen=True)
class Surplus:
    """What goes when a release has become good.

    Args:
        releases: ids of records.
        images: ids of images that these alone needed; what a container has stays all the same.
        repositories: of the application's images, as Docker names them: what has a name in
            another one stays.
    """

    releases: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()


NOTHING = Surplus()


def surplus(
    new: Release,
    releases: Sequence[Release],
    keep: int,
    patterns: Mapping[str, str],
    serves: Release | None,
) -> Surplus:
    """Return what is needed no more once a release is good.

    A release counts once, however often it was deployed: only its newest record stays. What served
    until now stays, and so does the newest good release of each builder, and the newest one that
    another tool left.

    Args:
        new: that is to become good.
        releases: of the application on the host.
        keep: how many distinct good releases stay, the new one included.
        patterns: of tags by builder, for images without a label.
        serves: until now.
    """
    good = sorted((one for one in releases if one.good), key=lambda one: one.id, reverse=True)
    distinct: dict[str, Release] = {new.key: new}
    for one in good:
        distinct.setdefault(one.key, one)
    newest = list(distinct.values())
    stays = {one.id for one in [*newest[:keep], *_ways(newest, patterns)]}
    stays |= {serves.id} if serves else set()
    failed = sorted((one.id for one in releases if not one.good), reverse=True)
    stays |= {*failed[:FAILED]}
    gone = [one for one in releases if one.id not in stays]
    needed = {one.local for one in [new, *releases] if one.id in stays}
    unused = {one.local for one in gone if one.local} - needed
    own = {_repository(one) for one in [new, *gone]}
    return Surplus(tuple(one.id for one in gone), tuple(sorted(unused)), tuple(sorted(own)))


def _repository(release: Release) -> str:
    """Return a repository as Docker tells it: its own registry is left out."""
    name = Reference.parse(release.reference).name
    short = name.removeprefix("docker.io/")
    return short.removeprefix("library/") if "/" not in short.removeprefix("library/") else short


def _ways(newest: Iterable[Release], patterns: Mapping[str, str]) -> list[Release]:
    """Return the newest release of each builder, and the newest one of another tool."""
    good = list(newest)
    found = []
    for builder in BUILDERS:
        pattern = patterns.get(builder, f"*-{builder}")
        found += [one for one in good if one.made_by(builder, pattern)][:1]
    return found + [one for one in good if one.foreign][:1]
