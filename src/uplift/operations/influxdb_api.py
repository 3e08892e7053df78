"""Bring what an InfluxDB holds to what its settings say, through its REST API."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State as Run
from pyinfra.context import host

from uplift.facts.influxdb import InfluxDB as Server
from uplift.facts.script import HiddenInput, read_quietly, saw
from uplift.operations import http, influxdb_files, script
from uplift.secrets import keep, peek, resolve
from uplift.spec.errors import UpliftError
from uplift.spec.http import Anonymous, Answers, Header, Request, Response, Trouble, render
from uplift.spec.influxdb.errors import Refused, words
from uplift.spec.influxdb.models import InfluxDB, Token
from uplift.spec.influxdb.plan import Plan, plan, unlisted
from uplift.spec.influxdb.state import MOST_PAGES, State, pages, requests, understand
from uplift.spec.influxdb.tokens import check_proof
from uplift.spec.influxdb.writes import KeepWrite, Write
from uplift.spec.secret import Secret

ROUNDS = 10
"""Setup, organisations and users, buckets, tokens, places, proofs, old tokens: one by one."""

_STARTING = 503


def converge(settings: InfluxDB, wait: int, *, touched: bool) -> Iterator[PyinfraCommand]:
    """Give what brings a server to what the settings say, reading it until nothing differs.

    Args:
        settings: what the server shall hold.
        wait: seconds for a server that starts.
        touched: something of it was changed already.

    Raises:
        Refused: it must not be done, or cannot.
    """
    state = _read(settings)
    if isinstance(state, Answers):
        host.log(f"influxdb: waiting for {settings.address}: {_why(state)}")
        yield FunctionCommand(_await, (settings.address, wait), {})
        state = _read(settings)
    if isinstance(state, Answers):
        yield script.refuse(f"influxdb: {settings.address}: {_why(state)}")
    elif state is not None:
        yield from _converge(settings, state, touched=touched)


def _converge(settings: InfluxDB, state: State, *, touched: bool) -> Iterator[PyinfraCommand]:
    """Write and read again until nothing differs."""
    _report(settings, state)
    done: set[str] = set()
    shown: set[str] = set()
    proved: frozenset[str] = frozenset()
    for number in range(ROUNDS):
        todo = plan(settings, resolve, replace(state, proved=proved), lacking)
        if todo.empty:
            _spare(todo)
            if number == 0 and not touched:
                host.noop(f"InfluxDB at {settings.address} is as wanted")
            return
        now = {*(str(it) for it in (*todo.ready, *todo.files, *todo.keeps))}
        now |= {f"{it.subject}: {it.id} proved" for it in todo.proofs}
        if not now - done:
            msg = f"the server took these writes and did not change: {'; '.join(todo.lines)}"
            raise Refused(msg)
        for line in todo.lines:
            if line not in shown:
                _log(line)
        done |= now
        shown |= {*todo.lines}
        yield from _write(settings, todo)
        proved |= {it.id for it in todo.proofs}
        found = _read(settings)
        if not isinstance(found, State):
            return
        state = found
    msg = f"not done after {ROUNDS} rounds: {'; '.join(plan(settings, resolve, state).lines)}"
    raise Refused(msg)


def _log(line: str) -> None:
    script.changed(f"influxdb: {line}")


def _report(settings: InfluxDB, state: State) -> None:
    """Name what nobody asked for: it is left alone."""
    found = [] if state.fresh else unlisted(settings, resolve, state)
    if found:
        host.log(f"influxdb: not in the settings, left alone: {', '.join(found)}")


# Which client hosts have which token, and which tokens wait for them, in this run of pyinfra.

_held: set[tuple[str, Secret]] = set()
_sparing: set[str] = set()


def holds(name: str, value: Secret) -> None:
    """Note that a host has a token.

    Args:
        name: of the host.
        value: the token.
    """
    _held.add((name, value))


def is_sparing(name: str) -> bool:
    """Tell whether a server's old tokens wait for other hosts of this run.

    Args:
        name: of the server's host.
    """
    return name in _sparing


def _spare(todo: Plan) -> None:
    _sparing.discard(host.name)
    if todo.spared:
        _sparing.add(host.name)
    for line in todo.spared:
        _log(str(line))


def lacking(token: Token, value: Secret) -> Sequence[str]:
    """Return the hosts of the inventory that shall have a token and did not get it in this run.

    Args:
        token: of the settings.
        value: what the server calls right.
    """
    if token.secret is None:
        return ()
    return [
        one.name
        for one in host.state.inventory
        if _needs(one, token.secret.secret) and (one.name, value) not in _held
    ]


def _needs(one: Host, secret: str) -> bool:
    """Does the data of a host name this token? What is no good data is found elsewhere."""
    block = one.data.get("influxdb_client") or {}
    listed = block.get("tokens", ()) if isinstance(block, dict) else ()
    return any((it.get("secret") or {}).get("secret") == secret for it in listed)


# Reading


def _token(settings: InfluxDB) -> Header:
    return Header("Authorization", Secret(f"Token {resolve(settings.setup.token).reveal()}"))


def _read(settings: InfluxDB) -> State | Answers | None:
    """Read the server; None when the host has failed, the answers while it is not there yet.

    Raises:
        Refused: it does not answer as it must.
    """
    number = pages(settings)
    while number <= MOST_PAGES:
        asked = requests(settings, resolve, number)
        config = HiddenInput(render(asked, settings.address, _token(settings)))
        files = [token.file for token in settings.tokens if token.file]
        found = read_quietly(host, Server, config, address=settings.address, files=files)
        if found is None:
            return None
        answers = http.answers(found.sent, asked)
        if _is_coming(answers):
            return answers
        if answers.trouble:
            msg = f"{settings.address}: {answers}"
            raise Refused(msg)
        state = understand(settings, answers.responses, number, found.files)
        if state is not None:
            if not saw(host, "influxdb.State", state, settings.address):
                return None
            return replace(state, stored=_stored(settings))
        number *= 2
    msg = f"{settings.address}: more than {MOST_PAGES} pages of organisations, users or buckets"
    raise Refused(msg)


def _stored(settings: InfluxDB) -> dict[str, Secret]:
    refs = [token.secret.ref for token in settings.tokens if token.secret]
    found = {ref.secret: peek(ref) for ref in refs}
    return {name: value for name, value in found.items() if value is not None}


def _is_coming(answers: Answers) -> bool:
    """Is there no server yet, or one that starts?"""
    if answers.trouble:
        return answers.trouble is Trouble.NOTHING_LISTENS
    return answers.responses[0].status == _STARTING


def _why(answers: Answers) -> str:
    if answers.trouble:
        return str(answers)
    return f"it is not ready yet: {words(answers.responses[0])}"


def _await(state: Run, host: Host, address: str, wait: int) -> bool:
    """Wait until the server answers."""
    asked = [Request("GET", "/api/v2/setup", auth=Anonymous())]
    answers = http.send(host, asked, address, wait=wait, ready=f"{address}{asked[0].path}")
    if answers is None:
        return False
    if _is_coming(answers) or answers.trouble:
        text = f"influxdb: {address}: {_why(answers)}, for {wait} s"
        host.log(text, log_func=logger.error)
        return False
    return True


# Writing


def _write(settings: InfluxDB, todo: Plan) -> Iterator[PyinfraCommand]:
    if todo.ready:
        yield FunctionCommand(_send, (settings, todo.ready), {})
    if todo.files:
        yield influxdb_files.write(todo.files)
    if todo.keeps:
        yield FunctionCommand(_keep, (todo.keeps,), {})
    if todo.proofs:
        yield FunctionCommand(_prove, (settings, todo), {})


def _send(state: Run, host: Host, settings: InfluxDB, writes: Sequence[Write]) -> bool:
    """Send writes in one command; name each that the server refuses, in its words."""
    asked = [write.request for write in writes if write.request is not None]
    responses = _sent(host, settings, asked, "some may have been done: run again")
    if responses is None:
        return False
    good = True
    for write, response in zip(writes, responses, strict=True):
        if not 200 <= response.status < 300:
            host.log(f"influxdb: {write}: {words(response)}", log_func=logger.error)
            good = False
    return good


def _keep(state: Run, host: Host, writes: Collection[KeepWrite]) -> bool:
    """Keep tokens on the controller."""
    try:
        for write in writes:
            keep(write.secret.ref, write.content)
    except UpliftError as error:
        host.log(f"influxdb: {error}", log_func=logger.error)
        return False
    return True


def _prove(state: Run, host: Host, settings: InfluxDB, todo: Plan) -> bool:
    """Have new tokens do what they shall, before the old ones go."""
    asked = [request for proof in todo.proofs for request in proof.requests]
    responses = _sent(host, settings, asked, "the old tokens stay")
    if responses is None:
        return False
    left = list(responses)
    try:
        for proof in todo.proofs:
            mine, left = left[: len(proof.requests)], left[len(proof.requests) :]
            check_proof(proof, mine)
    except Refused as error:
        host.log(f"influxdb: {error}", log_func=logger.error)
        return False
    return True


def _sent(
    host: Host, settings: InfluxDB, asked: Sequence[Request], remedy: str
) -> Sequence[Response] | None:
    """Send requests in one command; None when not all were answered, and that was said."""
    answers = http.send(host, asked, settings.address, _token(settings))
    if answers is not None and answers.trouble:
        text = f"influxdb: {settings.address}: {answers}; {remedy}"
        host.log(text, log_func=logger.error)
        return None
    return None if answers is None else answers.responses
