"""What a person does with locks: see who has a host, hold hosts for maintenance, free them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.rollout.lock import LockedError, NotLockedError
from uplift.rollout.lock_hosts import Written, give_back, look, swap
from uplift.spec.errors import UpliftError
from uplift.spec.rollout.lock import HOLD, Record, Seen, Standing, State, freed, next_token
from uplift.spec.rollout.lock_words import told

_TRIES = 3


@dataclass(frozen=True)
class Row:
    """The lock of one host.

    Args:
        host: its name.
        seen: what it said; None when it could not be asked.
        error: why not, or why it was not freed.
        freed: it was locked and is free now.
        refused: it stays locked, for it is somebody else's.
    """

    host: str
    seen: Seen | None = None
    error: str = ""
    freed: bool = False
    refused: bool = False


def held(fleet: Fleet) -> list[Row]:
    """Read the locks of all hosts.

    Args:
        fleet: connected.
    """
    return _rows(fleet, lambda connection: Row(connection.name, look(connection)))


def hold(fleet: Fleet, message: str, *, owner: str) -> list[Row]:
    """Keep every run away from all hosts of a fleet, without an end, or from none of them.

    Somebody's own hold is made anew, with the new message.

    Args:
        fleet: connected.
        message: shown to whoever is refused.
        owner: user@machine.

    Raises:
        LockedError: a run, or somebody else's hold, has one of the hosts.
        NotLockedError: a host could not be reached.
    """
    if fleet.unreachable:
        raise NotLockedError(_words(fleet.unreachable), {}, 0)
    seen = _all(fleet.each(look))
    blocked = {name: one for name, one in seen.items() if one.locked and not _own(one, owner)}
    if blocked:
        raise LockedError(blocked)
    record = Record(
        token=next_token(seen.values()),
        run=f"{HOLD}{secrets.token_hex(4)}",
        owner=owner,
        purpose=message,
        state=State.MAINTENANCE,
    )
    found = fleet.each(lambda connection: swap(connection, seen[connection.name], record))
    _all_or_none(fleet, record, found)
    return _rows(fleet, lambda connection: Row(connection.name, look(connection)))


def free(fleet: Fleet, *, owner: str, run: str = "", force: bool = False) -> list[Row]:
    """Free hosts: of one's own hold, of a run whose lease is over, and by force of anybody.

    Whoever had the host is fenced off: the next command of that run is refused.

    Args:
        fleet: connected.
        owner: user@machine, who asks for it.
        run: only hosts that this run or hold has; none: whoever has them.
        force: also somebody else's hold, and a run that is alive.
    """
    return _rows(fleet, lambda connection: _free(connection, owner, run, force))


def _free(connection: Connection, owner: str, run: str, force: bool) -> Row:
    name = connection.name
    for _ in range(_TRIES):
        seen = look(connection)
        if seen.standing is Standing.FREE or (run and seen.record.run != run):
            return Row(name, seen)
        if seen.locked and not force and not _own(seen, owner):
            return Row(name, seen, _refusal(seen), refused=True)
        by = "" if _own(seen, owner) else owner
        written = swap(connection, seen, freed(seen.record, by, seen.token + 1))
        if written.done:
            return Row(name, written.seen, freed=True)
    return Row(name, seen, "its lock changes all the time; try again")


def _refusal(seen: Seen) -> str:
    if seen.standing is Standing.MAINTENANCE:
        return f"{told(seen)}; to free somebody else's hold: --force"
    return (
        f"{told(seen)}; end that run, or wait for the end of its lease. "
        "With --force its next command is refused, and this host stays as it is by then"
    )


def _own(seen: Seen, owner: str) -> bool:
    """Tell whether it is a hold of the one who asks; a run that is alive is nobody's to free."""
    return seen.standing is Standing.MAINTENANCE and seen.record.owner == owner


def _all_or_none(fleet: Fleet, record: Record, found: Mapping[str, Written | UpliftError]) -> None:
    errors = {name: one for name, one in found.items() if isinstance(one, UpliftError)}
    taken = {
        name: one.seen
        for name, one in found.items()
        if not isinstance(one, UpliftError) and not one.done
    }
    if errors or taken:
        # Of a host that gave no answer it is not known whether it has the hold.
        back = fleet.each(lambda host: None if host.name in taken else give_back(host, record))
        kept = {name: str(one) for name, one in back.items() if isinstance(one, UpliftError)}
        if errors:
            raise NotLockedError(_words(errors), kept, 0)
        raise LockedError(taken)


def _all(found: Mapping[str, Seen | UpliftError]) -> dict[str, Seen]:
    errors = {name: one for name, one in found.items() if isinstance(one, UpliftError)}
    if errors:
        raise NotLockedError(_words(errors), {}, 0)
    return {name: one for name, one in found.items() if not isinstance(one, UpliftError)}


def _words(errors: Mapping[str, UpliftError]) -> dict[str, str]:
    return {name: str(error) for name, error in errors.items()}


def _rows(fleet: Fleet, step: Callable[[Connection], Row]) -> list[Row]:
    found: dict[str, Row | UpliftError] = {**fleet.each(step), **fleet.unreachable}
    return [
        Row(name, error=str(one).removeprefix(f"{name}: ")) if isinstance(one, UpliftError) else one
        for name, one in ((name, found[name]) for name in {**fleet.connections, **found})
    ]
