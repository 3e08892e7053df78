"""Shell functions of a replacement: what all of it stands on, and its steps."""

from __future__ import annotations

BASE = r"""
set -u
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
umask 077
dir=@state@/$name secrets=@secrets@/$name; previous=$name--previous next=$name--next
# What is private there is in folders of its own; the fence is for everybody to read.
[ -d /etc/uplift ] || install -d -m 0755 /etc/uplift
mkdir -p "@state@" "$dir" "@secrets@"
exec 8>"$dir/lock"
flock -w 300 8 || { echo "uplift: $name: another change of this container runs"; exit 1; }
rm -f "$dir/env"; : >"$dir/notes"; : >"$dir/noise"
reason= good_at= at=
# A script around this one may have something to do at the end, in a function that it names.
trap '"${at_end:-:}"; rm -f "$dir/env" "$dir/mask" "$dir/secrets.mask" "$dir/probe"' EXIT

dk() { timeout "${limit:-120}" docker -H unix:///var/run/docker.sock "$@" 8>&-; }
note() { printf 'uplift: %s: %s\n' "$name" "$*" >>"$dir/notes"; }
headline() { printf 'uplift: %s: %s\n' "$name" "$*"; cat "$dir/notes"; }
kept() { cat "$dir/$1" 2>/dev/null; }
keep() {
  printf '%s\n' "$2" >"$dir/$1.new" && sync "$dir/$1.new" && mv "$dir/$1.new" "$dir/$1"
}
name_of() { dk inspect --type container --format '{{.Name}}' "$1" 2>/dev/null | sed 's,^/,,'; }
id_of() { dk inspect --type container --format '{{.Id}}' "$1" 2>/dev/null; }
status() { dk inspect --type container --format '{{.State.Status}}' "$1" 2>/dev/null; }
# The daemon says so: that it does not answer is no proof.
missing() {
  ! said=$(dk inspect --type container --format '{{.Id}}' "$1" 2>&1) || return 1
  case $said in *[Nn]"o such"*) ;; *) return 1 ;; esac
}
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
  : >"$dir/noise"
  # What is not written down could not be settled after a crash.
  mark "$1 before" || { reason="disk: $dir/journal cannot be written"; return 1; }
  firmly "do_$1" || return 1
  # The last step takes the journal away.
  [ "$1" = finish ] || mark "$1 after" || :
}
# What the daemon said, else the last line: its client adds a line of its own.
why() {
  [ -n "$reason" ] ||
    reason=$(sed -n 's/^Error response from daemon: //p' "$dir/noise" | tail -n 1 | cut -c 1-400)
  printf %s "${reason:-$(grep -v '^$' "$dir/noise" | tail -n 1 | cut -c 1-400)}"
}
seconds() { awk -v ns="$(($2 - $1))" 'BEGIN { printf "%.1f", ns / 1e9 }'; }
"""

STEPS = r"""
room() { df -Pk "$1" | awk 'NR == 2 { print $4 }'; }
place() {
  case $1 in
    volume:*) dk volume inspect --format '{{.Mountpoint}}' "${1#volume:}" 2>/dev/null ;;
    # The path's unusual characters are written in octal.
    *) printf '%b\n' "${1#bind:}" ;;
  esac
}
copies() {
  case $1 in
    volume:*) echo "$root/uplift-copies/$name" ;;
    *) echo "$(dirname "$(place "$1")")/.uplift-copies/$name" ;;
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
  fits || return 1
  [ -z "$tag" ] || dk tag "$image" "$tag"
}
# A registry with an image for another processor gives it without a word.
fits() {
  has=$(dk image inspect --format '{{.Os}}/{{.Architecture}}' "$image") || return 1
  host=$(dk version --format '{{.Server.Os}}/{{.Server.Arch}}') || return 1
  case $has in */amd64) cpu=x86_64 ;; */arm64) cpu=aarch64 ;; */386) cpu=i386 ;;
    *) cpu=${has#*/} ;; esac
  [ ! -e "/proc/sys/fs/binfmt_misc/qemu-$cpu" ] || return 0
  case "$has on $host" in
    "$host on $has"|"linux/386 on linux/amd64"|"linux/arm on linux/arm64") ;;
    *) reason="no image for this architecture: it is for $has, the host is $host"; return 1 ;;
  esac
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
  keep new "$new" || return 1
  connect
}
do_stop() {
  began=$(date +%s%N); keep down "$began"
  [ -n "$old" ] || return 0
  # Else a restart of the daemon brings it back, and two servers are on one volume.
  dk update --restart=no "$old" || return 1
  # A paused one would not hear it.
  [ "$(status "$old")" != paused ] || dk unpause "$old" || return 1
  (limit=3700; dk stop "$old")
}
do_rename() {
  [ -z "$old" ] || call "$old" "$previous" || return 1
  call "$new" "$name"
}
do_copy() {
  [ -n "$data" ] || return 0
  : >"$dir/copies.new"; count=0
  for one in $data; do
    path=$(place "$one"); [ -e "${path:-/nonexistent}" ] || continue
    target=$(copies "$one")/$stamp/$count; count=$((count + 1))
    printf '%s\t%s\n' "$path" "$target" >>"$dir/copies.new"
    rm -rf "$target"; mkdir -p "$(dirname "$target")"
    cp -a --reflink=auto "$path" "$target" || return 1
  done
  sync; mv "$dir/copies.new" "$dir/copies"; sync "$dir/copies"
}
# Also one that was interrupted.
forget_copies() {
  for list in "$dir/copies" "$dir/copies.new"; do
    [ -e "$list" ] || continue
    cut -f 2 "$list" | while read -r one; do
      rm -rf "$one"; rmdir "$(dirname "$one")" 2>/dev/null; done
    rm -f "$list"
  done
}
# Where nothing is copied, what it changes stays when the rest fails.
do_prepare() { prepare; }
do_secrets() {
  [ -e "$secrets--previous" ] || mv "$secrets" "$secrets--previous" || return 1
  rm -rf "$secrets"; mkdir "$secrets"
  write_secrets && chmod 0500 "$secrets" && chown "$owner:0" "$secrets" && sync
}
do_start() { dk start "$new"; }
do_healthy() { dk start "$new" && wait_good "$new"; }
do_finish() {
  if [ -n "$old" ]; then
    archive previous || return 1
    # What others made is kept for good: nothing else tells how it was.
    grep -q '"@label@managed"' "$dir/record" 2>/dev/null || archive adopted || return 1
    missing "$old" || dk rm -f "$old" || return 1
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
archive() {
  [ -n "${returns-}" ] || [ ! -e "$dir/record" ] || keep "$1.json" "$(cat "$dir/record")"
}
closed() {
  rm -f "$dir/journal"; sync "$dir"
}
put() { printf %s "$2" | base64 -d >"$1" && chmod 0400 "$1" && chown "$owner:0" "$1"; }
"""
