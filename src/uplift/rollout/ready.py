"""What must be so on every host before the first of them changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from uplift.remote.connection import Connection
from uplift.rollout.engine import Engine
from uplift.rollout.stop import Stop
from uplift.spec.errors import UpliftError
from uplift.spec.rollout.plan import HostPlan

DISK = 512 * 1024  # KiB free where records and containers are kept

# $1 KiB that must be free. Docker's own folder may be a volume of its own; `docker info` is asked
# only when the daemon runs: the socket unit would start it otherwise. The folders with the largest
# need come first, so that a file system is looked at once.
_LOOK = r"""
set -u
root=
! systemctl is-active --quiet docker.service 2>/dev/null ||
  root=$(timeout 20 docker -H unix:///var/run/docker.sock info --format '{{.DockerRootDir}}' \
    2>/dev/null)
seen=' '
for folder in /var/lib "$root" /etc/uplift /tmp; do
  [ -d "$folder" ] || continue
  [ -w "$folder" ] || echo "$folder cannot be written"
  found=$(df -Pk "$folder" | awk 'NR == 2 { print $4, $6 }')
  free=${found% *} at=${found#* }
  case $seen in *" $at "*) continue ;; esac
  seen="$seen$at "
  need=$1; case $folder in /etc/uplift | /tmp) need=1024 ;; esac
  [ "$free" -ge "$need" ] ||
    echo "$folder has $((free / 1024)) MiB free, $((need / 1024)) are needed"
done
"""


def ready(engine: Engine, hosts: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Look at hosts.

    Args:
        engine: of the run.
        hosts: names, of those that are reached and were not looked at before.

    Returns:
        What each serves; and by host, which operations would change something that a revert leaves,
        with the reason.

    Raises:
        Stop: a host cannot be changed, or not be put back as the policy wants; the words name each
            one with its reason.
    """
    words = "looks whether every host can be changed"
    engine.lock.note(words)
    engine.step(words)
    looked, serving = engine.fleet.each(_look), engine.serving()
    problems = [f"{name}: {looked[name]}" for name in hosts if looked[name]]
    unread = [str(serving[name]) for name in hosts if isinstance(serving[name], UpliftError)]
    problems += dict.fromkeys(unread)
    lasting: dict[str, dict[str, str]] = {}
    if not problems:
        problems, lasting = _looked(engine, hosts)
    if problems:
        raise Stop("not-ready", "\n".join(problems))
    return {name: serving[name] for name in hosts}, lasting


def _look(connection: Connection) -> str:
    done = connection.run(_LOOK, str(DISK))
    return "; ".join((done.stdout + done.stderr).strip().splitlines())


def _looked(engine: Engine, hosts: Sequence[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Let pyinfra look; return why it cannot begin, and what a revert would not undo."""
    found = engine.look(hosts, "ready")
    problems = [
        f"{one.name}: {one.text}"
        for one in found
        if one.state in ("refused", "failed", "unreachable")
    ]
    lasting = {one.name: steps for one in found if (steps := _lasting(one))}
    policy = engine.policy
    if problems or policy.on_failure == "hold" or policy.partial_revert:
        return problems, lasting
    refused = [
        f"{name}: {policy.on_failure} cannot put back {_words(steps)}: "
        "--partial-revert says that the rest is enough, --on-failure hold that none is wanted"
        for name, steps in lasting.items()
    ]
    return refused, lasting


def _lasting(host: HostPlan) -> dict[str, str]:
    steps = [step for step in host.steps if step.changes and not step.reverts]
    return {step.name: step.way_back.removeprefix("none: ") for step in steps}


def _words(steps: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({why})" if why else name for name, why in steps.items())
