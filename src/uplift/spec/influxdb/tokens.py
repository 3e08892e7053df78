"""Scoped tokens: found by description, made once, kept in a file or on the controller.

A token's rights and its value cannot be changed. One with other rights, or of another rotation,
gets a successor. The successor goes to every place that shall hold it and is proved to work, and
only then does the old one go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from uplift.spec.http import Header, Request, Response
from uplift.spec.influxdb.errors import Refused, words
from uplift.spec.influxdb.models import InfluxDB, Token
from uplift.spec.influxdb.state import Authorization, State, TokenFile
from uplift.spec.influxdb.writes import FileWrite, KeepWrite, Proof, Spared, Write
from uplift.spec.secret import Secret

MODE = "600"

Permission = tuple[str, str, str, str]
Item = Write | FileWrite | KeepWrite | Proof | Spared

Lacking = Callable[[Token, Secret], Sequence[str]]
"""Gives the hosts that shall have a token and are not known to have this value."""


def tokens(settings: InfluxDB, state: State, lacking: Lacking) -> Iterator[Item]:
    """Give what is to be done about all tokens.

    Args:
        settings: what the server shall hold.
        state: what it holds.
        lacking: hosts without a token's value.

    Raises:
        Refused: the server does not show the tokens.
    """
    for token in settings.tokens:
        organisation = state.organisations.get(settings.home(token), "")
        permissions = _permissions(token, organisation, state)
        kin = [
            it
            for it in state.authorizations
            if it.organisation == organisation and token.is_kin(it.description)
        ]
        subject = f"token {settings.home(token)}/{token.description}"
        if permissions is None:
            # A bucket that is missing will be another one than that of the old token.
            yield Write(subject, "created", None)
        else:
            yield from _token(subject, token, organisation, permissions, kin, state, lacking)


def _permissions(token: Token, organisation: str, state: State) -> frozenset[Permission] | None:
    """Return what the server would call the token's rights; None when a bucket is missing."""
    found = set()
    for action, names in (("read", token.read), ("write", token.write)):
        for name in names:
            bucket = state.buckets.get((organisation, name))
            if bucket is None:
                return None
            found.add((action, "buckets", bucket.id, organisation))
    return frozenset(found)


def _token(
    subject: str,
    token: Token,
    organisation: str,
    permissions: frozenset[Permission],
    kin: Sequence[Authorization],
    state: State,
    lacking: Lacking,
) -> Iterator[Item]:
    named = [it for it in kin if it.description == token.label]
    chosen = _choose([it for it in named if it.permissions == permissions], token, state)
    if chosen is None:
        yield Write(subject, _why(token, kin, named), _create(token, organisation, permissions))
        return
    placing = list(_placing(subject, token, chosen, state))
    yield from placing
    old = [it for it in kin if it.id != chosen.id]
    if not old:
        return
    value = _value(token, chosen)
    hosts = [] if placing else lacking(token, value)
    if hosts:
        yield Spared(subject, f"{', '.join(hosts)} got the new one by a run of deploys/influxdb.py")
        return
    proved = chosen.id in state.proved
    if not placing and not proved:
        yield Proof(subject, chosen.id, _proof(value, permissions))
    for one in old:
        request = Request("DELETE", f"/api/v2/authorizations/{one.id}")
        yield Write(subject, f"the old one ({one.id}) removed", request if proved else None)


def _why(token: Token, kin: Sequence[Authorization], named: Sequence[Authorization]) -> str:
    if named:
        return "created anew: its rights differ"
    return f"rotated ({token.rotation or 'no rotation'})" if kin else "created"


def _choose(good: Sequence[Authorization], token: Token, state: State) -> Authorization | None:
    """Return the one that is in its places already, else one that is active, else any."""
    held = [_file(token, state).content, state.stored.get(_name(token))]
    ranked = sorted(
        good,
        key=lambda it: (
            -sum(it.value is not None and it.value == value for value in held),
            not it.active,
        ),
    )
    return ranked[0] if ranked else None


def _name(token: Token) -> str:
    return token.secret.secret if token.secret else ""


def _file(token: Token, state: State) -> TokenFile:
    return state.files.get(token.file or "", TokenFile())


def _placing(
    subject: str, token: Token, chosen: Authorization, state: State
) -> Iterator[Write | FileWrite | KeepWrite]:
    """Give what puts a token where it shall be, and to work."""
    value = _value(token, chosen)
    if not chosen.active:
        body = json.dumps({"status": "active"})
        request = Request("PATCH", f"/api/v2/authorizations/{chosen.id}", body=body)
        yield Write(subject, "made active", request)
    if token.file:
        why = file_differs(subject, token.file, token.owner, value, _file(token, state))
        if why:
            yield FileWrite(subject, why, token.file, token.owner, value)
    if token.secret and state.stored.get(token.secret.secret) != value:
        yield KeepWrite(subject, token.secret, value)


def _value(token: Token, chosen: Authorization) -> Secret:
    if chosen.value is None:
        msg = (
            f"token {token.description}: this server does not show tokens; "
            "InfluxDB 2.7 is supported, without hashed tokens"
        )
        raise Refused(msg)
    return chosen.value


def _create(token: Token, organisation: str, permissions: frozenset[Permission]) -> Request:
    body = {
        "orgID": organisation,
        "description": token.label,
        "permissions": [
            {"action": action, "resource": {"type": kind, "id": id, "orgID": home}}
            for action, kind, id, home in sorted(permissions)
        ],
    }
    return Request("POST", "/api/v2/authorizations", body=json.dumps(body))


def file_differs(
    subject: str, path: str, owner: str, value: Secret, there: TokenFile
) -> str | None:
    """Return how the file of a token differs, for people; None when it is as it shall be.

    Args:
        subject: which token, for the error's text.
        path: of the file.
        owner: whom it shall belong to.
        value: what it shall hold.
        there: what stands at the path.

    Raises:
        Refused: no file can be written there.
    """
    if there.kind == "other":
        msg = f"{subject}: {path} is no regular file; move it away"
        raise Refused(msg)
    if there.kind == "absent":
        return f"written to {path}"
    if there.content != value:
        return f"{path} holds something else: written"
    if there.mode != MODE or there.owner != owner:
        return f"{path}: {there.mode} {there.owner} -> {MODE} {owner}"
    return None


def _proof(value: Secret, permissions: frozenset[Permission]) -> list[Request]:
    """Return requests that only a token with these rights may make, and that change nothing."""
    auth = Header("Authorization", Secret(f"Token {value.reveal()}"))
    return [
        write_nothing(organisation, id, auth) if action == "write" else read_one(id, auth)
        for action, _, id, organisation in sorted(permissions)
    ]


def write_nothing(organisation: str, bucket: str, auth: Header) -> Request:
    """Return a write of no points: the server looks at the rights, and has nothing to write.

    Args:
        organisation: id.
        bucket: id.
        auth: the token.
    """
    path = f"/api/v2/write?orgID={organisation}&bucket={bucket}"
    return Request("POST", path, body="", content_type="text/plain; charset=utf-8", auth=auth)


def read_one(bucket: str, auth: Header) -> Request:
    """Return a request for a bucket, which the server shows to whom may read its points.

    Args:
        bucket: id.
        auth: the token.
    """
    return Request("GET", f"/api/v2/buckets/{bucket}", auth=auth)


def may(response: Response) -> bool:
    """Tell whether the server let a token do what a proof asks for.

    Args:
        response: to ``write_nothing`` or ``read_one``.
    """
    return response.status in (200, 204)


def check_proof(proof: Proof, responses: Sequence[Response]) -> None:
    """Refuse a token that may not do what it shall.

    Args:
        proof: what was asked.
        responses: in the order of its requests.

    Raises:
        Refused: in the server's own words.
    """
    for request, response in zip(proof.requests, responses, strict=True):
        if not may(response):
            what = "write" if request.method == "POST" else "read"
            msg = (
                f"{proof.subject}: the new token may not {what}, the old one stays: "
                f"{words(response)}"
            )
            raise Refused(msg)
