"""Keep what a run of ``uplift rollout`` changes as it was before, and put it back.

The one place for all operations that write files: each names them where it yields the command that
writes them. Called by pyinfra alone, nothing is kept: nothing would go back to it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Generator, Iterable

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.kept import LOOK, KeptOf
from uplift.facts.script import read_quietly
from uplift.operations import script
from uplift.spec.kept import RUN, RUNS


def folder() -> str:
    """Return where this run keeps what was before it on a host; empty when it keeps nothing."""
    run = os.environ.get(RUN, "")
    return f"{RUNS}/{run}" if run else ""


def keeping(text: str, files: Iterable[str], then: str = "") -> str:
    """Return shell text that keeps files as they were, around the text that writes them.

    Args:
        text: POSIX shell, run by root; it may exit.
        files: that it may write or remove: ``/PATH``, or ``~USER/PATH``. A path that leads through
            a link is not kept.
        then: shell text that has to follow when they are put back, and can be done twice.
    """
    if not (root := folder()):
        return text
    head = f"kept_root={shlex.quote(root)}\nkept_then={shlex.quote(then)}\n"
    each = f'each_kept() {{ "$1" {shlex.join(files)} </dev/null; }}\n'
    return (
        f"{head}{LOOK}{_KEEP}{each}each_kept kept_before || exit 1\n"
        f"(\n{text}\n)\nkept_rc=$?\neach_kept kept_after\nexit $kept_rc\n"
    )


# What was kept first is from before the run. Until "after" is written again, nobody can tell a
# change of somebody else from the run's own.
_KEEP = r"""
kept_path() {
  case $1 in
    "~"*) kept_user=${1#"~"}; kept_rest=${kept_user#*/}; kept_user=${kept_user%%/*}
      kept_home=$(getent passwd "$kept_user" | cut -d : -f 6)
      kept_home=$(cd -P -- "${kept_home:-/nonexistent}" 2>/dev/null && pwd -P) || return 1
      echo "${kept_home%/}/$kept_rest" ;;
    *) echo "$1" ;;
  esac
}
kept_of() { echo "$kept_root/files/$(printf %s "$1" | sha256sum | cut -c 1-32)"; }
kept_write() { cat >"$1.new" && sync "$1.new" && mv -T "$1.new" "$1"; }
kept_one() (
  umask 077
  to=$(kept_of "$1"); mkdir -p "$to" && rm -f "$kept_root/followed" || exit 1
  now=$(state "$1")
  if [ -s "$to/before" ]; then
    before=$(cat "$to/before"); after=$(cat "$to/after" 2>/dev/null) || after=$now
    [ "$now" = "$before" ] || [ "$now" = "$after" ] || : >"$to/between"
    rm -f "$to/after"; sync "$to"; exit
  fi
  case $now in *:*)
    rm -f "$to/bytes"
    enter "$1" && dd if="./$base" iflag=nofollow,nonblock of="$to/bytes" bs=64k 2>/dev/null &&
      chmod 0400 "$to/bytes" && sync "$to/bytes" || exit 1
    [ "$(sha256sum <"$to/bytes" | cut -c 1-64)" = "${now%%:*}" ] || exit 1 ;;
  esac
  printf %s "$1" | kept_write "$to/path" && printf %s "$kept_then" | kept_write "$to/then" &&
    echo "$now" | kept_write "$to/before"
)
kept_before() {
  for kept do
    kept_file=$(kept_path "$kept") || continue
    kept_one "$kept_file" || {
      echo "uplift: $kept_file: cannot be kept in $kept_root" >&2; return 1; }
  done
}
kept_after() {
  for kept do
    kept_file=$(kept_path "$kept") || continue
    state "$kept_file" | (umask 077; kept_write "$(kept_of "$kept_file")/after") ||
      echo "uplift: $kept_file: cannot be noted in $kept_root" >&2
  done
}
"""

# $1 the run, then the ids of files. The copy gets owner and mode where nobody else is, and keeps
# them on its way: in a folder of somebody else, a change by name could be led to another file.
_RESTORE = r"""
export LC_ALL=C
umask 077
@look@
root=@runs@/$1; shift
failed=0
restore() (
  one=$root/files/$1; path=$(cat "$one/path"); before=$(cat "$one/before")
  after=$(cat "$one/after" 2>/dev/null) || after=none
  if ! enter "$path"; then
    [ "$before" = absent ] && [ ! -e "$folder" ] && exit 0
    echo "$path: its folder is gone, or reached by a link" >&2; exit 1
  fi
  now=$(look "$base")
  [ "$now" != "$before" ] || exit 0
  [ "$now" = "$after" ] && [ ! -e "$one/between" ] || {
    echo "$path: somebody changed it after the run had written it" >&2; exit 1; }
  case $before in
    absent) rm -f -- "./$base" ;;
    *:*)
      rights=${before#*:}; temp=./.$base.uplift-$$
      cp "$one/bytes" "$one/copy" && chown "${rights#*:}" "$one/copy" &&
        chmod "${rights%%:*}" "$one/copy" &&
        cp --preserve=mode,ownership --remove-destination -T "$one/copy" "$temp" &&
        sync "$temp" && mv -fT "$temp" "./$base" || { rm -f "$temp" "$one/copy"; exit 1; }
      rm -f "$one/copy" ;;
    *) exit 1 ;;
  esac
)
for id do
  restore "$id" || { echo "uplift: $(cat "$root/files/$id/path"): not put back" >&2; failed=1; }
done
for id do sha256sum <"$root/files/$id/then"; done | sort -u | while read -r sum _; do
  for id do
    [ "$(sha256sum <"$root/files/$id/then")" = "$sum  -" ] || continue
    sh "$root/files/$id/then" </dev/null || exit 1
    break
  done
done || { echo "uplift: what has to follow the files has failed" >&2; failed=1; }
[ "$failed" != 0 ] || { : >"$root/followed"; sync "$root"; }
exit "$failed"
""".replace("@look@", LOOK).replace("@runs@", RUNS)


@operation()
def restored(run: str) -> Generator[StringCommand, None, None]:
    """Put back the files that a run has written, byte for byte, with owner and mode.

    + run: its id

    What was not there before is removed. A file that somebody changed after the run had written it
    stays as it is, and so does one that was reached by a link; the others are still put back, and
    the operation then fails.

    **Example:**

    .. code:: python

        kept.restored(name="Files as before", run="20261121T191523Z-77fa")
    """
    found = read_quietly(host, KeptOf, run=run)
    if found is None:
        return
    for one in found.files:
        if one.stays:
            host.log(f"{one.path}: stays: {one.stays}")
    todo = [one for one in found.files if not one.is_back and not one.stays]
    # Of those that are back, what has to follow may not have been done.
    ids = [one.id for one in found.files if not one.stays]
    if not todo and (found.followed or not ids):
        host.noop(f"{len(ids)} files are as before")
        return
    told = [f"{one.path}: put back as it was before {run}" for one in todo]
    for line in told:
        script.announce(line)
    yield script.run(_RESTORE, run, *ids, timeout=600)
    for line in told:
        script.changed(line)
