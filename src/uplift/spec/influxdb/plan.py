"""The writes that bring a server to what its settings say, in the order in which they can go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from uplift.spec.duration import human
from uplift.spec.http import Anonymous, Request
from uplift.spec.influxdb.errors import Refused
from uplift.spec.influxdb.models import Bucket, InfluxDB, Token, User
from uplift.spec.influxdb.state import Authorization, BucketState, Resolve, State
from uplift.spec.influxdb.tokens import Lacking, tokens
from uplift.spec.influxdb.writes import FileWrite, KeepWrite, Proof, Spared, Write
from uplift.spec.secret import Secret

_DAY = 86400


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Args:
        writes: all of it; those without a request wait for others before them.
        files: token files to write.
        keeps: tokens to keep on the controller.
        proofs: what must be asked before old tokens go.
        spared: old tokens that cannot go in this run.
    """

    writes: Sequence[Write] = ()
    files: Sequence[FileWrite] = ()
    keeps: Sequence[KeepWrite] = ()
    proofs: Sequence[Proof] = ()
    spared: Sequence[Spared] = ()

    @property
    def empty(self) -> bool:
        """Nothing is to be done."""
        return not self.lines

    @property
    def ready(self) -> list[Write]:
        """What can be sent now: none of it needs another to be done."""
        return [write for write in self.writes if write.request is not None]

    @property
    def lines(self) -> list[str]:
        """All of it, for people."""
        return [str(write) for write in (*self.writes, *self.files, *self.keeps)]


def nobody(token: Token, value: Secret) -> Sequence[str]:
    """Return no host: every place of a token is on the server's own host, or the controller."""
    return ()


def plan(settings: InfluxDB, resolve: Resolve, state: State, lacking: Lacking = nobody) -> Plan:
    """Return what is to be done, only where the server differs.

    Args:
        settings: what the server shall hold.
        resolve: gives secrets.
        state: what it holds.
        lacking: hosts without a token's value.

    Raises:
        Refused: it must not be done, or cannot; nothing of it shall be sent then.
    """
    check_secrets(settings, resolve)
    _no_loss(settings, state)
    some = [
        *_organisations(settings, resolve, state),
        *_users(settings, resolve, state),
        *_buckets(settings, state),
        *tokens(settings, state, lacking),
    ]
    return Plan(
        writes=[it for it in some if isinstance(it, Write)],
        files=[it for it in some if isinstance(it, FileWrite)],
        keeps=[it for it in some if isinstance(it, KeepWrite)],
        proofs=[it for it in some if isinstance(it, Proof)],
        spared=[it for it in some if isinstance(it, Spared)],
    )


def unlisted(settings: InfluxDB, resolve: Resolve, state: State) -> list[str]:
    """Return what the server holds and the settings do not name; it is left alone.

    Args:
        settings: what the server shall hold.
        resolve: gives secrets.
        state: what it holds.
    """
    homes = {id: name for name, id in state.organisations.items()}
    wanted = {(settings.home(it), it.name) for it in settings.buckets}
    buckets = {(homes.get(id, id), name) for id, name in state.buckets}
    users = {user.name for user in settings.all_users}
    operator = resolve(settings.setup.token)
    tokens = [
        f"token {homes.get(it.organisation, '?')}/{it.description or it.id}"
        for it in state.authorizations
        if it.value != operator and not _is_kin(settings, it, homes.get(it.organisation))
    ]
    return [
        *sorted(f"organisation {it}" for it in {*homes.values()} - {*settings.all_organisations}),
        *sorted(f"bucket {home}/{name}" for home, name in buckets - wanted),
        *sorted(f"user {name}" for name in {*state.users} - users),
        *sorted(tokens),
    ]


def _is_kin(settings: InfluxDB, it: Authorization, home: str | None) -> bool:
    """Is this one of the settings' tokens, of whatever rotation?"""
    return any(settings.home(one) == home and one.is_kin(it.description) for one in settings.tokens)


def check_secrets(settings: InfluxDB, resolve: Resolve) -> None:
    """Refuse secrets that the server would not take.

    Args:
        settings: what refers to them.
        resolve: gives secrets.

    Raises:
        Refused: names the secret, never its value.
    """
    for user in settings.all_users:
        if not 8 <= len(resolve(user.password).reveal().encode()) <= 72:
            msg = f"{user.password}: the password of user {user.name} must have 8 to 72 bytes"
            raise Refused(msg)
    token = resolve(settings.setup.token).reveal()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        msg = f"{settings.setup.token}: a token is letters, digits and signs, without blanks"
        raise Refused(msg)


def _no_loss(settings: InfluxDB, state: State) -> None:
    lines = []
    for bucket in settings.buckets:
        there = _there(settings, state, bucket)
        if there and not bucket.allow_data_loss and _shrinks(bucket, there):
            lines.append(
                f"bucket {_full(settings, bucket)}: retention {human(there.retention)} -> "
                f"{human(bucket.retention)} deletes points; "
                "set allow_data_loss = True on this bucket if they may go"
            )
    if lines:
        raise Refused("\n".join(lines))


def _shrinks(bucket: Bucket, there: BucketState) -> bool:
    return bucket.retention != 0 and (there.retention == 0 or bucket.retention < there.retention)


def _full(settings: InfluxDB, bucket: Bucket) -> str:
    return f"{settings.home(bucket)}/{bucket.name}"


def _there(settings: InfluxDB, state: State, bucket: Bucket) -> BucketState | None:
    organisation = state.organisations.get(settings.home(bucket), "")
    return state.buckets.get((organisation, bucket.name))


def _organisations(settings: InfluxDB, resolve: Resolve, state: State) -> Iterator[Write]:
    names = list(settings.all_organisations)
    if state.fresh:
        yield Write("server", "set up", setup_request(settings, resolve))
        names.remove(settings.setup.organisation)
    for name in names:
        if name not in state.organisations:
            request = None if state.fresh else _post("/api/v2/orgs", {"name": name})
            yield Write(f"organisation {name}", "created", request)


def setup_request(settings: InfluxDB, resolve: Resolve) -> Request:
    first = settings.setup
    (bucket,) = (
        it
        for it in settings.buckets
        if it.name == first.bucket and settings.home(it) == first.organisation
    )
    body = {
        "username": first.user,
        "password": resolve(first.password).reveal(),
        "org": first.organisation,
        "bucket": first.bucket,
        "retentionPeriodSeconds": bucket.retention,
        "token": resolve(first.token).reveal(),
    }
    return Request("POST", "/api/v2/setup", body=json.dumps(body), auth=Anonymous())


def _users(settings: InfluxDB, resolve: Resolve, state: State) -> Iterator[Write]:
    for user in settings.all_users:
        if state.fresh and user.name == settings.setup.user:
            continue
        yield from _user(user, resolve(user.password), state)


def _user(user: User, password: Secret, state: State) -> Iterator[Write]:
    subject, there = f"user {user.name}", state.users.get(user.name)
    if there is None:
        request = None if state.fresh else _post("/api/v2/users", {"name": user.name})
        yield Write(subject, "created", request)
        yield Write(subject, "password set", None)
        return
    if not there.active:
        change = {"status": "active"}
        yield Write(subject, "made active", _patch(f"/api/v2/users/{there.id}", change))
    if user.name not in state.signed_in:
        path, body = f"/api/v2/users/{there.id}/password", {"password": password.reveal()}
        yield Write(subject, "password set", _post(path, body))


def _buckets(settings: InfluxDB, state: State) -> Iterator[Write]:
    for bucket in settings.buckets:
        subject = f"bucket {_full(settings, bucket)}"
        there = _there(settings, state, bucket)
        if there is not None:
            yield from _bucket(subject, bucket, there)
        elif not (state.fresh and _is_first(settings, bucket)):
            organisation = state.organisations.get(settings.home(bucket))
            body = {
                "orgID": organisation,
                "name": bucket.name,
                "retentionRules": _rules(bucket.retention, bucket.shard_group_duration),
            }
            request = _post("/api/v2/buckets", body) if organisation else None
            yield Write(subject, f"created, retention {human(bucket.retention)}", request)
        elif bucket.shard_group_duration is not None:
            shard = human(bucket.shard_group_duration)
            yield Write(subject, f"shard group duration {shard}", None)


def _is_first(settings: InfluxDB, bucket: Bucket) -> bool:
    """Is this the bucket that the setup makes?"""
    first = settings.setup
    return (bucket.name, settings.home(bucket)) == (first.bucket, first.organisation)


def _bucket(subject: str, bucket: Bucket, there: BucketState) -> Iterator[Write]:
    shard, why = bucket.shard_group_duration, []
    if bucket.retention != there.retention:
        why.append(f"retention {human(there.retention)} -> {human(bucket.retention)}")
        if shard is None and 0 < bucket.retention < there.shard:
            # The server refuses shard groups that are longer than the retention.
            shard = _servers_choice(bucket.retention)
    if shard is not None and shard != there.shard:
        why.append(f"shard group duration {human(there.shard)} -> {human(shard)}")
    if why:
        body = {"retentionRules": _rules(bucket.retention, shard)}
        yield Write(subject, ", ".join(why), _patch(f"/api/v2/buckets/{there.id}", body))


def _servers_choice(retention: int) -> int:
    """Return the length of a shard group that the server takes for a new bucket."""
    if retention < 2 * _DAY:
        return 3600
    return _DAY if retention < 180 * _DAY else 7 * _DAY


def _rules(retention: int, shard: int | None) -> list[dict[str, Any]]:
    rule: dict[str, Any] = {"type": "expire", "everySeconds": retention}
    return [rule if shard is None else {**rule, "shardGroupDurationSeconds": shard}]


def _post(path: str, body: object) -> Request:
    return Request("POST", path, body=json.dumps(body))


def _patch(path: str, body: object) -> Request:
    return Request("PATCH", path, body=json.dumps(body))
