"""Shell text that changes the lock of a host, in one step that nobody else can come between."""

from __future__ import annotations

from uplift.facts.lock import FOLDER, MUTEX, SHOW
from uplift.spec.rollout.lock import FENCE, LOCK, NOW, SHELLS, State

ETC = FENCE.rpartition("/")[0]

# $1 `seen` and $2 the digest of what was read: change it only when it still is so; or
# $1 `mine` and $2 run, $3 token: change it only while it is this run's.
# $4 the record. $5 the line of the fence, empty when the token stays. $6 the shell of the run,
# empty when there is none. $7 `drain`: say what still runs behind the fence.
#
# The order: the shell is there before anybody is told of it; the record, which is replaced whole,
# knows the token before the fence, which a crash may leave empty. The fence is written before
# anybody waits for the commands that run: they hold a lock on it, later ones are refused at once.
WRITE = rf"""
set -eu
umask 077
[ "$(id -u)" = 0 ] || {{ echo "the lock of a host needs root: _sudo = True" >&2; exit 77; }}
command -v flock >/dev/null || {{ echo "flock is missing (util-linux)" >&2; exit 69; }}
{SHOW}
# Who holds the fence: process, token of its run, and unit when it is a job of ours.
running() {{
  find /proc/[0-9]*/fd -lname {FENCE} 2>/dev/null | cut -d / -f 3 | sort -un |
  while read -r pid; do
    unit=$(grep -o 'uplift-[^/]*\.service' "/proc/$pid/cgroup" 2>/dev/null | tail -n 1) || :
    token=$(tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | sed -n 's,^{SHELLS},,p') || :
    echo "busy $pid ${{token:--}} ${{unit:--}}"
  done
}}
install -d -m 0700 {FOLDER}
exec 8>>{MUTEX}
flock -w 10 8 || {{ echo "{MUTEX} has been held for 10 s" >&2; exit 1; }}
is() {{ grep -qxF "$1" {LOCK} 2>/dev/null; }}
case $1 in
  seen) [ "$(digest)" = "$2" ] || set -- moved ;;
  mine) {{ is "run $2" && is "token $3" && ! is "state {State.RELEASED}"; }} || set -- moved ;;
esac
if [ "$1" = moved ]; then echo result moved; show; exit 0; fi
if [ -n "$6" ]; then
  shell={SHELLS}$3
  printf %s "$6" >"$shell.new"; chmod 0755 "$shell.new"; sync "$shell.new"; mv "$shell.new" "$shell"
  # Those of older runs stay for a while: they say why they refuse.
  find "${{shell%/*}}" -maxdepth 1 -name '{SHELLS.rpartition("/")[2]}*' -mtime +7 -delete
fi
now=$(date +%s)
printf '%s\n' "$4" | sed "s/^\([a-z]* \){NOW}\$/\1$now/" >{LOCK}.new
sync {LOCK}.new; mv {LOCK}.new {LOCK}; sync {FOLDER}
if [ -n "$5" ]; then
  # Whoever made it may have kept it for root; what is private is in folders of its own.
  install -d -m 0755 {ETC}
  printf '%s\n' "$5" >{FENCE}; chmod 0644 {FENCE}; sync {FENCE}
fi
echo result ok
if [ "$7" = drain ]; then
  exec 9<{FENCE}
  if flock -x -n 9; then echo drained yes; exec 9<&-; else exec 9<&-; running; fi
fi
show
"""
