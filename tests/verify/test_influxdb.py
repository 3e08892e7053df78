"""InfluxDB: closed, with all that its settings name, and tokens that may just what they shall."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from secrets import token_hex

import pytest
from testinfra.host import Host

from uplift.secrets import Secret, SecretRef, peek
from uplift.settings import Settings
from uplift.spec.container import Container
from uplift.spec.http import Anonymous, Basic, Request
from uplift.spec.influxdb import InfluxDB, InfluxDBClient, State
from uplift.spec.influxdb.server import container
from uplift.spec.influxdb.state import is_open
from uplift.verify import files, influxdb

Values = Mapping[SecretRef, Secret]
READ = Request("GET", "/api/v2/buckets?limit=1")


@pytest.fixture(scope="module")
def wanted(settings: Settings) -> InfluxDB:
    if settings.influxdb is None:
        pytest.skip("the settings have no influxdb")
    return settings.influxdb


@pytest.fixture(scope="module")
def client(settings: Settings) -> InfluxDBClient:
    if settings.influxdb_client is None:
        pytest.skip("the settings have no influxdb_client")
    return settings.influxdb_client


@pytest.fixture(scope="module")
def found(host: Host, wanted: InfluxDB, secret_values: Values) -> State:
    return influxdb.state(host, wanted, secret_values)


def test_its_container_is_as_the_settings_say(
    wanted: InfluxDB, check_container: Callable[[Container], None], warn: Callable[[str], None]
) -> None:
    if wanted.container is None:
        pytest.skip("its container is made by other means")
    if wanted.container.tells_tokens:
        warn(f"{wanted.container.name}: at INFLUXD_LOG_LEVEL=debug its log has each token it makes")
    check_container(container(wanted.container, wanted.setup.token))


def test_it_serves_its_operator_and_nobody_else(
    host: Host, wanted: InfluxDB, secret_values: Values
) -> None:
    auths = [influxdb.operator(wanted, secret_values), influxdb.header(Secret(token_hex(20)))]
    answers = [influxdb.ask(host, wanted, [READ], auth)[0].status for auth in (*auths, Anonymous())]
    assert answers == [200, 401, 401]


def test_nobody_can_set_it_up_any_more(host: Host, wanted: InfluxDB) -> None:
    (said,) = influxdb.ask(host, wanted, [Request("GET", "/api/v2/setup", auth=Anonymous())])
    assert is_open(said) is False


def test_it_has_every_bucket_with_its_retention(wanted: InfluxDB, found: State) -> None:
    wrong = {}
    for bucket in wanted.buckets:
        home = found.organisations.get(wanted.home(bucket), "")
        there = found.buckets.get((home, bucket.name))
        shard = bucket.shard_group_duration
        if there is None or (there.retention, shard or there.shard) != (
            bucket.retention,
            there.shard,
        ):
            wrong[f"{wanted.home(bucket)}/{bucket.name}"] = there
    assert wrong == {}


def test_every_user_signs_in_with_the_password_and_with_no_other(
    host: Host, wanted: InfluxDB, secret_values: Values
) -> None:
    wrong = []
    for user in wanted.all_users:
        words = [secret_values[user.password], Secret(token_hex(20))]
        asked = [Request("POST", "/api/v2/signin", auth=Basic(user.name, it)) for it in words]
        said = [it.status for it in influxdb.ask(host, wanted, asked)]
        if said != [204, 401]:
            wrong.append(f"{user.name}: {said}")
    assert wrong == []


def test_every_token_file_is_for_its_owner_alone(host: Host, wanted: InfluxDB) -> None:
    listed = {token.file: token.owner for token in wanted.tokens if token.file}
    if not listed:
        pytest.skip("the settings list no token files")
    assert closed(host, listed) == {}


def test_every_token_may_do_what_it_shall_and_nothing_else(
    host: Host, wanted: InfluxDB, found: State
) -> None:
    if not wanted.tokens:
        pytest.skip("the settings list no tokens")
    wrong = {}
    for token in wanted.tokens:
        secret = influxdb.value(host, token)
        shall = {"read": {*token.read}, "write": {*token.write}}
        may = influxdb.rights(host, wanted, found, token, secret) if secret else "is not there"
        held = [it for it in found.authorizations if it.value == secret]
        count = sum(len(it.permissions) for it in held)
        if may != shall or (len(held), count) != (1, len(token.read) + len(token.write)):
            wrong[token.description] = may
    assert wrong == {}


def test_tokens_of_another_host_are_here_and_for_their_owners_alone(
    host: Host, client: InfluxDBClient
) -> None:
    assert closed(host, {token.file: token.owner for token in client.tokens}) == {}
    # Compared as `Secret`, so that no failure prints one.
    stale = [
        token.file
        for token in client.tokens
        if Secret(files.read(host, token.file).rstrip("\n")) != peek(token.secret.ref)
    ]
    assert stale == []


def closed(host: Host, listed: Mapping[str, str]) -> dict[str, object]:
    """Return the files, given with their owners, that others can read or own."""
    wrong: dict[str, object] = {}
    for path, owner in listed.items():
        there = files.stat(host, path)
        seen = (there.kind, there.owner, there.mode) if there else None
        if seen != ("regular file", owner, 0o600):
            wrong[path] = seen
    return wrong
