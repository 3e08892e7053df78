"""Replacements of containers that are interrupted at every step: killed, cut off, Docker restarted.

Where something can be interrupted is read from the journal's own definition.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.conftest import crash_cases
from tests.lab.container_box import PROJECT, Box, at, redis, word

from uplift.spec.container.plan import POINTS, STEPS, UNDO

pytest_plugins = ["tests.lab.container_box"]

KILL = "systemctl kill --signal=KILL 'uplift-container-*'; sleep 30"
CUT = "pkill -KILL -x sshd-session; sleep 2"
RESTART = "systemctl reset-failed docker; systemctl restart docker"
DONE, UNDONE = ([point for point in POINTS if point.split()[0] in names] for names in (STEPS, UNDO))
# What is after a step is before the next one.
BEGINNINGS = [point for point in POINTS if point.endswith("before")]
STARTS = [point for point in BEGINNINGS if point in DONE]


# All but the usual ones are for the fault matrix, which takes long.


def wanted() -> dict[str, Any]:
    """Return settings that no container has yet."""
    secret = {"password": {"secret": "test/password"}}
    return redis(environment={"A": word()}, secrets=secret, secret_owner=999)


def damaging() -> dict[str, Any]:
    """Return a release that damages the data and ends."""
    return redis(entrypoint=["sh", "-c", "rm -rf /data/*; exit 3"], command=None)


@pytest.fixture
def served(container_host: Box) -> Box:
    """A Redis with a secret and a new key: the one of the test before when it was left sound."""
    box = container_host
    last, box.last = box.last, None
    if last is None:
        box.clean()
        box.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": word()}
        last = wanted()
        box.apply(last)
    box.put("rm -f /run/uplift-test-*")
    box.before = last
    return box


@pytest.fixture
def mortal(served: Box) -> Iterator[Box]:
    """The same, and Docker takes its containers with it when it stops."""
    served.sh(LIVE.format(old="true", new="false"))
    yield served
    served.sh(LIVE.format(old="false", new="true"))


# Reloaded, not restarted: then it is as it shall be, and no container noticed.
LIVE = """
sed -i 's/"live-restore": *{old}/"live-restore": {new}/' /etc/docker/daemon.json
systemctl reset-failed docker; systemctl start docker; systemctl reload docker
for i in $(seq 50); do
  [ "$(docker info -f '{{{{.LiveRestoreEnabled}}}}')" != {new} ] || exit 0; sleep 0.1
done
exit 1
"""


def write_if_served(box: Box) -> None:
    """Write as a client does: what a server took stays, whatever had been interrupted."""
    later = word()
    if box.sh(f"docker exec redis redis-cli set key {later} 2>/dev/null", check=False) == "OK":
        box.key = later


def interrupted(box: Box, block: dict[str, Any], point: str) -> None:
    """Kill the host's script at a point; its children too."""
    done = box.pyinfra(*box.words(block, mark=at(point, KILL)), check=False)
    assert "ended without a result" in done.stdout + done.stderr
    write_if_served(box)


@pytest.mark.parametrize("point", crash_cases(DONE, "start before"))
def test_killed_at_any_step_the_next_run_ends_as_wanted_with_the_data(
    served: Box, point: str
) -> None:
    block = wanted()
    interrupted(served, block, point)
    served.check(block, changed=True)


@pytest.mark.parametrize("point", crash_cases(STARTS))
def test_settings_that_were_taken_back_after_a_kill_bring_the_old_one_back(
    served: Box, point: str
) -> None:
    interrupted(served, wanted(), point)
    served.check(served.before, changed=True)


@pytest.mark.parametrize("point", crash_cases(UNDONE))
def test_killed_while_a_broken_release_is_taken_back_the_next_run_does_it(
    served: Box, point: str
) -> None:
    interrupted(served, damaging(), point)
    served.check(served.before, changed=True)


@pytest.mark.parametrize("point", crash_cases(STARTS))
def test_with_docker_restarted_in_the_middle_it_is_done_all_the_same(
    mortal: Box, point: str
) -> None:
    block = wanted()
    assert mortal.apply(block, mark=at(point, RESTART)) is True
    mortal.check(block)


@pytest.mark.parametrize("point", crash_cases([point for point in BEGINNINGS if point in UNDONE]))
def test_with_docker_restarted_while_a_broken_release_is_taken_back_the_old_one_serves(
    mortal: Box, point: str
) -> None:
    (reason, *_) = mortal.broken(damaging(), mark=at(point, RESTART))
    assert reason.startswith("FAILED at healthy: it ended ")
    mortal.check(mortal.before)


@pytest.mark.parametrize("point", crash_cases(["stop before", "start after"]))
def test_with_docker_restarted_under_living_containers_it_is_done_all_the_same(
    served: Box, point: str
) -> None:
    block = wanted()
    assert served.apply(block, mark=at(point, RESTART)) is True
    served.check(block)


@pytest.mark.parametrize("point", crash_cases(STARTS))
def test_with_the_connection_cut_the_replacement_ends_by_itself(served: Box, point: str) -> None:
    block = wanted()
    done = served.pyinfra(*served.words(block, mark=at(point, CUT)), check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    served.check(block)


@pytest.mark.parametrize("point", crash_cases(STARTS))
def test_with_the_controller_killed_the_replacement_ends_by_itself(served: Box, point: str) -> None:
    block = wanted()
    words = served.words(block, mark=at(point, "sleep 5"))
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "pyinfra"), *words],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=served.environment,
    )
    try:
        reached = "for i in $(seq 600); do [ -e /run/uplift-test-point ] && exit; sleep 0.1; done"
        served.sh(f"{reached}; exit 1")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(timeout=30)
    served.check(block)


def test_two_servers_at_once_would_be_seen(served: Box) -> None:
    served.sh(
        "docker run -d --name other -v uplift-test:/data registry:5000/redis:8 redis-server;"
        "for i in $(seq 100); do"
        "  [ ! -s /run/uplift-two-servers ] || break; sleep 0.1; done; docker rm -f other"
    )
    assert served.sh("cat /run/uplift-two-servers; rm /run/uplift-two-servers")
