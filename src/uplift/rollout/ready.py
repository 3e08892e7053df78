"""What must be so on every host before the first of them changes."""

from __future__ import annotations

from typing import Any

from uplift.remote.connection import Connection
from uplift.rollout.engine import Engine, Stop
from uplift.spec.errors import UpliftError

DISK = 512 * 1024  # KiB free where records and containers are kept

# $1 KiB that must be free.
_LOOK = r"""
set -u
for folder in /var/lib /etc/uplift /tmp; do
  [ -d "$folder" ] || continue
  free=$(df -Pk "$folder" | awk 'NR == 2 { print $4 }')
  need=$1; [ "$folder" = /var/lib ] || need=1024
  [ "$free" -ge "$need" ] ||
    echo "$folder has $((free / 1024)) MiB free, $((need / 1024)) are needed"
  [ -w "$folder" ] || echo "$folder cannot be written"
done
"""


def ready(engine: Engine) -> dict[str, Any]:
    """Look at every host that is reached, and return what each serves.

    Args:
        engine: of the run.

    Raises:
        Stop: a host cannot be changed; the words name each one with its reason.
    """
    engine.lock.note("looks whether every host can be changed")
    problems = [f"{name}: {found}" for name, found in engine.fleet.each(_look).items() if found]
    serving = engine.serving()
    problems += [
        str(found)
        for name, found in serving.items()
        if isinstance(found, UpliftError) and name not in engine.fleet.unreachable
    ]
    if problems:
        raise Stop("not-ready", "\n".join(problems))
    return {name: found for name, found in serving.items() if not isinstance(found, UpliftError)}


def _look(connection: Connection) -> str:
    done = connection.run(_LOOK, str(DISK))
    return "; ".join((done.stdout + done.stderr).strip().splitlines())
