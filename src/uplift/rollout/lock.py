"""The locks of a run: all hosts or none, kept by a heartbeat, given back at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.rollout import fence
from uplift.rollout.heartbeat import Heartbeat
from uplift.rollout.lock_hosts import Written, keep, look, swap
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.rollout.lock import Record, Seen, State, gives_way, next_token
from uplift.spec.rollout.lock_words import listed, refusal

T = TypeVar("T")

CONTEST = 15.0
"""Seconds in which two runs that take their locks at once find out who gets them."""

_PAUSE = 0.5  # seconds


class LockedError(UpliftError):
    """Report hosts that somebody else has.

    Args:
        holders: what each of these hosts said.
    """

    exit_code = Exit.LOCKED

    def __init__(self, holders: Mapping[str, Seen]) -> None:
        self.holders = dict(holders)
        super().__init__(refusal(self.holders))

    @property
    def left(self) -> int | None:
        """Return the seconds after which all leases are over; None when one has no end."""
        found = [seen.left for seen in self.holders.values()]
        return None if None in found else max(one or 0 for one in found)


class BusyError(UpliftError):
    """Report hosts on which something of an earlier run still works.

    Args:
        running: what, by host.
        wait: seconds that were waited for it.
    """

    exit_code = Exit.LOCKED

    def __init__(self, running: Mapping[str, tuple[str, ...]], wait: float) -> None:
        self.running = dict(running)
        lines = [f"  {host}: {', '.join(what)}" for host, what in running.items()]
        super().__init__(
            f"something of an earlier run still works after {wait:g} s, and nothing was touched "
            "(its next command is refused):\n" + "\n".join(lines)
        )


class NotLockedError(UpliftError):
    """Report hosts that could not be locked: none of the others is, then.

    Args:
        errors: why, by host.
        kept: hosts that may stay locked until the lease is over.
    """

    exit_code = Exit.HELD

    def __init__(self, errors: Mapping[str, str], kept: Mapping[str, str], lease: int) -> None:
        lines = [f"  {name}: {text.removeprefix(f'{name}: ')}" for name, text in errors.items()]
        if kept:
            end = f"it ends by itself within {lease} s" if lease else "see uplift lock status"
            lines.append(f"could not be asked to give the lock back, {end}: {listed(kept)}")
        super().__init__("no host was locked or touched:\n" + "\n".join(lines))


class Lock:
    """The locks of a run on all its hosts, with one token; ``with`` keeps and releases them.

    The connections are for the locks alone: a long step of somebody else on one of them would hold
    up the heartbeat of its host.

    Args:
        fleet: connected; its unreachable hosts are not part of the run.
        run: its id.
        owner: user@machine.
        purpose: what the run is for, in a few words.
        lease: seconds after the last heartbeat for which the locks stand.
    """

    def __init__(self, fleet: Fleet, *, run: str, owner: str, purpose: str, lease: int) -> None:
        self._fleet = fleet
        self._wanted = Record(run=run, owner=owner, purpose=purpose, lease=lease)
        self._heart = Heartbeat(fleet, lease)
        self._over = False
        self.token = 0

    @classmethod
    def take(
        cls,
        fleet: Fleet,
        *,
        run: str,
        owner: str,
        purpose: str,
        lease: int = 60,
        wait: float = 120.0,
        note: str = "",
    ) -> Self:
        """Lock every host that the fleet reaches, or none.

        Args:
            fleet: connected.
            run: id of the run, which only one process works on: locks that it has left behind
                are taken over at once.
            owner: user@machine.
            purpose: what the run is for, in a few words.
            lease: seconds after the last heartbeat for which the locks stand.
            wait: seconds for what an earlier run still does on a host.
            note: how far the run is.

        Raises:
            LockedError: somebody has one of the hosts.
            BusyError: something of an earlier run works for longer than ``wait``.
            NotLockedError: a host could not be reached, or cannot be locked.
            UsageError: a host is not reached by SSH, or there is none.
        """
        _check(fleet)
        lock = cls(fleet, run=run, owner=owner, purpose=purpose, lease=lease)
        lock._wanted = replace(lock._wanted, note=note)
        try:
            lock._claim()
            lock._settle(wait)
            lock._prove()
        except _Failed as failed:
            raise NotLockedError(failed.errors, lock.release(), lease) from None
        except BaseException:
            lock.release()
            raise
        return lock

    @property
    def shell(self) -> str:
        """Return the program of the run's commands, for pyinfra's ``--shell-executable``."""
        return fence.shell(self.token)

    @property
    def lost(self) -> threading.Event:
        """Return what is set as soon as a host has said that the lock is another's."""
        return self._heart.lost

    @property
    def trouble(self) -> dict[str, str]:
        """Return hosts where the lock was lost, or that did not answer last, with words."""
        return dict(self._heart.trouble)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def start(self) -> None:
        """Renew the leases from now on, in a thread."""
        self._heart.start()

    def beat(self) -> dict[str, str]:
        """Renew every lease once.

        Returns:
            Hosts where the lock was lost or that did not answer, with words.
        """
        return self._heart.beat()

    def note(self, text: str) -> None:
        """Tell how far the run is; whoever is refused reads it.

        Args:
            text: a few words.
        """
        self._heart.note(text)

    def release(self) -> dict[str, str]:
        """Give every lock back, and renew them no more.

        Returns:
            Hosts that could not be asked to, with words: there it ends with the lease.
        """
        self._over = True
        self._heart.stop()
        return self._heart.give_back()

    def _claim(self) -> None:
        """Write the same new token on all hosts, each of which is as it was when it was read."""
        end = time.monotonic() + CONTEST
        while True:
            seen = _all(self._fleet.each(look))
            blocked = {name: one for name, one in seen.items() if self._others(one)}
            if any(gives_way(self._wanted.run, one.record) for one in blocked.values()):
                raise LockedError(blocked)
            if not blocked and self._write(seen):
                return
            if time.monotonic() > end:
                raise LockedError(blocked or seen)
            time.sleep(_PAUSE)

    def _others(self, seen: Seen) -> bool:
        # What the run's own process left behind when it was killed is the run's: its commands
        # are refused from now on, and those that still work are waited for.
        return seen.locked and seen.record.run != self._wanted.run

    def _write(self, seen: Mapping[str, Seen]) -> bool:
        self.token = next_token(seen.values())
        record = replace(self._wanted, token=self.token, state=State.TAKING)
        # Before it is tried: what is interrupted in between must be given back as well.
        self._heart.records = dict.fromkeys(seen, record)

        def write(connection: Connection) -> Written:
            if self._over:
                raise UpliftError("interrupted")
            text = fence.text(self.token, record.run, connection.shell)
            return swap(connection, seen[connection.name], record, text)

        found = _all(self._fleet.each(write))
        self._heart.records = {
            name: replace(record, taken=one.seen.record.taken)
            for name, one in found.items()
            if one.done
        }
        return len(self._heart.records) == len(seen)

    def _settle(self, wait: float) -> None:
        """Wait for what still runs behind the fence; the leases are renewed meanwhile."""
        end = time.monotonic() + wait
        held = {name: replace(one, state=State.HELD) for name, one in self._heart.records.items()}
        self._heart.records = held
        while True:
            found = _all(self._heart.each(lambda host, record: keep(host, record, drain=True)))
            taken = {name: one.seen for name, one in found.items() if not one.done}
            if taken:
                raise LockedError(taken)
            busy = {name: one.running for name, one in found.items() if not one.drained}
            if not busy:
                return
            if time.monotonic() > end:
                said = {name: tuple(str(one) for one in what) for name, what in busy.items()}
                raise BusyError(said, wait)
            time.sleep(_PAUSE)

    def _prove(self) -> None:
        """Run a command of the SSH user through the fence: it may lack the right to read it."""

        def prove(connection: Connection) -> None:
            done = connection.run('exec "$1" -c :', self.shell, sudo=False)
            if done.rc != 0:
                raise UpliftError(done.stderr.strip() or f"{self.shell}: exit code {done.rc}")

        _all(self._fleet.each(prove))


class _Failed(Exception):
    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = errors


def _all(found: Mapping[str, T | UpliftError]) -> dict[str, T]:
    """Return what every host said; one that did not say anything ends it for all."""
    errors = {name: str(one) for name, one in found.items() if isinstance(one, UpliftError)}
    if errors:
        raise _Failed(errors)
    return {name: one for name, one in found.items() if not isinstance(one, UpliftError)}


def _check(fleet: Fleet) -> None:
    if not set(fleet.connections) - set(fleet.unreachable):
        raise UsageError("no host to lock")
    others = [name for name, one in fleet.connections.items() if not one.in_thread]
    if others:
        raise UsageError(
            f"{listed(others)}: only hosts that are reached by SSH can be locked by a run, "
            "their heartbeat goes on beside it"
        )
