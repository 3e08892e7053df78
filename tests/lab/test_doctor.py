"""The doctor on real hosts: nothing to say when all is well, and the right words when it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., CompletedProcess[str]]
Hosts = list[dict[str, Any]]


@pytest.fixture
def project(tmp_path: Path, hosts: Hosts) -> Path:
    """A project folder whose inventory points to the lab's hosts."""
    (tmp_path / "inventories").mkdir()
    (tmp_path / "group_data").mkdir()
    (tmp_path / "config.py").touch()
    (tmp_path / "group_data/all.py").write_text(
        '_sudo = True\ndocker = {"live_restore": True}\nuv = {"version": "0.13.8"}\n'
    )
    inventory(tmp_path, hosts)
    return tmp_path


def inventory(project: Path, hosts: Hosts, **data: Any) -> None:
    """Write the inventory; ``data`` is added to every host."""
    pairs = [
        (
            host["name"],
            {
                "ssh_hostname": host["address"],
                "ssh_port": host["port"],
                "ssh_user": host["user"],
                "ssh_key": host["identity_file"],
                "ssh_known_hosts_file": host["known_hosts_file"],
                "ssh_config_file": "/dev/null",
                **data,
            },
        )
        for host in hosts
    ]
    (project / "inventories/site.py").write_text(f"apps = {pairs!r}\n")


@pytest.fixture
def examine(project: Path, uplift: Run) -> Callable[..., tuple[int, dict[str, Any]]]:
    def call(*options: str) -> tuple[int, dict[str, Any]]:
        words = ("doctor", "inventories/site.py", "--json", *options)
        done = uplift(*words, check=False, cwd=project)
        return done.returncode, json.loads(done.stdout)

    return call


def finding(report: dict[str, Any], host: str, check: str) -> dict[str, Any]:
    (of_host,) = [it for it in report["hosts"] if it["name"] == host]
    (found,) = [it for it in of_host["findings"] if it["check"] == check]
    return dict(found)


def test_hosts_in_order_pass_every_check(examine: Run, hosts: Hosts) -> None:
    code, report = examine()
    statuses = {
        (host["name"], it["check"]): it["status"]
        for host in report["hosts"]
        for it in host["findings"]
        if it["status"] != "ok"
    }
    # How full the disk is, is this machine's affair.
    assert {key: value for key, value in statuses.items() if key[1] != "disk"} == {}
    assert code == 0, statuses
    assert len(report["hosts"]) == len(hosts)


def test_a_host_that_nobody_knows_the_key_of_is_not_logged_in_to(
    examine: Run, project: Path, hosts: Hosts, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    known.touch()
    inventory(project, hosts[:1], ssh_known_hosts_file=str(known))
    code, report = examine()
    name = hosts[0]["name"]
    assert code == 3
    assert finding(report, name, "host key")["kind"] == "host key unknown"
    assert finding(report, name, "login")["status"] == "skipped"
    assert known.read_text() == ""


def test_a_changed_host_key_is_refused_with_the_command_that_removes_the_old_one(
    examine: Run, project: Path, hosts: Hosts, tmp_path: Path
) -> None:
    # The key of another host under this one's address.
    lines = Path(hosts[0]["known_hosts_file"]).read_text().splitlines()
    other = next(line for line in lines if hosts[1]["address"] in line.split()[0])
    known = tmp_path / "known_hosts"
    known.write_text(" ".join([hosts[0]["address"], *other.split()[1:3]]) + "\n")
    inventory(project, hosts[:1], ssh_known_hosts_file=str(known))
    code, report = examine()
    found = finding(report, hosts[0]["name"], "host key")
    assert (code, found["kind"]) == (3, "host key changed")
    assert "ssh-keygen -R" in found["remedy"]


def test_a_user_without_the_key_is_told_how_to_bring_it(
    examine: Run, project: Path, hosts: Hosts
) -> None:
    inventory(project, hosts[:1], ssh_user="nobody")
    code, report = examine()
    found = finding(report, hosts[0]["name"], "login")
    assert (code, found["kind"]) == (3, "authentication")
    assert "ssh-copy-id" in found["remedy"]


def test_the_others_are_examined_when_one_host_refuses(
    examine: Run, project: Path, hosts: Hosts
) -> None:
    inventory(project, [{**hosts[0], "port": 9}, *hosts[1:]])
    code, report = examine()
    assert code == 3
    assert [host["reached"] for host in report["hosts"]] == [False] + [True] * (len(hosts) - 1)
    assert finding(report, hosts[0]["name"], "connect")["kind"] == "refused"


@pytest.fixture
def sudo_with_password(ssh: Run, hosts: Hosts) -> Iterator[str]:
    """A host on which sudo asks the SSH user for a password, until the test is over."""
    name = hosts[0]["name"]
    rule = "/etc/sudoers.d/zz-doctor-test"
    end = "/tmp/doctor-test-end"
    # Started as root while sudo still asks nothing: it takes the rule away again by itself.
    waiting = (
        f"i=0; until [ -e {end} ] || [ $i -ge 600 ]; do i=$((i+1)); sleep 0.2; done; "
        f"rm -f {rule} {end}"
    )
    rights = f"{hosts[0]['user']} ALL=(ALL) PASSWD: ALL"
    ssh(name, f"sudo sh -c 'echo \"{rights}\" > {rule}; ({waiting}) </dev/null >/dev/null 2>&1 &'")
    yield name
    ssh(name, f"touch {end}")
    ssh(name, "i=0; until sudo -n true; do i=$((i+1)); [ $i -lt 100 ] || exit 1; sleep 0.2; done")


def test_sudo_that_wants_a_password_is_told_from_a_login_that_fails(
    examine: Run, sudo_with_password: str
) -> None:
    code, report = examine("--limit", sudo_with_password)
    assert finding(report, sudo_with_password, "login")["status"] == "ok"
    found = finding(report, sudo_with_password, "sudo")
    assert (code, found["status"]) == (1, "failed")
    assert "NOPASSWD" in found["remedy"]
