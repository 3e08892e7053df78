"""The shell of a run: it lets a command pass only while no newer run has the host.

pyinfra is told to use it for every command (``--shell-executable``), facts and stock operations
included; sudo comes before it, so that a command of root passes it as well.
"""

from __future__ import annotations

from uplift.spec.rollout.lock import FENCE, REFUSED, SHELLS

# The lock is held until the command has ended, by this process alone: what the command leaves
# running must not inherit it, a daemon would keep every later run out.
_TEXT = """#!/bin/sh
# uplift-sh-TOKEN [SHELL] -c COMMAND
# Written by uplift for run @run@: its commands run here, unless a newer run has the host.
no() { echo "@refused@$1" >&2; exit 75; }
mine=@token@
[ -r @fence@ ] || no "@fence@ is missing, or $(id -un) cannot read it"
exec 9<@fence@
flock -s -w 60 9 || no "no lock on @fence@ within 60 s"
read -r token whose <&9 || :
case $token in '' | *[!0-9]*) no "@fence@ holds no token" ;; esac
[ "$mine" -ge "$token" ] ||
  no "this is a command of run @run@ (token $mine), and $whose (token $token)"
export UPLIFT_FENCE_TOKEN="$mine"
shell=@shell@
if [ "$1" != -c ]; then shell=$1; shift; fi
"$shell" "$@" 9<&-
exit $?
"""


def shell(token: int) -> str:
    """Return the program of a run's commands, for pyinfra's ``--shell-executable``.

    Args:
        token: of the run.
    """
    return f"{SHELLS}{token}"


def text(token: int, run: str, inner: str = "sh") -> str:
    """Return that program for a host.

    Args:
        token: of the run.
        run: its id.
        inner: shell that the inventory names for the host.
    """
    known = {
        "@run@": run,
        "@token@": str(token),
        "@fence@": FENCE,
        "@refused@": REFUSED,
        "@shell@": inner,
    }
    result = _TEXT
    for name, value in known.items():
        result = result.replace(name, value)
    return result
