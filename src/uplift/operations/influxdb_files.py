"""The files of tokens: written whole, by root, where nobody else could lead it astray."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from pyinfra.api.command import StringCommand

from uplift.operations import kept, script
from uplift.spec.influxdb.writes import FileWrite


def write(files: Sequence[FileWrite]) -> StringCommand:
    """Return a command that writes token files.

    Args:
        files: which.
    """
    text = kept.keeping(_FILES, [file.path for file in files])
    return script.run(text, stdin=_payload(files), timeout=120)


def _payload(files: Sequence[FileWrite]) -> str:
    lines = [
        f"{file.path} {file.owner} {base64.b64encode(file.content.reveal().encode()).decode()}\n"
        for file in files
    ]
    return "".join([*lines, "end\n"])


# Root writes here: every folder on the way must be root's own, or its owner could put a link in
# the way. The owner is set before the content is there, and the file takes its place by rename.
_FILES = r"""
export LC_ALL=C
umask 077
failed=0
say() { printf 'influxdb: %s\n' "$*" >&2; failed=1; }
safe() {
  folder=$1
  while :; do
    if [ -L "$folder" ]; then echo "$folder is a link"; return 1; fi
    if [ ! -d "$folder" ]; then echo "there is no folder $folder"; return 1; fi
    if [ "$(stat -c %u "$folder")" != 0 ]; then echo "$folder is not root's"; return 1; fi
    case $(stat -c %A "$folder") in
      ?????w*|????????w*) echo "$folder may be written by others than root"; return 1 ;;
    esac
    [ "$folder" != / ] || return 0
    folder=${folder%/*}; folder=${folder:-/}
  done
}
# "set -e" means nothing where a function is asked whether it worked.
put() (
  id -u -- "$2" >/dev/null 2>&1 || { echo "there is no user $2"; exit 1; }
  temp=$(mktemp "${1%/*}/.${1##*/}.uplift-XXXXXXXXXX") || exit 1
  trap 'rm -f -- "$temp"' EXIT
  chown -- "$2:" "$temp" && printf '%s' "$3" | base64 -d >"$temp" &&
    sync -- "$temp" && mv -fT -- "$temp" "$1"
)
whole=0
while IFS=' ' read -r path owner content; do
  if [ "$path" = end ]; then whole=1; break; fi
  folder=${path%/*}
  if ! why=$(safe "${folder:-/}"); then say "$path: $why"
  elif ! why=$(put "$path" "$owner" "$content" 2>&1); then say "$path: $why"
  fi
done
[ "$whole" = 1 ] || say "the list of files was cut off: run again"
exit "$failed"
""".strip()
