"""Verification over real SSH: one login a host, checked keys, hosts that are down, drift found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Hosts = list[dict[str, Any]]

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_it_is_the_host_that_the_inventory_names(host, data, number):
    assert host.check_output("hostname") == data["hostname"]
    assert host.check_output("id -u") == "0"
"""
COUNT = "sudo journalctl -u ssh -o cat --no-pager"


def reached_by(host: dict[str, Any], **other: Any) -> dict[str, Any]:
    """Return the data with which an inventory reaches a host of the lab."""
    return {
        "ssh_hostname": host["address"],
        "ssh_port": host["port"],
        "ssh_user": host["user"],
        "ssh_key": host["identity_file"],
        "ssh_known_hosts_file": host["known_hosts_file"],
        "ssh_strict_host_key_checking": "yes",
        "_sudo": True,
        "hostname": host["name"],
        **other,
    }


class Project:
    """A project of a user with an inventory and one file of tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tests" / "verify").mkdir(parents=True)
        (folder / "tests" / "verify" / "test_hosts.py").write_text(TESTS)

    def inventory(self, **hosts: dict[str, Any]) -> None:
        (self.folder / "prod.py").write_text(f"apps = {list(hosts.items())!r}\n")

    def pytest(self, *args: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "pytest", "tests/verify", "--inventory", "prod.py", *args]
        return subprocess.run(
            words, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def logins(ssh: Run, host: str) -> int:
    """Count the logins that a host's sshd has let in, the one that counts included."""
    return len(re.findall(r"^Accepted publickey", ssh(host, COUNT).stdout, flags=re.MULTILINE))


def summary(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout.splitlines()[-1]


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_run_logs_in_once_to_each_host(
    project: Project, hosts: Hosts, ssh: Run, workers: tuple[str, ...]
) -> None:
    two = hosts[:2]
    project.inventory(**{host["name"]: reached_by(host) for host in two})
    before = {host["name"]: logins(ssh, host["name"]) for host in two}
    result = project.pytest(*workers)
    assert "8 passed" in summary(result), result.stdout + result.stderr
    after = {host["name"]: logins(ssh, host["name"]) for host in two}
    # One of the run, one of the second count itself.
    assert {name: after[name] - before[name] for name in after} == dict.fromkeys(after, 2)


def test_no_connection_is_left_open(project: Project, hosts: Hosts, ssh: Run) -> None:
    project.inventory(well=reached_by(hosts[0]))
    opened = "sudo ss -Htn state established sport = :22 | wc -l"
    before = ssh(hosts[0]["name"], opened).stdout
    assert "4 passed" in summary(project.pytest())
    assert ssh(hosts[0]["name"], opened).stdout == before


def test_hosts_that_are_down_are_one_error_each_and_the_others_are_done(
    project: Project, hosts: Hosts, closed_port: int, silent_port: int
) -> None:
    here = {"ssh_hostname": "127.0.0.1"}
    project.inventory(
        well=reached_by(hosts[0]),
        stopped=reached_by(hosts[0], **here, ssh_port=closed_port),
        silent=reached_by(hosts[0], **here, ssh_port=silent_port),
    )
    result = project.pytest()
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "4 passed, 8 skipped, 2 errors" in summary(result)
    assert re.search(r"stopped could not be reached: .*Connection refused", result.stdout)
    assert re.search(r"silent could not be reached: .*banner exchange", result.stdout)


def test_a_host_with_another_key_is_refused(project: Project, hosts: Hosts, tmp_path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True
    )
    key = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    known = tmp_path / "known_hosts"
    known.write_text(f"{hosts[0]['address']} {key}\n")
    project.inventory(false=reached_by(hosts[0], ssh_known_hosts_file=str(known)))
    result = project.pytest()
    assert "4 skipped, 1 error" in summary(result)
    assert "false could not be reached: its host key is not the known one" in result.stdout


def test_a_host_with_an_unknown_key_is_refused_when_the_inventory_is_strict(
    project: Project, hosts: Hosts, tmp_path: Path
) -> None:
    (tmp_path / "known_hosts").touch()
    project.inventory(
        new=reached_by(hosts[0], ssh_known_hosts_file=str(tmp_path / "known_hosts")),
    )
    assert "4 skipped, 1 error" in summary(project.pytest())
    assert (tmp_path / "known_hosts").read_text() == ""


def test_a_limit_that_selects_nothing_is_64(lab: dict[str, Any], uplift: Run) -> None:
    result = uplift("verify", "inventories/lab.py", "--limit", "nope", check=False)
    assert result.returncode == 64
    assert "--limit 'nope' selects no host" in result.stderr


@pytest.fixture(scope="module")
def second(hosts: Hosts, pyinfra: Run) -> str:
    """The name of a host with the whole site on it."""
    name = str(hosts[-1]["name"])
    pyinfra("inventories/lab.py", "deploys/site.py", "-y", "--limit", name)
    return name


def verify(uplift: Run, host: str, *args: str) -> tuple[int, dict[str, Any]]:
    result = uplift("verify", "inventories/lab.py", "--limit", host, "--json", *args, check=False)
    assert result.stdout, result.stderr
    (found,) = json.loads(result.stdout)["hosts"]
    return result.returncode, found


def test_the_suite_passes_after_the_site(second: str, uplift: Run) -> None:
    code, found = verify(uplift, second)
    assert found["failures"] == []
    assert code == 0
    tested = {name for name, counts in found["subjects"].items() if counts["passed"]}
    assert tested >= {"certificates", "docker", "uv", "clients", "secrets"}


# Subjects to test, how a person spoils the host, what puts it back, and the tests that must see it.
DRIFTS = {
    "another uv": (
        "test_uv",
        "mv /usr/local/bin/uv /root/kept && printf '#!/bin/sh\\necho uv 0.0.1\\n' "
        "> /usr/local/bin/uv && chmod 755 /usr/local/bin/uv",
        "mv -f /root/kept /usr/local/bin/uv",
        {"test_every_user_gets_the_pinned_version", "test_the_command_in_the_path_is_ours"},
    ),
    "an open .netrc": (
        "test_clients or test_secrets",
        "chmod 755 /home/app && chmod 644 /home/app/.netrc",
        "chmod 700 /home/app && chmod 600 /home/app/.netrc",
        {
            "test_files_with_secrets_are_for_their_user_alone",
            "test_no_file_that_everybody_can_read_holds_a_secret",
        },
    ),
    "a copy of a secret": (
        "test_secrets",
        "cp /home/app/.pypirc /var/tmp/copy && chmod 644 /var/tmp/copy",
        "rm /var/tmp/copy",
        {"test_no_file_that_everybody_can_read_holds_a_secret"},
    ),
    "another login": (
        "test_clients",
        "cp -p /home/app/.netrc /root/kept && sed -i 's/login [^ ]*/login someone/' "
        "/home/app/.netrc && chown app: /home/app/.netrc",
        "cp -p /root/kept /home/app/.netrc && rm /root/kept",
        {"test_netrc_gives_each_login"},
    ),
    "a daemon.json by hand": (
        "test_docker",
        "cp -p /etc/docker/daemon.json /root/kept && echo '{}' > /etc/docker/daemon.json",
        "cp -p /root/kept /etc/docker/daemon.json && rm /root/kept",
        {"test_daemon_json_holds_the_settings"},
    ),
    "an authority of nobody's": (
        "test_certificates",
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x "
        "-keyout /dev/null -out /root/kept.crt 2>/dev/null && "
        "install -D -m 644 /root/kept.crt /usr/local/share/ca-certificates/uplift/x.crt",
        "rm /usr/local/share/ca-certificates/uplift/x.crt /root/kept.crt",
        {"test_our_folder_holds_nothing_that_was_taken_out"},
    ),
}


@pytest.mark.parametrize("what", DRIFTS)
def test_the_suite_finds_drift(second: str, uplift: Run, ssh: Run, what: str) -> None:
    subjects, spoil, mend, expected = DRIFTS[what]
    ssh(second, f"sudo sh -c {quote(spoil)}")
    try:
        # Without what asks indexes or starts pip and npm: that takes long and sees none of this.
        chosen = f"({subjects}) and not index and not registry and not reads"
        code, found = verify(uplift, second, "-k", chosen)
    finally:
        ssh(second, f"sudo sh -c {quote(mend)}")
    assert code == 1
    assert {failure["test"].partition("[")[0] for failure in found["failures"]} == expected


def test_a_failure_shows_no_secret(second: str, uplift: Run, ssh: Run, environment: Any) -> None:
    """Every test of client files fails, at the highest verbosity."""
    secrets = re.findall(r"password (\S+)", ssh(second, "sudo cat /home/app/.netrc").stdout)
    files = ".netrc .npmrc .pypirc .docker/config.json"
    spoil = f"cd /home/app && tar cpf /root/kept.tar {files} && sed -i 's/[a-f0-9]/7/2' {files}"
    ssh(second, f"sudo sh -c {quote(spoil)}")
    words = ["verify", "inventories/lab.py", "--limit", second, "-v", "-k", "gives"]
    try:
        result = uplift(*words, check=False, env=environment | {"PYTEST_ADDOPTS": "-vvl"})
    finally:
        ssh(second, f"sudo sh -c {quote('cd /home/app && tar xpf /root/kept.tar')}")
    assert result.returncode == 1
    assert secrets
    assert not any(secret in result.stdout + result.stderr for secret in secrets)
