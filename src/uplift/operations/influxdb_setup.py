"""Set the data of a server up in a container of its own, which publishes no port.

An empty InfluxDB lets whoever comes first set it up. So its data are set up before the container
with the ports exists: in one without, which the host alone reaches, over the container's own
address. Data that are set up already are only looked at.
"""

from __future__ import annotations

import base64
import shlex

from uplift.operations.container_script import connects
from uplift.spec.container import Container
from uplift.spec.container.arguments import create
from uplift.spec.container.image import Resolved
from uplift.spec.container.models import OURS
from uplift.spec.container.state import STATE, State
from uplift.spec.http import Header, Request, render
from uplift.spec.influxdb.models import InfluxDB
from uplift.spec.influxdb.plan import setup_request
from uplift.spec.influxdb.server import PORT, Server
from uplift.spec.influxdb.state import Resolve
from uplift.spec.secret import Secret

# What a step does stands before and after it, so that tests can stop it at each.
MARK = r"""
mark() { :; }
"""

# The server is asked at its own address, under a name that no proxy and no DNS knows.
_NAME = f"http://influxdb.invalid:{PORT}"

_SCRIPT = r"""
set -u
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
umask 077
dir=@state@/$name
mkdir -p "$dir"
exec 8>"$dir/lock"
flock -w 300 8 || { echo "influxdb: another change of $name runs"; exit 1; }
dk() { timeout "${limit:-120}" docker -H unix:///var/run/docker.sock "$@" 8>&-; }
fail() { echo "influxdb: $once: $*"; exit 1; }
# Asked to end, it writes what it holds and answers what it was asked.
away() {
  dk inspect --type container "$once" >/dev/null 2>&1 || return 0
  (limit=3700; dk stop --time "$patience" "$once") >/dev/null 2>&1
  dk rm -f "$once" >/dev/null
}
# Two servers on the same data: the one that does not answer goes first.
if [ -n "$running" ]; then
  dk unpause "$running" >/dev/null 2>&1
  (limit=3700; dk stop "$running") >/dev/null || fail "$running neither answers nor can be stopped"
fi
mark "away before"
away || fail "one of an earlier run is in the way: docker rm -f $once"
mark "away after"
if [ -n "$local" ]; then :
elif ! dk image inspect "$image" >/dev/null 2>&1; then
  said=$( (limit=1800; dk pull --quiet "$image") 2>&1) ||
    fail "its image cannot be had: $(printf %s "$said" | tail -n 1 | cut -c 1-300)"
fi
case $data in
  /*) folder=$data; [ -d "$folder" ] || fail "there is no folder $folder on this host" ;;
  *)
    dk volume inspect "$data" >/dev/null 2>&1 || dk volume create "$data" >/dev/null ||
      fail "the volume $data cannot be made"
    folder=$(dk volume inspect --format '{{.Mountpoint}}' "$data") ;;
esac
# What stands beside the data until they are set up whole: nobody knows a way into them before.
half=$folder/.uplift-setting-up
[ -e "$folder/influxd.bolt" ] || { : >"$half"; sync "$half"; }

ask() {
  printf %s "$1" | base64 -d | curl -q -o "$2" --connect-to "::$address:" --config - |
    tail -n 1 | cut -d ' ' -f 1
}
start() {
  mark "start before"
  for one in $networks; do
    dk network inspect "$one" >/dev/null 2>&1 ||
      dk network create --label "@label@managed=true" "$one" >/dev/null || return 1
  done
  id=$(make) && connect && dk start "$id" >/dev/null || return 1
  mark "start after"
  address=
  end=$(($(date +%s) + start_period))
  until
    address=$(dk inspect --format \
      '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$id" | cut -d ' ' -f 1)
    [ -n "$address" ] && [ "$(ask "$is_set_up" "$answer")" = 200 ]
  do
    [ "$(dk inspect --format '{{.State.Running}}' "$id")" = true ] || {
      echo "it ended, its last lines:"; dk logs --tail 20 "$id" 2>&1 | sed 's/^/  | /'; return 1; }
    [ "$(date +%s)" -lt "$end" ] || { echo "it does not answer within $start_period s"; return 1; }
    sleep 0.3
  done
}
known() { [ "$(ask "$who" /dev/null)" = 200 ]; }
# The server answers a set-up with its token.
answer=$dir/answer; rm -f "$answer"; trap 'rm -f "$answer"' EXIT
work() {
  start || return 1
  if grep -q '"allowed": *true' "$answer"; then
    mark "setup before"
    code=$(ask "$set_up" "$answer")
    # The server's words hold no secret of ours.
    [ "$code" = 201 ] || { echo "setting up: $code $(cut -c 1-300 "$answer")"; return 1; }
    echo "influxdb: server: set up"
    mark "setup after"
  elif [ -e "$half" ] && ! known; then
    # Interrupted in its middle: nobody can have written there.
    away || return 1
    find "$folder" -mindepth 1 ! -path "$half" -delete
    echo "influxdb: half a set-up removed"
    start && grep -q '"allowed": *true' "$answer" || return 1
    [ "$(ask "$set_up" "$answer")" = 201 ] || return 1
    echo "influxdb: server: set up"
  fi
  known || { echo "the server refuses @token@ as its operator token; if it was lost, see" \
    "docs/influxdb.md, 'A lost operator token'"; return 1; }
}
work >"$dir/said" 2>&1; good=$?
mark "stop before"
away || good=1
mark "stop after"
cat "$dir/said"; rm -f "$dir/said"
[ "$good" = 0 ] || fail "the data in $data were not found to be set up; nothing was published"
rm -f "$half"; sync "$folder"
"""


def render_job(
    settings: InfluxDB,
    server: Server,
    it: Container,
    state: State,
    resolve: Resolve,
    running: str | None,
) -> str:
    """Return the shell text that sets data up; it runs as one job and holds secrets.

    Args:
        settings: what the server shall hold.
        server: its container's settings.
        it: its container.
        state: of the host.
        resolve: gives secrets.
        running: a container that runs on these data and does not answer.
    """
    resolved = state.resolved[it.image]
    variables = {
        "name": it.name,
        "once": server.setup_name,
        "running": running or "",
        "image": resolved.wanted or it.image,
        "local": "" if resolved.digest else resolved.local,
        "data": server.data,
        "patience": str(server.stop_timeout),
        "start_period": str(server.start_period),
        "networks": " ".join(server.networks),
        **_requests(settings, resolve),
    }
    text = f"{MARK}{_making(server, it, resolved, state)}{_SCRIPT}"
    words = {"state": STATE, "label": OURS, "token": str(settings.setup.token).replace("'", "")}
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return "".join(f"{key}={shlex.quote(value)}\n" for key, value in variables.items()) + text


def _making(server: Server, it: Container, resolved: Resolved, state: State) -> str:
    once = it.model_copy(update={"name": server.setup_name, "ports": (), "restart": "no"})
    words = shlex.join(create(once, resolved, state.limits))
    further = connects({one.name: one.aliases for one in once.networks[1:]}, "id")
    made = f'make() {{ dk create --pull never --name "$once" {words}; }}'
    return f"{made}\nconnect() {{ :{further}; }}\n"


def _requests(settings: InfluxDB, resolve: Resolve) -> dict[str, str]:
    token = Header("Authorization", Secret(f"Token {resolve(settings.setup.token).reveal()}"))
    given = {
        "is_set_up": Request("GET", "/api/v2/setup"),
        "set_up": setup_request(settings, resolve),
        "who": Request("GET", "/api/v2/buckets?limit=1", auth=token),
    }
    return {name: _coded(render([one], _NAME)) for name, one in given.items()}


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
