"""sudo that asks for a password: everything works with it, and nothing but pyinfra shows it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ca_double import ca
from tests.lab.leaks import Watch, Words

PROJECT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
INVENTORY = "inventories/site.py"
KEY = "UPLIFT_SECRET_TEST_SUDO"
USER = "asks"
DEPLOY = ("pyinfra", INVENTORY, "deploys/certificates.py", "-y")
LIMIT = 300  # seconds

Run = Callable[..., subprocess.CompletedProcess[str]]
Shell = Callable[[str], str]

# Its home has no key: sshd of the lab's hosts finds it in the folder.
MAKE = f"""set -eu
id {USER} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {USER}
printf '%s\\n' '{USER}:PASSWORD' | chpasswd
install -m 0644 -o root -g root KEYS /etc/ssh/authorized_keys.d/{USER}
echo '{USER} ALL=(ALL) PASSWD: ALL' >/etc/sudoers.d/{USER}
chmod 0440 /etc/sudoers.d/{USER}
visudo --check --quiet
"""
REMOVE = f"""set -eu
rm -f /etc/sudoers.d/{USER} /etc/ssh/authorized_keys.d/{USER}
pkill -KILL -u {USER} || [ $? = 1 ]
userdel --remove {USER} 2>/dev/null
"""


@pytest.fixture(scope="module")
def box(hosts: list[dict[str, Any]]) -> dict[str, Any]:
    """The host of these tests."""
    return hosts[-1]


@pytest.fixture(scope="module")
def root(box: dict[str, Any]) -> Shell:
    """Run a script on the host as root; it goes in by standard input, secrets and all."""
    words = ["ssh", "-F", "none", "-i", box["identity_file"], "-p", str(box["port"])]
    words += ["-o", f"UserKnownHostsFile={box['known_hosts_file']}", "-o", "BatchMode=yes"]
    words += ["-l", box["user"], box["address"], "sudo sh -s"]

    def run(script: str) -> str:
        done = subprocess.run(
            words, input=script, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def password(root: Shell, box: dict[str, Any], pyinfra: Run) -> Iterator[str]:
    """The password of a user who exists only for these tests."""
    word = secrets.token_hex(16)
    keys = f"/etc/ssh/authorized_keys.d/{box['user']}"
    root(MAKE.replace("PASSWORD", word).replace("KEYS", keys))
    yield word
    root(REMOVE)
    lab = ("inventories/lab.py", "deploys/certificates.py", "-y")
    pyinfra(*lab, "--limit", str(box["name"]))


@pytest.fixture
def project(tmp_path: Path, box: dict[str, Any]) -> Path:
    """A project whose one host is reached as that user."""
    for part in ("deploys", "tests/verify"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    shutil.copy(PROJECT / "config.py", tmp_path)
    (tmp_path / "ca.pem").write_text(ca("Uplift Test CA of sudo"))
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data/all.py").write_text(
        'from uplift.secrets import secret\n\nsudo_password = secret("test/sudo")\n'
        'certificates = {"files": ["ca.pem"]}\n'
    )
    write_inventory(tmp_path, box)
    return tmp_path


def write_inventory(project: Path, box: dict[str, Any], **data: object) -> None:
    reached = {
        "ssh_hostname": box["address"],
        "ssh_port": box["port"],
        "ssh_user": USER,
        "ssh_key": box["identity_file"],
        "ssh_known_hosts_file": box["known_hosts_file"],
        "ssh_strict_host_key_checking": "yes",
        "_sudo": True,
        **data,
    }
    (project / "inventories").mkdir(exist_ok=True)
    (project / INVENTORY).write_text(f"apps = {[(box['name'], reached)]!r}\n")


@pytest.fixture
def run(project: Path) -> Run:
    """Run one of our programs in the project, with a password for sudo."""

    def call(answer: str, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(PROGRAMS / program), *words],
            cwd=project,
            env={**os.environ, KEY: answer, "PYINFRA_PROGRESS": "off", "COLUMNS": "300"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    return call


def everything(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def changed(done: subprocess.CompletedProcess[str]) -> bool:
    assert done.returncode == 0, everything(done)
    (operation,) = json.loads(done.stdout)["results"]["operations"]
    return operation["no_change"] == []


def sudo_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return what the doctor found out about sudo."""
    (host,) = json.loads(done.stdout)["hosts"]
    (found,) = [it for it in host["findings"] if it["check"] == "sudo"]
    return dict(found)


def test_a_deploy_works_with_the_password_and_then_changes_nothing(
    run: Run, root: Shell, password: str
) -> None:
    assert changed(run(password, *DEPLOY, "--json"))
    assert not changed(run(password, *DEPLOY, "--json"))
    # The control: without a password sudo does nothing for this user.
    refused = root(f"runuser -u {USER} -- sudo -n true 2>&1 || true")
    assert "a password is required" in refused


def test_pyinfra_prints_no_password_at_any_verbosity_and_shows_it_in_the_process_list(
    run: Run, box: dict[str, Any], password: str
) -> None:
    with Watch([box], Words({"password": password})) as watch:
        done = run(password, *DEPLOY, "-vvv", "--debug")
        # One that is there for long enough to be seen.
        slow = run(password, "pyinfra", INVENTORY, "exec", "-y", "--", "sleep 3")
    for one in (done, slow):
        assert one.returncode == 0, everything(one)
    assert "PYINFRA_SUDO_PASSWORD=" in everything(done)
    assert password not in everything(done)
    # As docs/secrets.md says; when this fails, pyinfra has become better, and the page is wrong.
    assert f"PYINFRA_SUDO_PASSWORD={password}" in watch.arguments(box["name"])


def test_verify_works_with_the_password_and_shows_it_nowhere(
    run: Run, box: dict[str, Any], password: str
) -> None:
    run(password, *DEPLOY)
    with Watch([box], Words({"password": password})) as watch:
        done = run(password, "uplift", "verify", INVENTORY, "-k", "certificates", "-v")
    assert done.returncode == 0, everything(done)
    assert re.search(r" [1-9]\d* passed, 0 failed, 0 skipped, 0 unreachable", done.stdout)
    assert password not in everything(done)
    # The control: the command that reads the password was among what was seen.
    assert "!= uplift-begin" in watch.arguments(box["name"])
    assert watch.leaks() == []


@pytest.mark.parametrize("terminal", [False, True])
def test_the_doctor_works_with_the_password_and_shows_it_nowhere(
    run: Run, password: str, project: Path, box: dict[str, Any], terminal: bool
) -> None:
    write_inventory(project, box, _get_pty=terminal)
    with Watch([box], Words({"password": password})) as watch:
        done = run(password, "uplift", "doctor", INVENTORY, "--json")
    found = sudo_of(done)
    assert (found["status"], found["text"]) == ("ok", f"{USER} becomes root"), everything(done)
    assert password not in everything(done)
    assert "!= uplift-begin" in watch.arguments(box["name"])
    assert watch.leaks() == []


@pytest.mark.parametrize("terminal", [False, True])
def test_the_doctor_tells_a_wrong_password_with_the_remedy(
    run: Run, password: str, project: Path, box: dict[str, Any], terminal: bool
) -> None:
    write_inventory(project, box, _get_pty=terminal)
    wrong = secrets.token_hex(16)
    done = run(wrong, "uplift", "doctor", INVENTORY, "--json")
    found = sudo_of(done)
    assert (done.returncode, found["status"]) == (1, "failed"), everything(done)
    assert "refused the password" in found["text"]
    assert "sudo_password" in found["remedy"]
    assert wrong not in everything(done)


def test_verify_and_pyinfra_tell_a_wrong_password(run: Run, password: str) -> None:
    wrong = secrets.token_hex(16)
    done = run(wrong, "uplift", "verify", INVENTORY, "-k", "certificates")
    assert done.returncode == 3, everything(done)
    assert "sudo refused the password. Correct the secret that sudo_password names" in done.stdout
    deployed = run(wrong, *DEPLOY)
    assert deployed.returncode != 0
    assert "incorrect password" in everything(deployed)
    assert wrong not in everything(done) + everything(deployed)
