"""A change of several steps that runs to its end on the host by itself.

The script becomes a systemd unit of its own: when the connection drops, it goes on. Asked again
with the same id, the call attaches to the job that runs, or returns the result that nobody has
fetched yet. A fact of the same subject starts with ``facts.job.settled(subject)``.

A job of a run passes the fence of its host once more when it begins, and holds it until it ends:
a newer run waits for it, though the command that started it may be gone.
"""

from __future__ import annotations

import hashlib
import re

from pyinfra.api.command import StringCommand

from uplift.operations import script as scripts
from uplift.spec.rollout.lock import FENCE, REFUSED

DIED = 70
"""Exit code when a job ended without a result: killed, or the host went down."""

NO_SYSTEMD = 69
"""Exit code on hosts without systemd."""

_ID = re.compile(r"[a-z][a-z0-9]*-[a-z0-9][a-z0-9.-]*")

# Runs inside the unit. The script is read from a file that is removed before it runs: after a
# KILL nobody would do it. It is a child in the background, so that a TERM is seen at once; the
# result appears by rename, so that it is there whole or not at all. $2 is the token of its run.
_INSIDE = r"""
dir=$1; exec >"$dir/log" 2>&1 </dev/null 3<"$dir/script"
rm "$dir/script"
export LC_ALL=C HOME=/root
trap 'echo "uplift: the job was stopped: time limit, or by hand"; exit 143' TERM
trap 'echo "$?" >"$dir/rc.new"; sync "$dir/rc.new"; mv "$dir/rc.new" "$dir/rc"' EXIT
if [ -r @fence@ ]; then
  exec 9<@fence@
  flock -s -w 60 9 || { echo "@refused@no lock on @fence@ within 60 s"; exit 75; }
  read -r token whose <&9 || :
  [ "${2:-${token:-0}}" -ge "${token:-0}" ] || {
    echo "@refused@this job is of the run with token $2, and $whose (token $token)"; exit 75; }
fi
sh /dev/fd/3 9<&- & exec 3<&-
wait "$!"
""".replace("@fence@", FENCE).replace("@refused@", REFUSED)

# Put before the script: what it starts must not inherit the open file, perhaps as another user.
# The shell itself reads on from a file descriptor of its own.
_FIRST = "exec 3<&-; "

# $1 id, $2 time limit in seconds, $3 the text inside, $4 the one before the script, $5 the size of
# both together; the script comes by stdin.
_START = r"""
set -eu
umask 077
base=/var/lib/uplift/jobs; dir=$base/$1; unit=uplift-$1
[ -d /run/systemd/system ] || { echo "uplift: this host has no systemd to run jobs" >&2; exit 69; }
install -d -m 0700 "${base%/*}" "$base"
exec 9>"$base/.lock"; flock -w 60 9 || { echo "uplift: $base/.lock is held" >&2; exit 1; }
runs() { systemctl is-active --quiet "$unit"; }
if ! runs; then
  find "$base" -mindepth 1 -maxdepth 1 -type d -mtime +7 -exec rm -rf {} +
  # Of a job that a crash of the host kept from starting.
  find "$base" -mindepth 2 -maxdepth 2 -name script -mmin +60 -delete
  # A result that was fetched, or that is old, answers no new question.
  if [ -e "$dir/fetched" ] || [ -n "$(find "$dir/log" -mmin +60 2>/dev/null)" ]; then
    rm -rf "$dir"
  fi
  if [ ! -e "$dir/log" ]; then
    rm -rf "$dir"; mkdir "$dir"; trap 'rm -rf "$dir"' EXIT
    { printf %s "$4"; cat; } >"$dir/script"
    # A connection that is cut looks like the script's end.
    [ "$(wc -c <"$dir/script")" -ge "$5" ] || { echo "uplift: half a script came" >&2; exit 74; }
    systemd-run --quiet --collect --unit="$unit" --description="uplift job $1" \
      --property=Type=exec --property=KillMode=mixed --property=TimeoutStopSec=10 \
      --property=RuntimeMaxSec="$2" sh -c "$3" "$unit" "$dir" \
      "${UPLIFT_FENCE_TOKEN:-}" </dev/null 9>&-
    trap - EXIT
  fi
fi
cat >/dev/null
flock -u 9
# What the job has said since this was called last: a step of minutes is seen to live. Nobody reads
# it after the connection was cut: then writing fails, the job goes on, and its result is kept.
shown=0
show() {
  [ -e "$dir/log" ] || return 0
  size=$(wc -c <"$dir/log")
  [ "$size" -gt "$shown" ] || return 0
  tail -c "+$((shown + 1))" "$dir/log" | head -c "$((size - shown))" || exit 74
  shown=$size
}
end=$(($(date +%s) + $2 + 30))
while [ ! -e "$dir/rc" ] && { runs || { sleep 1; [ -e "$dir/rc" ]; }; }; do
  [ "$(date +%s)" -lt "$end" ] || { echo "uplift: job $1 is still running" >&2; exit 75; }
  show
  sleep 0.2
done
rc=70
[ ! -e "$dir/rc" ] || rc=$(cat "$dir/rc")
show
if [ -e "$dir/rc" ]; then echo "uplift: job $1: exit code $rc" || exit 74
else echo "uplift: job $1 ended without a result (killed, or the host went down)" || exit 74; fi
: >"$dir/fetched"
exit "$rc"
"""


def identity(subject: str, *parts: str | bytes) -> str:
    """Return an id for a job: the same change to the same state has the same one.

    Args:
        subject: what is changed, one word, as ``docker``.
        parts: the script, and what was seen before (never only what is wanted: the same repair
            of the same drift a day later is another job).
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"{subject}-{digest.hexdigest()[:16]}"


def start(id: str, script: str, *, limit: int = 900, followed: bool = False) -> StringCommand:
    """Return a command that runs a script as a job and waits for its result.

    The script is POSIX sh, runs as root with LC_ALL=C and without input, and travels by stdin
    into a 0600 file that is removed before the script runs: it may hold secrets. Its output comes
    as it is printed, and a last line; its exit code is the command's. Killed: 70.

    Args:
        id: as made by ``identity``.
        script: shell text.
        limit: seconds after which the job is stopped (143).
        followed: people see its output as it comes, however little they asked pyinfra to show.
    """
    if not _ID.fullmatch(id):
        msg = f"a job's id is subject-word in small letters and digits; found {id!r}"
        raise ValueError(msg)
    size = len(f"{_FIRST}{script}".encode())
    words = (id, str(limit), _INSIDE, _FIRST, str(size))
    how = scripts.follow if followed else scripts.run
    return how(_START, *words, stdin=script, timeout=limit + 120)
