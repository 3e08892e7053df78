"""Redis: behind its password, durable, within its memory; asked through its published port."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from secrets import token_hex

import pytest
from testinfra.host import Host

from uplift.secrets import Secret, SecretRef
from uplift.settings import Settings
from uplift.spec.container import Container
from uplift.spec.container.units import memory_bytes
from uplift.spec.redis import Redis
from uplift.verify import redis


@pytest.fixture(scope="module")
def wanted(settings: Settings) -> Redis:
    if settings.redis is None:
        pytest.skip("the settings do not manage Redis")
    return settings.redis


@pytest.fixture(scope="module")
def password(wanted: Redis, secret_values: Mapping[SecretRef, Secret]) -> Secret:
    return secret_values[wanted.password]


def test_its_container_is_as_the_settings_say(
    wanted: Redis, check_container: Callable[[Container], None]
) -> None:
    check_container(wanted.container)


def test_the_password_opens_it(host: Host, wanted: Redis, password: Secret) -> None:
    assert redis.ask(host, wanted, ["PING"], password)[:2] == ["+OK", "+PONG"]


def test_nobody_gets_in_without_the_password(host: Host, wanted: Redis) -> None:
    assert redis.ask(host, wanted, ["PING"])[0].startswith("-NOAUTH")


def test_another_password_is_refused(host: Host, wanted: Redis) -> None:
    answers = redis.ask(host, wanted, ["PING"], Secret(token_hex(20)))
    assert [line.split()[0] for line in answers[:2]] == ["-WRONGPASS", "-NOAUTH"]


def test_every_user_needs_a_password(host: Host, wanted: Redis, password: Secret) -> None:
    users = [line for line in redis.ask(host, wanted, ["ACL LIST"], password) if "user " in line]
    assert any("user default on " in line for line in users)
    assert [line.split()[1] for line in users if " nopass " in line and " on " in line] == []


def test_it_writes_what_it_is_told(host: Host, wanted: Redis, password: Secret) -> None:
    found = redis.config(host, wanted, password, "appendonly")
    assert found == ("yes" if wanted.appendonly else "no")
    if wanted.appendonly:
        assert redis.config(host, wanted, password, "appendfsync") == wanted.appendfsync
        said = redis.ask(host, wanted, ["INFO persistence"], password)
        assert "aof_last_write_status:ok" in said
        assert "aof_last_bgrewrite_status:ok" in said


def test_its_memory_is_limited_as_the_settings_say(
    host: Host, wanted: Redis, password: Secret
) -> None:
    limit = memory_bytes(wanted.maxmemory) if wanted.maxmemory else 0
    assert redis.config(host, wanted, password, "maxmemory") == str(limit)
    found = redis.config(host, wanted, password, "maxmemory-policy")
    assert found == wanted.maxmemory_policy
