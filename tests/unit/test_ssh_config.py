"""The OpenSSH configuration of a host, as OpenSSH itself reads it (``ssh -G`` connects nowhere)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from uplift.remote.inventory import InventoryHost
from uplift.remote.ssh_config import refusal, render

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh command here")


def host(name: str = "web-1", **data: Any) -> InventoryHost:
    return InventoryHost(name, ("apps",), data)


def options(
    tmp_path: Path, one: InventoryHost, user_config: str = "", asked: str = ""
) -> dict[str, list[str]]:
    """Return what ssh would do for an address, by option."""
    (tmp_path / "user").write_text(user_config)
    data = dict(one.data) | {"ssh_config_file": str(tmp_path / "user")}
    config = tmp_path / "0.conf"
    config.write_text(render(InventoryHost(one.name, one.groups, data), tmp_path / "s", tmp_path))
    done = subprocess.run(
        ["ssh", "-G", "-F", str(config), asked or one.address],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


@needs_ssh
def test_the_connection_data_of_the_inventory_is_used(tmp_path: Path) -> None:
    found = options(
        tmp_path,
        host(
            ssh_hostname="192.0.2.1",
            ssh_port=2222,
            ssh_user="deploy",
            ssh_key="keys/id of 100%",
            ssh_known_hosts_file="known hosts",
            ssh_strict_host_key_checking="yes",
        ),
    )
    assert found["hostname"] == ["192.0.2.1"]
    assert found["port"] == ["2222"]
    assert found["user"] == ["deploy"]
    assert found["identityfile"] == [f"{tmp_path}/keys/id of 100%%"]
    assert found["identitiesonly"] == ["yes"]
    assert found["userknownhostsfile"] == [f"{tmp_path}/known hosts"]
    assert found["globalknownhostsfile"] == ["/dev/null"]
    assert found["stricthostkeychecking"] == ["true"]


@needs_ssh
def test_nothing_waits_for_an_answer_or_for_ever(tmp_path: Path) -> None:
    for asked in ("web-1", "some-bastion"):
        found = options(tmp_path, host(), asked=asked)
        assert found["batchmode"] == ["yes"]
        assert found["connecttimeout"] == ["10"]
        assert found["serveralivecountmax"] == ["3"]
        assert int(found["serveraliveinterval"][0]) > 0


@needs_ssh
def test_the_connection_is_shared_for_the_host_alone(tmp_path: Path) -> None:
    assert options(tmp_path, host())["controlpath"] == [f"{tmp_path}/s"]
    assert "controlpath" not in options(tmp_path, host(), asked="some-bastion")


@needs_ssh
def test_host_keys_are_checked_as_pyinfra_does_by_default(tmp_path: Path) -> None:
    found = options(tmp_path, host(), "Host *\n  StrictHostKeyChecking no\n")
    assert found["stricthostkeychecking"] == ["accept-new"]
    assert "known_hosts" in found["userknownhostsfile"][0]


@needs_ssh
def test_bastions_users_and_aliases_of_the_users_configuration_count(tmp_path: Path) -> None:
    found = options(
        tmp_path,
        host(ssh_hostname="app-alias"),
        "Host app-alias\n  HostName 192.0.2.9\n  ProxyJump jump.example.com\n  User ops\n"
        "Host web-1\n  User wrong\n",
    )
    assert found["hostname"] == ["192.0.2.9"]
    assert found["proxyjump"] == ["jump.example.com"]
    assert found["user"] == ["ops"]


@needs_ssh
def test_the_inventory_wins_over_the_users_configuration(tmp_path: Path) -> None:
    found = options(
        tmp_path,
        host(ssh_user="deploy", ssh_port=2222),
        "Host web-1\n  User ops\n  Port 22\n  ForwardAgent yes\n  RemoteCommand top\n"
        "  LocalForward 8080 localhost:80\n",
    )
    assert (found["user"], found["port"]) == (["deploy"], ["2222"])
    assert found["forwardagent"] == ["no"]
    assert found.get("remotecommand", ["none"]) == ["none"]
    assert found["clearallforwardings"] == ["yes"]


@needs_ssh
def test_an_agent_and_default_keys_can_be_switched_off(tmp_path: Path) -> None:
    found = options(tmp_path, host(ssh_allow_agent=False, ssh_look_for_keys=False))
    assert found["identityagent"] == ["none"]
    assert found.get("identityfile", ["none"]) == ["none"]


@pytest.mark.parametrize(
    "key",
    [
        "ssh_password",
        "ssh_key_password",
        "ssh_paramiko_connect_kwargs",
        "_use_sudo_password",
        "_su_user",
        "_doas",
        "_dzdo",
    ],
)
def test_what_ssh_cannot_do_is_refused_by_name(key: str) -> None:
    said = refusal(host(**{key: "hunter2"}))
    assert said is not None
    assert said.startswith(f"{key}: ")
    assert "hunter2" not in said


@pytest.mark.parametrize("value", ["no", "off", "NO", "maybe"])
def test_unchecked_host_keys_are_refused(value: str) -> None:
    said = refusal(host(ssh_strict_host_key_checking=value))
    assert said is not None
    assert said.startswith("ssh_strict_host_key_checking: ")


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (host("@local"), "connector @local"),
        (host("@docker/box"), "connector @docker"),
        (host(ssh_hostname="-oProxyCommand=x"), "ssh_hostname"),
        (host(ssh_hostname="a b"), "ssh_hostname"),
        (host(ssh_hostname="web*"), "ssh_hostname"),
        (host(ssh_user='a"\n  ProxyCommand x'), "ssh_user"),
        (host(ssh_key="a\nb"), "ssh_key"),
        (host(ssh_port="22; rm"), "ssh_port"),
        (host(ssh_port=70000), "ssh_port"),
        (host(ssh_paramiko_connect_kwargs={"compress": True}), "ssh_paramiko_connect_kwargs"),
    ],
)
def test_what_cannot_be_written_down_is_refused(one: InventoryHost, text: str) -> None:
    assert text in (refusal(one) or "")


@pytest.mark.parametrize(
    "one",
    [
        host(),
        host("@ssh/web-1"),
        host(ssh_hostname="2001:db8::1"),
        host(_sudo=True),
        host(ssh_paramiko_connect_kwargs={"channel_timeout": 30}),
    ],
)
def test_a_common_host_is_not_refused(one: InventoryHost) -> None:
    assert refusal(one) is None
