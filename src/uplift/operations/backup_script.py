"""The program on a host that takes, checks, lists and restores the backups of one subject.

It is the same for every subject but for a few functions of the subject's own (``HOOKS``). The timer
starts it, the deploys start it, and so may a person. It holds no secret: those stand in files of
root's own.

The subject's functions; each says why in ``$new/why`` when it fails:

- ``ask_live``: write what the running server says that it holds to ``$new/live``
- ``take_online TREE``: write the data of the running server to a folder, as it stands on the volume
- ``read_back TREE``: start a server of the same image on the folder, without network and port, and
  write what it says that it holds to ``$new/facts``; lines ``word number``
- ``compare``: whether ``$new/facts`` is all that the server holds
- ``waiting_for CONTAINER``: wait until the server in it serves
- ``is_empty``: the server holds nothing that a restore could destroy
- ``serves``: wait until the restored server says the same as ``$new/facts``
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from uplift.operations.backup_restore import RESTORE
from uplift.operations.backup_stopped import STOPPED
from uplift.spec.backup.models import Backup
from uplift.spec.backup.state import CONFIGURATION, KEY, STATE
from uplift.spec.container.state import STATE as CONTAINERS

TIME_LIMIT = 12 * 3600
"""Seconds for one backup or restore."""

_BASE = r"""
set -u
export LC_ALL=C PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
umask 077
own=@configuration@/$subject work=@state@/$subject
place=$target/$subject new=$work/new scratch=uplift-backup-$subject me=$(uname -n)
here=$(dirname "$work") part=

say() { printf 'uplift: backup of %s: %s\n' "$subject" "$*"; }
die() { say "FAILED: $*"; exit 1; }
why() { head -c 600 "$new/why" 2>/dev/null | tr '\n' ' '; }
dk() { timeout "${limit:-300}" docker -H unix:///var/run/docker.sock "$@" 8>&- 9>&-; }
room() { df -Pk "$1" | awk 'NR == 2 { print $4 }'; }
# $1 folder, $2 kB, $3 what for.
enough() {
  has=$(room "$1")
  [ "${has:-0}" -ge "$2" ] ||
    die "disk: $3 needs $(($2 / 1024)) MB in $1, $((${has:-0} / 1024)) MB are free"
}
# Shell text where the backups are: on this host or on another.
at() {
  if [ -z "$login" ]; then sh -c "umask 077; $1" 8>&- 9>&-; return; fi
  ssh -F none -T -p "$port" -i "$own/@key@" -o IdentitiesOnly=yes -o BatchMode=yes \
    -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$own/known_hosts" \
    -o GlobalKnownHostsFile=/dev/null -o HostKeyAlias=backup-target -o CheckHostIP=no \
    -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=8 -o LogLevel=ERROR \
    "$login" "umask 077; $1" 8>&- 9>&-
}
asked() { at "$1" </dev/null; }
# The newest first.
names() {
  all=$(asked "[ ! -e '$place' ] || { cd '$place' && ls -1; }") || return 1
  printf '%s\n' "$all" | grep -xE '[0-9]{8}T[0-9]{6}Z' | sort -r
}
# One backup or restore at a time.
alone() {
  mkdir -p "$work"; chmod 0700 "$here" "$work"
  exec 9>"$work/lock"
  flock -n 9
}
# No replacement of the container at the same time; the same lock as that of the replacement.
hold_container() {
  folder=@containers@/$container
  mkdir -p "$folder"
  exec 8>"$folder/lock"
  flock -w 600 8 || die "a replacement of container $container is at work"
  [ ! -s "$folder/journal" ] ||
    die "a replacement of container $container was interrupted: run its deploy first"
}
state_of() { dk inspect --type container --format "$1" "$container" 2>/dev/null; }
find_container() {
  dk version >/dev/null 2>&1 || die "the Docker daemon does not answer"
  image=$(state_of '{{.Image}}') || die "there is no container $container on this host"
  tag=$(state_of '{{.Config.Image}}')
  src=$(state_of "{{range .Mounts}}{{if eq .Destination \"$data\"}}{{.Source}}{{end}}{{end}}")
  [ -d "$src" ] || die "container $container has no volume or folder at $data"
}
# Stop the container so that nothing starts it but this program; resume is the way back.
halt() {
  policy=$(state_of \
    '{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}')
  case $policy in :*) policy=no ;; on-failure:0) policy=on-failure ;;
    on-failure:*) ;; *) policy=${policy%:*} ;; esac
  printf '%s %s\n' "$policy" "$(state_of '{{.State.Status}}')" >"$work/halted.new"
  sync "$work/halted.new"; mv "$work/halted.new" "$work/halted"
  still
}
# First that nothing starts it again; one that starts over and over cannot be updated before it is
# stopped, though.
still() {
  dk update --restart=no "$container" >/dev/null 2>&1
  (limit=3700; dk stop "$container") >/dev/null && dk update --restart=no "$container" >/dev/null
}
resume() {
  [ -e "$work/halted" ] || return 0
  read -r policy status <"$work/halted"
  case $status in exited|created|dead) ;; *) dk start "$container" >/dev/null || return 1 ;; esac
  dk update --restart="$policy" "$container" >/dev/null && rm -f "$work/halted"
}
# What a run that was killed left behind.
settle() {
  if [ -e "$work/aside" ]; then
    find_container; hold_container
    put_back && say "an interrupted restore was taken back"
  elif [ -e "$work/halted" ]; then
    hold_container
    resume && say "$container runs again after an interrupted backup"
  fi || die "what an interrupted run left could not be put right: $(why)"
  dk rm -f "$scratch" >/dev/null 2>&1
  rm -rf "$new"
}
"""

_TAKE = r"""
# The same folder of two hosts would have its backups removed by both.
claim() {
  owner=$(asked "mkdir -p '$place' && cd '$place' &&
    { [ -e origin ] || echo '$me' >origin; } && cat origin") ||
    die "cannot write to $place${login:+ on $login}"
  [ "$owner" = "$me" ] ||
    die "$place holds the backups of host $owner: give each host a target of its own, or remove" \
      "the file 'origin' there when this host took its place"
}
pack() {
  find "$new/tree" -printf '%s\n' | awk '{ kb += int(($1 + 4095) / 4096) * 4 }
    END { print int(kb) + 64 }' >"$new/kb"
  rm -f "$new/half"
  { tar -C "$new/tree" --numeric-owner -cpf - . || : >"$new/half"; } |
    gzip -1 >"$new/data.tar.gz" && [ ! -e "$new/half" ] &&
    gzip -t "$new/data.tar.gz" || die "the data cannot be packed"
  rm -rf "$new/tree"
}
unpack() { gzip -dc "$new/data.tar.gz" | tar -C "$1" --numeric-owner -xpf - 2>"$new/why"; }
# What is in the archive, not what went into it.
prove() {
  rm -rf "$new/tree"; mkdir "$new/tree"
  unpack "$new/tree" || die "the archive cannot be unpacked: $(why)"
  if [ -e "$new/listed" ]; then
    odd=$(listing "$new/tree" | comm -3 "$new/listed" - | head -n 1)
    [ -z "$odd" ] || die "the archive is not what was copied: $odd"
  fi
  : >"$new/why"
  read_back "$new/tree" || die "reading it back failed: $(why)"
  rm -rf "$new/tree"
}
describe() {
  { echo "format 1"; echo "subject $subject"; echo "name $name"; echo "host $me"
    echo "image $tag $image"; echo "method $method"
    echo "unpacked_kb $(cat "$new/kb")"; echo "bytes $(stat -c %s "$new/data.tar.gz")"
    [ -z "${stopped:-}" ] || echo "stopped_seconds $stopped"
    cat "$new/facts"
  } >"$new/manifest"
  ( cd "$new" && sha256sum data.tar.gz manifest >SHA256SUMS )
}
put() {
  part=$place/.partial-$name
  need=$(($(stat -c %s "$new/data.tar.gz") / 1024 + 1024))
  has=$(asked "rm -rf '$place'/.partial-* && mkdir '$part' && df -Pk '$part'" |
    awk 'NR == 2 { print $4 }')
  [ "${has:-0}" -ge "$need" ] ||
    die "disk: the backup needs $((need / 1024)) MB in $place, $((${has:-0} / 1024)) MB are free"
  for one in data.tar.gz manifest SHA256SUMS; do
    at "cat >'$part/$one'" <"$new/$one" || die "writing $place/$name failed"
  done
  asked "cat '$part/SHA256SUMS'" | cmp -s - "$new/SHA256SUMS" &&
    asked "cd '$part' && sha256sum -c SHA256SUMS >/dev/null && sync &&
      mv '$part' '$place/$name'" || die "what was written to $place is not what was sent"
  part=
}
# Names, the newest first; prints those that go.
surplus() {
  while read -r one; do
    echo "$one ${one%T*} $(date -u -d "${one%T*}" +%G%V)"
  done | awk -v last="$keep_last" -v daily="$keep_daily" -v weekly="$keep_weekly" '
    { stay = NR <= last
      if (!($2 in day)) { day[$2]; if (++days <= daily) stay = 1 }
      if (!($3 in week)) { week[$3]; if (++weeks <= weekly) stay = 1 }
      if (!stay) print $1 }'
}
prune() {
  for one in $(names | surplus); do
    asked "rm -rf '${place:?}/$one'" && say "$one removed: keep says so"
  done
}
take() {
  find_container
  mkdir -p "$new/tree"; : >"$new/why"
  trap 'dk rm -f "$scratch" >/dev/null 2>&1; rm -rf "$new"
    [ -z "$part" ] || asked "rm -rf '\''$part'\''"' EXIT
  claim
  size=$(du -sk "$src" | cut -f 1)
  enough "$work" $((size * 3 + 65536)) "a backup and reading it back"
  ask_live || die "$(why)"
  name=$(date -u +%Y%m%dT%H%M%SZ)
  if [ "$method" = stopped ]; then take_stopped "$new/tree"
  else take_online "$new/tree" || die "$(why)"; fi
  pack; prove
  compare || die "what was read back is not what the server holds: $(why)"
  describe; put; prune
  say "$name taken and read back: $(told <"$new/manifest")"
}
# A manifest in words.
told() {
  awk '$1 == "bytes" { size = $2 } $1 == "image" { image = $2 } $1 == "host" { host = $2 }
    $1 == "version" { image = image " " $2 }
    $1 ~ /^(buckets|points|repositories|blobs|damaged_blobs|stopped_seconds)$/ {
      more = more sprintf(", %s %s", $2, $1) }
    END { gsub("_", " ", more)
      printf "%.1f MB%s, of %s on %s\n", size / 1e6, more, image, host }'
}
list() {
  found=$(names) || die "${login:-this host}: the backups in $place cannot be read"
  [ -n "$found" ] || { say "there are none in ${login:+$login:}$place"; return; }
  for one in $found; do
    words=$(asked "cat '$place/$one/manifest'") || die "$one has no manifest"
    echo "$one  $(printf '%s\n' "$words" | told)"
  done
}
"""

_SUMS = r"""
# Whether the newest has its checksums still; asked where it is, nothing is copied.
sums() {
  found=$(names) || die "${login:-this host}: the backups in $place cannot be read"
  name=$(printf '%s\n' "$found" | head -n 1)
  [ -n "$name" ] || die "there are none in ${login:+$login:}$place"
  asked "cd '$place/$name' && sha256sum -c SHA256SUMS" || die "$name is damaged"
}
"""

_MAIN = r"""
verb=${1:-}
case $verb in
  list|sums) "$verb"; exit ;;
  take|check|restore|settle) ;;
  *) echo "usage: $0 take | list | sums | check NAME | restore NAME [replace]" >&2; exit 64 ;;
esac
[ "$(id -u)" = 0 ] || die "this needs root"
alone || { [ "$verb" != settle ] || exit 0; say "another backup or restore is at work"; exit 75; }
settle
case $verb in
  take) take ;;
  check) fetch "${2:-latest}" && prove && say "$name was read back: $(told <"$new/manifest")" ;;
  restore) restore "${2:-latest}" "${3:-}" ;;
esac
"""


def render(subject: str, backup: Backup, method: str, data: str, hooks: str) -> str:
    """Return the program for one subject; it holds no secret.

    Args:
        subject: name of what is backed up.
        backup: its settings.
        method: ``online`` or ``stopped``.
        data: path of the data in the container.
        hooks: shell functions of the subject, and variables of its own.
    """
    variables = {
        "subject": subject,
        "container": backup.container,
        "data": data,
        "method": method,
        "login": backup.place.login,
        "target": backup.place.path,
        "port": str(backup.ssh.port if backup.ssh else 22),
        "keep_last": str(backup.keep.last),
        "keep_daily": str(backup.keep.daily),
        "keep_weekly": str(backup.keep.weekly),
    }
    text = f"{_BASE}{STOPPED}{_TAKE}{_SUMS}{RESTORE}{hooks}{_MAIN}"
    words = {"configuration": CONFIGURATION, "state": STATE, "key": KEY, "containers": CONTAINERS}
    return f"{_HEAD}{assignments(variables)}{_replaced(text, words)}"


_HEAD = """#!/bin/sh
# Written by uplift (deploys/backup.py): what is changed here is put back with its next run.
# Usage: take | list | sums | check NAME | restore NAME [replace]; NAME may be 'latest'.
"""


def assignments(variables: Mapping[str, str]) -> str:
    """Return shell text that sets variables."""
    return "".join(f"{key}={shlex.quote(value)}\n" for key, value in variables.items())


def _replaced(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
