"""Images of an application that another tool left, on the host or at its registry."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from uplift.spec.app.models import App
from uplift.spec.app.release import BUILDERS
from uplift.spec.container.image import Reference

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class HostImage:
    """An image of the host.

    Args:
        id: of it.
        created: when it was built, as Docker tells it; sorts by age.
        tags: its names.
        digests: what registries call it.
        builder: what built it, from its label; else empty.
    """

    id: str
    created: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    builder: str = ""

    @property
    def name(self) -> str:
        """Return what a person calls it."""
        return self.tags[0] if self.tags else self.digests[0]

    def of(self, app: App) -> bool:
        """Tell whether it is of an application's repository.

        Args:
            app: whose settings name the repository.
        """
        repository = Reference.parse(app.image).name
        names = [*self.tags, *self.digests]
        return any(Reference.parse(name).name == repository for name in names)

    def pinned(self, app: App) -> str:
        """Return a reference that always means this image, where there is one.

        Args:
            app: whose repository it is of.
        """
        repository = Reference.parse(app.image).name
        fits = [one for one in self.digests if Reference.parse(one).name == repository]
        return fits[0] if fits else self.name


def foreign(
    app: App, to: str, images: Iterable[HostImage], patterns: Mapping[str, str]
) -> HostImage | None:
    """Return the newest image on the host that a word means.

    Args:
        app: whose.
        to: a builder, a tag or a digest; ``previous`` means a release, never an image.
        images: of the host.
        patterns: of tags, by builder, for images without a label.
    """
    fits = [one for one in images if one.of(app) and _meant(one, to, patterns)]
    return max(fits, key=lambda one: one.created, default=None)


def _meant(image: HostImage, to: str, patterns: Mapping[str, str]) -> bool:
    tags = [Reference.parse(tag).tag for tag in image.tags]
    if to in BUILDERS:
        pattern = patterns.get(to, f"*-{to}")
        named = any(fnmatch.fnmatch(tag, pattern) for tag in tags)
        return image.builder == to or (not image.builder and named)
    if to.startswith("sha256:"):
        digests = [one.rpartition("@")[2] for one in image.digests]
        return len(to) >= len("sha256:") + 12 and any(one.startswith(to) for one in digests)
    return to in tags


def tagged(app: App, to: str) -> str | None:
    """Return the reference that a tag has at the application's registry.

    Args:
        app: whose.
        to: perhaps a tag.
    """
    if to in ("previous", *BUILDERS) or not _TAG.fullmatch(to):
        return None
    return f"{Reference.parse(app.image).name}:{to}"
