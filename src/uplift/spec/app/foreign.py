"""Images of an application that another tool left, on the host or at its registry."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from uplift.spec.app.models import BUILDERS, App
from uplift.spec.container.image import Reference
from uplift.spec.images.listing import Tagged

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class HostImage:
    """An image of the host.

    Args:
        id: of it.
        created: when it was built, as Docker tells it, or ``-``; sorts by age.
        tags: its names.
        digests: what registries call it.
        builder: what built it, from its label; else empty.
    """

    id: str
    created: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    builder: str = ""

    def of(self, app: App) -> bool:
        """Tell whether it is of an application's repository.

        Args:
            app: whose settings name the repository.
        """
        return bool(_own(app, (*self.tags, *self.digests)))

    def called(self, app: App, to: str) -> str:
        """Return what a person calls it: by the tag that was meant, another one, or its digest.

        Args:
            app: whose repository it is of.
            to: what it was looked for by.
        """
        tags = _own(app, self.tags)
        meant = [one for one in tags if Reference.parse(one).tag == to]
        return (*meant, *tags, *_own(app, self.digests))[0]

    def pinned(self, app: App, to: str) -> str:
        """Return a reference that always means this image, where there is one.

        Args:
            app: whose repository it is of.
            to: what it was looked for by.
        """
        return (*_own(app, self.digests), self.called(app, to))[0]


def _own(app: App, names: Iterable[str]) -> list[str]:
    """Return the names of an image that are in an application's repository."""
    repository = Reference.parse(app.image).name
    return [name for name in names if Reference.parse(name).name == repository]


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
    fits = [one for one in images if one.of(app) and _meant(app, one, to, patterns)]
    return max(fits, key=lambda one: one.created, default=None)


def _meant(app: App, image: HostImage, to: str, patterns: Mapping[str, str]) -> bool:
    tags = [Reference.parse(tag).tag for tag in _own(app, image.tags)]
    if to in BUILDERS:
        pattern = patterns.get(to, f"*-{to}")
        named = any(fnmatch.fnmatch(tag, pattern) for tag in tags)
        return image.builder == to or (not image.builder and named)
    if to.startswith("sha256:"):
        digests = [one.rpartition("@")[2] for one in _own(app, image.digests)]
        return len(to) >= len("sha256:") + 12 and any(one.startswith(to) for one in digests)
    return to in tags


def at_registry(app: App, to: str) -> str:
    """Return the reference that a tag or a whole digest has at its registry, else nothing.

    Args:
        app: whose.
        to: perhaps one of them.
    """
    name = Reference.parse(app.image).name
    if _DIGEST.fullmatch(to):
        return f"{name}@{to}"
    if to in ("previous", *BUILDERS) or not _TAG.fullmatch(to):
        return ""
    return f"{name}:{to}"


def pinned_at(app: App, pinned: Iterable[str]) -> tuple[str, str]:
    """Return reference and digest of an application's image that was found at the registry before.

    Args:
        app: whose repository it is of.
        pinned: images by tag and digest, of any repository.

    Raises:
        ValueError: one of them is no reference.
    """
    for one in map(Reference.parse, pinned):
        if one.name == Reference.parse(app.image).name:
            return f"{one.name}:{one.tag}", one.digest
    return "", ""


def newest(app: App, to: str, said: Tagged) -> tuple[str, str]:
    """Return the reference of the newest image at a registry that a tool built, or nothing and why.

    Args:
        app: whose.
        to: a builder.
        said: what the registry said of the application's repository.
    """
    name = Reference.parse(app.image).name
    if said.trouble:
        return "", f"; the registry of {name} cannot be asked: {said.trouble}"
    tag = newest_tag(to, said.tags, app.builder_tags)
    return f"{name}:{tag}" if tag else "", ""


def newest_tag(to: str, tags: Iterable[str], patterns: Mapping[str, str]) -> str | None:
    """Return the tag of the newest version that a tool built; tags without a version come last.

    Args:
        to: a builder.
        tags: of a repository.
        patterns: of tags, by builder.
    """
    pattern = patterns.get(to, f"*-{to}")
    fits = [tag for tag in tags if fnmatch.fnmatch(tag, pattern)]

    def order(tag: str) -> tuple[bool, Version, str]:
        version = _version(tag, pattern)
        return version is not None, version or Version("0"), tag

    return max(fits, key=order, default=None)


def _version(tag: str, pattern: str) -> Version | None:
    """Return the version in a tag: what stands for the star of the pattern."""
    before, _, after = pattern.partition("*")
    plain = not set("*?[") & {*before, *after}
    text = tag.removeprefix(before).removesuffix(after) if plain else tag
    try:
        return Version(text)
    except InvalidVersion:
        return None
