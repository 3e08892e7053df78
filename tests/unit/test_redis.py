"""Settings of Redis, the container that they make, and how a running server is compared."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.spec.errors import SettingsError
from uplift.spec.redis import Redis
from uplift.spec.redis.server import HEALTH, START, auth_file, quoted
from uplift.spec.redis.state import State, differences, parse, repairs, same
from uplift.spec.secret import Secret


def settings(**fields: Any) -> Redis:
    block = {"image": "redis:8", "password": {"secret": "redis/password"}, **fields}
    return Redis.parse(block, path="redis")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"maxmemmory": "1g"}, "redis.maxmemmory: unknown key, did you mean 'maxmemory'?"),
        ({"maxmemory": "lots"}, "redis.maxmemory: a size is a number and k, m or g"),
        (
            {"maxmemory": "1g", "maxmemory_policy": "allkeys-lur"},
            "redis.maxmemory_policy: .*did you mean 'allkeys-lru'?",
        ),
        (
            {"maxmemory_policy": "allkeys-lru"},
            "redis: maxmemory_policy: 'allkeys-lru' does nothing without maxmemory",
        ),
        ({"maxmemory": "1g", "memory": "512m"}, "redis: memory: 512m leaves no room"),
        ({"appendfsync": "sometimes"}, "redis.appendfsync: "),
        ({"image": "redis:8 "}, "redis.image: an image as"),
        ({"address": "localhost"}, "redis.address: "),
        ({"port": 70000}, "redis.port: .*found int 70000"),
        ({"user": "redis"}, "redis.user: "),
        ({"password": "hunter2"}, "redis.password: must be a reference such as secret"),
        ({"config": {"requirepass": "x"}}, "'requirepass' use the key 'password' of this block"),
        ({"config": {"masterauth": "x"}}, "'masterauth' is not supported"),
        ({"config": {"Save": ""}}, "a key of redis.conf in small letters"),
        ({"config": {"save": "1 1\nrequirepass x"}}, "one line of printable ASCII"),
        ({"config": {"save": "1 1 --requirepass x"}}, "no word may begin with '--'"),
        ({"config": {"proc-title-template": "'open"}}, "No closing quotation"),
    ],
)
def test_wrong_settings_are_named_with_the_remedy(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        settings(**fields)
    assert "hunter2" not in str(caught.value)


def test_the_container_has_the_settings_in_its_command_and_no_secret() -> None:
    it = settings(
        maxmemory="1g",
        maxmemory_policy="allkeys-lfu",
        appendfsync="always",
        config={"save": "", "maxclients": 100, "lazyfree-lazy-expire": True},
        port=6380,
    ).container
    assert it.command == (
        *("yes", "--dir", "/data", "--protected-mode", "yes", "--maxmemory", str(1024**3)),
        *("--maxmemory-policy", "allkeys-lfu", "--appendfsync", "always"),
        *("--save", "", "--maxclients", "100", "--lazyfree-lazy-expire", "yes"),
    )
    assert list(it.secrets) == ["auth.conf"]
    (port,) = it.ports
    assert (port.address, port.host, port.container) == ("127.0.0.1", 6380, 6379)
    assert (it.stateful, it.user, it.secret_uid) == (True, "999:999", 999)


@given(st.text(min_size=1))
def test_any_password_is_one_word_of_one_line(text: str) -> None:
    line = auth_file(Secret(text)).reveal()
    assert line.startswith('requirepass "') and line.endswith('"\n')
    inner = line[len('requirepass "') : -2]
    assert inner.isascii() and not set(inner) & set('"\n\r ')
    assert inner.encode().decode("unicode_escape").encode("latin-1").decode() == text


@pytest.mark.parametrize(
    ("there", "wanted", "begins"),
    [
        ([], "yes", "yes"),
        ([], "no", "no"),
        (["dump.rdb"], "yes", "no"),
        (["dump.rdb", "appendonlydir/appendonly.aof.manifest"], "no", "yes"),
        (["appendonly.aof"], "no", "yes"),
        (["dump.rdb", "appendonlydir/temp.rdb"], "yes", "no"),
    ],
)
def test_the_server_begins_with_what_the_volume_holds(
    tmp_path: Path, there: list[str], wanted: str, begins: str
) -> None:
    for name in there:
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    fake = tmp_path / "redis-server"
    fake.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    fake.chmod(0o755)
    text = START.replace("/data/", f"{tmp_path}/data/")
    said = subprocess.run(
        ["sh", "-c", text, "redis-start", wanted, "--save", ""],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == f"/run/secrets/auth.conf|--save||--appendonly|{begins}|"


def test_the_check_of_its_health_logs_in_with_the_file_and_shows_it_in_no_argument(
    tmp_path: Path,
) -> None:
    (tmp_path / "auth.conf").write_text(auth_file(Secret("a b")).reveal())
    fake = tmp_path / "redis-cli"
    fake.write_text(
        f'#!/bin/sh\necho "$#" >{tmp_path}/count\ntee {tmp_path}/said >/dev/null; echo PONG\n'
    )
    fake.chmod(0o755)
    assert shutil.which("sed")
    text = HEALTH.replace("/run/secrets", str(tmp_path))
    subprocess.run(["sh", "-c", text], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert (tmp_path / "said").read_text() == f"AUTH {quoted('a b')}\nPING\n"
    assert (tmp_path / "count").read_text() == "0\n"


HEAD = ["container running", "seen abc"]
LOGIN = ["(error) NOAUTH Authentication required.", "OK"]
USER = '1) "user default on sanitize-payload #{hash} ~* &* +@all"'
CONFIG = ['1) "appendonly"', '2) "yes"', '1) "save"', '2) "3600 1 300 100"']


def state(*lines: str, appendonly: str = "yes") -> State:
    return parse([*HEAD, f"appendonly {appendonly}", *lines, "", "end"])


def test_a_server_as_it_shall_be_is_read() -> None:
    found = state(*LOGIN, USER, *CONFIG, "(empty array)")
    assert (found.running, found.closed, found.opens, found.trouble) == (True, True, True, "")
    assert found.config == {"appendonly": "yes", "save": "3600 1 300 100"}
    assert found.seen == "abc"


@pytest.mark.parametrize(
    ("lines", "trouble"),
    [
        ([], "it does not answer"),
        (["PONG", "OK", USER, *CONFIG], "it lets everybody in without a password"),
        (["PONG", "(error) ERR AUTH <password> called"], "it lets everybody in"),
        (
            [LOGIN[0], "(error) WRONGPASS invalid", "(error) NOAUTH Authentication required."],
            "it refuses the password: WRONGPASS invalid",
        ),
        (
            [*LOGIN, USER, '2) "user eve on nopass ~* &* +@all"', '3) "user off off nopass"'],
            "users without a password: eve",
        ),
    ],
)
def test_what_only_a_restart_mends_is_named(lines: list[str], trouble: str) -> None:
    assert state(*lines).trouble.startswith(trouble)


def test_a_container_that_is_not_there_has_no_server() -> None:
    assert parse(["container absent", "seen -", "end"]) == State(seen="-")


@pytest.mark.parametrize("lines", [[], ["container running", "seen x"]])
def test_a_cut_off_answer_is_an_error(lines: list[str]) -> None:
    with pytest.raises(ValueError, match="did not reach its end"):
        parse(lines)


@pytest.mark.parametrize(
    ("key", "found", "wanted", "equal"),
    [
        ("maxclients", "100", "100", True),
        ("maxclients", "100", "101", False),
        ("active-defrag-ignore-bytes", "104857600", "100mb", True),
        ("active-defrag-ignore-bytes", "100000000", "100M", True),
        ("active-defrag-ignore-bytes", "104857600", "100m", False),
        ("notify-keyspace-events", "AKE", "KEA", True),
        ("notify-keyspace-events", "AK", "KEA", False),
        ("loglevel", "notice", "NOTICE", True),
        (
            "client-output-buffer-limit",
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            "replica 256mb 64mb 60",
            True,
        ),
        (
            "client-output-buffer-limit",
            "normal 0 0 0 slave 268435456 67108864 60",
            "replica 256mb 64mb 61",
            False,
        ),
        ("save", "", "", True),
    ],
)
def test_values_are_compared_as_redis_means_them(
    key: str, found: str, wanted: str, equal: bool
) -> None:
    assert same(key, found, wanted) is equal


def server(**config: str) -> State:
    return State(running=True, answers=True, closed=True, opens=True, config=config)


def test_differences_name_the_key_and_what_the_server_does_not_show_is_left_out() -> None:
    it = settings(maxmemory="1g", config={"loadmodule": "/m.so", "save": "60 1"})
    found = differences(it, server(maxmemory="0", save="", appendonly="yes"))
    assert [str(one) for one in found] == ["maxmemory unlimited -> 1g", "save (empty) -> 60 1"]
    assert repairs(found) == [
        'CONFIG SET maxmemory "1073741824"',
        'CONFIG SET save "\\x36\\x30\\x20\\x31"',
    ]


def test_an_append_only_file_that_is_left_over_is_a_difference() -> None:
    off = settings(appendonly=False)
    left = State(running=True, config={"appendonly": "no"}, leftover=True)
    assert [one.key for one in differences(off, left)] == ["appendonly"]
    assert differences(off, server(appendonly="no")) == []
    assert repairs(differences(off, left)) == []
