"""Shell functions of a switch: the record before, the traffic after, and the way back.

HAProxy's configuration names the slot that serves before the running HAProxy is told, so that a
reload or a reboot at any moment serves from a slot that was proved ready. Each step is written to a
journal before and after it, which names the release that was on its way; what serves is read from
HAProxy and the containers all the same.
"""

from __future__ import annotations

MARK = r"""
point() { printf '%s\n' "$1" >>"$journal" && sync "$journal"; }
"""

PUT = r"""
put_file() { printf %s "$2" | base64 -d >"$1"; chmod "$3" "$1"; }
own_files() {
  mkdir -p "${own_folder%/*}"; rm -rf "$own_folder.new"; mkdir "$own_folder.new"
  write_files
  sync; rm -rf "$own_folder.old"
  # A folder that a container has mounted must stay the same one: its contents are exchanged.
  if [ -d "$own_folder" ]; then
    find "$own_folder" -mindepth 1 -delete; cp -a "$own_folder.new/." "$own_folder/"
    rm -rf "$own_folder.new"
  else mv "$own_folder.new" "$own_folder"; fi
}
"""

BEFORE = r"""
umask 022
mkdir -p @apps@ @releases@; chmod 0700 /var/lib/uplift @apps@
exec 7>"@apps@/$app.lock"
flock -w 300 7 || { echo "uplift: $app: another change of this application runs"; exit 1; }
records=@releases@/$app
# What serves may be another one by now, and the slot that was free may be the one that serves.
newest=$(ls -1 "$records"/*/release.json 2>/dev/null | sed 's,/release.json$,,; s,.*/,,' |
  LC_ALL=C sort | tail -n 1)
[ "$newest" = "$known" ] || {
  echo "uplift: $app: another run has changed it since this one looked; nothing was touched:"
  echo "uplift: $app: run again"; exit 1; }
stage() {
  point "$1 before" || { reason="disk: $journal cannot be written"; return 1; }
  "stage_$1" || return 1
  [ ! -e "$journal" ] || point "$1 after"
}
[ -z "$files" ] || own_files
journal=@apps@/$app.journal
# A release that was on its way when a run was interrupted, and the slot that it was for.
set -- $(sed -n 's/^release //p' "$journal" 2>/dev/null); interrupted=${1-} theirs=${2-}
# $1 release, $2 what became of it, $3 what is known beside
conclude() {
  [ -n "$1" ] && [ -d "$records/$1" ] || return 0
  { echo "outcome $2"; echo "at $(date -u +%Y-%m-%dT%H:%M:%SZ)"; printf %s "${3-}"
  } >"$records/$1/outcome.new"
  sync "$records/$1/outcome.new"; mv "$records/$1/outcome.new" "$records/$1/outcome"
}
given_up() {
  [ -z "$interrupted" ] || ! grep -qsx 'outcome started' "$records/$interrupted/outcome" ||
    conclude "$interrupted" failed
  interrupted=
}
adopt() {
  rm -rf "${records:?}/$1"
  mkdir "$records/$1" "$records/$1/secrets" && chmod 0700 "$records/$1" "$records/$1/secrets"
}
stage_record() {
  write_adopted &&
  mkdir "$records/$release" "$records/$release/secrets" &&
    chmod 0700 "$records/$release" "$records/$release/secrets" && write_record &&
    echo "outcome started" >"$records/$release/outcome" &&
    sync "$records/$release" "$records/$release/outcome"
}
if [ -n "$release" ]; then
  mkdir -p "$records"; chmod 0700 "@releases@" "$records"
  given_up
  printf 'release %s %s\n' "$release" "$slot" >"$journal.new"; sync "$journal.new"
  mv "$journal.new" "$journal"
  stage record || {
    echo "uplift: $app: the release cannot be recorded; nothing was touched"; exit 1; }
fi
proof=
outcome() {
  conclude "$release" "$1" "$(dk inspect --format 'container {{.Id}}
local {{.Image}}
builder {{index .Config.Labels "io.uplift.builder"}}' "$target_name" 2>/dev/null)
check $check$proof
"
}
# However this ends: a release that never got the traffic has failed, and there is nothing to go on
# with.
at_end=ended
ended() {
  [ -n "$release" ] && [ -e "$journal" ] && ! grep -qx 'name before' "$journal" || return 0
  outcome failed; rm -f "$journal"
}
stage_close() { outcome good; forget; rm -f "$journal"; sync "@apps@"; }
stage_fail() { outcome failed; rm -f "$journal"; sync "@apps@"; }
"""

SWITCH = r"""
# What was carried out is answered by an empty line; of a HAProxy that hangs there is nothing.
rt() {
  said=$(printf '%s\n' "$1" |
    timeout 10 socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock 2>&1; echo .)
  [ "$said" != . ] || { reason="haproxy does not answer"; return 1; }
  said=$(printf %s "${said%.}" | sed '/^$/d')
  [ -z "$said" ] || { reason="haproxy: $said"; return 1; }
}
# $1 slot that serves, or nobody: on disk, so that it holds after a reload.
write_active() {
  grep -q "^backend $app\$" @config@ ||
    { reason="@config@ has no backend $app: run deploys/app.py"; return 1; }
  awk -v backend="$app" -v active="$1" '
    /^[^ \t]/ { inside = ($1 == "backend" && $2 == backend) }
    inside && $1 == "server" { sub(/ disabled$/, ""); if ($2 != active) $0 = $0 " disabled" }
    { print }' @config@ >@config@.new && take_config
}
take_config() {
  chmod 0644 @config@.new
  haproxy -c -f @config@.new >"$dir/noise" 2>&1 ||
    { reason="haproxy refuses @config@: $(grep -m 1 ALERT "$dir/noise")"; return 1; }
  sync @config@.new && mv @config@.new @config@ && sync /etc/haproxy ||
    { reason="@config@ cannot be written"; return 1; }
}
# $1 path, status, and ports of blue and green, where they are not those of before: a check is
# nothing that a running HAProxy can be told.
load_backend() {
  [ -n "$1" ] || return 0
  set -f; set -- $1; set +f
  asked_path=$1 awk -v backend="$app" -v status="$2" -v blue="$3" -v green="$4" '
    /^[^ \t]/ { inside = ($1 == "backend" && $2 == backend) }
    inside && $1 == "option" && $2 == "httpchk" {
      print "    option httpchk GET " ENVIRON["asked_path"]; next }
    inside && $1 == "http-check" { print "    http-check expect status " status; next }
    inside && $1 == "server" {
      sub(/127[.]0[.]0[.]1:[0-9]+/, "127.0.0.1:" ($2 ~ /^blue/ ? blue : green)) }
    { print }' @config@ >@config@.new && take_config || return 1
  loaded=$(worker)
  timeout 60 systemctl reload haproxy 2>"$dir/noise" ||
    { reason="haproxy is not loaded anew: $(tail -n 1 "$dir/noise")"; return 1; }
  # What is told to the process of before is lost.
  for try in 1 2 3 4 5 6 7 8 9 10; do
    by=$(worker); [ -z "$by" ] || [ "$by" = "$loaded" ] || return 0
    sleep 1
  done
  reason="haproxy's new process does not answer"; return 1
}
ask() { echo "$1" | timeout 10 socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock 2>/dev/null; }
worker() { ask 'show info' | sed -n 's/^Pid: //p'; }
turn_back() {
  load_backend "$backend_before" || note "HAProxy goes on with a check for both releases: $reason"
}
# What HAProxy itself takes as up gets requests when nobody else is left.
up_for_haproxy() {
  ask "show servers state $app" | awk -v slot="$1" '$4 == slot { up = $6 > 0 } END { exit !up }'
}
# $1 gets what is new, and when HAProxy has it as up, $2 nothing new any more: one that HAProxy has
# asked while it was not there, as after a switch that was interrupted, is down until it asks again.
direct() {
  rt "set server $app/$1 state ready" && comes_up "$1" &&
    rt "set server $app/$2 state drain" && rt "set server $app/$1-spare state maint"
}
comes_up() {
  for try in $(seq 50); do ! up_for_haproxy "$1" || return 0; sleep 0.1; done
  reason="haproxy has $1 as down"; return 1
}
change_over() { write_active "$1" && direct "$1" "$2"; }
# The new one is stopped only where it gets nothing any more.
undo_traffic() {
  write_active "${before:-nobody}" || :
  if [ -n "$before" ]; then direct "$before" "$slot"
  else rt "set server $app/$slot state maint"; fi && rest "$new" && turn_back
}
# Open connections of a slot, those in old processes of HAProxy too. Where it cannot be told, one.
connections() {
  total=0
  workers=$(echo 'show proc' | timeout 10 socat -t 5 - UNIX-CONNECT:/run/haproxy-master.sock \
    2>/dev/null | awk '$2 == "worker" { print $1 }')
  [ -n "$workers" ] || { echo 1; return; }
  for pid in $workers; do
    open=$(echo "@!$pid show stat" | timeout 10 socat -t 5 - UNIX-CONNECT:/run/haproxy-master.sock |
      awk -F , -v app="$app" -v slot="$1" '
        $1 == app && ($2 == slot || $2 == slot "-spare") { sum += $5 }
        END { print NR ? sum + 0 : 1 }') || :
    total=$((total + ${open:-1}))
  done
  echo "$total"
}
look() {
  dk inspect --format '{{.State.Status}} {{.State.StartedAt}} {{.State.ExitCode}}' "$new" \
    2>/dev/null
}
lives() {
  state=$(look) || { up && state=$(look); } ||
    { reason="the Docker daemon does not answer"; return 1; }
  case $state in
    "running $started "*) ;;
    *)
      case $state in
        running*|restarting*) reason="it ended and was started again" ;;
        *) reason="it ended with exit code ${state##* }" ;;
      esac
      reason="$reason after $(($(now) - began)) s"
      [ "$(daemon)" != "$run" ] || return 1
      # It ended because the daemon was restarted, and comes back with it.
      run=$(daemon); firmly wait_good "$new" || return 1
      reason=; state=$(look); state=${state#* }; started=${state% *}; fails=0; return 0 ;;
  esac
  if ! "probe_$check" "$new" >"$dir/probe" 2>&1; then :
  elif up_for_haproxy "$slot"; then fails=0; return 0
  else said="at HAProxy, which has $slot as down"; fi
  fails=$((fails + 1))
  [ "$fails" -lt "$retries" ] && return 0
  reason="its check ($check) fails: ${said:-$(tail -n 1 "$dir/probe" | masked)}"
  return 1
}
put_to_rest() { dk update --restart=no "$1" >/dev/null && (limit=3700; dk stop "$1" >/dev/null); }
rest() { firmly put_to_rest "$1"; }
stage_name() { load_backend "$backend_between" && write_active "$slot"; }
# From the first request on that the new one gets, the one of before takes over where it fails.
stage_traffic() {
  [ -z "$before" ] || rt "set server $app/$before-spare state ready" || return 1
  direct "$slot" "$other"
}
stage_give_back() { change_over "$before" "$slot"; }
stage_put_away() { rest "$new" || :; turn_back; }
put_back() {
  failed=$reason
  last_words "$new" >"$dir/last.log"
  if [ -n "$before" ] && stage give_back; then
    note "$before serves again"
    stage put_away; stage fail
  elif [ -n "$before" ]; then note "$before could not take over: $reason"
  elif [ -n "$release" ] && [ -z "$interrupted" ]; then
    write_active nobody; rt "set server $app/$slot state maint" || :
    note "nobody serves: there was no release before"
    stage put_away; stage fail
  else note "it is left as it is: nobody else could serve"; fi
  headline "FAILED $((${1:-0})) s after the switch: $failed"
  echo "its last lines:"; cat "$dir/last.log"
  exit 1
}
# The new one must stay good while the other could take over at once: for as long as it is held, and
# while connections are still open there.
stage_hold() {
  began=$(now); fails=0; said=; run=$(daemon)
  up || :; started=$(dk inspect --format '{{.State.StartedAt}}' "$new")
  while :; do
    passed=$(($(now) - began))
    lives || put_back "$passed"
    open=$(connections "$other")
    [ "$passed" -lt "$hold" ] || [ "$open" != 0 -a "$passed" -lt "$drain" ] ||
      [ "$fails" -gt 0 ] || break
    sleep 1
  done
  proof=" ${code:+answered $code, }held for $passed s"
  [ "$open" = 0 ] || note "$open connections were still open on $other after $drain s"
}
# From here on there is no way back but a new change.
stage_spare() {
  up || { reason="the Docker daemon does not answer"; return 1; }
  rt "set server $app/$other-spare state maint" || return 1
  old=$(id_of "$other_name") || old=
  [ -z "$old" ] || [ "$(dk inspect --format '{{.State.Running}}' "$old")" = true ] || old=
}
stage_tell() {
  [ -n "$drain_path" ] && [ -n "$old" ] || return 0
  address=$(address "$old")
  if [ -f "$drain_token" ]; then
    drain_header=$({ printf 'header = "Authorization: Bearer '
      sed 's/[\\"]/\\&/g' "$drain_token"; printf '"'; } | base64 -w 0)
  fi
  code=$(printf 'url = "http://%s:%s%s"\n%s\n' "$address" "$http_port_of_app" "$drain_path" \
    "$(printf %s "$drain_header" | base64 -d)" |
    curl -s -o /dev/null -w '%{http_code}' -X POST --noproxy '*' --max-time "$drain_timeout" \
      --config -) || :
  case $code in 2*) ;; *) note "$other answered $code to POST $drain_path" ;; esac
}
stage_stop() {
  [ -z "$old" ] || rest "$old" && rt "set server $app/$other state maint" &&
    load_backend "$backend_after"
}
retire() { stage spare && stage tell && stage stop; }
ready_now() { [ -z "$prove" ] || firmly wait_good "$new"; }
"""

MAIN = {
    "switch": r"""
new=$(id_of "$target_name")
ready_now || {
  failed=$reason; last_words "$new" >"$dir/last.log"
  # It would run beside the one that serves.
  rest "$new" || :
  headline "FAILED: it is not ready: $failed"
  echo "its last lines:"; cat "$dir/last.log"; exit 1; }
stage name && stage traffic || {
  failed=$reason; undo_traffic || note "it is not certain who serves: $reason"
  stage fail; headline "FAILED to switch: $failed"; exit 1; }
note "$slot serves"
stage hold
retire || { headline "$slot serves, but the switch has not come to its end: $reason"; exit 1; }
stage close
headline "switched"
""",
    "mend": r"""
new=$(id_of "$target_name")
[ -z "$backend_after" ] || firmly wait_good "$new" ||
  { headline "FAILED: HAProxy keeps the check that it has: $reason"; exit 1; }
change_over "$slot" "$other" || { headline "FAILED: $reason"; exit 1; }
rt "set server $app/$other state maint" || :
load_backend "$backend_after" || { headline "FAILED: $reason"; exit 1; }
headline "mended"
""",
    # What was on its way serves, or what was there before does: the journal tells which.
    "tidy": r"""
new=$(id_of "$target_name")
if [ "$theirs" = "$slot" ]; then release=$interrupted
else given_up; [ -z "$theirs" ] || before=; fi
{ firmly mend_steps && firmly wait_good "$new"; } || put_back 0
stage name && stage traffic || { headline "FAILED: $reason"; exit 1; }
stage hold
retire || { headline "$slot serves, but the switch has not come to its end: $reason"; exit 1; }
stage close
headline "the switch that was interrupted is at its end"
""",
    "close": r"""
if [ -n "$interrupted" ]; then release=$interrupted; stage close; fi
headline "the change that was interrupted is at its end"
""",
    "replace": 'proof=" healthy for ${best:-0} s"\nstage close\nheadline replaced\n',
    "alone": "headline mended\n",
}
