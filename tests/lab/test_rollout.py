"""Rollouts over real hosts by stock operations: waves, gates, what is done at failures, crashes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
DEPLOY = "tests/lab/rollout_deploy.py"
GATE = "tests/lab/rollout_gate.py"
LIMIT = 180  # seconds for a moment to come, on a slow machine
NAMES = ("lab-1", "lab-2", "lab-3")

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Project:
    """The project folder of these tests: runs are recorded in a folder of their own."""

    folder: Path
    uplift: Run
    ssh: Run
    environment: Mapping[str, str]
    before: set[str] = field(default_factory=set)

    def words(self, *more: str, waves: str = "1,1,1", version: str = "two") -> list[str]:
        """Return the words of a rollout."""
        limits = [word for name in NAMES for word in ("--limit", name)]
        options = ["--waves", waves, "--data", f"version={version}", "-y", "--json"]
        return ["rollout", "inventories/lab.py", DEPLOY, *limits, *options, *more]

    def call(self, *words: str) -> tuple[int, list[dict[str, Any]], str]:
        """Run `uplift`; return exit code, the JSON lines, and what it printed beside them."""
        done = self.uplift(*words, check=False, cwd=self.folder)
        return done.returncode, lines(done.stdout), done.stderr

    def rollout(self, *more: str, **fields: str) -> tuple[int, list[dict[str, Any]], str]:
        """Roll out."""
        return self.call(*self.words(*more, **fields))

    def started(self, *words: str) -> subprocess.Popen[str]:
        """Run `uplift` in the background, in a process group of its own."""
        self.before = {path.name for path in self.runs()}
        return subprocess.Popen(
            [str(PROJECT / ".venv/bin/uplift"), *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def journal(self) -> list[dict[str, Any]]:
        """Return the records of the last run that began since `started`."""
        found = [path for path in self.runs() if path.name not in self.before]
        return lines((found[-1] / "journal.jsonl").read_text()) if found else []

    def runs(self) -> list[Path]:
        """Return the folders of all runs."""
        return sorted(file.parent for file in self.folder.glob(".uplift/runs/*/journal.jsonl"))

    def until(self, kind: str, host: str = "") -> None:
        """Wait for a record in the journal of the last run."""
        end = time.monotonic() + LIMIT
        while not any(
            one["kind"] == kind and host in ("", one.get("host")) for one in self.journal()
        ):
            assert time.monotonic() < end, f"no record {kind} {host}: {self.journal()}"
            time.sleep(0.1)

    def sh(self, host: str, script: str, *, check: bool = True) -> str:
        """Run a script as root."""
        return str(self.ssh(host, f"sudo sh -c {shlex.quote(script)}", check).stdout).strip()

    def versions(self) -> list[str]:
        """Return what each host has."""
        return [self.sh(name, "cat /etc/uplift-test").partition(" ")[2] for name in NAMES]


def lines(text: str) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def steps(records: list[dict[str, Any]]) -> list[str]:
    """Return what happened to hosts, in order."""
    kinds = ("intent", "done", "failed", "rejected", "unreachable", "committed")
    return [
        f"{one['kind']} {one['host']}"
        for one in records
        if one["kind"] in kinds and one.get("host")
    ]


@pytest.fixture(scope="module")
def whole(
    hosts: list[dict[str, Any]],
    uplift: Run,
    ssh: Run,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    """A folder like the project's, whose runs are these tests' own."""
    folder = tmp_path_factory.mktemp("project")
    for path in PROJECT.iterdir():
        if path.name not in (".uplift", ".git"):
            (folder / path.name).symlink_to(path)
    (folder / ".uplift").mkdir()
    for path in (PROJECT / ".uplift").iterdir():
        if path.name != "runs":
            (folder / ".uplift" / path.name).symlink_to(path)
    return Project(folder, uplift, ssh, environment)


@pytest.fixture
def project(whole: Project) -> Iterator[Project]:
    """Every host has version one, and nothing stands in the way."""
    clear = "rm -f /etc/uplift-test-*"
    for name in NAMES:
        whole.sh(name, f"{clear}; echo version one >/etc/uplift-test")
    yield whole
    for name in NAMES:
        whole.sh(name, clear)


def test_waves_go_in_the_announced_order_and_each_is_verified_before_the_next(
    project: Project,
) -> None:
    code, told, errors = project.rollout("--gate", GATE, waves="1,100%")
    assert code == 0, errors
    assert project.versions() == ["two"] * 3
    records = project.journal()
    assert records[0]["request"]["waves"] == [["lab-1"], ["lab-2", "lab-3"]]
    assert steps(records)[:3] == ["intent lab-1", "done lab-1", "committed lab-1"]
    assert told[-1]["outcome"] == "done"
    assert [one["step"] for one in told[-1]["hosts"]] == ["committed"] * 3
    run = told[-1]["run"]
    kept = lines(project.sh("lab-2", f"cat /var/lib/uplift/runs/{run}.jsonl"))
    assert [one["kind"] for one in kept] == ["intent", "done", "committed"]
    (ledger,) = [
        one
        for one in lines(project.sh("lab-2", "cat /var/lib/uplift/runs/ledger.jsonl"))
        if one["run"] == run
    ]
    assert (ledger["outcome"], ledger["exit_code"]) == ("done", 0)
    again = json.loads(project.uplift("history", "--json", cwd=project.folder).stdout)
    assert again[0]["run"] == run
    shown = project.uplift("show", run, cwd=project.folder).stdout
    assert "wave 2" in shown
    assert "gate: wave 1 is no worse than before" in shown


def test_a_host_that_fails_holds_the_fleet_and_resume_completes_it(project: Project) -> None:
    project.sh("lab-2", "touch /etc/uplift-test-break")
    code, told, _ = project.rollout("--no-gate")
    assert code == 3
    assert [one["step"] for one in told[-1]["hosts"]] == ["committed", "failed", "waiting"]
    assert "this host is broken" in told[-1]["hosts"][1]["words"]
    assert project.versions() == ["two", "two", "one"]
    project.sh("lab-2", "rm /etc/uplift-test-break")
    code, told, errors = project.call("resume", "--json")
    assert code == 0, errors
    assert project.versions() == ["two"] * 3
    assert "intent lab-1" not in steps([one for one in told if one["kind"] != "event"])


@pytest.mark.slow
def test_a_budget_lets_a_host_fail_and_says_so_at_the_end(project: Project) -> None:
    project.sh("lab-2", "touch /etc/uplift-test-break")
    code, told, _ = project.rollout("--no-gate", "--budget", "change_failed=1")
    assert code == 3
    assert [one["step"] for one in told[-1]["hosts"]] == ["committed", "failed", "committed"]


def test_a_test_that_is_newly_bad_stops_the_next_wave(project: Project) -> None:
    code, told, _ = project.rollout("--gate", GATE, version="bad")
    assert code == 3
    assert project.versions() == ["bad", "one", "one"]
    (gate,) = [one for one in told if one["kind"] == "gate"]
    assert [one["test"].partition("[")[0] for one in gate["new"]] == [
        "test_the_version_is_not_the_bad_one"
    ]


@pytest.mark.slow
def test_a_test_that_was_bad_before_is_listed_and_does_not_stop(project: Project) -> None:
    for name in NAMES:
        project.sh(name, "touch /etc/uplift-test-mark")
    code, told, errors = project.rollout("--gate", GATE, waves="100%")
    assert code == 0, errors
    (gate,) = [one for one in told if one["kind"] == "gate"]
    assert gate["new"] == []
    assert {one["host"] for one in gate["old"]} == set(NAMES)


@pytest.mark.slow
def test_a_flaky_test_is_named_and_does_not_stop(project: Project) -> None:
    project.sh("lab-1", "touch /etc/uplift-test-slow")
    words = project.words("--gate", GATE, "--limit", "lab-1", waves="100%")
    child = project.started(*words)
    project.until("intent")
    project.sh("lab-2", "touch /etc/uplift-test-flaky")
    out, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == 0, errors
    (gate,) = [one for one in lines(out) if one["kind"] == "gate"]
    assert [(one["host"], one["test"].partition("[")[0]) for one in gate["flaky"]] == [
        ("lab-2", "test_that_fails_every_other_time")
    ]


def test_a_second_run_is_told_who_is_at_work_though_its_first_host_is_another(
    project: Project,
) -> None:
    project.sh("lab-1", "touch /etc/uplift-test-slow")
    child = project.started(*project.words("--no-gate", waves="lab-1,100%"))
    try:
        project.until("intent", "lab-1")
        first = project.journal()[0]["run"]
        code, _, errors = project.rollout("--no-gate", waves="lab-3,100%", version="three")
    finally:
        _, said = child.communicate(timeout=LIMIT)
    assert code == 4
    assert first in errors
    assert "wave 1 of 2" in errors
    assert child.returncode == 0, said
    assert project.versions() == ["two"] * 3


def test_ctrl_c_finishes_the_hosts_in_progress_holds_and_leaves_no_lock(project: Project) -> None:
    project.sh("lab-1", "touch /etc/uplift-test-slow")
    child = project.started(*project.words("--no-gate"))
    project.until("intent", "lab-1")
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == 130, errors
    assert project.versions() == ["two", "one", "one"]
    code, _, errors = project.call("resume", "--json")
    assert code == 0, errors
    assert project.versions() == ["two"] * 3


@pytest.mark.slow
def test_a_run_waits_for_approval_and_goes_on(project: Project) -> None:
    child = project.started(*project.words("--no-gate", "--pause-after", "1"))
    project.until("paused")
    assert project.versions() == ["two", "one", "one"]
    project.uplift("approve", cwd=project.folder)
    _, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == 0, errors
    assert any(one["kind"] == "approved" for one in project.journal())
    assert project.versions() == ["two"] * 3


@pytest.mark.slow
def test_other_settings_cannot_be_resumed(project: Project) -> None:
    project.sh("lab-1", "touch /etc/uplift-test-break")
    assert project.rollout("--no-gate")[0] == 3
    file = project.runs()[-1] / "journal.jsonl"
    file.write_text(file.read_text().replace('"inputs":"', '"inputs":"0'))
    code, _, errors = project.call("resume", "--json")
    assert code == 5
    assert "not those that it began with" in errors
    assert project.call("abort", "--json")[0] == 3
    assert project.call("resume", "--json")[0] == 64


def test_a_host_that_is_down_is_never_success_and_resume_completes_it(
    project: Project, lab_name: str
) -> None:
    def ssh_is(state: str) -> None:
        subprocess.run(
            ["docker", state, f"uplift-{lab_name}-lab-3"], check=True, capture_output=True
        )

    ssh_is("pause")
    try:
        code, _, errors = project.rollout("--no-gate")
        assert code == 3
        assert "lab-3" in errors
        assert project.sh("lab-1", "cat /etc/uplift-test") == "version one"
        code, told, _ = project.rollout("--no-gate", "--skip-unreachable")
        assert code == 3
        assert [one["step"] for one in told[-1]["hosts"]] == [
            "committed",
            "committed",
            "unreachable",
        ]
    finally:
        ssh_is("unpause")
    code, told, errors = project.call("resume", "--json")
    assert code == 0, errors
    assert project.versions() == ["two"] * 3


@pytest.mark.slow
def test_a_wave_that_turns_bad_while_it_bakes_is_held(project: Project) -> None:
    child = project.started(*project.words("--gate", GATE, "--bake", "20s"))
    end = time.monotonic() + LIMIT
    while project.sh("lab-1", "cat /etc/uplift-test") != "version two":
        assert time.monotonic() < end
        time.sleep(0.5)
    project.until("done", "lab-1")
    time.sleep(1)
    project.sh("lab-1", "touch /etc/uplift-test-mark")
    out, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == 3, errors
    assert project.versions() == ["two", "one", "one"]
    assert "test_nobody_has_left_a_mark" in out


@pytest.mark.slow
def test_a_killed_run_is_ended_where_its_hosts_are_reached_and_the_others_are_named(
    project: Project, lab_name: str
) -> None:
    project.sh("lab-1", "touch /etc/uplift-test-slow")
    child = project.started(*project.words("--no-gate", waves="1,100%"))
    project.until("intent")
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    assert locks(project, "held") == set(NAMES)
    stopped = f"uplift-{lab_name}-lab-3"
    subprocess.run(["docker", "pause", stopped], check=True, capture_output=True)
    try:
        code, told, errors = project.call("abort", "--json")
        assert code == 3, errors
        assert told[-1]["outcome"] == "aborted"
        assert "lab-3: " in told[-1]["stopped"]
        assert "by itself 60 s after" in told[-1]["stopped"]
        assert project.call("resume", "--json")[0] == 64
        assert locks(project, "free") == {"lab-1", "lab-2"}
    finally:
        subprocess.run(["docker", "unpause", stopped], check=True, capture_output=True)
    until_free(project)
    code, _, errors = project.rollout("--no-gate", waves="100%", version="three")
    assert code == 0, errors


def locks(project: Project, standing: str) -> set[str]:
    """Return the hosts whose lock stands so."""
    done = project.uplift("lock", "status", "inventories/lab.py", "--json", check=False)
    return {one["host"] for one in json.loads(done.stdout)["hosts"] if one["state"] == standing}


def kill_points() -> list[str]:
    """Every kind of record that a good run writes, from the journal's own definition."""
    from uplift.spec.rollout.journal import KINDS

    never = {"failed", "unreachable", "rejected", "reverting", "reverted", "not-reverted"}
    never |= {"paused", "approved", "interrupted", "resumed", "ended"}
    return [kind for kind in KINDS if kind not in never]


@pytest.mark.crash
@pytest.mark.parametrize("end", ["resume", "abort"])
@pytest.mark.parametrize("kind", kill_points())
def test_a_controller_that_is_killed_leaves_what_its_journal_says(
    project: Project, kind: str, end: str
) -> None:
    child = project.started(*project.words("--gate", GATE, waves="1,100%"))
    project.until(kind)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    touched = {one["host"] for one in project.journal() if one["kind"] == "intent"}
    found = dict(zip(NAMES, project.versions(), strict=True))
    assert {name for name, version in found.items() if version == "two"} <= touched
    until_free(project)
    if end == "abort":
        assert project.call("abort", "--json")[0] == (3 if touched else 0)
        assert project.call("resume", "--json")[0] == 64
        return
    code, _, errors = project.call("resume", "--json")
    assert code == 0, errors
    assert project.versions() == ["two"] * 3


def until_free(project: Project) -> None:
    """Wait until the lease of a killed run is over."""
    end = time.monotonic() + LIMIT
    while True:
        done = project.uplift("lock", "status", "inventories/lab.py", check=False)
        if "held" not in done.stdout and "taking" not in done.stdout:
            return
        assert time.monotonic() < end, done.stdout
        time.sleep(2)
