"""The way back of an application, from the outside: is it there, and is it whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from uplift.facts.app import ReleaseSecrets
from uplift.operations.app_ways import as_it_was
from uplift.spec.app.models import App
from uplift.spec.app.release import NotFoundError, Release, choose, restored
from uplift.spec.app.state import AppState
from uplift.spec.secret import references

if TYPE_CHECKING:
    from testinfra.host import Host


def way_back(app: App, found: AppState) -> Release | None:
    """Return the release that ``previous`` means, or None when there is none.

    Args:
        app: settings of today.
        found: what the host says.
    """
    current = found.current(app.name)
    serves = current.id if current else ""
    try:
        return choose("previous", found.releases.get(app.name, ()), serves, app.builder_tags)
    except NotFoundError:
        return None


def problems(host: Host, app: App, release: Release, found: AppState) -> list[str]:
    """Return what keeps a release from coming back without a registry.

    Args:
        host: testinfra's, as root.
        app: settings of today.
        release: that would come back.
        found: what the host says.
    """
    try:
        before = restored(release)
    except NotFoundError as error:
        return [str(error)]
    lines = []
    digests = {text.rpartition("@")[2] for image in found.images for text in image.digests}
    there = release.digest in digests or release.local in {image.id for image in found.images}
    if not there:
        lines.append(f"the image of {release.words} is not on this host")
    said = host.run(ReleaseSecrets().command(app.name, release.id).get_raw_value())
    held = ReleaseSecrets().process(said.stdout.splitlines())
    for ref in references(before):
        if release.secrets.get(ref.secret, "") not in held:
            lines.append(f"the record of {release.words} has no value of {ref}")
    return lines


def moved(release: Release, found: AppState, app: App) -> list[str]:
    """Compare a release that a host was taken back to with the one that it was then.

    Both are taken from their records: image, settings, own files and secrets, on today's slots.

    Args:
        release: that serves.
        found: what the host says.
        app: settings of today.
    """
    was = next((one for one in found.releases.get(app.name, ()) if one.id == release.of), None)
    if was is None:
        return []
    try:
        then, now = (as_it_was(app, restored(one)) for one in (was, release))
    except NotFoundError as error:
        return [str(error)]
    names = [
        *(["image"] if _image(was) != _image(release) else []),
        *(f"secret {name}" for name in _differing(was.fingerprints, release.fingerprints)),
        *_settings(then, now),
    ]
    return [f"{release.words} is not what {was.words} was: {', '.join(names)}"] if names else []


def _image(release: Release) -> str:
    """Return what tells an image from others: of one from no registry, its id on the host."""
    return release.digest or release.local


def _settings(then: App, now: App) -> Iterator[str]:
    """Name what differs in settings: a variable or a file by its own name, and no value."""
    words = {"files": "file"}
    # The image is compared by its digest.
    for field in sorted(App.model_fields.keys() - {"image"}):
        old, new = getattr(then, field), getattr(now, field)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from (f"{words.get(field, field)} {name}" for name in _differing(old, new))
        elif old != new:
            yield field


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
