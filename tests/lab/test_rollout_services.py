"""Services with data under a rollout: put back with all that they hold, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.lab import influxdb_box
from tests.lab.conftest import Run
from tests.lab.rollout_box import link_project
from tests.lab.test_nexus_server import NAME as NEXUS
from tests.lab.test_nexus_server import Box as NexusBox
from tests.lab.test_nexus_server import block as nexus_block
from tests.lab.test_nexus_server import box as nexus_box  # noqa: F401 - a fixture

AGAINST = "/etc/uplift-test-against"
INFLUXDB = influxdb_box.SERVER
SEEN = "docker inspect -f '{{.Image}} {{.State.Status}} {{json .Config.Env}} {{json .Mounts}}'"
REVERT = ("--gate", "tests/lab/services_gate.py", "--on-failure", "revert-fleet")

pytestmark = pytest.mark.slow

Rollout = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def rollout(uplift: Run, tmp_path: Path) -> Rollout:
    """Roll out from a project folder of its own; return exit code and result."""
    folder = tmp_path / "project"
    folder.mkdir()
    link_project(folder)

    def call(environment: Mapping[str, str], *words: str) -> tuple[int, dict[str, Any]]:
        every = ("rollout", *words, "--waves", "100%", "-y", "--json")
        done = uplift(*every, check=False, cwd=folder, env=environment)
        told = [json.loads(line) for line in done.stdout.splitlines() if '"result"' in line]
        assert told, done.stdout + done.stderr
        return done.returncode, told[-1]

    return call


def test_a_nexus_is_put_back_and_has_its_packages(
    nexus_box: NexusBox,  # noqa: F811
    rollout: Rollout,
) -> None:
    nexus_box.apply(nexus_block())
    nexus_box.publish()
    before = nexus_box.sh(f"{SEEN} {NEXUS}")
    nexus_box.sh(f"echo Xmx600m >{AGAINST}")
    words = nexus_box.words(nexus_block(heap="600m"))
    try:
        code, result = rollout(nexus_box.environment, *words, *REVERT)
    finally:
        nexus_box.sh(f"rm {AGAINST}")
    assert (code, result["outcome"]) == (1, "reverted"), result
    assert nexus_box.sh(f"{SEEN} {NEXUS}") == before
    assert nexus_box.serves() == "3.30.0"
    assert nexus_box.has_package()
    # Without a test against it the same change stays.
    code, result = rollout(nexus_box.environment, *words, *REVERT)
    assert (code, result["outcome"]) == (0, "done"), result
    assert "Xmx600m" in nexus_box.sh(f"{SEEN} {NEXUS}")
    assert nexus_box.has_package()


@pytest.fixture
def influxdb(
    hosts: list[dict[str, Any]],
    ssh: Run,
    pyinfra: Run,
    environment: dict[str, str],
    tmp_path: Path,
) -> Iterator[influxdb_box.Box]:
    """An InfluxDB with a point in it."""
    made = influxdb_box.box(hosts, ssh, environment, tmp_path)
    pyinfra("inventories/lab.py", "deploys/docker.py", "-y", "--limit", made.name)
    made.clean()
    assert made.run().code == 0
    assert made.write() == "204"
    yield made
    made.clean()


def test_what_an_influxdb_holds_is_not_put_back_and_said_before_anything_is_done(
    influxdb: influxdb_box.Box, rollout: Rollout
) -> None:
    started = influxdb.started()
    container = {**influxdb_box.BLOCK["container"], "environment": {"INFLUXD_LOG_LEVEL": "warn"}}
    block = {**influxdb_box.BLOCK, "container": container}
    _, inventory, deploy, *_ = influxdb.words(block, clients={})
    words = (inventory, deploy)
    code, result = rollout(influxdb.variables(), *words, *REVERT)
    assert (code, result["outcome"]) == (1, "refused"), result
    assert "revert-fleet cannot put back InfluxDB (its tokens and users" in result["stopped"]
    assert influxdb.started() == started
    # Who wants it all the same is told what stays.
    influxdb.sh(f"echo INFLUXD_LOG_LEVEL=warn >{AGAINST}")
    try:
        code, result = rollout(influxdb.variables(), *words, *REVERT, "--partial-revert")
    finally:
        influxdb.sh(f"rm {AGAINST}")
    assert (code, result["outcome"]) == (3, "held"), result
    (said,) = result["hosts"]
    assert said["step"] == "not-reverted"
    assert f"container {INFLUXDB}: its tokens and users" in said["words"]
    assert "INFLUXD_LOG_LEVEL=warn" in influxdb.sh(f"{SEEN} {INFLUXDB}")
    assert influxdb.write() == "204"
