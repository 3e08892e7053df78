"""The locks of a run: all hosts or none, kept by a heartbeat, given back at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.rollout import fence
from uplift.rollout.lock_hosts import Written, give_back, keep, look, swap
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.rollout.lock import Record, Seen, State, gives_way, next_token
from uplift.spec.rollout.lock_words import listed, together, told

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
        lines = [f"  {line}" for line in together(self.holders)]
        super().__init__("locked, and nothing was touched:\n" + "\n".join(lines))

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
        self._mine: dict[str, Record] = {}
        self._over = False
        self._poke = threading.Event()
        self._heart: threading.Thread | None = None
        self._doing = threading.RLock()
        self.token = 0
        self.lost = threading.Event()
        """Set as soon as a host has said that the lock is another's."""
        self.trouble: dict[str, str] = {}
        """What the last heartbeat found: hosts where the lock was lost, or that did not answer."""

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
            run: id of the run.
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
    def hosts(self) -> tuple[str, ...]:
        """Return the hosts that are locked."""
        return tuple(self._mine)

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
        self._heart = threading.Thread(target=self._beating, name="heartbeat", daemon=True)
        self._heart.start()

    def stop(self) -> None:
        """Renew them no more."""
        self._over = True
        self._poke.set()
        if self._heart is not None and self._heart is not threading.current_thread():
            self._heart.join()

    def beat(self) -> dict[str, str]:
        """Renew every lease once.

        Returns:
            Hosts where the lock was lost or that did not answer, with words.
        """
        with self._doing:
            limit = max(5.0, self._wanted.lease / 4)
            found = self._each(
                lambda host, record: _steadily(host, lambda: keep(host, record, limit=limit))
            )
            self.trouble = {}
            for name, one in found.items():
                if isinstance(one, UpliftError):
                    self.trouble[name] = str(one).removeprefix(f"{name}: ")
                elif not one.done:
                    self.trouble[name] = f"the lock was lost: {told(one.seen)}"
                    self._mine.pop(name, None)
                    self.lost.set()
            return dict(self.trouble)

    def note(self, text: str) -> None:
        """Tell how far the run is; whoever is refused reads it.

        Args:
            text: a few words.
        """
        with self._doing:
            self._wanted = replace(self._wanted, note=text)
            self._mine = {name: replace(one, note=text) for name, one in self._mine.items()}
        self._poke.set()

    def release(self) -> dict[str, str]:
        """Give every lock back.

        Returns:
            Hosts that could not be asked to, with words: there it ends with the lease.
        """
        self.stop()
        with self._doing:
            found = self._each(
                lambda host, record: _steadily(host, lambda: give_back(host, record))
            )
            self._mine = {}
        return {name: str(one) for name, one in found.items() if isinstance(one, UpliftError)}

    def _beating(self) -> None:
        while not self._over:
            self._poke.wait(self._wanted.lease / 3)
            self._poke.clear()
            if not self._over:
                self.beat()

    def _claim(self) -> None:
        """Write the same new token on all hosts, each of which is as it was when it was read."""
        end = time.monotonic() + CONTEST
        while True:
            seen = _all(self._fleet.each(look))
            blocked = {name: one for name, one in seen.items() if self._others(name, one)}
            if any(gives_way(self._wanted.run, one.record) for one in blocked.values()):
                raise LockedError(blocked)
            if not blocked and self._write(seen):
                return
            if time.monotonic() > end:
                raise LockedError(blocked or seen)
            time.sleep(_PAUSE)

    def _others(self, name: str, seen: Seen) -> bool:
        own = self._mine.get(name)
        return seen.locked and not (own and seen.record.of(own.run, own.token))

    def _write(self, seen: Mapping[str, Seen]) -> bool:
        self.token = next_token(seen.values())
        record = replace(self._wanted, token=self.token, state=State.TAKING)
        # Before it is tried: what is interrupted in between must be given back as well.
        self._mine = dict.fromkeys(seen, record)

        def write(connection: Connection) -> Written:
            if self._over:
                raise UpliftError("interrupted")
            text = fence.text(self.token, record.run, connection.shell)
            return swap(connection, seen[connection.name], record, text)

        found = _all(self._fleet.each(write))
        self._mine = {
            name: replace(record, taken=one.seen.record.taken)
            for name, one in found.items()
            if one.done
        }
        return len(self._mine) == len(seen)

    def _settle(self, wait: float) -> None:
        """Wait for what still runs behind the fence; the leases are renewed meanwhile."""
        end = time.monotonic() + wait
        held = {name: replace(one, state=State.HELD) for name, one in self._mine.items()}
        self._mine = held
        while True:
            found = _all(self._each(lambda host, record: keep(host, record, drain=True)))
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

    def _each(self, step: Callable[[Connection, Record], Written]) -> dict[str, _Outcome]:
        """Do one step on the hosts that are ours."""
        mine = dict(self._mine)

        def ours(connection: Connection) -> Written | None:
            record = mine.get(connection.name)
            return None if record is None else step(connection, record)

        found = self._fleet.each(ours)
        return {name: one for name, one in found.items() if one is not None}


_Outcome = Written | UpliftError


class _Failed(Exception):
    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = errors


def _all(found: Mapping[str, T | UpliftError]) -> dict[str, T]:
    """Return what every host said; one that did not say anything ends it for all."""
    errors = {name: str(one) for name, one in found.items() if isinstance(one, UpliftError)}
    if errors:
        raise _Failed(errors)
    return {name: one for name, one in found.items() if not isinstance(one, UpliftError)}


def _steadily(connection: Connection, step: Callable[[], Written]) -> Written:
    try:
        return step()
    except UpliftError:
        # Once more over a new connection: one that broke would be gone for good.
        connection.close()
        connection.connect()
        return step()


def _check(fleet: Fleet) -> None:
    if not set(fleet.connections) - set(fleet.unreachable):
        raise UsageError("no host to lock")
    others = [name for name, one in fleet.connections.items() if not one.in_thread]
    if others:
        raise UsageError(
            f"{listed(others)}: only hosts that are reached by SSH can be locked by a run, "
            "their heartbeat goes on beside it"
        )
