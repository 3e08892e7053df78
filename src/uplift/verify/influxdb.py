"""An InfluxDB from the outside: asked through its published port, by curl on its host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from uplift.secrets import Secret, SecretRef, peek
from uplift.spec.http import Auth, Header, Request, Response, parse, render
from uplift.spec.influxdb import InfluxDB, State
from uplift.spec.influxdb.models import Token
from uplift.spec.influxdb.state import MOST_PAGES, pages, requests, understand
from uplift.spec.influxdb.tokens import may, read_one, write_nothing
from uplift.verify import files

if TYPE_CHECKING:
    from testinfra.host import Host

Values = Mapping[SecretRef, Secret]


def ask(
    host: Host, wanted: InfluxDB, asked: Sequence[Request], auth: Auth | None = None
) -> list[Response]:
    """Return the server's answers; credentials go by standard input.

    Args:
        host: testinfra's, the server's own.
        wanted: its settings.
        asked: requests without an effect.
        auth: of those that name none.
    """
    said = host.run("curl -q --config -", stdin=Secret(render(asked, wanted.address, auth)))
    assert said.rc == 0, f"{wanted.address}: curl's code {said.rc}"
    return parse(said.stdout.encode(), asked)


def operator(wanted: InfluxDB, values: Values) -> Header:
    """Return what the operator is known by.

    Args:
        wanted: the server's settings.
        values: of the secrets.
    """
    return header(values[wanted.setup.token])


def header(token: Secret) -> Header:
    """Return the header of a token.

    Args:
        token: its value.
    """
    return Header("Authorization", Secret(f"Token {token.reveal()}"))


def state(host: Host, wanted: InfluxDB, values: Values) -> State:
    """Return what the server holds, as its operator sees it.

    Args:
        host: testinfra's.
        wanted: the server's settings.
        values: of the secrets.
    """
    number = pages(wanted)
    while number <= MOST_PAGES:
        asked = requests(wanted, values.__getitem__, number)
        found = understand(wanted, ask(host, wanted, asked, operator(wanted, values)), number)
        if found is not None:
            return replace(found, files={})
        number *= 2
    msg = f"more than {MOST_PAGES} pages of organisations, users or buckets"
    raise AssertionError(msg)


def value(host: Host, token: Token) -> Secret | None:
    """Return a token as its place has it; None when it is not there.

    Args:
        host: testinfra's.
        token: of the settings.
    """
    if token.file is None:
        return peek(token.secret.ref) if token.secret else None
    if files.stat(host, token.file) is None:
        return None
    return Secret(files.read(host, token.file).rstrip("\n"))


def rights(
    host: Host, wanted: InfluxDB, found: State, token: Token, secret: Secret
) -> dict[str, set[str]]:
    """Return the buckets of its organisation that a token may read and write, by trying.

    Args:
        host: testinfra's.
        wanted: the server's settings.
        found: what the server holds.
        token: of the settings.
        secret: its value.
    """
    home = found.organisations[wanted.home(token)]
    buckets = {name: it.id for (org, name), it in found.buckets.items() if org == home}
    auth = header(secret)
    reads = ask(host, wanted, [read_one(id, auth) for id in buckets.values()])
    writes = ask(host, wanted, [write_nothing(home, id, auth) for id in buckets.values()])
    return {
        "read": {name for name, said in zip(buckets, reads, strict=True) if may(said)},
        "write": {name for name, said in zip(buckets, writes, strict=True) if may(said)},
    }
