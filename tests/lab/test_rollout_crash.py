"""Controllers that are killed or stopped in the middle of a rollout by stock operations.

What they can be killed at is read from the journal's own definition.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.lab.conftest import crash_cases
from tests.lab.rollout_box import DEPLOY, GATE, LIMIT, NAMES, Project, lines, wait_for

from uplift.rollout.journal import read, records
from uplift.spec.rollout.event import Kind
from uplift.spec.rollout.journal import KINDS, Run
from uplift.spec.rollout.lock import State

pytest_plugins = ["tests.lab.rollout_box"]

WAYS = "tests/lab/lock_deploy.py"
BOX = "/run/user-test"
TRIED = 7  # ways that are tried one after the other, each refused by itself
BREAK = "/etc/uplift-test-break"
SLOW = "/etc/uplift-test-slow"
TWO = ("two", "two", "two")
INVENTORY = "inventories/lab.py"
LEASE = 10  # seconds


@dataclass(frozen=True)
class Scene:
    """A run, and how it ends when it is killed, what was wrong is mended, and it is resumed.

    Args:
        writes: kinds of records.
        words: options of the run.
        version: that it brings.
        deploy: what brings it: stock operations, which have no way back, or one of ours.
        waves: of its hosts.
        broken: its change fails on lab-2, until that is mended.
        lost: lab-3 does not answer, until that is mended.
        held: it was held before, and is killed when it is resumed.
        frozen: somebody holds lab-1 when it is resumed, until that is mended.
        code: exit code of the end.
        versions: of the hosts at the end.
        forward: hosts are changed when it is resumed.
    """

    writes: frozenset[str]
    words: Sequence[str] = ("--no-gate",)
    version: str = "two"
    deploy: str = DEPLOY
    waves: str = "1,100%"
    broken: bool = False
    lost: bool = False
    held: bool = False
    frozen: bool = False
    code: int = 0
    versions: tuple[str, ...] = TWO
    forward: bool = True


REVERT = ("--on-failure", "revert-fleet", "--partial-revert")
SCENES = (
    Scene(
        frozenset(("begun", "locked", "ready", "wave", "intent", "done"))
        | {"verified", "committed", "ended"}
    ),
    Scene(frozenset({"baseline", "gate"}), ("--gate", GATE)),
    Scene(frozenset({"paused", "approved"}), ("--no-gate", "--pause-after", "1")),
    Scene(frozenset({"failed", "interrupted"}), broken=True),
    Scene(frozenset({"resumed"}), broken=True, held=True),
    Scene(frozenset({"denied"}), broken=True, held=True, frozen=True),
    Scene(frozenset({"unreachable"}), ("--no-gate", "--skip-unreachable"), lost=True),
    Scene(
        frozenset({"rejected"}),
        ("--gate", GATE),
        version="bad",
        code=3,
        versions=("bad", "one", "one"),
    ),
    Scene(
        frozenset({"reverting", "reverted"}),
        ("--gate", GATE, "--on-failure", "revert-fleet"),
        deploy="tests/lab/rollout_pip.py",
        version="bad",
        code=1,
        versions=("one", "one", "one"),
        forward=False,
    ),
    Scene(
        frozenset({"not-reverted"}),
        ("--gate", GATE, *REVERT),
        version="bad",
        code=3,
        versions=("bad", "one", "one"),
        forward=False,
    ),
)
BY_KIND = {kind: scene for scene in SCENES for kind in scene.writes}
# Hosts were asked to do something since the record before these.
AFTER_WORK = ("locked", "done", "failed", "committed", "reverted", "not-reverted", "ended")
POINTS = [("after", kind) for kind in KINDS] + [("before", kind) for kind in AFTER_WORK]
POINTS += [("half", "done")]


@dataclass
class Stage:
    """The project, on which scenes are played."""

    project: Project
    lab: str
    frozen: bool = False

    def play(self, scene: Scene, moment: str, what: str) -> None:
        """Begin the run, and let it kill itself."""
        if scene.broken:
            self.project.sh("lab-2", f"touch {BREAK}")
        if scene.lost:
            self._lab_3("pause")
        words = self.words(scene)
        if scene.held:
            assert self.project.call(*words)[0] == 3
            self.mend()
            words = ["resume", "--json"]
        if scene.frozen:
            self._freeze("hold", "-m", "a test")
        if what == "approved":
            # It waits for the run that begins after this.
            threading.Thread(target=self._approve, args=(self.project.runs(),), daemon=True).start()
        self.project.killed(moment, what, *words)

    def words(self, scene: Scene) -> list[str]:
        """Return the words of its run."""
        words = ("--policy", self.policy(), *scene.words)
        return self.project.words(
            *words, waves=scene.waves, version=scene.version, deploy=scene.deploy
        )

    def policy(self) -> str:
        """Return a file: locks of a run that has died are soon free."""
        (self.project.folder / "short.yaml").write_text(f"lease: {LEASE}s\n")
        return "short.yaml"

    def mend(self) -> None:
        """Take away what was in the way."""
        self.project.sh("lab-2", f"rm -f {BREAK}")
        if self.frozen:
            self._freeze("release")

    def _freeze(self, what: str, *words: str) -> None:
        words = ("lock", what, INVENTORY, "--limit", "lab-1", *words)
        self.project.uplift(*words, cwd=self.project.folder)
        self.frozen = what == "hold"

    def _lab_3(self, what: str) -> None:
        words = ["docker", what, f"uplift-{self.lab}-lab-3"]
        subprocess.run(words, check=True, capture_output=True)

    def back(self) -> None:
        """Let lab-3 answer again."""
        self._lab_3("unpause")

    def _approve(self, before: Sequence[Path]) -> None:
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            new = [one for one in self.project.runs() if one not in before]
            if new and (new[-1] / "journal.jsonl").read_text() and read(new[-1]).waits:
                self.project.uplift("approve", cwd=self.project.folder)
                return
            time.sleep(0.2)

    @property
    def run(self) -> Run:
        """Return what the journal of the last run tells."""
        return read(self.project.runs()[-1])

    def kinds(self) -> list[str]:
        """Return the kinds of its records."""
        return [one["kind"] for one in records(self.project.runs()[-1])]

    def check(self) -> None:
        """Hold the hosts against the journal: nothing was changed that is not in it."""
        run = self.run
        told = {
            (one["host"], one["kind"])
            for one in records(self.project.runs()[-1])
            if one.get("host")
        }
        for name, version in zip(NAMES, self.project.versions(), strict=True):
            begun = (name, "intent") in told
            assert version == "one" or begun, (name, version, run)
            there = self.project.sh(name, f"cat /var/lib/uplift/runs/{run.id}.jsonl 2>&1 || :")
            assert {(name, one["kind"]) for one in lines(there)} <= told
            if run.hosts[name] in ("done", "verified", "committed"):
                assert self.has(name, run.request["data"]["version"])
            elif run.hosts[name] in ("waiting", "reverted"):
                assert not self.has(name, run.request["data"]["version"])

    def has(self, name: str, version: str) -> bool:
        """Tell whether a host has what the run brings."""
        seen = "cat /etc/uplift-test /home/deploy/.config/pip/pip.conf 2>/dev/null || :"
        return version in self.project.sh(name, seen)

    def clear(self) -> None:
        """Take away what the operation of ours has written."""
        for name in NAMES:
            written = "/home/deploy/.config/pip /var/lib/uplift/clients.json"
            self.project.sh(name, f"rm -rf {written}")

    def free(self) -> bool:
        """Tell whether no run has a host."""
        return not self.project.locks("held", "taking")


@pytest.fixture
def stage(project: Project, lab_name: str) -> Iterator[Stage]:
    """Nothing stands in the way, before and after."""
    found = Stage(project, lab_name)
    found.clear()
    yield found
    state = ["docker", "inspect", "-f", "{{.State.Paused}}", f"uplift-{lab_name}-lab-3"]
    if subprocess.run(state, capture_output=True, text=True, check=True).stdout == "true\n":
        found.back()
    found.clear()


def test_a_scene_writes_each_kind_of_record() -> None:
    assert set(BY_KIND) == set(KINDS)


@pytest.mark.parametrize("end", ["resume", "abort"])
@pytest.mark.parametrize(
    ("moment", "kind"),
    crash_cases({" ".join(one): one for one in POINTS}, "after intent", "after done"),
)
def test_a_controller_that_is_killed_leaves_what_its_journal_says(
    stage: Stage, moment: str, kind: str, end: str
) -> None:
    scene = BY_KIND[kind]
    stage.play(scene, moment, kind)
    stage.mend()
    if scene.lost:
        stage.back()
    stage.check()
    run, written = stage.run, stage.kinds()
    assert (written[-1] == kind) == (moment == "after"), written
    if run.over:
        assert stage.project.call(end, "--json")[0] == 64
        wait_for(stage.free)  # for as long as its lease
        return
    # Without a pause: the locks that it has left behind are its own.
    if end == "abort":
        assert stage.project.call("abort", "--json")[0] == (3 if run.touched else 0)
        assert stage.project.call("resume", "--json")[0] == 64
    elif kind == "paused":
        resumed_after_approval(stage, scene)
    else:
        code, _, errors = stage.project.call("resume", "--json")
        assert code == scene.code, errors
        assert tuple(stage.project.versions()) == scene.versions
        assert ("intent" in stage.kinds()[len(written) :]) <= scene.forward
    stage.check()
    assert stage.free()


def resumed_after_approval(stage: Stage, scene: Scene) -> None:
    """A pause that nobody has ended yet is not over because its controller was killed."""
    child = stage.project.started("resume", "--json")
    wait_for(lambda: stage.kinds().count("paused") == 2)
    assert stage.project.versions() == ["two", "one", "one"]
    stage.project.uplift("approve", cwd=stage.project.folder)
    _, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == scene.code, errors
    assert tuple(stage.project.versions()) == scene.versions


@pytest.mark.crash
def test_a_run_that_was_killed_before_its_first_record_has_touched_nothing(stage: Stage) -> None:
    stage.project.killed("before", "begun", *stage.words(SCENES[0]))
    for end in ("resume", "abort"):
        code, _, errors = stage.project.call(end, "--json")
        assert code == 64
        assert "killed before it had begun" in errors
    assert stage.free()
    assert stage.project.versions() == ["one"] * 3


@pytest.mark.crash
@pytest.mark.parametrize("end", ["resume", "abort"])
@pytest.mark.parametrize("state", sorted(set(State) - {State.NONE, State.MAINTENANCE}))
def test_a_controller_that_is_killed_between_the_locks_of_hosts_keeps_nobody_out_for_long(
    stage: Stage, state: State, end: str
) -> None:
    stage.play(SCENES[0], "lock", state)
    if stage.run.over:
        assert state == State.RELEASED
        assert stage.project.call(end, "--json")[0] == 64
    else:
        stage.check()
        code, _, errors = stage.project.call(end, "--json")
        assert code == 0, errors  # nothing was touched
    wait_for(stage.free)
    assert stage.project.rollout("--no-gate", waves="100%", version="three")[0] == 0
    assert stage.project.versions() == ["three"] * 3


@pytest.mark.crash
@pytest.mark.parametrize("end", ["resume", "abort"])
@pytest.mark.parametrize("moment", ["in", "in-all"])
def test_a_command_that_outlives_its_controller_is_waited_for(
    stage: Stage, moment: str, end: str
) -> None:
    """pyinfra lives on (in), or is dead as well (in-all); what it began on the host goes on."""
    stage.project.sh("lab-1", f"touch {SLOW}")
    stage.play(SCENES[0], moment, Kind.HOST_SUCCESS)
    stage.mend()
    stage.check()
    code, _, errors = stage.project.call(end, "--json")
    assert code == (0 if end == "resume" else 3), errors
    if end == "resume":
        assert tuple(stage.project.versions()) == TWO
    stage.check()
    assert stage.free()


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False], ids=["with-pyinfra", "alone"])
def test_a_controller_that_was_stopped_while_another_took_over_changes_nothing_any_more(
    stage: Stage, whole: bool
) -> None:
    """As a laptop that was closed; when it wakes up, every way to change a host is refused.

    That all of them work for a run that has the hosts is what a test of locks shows.
    """
    project = stage.project
    for name in NAMES:
        project.sh(name, f"rm -rf {BOX}; install -d -m 1777 {BOX}")
    short = ("--no-gate", "--policy", stage.policy())
    asleep = project.started(*project.words(*short, waves="100%", deploy=WAYS))
    processes = [asleep.pid]
    try:
        for name in NAMES:
            wait_for(lambda name=name: project.sh(name, f"ls {BOX}") == "begun")
        folder = project.runs()[-1]
        processes += children(asleep.pid) if whole else []
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        wait_for(lambda: all(is_stopped(process) for process in processes))
        wait_for(stage.free)
        newer = project.started(*project.words(*short, waves="100%", version="three"))
        token = read(folder).token
        for name in NAMES:
            wait_for(lambda name=name: fence(project, name) > token)
            # It waits for what the old run still does there.
            project.sh(name, f"touch {BOX}/go")
        _, errors = newer.communicate(timeout=LIMIT)
        assert newer.returncode == 0, errors
        for process in processes:
            os.kill(process, signal.SIGCONT)
        out, errors = asleep.communicate(timeout=LIMIT)
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    assert asleep.returncode == 3, errors
    result = lines(out)[-1]
    assert result["outcome"] == "held"
    assert f"this is a command of run {folder.name}" in result["stopped"]
    assert f"run {project.runs()[-1].name} of " in result["stopped"]
    assert [one["step"] for one in result["hosts"]] == ["failed"] * 3
    log = (folder / "wave-1.log").read_text()
    assert log.count("uplift: refused: ") >= len(NAMES) * TRIED, log
    assert project.versions() == ["three"] * 3
    for name in NAMES:
        assert project.sh(name, f"ls {BOX}") == "begun\ngo"
        # Not even its records get through.
        there = lines(project.sh(name, f"cat /var/lib/uplift/runs/{folder.name}.jsonl"))
        assert [one["kind"] for one in there] == ["intent"]
    assert stage.free()
    # Nor does it when somebody wants to go on with it, or to undo it.
    for words in (["resume"], ["abort", "--revert"]):
        code, _, errors = project.call(*words, folder.name, "--json")
        assert code == 5
        assert f"lab-1: {project.runs()[-1].name}" in errors
    assert project.call("abort", folder.name, "--json")[0] == 3
    assert project.versions() == ["three"] * 3


def children(process: int) -> list[int]:
    """Return the processes that a process has begun."""
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, check=True)
    return [int(word) for word in found.stdout.split()]


def is_stopped(process: int) -> bool:
    """Tell whether a signal that stops was not only sent but taken."""
    return "\nState:\tT " in Path(f"/proc/{process}/status").read_text()


def fence(project: Project, name: str) -> int:
    """Return the token that a host compares commands with."""
    return int(project.sh(name, "cat /etc/uplift/fence").split()[0])
