"""Watched runs of pyinfra on real hosts: what came of each host, and what was read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from uplift.rollout.child import Event, Outcome, State, run

PROJECT = Path(__file__).parents[2]
SOME = ("lab-1", "lab-2")

Seen = list[Event]
Watched = Callable[..., tuple[Outcome, Seen]]


@pytest.fixture
def watched(lab: dict[str, Any], environment: dict[str, str], tmp_path: Path) -> Watched:
    """Run deploy files of the project, or a text, on hosts of the lab."""

    def call(deploy: str, *names: str, **options: Any) -> tuple[Outcome, Seen]:
        if "\n" in deploy:
            (tmp_path / "deploy.py").write_text(deploy)
            deploy = str(tmp_path / "deploy.py")
        seen: Seen = []
        found = run(
            "inventories/lab.py",
            [deploy],
            names or SOME,
            log=tmp_path / "log",
            on_event=seen.append,
            environment=environment,
            **options,
        )
        return found, seen

    return call


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


BROKEN_ON_ONE = """
from pyinfra import host
from pyinfra.operations import server
server.shell(name="First", commands="true")
server.shell(name="Second", commands="echo no space >&2; exit 1" if {which} else "true")
server.shell(name="Third", commands="touch /tmp/uplift-third")
"""


def test_an_operation_that_fails_on_one_host_does_not_stop_the_others(
    watched: Watched, ssh: Any
) -> None:
    ssh("lab-1", "sudo rm -f /tmp/uplift-third")
    ssh("lab-2", "sudo rm -f /tmp/uplift-third")
    found, seen = watched(BROKEN_ON_ONE.format(which="host.name == 'lab-2'"))
    assert found.hosts["lab-1"].state is State.OK
    bad = found.hosts["lab-2"]
    assert (bad.state, bad.operation, bad.text) == (State.FAILED, "Second", "no space")
    assert ssh("lab-1", "ls /tmp/uplift-third", check=False).returncode == 0
    assert ssh("lab-2", "ls /tmp/uplift-third", check=False).returncode != 0
    assert [(one.operation, one.host) for one in seen if one.kind == "host-error"] == [
        ("Second", "lab-2")
    ]


@pytest.mark.slow
def test_when_it_fails_on_all_hosts_each_one_is_told(
    watched: Watched,
) -> None:
    found, _ = watched(BROKEN_ON_ONE.format(which="True"))
    assert {one.state for one in found.hosts.values()} == {State.FAILED}
    assert {one.operation for one in found.hosts.values()} == {"Second"}
    assert found.operations == ("First", "Second")


@pytest.mark.parametrize(
    "dry", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["dry", "real"]
)
def test_a_host_that_is_down_is_unreachable_and_the_others_are_served(
    watched: Watched,
    hosts: list[dict[str, Any]],
    closed_port: int,
    tmp_path: Path,
    dry: bool,
) -> None:
    keys = {"hostname": "address", "port": "port", "user": "user"}
    keys |= {"key": "identity_file", "known_hosts_file": "known_hosts_file"}
    data = {f"ssh_{key}": hosts[0][name] for key, name in keys.items()}
    broken = {**data, "ssh_port": closed_port}
    inventory = tmp_path / "inventory.py"
    inventory.write_text(f"hosts = {[('lab-1', data), ('down', broken)]!r}\n")
    deploy = tmp_path / "deploy.py"
    deploy.write_text("from pyinfra.operations import server\nserver.shell(commands='true')\n")
    found = run(str(inventory), [str(deploy)], ["down", "lab-1"], log=tmp_path / "log", dry=dry)
    assert list(found.hosts) == ["down", "lab-1"]
    assert found.hosts["lab-1"].ok and found.changed
    assert found.hosts["down"].state is State.UNREACHABLE
    assert "connect" in found.hosts["down"].text


@pytest.mark.slow
def test_the_same_state_is_read_twice_with_the_same_fingerprint_and_another_one_differs(
    watched: Watched, ssh: Any
) -> None:
    def reads() -> dict[str, dict[str, str]]:
        found, _ = watched("deploys/clients.py", dry=True)
        return {name: dict(one.reads) for name, one in found.hosts.items()}

    before = reads()
    assert all(before.values())
    assert reads() == before
    ssh("lab-2", "sudo touch /root/.netrc && echo '# by hand' | sudo tee -a /root/.netrc")
    try:
        after = reads()
    finally:
        ssh("lab-2", "sudo sed -i '/# by hand/d' /root/.netrc")
    assert after["lab-1"] == before["lab-1"]
    assert after["lab-2"] != before["lab-2"]


@pytest.mark.slow
def test_what_a_dry_run_announces_is_what_the_run_then_says_it_has_changed(
    watched: Watched, ssh: Any
) -> None:
    watched("deploys/uv.py", "lab-2")
    ssh("lab-2", "sudo rm /usr/local/bin/uvx")
    before, seen = watched("deploys/uv.py", "lab-2", dry=True)
    assert not any(one.data["done"] for one in seen if one.kind == "change")
    after, seen = watched("deploys/uv.py", "lab-2")
    assert all(one.data["done"] for one in seen if one.kind == "change")
    assert before.hosts["lab-2"].changes == after.hosts["lab-2"].changes != ()
    again, _ = watched("deploys/uv.py", "lab-2", dry=True)
    assert again.ok and not again.changed
