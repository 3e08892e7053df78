"""The operation docker.installed, on hosts that answer from a recording."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.command import StringCommand
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_state

from uplift.operations import docker, job
from uplift.spec.docker import Docker, RegistryTrust

INFO = {
    "LiveRestoreEnabled": True,
    "LoggingDriver": "json-file",
    "ServerVersion": "26.1.5",
    "RegistryConfig": {},
}
CONFIG = {
    "live-restore": True,
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "3"},
}
SETTINGS = Docker()


@pytest.fixture(autouse=True)
def fresh_context():
    yield
    for context in (ctx_state, ctx_host, ctx_config):
        context.reset()


def coded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def answer(config: Any = CONFIG, *, os: str = "debian 13", engine: bool = True) -> str:
    lines = ["systemd yes", "busy ", f"os {os}"]
    if engine:
        lines += [
            "engine /usr/sbin/dockerd",
            "client /usr/bin/docker",
            "unit LoadState=loaded",
            "unit ActiveState=active",
            "unit UnitFileState=enabled",
            "started 1000.0",
            "reloaded 1000.0",
            f"info {coded(INFO)}",
            f"config 644 0:0 900.0 {coded(config)} regular file",
        ]
    return "\n".join([*lines, "end"])


def apply(settings: Docker, said: str) -> tuple[Any, list[str]]:
    """Run the operation once on a host whose fact says this."""
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": {"docker.service": said}}
    state = State(Inventory((["@fake/box"], data)), Config())
    connect_all(state)
    (meta,) = add_op(state, docker.installed, name="Docker Engine", settings=settings).values()
    run_ops(state)
    return meta, state.inventory.get_host("@fake/box").connector.executed_commands


def test_a_host_as_wanted_costs_one_remote_command_a_time_and_changes_nothing():
    meta, commands = apply(SETTINGS, answer())
    assert not meta.did_change()
    # Once while preparing, once while running.
    assert len(commands) == 2
    assert len(set(commands)) == 1


def test_a_change_is_one_job():
    meta, commands = apply(SETTINGS, answer({}))
    assert meta.did_change()
    assert [command for command in commands if "systemd-run" in command] == commands[-1:]
    assert "uplift docker-" in commands[-1]


def test_the_configuration_travels_by_standard_input_alone():
    settings = Docker(daemon_json={"http-proxy": "http://proxy.example:3128"})
    _, commands = apply(settings, answer({}))
    assert "proxy.example" not in "".join(commands)
    assert coded({})[:4] not in commands[-1]


def commands_for(settings: Docker, said: str) -> list[StringCommand]:
    """The commands that the operation yields, unmasked."""
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": {"docker.service": said}}
    state = State(Inventory((["@fake/box"], data)), Config())
    connect_all(state)
    host = state.inventory.get_host("@fake/box")
    with ctx_state.use(state), ctx_host.use(host):
        return list(docker.installed._inner(settings=settings))


def test_the_refusal_names_what_is_supported():
    (command,) = commands_for(SETTINGS, answer(os="ubuntu 24.04", engine=False))
    assert "Docker is installed here on Debian 12 and Debian 13 only" in command.get_raw_value()
    assert "exit 1" in command.get_raw_value()


def test_a_missing_ca_file_names_key_and_file():
    settings = Docker(registries={"r.example": RegistryTrust(ca_file="nowhere/ca.crt")})
    (command,) = commands_for(settings, answer())
    assert "docker.registries.r.example.ca_file: nowhere/ca.crt: No such file" in (
        command.get_raw_value()
    )
    assert "exit 64" in command.get_raw_value()


def test_a_ca_file_that_holds_a_key_is_refused(tmp_path: Path):
    file = tmp_path / "ca.crt"
    file.write_text("-----BEGIN PRIVATE KEY-----\n")
    settings = Docker(registries={"r.example": RegistryTrust(ca_file=str(file))})
    (command,) = commands_for(settings, answer())
    assert "private key" in command.get_raw_value()


def test_the_same_change_to_another_state_is_another_job():
    one, two = (
        commands_for(SETTINGS, answer({"debug": debug}))[0].get_raw_value()
        for debug in (True, False)
    )
    assert one != two
    assert one == commands_for(SETTINGS, answer({"debug": True}))[0].get_raw_value()


def test_a_job_needs_an_id_that_systemd_can_take():
    with pytest.raises(ValueError, match="a job's id"):
        job.start("docker engine", "true")
