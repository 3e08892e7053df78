"""The part of the backup program that restores.

What is there is moved aside, so that putting it back is a rename; where the folder beside it is on
another file system, it is copied. The place is written to a file first. A run that finds that file
puts everything back before it does anything.
"""

RESTORE = r"""
# Nothing is touched here before every byte is proved to be what was written.
fetch() {
  mkdir -p "$new"; : >"$new/why"
  trap 'dk rm -f "$scratch" >/dev/null 2>&1; rm -rf "$new"' EXIT
  find_container
  found=$(names) || die "${login:-this host}: the backups in $place cannot be read"
  case $1 in latest) name=$(printf '%s\n' "$found" | head -n 1) ;; *) name=$1 ;; esac
  printf '%s\n' "$found" | grep -qxF -- "${name:-none}" || die "there is no backup ${name:-}" \
    "in ${login:+$login:}$place; there are: $(printf '%s' "${found:-none}" | tr '\n' ' ')"
  for one in SHA256SUMS manifest; do
    asked "cat '$place/$name/$one'" >"$new/$one" || die "$name: its $one cannot be read"
  done
  kb=$(sed -n 's/^unpacked_kb \([0-9][0-9]*\)$/\1/p' "$new/manifest")
  enough "$work" $((2 * ${kb:-0} + 65536)) "reading $name back"
  asked "cat '$place/$name/data.tar.gz'" >"$new/data.tar.gz" || die "$name cannot be read"
  [ "$(sed 's/.*  //' "$new/SHA256SUMS" | tr '\n' ' ')" = "data.tar.gz manifest " ] &&
    ( cd "$new" && sha256sum -c SHA256SUMS >/dev/null 2>&1 ) &&
    grep -qx "subject $subject" "$new/manifest" && grep -qx "format 1" "$new/manifest" ||
    die "$name is damaged: its files do not have the checksums of its manifest; nothing was touched"
}
# Everything in the data folder goes to a folder beside it; where that is another file system, it is
# copied, and that needs its space. The phases: copying (the data folder is whole), moving (each
# thing is in one of the two), filling (the folder beside it is whole).
put_aside() {
  aside=$(dirname "$src")/.uplift-before-restore/$(date -u +%Y%m%dT%H%M%SZ)
  mkdir -p "$aside" || return 1
  phase=moving
  beside || { phase=copying
    enough "$aside" "$(du -sk "$src" | cut -f 1)" "what is there now"; }
  printf '%s\n%s\n%s\n' "$phase" "$aside" "$(stat -c '%a %u:%g' "$src")" >"$work/aside.new" &&
    sync "$work/aside.new" && mv "$work/aside.new" "$work/aside" || return 1
  if [ "$phase" = moving ]; then
    move "$src" "$aside" && phase filling
  else
    cp -a "$src/." "$aside/" && phase filling && find "$src" -mindepth 1 -delete
  fi
}
beside() { [ "$(stat -c %d "$src")" = "$(stat -c %d "$aside")" ]; }
move() { find "$1" -mindepth 1 -maxdepth 1 -exec mv -t "$2" -- {} +; }
phase() { sync && sed -i "1s/.*/$1/" "$work/aside" && sync; }
# It can be killed anywhere and done again: nothing is deleted that is not whole in the other place.
put_back() {
  { read -r phase; read -r aside; read -r mode owner; } <"$work/aside" || return 1
  still || return 1
  if [ "$phase" = filling ]; then
    [ -d "$aside" ] && find "$src" -mindepth 1 -delete || return 1
    if beside; then phase moving && phase=moving
    else cp -a "$aside/." "$src/" && phase copying && phase=copying; fi || return 1
  fi
  case $phase in
    moving) [ ! -d "$aside" ] || { move "$aside" "$src" && rmdir "$aside"; } || return 1 ;;
    copying) rm -rf "$aside" ;;
  esac
  chmod "$mode" "$src" && chown "$owner" "$src" && sync && rm -f "$work/aside" && resume
}
undo() {
  what=$*
  if put_back; then die "$what; the state of before is back"
  else die "$what; putting back the state of before failed as well: it is in $aside"; fi
}
restore() {
  fetch "$1"
  [ "${2:-}" = replace ] || is_empty ||
    die "$container holds data, which $name would replace: add --data replace=yes" \
      "(here on the host: restore $name replace)"
  enough "$(dirname "$src")" "$((${kb:-0} + 65536))" "the restored data"
  prove
  hold_container
  halt || { resume; die "container $container cannot be stopped"; }
  put_aside || undo "what is there cannot be put aside"
  unpack "$src" || undo "unpacking failed: $(why)"
  sync
  dk start "$container" >/dev/null 2>"$new/why" || undo "the server does not start: $(why)"
  : >"$new/why"
  serves || undo "the restored server does not serve what the backup holds: $(why)"
  # From here the restored data is what counts, also when this is killed.
  rm -f "$work/aside"; sync
  read -r policy status <"$work/halted"
  dk update --restart="$policy" "$container" >/dev/null && rm -f "$work/halted"
  find "$(dirname "$aside")" -mindepth 1 -maxdepth 1 ! -name "$(basename "$aside")" \
    -exec rm -rf {} +
  say "$name restored: $(told <"$new/manifest"); what was there before is in $aside"
}
"""
