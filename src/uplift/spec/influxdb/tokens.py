"""Scoped tokens: found by description, made once, kept in a file on the host.

A token's rights cannot be changed. One with other rights gets a successor; the successor is
written to the file first, and only then does the old one go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from uplift.spec.http import Request
from uplift.spec.influxdb.errors import Refused
from uplift.spec.influxdb.models import InfluxDB, Token
from uplift.spec.influxdb.state import Authorization, State, TokenFile
from uplift.spec.influxdb.writes import FileWrite, Write

MODE = "600"

Permission = tuple[str, str, str, str]


def tokens(settings: InfluxDB, state: State) -> Iterator[Write | FileWrite]:
    """Give what is to be done about all tokens.

    Args:
        settings: what the server shall hold.
        state: what it holds.

    Raises:
        Refused: the server does not show the tokens.
    """
    for token in settings.tokens:
        organisation = state.organisations.get(settings.home(token), "")
        permissions = _permissions(token, organisation, state)
        named = [
            it
            for it in state.authorizations
            if it.organisation == organisation and it.description == token.description
        ]
        subject = f"token {settings.home(token)}/{token.description}"
        if permissions is None:
            # A bucket that is missing will be another one than that of the old token.
            yield Write(subject, "created", None)
        else:
            yield from _token(subject, token, organisation, permissions, named, state)


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
    named: Sequence[Authorization],
    state: State,
) -> Iterator[Write | FileWrite]:
    file = state.files.get(token.file, TokenFile())
    chosen = _choose([it for it in named if it.permissions == permissions], file)
    if chosen is None:
        change = "created anew: its rights differ" if named else "created"
        yield Write(subject, change, _create(token, organisation, permissions))
        return
    path = f"/api/v2/authorizations/{chosen.id}"
    if not chosen.active:
        request = Request("PATCH", path, body=json.dumps({"status": "active"}))
        yield Write(subject, "made active", request)
    why = _file_differs(token, file, chosen)
    if why:
        yield _file(subject, why, token, chosen)
    for old in named:
        if old.id != chosen.id:
            waits = why is not None or not chosen.active
            request = Request("DELETE", f"/api/v2/authorizations/{old.id}")
            yield Write(subject, f"the old one ({old.id}) removed", None if waits else request)


def _choose(good: Sequence[Authorization], file: TokenFile) -> Authorization | None:
    """Return the one that is in the file already, else one that is active, else any."""
    ranked = sorted(
        good, key=lambda it: (it.value is None or it.value != file.content, not it.active)
    )
    return ranked[0] if ranked else None


def _create(token: Token, organisation: str, permissions: frozenset[Permission]) -> Request:
    body = {
        "orgID": organisation,
        "description": token.description,
        "permissions": [
            {"action": action, "resource": {"type": kind, "id": id, "orgID": home}}
            for action, kind, id, home in sorted(permissions)
        ],
    }
    return Request("POST", "/api/v2/authorizations", body=json.dumps(body))


def _file_differs(token: Token, file: TokenFile, chosen: Authorization) -> str | None:
    if chosen.value is None:
        msg = (
            f"token {token.description}: this server does not show tokens; "
            "InfluxDB 2.7 is supported, without hashed tokens"
        )
        raise Refused(msg)
    if file.kind == "other":
        msg = f"token {token.description}: {token.file} is no regular file; move it away"
        raise Refused(msg)
    if file.kind == "absent":
        return f"written to {token.file}"
    if file.content != chosen.value:
        return f"{token.file} holds something else: written"
    if file.mode != MODE or file.owner != token.owner:
        return f"{token.file}: {file.mode} {file.owner} -> {MODE} {token.owner}"
    return None


def _file(subject: str, why: str, token: Token, chosen: Authorization) -> FileWrite:
    assert chosen.value is not None
    return FileWrite(subject, why, token.file, token.owner, chosen.value)
