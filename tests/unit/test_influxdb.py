"""Settings of an InfluxDB, and the writes that follow from what it holds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.spec.duration import human, seconds
from uplift.spec.errors import SettingsError
from uplift.spec.http import Response
from uplift.spec.influxdb import InfluxDB, Refused, State, plan
from uplift.spec.influxdb.errors import words
from uplift.spec.influxdb.server import container
from uplift.spec.influxdb.state import (
    PAGE,
    Authorization,
    BucketState,
    UserState,
    pages,
    requests,
    understand,
)
from uplift.spec.secret import Secret, SecretRef, references, secret

SETUP = {
    "user": "admin",
    "password": secret("i/admin"),
    "organisation": "main",
    "bucket": "b",
    "token": secret("i/token"),
}
DAY = 86400


def settings(**block: Any) -> InfluxDB:
    """Settings with one bucket, unless they say something else."""
    return InfluxDB.parse({"setup": SETUP, "buckets": [{"name": "b"}], **block}, path="influxdb")


def bucket(**block: Any) -> InfluxDB:
    """Settings with this bucket."""
    return settings(buckets=[{"name": "b", **block}])


def resolve(ref: SecretRef) -> Secret:
    """A value for each secret."""
    return Secret(f"value-of-{ref.secret}")


def there(retention: int, shard: int = 7 * DAY) -> State:
    """A server with the organisation, its user and one bucket."""
    return State(
        fresh=False,
        organisations={"main": "o"},
        buckets={("o", "b"): BucketState("1", retention, shard)},
        users={"admin": UserState("u", active=True)},
        signed_in=frozenset({"admin"}),
    )


@given(st.integers(1, 10**9))
def test_lengths_of_time_come_back(length: int) -> None:
    assert seconds(human(length)) == length


@pytest.mark.parametrize(
    ("text", "length"),
    [("infinite", 0), ("30d", 30 * DAY), ("1h30m", 5400), ("2w", 14 * DAY), ("90s", 90)],
)
def test_lengths_of_time_are_written_as_people_do(text: str, length: int) -> None:
    assert seconds(text) == length
    assert seconds(human(length)) == length


def test_thirty_days_stay_thirty_days() -> None:
    assert [human(seconds(it)) for it in ("30d", "14d", "36h")] == ["30d", "2w", "1d12h"]


@pytest.mark.parametrize("value", [30, "30", "d", "-1d", "1.5d", "1 d", "", "0d", None, True])
def test_other_lengths_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"length of time|no time at all"):
        seconds(value)


BUCKET = {"name": "b"}
TOKEN = {"description": "t", "write": ["b"], "file": "/etc/t"}
SERVER = {"image": "influxdb:2.7.12"}


@pytest.mark.parametrize(("level", "tells"), [("debug", True), ("info", False)])
def test_a_server_whose_log_would_have_its_tokens_is_known(level: str, tells: bool) -> None:
    block = {**SERVER, "environment": {"INFLUXD_LOG_LEVEL": level}}
    server = settings(container=block).container
    assert server is not None
    assert server.tells_tokens is tells


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"buckets": [{**BUCKET, "retention": 30}]}, "influxdb.buckets[0].retention: write a len"),
        ({"buckets": [{**BUCKET, "retention": "10m"}]}, "retention must be at least 1h"),
        (
            {"buckets": [{**BUCKET, "retention": "1d", "shard_group_duration": "2d"}]},
            "shard_group_duration must not be longer than retention",
        ),
        ({"buckets": [{**BUCKET, "shard_group_duration": "infinite"}]}, "cannot be infinite"),
        ({"buckets": [{**BUCKET, "rentention": "1d"}]}, "did you mean 'retention'?"),
        ({"buckets": [{"name": "_tasks"}]}, "the server's own"),
        ({"buckets": [BUCKET, BUCKET]}, "bucket 'main/b' stands here more than once"),
        ({"buckets": [{**BUCKET, "organisation": "mian"}]}, "did you mean 'main'?"),
        ({"buckets": [{"name": "other"}]}, "bucket 'b' is not in these settings"),
        ({"tokens": [{**TOKEN, "write": ["c"]}]}, "bucket 'c' is not in these settings"),
        ({"tokens": [{**TOKEN, "write": []}]}, "needs a bucket"),
        ({"tokens": [{**TOKEN, "file": "/etc/../t"}]}, "absolute path"),
        ({"tokens": [{**TOKEN, "file": "t"}]}, "absolute path"),
        ({"tokens": [{**TOKEN, "owner": "a b"}]}, "name of a user"),
        ({"tokens": [TOKEN, {**TOKEN, "description": "u"}]}, "file '/etc/t' stands here more"),
        ({"users": [{"name": "a:b", "password": secret("x")}]}, "cannot hold a colon"),
        ({"users": [{"name": "admin", "password": secret("x")}]}, "user 'admin' stands here more"),
        ({"users": [{"name": "x", "password": "plain"}]}, "must be a reference"),
        ({"address": "http://u:p@h:1"}, "without a path and without credentials"),
        ({"organisations": ["main"]}, "organisation 'main' stands here more than once"),
        ({"tokens": [{**TOKEN, "file": None}]}, "a token needs a place"),
        ({"tokens": [{**TOKEN, "description": "t (rotation 2)"}]}, "what 'rotation' is for"),
        ({"tokens": [{**TOKEN, "rotation": "a b"}]}, "influxdb.tokens[0].rotation"),
        ({"tokens": [{**TOKEN, "secret": "plain"}]}, "must be a reference"),
        ({"container": {"image": "influxdb:2.7.12", "prot": 1}}, "did you mean 'port'?"),
        ({"container": {"image": "no image"}}, "an image as 'redis:8'"),
        ({"container": {**SERVER, "data": "a b"}}, "the name of a volume, or the absolute path"),
        ({"container": {**SERVER, "data": "/srv/../x"}}, "influxdb.container.data"),
        ({"container": {**SERVER, "address": "localhost"}}, "influxdb.container.address"),
        ({"container": {**SERVER, "networks": {"host": []}}}, "influxdb.container.networks"),
        (
            {"container": {**SERVER, "environment": {"DOCKER_INFLUXDB_INIT_MODE": "setup"}}},
            "DOCKER_INFLUXDB_INIT_MODE is not needed: 'setup' sets the server up",
        ),
        (
            {"container": {**SERVER, "environment": {"INFLUXD_BOLT_PATH": "/x"}}},
            "INFLUXD_BOLT_PATH is not yours to set",
        ),
        (
            {"container": {**SERVER, "environment": {"INFLUX_TOKEN": "x"}}},
            "variables of the server begin with INFLUXD_",
        ),
    ],
)
def test_a_mistake_in_the_settings_is_named(block: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings(**block)
    assert said in str(error.value)
    assert "plain" not in str(error.value)


@pytest.mark.parametrize(
    ("wanted", "has", "change", "rule"),
    [
        (
            {"retention": "30d"},
            there(DAY, 3600),
            "retention 1d -> 30d",
            {"everySeconds": 30 * DAY},
        ),
        ({}, there(DAY, 3600), "retention 1d -> infinite", {"everySeconds": 0}),
        (
            # The server refuses shard groups that are longer than what is kept.
            {"retention": "3d", "allow_data_loss": True},
            there(0),
            "retention infinite -> 3d, shard group duration 1w -> 1d",
            {"everySeconds": 3 * DAY, "shardGroupDurationSeconds": DAY},
        ),
        (
            {"retention": "30d", "shard_group_duration": "2d"},
            there(30 * DAY, DAY),
            "shard group duration 1d -> 2d",
            {"everySeconds": 30 * DAY, "shardGroupDurationSeconds": 2 * DAY},
        ),
    ],
)
def test_a_bucket_gets_one_write_with_what_differs(
    wanted: dict[str, Any], has: State, change: str, rule: dict[str, Any]
) -> None:
    (write,) = plan(bucket(**wanted), resolve, has).writes
    assert str(write) == f"bucket main/b: {change}"
    assert write.request is not None and write.request.path == "/api/v2/buckets/1"
    body = json.loads(write.request.body or "")
    assert body == {"retentionRules": [{"type": "expire", **rule}]}


def test_the_servers_own_choice_of_shard_groups_is_not_compared() -> None:
    assert plan(bucket(retention="30d"), resolve, there(30 * DAY, 3600)).empty


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_less_is_never_kept_without_leave(hours: int, wanted: int) -> None:
    block = bucket(retention=f"{wanted}h" if wanted else "infinite")
    less = wanted != 0 and (hours == 0 or wanted < hours)
    try:
        todo = plan(block, resolve, there(hours * 3600, 3600))
    except Refused as error:
        assert less
        assert "allow_data_loss" in str(error)
    else:
        assert not less
        assert todo.empty == (hours == wanted)


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ({}, "http://127.0.0.1:8086"),
        ({"address": "0.0.0.0", "port": 1234}, "http://127.0.0.1:1234"),  # noqa: S104
        ({"address": "10.0.0.1"}, "http://10.0.0.1:8086"),
        ({"address": "fd00::1"}, "http://[fd00::1]:8086"),
    ],
)
def test_the_address_is_that_of_the_published_port(server: dict[str, Any], address: str) -> None:
    assert settings(container={**SERVER, **server}).address == address
    assert settings(container=SERVER, address="https://front").address == "https://front"


def test_the_container_is_healthy_when_it_knows_its_operator() -> None:
    block = settings(container=SERVER)
    assert block.container is not None
    it = container(block.container, block.setup.token)
    assert it.health.http is not None
    assert it.health.http.bearer == block.setup.token
    assert it.stateful
    assert references(block) == [block.setup.password, block.setup.token]


def test_a_token_that_a_service_makes_is_no_secret_that_must_be_there() -> None:
    block = settings(tokens=[{**TOKEN, "file": None, "secret": secret("i/made")}])
    assert references(block) == [block.setup.password, block.setup.token]


def rotated(*labels: str) -> State:
    """A server with these tokens, all with the same rights."""
    rights = frozenset({("write", "buckets", "1", "o")})
    some = [Authorization(it, "o", it, True, rights, Secret(f"value-{it}")) for it in labels]
    return replace(there(0), authorizations=some)


def test_an_old_token_waits_for_places_proof_and_other_hosts() -> None:
    made = {**TOKEN, "file": None, "rotation": "2", "secret": secret("i/made")}
    block = settings(tokens=[made])
    assert plan(block, resolve, rotated("t")).lines == ["token main/t: rotated (2)"]
    both = rotated("t", "t (rotation 2)")
    placing = plan(block, resolve, both)
    assert [str(it) for it in placing.keeps] == ["token main/t: kept as secret('i/made')"]
    assert (placing.proofs, placing.ready) == ([], [])
    kept = replace(both, stored={"i/made": Secret("value-t (rotation 2)")})
    waiting = plan(block, resolve, kept, lambda token, value: ["app-1"])
    assert waiting.empty
    assert "the old one stays until app-1 got the new one" in str(waiting.spared[0])
    proving = plan(block, resolve, kept)
    assert [it.id for it in proving.proofs] == ["t (rotation 2)"]
    assert proving.ready == []
    done = plan(block, resolve, replace(kept, proved=frozenset({"t (rotation 2)"})))
    assert [str(it.request) for it in done.ready] == ["DELETE /api/v2/authorizations/t"]


@given(st.text(min_size=1), st.text(alphabet="abc0-", max_size=5))
def test_a_token_knows_its_kin_whatever_its_rotation(name: str, word: str) -> None:
    try:
        block = settings(tokens=[{**TOKEN, "description": name, "rotation": word}])
    except SettingsError:
        return
    (token,) = block.tokens
    assert token.is_kin(token.label)
    assert token.is_kin(name)
    assert not token.is_kin(f"{name}x")


def test_each_write_waits_for_what_it_needs() -> None:
    block = settings(
        organisations=["two"],
        buckets=[BUCKET, {"name": "c", "organisation": "two"}],
        users=[{"name": "u", "password": secret("i/u")}],
        tokens=[{**TOKEN, "organisation": "two", "write": ["c"]}],
    )
    fresh = plan(block, resolve, State(fresh=True))
    assert [str(it) for it in fresh.ready] == ["server: set up"]
    assert fresh.lines[1:] == [
        "organisation two: created",
        "user u: created",
        "user u: password set",
        "bucket two/c: created, retention infinite",
        "token two/t: created",
    ]
    later = plan(block, resolve, there(0))
    assert [str(it) for it in later.ready] == ["organisation two: created", "user u: created"]


def test_a_token_that_the_server_hides_is_refused() -> None:
    block = settings(tokens=[TOKEN])
    rights = {"action": "write", "resource": {"type": "buckets", "id": "1", "orgID": "o"}}
    hidden = {"id": "a", "orgID": "o", "description": "t", "permissions": [rights]}
    answers = _answers(block, authorizations=[hidden])
    state = understand(block, answers, 1)
    assert state is not None
    with pytest.raises(Refused, match="does not show tokens"):
        plan(block, resolve, state)


def _answers(block: InfluxDB, **lists: Any) -> list[Response]:
    """What a server says that holds the organisation, its user and the bucket, and these."""
    rule = [{"everySeconds": 0, "shardGroupDurationSeconds": 7 * DAY}]
    values: dict[str, Any] = {
        "setup": {"allowed": False},
        "orgs": {"orgs": lists.get("orgs", [{"id": "o", "name": "main"}])},
        "users": {"users": [{"id": "u", "name": "admin", "status": "active"}]},
        "buckets": {"buckets": [{"id": "1", "orgID": "o", "name": "b", "retentionRules": rule}]},
        "authorizations": {"authorizations": lists.get("authorizations", [])},
    }
    found = []
    for request in requests(block, resolve, 1):
        kind = request.path.split("?")[0].rsplit("/", 1)[1]
        body = b"" if kind == "signin" else json.dumps(values[kind]).encode()
        found.append(Response(204 if kind == "signin" else 200, 0, "", body))
    return found


def test_answers_are_understood() -> None:
    block = settings()
    state = understand(block, _answers(block), 1)
    assert state is not None
    assert replace(state, authorizations=()) == replace(there(0), authorizations=())


def test_a_full_page_means_that_there_may_be_more() -> None:
    block = settings()
    full = [{"id": str(number), "name": f"o{number}"} for number in range(PAGE)]
    assert understand(block, _answers(block, orgs=full), 1) is None
    assert pages(block) == 1
    many = settings(buckets=[BUCKET, *({"name": f"b{number}"} for number in range(250))])
    assert pages(many) == 3


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"code": "conflict", "message": "no\\u001b[31m"}', "422 conflict: no [31m"),
        (b"<html>\n", "422 <html>"),
        (b"", "422 no reason given"),
        (b"x" * 1000, f"422 {'x' * 300}"),
    ],
)
def test_the_servers_words_fit_a_terminal(body: bytes, said: str) -> None:
    assert words(Response(422, 0, "", body)) == said
