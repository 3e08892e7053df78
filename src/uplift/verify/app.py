"""An application from the outside: what serves, against what its settings or its release say."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_bytes, token_hex
from typing import TYPE_CHECKING

from uplift.facts.app import ReleaseSecrets
from uplift.facts.container import Containers
from uplift.operations.app_ways import as_it_was, whole
from uplift.secrets import Secret, SecretRef, references
from uplift.spec.app.models import SLOTS, App, Route
from uplift.spec.app.release import Release, restored
from uplift.spec.app.state import AppState
from uplift.spec.container.diff import changes
from uplift.spec.container.image import Reference, brief
from uplift.spec.container.state import State, parse

if TYPE_CHECKING:
    from testinfra.host import Host


@dataclass(frozen=True)
class Expected:
    """What shall serve.

    Args:
        app: settings of today, or of the release that the host was taken back to.
        slot: that HAProxy's configuration names; the first without HAProxy.
        release: that serves, by the records of the host, or None.
        back: the host was taken back to it, so that it is right and the settings of today are not.
    """

    app: App
    slot: str
    release: Release | None
    back: bool = False

    @property
    def name(self) -> str:
        """Return the name of the container that shall serve."""
        return self.app.name_in(self.slot)


def expected(app: App, found: AppState) -> Expected:
    """Return what shall serve.

    Args:
        app: settings of today.
        found: what the host says.
    """
    slot = SLOTS[0] if app.proxy == "none" else found.active.get(app.name, "")
    release = found.current(app.name)
    if release is not None and release.of:
        return Expected(as_it_was(app, restored(release)), slot, release, back=True)
    (given,) = whole([app])
    return Expected(given, slot, release)


def values_of(
    host: Host, one: Expected, known: Mapping[SecretRef, Secret]
) -> Mapping[SecretRef, Secret]:
    """Return the secrets that shall be there: those of a release come from its record.

    Args:
        host: testinfra's, as root.
        one: what shall serve.
        known: those of the settings of today.
    """
    if not one.back or one.release is None:
        return known
    command = ReleaseSecrets().command(one.app.name, one.release.id).get_raw_value()
    said = host.run(command)
    assert said.rc == 0, said.stderr
    held = ReleaseSecrets().process(said.stdout.splitlines())
    named = {ref.secret: ref for ref in references(one.app)}
    return {
        named[name]: Secret(base64.b64decode(held[file]).decode())
        for name, file in one.release.secrets.items()
        if name in named and file in held
    }


def read(host: Host, one: Expected) -> State:
    """Return the container that shall serve, by one command; the registry is asked as well.

    Args:
        host: testinfra's, as root.
        one: what shall serve.
    """
    salt = token_hex(16)
    command = Containers().command([one.app.container(one.slot)]).get_raw_value()
    said = host.run(command, stdin=f"{salt}\n")
    assert said.rc == 0, said.stderr
    state = parse(said.stdout.splitlines())
    return State(**{**vars(state), "salt": salt})


def image_problems(one: Expected, state: State) -> list[str]:
    """Compare the running image with the record: its digest and what built it.

    Args:
        one: what shall serve.
        state: of the host.
    """
    found, release = state.containers.get(one.name), one.release
    if found is None:
        return [f"there is no container {one.name}"]
    if release is None:
        return ["no good release is recorded"]
    image = state.images[found["Image"]]
    problems = []
    if release.digest and release.digest not in image.digests:
        has = next(iter(sorted(image.digests)), image.id)
        problems.append(f"it runs {brief(has)}, recorded is {brief(release.digest)}")
    if not release.digest and release.local and release.local != image.id:
        problems.append(f"it runs {brief(image.id)}, recorded is {brief(release.local)}")
    labels = image.config.get("Labels")
    builder = labels.get("io.uplift.builder", "") if isinstance(labels, Mapping) else ""
    if builder != release.builder:
        problems.append(
            f"its image says that {builder or 'nobody'} built it, recorded is "
            f"{release.builder or 'nobody'}"
        )
    return problems


def setting_problems(one: Expected, state: State, values: Mapping[SecretRef, Secret]) -> list[str]:
    """Compare the running container with the settings, field by field, secrets included.

    Args:
        one: what shall serve.
        state: of the host.
        values: of the secrets.
    """
    found = state.containers.get(one.name)
    if found is None:
        return [f"there is no container {one.name}"]
    missing = [ref for ref in references(one.app) if ref not in values]
    if missing:
        return [f"the record of its release has no value of {ref}" for ref in missing]
    # Fingerprints that are shown tell nothing outside of this run.
    lines = changes(one.app.container(one.slot), found, state, values, token_bytes(32))
    return [line.words for line in lines]


def file_problems(one: Expected, found: AppState) -> list[str]:
    """Compare the application's own files with their contents.

    Args:
        one: what shall serve.
        found: what the host says.
    """
    there = found.files.get(one.app.folder, {})
    wanted = one.app.hashes
    if not wanted:
        return []
    differs = [name for name in wanted if name in there and there[name] != wanted[name]]
    return [
        *(f"file {name} is missing" for name in sorted(wanted.keys() - there.keys())),
        *(f"file {name} has another content" for name in sorted(differs)),
        *(f"file {name} is one too many" for name in sorted(there.keys() - wanted.keys())),
    ]


def slot_problems(one: Expected, found: AppState, state: State) -> list[str]:
    """Compare HAProxy's configuration, what the running one does, and the containers.

    Args:
        one: what shall serve.
        found: what the host says.
        state: of its containers.
    """
    if one.app.proxy == "none":
        return []
    if not one.slot:
        return ["HAProxy's configuration names no slot"]
    other = SLOTS[1 - SLOTS.index(one.slot)]
    running = found.running.get(one.app.name, {})
    problems = [
        f"the running HAProxy has {slot} as {running.get(slot, 'unknown')}, {wanted} is wanted"
        for slot, wanted in ((one.slot, "ready"), (other, "maint"))
        if (running.get(slot) == "ready") is not (wanted == "ready")
    ]
    left = state.containers.get(one.app.name_in(other))
    if left is not None and left["State"].get("Running"):
        problems.append(f"{other} still runs beside {one.slot}")
    if journal := found.journals.get(one.app.name):
        problems.append(f"a switch was interrupted at {journal.at!r}")
    return problems


def covers(route: Route, path: str) -> bool:
    """Tell whether HAProxy gives requests for a path to a route's application.

    Args:
        route: of the application.
        path: of the request.
    """
    at = route.path.rstrip("/")
    return not at or path == at or path.startswith((f"{at}/", f"{at}?"))


def version_of(release: Release) -> str:
    """Return the version that an image's tag begins with, as 2.0.0 of ``2.0.0-uv``; else nothing.

    Args:
        release: whose image.
    """
    match = re.match(r"v?([0-9]+(?:\.[0-9]+)+)", Reference.parse(release.reference).tag)
    return match[1] if match else ""


def answers_version(text: str, version: str) -> bool:
    """Tell whether an answer holds a version as a word of its own.

    Args:
        text: of the answer.
        version: as 2.0.0.
    """
    return re.search(rf"(?<![\w.]){re.escape(version)}(?![\w.]*\d)", text) is not None
