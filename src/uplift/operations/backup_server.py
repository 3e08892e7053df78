"""Shell functions that ask the server of a container for what it holds, with or without network.

Variables: ``server_port`` of the server in its container, ``ready`` a path that answers without
login once the server serves, ``start_limit`` in seconds.
"""

from __future__ import annotations

LOGIN_FILE = "curl"
"""Name of the file that holds the login, as configuration of curl."""

SERVER = r"""
# $in: a command that goes into the network of another process, or nothing.
request() {
  $in curl -q --silent --show-error --noproxy '*' --globoff --connect-timeout 10 \
    --speed-limit 1 --speed-time 3600 --config "$own/curl" "$@" 8>&- 9>&-
}
live() {
  in=
  set -- $(state_of '{{.HostConfig.NetworkMode}} {{range .NetworkSettings.Networks}}{{.IPAddress}}
    {{end}}')
  # Without an address, a port where nothing is: never another server of the host.
  case $* in
    host*) base=http://127.0.0.1:$server_port ;;
    *) base=http://${2:-127.0.0.1:1/}${2:+:$server_port} ;;
  esac
}
# The server of the scratch container, which has no network.
inside() {
  in="nsenter -t $(dk inspect --format '{{.State.Pid}}' "$scratch") -n"
  base=http://127.0.0.1:$server_port
}
number() { sed -n "s/^$1 //p" "$2"; }
# $1 a container whose server is to answer.
waiting_for() {
  until_=$(($(date +%s) + start_limit))
  until { [ "$1" != "$container" ] || live; } &&
    $in curl -q -s -f -o /dev/null --noproxy '*' --max-time 5 "$base$ready" 8>&- 9>&-
  do
    [ "$(dk inspect --format '{{.State.Running}}' "$1" 2>&1)" = true ] || {
      echo "the server ends: $(dk logs --tail 3 "$1" 2>&1)" >"$new/why"; return 1; }
    [ "$(date +%s)" -lt "$until_" ] || {
      echo "the server does not answer within $start_limit s" >"$new/why"; return 1; }
    sleep 1
  done
}
"""
