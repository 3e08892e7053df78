"""What must be so on every host before the first of them changes."""

from __future__ import annotations

from collections.abc import Sequence
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


def ready(engine: Engine, hosts: Sequence[str]) -> dict[str, Any]:
    """Look at hosts, and return what each serves.

    Args:
        engine: of the run.
        hosts: names, of those that are reached and were not looked at before.

    Raises:
        Stop: a host cannot be changed, or not be put back as the policy wants; the words name each
            one with its reason.
    """
    words = "looks whether every host can be changed"
    engine.lock.note(words)
    engine.step(words)
    looked, serving = engine.fleet.each(_look), engine.serving()
    problems = [f"{name}: {looked[name]}" for name in hosts if looked[name]]
    problems += [str(serving[name]) for name in hosts if isinstance(serving[name], UpliftError)]
    problems += [] if problems else _looked(engine, hosts)
    if problems:
        raise Stop("not-ready", "\n".join(problems))
    return {name: serving[name] for name in hosts}


def _look(connection: Connection) -> str:
    done = connection.run(_LOOK, str(DISK))
    return "; ".join((done.stdout + done.stderr).strip().splitlines())


def _looked(engine: Engine, hosts: Sequence[str]) -> list[str]:
    """Let pyinfra look, and return what it could not do, or a revert not undo."""
    found = engine.look(hosts, "ready")
    problems = [
        f"{one.name}: {one.text}"
        for one in found
        if one.state in ("refused", "failed", "unreachable")
    ]
    policy = engine.policy
    if problems or policy.on_failure == "hold" or policy.partial_revert:
        return problems
    lasting = {
        one.name: [step.name for step in one.steps if step.changes and not step.reverts]
        for one in found
    }
    return [
        f"{name}: {policy.on_failure} cannot put back {', '.join(steps)}: "
        "--partial-revert says that the rest is enough"
        for name, steps in lasting.items()
        if steps
    ]
