"""The way back of an application, from the outside: is it there, and is it whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uplift.facts.app import ReleaseSecrets
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
