"""List the releases of an application on its hosts, and take the hosts back to one of them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from uplift.facts import app as reading
from uplift.facts.images_listing import REGISTRY, question, tagged
from uplift.remote.applications import having
from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost, exactly
from uplift.rollback import registry
from uplift.rollout.engine import Tell
from uplift.rollout.plan import look
from uplift.rollout.run import Request, begin, waves
from uplift.spec.app.adopted import adoptable
from uplift.spec.app.foreign import at_registry, foreign, newest
from uplift.spec.app.models import BUILDERS, SLOTS, App
from uplift.spec.app.release import DamagedError, NotFoundError, Release, choose, restored
from uplift.spec.app.state import parse
from uplift.spec.container.image import Reference
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.images.listing import Tagged
from uplift.spec.rollout import Policy

DEPLOY = "deploys/rollback.py"
READ_LIMIT = 420  # seconds; a host waits up to 300 for a switch that is still going on


@dataclass(frozen=True)
class Listing:
    """The releases of an application on one host.

    Args:
        host: its name.
        releases: oldest first.
        slot: that serves, where HAProxy says so.
        current: the release that serves.
        chosen: the release that was asked for.
        error: why it cannot be had, or the host not be read.
        unrecorded: why an image was looked for: no release of the host is meant.
        reached: the host could be read.
    """

    host: str
    releases: tuple[Release, ...] = ()
    slot: str = ""
    current: Release | None = None
    chosen: Release | None = None
    error: str = ""
    unrecorded: str = ""
    reached: bool = True


@dataclass(frozen=True)
class Result:
    """What came of a rollback.

    Args:
        before: of each host.
        after: the same hosts, read again; empty when nothing was begun.
        exit_code: for ``uplift``.
    """

    before: tuple[Listing, ...]
    after: tuple[Listing, ...]
    exit_code: Exit


def listed(inventory: str, app: str, limit: Sequence[str] = (), to: str = "") -> list[Listing]:
    """Read the releases of an application from all hosts that have it.

    Args:
        inventory: a file, or what else pyinfra takes as an inventory.
        app: name of the application.
        limit: groups or patterns of host names.
        to: which release is looked for; none when it is left out.

    Raises:
        UsageError: no host has such an application.
    """
    return _listed(having(inventory, app, limit), to)


def _listed(apps: Sequence[tuple[InventoryHost, App]], to: str = "") -> list[Listing]:
    wanted = {host.name: settings for host, settings in apps}
    with Fleet([host for host, _ in apps]) as fleet:
        found = fleet.each(lambda connection: _read(connection, wanted[connection.name], to))
        lost = [
            Listing(name, error=str(error), reached=False)
            for name, error in fleet.unreachable.items()
        ]
        read = [
            Listing(name, error=str(one), reached=False) if isinstance(one, UpliftError) else one
            for name, one in found.items()
        ]
    return sorted([*lost, *read], key=lambda one: one.host)


def roll_back(
    inventory: str,
    app: str,
    to: str,
    limit: Sequence[str] = (),
    *,
    policy: Callable[[Sequence[InventoryHost]], Policy],
    tell: Tell,
    dry_run: bool,
    schema: bool = True,
) -> Result:
    """Take all hosts of an application back to a release, as a rollout of the deploy for it.

    Nothing is begun unless every host can be reached and has the release.

    Args:
        inventory: a file.
        app: name of the application.
        to: which release, as for the operation ``app.rolled_back``.
        limit: groups or patterns of host names.
        policy: is called with the hosts: waves, tests between them, what is done at failures.
        tell: is called with what happens.
        dry_run: only look.
        schema: let the application say whether the database's schema is ahead.

    Raises:
        UsageError: no host has such an application, this folder has no deploy for it, or no
            release is named.
        UpliftError: of several waves one host cannot go back, and why; nothing was begun.
    """
    if not to:
        raise UsageError("--to is empty: previous, a builder, a release's id, a tag, or a digest")
    if not Path(DEPLOY).is_file():
        raise UsageError(f"there is no {DEPLOY} in {Path.cwd()}: change to the project's folder")
    apps = having(inventory, app, limit)
    hosts = tuple(host for host, _ in apps)
    names = tuple(exactly(host.name) for host in hosts)
    data = {"app": app, "to": to, **({} if schema else {"schema": "ignore"})}
    request = Request(inventory, hosts, (DEPLOY,), policy(hosts), names, data)
    count = len(waves(request))
    before = _resolved(hosts, _listed(apps, to))
    if not all(one.reached for one in before):
        return Result(before, (), Exit.HELD)
    if any(one.error for one in before):
        return Result(before, (), Exit.FAILED)
    data |= registry.pinned([one.chosen for one in before if one.chosen])
    request = replace(request, data=data)
    if dry_run:
        code = _looked(inventory, data, limit)
        return Result(before, (), Exit(code) if code in set(Exit) else Exit.FAILED)
    if count > 1:
        _ask(request)
    done = begin(request, tell)
    code = done.exit_code
    interrupted = code is Exit.INTERRUPTED
    if code in (Exit.LOCKED, Exit.STALE, Exit.USAGE) or (interrupted and not done.run.touched):
        return Result(before, (), code)
    # A host that was put back, and is not as before to its gate, serves what it did all the same.
    said = interrupted or done.run.at("not-reverted")
    after = tuple(
        replace(now, chosen=was.chosen) for was, now in zip(before, _listed(apps), strict=True)
    )
    return Result(before, after, code if said else _exit(before, after, code))


def _resolved(hosts: Sequence[InventoryHost], before: Sequence[Listing]) -> tuple[Listing, ...]:
    """Find out what a tag means that only the registry has, unless nothing is begun anyway."""
    if any(one.error for one in before):
        return tuple(before)
    said = registry.resolved(hosts, {one.host: one.chosen for one in before if one.chosen})
    return tuple(_with(one, said.get(one.host, one.chosen)) for one in before)


def _with(one: Listing, said: Release | str | None) -> Listing:
    if isinstance(said, str):
        return replace(one, chosen=None, error=f"{one.unrecorded}; {said}")
    return replace(one, chosen=said)


def _ask(request: Request) -> None:
    """Let every host say whether it can go back: a run asks only those of its next wave.

    Raises:
        UpliftError: one of them cannot, and why.
    """
    with tempfile.TemporaryDirectory(prefix="uplift-rollback-") as folder:
        names = [host.name for host in request.hosts]
        log = Path(folder, "log")
        _, found = look(request.inventory, request.deploys, names, data=request.data, log=log)
    wrong = [one for one in found if one.state not in ("unchanged", "changes")]
    if wrong:
        lines = [f"{one.name}: {one.text.removeprefix(f'{one.name}: ')}" for one in wrong]
        raise UpliftError("\n".join([*lines, "no host was touched"]))


def _exit(before: Sequence[Listing], after: Sequence[Listing], code: int) -> Exit:
    """Tell a fleet that is where it was from one that is mixed: what hosts serve now counts."""
    if not all(one.reached for one in after):
        return Exit.HELD
    moved = all(arrived(one) for one in after)
    if moved and code == Exit.DONE:
        return Exit.DONE
    stayed = all(_same(now.current, was.current) for was, now in zip(before, after, strict=True))
    return Exit.FAILED if stayed and (code == Exit.FAILED or not moved) else Exit.HELD


def arrived(one: Listing) -> bool:
    """Tell whether a host serves what was asked for.

    Args:
        one: read afterwards.
    """
    return one.chosen is not None and _same(one.current, one.chosen)


def _same(current: Release | None, wanted: Release | None) -> bool:
    """Tell whether what serves is a release, or one that went back to it."""
    if wanted is None or current is None:
        return current is wanted
    if not wanted.id:  # an image alone
        alike = wanted.digest in ("", current.digest)
        return alike and current.reference == wanted.reference
    # Two releases may have one image: what differs is in their settings.
    origin = wanted.of or wanted.id
    return origin in (current.id, current.of) or _alike(current, wanted)


def _alike(current: Release, wanted: Release) -> bool:
    """Tell whether two releases are one container: going from one to the other does nothing."""
    if current.key == wanted.key:
        return True
    try:
        now, then = restored(current), restored(wanted)
    except NotFoundError:
        return False
    then = then.model_copy(update={"slot_ports": now.slot_ports})
    return (current.digest or current.local, current.fingerprints, now.container(SLOTS[0])) == (
        wanted.digest or wanted.local,
        wanted.fingerprints,
        then.container(SLOTS[0]),
    )


def _read(connection: Connection, app: App, to: str) -> Listing:
    done = connection.run(reading.READ, app.name, time_limit=READ_LIMIT)
    try:
        state = parse(done.stdout.splitlines())
    except (ValueError, KeyError, IndexError):
        why = (done.stderr.strip().splitlines() or ["the answer was cut off"])[-1]
        msg = f"{connection.name}: what it has of {app.name} could not be read: {why}"
        raise UpliftError(msg) from None
    recorded, slot = state.releases.get(app.name, ()), state.active.get(app.name, "")
    fresh, _ = adoptable(app, state.strangers, recorded)
    releases = tuple(sorted([*(one.release for one in fresh), *recorded], key=lambda it: it.id))
    current = state.current(app.name)
    listing = Listing(connection.name, releases, slot, current)
    if not to:
        return listing
    try:
        chosen = choose(to, releases, current.id if current else "", app.builder_tags)
        restored(chosen)
        return replace(listing, chosen=chosen)
    except DamagedError as error:
        return replace(listing, error=str(error))
    except NotFoundError as error:
        image = foreign(app, to, state.images, app.builder_tags)
        # Whether the registry has it is asked when all hosts are known.
        reference = image.called(app, to) if image else at_registry(app, to)
        why = ""
        if not reference and to in BUILDERS:
            reference, why = _built(connection, app, to)
        if not reference:
            return replace(listing, error=f"{error}{why}")
        release = Release("", {}, reference, "", foreign=True)
        if image:
            digest = Reference.parse(image.pinned(app, to)).digest
            release = replace(release, digest=digest, local=image.id)
        return replace(listing, chosen=release, unrecorded=str(error))


def _built(connection: Connection, app: App, to: str) -> tuple[str, str]:
    """Return the newest image at the registry that a tool built, or nothing and why."""
    asked = question(Reference.parse(app.image).name)
    done = connection.run(REGISTRY, *asked, time_limit=READ_LIMIT)
    try:
        said = tagged(done.stdout.splitlines())
    except ValueError as error:
        said = Tagged(trouble=str(error))
    return newest(app, to, said)


def _looked(inventory: str, data: Mapping[str, str], limit: Sequence[str]) -> int:
    """Let pyinfra say what it would do, as a person would see it."""
    words = [sys.executable, "-m", "pyinfra", inventory, DEPLOY]
    # As JSON: pyinfra would read 1.10 as a number.
    words += [
        word for key, value in data.items() for word in ("--data", f"{key}={json.dumps(value)}")
    ]
    words += [word for one in limit for word in ("--limit", one)]
    words.append("--dry")
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), check=False)
    return done.returncode
