"""The script that changes one container on its host, whatever happens in between.

Every step of a replacement is written to a journal before and after it, and can be done twice. The
script begins by settling a journal that did not come to its end: a new container that was proved
good stays, anything else is taken back. The Docker daemon may be restarted at any moment: a step
that failed with it is done again.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping

from uplift.operations import container_probe
from uplift.spec.container.arguments import create, further_networks, update
from uplift.spec.container.image import Reference, Resolved
from uplift.spec.container.models import OURS, SECRETS, Container
from uplift.spec.container.plan import STEPS, Plan
from uplift.spec.container.state import STATE, State
from uplift.spec.container.units import memory_bytes
from uplift.spec.secret import Secret, SecretRef, references

MARK = r"""
mark() { printf '%s\n' "$1" >>"$dir/journal"; sync "$dir/journal"; }
"""

_BASE = r"""
set -u
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
umask 077
dir=@state@/$name secrets=@secrets@/$name; previous=$name--previous next=$name--next
mkdir -p "@state@" "$dir" "@secrets@"
exec 8>"$dir/lock"
flock -w 300 8 || { echo "uplift: $name: another change of this container runs"; exit 1; }
rm -f "$dir/env"; : >"$dir/notes"; : >"$dir/noise"
reason= good_at= at=
trap 'rm -f "$dir/env" "$dir/mask" "$dir/secrets.mask" "$dir/probe"' EXIT

dk() { timeout "${limit:-120}" docker -H unix:///var/run/docker.sock "$@" 8>&-; }
note() { printf 'uplift: %s: %s\n' "$name" "$*" >>"$dir/notes"; }
headline() { printf 'uplift: %s: %s\n' "$name" "$*"; cat "$dir/notes"; }
kept() { cat "$dir/$1" 2>/dev/null; }
keep() { printf '%s\n' "$2" >"$dir/$1.new"; sync "$dir/$1.new"; mv "$dir/$1.new" "$dir/$1"; }
name_of() { dk inspect --type container --format '{{.Name}}' "$1" 2>/dev/null | sed 's,^/,,'; }
id_of() { dk inspect --type container --format '{{.Id}}' "$1" 2>/dev/null; }
call() { [ "$(name_of "$1")" = "$2" ] || dk rename "$1" "$2"; }
# What the daemon's own run is called: another one after a failure means that it was restarted.
daemon() { systemctl show docker.service -p InvocationID --value 2>/dev/null; }
up() {
  tries=0
  until (limit=20; dk version) >/dev/null 2>&1; do
    tries=$((tries + 1)); [ "$tries" -lt 60 ] || return 1
    sleep 1
  done
}
# Do something that can be done twice; once more when the daemon went away under it.
firmly() {
  up || { reason="the Docker daemon does not answer"; return 1; }
  run=$(daemon)
  reason=
  "$@" >>"$dir/noise" 2>&1 && return
  up && [ "$(daemon)" = "$run" ] && return 1
  reason=
  up && "$@" >>"$dir/noise" 2>&1
}
step() {
  at=$1
  mark "$1 before"
  : >"$dir/noise"
  firmly "do_$1" || return 1
  # The last step takes the journal away.
  [ "$1" = finish ] || mark "$1 after"
}
# What the daemon said, else the last line: its client adds a line of its own.
why() {
  [ -n "$reason" ] ||
    reason=$(sed -n 's/^Error response from daemon: //p' "$dir/noise" | tail -n 1 | cut -c 1-400)
  printf %s "${reason:-$(grep -v '^$' "$dir/noise" | tail -n 1 | cut -c 1-400)}"
}
seconds() { awk -v ns="$(($2 - $1))" 'BEGIN { printf "%.1f", ns / 1e9 }'; }
"""

_STEPS = r"""
room() { df -Pk "$1" | awk 'NR == 2 { print $4 }'; }
place() {
  case $1 in
    volume:*) dk volume inspect --format '{{.Mountpoint}}' "${1#volume:}" 2>/dev/null ;;
    *) echo "${1#bind:}" ;;
  esac
}
copies() {
  case $1 in
    volume:*) echo "$root/uplift-copies/$name" ;;
    *) echo "$(dirname "${1#bind:}")/.uplift-copies/$name" ;;
  esac
}
# Space for a copy of all data beside it, twice a hundredth more: asked while all still runs.
test_room() {
  root=$(dk info --format '{{.DockerRootDir}}') || return 1
  has=$(room "$root")
  [ "$has" -ge "$need" ] || {
    reason="disk: $((has / 1024)) MB are free in $root, $((need / 1024)) MB are demanded"
    return 1; }
  for one in $data; do
    path=$(place "$one"); [ -e "${path:-/nonexistent}" ] || continue
    size=$(du -sk "$path" | cut -f 1); target=$(dirname "$(copies "$one")")
    while [ ! -d "$target" ]; do target=$(dirname "$target"); done
    has=$(room "$target")
    [ "$has" -ge $((size + size / 50 + 1024)) ] || {
      reason="disk: a copy of $path needs $((size / 1024)) MB, $((has / 1024)) MB are free"
      return 1; }
  done
}
do_pull() {
  test_room || return 1
  if [ -n "$local" ]; then
    [ "$(dk image inspect --format '{{.Id}}' "$image")" = "$local" ] ||
      { reason="the host's image $image changed in the meantime: run again"; return 1; }
  elif ! dk image inspect "$image" >/dev/null 2>&1; then
    (limit=1800; dk pull --quiet "$image") 2>"$dir/pull" || {
      said=$(tail -n 1 "$dir/pull" | cut -c 1-300)
      case $said in
        *unauthorized*|*denied*|*"no basic auth"*) kind="credentials: the registry refuses them" ;;
        *"no matching manifest"*|*"does not match"*) kind="no image for this architecture" ;;
        *"manifest unknown"*|*"not found"*) kind="the registry has no such image" ;;
        *"no space left"*) kind="disk: it is full" ;;
        *) kind="the registry does not answer as it should" ;;
      esac
      reason="$kind: $said"; return 1; }
  fi
  [ -z "$tag" ] || dk tag "$image" "$tag"
}
do_create() {
  dk rm -f "$next" 2>/dev/null || :
  for one in $networks; do
    dk network inspect "$one" >/dev/null 2>&1 ||
      dk network create --label "@label@managed=true" "$one" || return 1
  done
  mkdir -p "$secrets"
  write_env
  new=$(make) || { rm -f "$dir/env"; return 1; }
  rm -f "$dir/env"
  keep new "$new"
  connect
}
do_stop() {
  began=$(date +%s%N); keep down "$began"
  [ -n "$old" ] || return 0
  # Else a restart of the daemon brings it back, and two servers are on one volume.
  dk update --restart=no "$old" && (limit=3700; dk stop "$old")
}
do_rename() {
  [ -z "$old" ] || call "$old" "$previous" || return 1
  call "$new" "$name"
}
do_copy() {
  [ -n "$data" ] || return 0
  : >"$dir/copies.new"; count=0
  for one in $data; do
    path=$(place "$one"); [ -d "${path:-/nonexistent}" ] || continue
    target=$(copies "$one")/$stamp/$count; count=$((count + 1))
    rm -rf "$target"; mkdir -p "$target"
    cp -a --reflink=auto "$path/." "$target/" || return 1
    printf '%s\t%s\n' "$path" "$target" >>"$dir/copies.new"
  done
  sync; mv "$dir/copies.new" "$dir/copies"; sync "$dir/copies"
}
do_secrets() {
  [ -e "$secrets--previous" ] || mv "$secrets" "$secrets--previous" || return 1
  rm -rf "$secrets"; mkdir "$secrets"
  write_secrets && chmod 0500 "$secrets" && chown "$owner:0" "$secrets" && sync
}
do_start() { dk start "$new"; }
do_healthy() { dk start "$new" && wait_good "$new"; }
do_finish() {
  if [ -n "$old" ] && id_of "$old" >/dev/null; then
    dk inspect "$old" >"$dir/previous.json" && dk rm -f "$old" || return 1
  fi
  rm -rf "$secrets--previous"
  printf '%s %s\n' "$stamp" \
    "$(dk inspect --format '{{.Image}} {{.Config.Image}}' "$new")" >>"$dir/releases"
  # Each folder of copies holds one folder for each replacement, named by its time.
  [ ! -e "$dir/copies" ] || cut -f 2 "$dir/copies" | while read -r one; do dirname "$one"; done |
    while read -r one; do dirname "$one"; done | sort -u | while read -r folder; do
      ls -1 "$folder" | sort -r | tail -n "+$((keep_copies + 1))" |
        while read -r stale; do rm -rf "${folder:?}/$stale"; done
    done
  closed
}
closed() {
  rm -f "$dir/journal"; sync "$dir"
}
put() { printf %s "$2" | base64 -d >"$1" && chmod 0400 "$1" && chown "$owner:0" "$1"; }
"""

_SETTLE = r"""
seen() { grep -qx "$1" "$dir/journal"; }
known() {
  old=$(kept old) new=$(kept new) stamp=$(kept stamp)
  # A crash between making it and writing down its id.
  [ -n "$new" ] || new=$(id_of "$next") || :
}
take_away() {
  [ -z "$new" ] || ! id_of "$new" >/dev/null || dk rm -f "$new" || return 1
  ! id_of "$next" >/dev/null || dk rm -f "$next"
}
data_back() {
  seen "start before" && [ -e "$dir/copies" ] || return 0
  while IFS="$(printf '\t')" read -r path copy; do
    find "$path" -mindepth 1 -delete && cp -a --reflink=auto "$copy/." "$path/" || return 1
  done <"$dir/copies"
  sync
}
secrets_back() {
  [ ! -e "$secrets--previous" ] || { rm -rf "$secrets" && mv "$secrets--previous" "$secrets"; }
  rmdir "$secrets" 2>/dev/null || :
}
old_back() {
  [ -n "$old" ] || return 0
  id_of "$old" >/dev/null || { reason="the container of before is gone"; return 1; }
  call "$old" "$name" || return 1
  if [ -e "$dir/policy" ]; then dk update --restart="$(kept policy)" "$old" || return 1; fi
  [ "$(kept running)" != yes ] || dk start "$old"
}
undo() {
  mark "$at undo"
  failed=$reason
  for part in take_away data_back secrets_back old_back; do
    firmly "$part" || { note "taking back stopped at $part: $(why)"; return 1; }
  done
  if [ -z "$old" ]; then note "there was no container before; the new one was removed"
  elif [ "$(kept running)" != yes ]; then note "the container of before is back, stopped as it was"
  elif firmly wait_good "$old"; then note "the container of before serves again$(downtime)"
  else note "the container of before was started$(downtime), and is not healthy: $(why)"; fi
  reason=$failed
  # Its copies are what the data is again.
  [ ! -e "$dir/copies" ] || cut -f 2 "$dir/copies" | while read -r one; do
    rm -rf "$one"; rmdir "$(dirname "$one")" 2>/dev/null; done
  closed
}
downtime() {
  began=$(kept down)
  [ -z "$began" ] || printf ' after %s s' "$(seconds "$began" "${good_at:-$(date +%s%N)}")"
}
settle() {
  [ -s "$dir/journal" ] || return 0
  known; at=$(tail -n 1 "$dir/journal")
  note "a replacement had been interrupted at: $at"
  case $at in
    "healthy after"|"finish "*) firmly do_finish && note "it was finished" ;;
    *) at=${at%% *}; undo && note "it was taken back" ;;
  esac || { headline "an interrupted replacement could not be settled: $(why)"; exit 1; }
}
fail() {
  what="$at: $(why)"
  if [ "$at" = start ] || [ "$at" = healthy ]; then
    firmly true && last_words "$new" >"$dir/last.log"
  fi
  undo || :
  headline "FAILED at $what"
  [ ! -s "$dir/last.log" ] || { echo "its last lines:"; cat "$dir/last.log"; }
  exit 1
}
begin() {
  stamp=$(date -u +%Y%m%dT%H%M%SZ) new=
  old=$(id_of "$name") || old=$(id_of "$current") || old=
  for one in last.log old new policy running down stamp copies; do rm -f "$dir/$one"; done
  keep stamp "$stamp"; keep old "$old"
  [ -z "$old" ] || {
    policy=$(dk inspect --format \
      '{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}' "$old")
    case $policy in :*) policy=no ;; on-failure:0) policy=on-failure ;;
      on-failure:*) ;; *) policy=${policy%:*} ;; esac
    keep policy "$policy"
    [ "$(dk inspect --format '{{.State.Running}}' "$old")" != true ] || keep running yes; }
}
replace() {
  begin
  for one in @steps@; do
    step "$one" || {
      # Good is good: what remains is tidying up, and the next run does it.
      [ "$one" != finish ] || { headline "done, but not tidied up: $(why)"; exit 1; }
      fail; }
    [ "$one" != healthy ] || note "healthy$(downtime)"
  done
}
mend() {
  mend_steps || { headline "FAILED: $(why)"; last_words "$(id_of "$name")"; exit 1; }
}
"""


def render(it: Container, todo: Plan, state: State, values: Mapping[SecretRef, Secret]) -> str:
    """Return the shell text for a plan; it runs as one job and holds the secrets.

    Args:
        it: what is wanted.
        todo: what is done.
        state: what the plan was made for.
        values: of the secrets.
    """
    resolved = state.resolved[it.image]
    variables = {**_variables(it, todo, resolved), **container_probe.settings(it.health)}
    head = "".join(f"{key}={shlex.quote(value)}\n" for key, value in variables.items())
    text = f"{_BASE}{MARK}{container_probe.PROBE}{_STEPS}{_SETTLE}"
    words = {"state": STATE, "secrets": SECRETS, "label": OURS, "steps": " ".join(STEPS)}
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return (
        f"{head}{text}{container_probe.command(it.health)}{_payload(it, values)}"
        f"{_making(it, resolved, state)}{_mending(it, todo)}{_main(it, todo)}"
    )


def _variables(it: Container, todo: Plan, resolved: Resolved) -> dict[str, str]:
    reference = Reference.parse(it.image)
    data = [mount for mount in it.mounts if it.stateful and not mount.read_only]
    return {
        "name": it.name,
        "current": todo.found or it.name,
        "image": resolved.wanted or it.image,
        "local": "" if resolved.digest else resolved.local,
        "tag": f"{reference.name}:{reference.tag}" if resolved.digest and reference.tag else "",
        "need": str(memory_bytes(it.free_disk) // 1024),
        "data": " ".join(
            f"volume:{one.volume}" if one.volume else f"bind:{one.source}" for one in data
        ),
        "networks": " ".join(one.name for one in it.networks if one.name not in _BUILTIN),
        "owner": str(it.secret_uid),
        "keep_copies": str(it.keep.copies),
    }


_BUILTIN = ("host", "bridge", "none")


def _payload(it: Container, values: Mapping[SecretRef, Secret]) -> str:
    """Return functions that write the secrets, and a file of what must not be shown."""
    exposed = {
        key: values[value].reveal()
        for key, value in it.environment.items()
        if isinstance(value, SecretRef)
    }
    env = "".join(f"{key}={value}\n" for key, value in exposed.items())
    puts = "".join(
        f' && put "$secrets/{name}" {_coded(values[ref].reveal())}'
        for name, ref in it.secrets.items()
    )
    mask = "\n".join(values[ref].reveal() for ref in references(it))
    return (
        f'write_env() {{ printf %s {_coded(env)} | base64 -d >"$dir/env"; }}\n'
        f"write_secrets() {{ :{puts}; }}\n"
        f'printf %s {_coded(mask)} | base64 -d >"$dir/secrets.mask"\n'
        f'{{ echo; cat "$dir/secrets.mask"; }} >"$dir/mask"\n'
    )


def _making(it: Container, resolved: Resolved, state: State) -> str:
    words = shlex.join(create(it, resolved, state.limits))
    connects = "".join(
        f' && dk network connect {shlex.join(one[:-1])} {one[-1]} "$new"'
        for one in further_networks(it)
    )
    return (
        f'make() {{ dk create --pull never --name "$next" --env-file "$dir/env" {words}; }}\n'
        f"connect() {{ :{connects}; }}\n"
    )


def _mending(it: Container, todo: Plan) -> str:
    steps = []
    if todo.found and todo.found not in (it.name, it.previous):
        steps.append('firmly call "$(id_of "$current")" "$name"')
    if todo.fields:
        steps.append(f'firmly dk update {shlex.join(update(it, todo.fields))} "$name"')
    if todo.start:
        steps += ["firmly wake", 'firmly wait_good "$(id_of "$name")"']
    return (
        'wake() { dk unpause "$name" 2>/dev/null || dk start "$name"; }\n'
        f"mend_steps() {{ {' && '.join(steps) or ':'}; }}\n"
    )


def _main(it: Container, todo: Plan) -> str:
    lines = [f"note {shlex.quote(reason)}" for reason in todo.why]
    call = {"create": "replace", "replace": "replace", "mend": "mend"}.get(todo.action, ":")
    done = {"create": "created", "replace": "replaced", "mend": "mended"}.get(
        todo.action, "settled"
    )
    return "\n".join([*lines, "settle", call, f"headline {done}", ""])


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode() or "''"
