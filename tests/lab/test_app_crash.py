"""Switches that are interrupted at every step: traffic is served all the time.

Where a switch can be interrupted is read from the journals' own definitions.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from tests.lab.app_box import DRAIN, Site
from tests.lab.conftest import crash_cases
from tests.lab.container_box import PROJECT
from tests.lab.prober import WORKERS, Prober, WebSocket

from uplift.spec.app.steps import BACK, POINTS
from uplift.spec.container.plan import POINTS as CONTAINER_POINTS
from uplift.spec.container.plan import STEPS as CONTAINER_STEPS
from uplift.spec.haproxy.slots import running_slots

pytest_plugins = ["tests.lab.app_box"]

KILL = "systemctl kill --signal=KILL 'uplift-app-*'; sleep 30"
RESTART = "systemctl reset-failed docker; systemctl restart docker"
WAIT = "sleep 8"
GONE = "/run/uplift-test-point"

FORTH = [one for one in POINTS if one.split()[0] not in BACK]
RETURNING = [one for one in POINTS if one.split()[0] in BACK]
STARTING = [one for one in CONTAINER_POINTS if one.split()[0] in CONTAINER_STEPS]

# A second function of the same name: it does the same, and then something once at one point.
AT = """
{name}() {{
  printf '%s\\n' "$1" >>"{journal}"; sync "{journal}"
  if [ "$1" = "{point}" ] && [ ! -e {gone} ]; then : >{gone}; {what}; fi
  :
}}
"""


def at(point: str, what: str) -> list[str]:
    """Return pyinfra's words that do something once when a journal gets this line."""
    switch = point in POINTS
    names = ("point", "$journal") if switch else ("mark", "$dir/journal")
    text = AT.format(name=names[0], journal=names[1], point=point, what=what, gone=GONE)
    return ["--data", f"{'the_point' if switch else 'the_mark'}={text}"]


# All but the usual ones are for the fault matrix, which takes long.


@pytest.fixture
def served(box: Site) -> Iterator[Site]:
    """The version that Poetry built serves, and is all that there is."""
    box.sh(f"rm -f {GONE}; systemctl reset-failed docker haproxy; systemctl start docker")
    box.run("1.4.0-poetry")
    yield box
    box.sh(f"rm -f {GONE}")


@pytest.fixture
def alone(served: Site) -> Site:
    """The other slot is empty: what starts there is made first, whatever test came before."""
    stopped = "docker ps -aq --filter name=^testapp- --filter status=exited"
    served.sh(f"{stopped} | xargs --no-run-if-empty docker rm")
    return served


def ended_well(box: Site, tag: str) -> None:
    """One more run has nothing to do, one slot runs, and its release is the last good one."""
    assert box.changed(tag) == []
    assert box.version() == tag.partition("-")[0]
    states = sorted(line.split()[1] for line in box.containers().splitlines())
    assert states in (["running"], ["exited", "running"])
    assert box.sh("ls /var/lib/uplift/apps/ | grep journal || :") == ""
    assert "started" not in box.outcomes()
    assert box.outcomes()[-1] == "good" or tag == "1.4.0-poetry"
    states = box.sh("echo show servers state | socat - UNIX-CONNECT:/run/haproxy/admin.sock")
    live = [slot for slot, word in running_slots(states)["testapp"].items() if word == "ready"]
    assert len(live) == 1
    assert f"testapp-{live[0]} running" in box.containers()


@pytest.mark.parametrize("point", crash_cases(FORTH, "traffic before"))
def test_killed_at_any_step_of_a_switch_all_is_served_and_the_next_run_completes_it(
    served: Site, point: str
) -> None:
    with Prober(served.address, served.port) as prober:
        done = served.run("2.0.0-uv", *at(point, KILL), check=False)
        assert "ended without a result" in done.stdout + done.stderr
        served.run("2.0.0-uv")
    assert prober.failures == []
    assert sum(prober.answers.values()) > 100
    ended_well(served, "2.0.0-uv")


@pytest.mark.parametrize("point", crash_cases(STARTING, "start after"))
def test_killed_while_the_new_one_starts_all_is_served_and_the_next_run_completes_it(
    alone: Site, point: str
) -> None:
    with Prober(alone.address, alone.port) as prober:
        done = alone.run("2.0.0-uv", *at(point, KILL), check=False)
        assert "ended without a result" in done.stdout + done.stderr
        alone.run("2.0.0-uv")
    assert prober.failures == []
    ended_well(alone, "2.0.0-uv")


@pytest.mark.parametrize("point", crash_cases(FORTH))
def test_killed_at_any_step_the_settings_of_before_undo_it(served: Site, point: str) -> None:
    with Prober(served.address, served.port) as prober:
        done = served.run("2.0.0-uv", *at(point, KILL), check=False)
        assert "ended without a result" in done.stdout + done.stderr
        served.run("1.4.0-poetry")
    assert prober.failures == []
    ended_well(served, "1.4.0-poetry")


@pytest.mark.parametrize("point", crash_cases(RETURNING, "give_back before"))
def test_killed_while_a_bad_release_is_put_back_the_next_run_ends_with_the_good_one(
    served: Site, point: str
) -> None:
    with Prober(served.address, served.port) as prober:
        done = served.run("2.2.0-uv", *at(point, KILL), hold=15, check=False)
        assert "ended without a result" in done.stdout + done.stderr
        # The bad one, which has all that it needs, is tried once more, and put back.
        assert served.run("2.2.0-uv", hold=15, check=False).returncode == 1
    assert prober.failures == []
    ended_well(served, "1.4.0-poetry")


def kill_controller_at(box: Site, point: str, tag: str, **fields: object) -> None:
    """Deploy, and kill pyinfra as soon as the job on the host has come to a point."""
    words = [str(Path(sys.executable).parent / "pyinfra"), *box.words(tag, **fields)]
    controller = subprocess.Popen(
        [*words, *at(point, WAIT)],
        cwd=PROJECT,
        env={**os.environ, "UPLIFT_LAB": box.lab, "PYINFRA_PROGRESS": "off"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: box.sh(f"ls {GONE} 2>/dev/null || :") == GONE)
    controller.send_signal(signal.SIGKILL)
    controller.wait()


@pytest.mark.parametrize("point", crash_cases([*FORTH, "start after"]))
def test_with_the_controller_killed_the_switch_ends_by_itself(alone: Site, point: str) -> None:
    with Prober(alone.address, alone.port) as prober:
        kill_controller_at(alone, point, "2.0.0-uv")
        # It waits for the job that goes on, and finds nothing to do.
        assert alone.changed("2.0.0-uv") == []
    assert prober.failures == []
    ended_well(alone, "2.0.0-uv")


@pytest.mark.parametrize("point", crash_cases(["hold before", *RETURNING], "hold before"))
def test_with_the_controller_killed_a_bad_release_is_put_back_by_itself(
    alone: Site, point: str
) -> None:
    with Prober(alone.address, alone.port) as prober:
        kill_controller_at(alone, point, "2.2.0-uv", hold=15)
        until(lambda: alone.sh("ls /var/lib/uplift/apps/ | grep journal || :") == "")
    assert prober.failures == []
    assert alone.outcomes()[-1] == "failed"
    ended_well(alone, "1.4.0-poetry")


@pytest.mark.parametrize(
    "point",
    crash_cases(["start after", "traffic before", "hold before", "spare before", "stop before"]),
)
def test_with_docker_restarted_in_the_middle_it_is_done_all_the_same(
    alone: Site, point: str
) -> None:
    # Published ports of the loopback address are the daemon's: nobody is reached while it is away.
    alone.run("2.0.0-uv", *at(point, RESTART))
    assert alone.sh(f"ls {GONE}") == GONE
    ended_well(alone, "2.0.0-uv")


@pytest.mark.slow
def test_a_haproxy_that_hangs_is_no_switch(alone: Site) -> None:
    serves = "grep -E '^ +server (blue|green) ' /etc/haproxy/haproxy.cfg | grep -v disabled"
    before = alone.sh(serves)
    stop, go_on = (f"systemctl kill --signal={one} haproxy" for one in ("STOP", "CONT"))
    try:
        done = alone.run("2.0.0-uv", *at("traffic before", stop), check=False)
    finally:
        alone.sh(go_on)
    assert done.returncode == 1
    assert "FAILED to switch: haproxy does not answer" in done.stdout + done.stderr
    assert sorted(alone.containers().split()[1::2]) == ["running", "running"]
    assert alone.sh(serves) == before != ""
    alone.run("2.0.0-uv")
    ended_well(alone, "2.0.0-uv")


def check_served(prober: Prober) -> None:
    """Prove that nobody was refused but who spoke with a process as it ended.

    The Docker proxy of its port takes connections for some milliseconds more, so that HAProxy's
    three tries may all come to nothing: each worker can meet that once. On a connection that the
    client keeps open HAProxy then ends that, without a status, so that the client tries again.
    """
    assert len(prober.failures) <= WORKERS, prober.failures
    known = ("status 502", "status 503", "RemoteDisconnected")
    assert all(failure.startswith(known) for failure in prober.failures), prober.failures
    assert prober.answers["1.4.0"] > 100


@pytest.mark.slow
def test_after_a_reboot_right_after_a_switch_the_same_slot_serves(served: Site) -> None:
    machine = docker.from_env().containers.get(f"uplift-{served.lab}-{served.name}")
    for tag in ("2.0.0-uv", "1.4.0-poetry"):
        served.run(tag)
        machine.restart(timeout=60)
        until(lambda: served.ssh(served.name, "true", False).returncode == 0)
        until(lambda tag=tag: served.version() == tag.partition("-")[0])
        assert {served.version() for _ in range(10)} == {tag.partition("-")[0]}
        ended_well(served, tag)


@pytest.mark.slow
def test_a_release_that_exits_during_drain_is_put_back_and_the_websocket_lives(
    served: Site,
) -> None:
    socket = WebSocket(served.address, served.port)
    with Prober(served.address, served.port) as prober:
        assert socket.say("a") == "1.4.0:a"
        done = served.run("2.3.0-uv", hold=1, drain={**DRAIN, "seconds": 30}, check=False)
    assert done.returncode == 1
    assert "s after the switch: it ended " in done.stdout + done.stderr
    assert "version 2.3.0" in done.stdout + done.stderr
    check_served(prober)
    assert socket.say("b") == "1.4.0:b"
    socket.close()
    ended_well(served, "1.4.0-poetry")


@pytest.mark.slow
def test_a_release_that_eats_all_memory_is_put_back(served: Site) -> None:
    # Docker in the lab's hosts cannot limit memory: a limit of the process stands for it.
    limit = {"data": {"soft": 200_000_000}}
    with Prober(served.address, served.port) as prober:
        done = served.run("2.4.0-uv", hold=25, ulimits=limit, check=False)
    assert done.returncode == 1
    assert "s after the switch: it ended " in done.stdout + done.stderr
    assert "out of memory after" in done.stdout + done.stderr
    check_served(prober)
    ended_well(served, "1.4.0-poetry")


def until(holds: Callable[[], bool], limit: float = 120) -> None:
    """Wait for something that is on its way."""
    end = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.5)
