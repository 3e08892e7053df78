"""Run simulated hosts one way, in this process, and print what it cost: rollout_one.py WAY.

Started by `rollout.py`, in a folder with `inventory.py` and `deploy.py`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

LIMIT = 900  # seconds for one run


def plain() -> None:
    """Run pyinfra as a person would."""
    words = [sys.executable, "-m", "pyinfra", "inventory.py", "deploy.py", "-y"]
    with Path("log").open("wb") as log:
        subprocess.run(words, stdout=log, stderr=log, timeout=LIMIT, check=True)


def waves() -> None:
    """Run the same in waves, with the journal's records and the live table of `uplift rollout`."""
    from rich.console import Console

    from uplift.cli import watching
    from uplift.remote import inventory
    from uplift.rollout import child
    from uplift.rollout.journal import Journal
    from uplift.spec.rollout.waves import divided

    watching.progress = Console(file=Path("table").open("w"), force_terminal=True)  # noqa: SIM115
    found = divided(inventory.hosts("inventory.py"), ["1", "25%", "100%"])
    request = {"waves": found, "inventory": "inventory.py", "deploys": ["deploy.py"], "actor": "b"}
    with (
        watching.LiveTable() as table,
        Journal.begin(request, table.tell, Path("runs")) as journal,
    ):
        for number, names in enumerate(found, start=1):
            journal.write("wave", wave=number, hosts=names)
            journal.write_each("intent", names)
            outcome = child.run(
                "inventory.py",
                ["deploy.py"],
                names,
                log=Path(f"wave-{number}.log"),
                on_event=lambda event: table.tell({"kind": "event", "event": event}),
            )
            if not outcome.ok:
                raise SystemExit(outcome.text)
            for name in names:
                changed = list(outcome.hosts[name].changed)
                journal.write("done", host=name, changed=changed)
            journal.write_each("verified", names)
            journal.write_each("committed", names)


WAYS = {"plain pyinfra": plain, "waves": waves}


def main() -> None:
    """Run, and print seconds, CPU seconds and mebibytes as JSON."""
    begun = time.monotonic()
    WAYS[sys.argv[1]]()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    if sys.argv[1] == "plain pyinfra":
        used.pop()  # this process is no part of it
    # The largest child and its parent are there at the same time.
    memory = sum(it.ru_maxrss for it in used) / 1024
    cost = {
        "seconds": round(time.monotonic() - begun, 2),
        "cpu": round(sum(it.ru_utime + it.ru_stime for it in used), 2),
        "memory_mib": round(memory),
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
