"""Bring a Nexus that runs to what its settings say."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State as Run
from pyinfra.context import host

from uplift.facts.nexus import Found
from uplift.facts.nexus import Nexus as Server
from uplift.facts.script import HiddenInput, read_quietly, saw
from uplift.operations import http, script
from uplift.secrets import fingerprint_key, require, resolve
from uplift.spec.errors import UpliftError
from uplift.spec.http import Anonymous, Answers, Basic, Request, Trouble, Way, render
from uplift.spec.nexus import Nexus, NotYet, Plan, Refused, State, Write, plan
from uplift.spec.nexus.errors import words
from uplift.spec.nexus.first import candidates, nobody
from uplift.spec.nexus.outcome import failure, remembered
from uplift.spec.nexus.prune import holding, questions
from uplift.spec.nexus.record import dump, load, path
from uplift.spec.nexus.state import WRITABLE, requests, understand
from uplift.spec.secret import Secret

ROUNDS = 4
"""One writes all; the second is needed where a user can sign in only since the first."""

ADDRESS = "http://127.0.0.1:28081"


@dataclass(frozen=True)
class _Server:
    """Where the server is, and what is wanted of it."""

    settings: Nexus
    address: str
    container: str
    way: Way | None = None

    @property
    def record(self) -> str:
        """Return where its host remembers it."""
        return path(self.address, self.way.connect if self.way else "")


@operation()
def configured(
    settings: Nexus,
    address: str = ADDRESS,
    container: str = "nexus",
    wait: int = 300,
    way: Way | None = None,
) -> Generator[PyinfraCommand, None, None]:
    """Configure a Nexus by its REST API: first password, realms, repositories, roles, users.

    + settings: what the server holds
    + address: of the server as its host sees it, with its context path
    + container: whose volume holds the first password; empty when the server is not in one
    + wait: seconds to wait until it has started
    + way: to a server with TLS, whose address has the name that its certificate is for

    One command reads everything, and what differs is written by another, each object after those
    that it needs; the server is then read again. A write that the server refuses is named in the
    server's words, and what needs it is left out. What the settings do not name is left alone.

    **Example:**

    .. code:: python

        nexus.configured(name="Nexus", settings=Nexus(admin=…, repositories=[…]))
    """
    server = _Server(settings, address.rstrip("/"), container, way)
    try:
        require(settings)
        found = _look(server)
        if found in (Trouble.NOTHING_LISTENS, NotYet.STARTING):
            script.announce(f"nexus: {server.address}: waited for, then configured")
            yield FunctionCommand(_await, (server, wait), {})
            found = _look(server)
        if isinstance(found, State):
            yield from _converge(server, found)
        elif found is not None:
            yield script.refuse(f"nexus: {server.address}: {found.value}")
    except UpliftError as error:
        yield script.refuse("\n".join(f"nexus: {line}" for line in str(error).splitlines()))


def _converge(server: _Server, state: State) -> Iterator[PyinfraCommand]:
    """Write and read again until nothing differs."""
    done: set[str] = set()
    for number in range(ROUNDS):
        state = replace(state, filled=_filled(server, state))
        todo = plan(server.settings, resolve, state, fingerprint_key())
        if todo.empty:
            if number == 0:
                host.noop(f"{state.version} at {server.address} is as wanted")
            return
        if not set(todo.lines) - done:
            msg = f"the server took these writes and did not change: {'; '.join(todo.lines)}"
            raise Refused(msg)
        if number == 0:
            for line in todo.lines:
                script.announce(f"nexus: {line}")
        done |= set(todo.lines)
        yield from _write(server, state, todo)
        found = _look(server)
        if not isinstance(found, State):
            msg = f"{server.address}: no answers after the writes; run again"
            raise Refused(msg)
        state = found
    msg = f"not done after {ROUNDS} rounds: {'; '.join(todo.lines)}"
    raise Refused(msg)


@dataclass
class _Outcome:
    """What came of some writes."""

    done: list[Write] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def _write(server: _Server, state: State, todo: Plan) -> Iterator[PyinfraCommand]:
    """Write, remember what was done of it, and fail when it was not all."""
    outcome = _Outcome()
    yield FunctionCommand(_send, (server, todo, outcome), {})
    record = remembered(state.record, outcome.done)
    if record != state.record:
        yield script.run(_REMEMBER, server.record, stdin=dump(record), timeout=60)
    if outcome.failed:
        yield script.refuse("\n".join(outcome.failed))


def _look(server: _Server) -> State | NotYet | Trouble | None:
    """Read the server, with the first password where the wanted one is not set yet.

    Raises:
        Refused: it does not answer as it must, or no password is right.
    """
    admin = server.settings.admin
    found, state = _ask(server, resolve(admin.password))
    if found is None or state is not NotYet.PASSWORD:
        return state
    tried = candidates(admin, resolve, found.first_password)
    for value in tried.values():
        _, state = _ask(server, value)
        if isinstance(state, State):
            return replace(state, first_password=value)
    raise Refused(nobody(admin, tried, server.container))


def _ask(server: _Server, password: Secret) -> tuple[Found | None, State | NotYet | Trouble | None]:
    asked = requests(server.settings, resolve)
    auth = Basic("admin", password)
    config = HiddenInput(render(list(asked.values()), server.address, auth, way=server.way))
    found = read_quietly(
        host,
        Server,
        config,
        address=server.address,
        container=server.container,
        record=server.record,
    )
    if found is None:
        return None, None
    answers = http.answers(found.sent, list(asked.values()))
    if answers.trouble is Trouble.NOTHING_LISTENS or _is_cut(answers):
        return found, Trouble.NOTHING_LISTENS
    if answers.trouble:
        msg = f"{server.address}: {answers}"
        raise Refused(msg)
    try:
        state = understand(server.settings, asked, answers.responses, load(found.record))
        return found, state if saw(host, "nexus.State", state, server.address) else None
    except Refused as error:
        msg = f"{server.address}: {error}"
        raise Refused(msg) from None


def _is_cut(answers: Answers) -> bool:
    """Did a proxy for the port listen, and nothing behind it?"""
    return answers.trouble is Trouble.FAILED and answers.detail.endswith((" 52", " 56"))


def _filled(server: _Server, state: State) -> frozenset[str]:
    """Return the repositories with components, among those that are to be deleted."""
    asked = questions(server.settings, state)
    if not asked:
        return frozenset()
    auth = _admin(server, state)
    answers = http.send(host, list(asked.values()), server.address, auth, way=server.way)
    if answers is None or answers.trouble:
        msg = f"{server.address}: {answers}"
        raise Refused(msg)
    return holding(asked, answers.responses)


def _admin(server: _Server, state: State) -> Basic:
    return Basic("admin", state.first_password or resolve(server.settings.admin.password))


def _await(state: Run, host: Host, server: _Server, wait: int) -> bool:
    """Wait until the server has started."""
    asked, address = [Request("GET", WRITABLE, auth=Anonymous())], server.address
    ready = f"{address}{WRITABLE}"
    if server.way:
        # The name may lead elsewhere from this host, or nowhere.
        ready = urlsplit(ready)._replace(netloc=server.way.connect).geturl()
    answers = http.send(host, asked, address, wait=wait, ready=ready, limit=60, way=server.way)
    if answers is None:
        return False
    if answers.trouble or answers.responses[0].status != 200:
        why = str(answers) if answers.trouble else words(answers.responses[0])
        text = f"nexus: {address}: not ready after {wait} s: {why}"
        host.log(text, log_func=logger.error)
        return False
    return True


def _send(state: Run, host: Host, server: _Server, todo: Plan, outcome: _Outcome) -> bool:
    """Send writes in one command, and note what came of each."""
    steps = [
        http.Step(write.request, needs)
        for write, needs in zip(todo.writes, todo.needs, strict=True)
    ]
    auth = Basic("admin", resolve(server.settings.admin.password))
    given = http.send_each(host, steps, server.address, auth, way=server.way)
    if given is None:
        return False
    for write, answers in zip(todo.writes, given, strict=True):
        why = failure(write, answers)
        if why is None:
            outcome.done.append(write)
            script.changed(f"nexus: {write}")
        else:
            outcome.failed.append(f"nexus: {write}: {why}")
    return True


# Only root writes below this folder.
_REMEMBER = r"""
set -eu
umask 077
install -d -m 0700 /var/lib/uplift
temp=$(mktemp "$1.uplift-XXXXXXXXXX")
trap 'rm -f -- "$temp"' EXIT
cat >"$temp"
sync -- "$temp"
mv -fT -- "$temp" "$1"
""".strip()
