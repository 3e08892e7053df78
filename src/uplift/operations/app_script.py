"""The script that brings one application of a host to its plan.

It is the script of the slot's container, and around it: the record of the release and its files
before, the switch of traffic after. HAProxy's configuration names the slot that serves before the
running HAProxy is told, so that a reload or a reboot at any moment serves from a slot that was
proved ready. A run that finds a switch interrupted sees it in HAProxy and the containers, and goes
on from there: nothing else is needed.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping

from uplift.operations.container_script import render as render_container
from uplift.spec.app.models import FILES, App
from uplift.spec.app.plan import Todo
from uplift.spec.app.release import RELEASES
from uplift.spec.container.state import State
from uplift.spec.haproxy.models import CONFIG
from uplift.spec.secret import Secret, SecretRef

_BEFORE = r"""
umask 022
mkdir -p /var/lib/uplift/apps @releases@; chmod 0700 /var/lib/uplift /var/lib/uplift/apps
exec 7>"/var/lib/uplift/apps/$app.lock"
flock -w 300 7 || { echo "uplift: $app: another change of this application runs"; exit 1; }
put_file() { printf %s "$2" | base64 -d >"$1"; chmod "$3" "$1"; }
if [ -n "$files" ]; then
  mkdir -p "@files@/$app"; rm -rf "$own_folder.new"; mkdir "$own_folder.new"
  write_files
  sync; rm -rf "$own_folder.old"
  # A folder that a container has mounted must stay the same one: its contents are exchanged.
  if [ -d "$own_folder" ]; then
    find "$own_folder" -mindepth 1 -delete; cp -a "$own_folder.new/." "$own_folder/"
    rm -rf "$own_folder.new"
  else mv "$own_folder.new" "$own_folder"; fi
fi
record="@releases@/$app/$release"
if [ -n "$release" ]; then
  mkdir -p "@releases@/$app"; chmod 0700 "@releases@" "@releases@/$app"
  mkdir "$record" "$record/secrets"; chmod 0700 "$record" "$record/secrets"
  write_record
  echo "outcome started" >"$record/outcome"; sync "$record" "$record/outcome"
fi
outcome() {
  [ -n "$release" ] || return 0
  { echo "outcome $1"
    echo "at $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    dk inspect --format 'local {{.Image}}
builder {{index .Config.Labels "io.uplift.builder"}}' "$target_name" 2>/dev/null
  } >"$record/outcome.new"
  sync "$record/outcome.new"; mv "$record/outcome.new" "$record/outcome"
}
"""

_SWITCH = r"""
rt() {
  said=$(printf '%s\n' "$1" | timeout 10 socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock |
    sed '/^$/d')
  [ -z "$said" ] || { reason="haproxy: $said"; return 1; }
}
# $1 slot that serves, or nobody: on disk, so that it holds after a reload.
write_active() {
  grep -q "^backend $app\$" @config@ ||
    { reason="@config@ has no backend $app: run deploys/app.py"; return 1; }
  awk -v backend="$app" -v active="$1" '
    /^[^ \t]/ { inside = ($1 == "backend" && $2 == backend) }
    inside && $1 == "server" { sub(/ disabled$/, ""); if ($2 != active) $0 = $0 " disabled" }
    { print }' @config@ >@config@.new &&
    chmod 0644 @config@.new && haproxy -c -q -f @config@.new 2>"$dir/noise" &&
    sync @config@.new && mv @config@.new @config@ && sync /etc/haproxy
}
# $1 takes over, $2 gets no new connection.
change_over() {
  write_active "$1" && rt "set server $app/$1 state ready" && rt "set server $app/$2 state drain" &&
    rt "set server $app/$1-spare state maint"
}
# Open connections of a slot, those in old processes of HAProxy too. Where it cannot be told, one.
connections() {
  total=0
  for pid in $(echo 'show proc' | timeout 10 socat -t 5 - UNIX-CONNECT:/run/haproxy-master.sock \
      2>/dev/null | awk '$2 == "worker" { print $1 }'); do
    open=$(echo "@!$pid show stat" | timeout 10 socat -t 5 - UNIX-CONNECT:/run/haproxy-master.sock |
      awk -F , -v app="$app" -v slot="$1" '
        $1 == app && ($2 == slot || $2 == slot "-spare") { sum += $5 } END { print sum + 0 }') || :
    total=$((total + ${open:-0}))
  done
  echo "$total"
}
lives() {
  state=$(dk inspect --format '{{.State.Status}} {{.State.StartedAt}} {{.State.ExitCode}}' "$new")
  case $state in
    "running $started "*) ;;
    *) reason="it ended with exit code ${state##* } after $(($(now) - began)) s"; return 1 ;;
  esac
  if "probe_$check" "$new" >"$dir/probe" 2>&1; then fails=0; return 0; fi
  fails=$((fails + 1))
  [ "$fails" -lt "$retries" ] && return 0
  reason="its check ($check) fails ${said:-$(tail -n 1 "$dir/probe" | masked)}"
  return 1
}
rest() { dk update --restart=no "$1" >/dev/null && (limit=3700; dk stop "$1" >/dev/null); }
put_back() {
  failed=$reason
  last_words "$new" >"$dir/last.log"
  if [ -n "$before" ] && change_over "$before" "$slot"; then
    note "$before serves again"
  else
    write_active nobody; rt "set server $app/$slot state maint" || :
    note "nobody serves: there was no release before"
  fi
  rest "$new" || :
  outcome failed
  headline "FAILED $((${1:-0})) s after the switch: $failed"
  echo "its last lines:"; cat "$dir/last.log"
  exit 1
}
# The new one must stay good while the other could take over at once: for as long as it is held, and
# while connections are still open there.
watch() {
  began=$(now); fails=0; said=
  [ -z "$before" ] || rt "set server $app/$before-spare state ready" || put_back 0
  started=$(dk inspect --format '{{.State.StartedAt}}' "$new")
  while :; do
    passed=$(($(now) - began))
    lives || put_back "$passed"
    open=0; [ -z "$before" ] || open=$(connections "$before")
    [ "$passed" -lt "$hold" ] || [ "$open" != 0 -a "$passed" -lt "$drain" ] || break
    sleep 1
  done
  [ "$open" = 0 ] || note "$open connections were still open on $before after $drain s"
}
tell() {
  [ -n "$drain_path" ] || return 0
  address=$(address "$old")
  code=$(printf 'url = "http://%s:%s%s"\n%s\n' "$address" "$http_port_of_app" "$drain_path" \
    "$(printf %s "$drain_header" | base64 -d)" |
    curl -s -o /dev/null -w '%{http_code}' -X POST --noproxy '*' --max-time "$drain_timeout" \
      --config -) || :
  case $code in 2*) ;; *) note "$before answered $code to POST $drain_path" ;; esac
}
retire() {
  # From here on there is no way back but a new change.
  rt "set server $app/$other-spare state maint" || return 1
  old=$(id_of "$other_name") || old=
  [ -n "$old" ] || return 0
  [ "$(dk inspect --format '{{.State.Running}}' "$old")" = true ] || return 0
  tell
  rest "$old" && rt "set server $app/$other state maint"
}
"""

_MAIN = {
    "switch": r"""
new=$(id_of "$target_name")
change_over "$slot" "$other" || { write_active "${before:-nobody}"; outcome failed
  headline "FAILED to switch: $reason"; exit 1; }
note "$slot serves"
watch
retire || { headline "$slot serves, but $other could not be stopped"; exit 1; }
outcome good
headline "switched"
""",
    "mend": r"""
change_over "$slot" "$other" || { headline "FAILED: $reason"; exit 1; }
rt "set server $app/$other state maint" || :
headline "mended"
""",
    "tidy": r"""
new=$(id_of "$target_name"); before=$other
rt "set server $app/$other state drain" && rt "set server $app/$slot state ready" ||
  { headline "FAILED: $reason"; exit 1; }
watch
retire || { headline "$other could not be stopped"; exit 1; }
headline "the switch that was interrupted is at its end"
""",
    "replace": "outcome good\nheadline replaced\n",
    "alone": "headline mended\n",
}


def render(
    app: App,
    todo: Todo,
    state: State,
    values: Mapping[SecretRef, Secret],
    *,
    release: str,
    record: str,
) -> str:
    """Return the shell text for a plan; it runs as one job and holds the secrets.

    Args:
        app: what is wanted.
        todo: what is done.
        state: what the plan was made for.
        values: of the secrets.
        release: id of the new release; empty when none is made.
        record: JSON of the release.
    """
    other = "green" if todo.slot == "blue" else "blue"
    variables = {
        "app": app.name,
        "slot": todo.slot,
        "other": other,
        "before": todo.before if todo.action == "switch" else "",
        "target_name": app.name_in(todo.slot),
        "other_name": app.name_in(other),
        "release": release,
        "files": "yes" if todo.files else "",
        "own_folder": app.folder,
        "hold": str(app.hold),
        "drain": str(max(app.drain.seconds, app.hold)),
        "drain_path": app.drain.path or "",
        "drain_timeout": str(app.drain.timeout),
        "drain_header": _header(app, values),
        "http_port_of_app": str(app.port or ""),
    }
    head = "".join(f"{key}={shlex.quote(value)}\n" for key, value in variables.items())
    container = app.container(todo.slot, release)
    main = _MAIN["alone" if app.proxy == "none" and todo.action == "mend" else todo.action]
    switch = "" if app.proxy == "none" else _SWITCH
    before = f"{_files(app)}{_record(values, record)}{_BEFORE}"
    script = render_container(container, todo.container, state, values, then=f"{switch}{main}")
    return _placed(f"{head}{before}{script}")


def _placed(text: str) -> str:
    for word, value in {"releases": RELEASES, "files": FILES, "config": CONFIG}.items():
        text = text.replace(f"@{word}@", value)
    return text


def _header(app: App, values: Mapping[SecretRef, Secret]) -> str:
    if app.drain.token is None:
        return ""
    return _coded(f'header = "Authorization: Bearer {values[app.drain.token].reveal()}"')


def _files(app: App) -> str:
    puts = "".join(
        f' && put_file "$own_folder.new/{name}" {_coded(file.content or "")} 0444'
        for name, file in app.files.items()
    )
    return f"write_files() {{ :{puts}; }}\n"


def _record(values: Mapping[SecretRef, Secret], record: str) -> str:
    puts = "".join(
        f' && put_file "$record/secrets/{number}" {_coded(value.reveal())} 0400'
        for number, value in enumerate(values.values())
    )
    return f'write_record() {{ put_file "$record/release.json" {_coded(record)} 0600{puts}; }}\n'


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode() or "''"
