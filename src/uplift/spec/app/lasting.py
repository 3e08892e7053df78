"""Why a rollout could not take an application back to what serves before its change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uplift.spec.app.models import SLOTS, App
from uplift.spec.app.plan import Todo
from uplift.spec.app.release import NotFoundError, Release, restored
from uplift.spec.app.state import AppState
from uplift.spec.container.models import OURS
from uplift.spec.container.state import State
from uplift.spec.secret import references


def lasting(app: App, todo: Todo, state: State, found: AppState) -> str:
    """Return the reason; empty where the way back is whole.

    Whether an image that is not on the host can be pulled has to be asked: see ``unheld``.

    Args:
        app: as it shall be.
        todo: what is done about it.
        state: of the host's containers.
        found: of HAProxy and releases.
    """
    if todo.action not in ("switch", "replace"):
        return ""
    release = found.current(app.name)
    slot = todo.before or SLOTS[0]
    serves = todo.before or app.proxy == "none"
    container = state.containers.get(app.name_in(slot)) if serves else None
    if reason := _unrecorded(app, release, container, found):
        return f"{app.name}: {reason}"
    if release is None:
        return f"{app.name}: there was no release before, the new one stays"
    try:
        wanted = references(restored(release))
    except NotFoundError as error:
        return f"{app.name}: {error}"
    held = found.held.get(f"{app.name}/{release.id}", frozenset())
    missing = [one.secret for one in wanted if release.secrets.get(one.secret) not in held]
    if missing:
        return f"{app.name}: the record of {release.id} has lost the value of {missing[0]}"
    return ""


def unheld(app: App, todo: Todo, found: AppState) -> Release | None:
    """Return the release that the way back leads to, where its image is not on the host.

    Args:
        app: as it shall be.
        todo: what is done about it.
        found: of releases and images.
    """
    release = found.current(app.name)
    if release is None or todo.action not in ("switch", "replace"):
        return None
    here = any(_of(release, one.id, found) for one in found.images)
    return None if here else release


def _unrecorded(
    app: App, release: Release | None, container: Mapping[str, Any] | None, found: AppState
) -> str:
    """Say that what serves is not what the newest record tells of."""
    if release and container and release.container == container["Id"]:
        return ""
    newest = release.id if release else ""
    if broken := [one for one in found.broken.get(app.name, ()) if one > newest]:
        return f"the record of {broken[-1]} cannot be read"
    if container is None:
        return ""
    # One that was used again has the id of an earlier release; of a later one there was a record.
    label = str((container["Config"].get("Labels") or {}).get(f"{OURS}release") or "")
    if label > newest:
        return f"the record of {label}, which serves, is gone"
    if release is None:
        return "of what serves there is no record"
    if not _of(release, container["Image"], found):
        return f"what serves is not the image of its release {release.id}"
    return ""


def _of(release: Release, image: str, found: AppState) -> bool:
    names = next((one.digests for one in found.images if one.id == image), ())
    digests = {name.rpartition("@")[2] for name in names}
    return image == release.local or bool(release.digest and release.digest in digests)
