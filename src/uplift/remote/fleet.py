"""Many hosts at once: connections held open, and one step on all of them in parallel."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self, TypeVar

import gevent  # type: ignore[import-untyped]

from uplift.remote.connection import CONNECT_LIMIT, Connection
from uplift.remote.inventory import InventoryHost
from uplift.spec.errors import UpliftError

T = TypeVar("T")

# A thread mostly waits: this many logins at once are also kind to a bastion's MaxStartups.
PARALLEL = 32


class Fleet:
    """The hosts of an inventory, each connected once and kept until the end.

    ``with Fleet(hosts) as fleet:`` connects; hosts that could not be reached are in
    ``unreachable``, never silently left out.

    Args:
        hosts: as :func:`uplift.remote.inventory.hosts` gives them.
        connect_limit: seconds for each of reaching, greeting and logging in.
        parallel: hosts served at the same time.
    """

    def __init__(
        self,
        hosts: Iterable[InventoryHost],
        *,
        connect_limit: float = CONNECT_LIMIT,
        parallel: int = PARALLEL,
    ) -> None:
        self._parallel = parallel
        self.connections: dict[str, Connection] = {}
        self.unreachable: dict[str, UpliftError] = {}
        for host in hosts:
            try:
                self.connections[host.name] = Connection(host, connect_limit=connect_limit)
            except UpliftError as error:
                self.unreachable[host.name] = error

    def __enter__(self) -> Self:
        outcomes = self._on(self.connections.values(), lambda connection: connection.connect())
        for name, outcome in outcomes.items():
            if isinstance(outcome, UpliftError):
                self.unreachable[name] = outcome
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Those that never came up hold a socket or a thread of paramiko as well.
        self._on(self.connections.values(), lambda connection: connection.close())

    def each(self, step: Callable[[Connection], T]) -> Mapping[str, T | UpliftError]:
        """Do one step on every host that is connected, in parallel.

        Args:
            step: is called once a host; its time limits are its own.

        Returns:
            What the step returned, or its error, by host; unreachable hosts are not in it.
        """
        reached = [c for name, c in self.connections.items() if name not in self.unreachable]
        return self._on(reached, step)

    def _on(
        self, connections: Iterable[Connection], step: Callable[[Connection], T]
    ) -> dict[str, T | UpliftError]:
        work = list(connections)
        outcomes: dict[str, T | UpliftError | BaseException] = {}
        todo: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        for connection in work:
            if connection.in_thread:
                todo.put(connection)
        threads = self._start(todo, step, outcomes)
        for connection in work:
            if not connection.in_thread:
                outcomes[connection.name] = _attempt(step, connection)
        for thread in threads:
            thread.join()
        return {c.name: _expected(outcomes[c.name]) for c in work}

    def _start(
        self,
        todo: queue.SimpleQueue[Connection],
        step: Callable[[Connection], T],
        outcomes: dict[str, T | UpliftError | BaseException],
    ) -> list[threading.Thread]:
        def serve() -> None:
            try:
                while True:
                    connection = todo.get_nowait()
                    outcomes[connection.name] = _attempt(step, connection)
            except queue.Empty:
                # pyinfra reads output through gevent, which made an event loop in this thread.
                gevent.get_hub().destroy()

        # Daemons: Ctrl-C must not wait for hosts that do not answer.
        count = min(self._parallel, todo.qsize())
        threads = [threading.Thread(target=serve, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        return threads


def _attempt(step: Callable[[Connection], T], connection: Connection) -> T | BaseException:
    try:
        return step(connection)
    except BaseException as error:  # handed to the caller, who must not lose the other hosts
        return error


def _expected(outcome: T | UpliftError | BaseException) -> T | UpliftError:
    """Raise what is a defect of ours; a host's trouble is a result."""
    if isinstance(outcome, BaseException) and not isinstance(outcome, UpliftError):
        raise outcome
    return outcome
