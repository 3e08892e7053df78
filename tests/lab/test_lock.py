"""Locks and fences on real hosts: who has a host, and that nobody else changes it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.lab.conftest import PROJECT, SCRIPTS

from uplift.controller import person
from uplift.operations import job
from uplift.remote import inventory
from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.rollout import locks
from uplift.rollout.lock import BusyError, Lock, LockedError, NotLockedError
from uplift.spec.errors import UpliftError
from uplift.spec.rollout.lock import Standing

HERE = Path(__file__).parent
LAB = "inventories/lab.py"
BOTH = ("lab-1", "lab-2")
LIMIT = 120  # seconds
BOX = "/run/user-test"
WAYS = {"by-root", "by-su", "by-user", "by-sftp", "by-sudo", "by-job", "by-bash", "by-put"}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def known(lab: dict[str, Any], environment: dict[str, str]) -> list[InventoryHost]:
    """The two hosts of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPLIFT_LAB", environment["UPLIFT_LAB"])
        return inventory.hosts(LAB, BOTH)


@pytest.fixture
def fleet(known: list[InventoryHost]) -> Iterator[Fleet]:
    """Both hosts, connected; free, with an empty folder that the SSH user may write to."""
    with Fleet(known) as connected:
        assert not connected.unreachable
        clean = f"rm -rf {BOX}; install -d -m 1777 {BOX}"
        locks.free(connected, owner="test@here", force=True)
        on(connected, clean)
        yield connected
        locks.free(connected, owner="test@here", force=True)


@pytest.fixture
def others(known: list[InventoryHost], fleet: Fleet) -> Iterator[Fleet]:
    """Connections of somebody else to the same hosts."""
    with Fleet(known) as connected:
        yield connected


def on(fleet: Fleet, script: str, *names: str) -> dict[str, str]:
    """Run a script as root on hosts; it must succeed."""

    def step(connection: Connection) -> str:
        if names and connection.name not in names:
            return ""
        done = connection.run(script, time_limit=LIMIT)
        assert done.rc == 0, (connection.name, done.stdout, done.stderr)
        return done.stdout.strip()

    found = fleet.each(step)
    for one in found.values():
        assert isinstance(one, str), one
    return found  # type: ignore[return-value]


def take(fleet: Fleet, run: str = "r-1", **given: Any) -> Lock:
    known = {"owner": "anna@there", "purpose": "a test", "lease": 60, **given}
    return Lock.take(fleet, run=run, **known)


def standing(fleet: Fleet) -> dict[str, Standing]:
    return {row.host: row.seen.standing for row in locks.held(fleet) if row.seen}


def wait_for(fleet: Fleet, condition: str, *names: str) -> None:
    on(fleet, f"n=0; until {condition}; do n=$((n+1)); [ $n -lt 600 ]; sleep 0.1; done", *names)


class Other:
    """A run in a process of its own."""

    def __init__(self, environment: dict[str, str], log: Path, run: str, lease: int) -> None:
        words = [sys.executable, str(HERE / "lock_run.py"), LAB, run, str(lease)]
        words += [str(log), "tests/lab/lock_deploy.py", *BOTH]
        self.child = 0
        self.process = subprocess.Popen(
            words,
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def until(self, kind: str) -> dict[str, Any]:
        """Return the next line of a kind."""
        assert self.process.stdout
        for line in self.process.stdout:
            found: dict[str, Any] = json.loads(line)
            if found.get("event") == "begun":
                self.child = found["pid"]
            if found["kind"] == kind or found.get("event") == kind:
                return found
        raise AssertionError(f"it ended before {kind}")

    def signal(self, number: int) -> None:
        """Send a signal to the run and to its pyinfra."""
        for process in (self.process.pid, self.child):
            if process:
                os.kill(process, number)


@pytest.fixture
def other(environment: dict[str, str], tmp_path: Path, fleet: Fleet) -> Iterator[Other]:
    """A run of somebody else with a short lease."""
    found = Other(environment, tmp_path / "log", "r-old", 5)
    yield found
    for process in (found.process.pid, found.child):
        if process:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    found.process.wait(LIMIT)


def test_a_run_that_was_stopped_while_another_took_over_is_refused_everything(
    other: Other, fleet: Fleet, tmp_path: Path
) -> None:
    token = other.until("locked")["token"]
    assert other.until("begun")["pid"] == other.child
    wait_for(fleet, f"[ -e {BOX}/begun ]")
    with pytest.raises(LockedError, match="r-old of anna@there"):
        take(fleet, "r-new", wait=0)
    other.signal(signal.SIGSTOP)
    stopped = time.monotonic() + LIMIT
    # A signal is sent at once, and taken when the process runs next.
    while "\nState:\tT " not in Path(f"/proc/{other.child}/status").read_text():
        assert time.monotonic() < stopped
        time.sleep(0.05)
    wait_until_over(fleet)
    # Its command still runs: nobody gets the host before that has ended.
    with pytest.raises(BusyError, match=f"token {token}"):
        take(fleet, "r-new", wait=0)
    on(fleet, f"touch {BOX}/go")
    with take(fleet, "r-new", purpose="the newer run") as lock:
        assert lock.token > token
        other.signal(signal.SIGCONT)
        outcome = other.until("outcome")
        assert lock.beat() == {}
    for state, text in outcome["hosts"].values():
        assert state == "refused"
        assert "uplift: refused: this is a command of run r-old" in text
        assert "run r-new of anna@there has the host now" in text
    assert outcome["lost"]
    assert on(fleet, f"ls {BOX}") == dict.fromkeys(BOTH, "begun\ngo")
    # Each of the ways was tried, and it was the fence that refused it.
    log = (tmp_path / "log").read_text()
    assert log.count("uplift: refused: ") >= 2 * len(WAYS - {"by-put"}), log
    assert other.process.wait(LIMIT) == 0


@pytest.mark.slow
def test_all_these_ways_work_for_the_run_that_has_the_hosts(
    other: Other, fleet: Fleet, tmp_path: Path
) -> None:
    other.until("locked")
    on(fleet, f"touch {BOX}/go")
    outcome = other.until("outcome")
    text = (tmp_path / "log").read_text()
    assert outcome["hosts"] == {name: ["ok", ""] for name in BOTH}, text
    assert not outcome["lost"]
    for listed in on(fleet, f"ls {BOX}").values():
        assert set(listed.split()) == WAYS | {"begun", "go"}
    assert other.process.wait(LIMIT) == 0
    assert standing(fleet) == dict.fromkeys(BOTH, Standing.FREE)


def wait_until_over(fleet: Fleet) -> None:
    done = threading.Event()
    while not all(one in (Standing.OVER, Standing.FREE) for one in standing(fleet).values()):
        done.wait(0.3)


@pytest.mark.slow
def test_plain_pyinfra_with_the_shell_of_an_old_run_exits_with_the_sentence(
    fleet: Fleet, others: Fleet, environment: dict[str, str]
) -> None:
    old = take(fleet, "r-old", lease=1)
    wait_until_over(others)
    with take(others, "r-new"):
        words = [str(SCRIPTS / "pyinfra"), LAB, "--limit", "lab-1", "-y"]
        words += ["--shell-executable", old.shell, "exec", "--", "touch", f"{BOX}/x"]
        done = subprocess.run(
            words, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=LIMIT
        )
    assert done.returncode == 1
    assert "run r-new of anna@there has the host now" in done.stderr
    direct = next(iter(fleet.connections.values())).run(f"exec {old.shell} -c id")
    assert (direct.rc, direct.stdout.strip()) == (75, "")
    assert on(others, f"ls {BOX}") == dict.fromkeys(BOTH, "")


@pytest.mark.crash
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_killed_leaves_no_lock_for_longer_than_its_lease(
    number: int, other: Other, fleet: Fleet
) -> None:
    other.until("locked")
    wait_for(fleet, f"[ -e {BOX}/begun ]")
    other.process.send_signal(number)
    other.process.wait(LIMIT)
    if number == signal.SIGINT:
        assert standing(fleet) == dict.fromkeys(BOTH, Standing.FREE)
    wait_until_over(fleet)
    on(fleet, f"touch {BOX}/go")
    take(fleet, "r-new").release()


@pytest.mark.crash
def test_a_run_that_goes_on_after_a_kill_takes_over_what_it_left_behind(
    environment: dict[str, str], fleet: Fleet, tmp_path: Path
) -> None:
    killed = Other(environment, tmp_path / "log", "r-1", 600)
    token = killed.until("locked")["token"]
    wait_for(fleet, f"[ -e {BOX}/begun ]")
    assert killed.until("begun")["pid"] == killed.child
    killed.process.kill()
    killed.process.wait(LIMIT)
    with pytest.raises(LockedError, match="r-1"):
        take(fleet, "r-2")
    # Its pyinfra lives on, and so does the command that it runs.
    with pytest.raises(BusyError, match=f"token {token}"):
        take(fleet, "r-1", wait=0)
    on(fleet, f"touch {BOX}/go")
    with take(fleet, "r-1") as lock:
        assert lock.token > token
        while Path(f"/proc/{killed.child}/status").exists():
            assert lock.beat() == {}
        assert on(fleet, f"ls {BOX}") == dict.fromkeys(BOTH, "begun\ngo")


def test_all_hosts_have_one_token_that_only_grows(fleet: Fleet) -> None:
    first = take(fleet)
    assert first.release() == {}
    on(fleet, "echo 1000 >/etc/uplift/fence", "lab-2")
    second = take(fleet)
    tokens = {row.seen.token for row in locks.held(fleet) if row.seen}
    assert tokens == {second.token}
    assert second.token > max(first.token, 1000)


def test_the_fence_is_readable_where_somebody_kept_its_folder_for_root(fleet: Fleet) -> None:
    """It is proven by the SSH user, who is not root, before the lock counts as taken."""
    on(fleet, "install -d -m 0700 /etc/uplift; chmod 0700 /etc/uplift")
    assert take(fleet).release() == {}


def test_a_fence_that_a_crash_left_empty_lets_nothing_pass_and_is_mended_by_the_next_run(
    fleet: Fleet,
) -> None:
    old = take(fleet)
    on(fleet, ": >/etc/uplift/fence", "lab-1")
    refused = fleet.connections["lab-1"].run(f"exec {old.shell} -c id")
    assert refused.rc == 75
    assert "holds no token" in refused.stderr
    old.release()
    new = take(fleet)
    assert new.token > old.token
    assert on(fleet, f"exec {new.shell} -c 'id -u'") == dict.fromkeys(BOTH, "0")


def test_of_two_runs_at_once_whose_hosts_are_in_another_order_exactly_one_runs(
    known: list[InventoryHost], fleet: Fleet, others: Fleet
) -> None:
    results: dict[str, Lock | UpliftError] = {}
    barrier = threading.Barrier(2)

    def contend(run: str, mine: Fleet) -> None:
        barrier.wait()
        try:
            results[run] = take(mine, run)
        except UpliftError as error:
            results[run] = error

    others.connections = dict(reversed(others.connections.items()))
    for _ in range(2):
        threads = [
            threading.Thread(target=contend, args=("r-1", fleet)),
            threading.Thread(target=contend, args=("r-2", others)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = [one for one in results.values() if isinstance(one, Lock)]
        lost = [one for one in results.values() if isinstance(one, LockedError)]
        assert (len(won), len(lost)) == (1, 1), results
        assert won[0].beat() == {}
        won[0].release()


def test_a_job_that_outlives_its_command_keeps_a_newer_run_waiting(
    fleet: Fleet, others: Fleet, known: list[InventoryHost]
) -> None:
    old = take(fleet, "r-old", lease=1)
    script = f"touch {BOX}/job; until [ -e {BOX}/go ]; do sleep 0.1; done; touch {BOX}/end\n"
    words = job.start("test-lock", script).get_raw_value()
    behind = {**known[0].data, "_shell_executable": old.shell}
    with Fleet([replace(known[0], data=behind)]) as fenced:

        def start() -> None:
            # Its shell is killed: what it says then is of no interest.
            with suppress(UpliftError):
                fenced.connections["lab-1"].run(words, stdin=script, time_limit=LIMIT)

        started = threading.Thread(target=start)
        started.start()
        wait_for(others, f"[ -e {BOX}/job ]", "lab-1")
        # The command that started it is gone, the job goes on.
        on(others, f"pkill -KILL -f '^/bin/sh {old.shell}'", "lab-1")
        wait_until_over(others)
        with pytest.raises(BusyError, match=r"lab-1: the job uplift-test-lock\.service"):
            take(others, "r-new", wait=0)
        assert standing(others) == dict.fromkeys(BOTH, Standing.FREE)
        waits = threading.Thread(target=lambda: done.append(take(others, "r-new")))
        done: list[Lock] = []
        waits.start()
        with Fleet(known) as third:
            while set(standing(third).values()) != {Standing.HELD}:
                assert waits.is_alive()
            on(third, f"touch {BOX}/go", "lab-1")
            waits.join()
            on(third, f"[ -e {BOX}/end ]", "lab-1")
        assert done[0].beat() == {}
        started.join()


def test_a_job_that_begins_after_the_takeover_refuses_itself(fleet: Fleet, others: Fleet) -> None:
    old = take(fleet, "r-old", lease=1)
    wait_until_over(others)
    with take(others, "r-new"):
        script = f"touch {BOX}/late\n"
        words = job.start("test-late", script).get_raw_value()
        # As when it passed the fence, and the controller's host slept right after that.
        late = fleet.connections["lab-1"].run(
            f"export UPLIFT_FENCE_TOKEN={old.token}; {words}", stdin=script
        )
        assert late.rc == 75
        assert "uplift: refused: " in late.stdout
        assert "run r-new of anna@there has the host now" in late.stdout
        on(others, f"[ ! -e {BOX}/late ]")


def test_a_lease_is_judged_by_the_clock_of_the_host(
    fleet: Fleet, others: Fleet, known: list[InventoryHost]
) -> None:
    lock = take(fleet, lease=60)
    # An hour later, for whatever asks `date` on this host.
    ahead = 'case "$*" in +%s) echo $(($(/bin/date +%s) + 3600)) ;; *) exec /bin/date "$@" ;; esac'
    with instead(known, "date", ahead, "lab-2"):
        assert standing(others) == {"lab-1": Standing.HELD, "lab-2": Standing.OVER}
        with pytest.raises(LockedError, match=r"^(?s:.*)\n  lab-1: run r-1[^\n]*$"):
            take(others, "r-2")
        # The heartbeat is that host's own time as well.
        assert lock.beat() == {}
        assert standing(others) == dict.fromkeys(BOTH, Standing.HELD)


CUT = "pkill -KILL -u $SUDO_USER sshd; sleep 1"


@contextmanager
def instead(known: list[InventoryHost], name: str, script: str, *hosts: str) -> Iterator[None]:
    """Put a program of a name before the system's own, for as long as it is not removed."""
    place = f"/usr/local/sbin/{name}"
    text = shlex.quote(f"#!/bin/sh\n{script}")
    with Fleet(known) as fleet:
        on(fleet, f"printf '%s\\n' {text} >{place}; chmod 0755 {place}", *hosts)
    try:
        yield
    finally:
        with Fleet(known) as again:
            on(again, f"rm -f {place}", *hosts)


def test_a_host_that_is_lost_while_locks_are_taken_leaves_nothing_locked(
    fleet: Fleet, known: list[InventoryHost]
) -> None:
    # The connection ends where the record is about to be written, on one host alone.
    script = f'rm "$0"; {CUT}; exec /bin/sync "$@"'
    with (
        instead(known, "sync", script, "lab-2"),
        pytest.raises(NotLockedError, match="lab-2: the connection was lost") as raised,
    ):
        take(fleet)
    assert int(raised.value.exit_code) == 3
    with Fleet(known) as again:
        assert standing(again) == dict.fromkeys(BOTH, Standing.FREE)
        take(again, "r-2").release()


def test_a_heartbeat_goes_on_over_a_new_connection_when_the_old_one_broke(
    fleet: Fleet, others: Fleet, known: list[InventoryHost]
) -> None:
    lock = take(fleet)
    before = {row.host: row.seen.record.beat for row in locks.held(others) if row.seen}
    broken = fleet.connections["lab-2"]
    with pytest.raises(UpliftError):
        broken.run(CUT)
    assert lock.beat() == {}
    with Fleet(known) as again:
        after = {row.host: row.seen.record.beat for row in locks.held(again) if row.seen}
        assert all(after[name] >= before[name] for name in BOTH)
        assert lock.release() == {}
        assert standing(again) == dict.fromkeys(BOTH, Standing.FREE)


@pytest.mark.slow
def test_a_host_that_is_silent_does_not_hold_up_the_heartbeat_of_the_others(
    fleet: Fleet, known: list[InventoryHost]
) -> None:
    asleep = "pkill -STOP sshd; sleep 40; pkill -CONT sshd"
    with Fleet(known[:1]) as witness, take(fleet, lease=20) as lock:
        on(fleet, f"systemd-run --quiet --no-block sh -c {shlex.quote(asleep)}", "lab-2")
        beats: set[int] = set()
        while "lab-2" not in lock.trouble or len(beats) < 5:
            (row,) = locks.held(witness)
            assert row.seen
            assert row.seen.standing is Standing.HELD
            beats.add(row.seen.record.beat)
            assert "lab-1" not in lock.trouble
        while lock.trouble:
            assert not lock.lost.is_set()
            lock.lost.wait(0.5)
        assert locks.held(witness)[0].seen
    with Fleet(known) as again:
        assert standing(again) == dict.fromkeys(BOTH, Standing.FREE)


def test_a_run_is_told_at_once_when_a_host_took_its_lock_away(fleet: Fleet, others: Fleet) -> None:
    with take(fleet, lease=3, note="wave 1 of 3") as lock:
        with pytest.raises(LockedError, match="wave 1 of 3"):
            take(others, "r-2")
        lock.note("wave 2 of 3")
        while "wave 2 of 3" not in str(locks.held(others)[1].seen):
            assert not lock.lost.is_set()
        freed = locks.free(others, owner="bob@there", force=True)
        assert [row.freed for row in freed] == [True, True]
        assert lock.lost.wait(LIMIT)
        assert lock.trouble
        assert all("freed by bob@there" in text for text in lock.trouble.values())
        refused = fleet.connections["lab-1"].run(f"exec {lock.shell} -c id")
        assert refused.rc == 75
        assert "bob@there has freed the host" in refused.stderr
    assert standing(others) == dict.fromkeys(BOTH, Standing.FREE)


def test_a_user_without_sudo_is_told_that_the_lock_needs_root(known: list[InventoryHost]) -> None:
    plain = [replace(host, data={**host.data, "_sudo": False}) for host in known]
    with Fleet(plain) as connected, pytest.raises(NotLockedError, match="needs root: _sudo"):
        take(connected)


def test_an_inventory_with_another_shell_keeps_it_behind_the_fence(
    fleet: Fleet, known: list[InventoryHost]
) -> None:
    with Fleet([replace(h, data={**h.data, "_shell_executable": "bash"}) for h in known]) as bash:
        lock = take(bash)
        assert on(fleet, f"exec {lock.shell} -c '[[ x == x ]] && echo bash'") == dict.fromkeys(
            BOTH, "bash"
        )
        lock.release()


def test_hosts_are_held_for_maintenance_and_whoever_is_refused_reads_why(
    fleet: Fleet, uplift: Run
) -> None:
    locks.hold(fleet, "new disk [in bay 3]", owner="bob@there")
    with pytest.raises(LockedError, match=r"bob@there.*new disk \[in bay 3\]") as raised:
        take(fleet)
    assert (int(raised.value.exit_code), raised.value.left) == (4, None)
    refused = uplift("lock", "release", LAB, "--limit", "lab-1", check=False)
    assert refused.returncode == 4
    assert "lab-1: held for maintenance by bob@there" in refused.stderr
    assert "new disk [in bay 3]" in refused.stderr
    assert "--force" in refused.stderr
    assert standing(fleet) == dict.fromkeys(BOTH, Standing.MAINTENANCE)


@pytest.mark.slow
def test_plain_pyinfra_stops_before_it_changes_a_host_that_somebody_holds(
    fleet: Fleet, pyinfra: Run, environment: dict[str, str]
) -> None:
    words = (LAB, "--limit", "lab-1", "--limit", "lab-2", "-y")
    touch = ("exec", "--", "touch", f"{BOX}/x")
    locks.hold(fleet, "new disk", owner="bob@there")
    refused = pyinfra(*words, *touch, check=False)
    assert refused.returncode == 4, refused.stderr
    assert "lab-1, lab-2: held for maintenance by bob@there" in refused.stderr
    assert "new disk" in refused.stderr
    assert on(fleet, f"ls {BOX}") == dict.fromkeys(BOTH, "")
    # To look is allowed.
    pyinfra(LAB, "--limit", "lab-1", "--dry", "server.shell", "id")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(environment, "UPLIFT_LOCK", "ignore")
        told = pyinfra(*words, *touch)
    assert "UPLIFT_LOCK=ignore: lab-1, lab-2: held" in told.stderr
    assert on(fleet, f"ls {BOX}") == dict.fromkeys(BOTH, "x")
    locks.free(fleet, owner="bob@there")
    locks.hold(fleet, "my own work", owner=person())
    assert "uplift:" not in pyinfra(*words, *touch).stderr


@pytest.mark.slow
def test_a_hold_is_shown_and_freed_by_its_owner_or_by_force(
    fleet: Fleet, uplift: Run, environment: dict[str, str]
) -> None:
    limit = ("--limit", "lab-1", "--limit", "lab-2")
    bob = {**environment, "LOGNAME": "bob"}
    anna = {**environment, "LOGNAME": "anna"}
    uplift("lock", "hold", LAB, *limit, "-m", "new disk", env=bob)
    rows = json.loads(uplift("lock", "status", LAB, *limit, "--json").stdout)["hosts"]
    assert [row["state"] for row in rows] == ["maintenance", "maintenance"]
    assert {row["owner"].split("@")[0] for row in rows} == {"bob"}
    assert {(row["purpose"], row["lease_left"]) for row in rows} == {("new disk", None)}
    refused = uplift("lock", "hold", LAB, *limit, "-m", "mine", env=anna, check=False)
    assert (refused.returncode, "held for maintenance by bob@" in refused.stderr) == (4, True)
    forced = uplift("lock", "release", LAB, "--limit", "lab-1", "--force", "--json", env=anna)
    (row,) = json.loads(forced.stdout)["hosts"]
    assert (row["freed"], row["freed_by"].split("@")[0]) == (True, "anna")
    uplift("lock", "release", LAB, *limit, env=bob)
    assert standing(fleet) == dict.fromkeys(BOTH, Standing.FREE)
    unknown = uplift("lock", "release", LAB, *limit, "--run", "r-99", check=False)
    assert (unknown.returncode, "no host is locked by r-99" in unknown.stderr) == (64, True)


@pytest.mark.slow
def test_a_hold_is_on_all_hosts_or_on_none(
    fleet: Fleet, others: Fleet, known: list[InventoryHost]
) -> None:
    with Fleet(known[1:]) as one:
        lock = take(one, "r-2")
        with pytest.raises(LockedError, match="lab-2: run r-2"):
            locks.hold(others, "maintenance", owner="bob@there")
        assert standing(fleet) == {"lab-1": Standing.FREE, "lab-2": Standing.HELD}
        lock.release()
    first = locks.hold(others, "maintenance", owner="bob@there")
    again = locks.hold(others, "still at it", owner="bob@there")
    assert {row.seen.record.purpose for row in again if row.seen} == {"still at it"}
    (left,) = {row.seen.record.run for row in first if row.seen}
    rows = locks.free(others, owner="bob@there", run=left)
    assert not any(row.freed for row in rows)
    assert standing(fleet) == dict.fromkeys(BOTH, Standing.MAINTENANCE)


@pytest.mark.slow
def test_status_names_a_host_that_cannot_be_reached_and_exits_with_3(
    fleet: Fleet, uplift: Run, tmp_path: Path, closed_port: int
) -> None:
    lost = tmp_path / "lost.py"
    lost.write_text(
        f'hosts = [("gone", {{"ssh_hostname": "127.0.0.1", "ssh_port": {closed_port}}})]\n'
    )
    for words in (["status"], ["hold", "-m", "x"], ["release"]):
        done = uplift("lock", words[0], str(lost), *words[1:], check=False)
        assert (done.returncode, "gone: " in done.stderr) == (3, True), done.stderr


def test_nothing_is_written_where_only_the_status_is_asked_for(fleet: Fleet) -> None:
    on(fleet, "mv /var/lib/uplift /var/lib/uplift.away; mv /etc/uplift /etc/uplift.away")
    try:
        assert standing(fleet) == dict.fromkeys(BOTH, Standing.FREE)
        on(fleet, "[ ! -e /var/lib/uplift ] && [ ! -e /etc/uplift ]")
        # And a host without any of it is locked.
        lock = take(fleet)
        modes = "stat -c %a /var/lib/uplift /var/lib/uplift/lock /etc/uplift /etc/uplift/fence"
        assert on(fleet, modes) == dict.fromkeys(BOTH, "700\n600\n755\n644")
        lock.release()
    finally:
        on(
            fleet,
            "rm -rf /var/lib/uplift /etc/uplift; "
            "mv /var/lib/uplift.away /var/lib/uplift; mv /etc/uplift.away /etc/uplift",
        )
