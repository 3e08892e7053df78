"""Bring an InfluxDB 2.7 that runs to what its settings say."""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterator, Sequence

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State as Run
from pyinfra.context import host

from uplift.facts.influxdb import InfluxDB as Server
from uplift.facts.script import HiddenInput, read_quietly
from uplift.operations import http, script
from uplift.secrets import resolve
from uplift.spec.errors import UpliftError
from uplift.spec.http import Anonymous, Header, Request, Trouble, render
from uplift.spec.influxdb import InfluxDB, Plan, Refused, State, Write, plan
from uplift.spec.influxdb.errors import words
from uplift.spec.influxdb.plan import FileWrite, check_secrets
from uplift.spec.influxdb.state import MOST_PAGES, pages, requests, understand
from uplift.spec.secret import Secret

ROUNDS = 8
"""Setup, organisations and users, buckets, tokens, files, old tokens: each sees the one before."""

_NOTHING = Trouble.NOTHING_LISTENS


@operation()
def configured(settings: InfluxDB, wait: int = 60) -> Generator[PyinfraCommand, None, None]:
    """Set an InfluxDB 2.7 up, and keep organisations, buckets, users and tokens as wanted.

    + settings: what the server holds
    + wait: seconds to wait until something listens at its address

    One command reads everything, and only what differs is written. Where one thing needs another
    (a bucket its organisation), what can be written is, in one command, and the server is read
    again: a run that was killed goes on where it stood. Objects that the settings do not name are
    left alone. A retention that would delete points is refused before anything is written.

    **Example:**

    .. code:: python

        influxdb.configured(name="InfluxDB", settings=InfluxDB(setup=…, buckets=[…]))
    """
    try:
        check_secrets(settings, resolve)
        state = _read(settings)
        if state is Trouble.NOTHING_LISTENS:
            host.log(f"influxdb: waiting for {settings.address}")
            yield FunctionCommand(_await, (settings.address, wait), {})
            state = _read(settings)
        if isinstance(state, State):
            yield from _converge(settings, state)
        elif state is Trouble.NOTHING_LISTENS:
            yield script.refuse(f"influxdb: {settings.address}: {_NOTHING.value}")
    except UpliftError as error:
        yield script.refuse("\n".join(f"influxdb: {line}" for line in str(error).splitlines()))


def _converge(settings: InfluxDB, state: State) -> Iterator[PyinfraCommand]:
    """Write and read again until nothing differs."""
    done: set[str] = set()
    for number in range(ROUNDS):
        todo = plan(settings, resolve, state)
        if todo.empty:
            if number == 0:
                host.noop(f"InfluxDB at {settings.address} is as wanted")
            return
        now = {str(it) for it in (*todo.ready, *todo.files)}
        if not now - done:
            msg = f"the server took these writes and did not change: {'; '.join(todo.lines)}"
            raise Refused(msg)
        if number == 0:
            for line in todo.lines:
                host.log(f"influxdb: {line}")
        done |= now
        yield from _write(settings, todo)
        found = _read(settings)
        if not isinstance(found, State):
            return
        state = found
    msg = f"not done after {ROUNDS} rounds: {'; '.join(plan(settings, resolve, state).lines)}"
    raise Refused(msg)


def _token(settings: InfluxDB) -> Header:
    return Header("Authorization", Secret(f"Token {resolve(settings.setup.token).reveal()}"))


def _read(settings: InfluxDB) -> State | Trouble | None:
    """Read the server; None when the host has failed, or ``Trouble.NOTHING_LISTENS``.

    Raises:
        Refused: it does not answer as it must.
    """
    number = pages(settings)
    while number <= MOST_PAGES:
        asked = requests(settings, resolve, number)
        config = HiddenInput(render(asked, settings.address, _token(settings)))
        files = [token.file for token in settings.tokens]
        found = read_quietly(host, Server, config, address=settings.address, files=files)
        if found is None:
            return None
        answers = http.answers(found.sent, asked)
        if answers.trouble is Trouble.NOTHING_LISTENS:
            return answers.trouble
        if answers.trouble:
            msg = f"{settings.address}: {answers}"
            raise Refused(msg)
        state = understand(settings, answers.responses, number, found.files)
        if state is not None:
            return state
        number *= 2
    msg = f"{settings.address}: more than {MOST_PAGES} pages of organisations, users or buckets"
    raise Refused(msg)


def _await(state: Run, host: Host, address: str, wait: int) -> bool:
    """Wait until the server answers."""
    asked = [Request("GET", "/api/v2/setup", auth=Anonymous())]
    answers = http.send(host, asked, address, wait=wait)
    if answers is not None and answers.trouble:
        text = f"influxdb: {address}: {answers}, for {wait} s"
        host.log(text, log_func=logger.error)
    return answers is not None and answers.trouble is None


def _write(settings: InfluxDB, todo: Plan) -> Iterator[PyinfraCommand]:
    if todo.ready:
        yield FunctionCommand(_send, (settings, todo.ready), {})
    if todo.files:
        yield script.run(_FILES, stdin=_payload(todo.files), timeout=120)


def _send(state: Run, host: Host, settings: InfluxDB, writes: Sequence[Write]) -> bool:
    """Send writes in one command; name each that the server refuses, in its words."""
    asked = [write.request for write in writes if write.request is not None]
    answers = http.send(host, asked, settings.address, _token(settings))
    if answers is None:
        return False
    if answers.trouble:
        text = f"influxdb: {settings.address}: {answers}; some may have been done: run again"
        host.log(text, log_func=logger.error)
        return False
    good = True
    for write, response in zip(writes, answers.responses, strict=True):
        if not 200 <= response.status < 300:
            host.log(f"influxdb: {write}: {words(response)}", log_func=logger.error)
            good = False
    return good


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
