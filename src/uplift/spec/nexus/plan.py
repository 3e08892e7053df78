"""The writes that bring a server to what its settings say, in the order in which they can go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from uplift.spec.http import Basic, Request
from uplift.spec.nexus.api import snake
from uplift.spec.nexus.errors import Refused
from uplift.spec.nexus.fields import Rules, changes, joined
from uplift.spec.nexus.models import Nexus
from uplift.spec.nexus.prune import deletions
from uplift.spec.nexus.realms import realms
from uplift.spec.nexus.record import fingerprint
from uplift.spec.nexus.refusals import refusals
from uplift.spec.nexus.state import REST, Resolve, State
from uplift.spec.nexus.tasks import compactions
from uplift.spec.nexus.things import Thing, as_sent, secrets_of, seen, things
from uplift.spec.nexus.writes import Does, Write
from uplift.spec.secret import Secret, SecretRef

_FIRST = frozenset({("licence", ""), ("user", "admin")})
"""What all other writes need."""


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Args:
        writes: each after those that it needs.
    """

    writes: Sequence[Write] = ()

    @property
    def empty(self) -> bool:
        """Nothing is to be done."""
        return not self.writes

    @property
    def lines(self) -> list[str]:
        """All of it, for people."""
        return [str(write) for write in self.writes]

    @property
    def needs(self) -> list[list[int]]:
        """For each write the numbers of those before it that must have succeeded."""
        found = []
        for number, write in enumerate(self.writes):
            before = self.writes[:number]
            found.append(
                [i for i, it in enumerate(before) if (it.kind, it.name) in write.needs | _FIRST]
            )
        return found


def plan(settings: Nexus, resolve: Resolve, state: State, key: bytes) -> Plan:
    """Return what is to be done, only where the server differs.

    Args:
        settings: what the server shall hold.
        resolve: gives secrets.
        state: what it holds.
        key: for fingerprints.

    Raises:
        Refused: it must not be done, or cannot; nothing of it shall be sent then.
    """
    wanted = things(settings, state.version)
    found = refusals(settings, wanted, state)
    if found:
        raise Refused("\n".join(found))
    writes = [
        *_admin(settings, resolve, state),
        *_licence(state),
        *_anonymous(settings, state),
        *realms(settings, state),
        *(write for it in wanted for write in _thing(it, resolve, state, key)),
        *_passwords(settings, resolve, state),
        *compactions(settings, state),
    ]
    return Plan([*writes, *deletions(settings, state, writes)])


def _licence(state: State) -> Iterator[Write]:
    if state.eula is not None and state.eula.get("accepted") is not True:
        # The text must come back as it was given, to the letter.
        body = {"accepted": True, "disclaimer": state.eula.get("disclaimer", "")}
        request = _request("POST", f"{REST}/v1/system/eula", body)
        yield Write("licence", "", Does.CHANGE, ("accepted",), request)


def _admin(settings: Nexus, resolve: Resolve, state: State) -> Iterator[Write]:
    if state.first_password is not None:
        request = _password("admin", resolve(settings.admin.password))
        request = replace(request, auth=Basic("admin", state.first_password))
        yield Write("user", "admin", Does.CHANGE, ("password set",), request)


def _password(user: str, value: Secret) -> Request:
    path = f"{REST}/v1/security/users/{user}/change-password"
    return Request("PUT", path, body=value.reveal(), content_type="text/plain")


def _anonymous(settings: Nexus, state: State) -> Iterator[Write]:
    wanted = settings.anonymous.wanted()
    found = changes(wanted, state.anonymous, Rules())
    if found:
        request = _request("PUT", f"{REST}/v1/security/anonymous", joined(wanted, state.anonymous))
        yield Write("anonymous access", "", Does.CHANGE, tuple(map(str, found)), request)


def _thing(it: Thing, resolve: Resolve, state: State, key: bytes) -> Iterator[Write]:
    there = state.there(it.kind, it.name)
    secrets = secrets_of(it.wanted)
    values = {path: resolve(ref).reveal() for path, ref in secrets.items()}
    sent = fingerprint(json.dumps(values, sort_keys=True), key) if values else None
    if there is None:
        body = _revealed({**it.defaults, **joined(it.wanted, {})}, resolve)
        said: tuple[str, ...] = (f"created{f' ({it.what})' if it.what else ''}",)
        request = _request("POST", it.create, body)
        yield Write(it.kind, it.name, Does.CREATE, said, request, it.needs, sent)
        return
    shown = as_sent(it, there)
    said = tuple(map(str, changes(it.wanted, shown, seen(it, shown))))
    old = state.record.sent.get(f"{it.kind} {it.name}")
    if sent is not None and sent != old:
        said += tuple(f"{snake(path)}: {_hidden(old, sent)}" for path in secrets)
    if said:
        body = _revealed(joined(it.wanted, shown), resolve)
        if it.named:
            del body["name"]
        request = _request("PUT", it.change, body)
        yield Write(it.kind, it.name, Does.CHANGE, said, request, it.needs, sent)


def _hidden(old: str | None, new: str) -> str:
    """Describe a change of a secret; fingerprints of another controller say nothing here."""
    mark, _, short = new.partition(":")
    if old is None or old.partition(":")[0] != mark:
        return f"sent, fingerprint {short}: what the server has is not known"
    return f"fingerprint {old.partition(':')[2]} -> {short}"


def _passwords(settings: Nexus, resolve: Resolve, state: State) -> Iterator[Write]:
    for it in settings.all_users:
        there = state.there("user", it.user_id)
        # The password of a user who may not sign in cannot be tried; once active, it is.
        if there and it.status == "active" and it.user_id not in state.signed_in:
            if there.get("status") not in ("active", "changepassword"):
                continue
            request = _password(it.user_id, resolve(it.password))
            needs = frozenset({("user", it.user_id)})
            yield Write("user", it.user_id, Does.CHANGE, ("password set",), request, needs)


def _revealed(value: Any, resolve: Resolve) -> Any:
    if isinstance(value, SecretRef):
        return resolve(value).reveal()
    if isinstance(value, Mapping):
        return {key: _revealed(item, resolve) for key, item in value.items()}
    return value


def _request(method: str, path: str, body: object) -> Request:
    return Request(method, path, body=json.dumps(body))
