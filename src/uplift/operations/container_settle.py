"""Shell functions that go through a replacement, take it back, and settle an interrupted one."""

from __future__ import annotations

UNDO = r"""
seen() { grep -qx "$1" "$dir/journal"; }
known() {
  old=$(kept old) new=$(kept new) stamp=$(kept stamp)
  # A crash between making it and writing down its id.
  [ -n "$new" ] || new=$(id_of "$next") || :
}
take_away() {
  [ -z "$new" ] || missing "$new" || dk rm -f "$new" || return 1
  missing "$next" || dk rm -f "$next"
}
# Only what was prepared, or a new server may have written to, is put back.
data_back() {
  seen "prepare before" && [ -e "$dir/copies" ] || return 0
  while IFS="$(printf '\t')" read -r path copy; do
    if [ -d "$copy" ]; then
      mkdir -p "$path" && find "$path" -mindepth 1 -delete &&
        cp -a --reflink=auto "$copy/." "$path/" || return 1
    else cp -a "$copy" "$path" || return 1; fi
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
  [ "$(kept running)" != yes ] || case $(status "$old") in
    running|paused|restarting) ;;
    *) dk start "$old" ;;
  esac
}
# What is done is not done again: after the data is back, the old one may write to it.
undo() {
  failed=$reason
  for part in @undo@; do
    seen "$part after" && continue
    mark "$part before"
    firmly "$part" || { note "taking back stopped at $part: $(why)"; return 1; }
    mark "$part after"
  done
  if [ -z "$old" ]; then note "there was no container before; the new one was removed"
  elif [ "$(kept running)" != yes ]; then note "the container of before is back, stopped as it was"
  elif firmly wait_good "$old"; then note "the container of before serves again$(downtime)"
  else note "the container of before was started$(downtime), and is not healthy: $(why)"; fi
  reason=$failed
  # They are what the data is again.
  forget_copies
  closed
}
downtime() {
  began=$(kept down)
  [ -z "$began" ] || printf ' after %s s' "$(seconds "$began" "${good_at:-$(date +%s%N)}")"
}
"""

SETTLE = r"""
# A new one that serves may hold what clients wrote since: it stays when it is good.
proved() {
  case $at in
    "healthy after"|"finish "*) return ;;
    "start "*|"healthy before") ;;
    *) return 1 ;;
  esac
  [ -n "$new" ] && [ "$(status "$new")" = running ] && firmly wait_good "$new" &&
    { mark "healthy after" || :; }
}
settle() {
  [ -s "$dir/journal" ] || return 0
  firmly true || { headline "FAILED: $(why)"; exit 1; }
  known; at=$(tail -n 1 "$dir/journal")
  note "a replacement had been interrupted at: $at"
  if proved; then firmly do_finish && note "it was finished"
  else undo && note "it was taken back"; fi || {
    headline "FAILED: an interrupted replacement could not be settled: $(why)"; exit 1; }
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
  for one in last.log old new policy running down stamp copies copies.new record; do
    rm -f "$dir/$one"
  done
  keep stamp "$stamp" && keep old "$old" || lost
  [ -z "$old" ] || {
    policy=$(dk inspect --format \
      '{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}' "$old")
    case $policy in :*) policy=no ;; on-failure:0) policy=on-failure ;;
      on-failure:*) ;; *) policy=${policy%:*} ;; esac
    keep policy "$policy" && remember || lost
    [ "$(dk inspect --format '{{.State.Running}}' "$old")" != true ] || keep running yes || lost; }
  keep_for_rollout || lost
}
# What a rollout goes back to is what was there before its first change, whatever comes after.
keep_for_rollout() {
  [ -n "${rollout-}" ] || return 0
  to=$rollout/containers/$name
  mkdir -p "$to" || return 1
  [ -z "$stays" ] || printf '%s\n' "$stays" >"$to/stays" || return 1
  [ ! -e "$to/record" ] || return 0
  rm -rf "$to/secrets"
  [ ! -d "$secrets" ] || cp -a "$secrets" "$to/secrets" || return 1
  if [ -n "$old" ]; then cp "$dir/record" "$to/record.new"; else : >"$to/record.new"; fi &&
    sync && mv "$to/record.new" "$to/record" && sync "$to"
}
lost() { headline "FAILED: what runs cannot be written down in $dir; nothing was touched"; exit 1; }
# As it was before anything was done to it: what a way back is made from.
remember() {
  {
    printf '{"container": '; dk inspect --type container "$old" || return 1
    printf ', "image": '
    dk image inspect "$(dk inspect --format '{{.Image}}' "$old")" 2>/dev/null || :
    printf '}\n'
  } >"$dir/record.new" && sync "$dir/record.new" && mv "$dir/record.new" "$dir/record"
}
# What this run has read is not so any more.
unsettled() {
  [ -s "$dir/journal" ] || return 1
  headline "FAILED: another replacement was interrupted in the meantime: run again"; exit 1
}
replace() {
  unsettled || begin
  for one in @steps@; do
    step "$one" || {
      # Good is good: what remains is tidying up, and the next run does it.
      [ "$one" != finish ] || { headline "FAILED: done, but not tidied up: $(why)"; exit 1; }
      fail; }
    [ "$one" != healthy ] || note "healthy$(downtime)"
  done
}
noted() {
  [ -n "${rollout-}" ] || return 0
  old=$(id_of "$current") && remember && keep_for_rollout || lost
}
mend() {
  unsettled || noted && mend_steps || {
    headline "FAILED: $(why)"; last_words "$(id_of "$name")"; exit 1; }
}
"""
