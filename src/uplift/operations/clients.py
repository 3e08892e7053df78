"""Write the client files of a host and of its users, in one command."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Generator, Iterator, Sequence

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.clients import ClientFiles
from uplift.facts.script import read_quietly
from uplift.operations import http, kept, script
from uplift.secrets import fingerprint_key, resolve
from uplift.spec.clients import Clients
from uplift.spec.clients.login import SOCKET, Login, logins, refuse, trouble
from uplift.spec.clients.plan import Change, Plan, places, plan
from uplift.spec.clients.state import RECORD_PATH, HostState
from uplift.spec.clients.wanted import Wanted, wanted
from uplift.spec.container.state import REFUSED
from uplift.spec.errors import UpliftError
from uplift.spec.http import Trouble


@operation()
def present(
    settings: Clients, ca_bundle: str | None = None
) -> Generator[StringCommand, None, None]:
    """Bring every client file of a host to what the settings say, and touch nothing else in them.

    + settings: what the files hold
    + ca_bundle: file of certificates that the clients shall trust, when extra ones are installed

    One command reads all files, one writes those that differ. Each is written whole, by its own
    user, and only while it still is what was read. What cannot be merged is left as it is; the
    other files are still done, and the operation then fails and names file and line. What was
    written before and is no longer in the settings is removed, by the record in
    ``/var/lib/uplift/clients.json``. The host's Docker daemon tries each login before it is
    written; a file with one that its registry refuses is left as it is, and named.

    **Example:**

    .. code:: python

        clients.present(name="Client files", settings=Clients(users=[…]))
    """
    try:
        files = wanted(settings, resolve, ca_bundle)
        key = fingerprint_key()
    except UpliftError as error:
        yield script.refuse(f"clients: {error}")
        return
    state = read_quietly(host, ClientFiles, files=places(files))
    if state is None:
        return
    # While pyinfra only prepares, the registry may still have the password of before.
    if host.state.is_executing and (tried := logins(settings, resolve, state)):
        refused = _refused(tried)
        if refused is None:
            return
        files = refuse(files, refused)
    yield from _write(files, state, key)


def _refused(tried: Sequence[Login]) -> dict[Login, str] | None:
    """Have the host's Docker daemon try each login, all in one remote command.

    Returns:
        Those that a registry refuses, with the reason; None when the host has failed.
    """
    requests = [login.request for login in tried]
    answers = http.send(host, requests, "http://docker", socket=SOCKET)
    if answers is None:
        return None
    if answers.trouble is Trouble.NOTHING_LISTENS:  # no Docker here
        return {}
    if answers.trouble:
        host.log(f"clients: logins of Docker not tried: {answers}", log_func=logger.warning)
        return {}
    found = {}
    for login, response in zip(tried, answers.responses, strict=True):
        if (reason := trouble(response)) and reason.startswith(REFUSED):
            found[login] = reason
        elif reason:
            host.log(f"clients: {login} not tried: {reason}", log_func=logger.warning)
    return found


def _write(files: list[Wanted], state: HostState, key: bytes) -> Iterator[StringCommand]:
    if state.uid != 0:
        yield script.refuse("clients: only root can write the files of all users: set _sudo = True")
        return
    try:
        todo = plan(files, state, key=key, salt=secrets.token_hex(16))
    except UpliftError as error:
        yield script.refuse(f"clients: {error}")
        return
    for line in todo.warnings:
        host.log(f"clients: {line}", log_func=logger.warning)
    for line in todo.lines:
        script.changed(f"clients: {line}")
    if todo.errors and not todo.is_empty:
        script.foresee("\n".join(f"clients: {error}" for error in todo.errors))
    if todo.is_empty and todo.errors:
        yield script.refuse("\n".join(f"clients: {error}" for error in todo.errors))
    elif todo.is_empty:
        host.noop(f"{len(files)} client files are as they should be")
    else:
        text = kept.keeping(_SCRIPT, [RECORD_PATH, *map(_path, todo.changes)])
        yield script.run(text, stdin=payload(todo), timeout=300)


def _path(change: Change) -> str:
    place = change.place
    return f"/{place.relative}" if place.is_host else f"~{place.user}/{place.relative}"


def payload(todo: Plan) -> str:
    """Return what the script on the host reads: one line a step, contents in base64.

    Args:
        todo: what to do.
    """
    return "".join(f"{' '.join(words)}\n" for words in _steps(todo))


def _steps(todo: Plan) -> Iterator[list[str]]:
    yield ["seen", todo.seen]
    for error in todo.errors:
        yield ["fail", _encode(error.encode())]
    if todo.first is not None:
        yield ["record", "always", _encode(todo.first.encode())]
    for change in todo.changes:
        place = change.place
        rights = [place.mode, place.folder_mode]
        yield [
            change.action, place.user, place.relative, *rights, change.expect,
            _encode(change.content),
        ]  # fmt: skip
    if todo.last is not None:
        yield ["record", "done", _encode(todo.last.encode())]
    yield ["end"]


def _encode(content: bytes) -> str:
    return f"-{base64.b64encode(content).decode()}"


# A file is written by its own user, so that no link which that user puts in the way can lead root
# astray; only comparing with what was read is done by root. Nothing is ever half written: the
# content goes into a temporary file beside it, which takes its place by one rename.
_SCRIPT = r"""
export LC_ALL=C
umask 077
record=RECORD
folder=${record%/*}
unwritten=0
failed=0
say() { printf 'clients: %s\n' "$*" >&2; failed=1; }
# Whoever sends the steps must be able to end them before the reason can be heard.
fail() { cat >/dev/null; say "$*"; exit 1; }
for program in flock setpriv; do
  command -v "$program" >/dev/null 2>&1 ||
    fail "$program is missing on this host: install the package util-linux"
done
mkdir -p -- "$folder" && chown 0:0 "$folder" && chmod 0700 "$folder" || fail "cannot own $folder"
exec 9>"$folder/clients.lock"
flock -w 120 9 || fail "another run has been writing here for two minutes"

# The hash of a file, "absent", or another word for what is no file.
current() {
  if [ -L "$1" ]; then echo link
  elif [ ! -e "$1" ]; then echo absent
  elif [ ! -f "$1" ]; then echo other
  else dd if="$1" iflag=nofollow,nonblock bs=64k 2>/dev/null | sha256sum | cut -c 1-64
  fi
}
# Run as a user: uid, gid, command.
as() {
  if [ "$1" = "$(id -u)" ]; then shift 2; "$@" 9>&-; return; fi
  uid=$1; gid=$2; shift 2
  setpriv --reuid="$uid" --regid="$gid" --init-groups -- "$@" 9>&-
}
file() {
  if [ "$2" = / ]; then entry=/:x:0:0::/:
  else entry=$(getent passwd "$2") || { echo "the user $2 does not exist"; return 1; }; fi
  home=${entry%:*}; home=${home##*:}
  ids=${entry#*:*:}; uid=${ids%%:*}; ids=${ids#*:}; gid=${ids%%:*}
  if [ "$(current "${home%/}/$3")" != "$6" ]; then
    echo "changed since it was read: run again"; return 1
  fi
  printf '%s' "${7#-}" | as "$uid" "$gid" sh -c "$step" uplift "$1" "$home" "$3" "$4" "$5" "$gid"
}
# What this run does was decided by the record: one by another run since would be lost.
check_record() {
  there=absent
  if [ -f "$record" ] && [ ! -L "$record" ]; then there=$(current "$record"); fi
  [ "$there" = "$1" ] || fail "$record: changed since it was read: run again"
}
write_record() {
  temp=$(mktemp "$folder/.clients.json.uplift-XXXXXXXXXX") &&
    printf '%s' "${1#-}" | base64 -d >"$temp" && sync "$temp" && mv -fT "$temp" "$record" ||
    { say "cannot write $record"; unwritten=1; }
}
step=$(cat <<'STEP'
set -e
umask 077
refuse() { echo "its user may not write in the folder $1: give it back with chown" >&2; exit 1; }
base=${3##*/}
rest=$3
cd -P -- "$2"
while part=${rest%%/*}; [ "$part" != "$rest" ]; do
  rest=${rest#*/}
  if [ ! -d "$part" ]; then
    if [ "$1" != put ]; then exit 0; fi
    mkdir -m "$5" -- "$part"
  fi
  cd -P -- "$part" 2>/dev/null || refuse "$part"
done
[ -w . ] || refuse "$PWD"
for left in ."$base".uplift-??????????; do
  if [ -f "$left" ] || [ -L "$left" ]; then rm -f -- "$left"; fi
done
case $1 in
  clean) ;;
  remove) rm -f -- "$base" ;;
  put)
    temp=$(mktemp ."$base".uplift-XXXXXXXXXX)
    trap 'rm -f -- "$temp"' EXIT
    chgrp -- "$6" "$temp"
    chmod -- "$4" "$temp"
    base64 -d >"$temp"
    sync -- "$temp"
    mv -fT -- "$temp" "$base"
    ;;
  *) echo "no such step: $1" >&2; exit 1 ;;
esac
STEP
)
rm -f -- "$folder"/.clients.json.uplift-??????????
whole=0
while IFS=' ' read -r verb one two three four five six; do
  case $verb in
    seen) check_record "$one" ;;
    fail) say "$(printf '%s' "${one#-}" | base64 -d)" ;;
    record) if [ "$one" = always ] || [ "$unwritten" = 0 ]; then write_record "$two"; fi ;;
    put|remove|clean)
      if ! said=$(file "$verb" "$one" "$two" "$three" "$four" "$five" "$six" 2>&1); then
        if [ "$one" = / ]; then path=/$two; else path="~$one/$two"; fi
        say "$path: $said"; unwritten=1
      fi ;;
    end) whole=1 ;;
    *) say "no such step: $verb" ;;
  esac
done
[ "$whole" = 1 ] || say "the list of steps was cut off: run again"
exit "$failed"
""".replace("RECORD", RECORD_PATH).strip()
