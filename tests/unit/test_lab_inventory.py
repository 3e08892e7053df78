"""The lab as an inventory, read without Docker."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from uplift.lab import inventory
from uplift.lab.addresses import PORTS, Addresses
from uplift.lab.state import Host, LabState, NoLabError, Places
from uplift.spec.errors import Exit


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    (tmp_path / "inventories").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    return Places.of("mine")


def remember(places: Places, port: int) -> None:
    """Write down a lab of two hosts at addresses where only this test listens."""
    at = Addresses(block=1, ports={**{p: p for p in PORTS}, 22: port})
    hosts = tuple(Host.at(at, name, "host") for name in ("lab-1", "lab-2"))
    places.save(LabState(name=places.name, folder=str(places.project), hosts=hosts))


def test_hosts_are_reached_as_the_lab_says_and_their_keys_are_checked(places: Places) -> None:
    with socket.create_server(("127.0.1.12", 0)) as sshd:  # lab-1 is stopped, lab-2 runs
        port = sshd.getsockname()[1]
        remember(places, port)
        groups = inventory.groups("mine")
    assert {group: [name for name, _ in hosts] for group, hosts in groups.items()} == {
        "services": ["lab-1"],
        "builders": ["lab-1"],
        "apps": ["lab-2"],
    }
    assert groups["apps"][0][1] == {
        "ssh_hostname": "127.0.1.12",
        "ssh_port": port,
        "ssh_user": "deploy",
        "ssh_key": str(places.key),
        "ssh_known_hosts_file": str(places.known_hosts),
        "ssh_strict_host_key_checking": "yes",
        "_sudo": True,
    }


def test_a_lab_that_is_down_is_told(places: Places) -> None:
    with socket.create_server(("127.0.1.11", 0)) as gone:
        port = gone.getsockname()[1]
    remember(places, port)
    with pytest.raises(NoLabError, match="lab mine is down: run `uplift lab up --name mine`"):
        inventory.groups("mine")


def test_no_lab_ends_the_process_in_a_way_that_pyinfra_does_not_wrap(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        inventory.groups_or_exit("mine")
    assert ended.value.code == Exit.USAGE
    assert "run `uplift lab up" in capsys.readouterr().err
