"""A project made by `uplift init` works as it is, once its inventory names real hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Hosts = list[dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, uplift: Run, hosts: Hosts) -> Path:
    """A new project of which only the inventory was changed, to one host of the lab."""
    folder = tmp_path_factory.mktemp("init") / "ours"
    uplift("init", str(folder))
    host = hosts[-1]
    data = {
        "ssh_hostname": host["address"],
        "ssh_port": host["port"],
        "ssh_user": host["user"],
        "_sudo": True,
        "ssh_key": host["identity_file"],
        "ssh_known_hosts_file": host["known_hosts_file"],
    }
    (folder / "inventories/prod.py").write_text(f"apps = [({host['name']!r}, {data!r})]\n")
    # This machine's own certificates: without them no host of the lab reaches an index.
    all_py = folder / "group_data/all.py"
    certificates = 'certificates = {"files": []}'
    assert certificates in all_py.read_text()
    files = "from uplift.controller import certificates as _added\n\n"
    text = all_py.read_text().replace(certificates, files + 'certificates = {"files": _added()}')
    all_py.write_text(text)
    return folder


def deploy(project: Path, environment: dict[str, str]) -> str:
    """Run everything as a person would, and return what pyinfra said."""
    pyinfra = str(Path(sys.executable).parent / "pyinfra")
    done = subprocess.run(
        [pyinfra, "inventories/prod.py", "deploys/site.py", "-y"],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def deployed(made: Path, environment: dict[str, str]) -> Path:
    """The project, after a first run."""
    deploy(made, environment)
    return made


def name_in(project: Path) -> str:
    """Return the name of the one host in the project's inventory."""
    (name,) = re.findall(r"\('(\S+)'", (project / "inventories/prod.py").read_text())
    return str(name)


def changes(output: str) -> int:
    """Return how many operations changed something, by pyinfra's own table."""
    (total,) = re.findall(r"Grand total\s+\S+\s+(\S+)", output)
    return 0 if total == "-" else int(total)


def test_doctor_has_nothing_against_it(made: Path, uplift: Run) -> None:
    done = uplift("doctor", "inventories/prod.py", cwd=made)
    assert "✘" not in done.stdout


def test_its_deploys_run_and_a_second_run_changes_nothing(
    deployed: Path, environment: dict[str, str]
) -> None:
    assert changes(deploy(deployed, environment)) == 0


def test_its_tests_pass_on_the_host(deployed: Path, uplift: Run) -> None:
    uplift("verify", "inventories/prod.py", cwd=deployed)  # fails unless it ends with 0


def test_a_docker_engine_that_was_stopped_is_found_by_the_doctor(
    deployed: Path, uplift: Run, ssh: Run
) -> None:
    ssh(name_in(deployed), "sudo systemctl stop docker.socket docker")
    try:
        done = uplift("doctor", "inventories/prod.py", check=False, cwd=deployed)
    finally:
        ssh(name_in(deployed), "sudo systemctl reset-failed docker; sudo systemctl start docker")
    assert done.returncode == 1
    assert "docker: installed, but does not answer (unit docker: inactive)" in done.stdout


def test_a_drift_is_found_by_its_own_first_test(deployed: Path, uplift: Run, ssh: Run) -> None:
    host = name_in(deployed)
    ssh(host, "sudo mv /usr/local/bin/uv /usr/local/bin/uv.away")
    try:
        done = uplift("verify", "inventories/prod.py", "-k", "test_site", check=False, cwd=deployed)
    finally:
        ssh(host, "sudo mv /usr/local/bin/uv.away /usr/local/bin/uv")
    assert done.returncode != 0
