"""A command in the container that serves, on one host."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence

from uplift.apps.reach import SERVING, Place
from uplift.spec.errors import UsageError

_EXEC = rf"""{SERVING}
app=$1 proxied=$2 options=$3; shift 3
serving "$app" "$proxied" || exit 1
[ "$(docker inspect --format '{{{{.State.Running}}}}' "$name" 2>/dev/null)" = true ] ||
  {{ echo "uplift: $name does not run on this host" >&2; exit 1; }}
exec docker exec $options "$name" "$@"
"""


def only(places: Sequence[Place]) -> Place:
    """Return the one host, where there is no choice.

    Args:
        places: hosts with the application.

    Raises:
        UsageError: there are several.
    """
    if len(places) > 1:
        names = ", ".join(place.name for place in places)
        raise UsageError(f"several hosts have it: choose one by --host ({names})")
    return places[0]


def run(place: Place, words: Sequence[str]) -> int:
    """Run a command with this process's input and output, and return its exit code.

    Args:
        place: where.
        words: of the command.
    """
    password = place.connection.password
    # sudo's password comes by standard input, which is then no terminal.
    terminal = sys.stdin.isatty() and sys.stdout.isatty() and not password
    options = "-it" if terminal else "-i"
    script = shlex.join(["sh", "-c", _EXEC, "uplift", *place.words, options, *words])
    command = place.connection.ssh(script)
    if terminal:
        return subprocess.run([command[0], "-t", *command[1:]], check=False).returncode
    if sys.stdin.isatty():
        given: bytes | None = place.connection.stdin(b"")
    else:
        given = place.connection.stdin(sys.stdin.buffer.read()) if password else None
    return subprocess.run(command, input=given, check=False).returncode
