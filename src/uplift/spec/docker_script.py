"""The script that brings a host's Docker Engine to its plan."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex

from uplift.spec.docker_daemon import DAEMON_JSON
from uplift.spec.docker_plan import Plan
from uplift.spec.docker_state import LOADED, RECORD, DockerState

# Every function is one step; those that the plan needs are called below it.
_STEPS = r"""
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
file=@file@; before=/var/lib/uplift/docker-daemon.json.before
install -d -m 0700 /var/lib/uplift
say() { printf 'uplift: %s\n' "$*"; }
fail() { say "$*"; exit 1; }

# Files that are not written to their end: of this run when it fails, of one before that was killed.
sweep() {
  rm -f /etc/docker/.*.uplift-?????????? /etc/docker/certs.d/*/.*.uplift-?????????? \
    /var/lib/uplift/.docker*.uplift-??????????
}
trap sweep EXIT
sweep

apt() {
  apt-get -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"
}
install() {
  say "installing $*"
  # Containers do not start where the kernel has AppArmor and its parser is missing.
  if [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ]; then
    set -- "$@" apparmor
  fi
  for package in "$@"; do
    apt-cache show "$package" >/dev/null 2>&1 || { apt update; break; }
  done
  # Lists that are too old name files that are gone: fetch them, and try once more.
  apt install --no-install-recommends --no-remove "$@" && return
  apt update
  apt install --no-install-recommends --no-remove "$@"
}

# Make an empty file beside the one that it will replace: $1 path.
beside() { mktemp "${1%/*}/.${1##*/}.uplift-XXXXXXXXXX"; }
# Write a file whole: $1 path, $2 mode; its contents by stdin.
put() {
  new=$(beside "$1")
  cat >"$new"; chmod "${2:-0644}" "$new"; chown 0:0 "$new"; sync "$new"; mv -f "$new" "$1"
}
trust() {
  say "CA of $1"
  mkdir -p -m 755 "/etc/docker/certs.d/$1"
  printf %s "$2" | base64 -d | put "/etc/docker/certs.d/$1/ca.crt"
}
distrust() {
  say "CA of $1 removed"
  rm -f "/etc/docker/certs.d/$1/ca.crt"
  rmdir "/etc/docker/certs.d/$1" 2>/dev/null || say "other files of $1 stay"
}
sum() { [ ! -e "$file" ] || sha256sum <"$file" | cut -d ' ' -f 1; }

# The mode of the file: it may hold a proxy's password, so one that is closed to others stays so.
mode() {
  have=$(stat -c %a "$file" 2>/dev/null) || have=644
  printf '0%o' "$((0$have & 0644))"
}

# $1 contents, $2 hash of the file that the change was made for
configure() {
  mkdir -p -m 755 /etc/docker
  [ "$(sum)" = "$2" ] || fail "$file was changed in the meantime: run again"
  new=$(beside "$file")
  printf %s "$1" | base64 -d >"$new"; chmod "$(mode)" "$new"; chown 0:0 "$new"; sync "$new"
  if dockerd --help | grep -q -e '--validate'; then
    dockerd --validate --config-file "$new" >"$before.log" 2>&1 || {
      cat "$before.log"; fail "dockerd refuses this configuration; $file was left as it is"; }
  fi
  rm -f "$before"; [ ! -e "$file" ] || cp -p "$file" "$before"
  mv -f "$new" "$file"
  say "$file written"
}
right_mode() { chmod "$(mode)" "$file"; chown 0:0 "$file"; }

ask() { timeout 20 docker -H unix:///var/run/docker.sock "$@" 2>/dev/null; }
# Try a question for half a minute: $1 the answer that is awaited.
await() {
  answer=$1; shift; tries=0
  while [ "$(ask "$@" | tail -n 1)" != "$answer" ]; do
    tries=$((tries + 1)); [ "$tries" -lt 100 ] || return 1
    sleep 0.3
  done
}
is_up() { await linux version --format '{{.Server.Os}}'; }
troubles() { journalctl -u docker --no-pager -o cat -n 8 | grep -v '^$' || :; }
# Put the file back that the daemon could run with: $1 the step that failed.
back() {
  troubles
  [ -n "@config@" ] || return 0
  if [ "$1" = restart ] && [ -n "@fallback@" ]; then
    printf %s "@fallback@" | base64 -d | put "$file" "$(mode)"
  elif [ -e "$before" ]; then mv -f "$before" "$file"
  else rm -f "$file"; fi
}
reload() {
  say "reloading the daemon"
  since=$(date +%s.%N)
  systemctl reload docker ||
    { back reload; fail "systemctl reload docker failed; $file was put back"; }
  # The signal is answered at once; that the daemon took the file over is an event of its own.
  tries=0
  until [ -n "$(ask events --since "$since" --until "$(date +%s.%N)" \
    --filter type=daemon --filter event=reload --format reload)" ]
  do
    tries=$((tries + 1)); sleep 0.3
    [ "$tries" -lt 100 ] ||
      { back reload; fail "the daemon did not take $file over; it was put back"; }
  done
  await @live@ info --format '{{.LiveRestoreEnabled}}' ||
    { back reload; fail "live-restore is not @live@ after the reload; $file was put back"; }
}
start() {
  # Without this, a few starts in a minute are the last ones.
  systemctl reset-failed docker.service docker.socket 2>/dev/null || :
  systemctl "$1" docker && is_up && return
  back "$1"
  [ -z "@config@" ] || {
    systemctl reset-failed docker.service 2>/dev/null || :
    systemctl "$1" docker && is_up || fail "the daemon did not $1, nor with $file put back"
  }
  fail "the daemon did not $1: see above@undone@"
}
restart() {
  # Containers outlive the restart only when live-restore holds before it.
  if [ @live@ = true ] && systemctl is-active --quiet docker; then reload; fi
  say "restarting the daemon"
  start restart
}
remember() {
  # A few words for the next run; the daemon has read exactly this.
  printf '%s %s %s\n' "$(systemctl show docker.service -p InvocationID --value)" \
    "$(base64 -w 0 "$file")" "$1" | put @loaded@ 0600
  [ -z "$2" ] || printf %s "$2" | base64 -d | put @record@ 0600
  rm -f "$before" "$before.log"
}
"""


def render(plan: Plan, state: DockerState, *, live_restore: bool) -> str:
    """Return the shell text for a plan; it runs as one job.

    Args:
        plan: what has to be done.
        state: what the plan was made for.
        live_restore: what the configuration will say.
    """
    values = {
        "file": DAEMON_JSON,
        "loaded": LOADED,
        "record": RECORD,
        "live": "true" if live_restore else "false",
        "config": "new" if plan.config is not None else "",
        "fallback": _encoded(plan.fallback) if plan.fallback else "",
        "undone": _undone(plan),
    }
    text = _STEPS
    for word, value in values.items():
        text = text.replace(f"@{word}@", value)
    return text + "".join(f"{line}\n" for line in _calls(plan, state))


def _undone(plan: Plan) -> str:
    if plan.config is None:
        return ""
    words = " with live-restore, so that containers live on" if plan.fallback else ""
    return f"; {DAEMON_JSON} was put back{words}"


def _calls(plan: Plan, state: DockerState) -> list[str]:
    calls = [shlex.join(("say", reason)) for reason in plan.why]
    if plan.install:
        calls.append(shlex.join(("install", *plan.install)))
    calls += [f"trust {shlex.quote(name)} {_encoded(pem)}" for name, pem in plan.certs.items()]
    calls += [f"distrust {shlex.quote(name)}" for name in plan.drop_certs]
    if plan.config is not None:
        calls.append(f"configure {_encoded(plan.config)} {_seen(state)}")
    elif plan.mode:
        calls.append("right_mode")
    if plan.daemon in ("reload", "restart"):
        calls.append(plan.daemon)
    elif plan.daemon == "start":
        calls.append("start start")
    if plan.enable:
        calls.append("systemctl enable --quiet docker.service")
    bundle = state.bundle.sha256 if state.bundle else "-"
    record = _encoded(json.dumps(plan.record, indent=1) + "\n") if plan.record else "''"
    return [*calls, f"remember {bundle} {record}", "say done"]


def _encoded(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return base64.b64encode(data).decode()


def _seen(state: DockerState) -> str:
    """Return the hash of the file that the plan was made for, or nothing."""
    return hashlib.sha256(state.config.content).hexdigest() if state.config else "''"
