"""Deploy applications in two slots each, and go back to the releases before."""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.controller import person
from uplift.facts.app import Apps, ReleaseSecrets
from uplift.facts.script import read_quietly
from uplift.operations import container, job, script
from uplift.operations.app_script import render
from uplift.operations.container import settled, time_limit
from uplift.operations.haproxy import read
from uplift.secrets import fingerprint_key, require
from uplift.spec.app.foreign import foreign, tagged
from uplift.spec.app.models import SLOTS, App
from uplift.spec.app.plan import Todo, plan
from uplift.spec.app.release import (
    NotFoundError,
    Release,
    choose,
    record,
    restored,
    sources,
    with_files,
)
from uplift.spec.app.state import AppState
from uplift.spec.container.diff import Values
from uplift.spec.container.models import Container
from uplift.spec.container.plan import Refused
from uplift.spec.container.state import State
from uplift.spec.errors import UpliftError
from uplift.spec.secret import Secret, SecretRef, references


@operation()
def deployed(apps: Sequence[App]) -> Generator[StringCommand, None, None]:
    """Bring applications to what their settings say, without a request that fails.

    + apps: as they shall be

    What serves and is as wanted stays. Else the new release starts in the other slot, and when it
    is ready HAProxy gives it the traffic; it must stay ready for ``hold`` seconds, while the one of
    before could take over at once, and is given it back when the new one does not. Then open
    connections of the one of before end, and it is stopped: it is the way back.

    **Example:**

    .. code:: python

        app.deployed(name="Applications", apps=[console])
    """
    try:
        texts = {file: read(file, "apps.files") or "" for file in sources(apps)}
        whole = [with_files(one, texts) for one in apps]
        values = require(list(apps))
        key = fingerprint_key()
    except UpliftError as error:
        yield script.refuse(f"apps: {error}", code=int(error.exit_code))
        return
    state, changed = yield from settled(containers(whole), values)
    found = _read(whole)
    if state is None or found is None:
        return
    _foretell(whole, state, found, values, key)
    for one in whole:
        own = {reference: values[reference] for reference in references(one)}
        commands = list(_brought(one, state, found, own, key))
        changed = changed or bool(commands)
        yield from commands
    if not changed:
        host.noop(f"{len(apps)} applications serve as they should")


def _read(apps: Sequence[App]) -> AppState | None:
    # Records hold settings of releases: no secrets, but nobody's business.
    return read_quietly(host, Apps, apps=[one.name for one in apps])


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


def _brought(
    app: App,
    state: State,
    found: AppState,
    values: Values,
    key: bytes,
    of: Release | None = None,
) -> Iterator[StringCommand]:
    """Yield the command that brings one application to its settings, or to those of a release."""
    try:
        todo = plan(app, state, found, values, key)
    except Refused as error:
        yield script.refuse(f"uplift: {app.name}: {error}")
        return
    for warning in todo.container.warnings:
        host.log(f"{app.name}: {warning}", log_func=logger.warning)
    if todo.action == "nothing":
        return
    words = _told(app, todo, of)
    text = _text(app, todo, state, values, of)
    seen = [state.seen(app.name_in(slot)) for slot in SLOTS]
    yield job.start(job.identity("app", text, *seen), text, limit=_limit(app))
    script.changed(words)


def _told(app: App, todo: Todo, of: Release | None) -> str:
    return f"{app.name}: {', '.join([*([f'to {of.words}'] if of else []), *todo.why])}"


def _foretell(
    apps: Sequence[App],
    state: State,
    found: AppState,
    values: Values,
    key: bytes,
    of: Release | None = None,
) -> None:
    """Announce all that will be done: where pyinfra only looks, it stops at the first command."""
    for one in apps if not host.state.is_executing else ():
        own = values if of else {reference: values[reference] for reference in references(one)}
        try:
            todo = plan(one, state, found, own, key)
        except Refused as error:
            script.foresee(f"uplift: {one.name}: {error}")
            return
        if todo.action != "nothing":
            script.announce(_told(one, todo, of))


def _text(app: App, todo: Todo, state: State, values: Values, of: Release | None) -> str:
    made = todo.action in ("switch", "replace")
    digest = state.resolved[app.image].digest
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    id = f"{stamp}-{(digest or state.resolved[app.image].local)[7:19]}" if made else ""
    files = {reference.secret: str(number) for number, reference in enumerate(values)}
    by = person()
    image = of.reference if of else app.image
    foreign = of is not None and of.foreign
    written = ""
    if made:
        written = record(app, image, digest, id=id, by=by, secrets=files, foreign=foreign)
    return render(app, todo, state, values, release=id, record=written)


def _limit(app: App) -> int:
    """Return the seconds that a switch may take."""
    rest = app.drain.seconds + app.hold + app.drain.timeout + app.stop_timeout
    return time_limit(app.container(SLOTS[0])) + rest


@operation()
def rolled_back(
    app: App, to: str = "previous", patterns: Mapping[str, str] | None = None
) -> Generator[StringCommand, None, None]:
    """Go back to a release as it was: image, settings, environment, own files, own secrets.

    + app: its settings today; what is not part of a release (its name, its slots) comes from here
    + to: ``previous``, a builder (``poetry``, ``uv``), a release's id, a tag or a digest
    + patterns: of tags by builder, for images without a label

    Nothing is asked of a registry when the image is on the host. An image that another tool left,
    on the host or at the registry, is taken over: it runs with the settings of today, and is
    recorded from then on. A release that is not there is an error, and nothing is done.

    **Example:**

    .. code:: python

        app.rolled_back(name="Console as Poetry built it", app=console, to="poetry")
    """
    try:
        key = fingerprint_key()
        way = way_back(app, to, patterns)
    except (UpliftError, NotFoundError) as error:
        yield script.refuse(str(error))
        return
    if way is None:
        return
    state, changed = yield from settled(containers([way.app]), way.values)
    found = _read([way.app])
    if state is None or found is None:
        return
    _foretell([way.app], state, found, way.values, key, way.release)
    commands = list(_brought(way.app, state, found, way.values, key, way.release))
    if not commands and not changed:
        host.noop(f"{app.name}: {way.release.words} serves already")
    yield from commands


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


def way_back(app: App, to: str, patterns: Mapping[str, str] | None = None) -> Way | None:
    """Find a release on the host, and prove that it is whole; nothing is changed.

    Args:
        app: its settings today.
        to: as for ``rolled_back``.
        patterns: of tags by builder, for images without a label.

    Returns:
        The way, or None when the host could not be read.

    Raises:
        NotFoundError: the release is not there, or not whole.
    """
    found = _read([app])
    if found is None:
        return None
    try:
        release = choose(to, found.releases.get(app.name, ()), current(app, found), patterns or {})
        wanted = _as_it_was(app, restored(release))
    except NotFoundError as error:
        if way := _foreign_way(app, to, found, patterns or {}):
            return way
        msg = f"{app.name}: {error}"
        raise NotFoundError(msg) from None
    values = _values(app, release)
    if values is None:
        return None
    missing = [one for one in references(wanted) if one not in values]
    if missing:
        msg = f"{app.name}: release {release.id} has no value of {missing[0]}"
        raise NotFoundError(msg)
    return Way(release, wanted, values)


def _foreign_way(app: App, to: str, found: AppState, patterns: Mapping[str, str]) -> Way | None:
    """Find an image that another tool left: on the host, else by its tag at the registry.

    Nothing but the image is known of such a release, so it runs with the settings of today.
    """
    image = foreign(app, to, found.images, patterns)
    reference = image.name if image else tagged(app, to)
    if reference is None:
        return None
    wanted = app.model_copy(update={"image": image.pinned(app) if image else reference})
    state = container.read(containers([wanted])[:1])
    if state is None or state.resolved[wanted.image].how == "failed":
        return None
    digest = state.resolved[wanted.image].digest
    release = Release("", {}, reference, digest, foreign=True)
    return Way(release, wanted, require(wanted))


def check_way_back(app: App, to: str) -> None:
    """Prove on a host that a rollback is possible, in a deploy file, before any host is touched.

    Args:
        app: its settings today.
        to: as for ``rolled_back``.

    Raises:
        UpliftError: it is not possible, and why.
    """
    try:
        way = way_back(app, to)
        if way is None:
            return
        state = container.read(containers([way.app]))
        found = _read([way.app])
        if state is not None and found is not None and not state.journals:
            plan(way.app, state, found, way.values, fingerprint_key())
    except (NotFoundError, Refused) as error:
        msg = f"{host.name}: {error}. No host was touched"
        raise UpliftError(msg) from None


def current(app: App, found: AppState) -> str:
    """Return the id of the release that serves: the newest good one.

    Args:
        app: whose.
        found: of the host.
    """
    good = [one.id for one in found.releases.get(app.name, ()) if one.good]
    return max(good, default="")


def _as_it_was(app: App, before: App) -> App:
    """Return a release's settings on today's slots: where it runs is no part of a release."""
    return before.model_copy(update={"slot_ports": app.slot_ports, "keep": app.keep})


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
