"""Find the way back to a release of an application, and prove that it can be gone."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.context import host

from uplift.facts.app import Apps, ReleaseSecrets
from uplift.facts.images_listing import Tags
from uplift.facts.schema import SchemaAhead
from uplift.facts.script import read_quietly
from uplift.operations import container
from uplift.operations.haproxy import read as read_file
from uplift.secrets import fingerprint_key, require
from uplift.spec.app import lasting as reasons
from uplift.spec.app.adopted import adoptable
from uplift.spec.app.foreign import at_registry, foreign, newest, pinned_at
from uplift.spec.app.lasting import unheld
from uplift.spec.app.models import BUILDERS, SLOTS, App
from uplift.spec.app.plan import Todo, plan
from uplift.spec.app.release import (
    DamagedError,
    NotFoundError,
    Release,
    choose,
    restored,
    sources,
    with_files,
)
from uplift.spec.app.state import AppState
from uplift.spec.container.diff import Values
from uplift.spec.container.image import Reference
from uplift.spec.container.models import Container
from uplift.spec.container.plan import Refused
from uplift.spec.container.state import State
from uplift.spec.errors import UpliftError
from uplift.spec.secret import Secret, SecretRef, references


def read(apps: Sequence[App]) -> AppState | None:
    """Return what a host says of its applications; None when it has failed.

    Args:
        apps: whose.
    """
    # Records hold settings of releases: no secrets, but nobody's business.
    return read_quietly(host, Apps, apps=[one.name for one in apps])


def whole(apps: Sequence[App]) -> list[App]:
    """Return applications whose files carry their text.

    Args:
        apps: whose files may be named by their source.

    Raises:
        SettingsError: a file cannot be read.
    """
    texts = {file: read_file(file, "apps.files") or "" for file in sources(apps)}
    return [with_files(one, texts) for one in apps]


def containers(apps: Sequence[App]) -> list[Container]:
    """Return the containers of all slots.

    Args:
        apps: whose.
    """
    return [
        one.container(slot)
        for one in apps
        for slot in (SLOTS if one.proxy != "none" else SLOTS[:1])
    ]


@dataclass(frozen=True)
class Way:
    """A way back.

    Args:
        release: where it leads.
        app: as it was, on today's slots.
        values: secrets that it was deployed with.
    """

    release: Release
    app: App
    values: Values


def way_back(app: App, to: str, pinned: Sequence[str] = ()) -> Way | None:
    """Find a release on the host, and prove that it is whole; nothing is changed.

    Args:
        app: its settings today.
        to: as for ``rolled_back``.
        pinned: as for ``rolled_back``.

    Returns:
        The way, or None when the host could not be read.

    Raises:
        NotFoundError: the release is not there, or not whole.
    """
    found = read([app])
    if found is None:
        return None
    recorded = found.releases.get(app.name, ())
    fresh, _ = adoptable(app, found.strangers, recorded)
    releases = [*recorded, *(one.release for one in fresh)]
    current = found.current(app.name)
    served = current.id if current else ""
    try:
        release = choose(to, releases, served, app.builder_tags)
        wanted = as_it_was(app, restored(release))
    except NotFoundError as error:
        way, why = None, ""
        # Of a release whose record is damaged, the image alone is not what was asked for.
        if not isinstance(error, DamagedError):
            way, why = _foreign_way(app, to, found, pinned)
        if way:
            return way
        unread = found.broken.get(app.name, ())
        more = f"; records that cannot be read: {', '.join(unread)}" if unread else ""
        msg = f"{app.name}: {error}{why}{more}"
        raise NotFoundError(msg) from None
    own = next((one for one in fresh if one.release is release), None)
    values = own.values if own else _values(app, release)
    if values is None:
        return None
    missing = [one for one in references(wanted) if one not in values]
    if missing:
        msg = f"{app.name}: release {release.id} has no value of {missing[0]}"
        raise NotFoundError(msg)
    return Way(release, wanted, values)


_FOUND: dict[tuple[str, str, str], Release] = {}
"""What words mean at registries, by application, its repository and the word: it is found out once,
for all hosts of a run of pyinfra."""


def _foreign_way(
    app: App, to: str, found: AppState, pinned: Sequence[str]
) -> tuple[Way | None, str]:
    """Find an image that another tool left: on the host, else at the registry.

    Nothing but the image is known of such a release, so it runs with the settings of today.

    Returns:
        The way, or None and what the registry said.
    """
    name = Reference.parse(app.image).name
    image = foreign(app, to, found.images, app.builder_tags)
    known = None if image else _known(app, to, pinned)
    if image:
        reference, exact = image.called(app, to), image.pinned(app, to)
    elif known:
        reference, exact = known.reference, f"{name}@{known.digest}"
    else:
        reference, why = _at_registry(app, to)
        exact = reference
        if not reference:
            return None, why
    (today,) = whole([app])
    wanted = today.model_copy(update={"image": exact})
    state = container.read(containers([wanted])[:1])
    if state is None:
        return None, ""
    resolved = state.resolved[wanted.image]
    if resolved.how == "failed" or (resolved.how == "digest" and resolved.trouble):
        return None, f"; {reference} is not to be had: {resolved.trouble}"
    release = Release("", {}, reference, resolved.digest, foreign=True)
    if not (image or known) and release != _FOUND.setdefault((app.name, name, to), release):
        # Hosts are asked side by side, and the tag has moved meanwhile.
        return _foreign_way(app, to, found, pinned)
    return Way(release, wanted, require(wanted)), ""


def _known(app: App, to: str, pinned: Sequence[str]) -> Release | None:
    """Return what a word was found to mean at the registry, by this run or before it."""
    reference, digest = pinned_at(app, pinned)
    if digest:
        return Release("", {}, reference, digest, foreign=True)
    return _FOUND.get((app.name, Reference.parse(app.image).name, to))


def _at_registry(app: App, to: str) -> tuple[str, str]:
    """Return the reference of an image at the registry, or nothing and why."""
    if to not in BUILDERS:
        return at_registry(app, to), ""
    said = read_quietly(host, Tags, repository=Reference.parse(app.image).name)
    return ("", "") if said is None else newest(app, to, said)


def check_way_back(app: App, to: str, *, schema: bool = True, pinned: Sequence[str] = ()) -> None:
    """Prove on a host that a rollback is possible, in a deploy file, before any host is touched.

    Its record is whole, its image is here or can be pulled, disk and port are free, and the
    application says that the database's schema is one that the release understands. What an
    interrupted replacement left is ended later: it is looked at as though it had been.

    Args:
        app: its settings today.
        to: as for ``rolled_back``.
        schema: ask the application, where its settings say how.
        pinned: as for ``rolled_back``.

    Raises:
        UpliftError: it is not possible, and why.
    """
    try:
        way = way_back(app, to, pinned)
        if way is None:
            return
        state = container.read(containers([way.app]))
        found = read([way.app])
        if state is None or found is None:
            return
        check_image(way, state)
        todo = plan(way.app, state.as_if_settled(), found, way.values, fingerprint_key())
        slot = found.active.get(app.name, SLOTS[0])
        # Of what serves, nobody knows yet which one it will be.
        open_ = app.name_in(slot) in state.journals
        if schema and (open_ or todo.action in ("switch", "replace")):
            _ask_for_schema(app, way, _there(app.name_in(slot), state))
    except (NotFoundError, Refused) as error:
        msg = f"{host.name}: {error}. No host was touched"
        raise UpliftError(msg) from None


def lasting(app: App, todo: Todo, state: State, found: AppState) -> str:
    """Return why a rollout could not put an application back; nothing is changed.

    The host is asked only for an image that it has no more, whether that can be pulled.

    Args:
        app: as it shall be.
        todo: what is done about it.
        state: of the host's containers.
        found: of HAProxy, releases and images.
    """
    reason, release = reasons.lasting(app, todo, state, found), unheld(app, todo, found)
    if reason or release is None:
        return reason
    before = as_it_was(app, restored(release))
    asked = container.read(containers([before])[:1])
    resolved = asked.resolved[before.image] if asked else None
    if resolved is None or not (resolved.how == "failed" or resolved.trouble):
        return ""
    said = resolved.trouble or "no registry has it"
    return f"{app.name}: the image of {release.id} is not on the host, and cannot be pulled: {said}"


def check_image(way: Way, state: State) -> None:
    """Refuse a name of the host's own that means another image by now.

    Args:
        way: that shall be gone.
        state: of the host.

    Raises:
        NotFoundError: it does.
    """
    resolved = state.resolved[way.app.image]
    if way.release.local and not way.release.digest and resolved.local != way.release.local:
        msg = (
            f"{way.app.name}: image {way.app.image} came from no registry, and is not the one of "
            f"release {way.release.id} any more"
        )
        raise NotFoundError(msg)


def _there(name: str, state: State) -> str:
    """Return the name that a container has while its replacement is interrupted."""
    spare = f"{name}--previous"
    return spare if name not in state.containers and spare in state.containers else name


def _ask_for_schema(app: App, way: Way, container: str) -> None:
    """Ask the application that serves whether a release understands the database's schema.

    Args:
        app: its settings today.
        way: that shall be gone.
        container: that serves.

    Raises:
        NotFoundError: it says no, or could not be asked.
    """
    if app.schema_check is None:
        return
    tag = Reference.parse(way.release.reference).tag
    to = {
        "UPLIFT_TO_TAG": tag,
        "UPLIFT_TO_DIGEST": way.release.digest,
        "UPLIFT_TO_RELEASE": way.release.id,
    }
    said = read_quietly(
        host,
        SchemaAhead,
        app=app.name,
        container=container,
        check=app.schema_check,
        to=to,
    )
    if said is None or said.code == 0:
        return
    if said.code is None:
        host.log(f"{app.name}: nothing serves that could be asked for the schema")
        return
    lines = "".join(f"\n  | {line}" for line in said.text.splitlines())
    command = " ".join(app.schema_check.command)
    msg = (
        f"{app.name}: the database's schema is not one for {way.release.words}: {command!r} ended "
        f"with exit code {said.code}{lines}\nWith --data schema=ignore it is not asked"
    )
    raise NotFoundError(msg)


def as_it_was(app: App, before: App) -> App:
    """Return a release's settings on today's slots: where it runs is no part of a release.

    Args:
        app: settings of today.
        before: those of the release.
    """
    today = ("slot_ports", "keep", "builder_tags", "maintenance")
    return before.model_copy(update={name: getattr(app, name) for name in today})


def _values(app: App, release: Release) -> dict[SecretRef, Secret] | None:
    """Return the secrets that a release was deployed with."""
    if not release.secrets:
        return {}
    held = read_quietly(host, ReleaseSecrets, app=app.name, release=release.id)
    if held is None:
        return None
    wanted = {one.secret: one for one in references(restored(release))}
    return {
        wanted[name]: Secret(base64.b64decode(held[file]).decode())
        for name, file in release.secrets.items()
        if name in wanted and file in held
    }
