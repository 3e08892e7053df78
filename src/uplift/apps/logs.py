"""What the container that serves has printed, on all hosts of an application at once."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from uplift.apps.reach import SERVING, Place

Show = Callable[[str, str], None]

# Followed, it goes on with the next container after a switch. It ends with its input: a connection
# that is gone takes what runs here along.
_LOGS = rf"""{SERVING}
app=$1 proxied=$2 follow=$3 since=$4 tail=$5
serving "$app" "$proxied" || exit 1
show() {{ docker logs "$@" "$name" 2>&1; }}
[ -n "$follow" ] || {{ show ${{since:+--since="$since"}} --tail "$tail"; exit; }}
go_on() {{
  last=
  while serving "$app" "$proxied"; do
    id=$(docker inspect --format '{{{{.Id}}}}' "$name") || id=
    if [ -z "$last" ]; then show -f ${{since:+--since="$since"}} --tail "$tail"
    elif [ "$id" = "$last" ]; then show -f --since "$began"
    else echo "uplift: now $name"; show -f; fi
    last=$id; began=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    sleep 1
  done
}}
go_on & mine=$!
cat >/dev/null
kill "$mine"; pkill -P "$mine"; exit 0
"""


@dataclass(frozen=True)
class Wanted:
    """Which lines.

    Args:
        follow: go on until it is interrupted.
        since: a time, or how long ago, as Docker takes it.
        tail: how many of the last lines; ``all`` for all.
    """

    follow: bool = False
    since: str = ""
    tail: str = "all"


def logs(places: Sequence[Place], wanted: Wanted, show: Show) -> dict[str, int]:
    """Show lines as they come.

    Args:
        places: hosts with the application.
        wanted: which lines.
        show: is called with the host and a line.

    Returns:
        The exit code of each host.
    """
    children = [(place, _start(place, wanted)) for place in places]
    lock = threading.Lock()

    def read(place: Place, child: subprocess.Popen[bytes]) -> None:
        for line in child.stdout or ():
            with lock:
                show(place.name, line.decode(errors="replace").rstrip("\n"))

    threads = [threading.Thread(target=read, args=one, daemon=True) for one in children]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {place.name: child.wait() for place, child in children}
    finally:
        for _, child in children:
            _end(child)


def _start(place: Place, wanted: Wanted) -> subprocess.Popen[bytes]:
    words = [*place.words, "yes" if wanted.follow else "", wanted.since, wanted.tail]
    command = shlex.join(["sh", "-c", _LOGS, "uplift", *words])
    child = subprocess.Popen(
        place.connection.ssh(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdin is not None
    # Left open: when it is closed, what follows the log there ends.
    child.stdin.write(place.connection.stdin(b""))
    child.stdin.flush()
    return child


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.stdin:
        child.stdin.close()
    try:
        child.wait(3)
    except subprocess.TimeoutExpired:
        child.kill()
