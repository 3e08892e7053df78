"""What a host keeps of each release of an application, and which one a word means."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from uplift.spec.app.models import BUILDERS, App, File
from uplift.spec.container.image import Reference, brief
from uplift.spec.errors import SettingsError

RELEASES = "/var/lib/uplift/releases"
"""Records, in a folder for each application, and in it one for each release; root's alone."""

APPS = "/var/lib/uplift/apps"
"""Locks, journals and jobs of applications; root's alone."""

FORMAT = 1
_STAMP = "%Y%m%dT%H%M%SZ"
_STAMPED = re.compile(r"[0-9]{8}T[0-9]{6}Z")


@dataclass(frozen=True)
class Release:
    """One release as a host has recorded it.

    Args:
        id: time and digest; sorts by age.
        app: settings as they were, the image by digest, files by content.
        reference: image as the settings named it.
        digest: of the image at its registry; empty for one that came from none.
        local: id of the image on this host.
        container: id of the container that served with it; empty in records of older versions.
        secrets: file in the record for each secret's name.
        by: who deployed it.
        outcome: what became of it: ``started``, ``good``, ``failed``; ``found`` when it is another
            tool's and not recorded yet.
        builder: what built the image, from its label; else empty.
        foreign: another tool made it, and it was taken over.
        of: id of the first record of the release that this one went back to, or the image where
            there was none; else empty.
        fingerprints: of its secrets, keyed, by name.
        lost: what of a container that was taken over cannot be had again.
        files: sha256 of its own files by name; None in a record of before these were kept.
    """

    id: str
    app: Mapping[str, Any]
    reference: str
    digest: str
    local: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    by: str = ""
    outcome: str = "started"
    builder: str = ""
    foreign: bool = False
    of: str = ""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    files: Mapping[str, str] | None = None
    container: str = ""

    @property
    def key(self) -> str:
        """Return what tells it from others: image, settings, own files and secrets."""
        parts = [dict(self.app), self.digest or self.local, dict(self.fingerprints)]
        return json.dumps(parts, sort_keys=True)

    @property
    def good(self) -> bool:
        """Tell whether it served; one that was found, of another tool, still does."""
        return self.outcome in ("good", "found")

    @property
    def words(self) -> str:
        """Return what a person tells it by."""
        return f"{self.id} ({Reference.parse(self.reference).short}, {brief(self.digest)})"

    def settings(self) -> App:
        """Return its settings.

        Raises:
            SettingsError: a newer or older uplift wrote them in another form.
        """
        return App.parse(dict(self.app), path=f"release {self.id}")

    def made_by(self, builder: str, pattern: str) -> bool:
        """Tell whether a tool built its image: by label, else by tag.

        Args:
            builder: as ``poetry``.
            pattern: of tags, as ``*-poetry``.
        """
        tag = Reference.parse(self.reference).tag
        return self.builder == builder or (not self.builder and fnmatch.fnmatch(tag, pattern))


@dataclass(frozen=True)
class Origin:
    """Where a release comes from.

    Args:
        reference: image as settings named it once.
        digest: of its image, or empty.
        by: who deploys it.
        of: id of the release that it goes back to, or its image, or empty.
        foreign: another tool made the image.
        lost: what of a container that was taken over cannot be had again.
        inventory: it is deployed from; empty when it is not known.
    """

    reference: str
    digest: str
    by: str
    of: str = ""
    foreign: bool = False
    lost: tuple[str, ...] = ()
    inventory: str = ""


def record(
    app: App,
    origin: Origin,
    id: str,
    secrets: Mapping[str, str],
    fingerprints: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the record of a release as JSON.

    Args:
        app: as it is deployed.
        origin: where it comes from.
        id: of the release.
        secrets: file in the record for each secret's name.
        fingerprints: of the secrets, keyed, by name.
    """
    image = app.image
    if origin.digest:
        image = f"{Reference.parse(app.image).name}@{origin.digest}"
    # Whether requests get to it is no part of a release.
    pinned = app.model_copy(update={"image": image, "maintenance": False})
    value = {
        "format": FORMAT,
        "id": id,
        "app": pinned.model_dump(mode="json", exclude_defaults=True),
        "reference": origin.reference,
        "digest": origin.digest,
        "environment": sorted(app.environment),
        "files": app.hashes,
        "secrets": dict(secrets),
        "fingerprints": dict(fingerprints),
        "by": origin.by,
        "inventory": origin.inventory,
        "of": origin.of,
        "foreign": origin.foreign,
        "lost": list(origin.lost),
    }
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def parse(text: str, outcome: str) -> Release:
    """Read a record.

    Args:
        text: JSON of the record.
        outcome: lines of what became of it, a word and its value each.

    Raises:
        ValueError: it is none, or of another format.
    """
    value = json.loads(text)
    whole = isinstance(value, dict) and isinstance(value.get("files", {}), dict)
    if not whole or value.get("format") != FORMAT:
        msg = "a release record of another format"
        raise ValueError(msg)
    lines = [line.partition(" ") for line in outcome.splitlines()]
    found = {word: rest for word, _, rest in lines}
    return Release(
        id=value["id"],
        app=value["app"],
        reference=value["reference"],
        digest=value["digest"],
        secrets=value["secrets"],
        by=value["by"],
        outcome=found.get("outcome", "started"),
        builder=found.get("builder", ""),
        local=found.get("local", ""),
        foreign=bool(value.get("foreign")),
        of=value.get("of", ""),
        fingerprints=value.get("fingerprints", {}),
        lost=tuple(value.get("lost", ())),
        files=value.get("files"),
        container=found.get("container", ""),
    )


def new_id(now: datetime, digest: str, releases: Iterable[Release]) -> str:
    """Return the id of a new release: it sorts after all that are recorded.

    Clocks of controllers differ, and what serves is told by the newest id.

    Args:
        now: by the controller's clock.
        digest: of the image, or its id on the host.
        releases: of the application on the host.
    """
    stamps = [one.id.partition("-")[0] for one in releases]
    last = max((stamp for stamp in stamps if _STAMPED.fullmatch(stamp)), default="")
    if last >= now.strftime(_STAMP):
        now = datetime.strptime(last, _STAMP).replace(tzinfo=UTC) + timedelta(seconds=1)
    return f"{now.strftime(_STAMP)}-{digest[7:19]}"


class NotFoundError(Exception):
    """Say which release is not there, and which are."""


def choose(
    to: str, releases: Sequence[Release], current: str, patterns: Mapping[str, str]
) -> Release:
    """Return the release that a word means.

    Args:
        to: ``previous``, a builder, a release's id, a tag, or a digest.
        releases: of the application on this host.
        current: id of the one that serves; empty when it is not recorded.
        patterns: of tags, by builder, for images without a label.

    Raises:
        NotFoundError: none is meant; of several it is the newest.
    """
    good = sorted((one for one in releases if one.good), key=lambda one: one.id, reverse=True)
    serves = next((one.key for one in releases if one.id == current), "")
    if to == "previous":
        before = [one for one in good if not current or one.id < current]
        found = [one for one in before if one.key != serves]
    elif to in BUILDERS:
        found = [one for one in good if one.made_by(to, patterns.get(to, f"*-{to}"))]
    else:
        found = [one for one in good if _named(one, to)]
    if not found:
        there = "; ".join(one.words for one in good) or "none"
        msg = f"no good release is meant by {to!r}; there are: {there}"
        raise NotFoundError(msg)
    return found[0]


def _named(release: Release, to: str) -> bool:
    tag = Reference.parse(release.reference).tag
    short = to.startswith("sha256:") and len(to) >= len("sha256:") + 12
    return (
        to in (release.id, release.of)
        or tag == to
        or release.reference == to
        or (short and release.digest.startswith(to))
    )


def with_files(app: App, contents: Mapping[str, str]) -> App:
    """Return an application whose files carry their text.

    Args:
        app: whose files may be named by their source.
        contents: text by source.
    """
    files = {
        name: File(content=contents[file.source] if file.source else file.content)
        for name, file in app.files.items()
    }
    return app.model_copy(update={"files": files})


def sources(apps: Iterable[App]) -> list[str]:
    """Return the files on the controller that applications need.

    Args:
        apps: whose.
    """
    return sorted({file.source for app in apps for file in app.files.values() if file.source})


class DamagedError(NotFoundError):
    """Say what is wrong with the record of the release that was chosen."""


def restored(release: Release) -> App:
    """Return the settings of a release to deploy again.

    Args:
        release: that was chosen.

    Raises:
        DamagedError: they cannot be understood any more, or its own files are not as they were.
    """
    try:
        app = release.settings()
    except SettingsError as error:
        msg = f"release {release.id} cannot be read by this version: {error}"
        raise DamagedError(msg) from None
    if release.files is None:
        return app
    there = app.hashes
    names = sorted(there.keys() | release.files.keys())
    if wrong := [name for name in names if there.get(name) != release.files.get(name)]:
        msg = (
            f"the record of release {release.id} is damaged: {', '.join(wrong)} in "
            f"{RELEASES}/{app.name}/{release.id}/release.json is not what was deployed (sha256)"
        )
        raise DamagedError(msg)
    return app
