"""The operation redis.configured, on a host that answers from a recording."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from container_double import IMAGE, OLD, inspect
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_state

from uplift.operations import container_script, redis
from uplift.operations.redis import _setting
from uplift.secrets import Secret, forget
from uplift.spec.container.plan import Plan
from uplift.spec.redis import Redis
from uplift.spec.redis.server import START, auth_command, auth_file
from uplift.spec.redis.state import Difference
from uplift.spec.redis.state import State as Server

WORD = secrets.token_hex(8)
SALT = secrets.token_hex(16)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project folder of its own, and a salt that the recording knows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPLIFT_SECRET_REDIS_PASSWORD", WORD)
    monkeypatch.setattr("uplift.operations.container.fact_salt", lambda: SALT)
    forget()
    yield
    forget()
    for context in (ctx_state, ctx_host, ctx_config):
        context.reset()


def settings(**fields: Any) -> Redis:
    block = {"image": "redis:8", "password": {"secret": "redis/password"}, **fields}
    return Redis.parse(block, path="redis")


def coded(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.b64encode(text.encode()).decode()


def containers(it: Redis) -> str:
    """What the fact of containers says of one that is as it shall be."""
    hashed = hashlib.sha256(f"{SALT}{auth_file(Secret(WORD)).reveal()}".encode()).hexdigest()
    image = {"Id": IMAGE.id, "RepoDigests": [f"redis@{OLD}"], "Config": IMAGE.config}
    return "\n".join(
        [
            "busy ",
            "docker yes",
            "limits true true true",
            f"secret redis 400 999:0 {hashed} {coded('auth.conf')}",
            f"resolve redis:8 {IMAGE.id} 200 {coded({'Descriptor': {'digest': OLD}})}",
            f"containers {coded([inspect(it.container)])}",
            f"images {coded([image])}",
            "end",
        ]
    )


def server(it: Redis, first: str = "(error) NOAUTH Authentication required.", **other: str) -> str:
    """What the fact of the server says."""
    config = {key: " ".join(words) for key, words in it.options.items()}
    config |= {"appendonly": "yes", **other}
    lines = [f'1) "{key}"\n2) "{value}"' for key, value in config.items()]
    users = '1) "user default on #abc ~* &* +@all"'
    head = ["container running", "seen abc", "appendonly yes", first, "OK", users]
    return "\n".join([*head, *lines, "end"])


def apply(it: Redis, said: str) -> tuple[Any, list[str]]:
    """Run the operation once, and return what it meant and the commands."""
    responses = {"redis-cli": said, "io.uplift.managed": containers(it)}
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": responses}
    state = State(Inventory((["@fake/box"], data)), Config())
    connect_all(state)
    (meta,) = add_op(state, redis.configured, name="Redis", settings=it).values()
    run_ops(state)
    return meta, state.inventory.get_host("@fake/box").connector.executed_commands


def test_a_redis_as_wanted_costs_two_remote_commands_a_time_and_changes_nothing() -> None:
    it = settings(maxmemory="1g")
    meta, commands = apply(it, server(it))
    assert not meta.did_change()
    # Once while preparing, once while running.
    assert len(commands) == 4
    assert WORD not in "".join(commands)


def test_a_configuration_set_by_hand_is_set_back_by_one_job_without_a_restart() -> None:
    it = settings(maxmemory="1g")
    _, commands = apply(it, server(it, maxmemory="0"))
    jobs = [command for command in commands if "systemd-run" in command]
    assert len(jobs) == 1
    assert " uplift redis-" in jobs[0]
    assert WORD not in "".join(commands)


def test_a_server_without_a_password_is_started_anew_as_a_job_of_its_container() -> None:
    it = settings()
    _, commands = apply(it, server(it, first="PONG"))
    jobs = [command for command in commands if "systemd-run" in command]
    assert len(jobs) == 1
    assert " uplift container-" in jobs[0]


def test_the_password_is_in_the_job_as_data_and_in_no_argument_of_a_program() -> None:
    differs = [
        Difference("maxmemory", "0", "1"),
        Difference("appendonly", "yes", "no"),
        Difference("appendonly", "no", "yes"),
    ]
    text = _setting(settings(), Secret(WORD), differs)
    done = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in text.splitlines() if WORD in line]
    assert line == f"login='{auth_command(Secret(WORD)).reveal()}'"


def test_a_missing_password_is_named_before_the_host_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("UPLIFT_SECRET_REDIS_PASSWORD")
    it = settings()
    _, commands = apply(it, server(it))
    assert all("redis/password" in command for command in commands)
    assert all("exit 64" in command for command in commands)


def test_what_stands_in_memory_alone_is_written_before_anything_stops() -> None:
    it = settings()
    said = server(it, appendonly="no")
    _, commands = apply(it, said)
    jobs = [command for command in commands if "systemd-run" in command]
    reads = [number for number, command in enumerate(commands) if "io.uplift.managed" in command]
    # Before the containers are read, and so before one of them is stopped.
    assert " uplift redis-" in jobs[0]
    assert commands.index(jobs[0]) < reads[-1]


def test_a_server_of_somebody_else_is_not_written_over_the_file() -> None:
    it = settings()
    _, commands = apply(
        it, server(it, first="PONG", appendonly="no").replace("\nOK\n", "\n(error) ERR\n")
    )
    assert not [command for command in commands if " uplift redis-" in command]


def test_an_empty_password_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "require", lambda it: {it.password: Secret("")})
    it = settings()
    _, commands = apply(it, server(it))
    assert all("is empty: everybody would get in" in command for command in commands)
    assert all("exit 64" in command for command in commands)


def test_a_restart_waits_for_health_like_any_start() -> None:
    text = container_script._mending(
        settings().container, Plan("mend", ("why",), found="redis", restart=True)
    )
    assert "firmly renew && firmly wait_good" in text


def test_a_redis_of_ours_goes_back_and_a_stranger_only_when_it_reads_the_same_file() -> None:
    ours = {"Config": {"Cmd": ["-c", START, "redis-start", "no"]}}
    other = {"Config": {"Cmd": ["redis-server"]}}
    unknown, appends = Server(running=True), Server(running=True, config={"appendonly": "yes"})
    assert redis._stays(settings(), unknown, None) == ""
    assert redis._stays(settings(), unknown, ours) == ""
    assert redis._stays(settings(), appends, other) == ""
    assert "may not read" in redis._stays(settings(), unknown, other)
