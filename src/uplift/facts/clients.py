"""Read all client files of a host in one command."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.spec.clients.state import RECORD_PATH, FileState, HostState, Place, User
from uplift.spec.clients.text import LIMIT

# Arguments: USER:FILE:FILE…, a user "/" for the host. The record names more files, one a line.
# What is read belongs to people who could put a link in its place at any moment, and root reads
# it: folders are entered step by step, and nothing is opened through a link (dd's nofollow).
_SCRIPT = (
    r"""
export LC_ALL=C
record=RECORD
folder=${record%/*}
line() { printf '%s' "$1"; shift; printf '\t%s' "$@"; printf '\n'; }
content() {
  dd if="$1" iflag=nofollow,nonblock,fullblock bs=LIMIT count=1 2>/dev/null | base64 -w 0
}
enter() {
  cd -P -- "$1" 2>/dev/null || { echo no-home; return 1; }
  here=$(pwd -P); rest=$2
  while part=${rest%%/*}; [ "$part" != "$rest" ]; do
    rest=${rest#*/}; here=${here%/}/$part
    if [ -L "$part" ]; then echo parent-link; return 1
    elif [ ! -e "$part" ]; then echo absent; return 1
    elif [ ! -d "$part" ]; then echo parent-file; return 1
    elif ! cd -P -- "$part" 2>/dev/null; then echo unreadable; return 1
    elif [ "$(pwd -P)" != "$here" ]; then echo parent-link; return 1
    fi
  done
}
look() (
  base=${3##*/}
  enter "$2" "$3" >"/dev/null" || { line file "$1" "$3" "$(enter "$2" "$3")"; exit; }
  set -- "$1" "$2" "$3" ."$base".uplift-??????????
  left=$(($# - 3)); [ -e "$4" ] || left=0
  if [ -L "$base" ]; then line file "$1" "$3" link
  elif [ ! -e "$base" ]; then line file "$1" "$3" absent "$left"
  elif [ -d "$base" ]; then line file "$1" "$3" folder
  elif [ ! -f "$base" ]; then line file "$1" "$3" special
  else
    rights=$(stat -c '%a	%u:%g	%s' "./$base")
    line file "$1" "$3" file "$left" "$rights" "-$(content "./$base")"
  fi
)
user() {
  if [ "$1" = / ]; then entry=/:x:0:0::/:; else entry=$(getent passwd "$1") || return 1; fi
  home=${entry%:*}; home=${home##*:}
  ids=${entry#*:*:}; uid=${ids%%:*}; ids=${ids#*:}; gid=${ids%%:*}
  line user "$1" "$uid" "$gid" "$home"
}
look_at() {
  name=${1%%:*}; files=${1#*:}
  user "$name" || { line user "$name" none; return; }
  while [ -n "$files" ]; do
    file=${files%%:*}
    case $seen in *"|$name:$file|"*) ;; *) look "$name" "$home" "$file" ;; esac
    seen="$seen|$name:$file|"
    case $files in *:*) files=${files#*:} ;; *) files= ;; esac
  done
}
seen=
line uid "$(id -u)"
[ ! -d "$folder" ] || line folder "$(stat -L -c '%a %u:%g' "$folder")"
for one in "$@"; do look_at "$one"; done
if [ -f "$record" ] && [ ! -L "$record" ]; then
  line record "-$(base64 -w 0 "$record")"
  names=$(sed -n 's/^"\([^"|]*\)|\([^"]*\)": {.*/\1:\2/p' "$record")
  while IFS= read -r one; do [ -z "$one" ] || look_at "$one"; done <<EOT
$names
EOT
fi
echo end
""".replace("RECORD", RECORD_PATH)
    .replace("LIMIT", str(LIMIT + 1))
    .strip()
)


class ClientFiles(FactBase[HostState | None]):
    """Return the client files of a host as :class:`HostState`; None when they cannot be read.

    Their contents are secret, and pyinfra prints a fact's output at ``-vvv``: operations read by
    :func:`uplift.facts.script.read_quietly`.
    """

    def command(self, files: Sequence[Place]) -> StringCommand:
        """Read everything in one command.

        Args:
            files: what to look at; the files of the record on the host come on top.
        """
        groups = groupby(sorted(set(files)), key=lambda place: place.user)
        words = [":".join([user, *(place.relative for place in some)]) for user, some in groups]
        quoted = [QuoteString(word) for word in words]
        return StringCommand("sh", "-c", QuoteString(_SCRIPT), "uplift", *quoted)

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def process(self, output: Iterable[str]) -> HostState:
        """Turn the lines of the script into a value."""
        lines = [line.split("\t") for line in output]
        if not lines or lines[-1] != ["end"]:
            msg = "the list of client files was cut off"
            raise FactProcessError(msg)
        users = {words[1]: words[2:] for words in lines if words[0] == "user"}
        there = {name: User(*words) for name, words in users.items() if words != ["none"]}
        single = {words[0]: words[1] for words in lines if words[0] in ("uid", "folder", "record")}
        record = _decode(single["record"]) if "record" in single else None
        return HostState(
            uid=int(single["uid"]),
            users=there,
            files=dict(_file(words, there) for words in lines if words[0] == "file"),
            record=None if record is None else record.decode(errors="replace"),
            record_sha256="absent" if record is None else hashlib.sha256(record).hexdigest(),
            folder=single.get("folder"),
        )


def _file(words: list[str], users: dict[str, User]) -> tuple[Place, FileState]:
    _, name, relative, status, *more = words
    place = Place(name, relative)
    path = f"{users[name].home.rstrip('/')}/{relative}"
    if status != "file":
        return place, FileState(status, path, leftovers=int(more[0]) if more else 0)
    leftovers, mode, owner, size, content = more
    data = _decode(content)
    if int(size) > LIMIT:
        return place, FileState("large", path)
    if len(data) != int(size):
        return place, FileState("unreadable", path)
    return place, FileState("file", path, mode, owner, data, int(leftovers))


def _decode(text: str) -> bytes:
    # The script puts a '-' first, so that an empty file leaves no blanks at the end of a line.
    return base64.b64decode(text.removeprefix("-"))
