"""The demo runs from beginning to end, again and again, without a terminal."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.lab.conftest import Run
from tests.lab.console_box import take_away

PROJECT = Path(__file__).parents[2]
LIMIT = 2400  # seconds; images are built
NEXUS = 28081  # port on the lab's host of services


@pytest.mark.parametrize(
    "words", [("--quick",), pytest.param((), marks=pytest.mark.slow)], ids=["quick", "whole"]
)
def test_the_demo_ends_with_a_table_in_which_the_second_run_changed_nothing(
    lab: dict[str, Any],
    environment: dict[str, str],
    hosts: list[dict[str, Any]],
    uplift: Run,
    ssh: Run,
    words: tuple[str, ...],
) -> None:
    done = subprocess.run(
        [PROJECT / "scripts/demo", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        start_new_session=True,
    )
    rows = re.findall(r"│ (\S+)\s+│ (\d+)\s+│ (\d+) tests\s+│ (\d+)\s+│", done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    if not words:
        take_away(lab, uplift, ssh)
    assert [row[0] for row in rows] == [host["name"] for host in hosts]
    assert {row[3] for row in rows} == {"0"}
    asked = re.findall(r"│ (lab-\d)\s+│ (\d+)\s+│ (\d+)\s+│ 1.4.0 2.0.0 │", done.stdout)
    assert [name for name, _, _ in asked] == ([] if words else ["lab-2", "lab-3"])
    assert all(int(good) >= 1000 and failed == "0" for _, good, failed in asked)
    told = re.findall(r"\[(\S+)\].*without a login: (\d+)", done.stdout + done.stderr)
    assert sorted(told) == [(host["name"], "401") for host in hosts if "apps" in host["groups"]]


@pytest.fixture
def anonymous_access(lab: dict[str, Any], lab_name: str) -> Iterator[None]:
    """The lab's Nexus, where somebody let everybody in."""
    host = lab["hosts"][0]
    secrets = json.loads((PROJECT / ".uplift/lab-secrets.json").read_text())
    url = f"http://{host['address']}:{host['ports'][str(NEXUS)]}/service/rest/v1/security/anonymous"

    def let_in(enabled: bool) -> None:
        wanted = {"enabled": enabled, "userId": "anonymous", "realmName": "NexusAuthorizingRealm"}
        login = ("admin", secrets["nexus/admin"])
        requests.put(url, json=wanted, auth=login, timeout=60).raise_for_status()

    let_in(True)
    yield
    let_in(False)


def test_the_demo_would_fail_where_everybody_gets_the_package(
    anonymous_access: None, pyinfra: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of its step without a login, as it is after the demo above."""
    monkeypatch.syspath_prepend(PROJECT / "scripts")
    _, *words = runpy.run_path(str(PROJECT / "scripts/demo.py"))["ANONYMOUS"]
    done = pyinfra(*words, check=False)
    assert done.returncode != 0
    assert "without a login: 200" in done.stdout + done.stderr


def test_the_demo_says_why_it_stops_when_a_step_fails(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [PROJECT / "scripts/demo"],
        env={**environment, "DOCKER_HOST": "unix:///nonexistent.sock"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 1
    assert "demo: uplift lab up --yes: exit" in done.stderr


@pytest.mark.slow
def test_the_unit_tests_pass_on_the_python_of_a_lab_host(
    lab: dict[str, Any],
    pyinfra: Callable[..., Any],
    ssh: Callable[..., Any],
    ship: Callable[..., Any],
) -> None:
    """Debian 13 has Python 3.13; uv and the certificates that it needs come from the deploys."""
    host = next(host["name"] for host in reversed(lab["hosts"]) if host["kind"] == "host")
    for deploy in ("certificates", "uv"):
        pyinfra("inventories/lab.py", f"deploys/{deploy}.py", "-y", "--limit", host)
    ship(host)
    ssh(host, "command -v git || { sudo apt-get update -qq && sudo apt-get install -y -qq git; }")
    python = ssh(host, "python3 --version").stdout
    result = ssh(
        host,
        "cd project && export UV_SYSTEM_CERTS=1 && uv venv -q --clear --python /usr/bin/python3"
        " && uv pip sync -q --require-hashes requirements/dev.txt"
        " && uv pip install -q --no-deps --no-build-isolation -e ."
        " && .venv/bin/python -m pytest -q -n auto tests/unit tests/fake 2>&1 | tail -40",
        check=False,
    )
    assert python.startswith("Python 3.13")
    assert re.search(r"^\d+ passed", result.stdout.splitlines()[-1]), result.stdout + result.stderr
