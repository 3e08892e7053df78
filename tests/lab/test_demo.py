"""The demo runs from beginning to end, again and again, without a terminal."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
LIMIT = 2400  # seconds; images are built


@pytest.mark.parametrize(
    "words", [("--quick",), pytest.param((), marks=pytest.mark.slow)], ids=["quick", "whole"]
)
def test_the_demo_ends_with_a_table_in_which_the_second_run_changed_nothing(
    lab: dict[str, Any],
    environment: dict[str, str],
    hosts: list[dict[str, Any]],
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
    assert [row[0] for row in rows] == [host["name"] for host in hosts]
    assert {row[3] for row in rows} == {"0"}
    asked = re.findall(r"│ (lab-\d)\s+│ (\d+)\s+│ (\d+)\s+│ 1.4.0 2.0.0 │", done.stdout)
    assert [name for name, _, _ in asked] == ([] if words else ["lab-2", "lab-3"])
    assert all(int(good) >= 1000 and failed == "0" for _, good, failed in asked)


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
