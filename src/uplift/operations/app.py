"""Deploy applications in two slots each, and go back to the releases before."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.controller import inventory, person
from uplift.operations import job, script
from uplift.operations.app_jobs import undone
from uplift.operations.app_script import render
from uplift.operations.app_ways import check_image, containers, lasting, read, way_back, whole
from uplift.operations.container import settled, time_limit
from uplift.secrets import fingerprint_key, require, resolved
from uplift.spec.app.adopted import Adopted, adoptable
from uplift.spec.app.kept import Surplus, surplus
from uplift.spec.app.models import SLOTS, App
from uplift.spec.app.own_files import differences
from uplift.spec.app.plan import Todo, plan
from uplift.spec.app.release import (
    NotFoundError,
    Origin,
    Release,
    new_id,
    parse,
    record,
    restored,
)
from uplift.spec.app.state import AppState
from uplift.spec.container.diff import Values
from uplift.spec.container.image import brief
from uplift.spec.container.plan import Refused
from uplift.spec.container.state import State
from uplift.spec.errors import UpliftError
from uplift.spec.secret import references


@operation()
def deployed(
    apps: Sequence[App], jobs_on: Mapping[str, str] | None = None
) -> Generator[StringCommand, None, None]:
    """Bring applications to what their settings say, without a request that fails.

    + apps: as they shall be
    + jobs_on: name of the host that runs the jobs, by application (``app_jobs.jobs_done``)

    What serves and is as wanted stays. Else the new release starts in the other slot, and when it
    is ready HAProxy gives it the traffic; it must stay ready for ``hold`` seconds, while the one of
    before could take over at once, and is given it back when the new one does not. Then open
    connections of the one of before end, and it is stopped: it is the way back.

    **Example:**

    .. code:: python

        app.deployed(name="Applications", apps=[console])
    """
    try:
        ready = whole(apps)
        values = require(list(apps))
        key = fingerprint_key()
    except UpliftError as error:
        yield script.refuse(f"apps: {error}", code=int(error.exit_code))
        return
    # First, because it waits for a switch that goes on by itself: then the containers stand still.
    found = read(ready)
    state, changed = yield from settled(containers(ready), values)
    if state is None or found is None:
        return
    _foretell(ready, state, found, values, key)
    for one in ready:
        own = {reference: values[reference] for reference in references(one)}
        commands = list(_brought(one, state, found, own, key, jobs_on=jobs_on or {}))
        changed = changed or bool(commands)
        yield from commands
    if not changed:
        host.noop(f"{len(apps)} applications serve as they should")


def _brought(
    app: App,
    state: State,
    found: AppState,
    values: Values,
    key: bytes,
    to: Release | None = None,
    jobs_on: Mapping[str, str] | None = None,
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
    made = todo.action in ("switch", "replace")
    # A rollback runs no job.
    if made and jobs_on is not None and (due := undone(app, state.resolved[app.image], jobs_on)):
        yield script.refuse(f"uplift: {app.name}: {due}")
        return
    words = _told(app, todo, to, found, values)
    fresh = _taken_over(app, found) if made else []
    text = _text(app, todo, state, found, values, key, _origin(app, to), fresh)
    seen = [state.seen(app.name_in(slot)) for slot in SLOTS]
    yield job.start(job.identity("app", text, *seen), text, limit=_limit(app))
    script.changed(words)


def _origin(app: App, to: Release | None) -> Origin:
    """Return where the new release comes from: today's settings, or one that is gone back to."""
    new = Origin(app.image, "", person(), inventory=inventory())
    if to is None:
        return new
    of = to.of or to.id or to.reference
    return replace(new, reference=to.reference, of=of, foreign=to.foreign, lost=to.lost)


def _taken_over(app: App, found: AppState) -> list[Adopted]:
    """Return the containers of another tool that become releases, and name them all."""
    fresh, refused = adoptable(app, found.strangers, found.releases.get(app.name, ()))
    lines = refused + [
        f"container {one.name} of another tool still runs, and is left as it is"
        for one in found.strangers
        if one.of(app)
    ]
    for line in lines:
        host.log(f"{app.name}: {line}", log_func=logger.warning)
    return fresh


def _told(app: App, todo: Todo, of: Release | None, found: AppState, values: Values) -> str:
    first = ", ".join([*([f"to {of.words}"] if of else []), *todo.why])
    hidden = [value.reveal() for value in (*resolved(), *values.values())]
    before = found.current(app.name) if todo.action in ("switch", "replace") else None
    lines = [f"{app.name}: {text}" for text in differences(app, before, hidden)]
    return "\n".join([f"{app.name}: {first}", *lines])


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
            # Of two slots, the one of before serves until the other does.
            stops = [one.name] if todo.action == "replace" else []
            script.announce(
                _told(one, todo, of, found, own),
                restarts=stops,
                removes=_removed(one, todo, state, found, own, key, of),
                lasting=lasting(one, todo, state, found),
            )


def _removed(
    app: App,
    todo: Todo,
    state: State,
    found: AppState,
    values: Values,
    key: bytes,
    to: Release | None = None,
) -> list[str]:
    """Return the records and images that go once the new release is good."""
    if todo.action not in ("switch", "replace"):
        return []
    there = found.releases.get(app.name, ())
    stale = _made(app, state, found, values, key, _origin(app, to)).stale
    gone = [one for one in there if one.id in stale.releases]
    return [f"release {one.words}" for one in gone] + [f"image {brief(id)}" for id in stale.images]


@dataclass(frozen=True)
class _Made:
    """A release that is to be: its id, its record, and what goes for it."""

    id: str
    record: str
    stale: Surplus


def _made(
    app: App,
    state: State,
    found: AppState,
    values: Values,
    key: bytes,
    of: Origin,
) -> _Made:
    there = found.releases.get(app.name, ())
    resolved = state.resolved[app.image]
    id = new_id(datetime.now(UTC), resolved.digest or resolved.local, there)
    files = {reference.secret: str(number) for number, reference in enumerate(values)}
    fingerprints = {one.secret: value.fingerprint(key) for one, value in values.items()}
    text = record(app, replace(of, digest=resolved.digest), id, files, fingerprints)
    new = replace(parse(text, "outcome good"), local=resolved.local)
    serves = found.current(app.name)
    return _Made(id, text, surplus(new, there, app.keep.images, app.builder_tags, serves))


def _text(
    app: App,
    todo: Todo,
    state: State,
    found: AppState,
    values: Values,
    key: bytes,
    of: Origin,
    fresh: Sequence[Adopted],
) -> str:
    retiring = _retiring(app, todo, found)
    known = found.last(app.name)
    if todo.action not in ("switch", "replace"):
        return render(
            app, todo, state, values, release="", record="", known=known, retiring=retiring
        )
    new = _made(app, state, found, values, key, of)
    return render(
        app,
        todo,
        state,
        values,
        release=new.id,
        record=new.record,
        known=known,
        stale=new.stale,
        adopted=fresh,
        key=key,
        retiring=retiring,
    )


def _retiring(app: App, todo: Todo, found: AppState) -> Release | None:
    """Return the release that serves until now, where its record can be read."""
    # A switch that is brought to its end retires the one of before.
    other = SLOTS[1 - SLOTS.index(todo.slot)]
    ending = todo.action == "tidy"
    release = found.in_slot(app.name, other) if ending else found.current(app.name)
    try:
        return release if release is not None and restored(release) else None
    except NotFoundError:
        return None


def _limit(app: App) -> int:
    """Return the seconds that a switch may take."""
    rest = app.drain.seconds + app.hold + app.drain.timeout + app.stop_timeout
    return time_limit(app.container(SLOTS[0])) + rest


@operation()
def rolled_back(
    app: App, to: str = "previous", pinned: Sequence[str] = ()
) -> Generator[StringCommand, None, None]:
    """Go back to a release as it was: image, settings, environment, own files, own secrets.

    + app: its settings today; what is not part of a release (its name, its slots) comes from here
    + to: ``previous``, a builder (``poetry``, ``uv``), a release's id, a tag or a digest
    + pinned: what was found at registries before, by tag and digest: these are not asked again

    Nothing is asked of a registry when the image is on the host. An image that another tool left,
    on the host or at the registry, is taken over: it runs with the settings of today, and is
    recorded from then on. A release that is not there is an error, and nothing is done.

    **Example:**

    .. code:: python

        app.rolled_back(name="Console as Poetry built it", app=console, to="poetry")
    """
    try:
        key = fingerprint_key()
        way = way_back(app, to, pinned)
    except (UpliftError, NotFoundError) as error:
        yield script.refuse(str(error))
        return
    if way is None:
        return
    found = read([way.app])
    state, changed = yield from settled(containers([way.app]), way.values)
    if state is None or found is None:
        return
    try:
        check_image(way, state)
    except NotFoundError as error:
        yield script.refuse(str(error))
        return
    _foretell([way.app], state, found, way.values, key, way.release)
    commands = list(_brought(way.app, state, found, way.values, key, way.release))
    if not commands and not changed:
        host.noop(f"{app.name}: {way.release.words} serves already")
    yield from commands
