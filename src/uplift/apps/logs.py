"""What the container that serves has printed, on all hosts of an application at once."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from uplift.apps.reach import SERVING, Place

Show = Callable[[str, str], None]

GONE = 255
"""Exit code of OpenSSH when its connection could not be made, or ended by itself."""

# Followed, it goes on with the next container after a switch, and waits where none serves for a
# while. It ends with its input: a connection that is gone takes what runs here along.
_LOGS = rf"""{SERVING}
app=$1 proxied=$2 follow=$3 since=$4 tail=$5
serving "$app" "$proxied" || exit 1
show() {{ docker logs "$@" "$name" 2>&1; }}
[ -n "$follow" ] || {{ show ${{since:+--since="$since"}} --tail "$tail"; exit; }}
run() {{ docker inspect --format '{{{{.Id}}}} {{{{.State.StartedAt}}}}' "$name"; }}
run >/dev/null || exit 1
go_on() {{
  last= told=
  while :; do
    if serving "$app" "$proxied" 2>/dev/null && now=$(run 2>/dev/null); then
      told=
      if [ -z "$last" ]; then show -f ${{since:+--since="$since"}} --tail "$tail"
      elif [ "$now" = "$last" ]; then show -f --since "$until"
      elif [ "${{now% *}}" = "${{last% *}}" ]; then show -f --since "${{now#* }}"
      else echo "uplift: now $name"; show -f; fi
      last=$now until=$(date +%s.%N)
    elif [ -z "$told" ]; then
      told=yes; echo "uplift: no container of $app serves here now, waiting for one"
    fi
    sleep 1
  done
}}
go_on & mine=$!
cat >/dev/null
# Stopped first: it would start the next command when this one is gone.
kill -STOP "$mine"; pkill -P "$mine"; kill -KILL "$mine"; exit 0
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
    lock, over = threading.Lock(), threading.Event()

    def read(place: Place, child: subprocess.Popen[bytes]) -> None:
        for line in child.stdout or ():
            with lock:
                show(place.name, line.decode(errors="replace").rstrip("\n"))
        if wanted.follow and child.wait() and not over.is_set():
            with lock:
                show(place.name, f"uplift: nothing more from here: {_why(child.returncode)}")

    threads = [threading.Thread(target=read, args=one, daemon=True) for one in children]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {place.name: child.wait() for place, child in children}
    finally:
        over.set()
        for _, child in children:
            _end(child)


def _why(code: int) -> str:
    return "the connection is gone" if code == GONE else f"exit code {code}"


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
