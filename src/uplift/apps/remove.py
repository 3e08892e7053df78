"""Take an application off the hosts of an inventory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from uplift.controller import person
from uplift.guard.lock import IGNORE, LockedError, refused_by
from uplift.operations.app_removal import FOUND, REMOVAL, placed
from uplift.remote.applications import unknown, with_settings
from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.rollout.lock_hosts import look
from uplift.spec.errors import Exit, UpliftError
from uplift.spec.rollout.lock import Seen

READ_LIMIT = 60.0
REMOVE_LIMIT = 4000.0  # a container may take its whole time to stop


@dataclass(frozen=True)
class There:
    """What a host has of an application.

    Args:
        host: its name.
        found: in words; empty when there is nothing.
        known: names of applications that the host has records of.
        error: why it could not be read.
    """

    host: str
    found: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Removed:
    """What was done on a host.

    Args:
        host: its name.
        removed: in words.
        left: what stays, in words.
        error: why it did not come to its end.
        reached: the host could be reached.
    """

    host: str
    removed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    error: str = ""
    reached: bool = True


Confirm = Callable[[Sequence[There]], bool]


def remove(
    inventory: str, app: str, limit: Sequence[str], confirm: Confirm, *, purge: bool
) -> tuple[list[Removed], Exit]:
    """Remove containers, proxy entry and own files of an application; never its volumes.

    An application that the settings do not name any more is found on the hosts.

    Args:
        inventory: a file, or what else pyinfra takes as an inventory.
        app: name of the application.
        limit: groups or patterns of host names.
        confirm: is asked with what is there, before anything is done.
        purge: the records of its releases go as well.

    Raises:
        UsageError: neither settings nor hosts have such an application.
        LockedError: a rollout, or somebody else's hold, has one of the hosts; nothing was done.
    """
    every = with_settings(inventory, limit)
    names = [one.name for _, its in every for one in its.apps]
    with Fleet([host for host, _ in every]) as fleet:
        lost = [There(name, error=str(why)) for name, why in fleet.unreachable.items()]
        there = [*lost, *_looked(fleet.each(lambda one: _look(one, app, purge)))]
        if not any(one.found for one in there) and app not in names:
            raise unknown(app, [*names, *(name for one in there for name in one.known)])
        if any(one.error for one in there):
            gone = [Removed(one.host, error=one.error, reached=False) for one in there if one.error]
            return gone, Exit.HELD
        having = [one.host for one in there if one.found]
        if unknown_locks := _locked(fleet, having):
            return unknown_locks, Exit.HELD
        if not having or not confirm([one for one in there if one.found]):
            return [], Exit.DONE if not having else Exit.FAILED
        done = fleet.each(
            lambda one: _remove(one, app, purge) if one.name in having else Removed(one.name)
        )
        results = [one for one in _done(done) if one.host in having]
    if not all(one.reached for one in results):
        return results, Exit.HELD
    return results, Exit.FAILED if any(one.error for one in results) else Exit.DONE


def _locked(fleet: Fleet, having: Sequence[str]) -> list[Removed]:
    """Leave hosts alone that somebody else works on, as plain pyinfra does.

    Returns:
        The hosts whose lock could not be read, and why.

    Raises:
        LockedError: of the others one is locked.
    """
    told = fleet.each(lambda one: look(one) if one.name in having else None)
    found = {name: one for name, one in told.items() if isinstance(one, Seen)}
    holders = refused_by(found, person())
    if holders and os.environ.get(IGNORE) != "ignore":
        raise LockedError(holders)
    return [
        Removed(name, error=str(one), reached=False)
        for name, one in told.items()
        if isinstance(one, UpliftError)
    ]


def _looked(found: Mapping[str, There | UpliftError]) -> list[There]:
    return [
        There(name, error=str(one)) if isinstance(one, UpliftError) else one
        for name, one in found.items()
    ]


def _done(found: Mapping[str, Removed | UpliftError]) -> list[Removed]:
    every = [
        Removed(name, error=str(one), reached=False) if isinstance(one, UpliftError) else one
        for name, one in found.items()
    ]
    return sorted(every, key=lambda one: one.host)


def _look(connection: Connection, app: str, purge: bool) -> There:
    said = connection.run(placed(FOUND), app, time_limit=READ_LIMIT).stdout.split("\n")
    if "end" not in said:
        return There(connection.name, error="what it has could not be read")
    known = tuple(line.removeprefix("known ") for line in said if line.startswith("known "))
    # Records alone are nothing to remove, unless they are to go.
    skipped = ("known ",) if purge else ("known ", "records ")
    found = tuple(line for line in said if line and line != "end" and not line.startswith(skipped))
    return There(connection.name, found, known)


def _remove(connection: Connection, app: str, purge: bool) -> Removed:
    done = connection.run(placed(REMOVAL), app, "yes" if purge else "", time_limit=REMOVE_LIMIT)
    lines = done.stdout.splitlines()

    def those(word: str) -> tuple[str, ...]:
        return tuple(line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} "))

    error = "" if "end" in lines else (done.stderr.strip() or "it did not come to its end")
    return Removed(connection.name, those("removed"), those("left"), error)
