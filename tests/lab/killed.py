"""`uplift` in a process that kills itself: killed.py MOMENT WHAT WORDS…

MOMENT is ``before`` or ``after`` records of the journal are on the disk (WHAT: their kind), or when
``half`` of them is; or ``in`` an event of pyinfra (WHAT: its kind, with ``+3`` that many seconds
later). After ``in-all`` pyinfra's process is dead as well. ``lock``: as soon as a first host
has a lock (WHAT: its state), while the others are being written to.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any, NoReturn

from uplift.cli.main import main
from uplift.cli.watching import JsonLines
from uplift.remote.connection import Connection
from uplift.rollout import lock_hosts
from uplift.rollout.journal import Journal
from uplift.spec.rollout.event import Event, Kind

_put, _tell, _lock = Journal._put, JsonLines.tell, lock_hosts._write
_child = 0


def die(*others: int) -> NoReturn:
    for process in (*others, os.getpid()):
        os.kill(process, signal.SIGKILL)
    raise AssertionError("still alive")


def at_records(moment: str, what: str) -> None:
    def put(self: Journal, text: bytes) -> None:
        here = what in {json.loads(line)["kind"] for line in text.splitlines()}
        if here and moment == "before":
            die()
        if here and moment == "half":
            self._file.write(text[: len(text) // 2])
            die()
        _put(self, text)
        if here:
            die()

    Journal._put = put  # type: ignore[method-assign]


def at_events(moment: str, what: str) -> None:
    kind, _, later = what.partition("+")

    def tell(self: JsonLines, record: Mapping[str, Any]) -> None:
        global _child
        _tell(self, record)
        event = record.get("event")
        if isinstance(event, Event):
            _child = event.data["pid"] if event.kind == Kind.BEGUN else _child
            if event.kind == kind:
                others = [_child] if moment == "in-all" else []
                threading.Timer(float(later or 0), die, others).start()

    JsonLines.tell = tell  # type: ignore[method-assign]


def at_locks(moment: str, what: str) -> None:
    def write(connection: Connection, *words: str, **options: Any) -> lock_hosts.Written:
        found = _lock(connection, *words, **options)
        if found.done and found.seen.record.state == what:
            die()
        return found

    lock_hosts._write = write


MOMENTS = {"in": at_events, "in-all": at_events, "lock": at_locks}


if __name__ == "__main__":
    moment, what, *words = sys.argv[1:]
    MOMENTS.get(moment, at_records)(moment, what)
    sys.argv = ["uplift", *words]
    main()
