"""Shell functions that wait until a container is good, and show what it said with masks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from uplift.facts.mask import MASK
from uplift.spec.container.health import Health
from uplift.spec.http import quote
from uplift.spec.secret import Secret, SecretRef

PROBE = (
    r"""
# The container's own address: a port need not be published to be asked.
address() {
  found=$(dk inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$1")
  set -- $found
  echo "${1:-127.0.0.1}"
}
probe_none() { :; }
probe_image() {
  [ "$(dk inspect --format '{{if .State.Health}}{{.State.Health.Status}}{{end}}' "$1")" = healthy ]
}
probe_http() {
  # The header goes by a builtin and standard input: a token is in no argument.
  code=$(printf '%s\n' "$http_header" | curl -qsk --globoff -o /dev/null --noproxy '*' \
    --max-time "$probe_limit" -w '%{http_code}' --config - \
    "$http_scheme://$(address "$1"):$http_port$http_path") || :
  case " $http_status " in *" $code "*) return ;; esac
  # So curl says that nothing was answered.
  [ "$code" = 000 ] && said="no answer" || said="answers $code"
  return 1
}
# curl opens a connection and sends nothing; it says when it was open, or 0.
probe_tcp() {
  opened=$(curl -s --noproxy '*' -o /dev/null --max-time 1 -w '%{time_connect}' \
    "telnet://$(address "$1"):$tcp_port" </dev/null) || :
  case $opened in *[1-9]*) ;; *) said="port $tcp_port is closed"; return 1 ;; esac
}
now() { date +%s; }

# $1 id: return when it was healthy for as long as demanded; else say why in $reason.
wait_good() {
  begin=$(now); fails=0; since=; best=; said=; reason=
  started=$(dk inspect --format '{{.State.StartedAt}}' "$1") || return 1
  while :; do
    state=$(dk inspect --format '{{.State.Status}} {{.State.StartedAt}} {{.State.ExitCode}}' "$1")
    case $state in
      "running $started "*) ;;
      running*) reason="it ended and was started again after $(($(now) - begin)) s"; return 1 ;;
      paused*) reason="it is paused"; return 1 ;;
      *) reason="it ended with exit code ${state##* } after $(($(now) - begin)) s"; return 1 ;;
    esac
    if "probe_$check" "$1" >"$dir/probe" 2>&1; then
      fails=0
      [ -n "$since" ] || { since=$(now); good_at=$(date +%s%N); }
      best=$(($(now) - since))
      [ "$best" -lt "$stable" ] || return 0
    else
      since=
      if [ -n "$best" ] || [ $(($(now) - begin)) -ge "$start_period" ]; then
        fails=$((fails + 1))
      fi
      [ "$fails" -lt "$retries" ] || break
    fi
    [ $(($(now) - begin)) -lt "$health_limit" ] || break
    sleep "$interval"
  done
  reason="its check ($check) fails: ${said:-$(tail -n 1 "$dir/probe" | masked)}"
  [ -z "$best" ] || reason="it was healthy for $best s and then not: $reason"
  return 1
}
"""
    + MASK
    + r"""
last_words() {
  { echo; cat "$dir/secrets.mask"; cat "$secrets--previous"/* 2>/dev/null; } >"$dir/mask"
  dk logs --tail 50 "$1" 2>&1 | masked | sed 's/^/  | /'
}
"""
)


def settings(health: Health, values: Mapping[SecretRef, Secret]) -> dict[str, str]:
    """Return the shell variables that the functions read.

    Args:
        health: the check.
        values: of the secrets.
    """
    http = health.http
    bearer = values[http.bearer].reveal() if http and http.bearer else None
    return {
        "check": _kind(health),
        "interval": str(health.interval),
        "probe_limit": str(health.timeout),
        "retries": str(health.retries),
        "start_period": str(health.start_period),
        "stable": str(health.stable),
        "health_limit": str(health.limit),
        "tcp_port": str(health.tcp or ""),
        "http_port": str(http.port if http else ""),
        "http_path": http.path if http else "",
        "http_scheme": http.scheme if http else "",
        "http_header": f"header = {quote(f'Authorization: Bearer {bearer}')}" if bearer else "",
        "http_status": " ".join(map(str, http.status)) if http else "",
    }


def command(health: Health) -> str:
    """Return the function that runs the check inside the container.

    Args:
        health: the check.
    """
    words = shlex.join(health.command or ("true",))
    return f'probe_command() {{ ( limit=$probe_limit; dk exec "$1" {words} ); }}\n'


def _kind(health: Health) -> str:
    if health.command:
        return "command"
    if health.http:
        return "http"
    if health.tcp:
        return "tcp"
    return "image" if health.image else "none"
