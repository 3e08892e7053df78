"""What is there of containers and their releases, and which images nobody needs any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from uplift.spec.app.owner import Owner
from uplift.spec.app.owner import parse as owners
from uplift.spec.container.models import Container
from uplift.spec.container.state import by_word


@dataclass(frozen=True)
class Kept:
    """Names and images on a host.

    Args:
        docker: the Engine answers.
        busy: unit of a job that still changes containers.
        containers: names of all containers, stopped ones too.
        volumes: names of all volumes.
        images: ids of all images.
        used: ids of those that a container has, whoever made it.
        releases: image ids of each container's good releases, oldest first.
        folders: names of containers that have records or secret files, though they may be gone.
        managed: what this tool made: the name in the settings, by name.
        subjects: what each of those belongs to, by name.
        owners: who deployed the applications that the host has records of, by name.
    """

    docker: bool
    busy: str = ""
    containers: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    releases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()
    managed: Mapping[str, str] = field(default_factory=dict)
    subjects: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, Owner] = field(default_factory=dict)


def parse(lines: Iterable[str]) -> Kept:
    """Read the lines of the fact's script: a word and its values.

    Raises:
        ValueError: the lines are not the script's.
    """
    found = by_word(lines, "releases")
    releases: dict[str, list[str]] = {}
    for name, image in found.get("release", ()):
        releases.setdefault(name, []).append(image)
    return Kept(
        docker=found["docker"][0] == ["yes"],
        busy=" ".join(found.get("busy", [[]])[0]),
        containers=frozenset(values[0] for values in found.get("container", ())),
        volumes=frozenset(values[0] for values in found.get("volume", ())),
        images=frozenset(values[0] for values in found.get("image", ())),
        used=frozenset(values[0] for values in found.get("used", ())),
        releases=releases,
        folders=frozenset(values[0] for values in found.get("folder", ())),
        managed={values[0]: values[-1] for values in found.get("managed", ())},
        subjects={values[0]: values[-1] for values in found.get("subject", ())},
        owners=owners(found.get("owner", ())),
    )


def surplus(containers: Sequence[Container], kept: Kept) -> list[str]:
    """Return images that were releases of these containers and may go.

    A release counts once, however often it was made. What any container has stays, and so does
    what is among the last good releases of any container, named here or not.

    Args:
        containers: whose releases are counted.
        kept: what is there.
    """
    keep = {it.name: it.keep.images for it in containers}
    needed = set(kept.used)
    for name, images in kept.releases.items():
        newest = list(dict.fromkeys(reversed(images)))
        needed |= set(newest[: keep.get(name, len(newest))])
    ours = {image for name in keep for image in kept.releases.get(name, ())}
    return sorted((ours & kept.images) - needed)
