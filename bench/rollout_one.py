"""Run simulated hosts one way, in this process, and print what it cost: rollout_one.py WAY.

Started by `rollout.py`, in a folder with `inventory.py` and `deploy.py`.
"""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uplift.remote.connection import Result

LIMIT = 900  # seconds for one run
DELAY = 0.05  # seconds that a simulated host takes for a command, as those of pyinfra's do
BEAT = 20.0  # seconds between two signs of life of the locks, as for a lease of one minute


def plain() -> dict[str, Any]:
    """Run pyinfra as a person would."""
    words = [sys.executable, "-m", "pyinfra", "inventory.py", "deploy.py", "-y"]
    with Path("log").open("wb") as log:
        subprocess.run(words, stdout=log, stderr=log, timeout=LIMIT, check=True)
    return {}


class Gaps(io.StringIO):
    """Note the longest time between two things, and what came before it."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.worst, self.after = 0, 0.0, ""
        self._before, self._what = time.monotonic(), "the start"

    def came(self, what: str) -> None:
        """Note that something has happened."""
        now = time.monotonic()
        if now - self._before > self.worst:
            self.worst, self.after = now - self._before, self._what
        self._before, self._what, self.count = now, what, self.count + 1

    def write(self, text: str) -> int:
        """Take what a terminal would show."""
        self.came("a refresh")
        return len(text)


class Simulated:
    """A host that takes its time for each command and does nothing; nothing runs on it."""

    in_thread = True

    def __init__(self, host: Any, **options: Any) -> None:
        self.name = host.name

    def connect(self) -> None:
        """Take as long as for a command."""
        time.sleep(DELAY)

    def close(self) -> None:
        """Leave nothing behind."""

    def run(self, script: str, *words: Any, **options: Any) -> Result:
        """Take some time."""
        from uplift.facts.status import SETTLED
        from uplift.remote.connection import Result

        time.sleep(DELAY)
        said = "docker no\nend\n" if script is SETTLED else ""
        return Result(0, said, "", time.time(), time.time())


class Standing:
    """Locks that nobody contests, and that are renewed in time."""

    token, shell = 1, "sh"

    def __init__(self, fleet: Any) -> None:
        self.lost, self.trouble, self._over = threading.Event(), {}, threading.Event()
        self._fleet = fleet
        self._thread = threading.Thread(target=self._beat, daemon=True)

    @classmethod
    def take(cls, fleet: Any, **options: Any) -> Self:
        """Write to each host, as taking and fencing does."""
        for _ in range(3):
            fleet.each(lambda host: host.run("true"))
        return cls(fleet)

    def start(self) -> None:
        """Renew them from now on."""
        self._thread.start()

    def note(self, words: str) -> None:
        """Write down how far the run is, with the next sign of life."""

    def release(self) -> Mapping[str, str]:
        """Give them back."""
        self._over.set()
        self._fleet.each(lambda host: host.run("true"))
        return {}

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            self._fleet.each(lambda host: host.run("true"))


def waves() -> dict[str, Any]:
    """Roll out in waves as `uplift rollout` does, where SSH alone is simulated."""
    from rich.console import Console

    from uplift.cli import watching
    from uplift.remote import fleet, inventory
    from uplift.rollout import access, run
    from uplift.spec.errors import Exit
    from uplift.spec.rollout import Policy

    fleet.Connection = Simulated  # type: ignore[assignment,misc]
    access.Lock = Standing  # type: ignore[assignment,misc]
    terminal, told = Gaps(), Gaps()
    watching.progress = Console(file=terminal, force_terminal=True)
    policy = Policy(waves=("1", "25%", "100%"))
    hosts = tuple(inventory.hosts("inventory.py"))
    with _shown(watching.LiveTable(), told) as tell:
        result = run.begin(run.Request("inventory.py", hosts, ("deploy.py",), policy), tell)
    if result.exit_code is not Exit.DONE:
        raise SystemExit(f"{result.run.outcome}: {result.stopped}")
    return {
        "told": told.count,
        "silent": round(told.worst, 2),
        "silent_after": told.after,
        "table_still": round(terminal.worst, 2),
    }


@contextmanager
def _shown(table: Any, told: Gaps) -> Iterator[Any]:
    def tell(record: Mapping[str, Any]) -> None:
        event = record.get("event")
        told.came(str(event.kind if event else record.get("words") or record["kind"]))
        table.tell(record)

    with table:
        yield tell


WAYS = {"plain pyinfra": plain, "waves": waves}


def main() -> None:
    """Run, and print seconds, CPU seconds and mebibytes as JSON."""
    begun = time.monotonic()
    found = WAYS[sys.argv[1]]()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    if sys.argv[1] == "plain pyinfra":
        used.pop()  # this process is no part of it
    # The largest child and its parent are there at the same time.
    memory = sum(it.ru_maxrss for it in used) / 1024
    cost = {
        "seconds": round(time.monotonic() - begun, 2),
        "cpu": round(sum(it.ru_utime + it.ru_stime for it in used), 2),
        "memory_mib": round(memory),
        **found,
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
