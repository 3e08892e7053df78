"""The whole site on three hosts: it converges, counts its commands, and survives bad hosts."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

SUBJECTS = ("certificates", "docker", "uv", "clients", "influxdb_client")
# On the first host alone.
SERVICES = ("backups", "influxdb", "nexus", "packages", "redis", "registry")
# What `pyinfra -y` may cost with nothing to do: two remote commands a subject.
COMMANDS_ALLOWED = 2

Run = Callable[..., subprocess.CompletedProcess[str]]


def changed(result: subprocess.CompletedProcess[str]) -> dict[str, set[str]]:
    """Names of the operations that changed something, by host."""
    found: dict[str, set[str]] = {}
    for operation in json.loads(result.stdout)["results"]["operations"]:
        for host in operation["no_change"]:
            found.setdefault(host, set())
        for host in operation["success"]:
            found.setdefault(host, set()).add(operation["name"])
    return found


def sessions(ssh: Run, host: str) -> int:
    """Count the commands that sshd has started on a host, the one that counts included."""
    log = ssh(host, "sudo journalctl -u ssh -o cat --no-pager").stdout
    return len(re.findall(r"^Starting session: command", log, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def site(pyinfra: Run) -> None:
    """The site, deployed once."""
    pyinfra("inventories/lab.py", "deploys/site.py", "-y", "--json")


def test_a_second_run_changes_nothing_anywhere(
    site: None, pyinfra: Run, hosts: list[dict[str, Any]]
) -> None:
    result = changed(pyinfra("inventories/lab.py", "deploys/site.py", "-y", "--json"))
    assert result == {host["name"]: set() for host in hosts}


def test_a_second_run_costs_at_most_two_remote_commands_per_subject_and_host(
    site: None, pyinfra: Run, ssh: Run, hosts: list[dict[str, Any]]
) -> None:
    names = [host["name"] for host in hosts]
    before = {name: sessions(ssh, name) for name in names}
    pyinfra("inventories/lab.py", "deploys/site.py", "-y", "--json")
    # The second count counts itself.
    cost = {name: sessions(ssh, name) - before[name] - 1 for name in names}
    subjects = {name: len(SUBJECTS) for name in names} | {names[0]: len(SUBJECTS + SERVICES)}
    # And one that lists the containers which no settings name, and one that looks at the lock.
    most = {name: COMMANDS_ALLOWED * count + 2 for name, count in subjects.items()}
    assert all(subjects[name] <= cost[name] <= most[name] for name in names), cost


def test_a_dry_run_after_the_site_says_that_nothing_would_change(site: None, pyinfra: Run) -> None:
    plan = json.loads(pyinfra("inventories/lab.py", "deploys/site.py", "--dry", "--json").stdout)
    assert {tuple(operation["hosts_with_change"]) for operation in plan["plan"]} == {()}


# Their tests alone, so that what is tested is what was installed.
MAESTRO = """
set -eu
rm -rf ~/maestro && mkdir ~/maestro
cd ~/project/examples/maestro && cp --parents packages/*/tests/*.py ~/maestro
cd ~/maestro && uv venv -q --python /usr/bin/python3
uv pip install -q --no-cache --index http://lab-1:28081/repository/pypi/simple \
    pytest httpx $(ls packages | sed s/$/==1.0.0/)
.venv/bin/python -m pytest -q -rA --import-mode=importlib packages
"""


def test_the_packages_pass_their_own_tests_as_they_come_from_the_index(
    site: None, ssh: Run, ship: Callable[[str], None], hosts: list[dict[str, Any]]
) -> None:
    app = next(host["name"] for host in hosts if "apps" in host["groups"])
    ship(app)
    done = ssh(app, MAESTRO)
    passed = re.findall(r"^PASSED packages/maestro-core-(\w+)/", done.stdout, flags=re.MULTILINE)
    assert set(passed) == {"api", "auth", "config", "db", "logging", "monitoring"}
    assert re.search(rf"^{len(passed)} passed\b", done.stdout, flags=re.MULTILINE), done.stdout


# Redis as it comes, beside that of the site: what is written there is the site's.
CONSOLE = """
set -eu
cd ~/project/examples/console/backend
uv sync -q --locked
sudo docker rm -f console-test >/dev/null 2>&1 || true
sudo docker run -d --rm --name console-test -p 127.0.0.1:16379:6379 registry:5000/redis:8 >/dev/null
trap 'sudo docker rm -f console-test >/dev/null' EXIT
MAESTRO_REDIS_PORT=16379 uv run -q --frozen pytest -q
"""


def test_the_console_passes_its_own_tests_with_what_its_lock_names_and_a_real_redis(
    site: None, ssh: Run, ship: Callable[[str], None]
) -> None:
    ship("lab-1")
    done = ssh("lab-1", CONSOLE)
    assert re.search(r"^\d+ passed\b", done.stdout, flags=re.MULTILINE), done.stdout


DRIFT = """
set -eu
cd /home/app
chmod 0644 .netrc
printf '# mine\\nmachine other.example.com login me password mine\\n' >> .netrc
sed -i '/_auth=/d' .npmrc
printf 'fund=false\\n' >> .npmrc
rm /usr/local/bin/uv
printf '#!/bin/sh\\necho another uv\\n' > /usr/local/bin/uv
chmod 0755 /usr/local/bin/uv
find /usr/local/share/ca-certificates/uplift -name '*.crt' | sort | head -1 | xargs rm
update-ca-certificates --fresh >/dev/null 2>&1
"""
SUBJECT_NAMES = ("Extra CA certificates", "uv ", "Client files")


def test_what_people_changed_by_hand_is_repaired_once_and_their_own_lines_stay(
    site: None, pyinfra: Run, ssh: Run, hosts: list[dict[str, Any]]
) -> None:
    drifted, *others = [host["name"] for host in hosts]
    ssh(drifted, f"sudo sh -c {shlex.quote(DRIFT)}")

    repair = changed(pyinfra("inventories/lab.py", "deploys/site.py", "-y", "--json"))
    after = ssh(drifted, "sudo sh -c 'cat /home/app/.netrc /home/app/.npmrc; uv --version; uvx -V'")
    modes = ssh(drifted, "sudo stat -c %a /home/app/.netrc /home/app/.npmrc").stdout.split()
    again = changed(pyinfra("inventories/lab.py", "deploys/site.py", "-y", "--json"))

    # Docker may follow: its daemon reads the certificates of the system only when it starts.
    repaired = {name.partition(" | ")[2] for name in repair[drifted]} - {"Docker Engine"}
    assert all(any(name.startswith(subject) for name in repaired) for subject in SUBJECT_NAMES)
    assert len(repaired) == len(SUBJECT_NAMES)
    assert all(repair[other] == set() for other in others)
    assert "machine other.example.com login me password mine" in after.stdout
    assert "# mine" in after.stdout
    assert "fund=false" in after.stdout
    assert ":_auth=" in after.stdout
    assert "another uv" not in after.stdout
    assert modes == ["600", "600"]
    assert again == {host["name"]: set() for host in hosts}


@pytest.fixture
def stopped(lab_name: str, uplift: Run, hosts: list[dict[str, Any]]) -> Iterator[str]:
    """The second host, switched off while the test runs."""
    name = hosts[1]["name"]
    container = docker.from_env().containers.get(f"uplift-{lab_name}-{name}")
    container.stop(timeout=30)
    yield name
    uplift("lab", "up", "--name", lab_name)


def test_a_stopped_and_a_silent_host_are_named_and_the_third_is_done(
    site: None, pyinfra: Run, stopped: str, tmp_path: Path, silent_port: int
) -> None:
    # Named lab.py, so that the group data of the lab holds for it too.
    inventory = tmp_path / "lab.py"
    inventory.write_text(
        textwrap.dedent(f"""
        from pathlib import Path as _Path
        _lab = {{}}
        exec(_Path("inventories/lab.py").read_text(), _lab)
        _well = _lab["services"][0]
        _silent = {{**_well[1], "ssh_hostname": "127.0.0.1", "ssh_port": {silent_port}}}
        apps = [_well, *_lab["apps"][:1], ("silent", _silent)]
        """)
    )
    words = (str(inventory), "deploys/site.py", "-y", "--json")
    # Ten seconds are CONNECT_TIMEOUT; the rest is margin for a busy machine.
    result = pyinfra(*words, check=False, limit=120)
    assert result.returncode == 1
    assert re.search(rf"\[{stopped}\].*Could not connect", result.stderr)
    assert re.search(r"\[silent\].*SSH error", result.stderr)
    assert changed(result) == {"lab-1": set()}
