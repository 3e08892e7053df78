"""A run in a process of its own, which tests stop and kill: locks, heartbeat, pyinfra.

lock_run.py INVENTORY RUN LEASE LOG DEPLOY HOST… prints a JSON line when it has the locks, one for
each event of pyinfra, and one for the outcome.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from uplift.remote.fleet import Fleet
from uplift.remote.inventory import hosts
from uplift.rollout import child
from uplift.rollout.lock import Lock
from uplift.spec.errors import UpliftError


def say(kind: str, **data: Any) -> None:
    print(json.dumps({"kind": kind, **data}), flush=True)


def main(inventory: str, run: str, lease: str, log: str, deploy: str, *names: str) -> int:
    with Fleet(hosts(inventory, names)) as fleet:
        with Lock.take(
            fleet, run=run, owner="anna@there", purpose=deploy, lease=int(lease)
        ) as lock:
            say("locked", token=lock.token, shell=lock.shell)
            outcome = child.run(
                inventory,
                [deploy],
                names,
                log=Path(log),
                shell=lock.shell,
                on_event=lambda event: say("event", event=event.kind, **event.data),
            )
            found = {name: [one.state.value, one.text] for name, one in outcome.hosts.items()}
            if outcome.of(child.State.REFUSED):
                lock.lost.wait(60)
            say("outcome", hosts=found, lost=lock.lost.is_set(), trouble=lock.trouble)
        return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except UpliftError as error:
        say("error", text=str(error), code=int(error.exit_code))
        sys.exit(int(error.exit_code))
