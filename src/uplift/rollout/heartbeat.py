"""Keep the locks of a run: renew them in time, whatever happens to a single host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.rollout.lock_hosts import Written, give_back, keep
from uplift.spec.errors import UpliftError
from uplift.spec.rollout.lock import Record
from uplift.spec.rollout.lock_words import told

Outcome = Written | UpliftError

_MENDED_LIMIT = 5.0  # seconds that a release waits for a connection that is being made anew


class Heartbeat:
    """Renews the leases of a run's locks, three times in the length of one.

    A host that does not answer is tried again over new connections in a thread of its own: nobody
    else's lease waits for it.

    Args:
        fleet: connected; used for nothing else.
        lease: seconds.
    """

    def __init__(self, fleet: Fleet, lease: int) -> None:
        self._fleet = fleet
        self._pace = lease / 3
        self._limit = max(5.0, lease / 4)
        self._broken: set[str] = set()
        self._writing = threading.Lock()
        self._threads: list[_Repeated] = []
        self.records: dict[str, Record] = {}
        """The locks that are the run's."""
        self.lost = threading.Event()
        """Set as soon as a host has said that its lock is another's."""
        self.trouble: dict[str, str] = {}
        """Hosts where the lock was lost, or that did not answer last time."""

    def start(self) -> None:
        """Renew the leases from now on."""
        self._threads = [_Repeated(self._renew, self._pace), _Repeated(self._mend, self._pace)]

    def stop(self) -> None:
        """Renew them no more."""
        for thread in self._threads:
            thread.end()
        if self._threads:
            self._threads[0].join()
            # This one may be at a host that is gone.
            self._threads[1].join(_MENDED_LIMIT)

    def beat(self) -> dict[str, str]:
        """Renew every lease once, in this thread.

        Returns:
            Hosts where the lock was lost or that did not answer, with words.
        """
        self._renew()
        self._mend()
        return dict(self.trouble)

    def note(self, text: str) -> None:
        """Write down how far the run is, soon.

        Args:
            text: a few words.
        """
        with self._writing:
            self.records = {name: replace(one, note=text) for name, one in self.records.items()}
        for thread in self._threads[:1]:
            thread.now()

    def give_back(self) -> dict[str, str]:
        """Give every lock back.

        Returns:
            Hosts that could not be asked to, with words.
        """
        found = self._each(give_back, lambda name: name not in self._broken)
        self._broken |= {name for name, one in found.items() if isinstance(one, UpliftError)}
        again = self._each(_anew(give_back), self._broken.__contains__)
        self.records = {}
        return {name: str(one) for name, one in again.items() if isinstance(one, UpliftError)}

    def each(self, step: Callable[[Connection, Record], Written]) -> dict[str, Outcome]:
        """Do one step on all hosts whose locks are the run's.

        Args:
            step: with the connection and the record of each.
        """
        return self._each(step, lambda name: True)

    def _renew(self) -> None:
        self._judge(self._each(self._keep, lambda name: name not in self._broken))

    def _mend(self) -> None:
        if self._broken:
            self._judge(self._each(_anew(self._keep), self._broken.__contains__))

    def _keep(self, connection: Connection, record: Record) -> Written:
        return keep(connection, record, limit=self._limit)

    def _judge(self, found: Mapping[str, Outcome]) -> None:
        with self._writing:
            for name, one in found.items():
                if isinstance(one, UpliftError):
                    self._broken.add(name)
                    self.trouble[name] = str(one).removeprefix(f"{name}: ")
                    continue
                self._broken.discard(name)
                self.trouble.pop(name, None)
                if not one.done:
                    self.trouble[name] = f"the lock was lost: {told(one.seen)}"
                    # Anew: the other thread may be going through them.
                    self.records = {it: one for it, one in self.records.items() if it != name}
                    self.lost.set()

    def _each(
        self, step: Callable[[Connection, Record], Written], wanted: Callable[[str], bool]
    ) -> dict[str, Outcome]:
        records = {name: one for name, one in self.records.items() if wanted(name)}

        def ours(connection: Connection) -> Written | None:
            record = records.get(connection.name)
            return None if record is None else step(connection, record)

        found = self._fleet.each(ours)
        return {name: one for name, one in found.items() if one is not None}


def _anew(
    step: Callable[[Connection, Record], Written],
) -> Callable[[Connection, Record], Written]:
    """Return a step that makes a new connection first: a broken one would be so for good."""

    def steadily(connection: Connection, record: Record) -> Written:
        connection.close()
        connection.connect()
        return step(connection, record)

    return steadily


class _Repeated(threading.Thread):
    """Call a function again and again, at a pace or when it is told to."""

    def __init__(self, function: Callable[[], None], pace: float) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._function, self._pace = function, pace
        self._over, self._poke = False, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over:
            self._poke.wait(self._pace)
            self._poke.clear()
            if not self._over:
                self._function()

    def now(self) -> None:
        self._poke.set()

    def end(self) -> None:
        self._over = True
        self._poke.set()
