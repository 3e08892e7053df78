"""Rollouts over real hosts by stock operations: waves, gates, what is done at failures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from tests.lab.rollout_box import DEPLOY, GATE, LIMIT, NAMES, Project, lines, steps, wait_for

from uplift.controller import person

pytest_plugins = ["tests.lab.rollout_box"]


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
    assert [one["kind"] for one in kept] == ["intent", "done", "verified", "committed"]
    (ledger,) = [
        one
        for one in lines(project.sh("lab-2", "cat /var/lib/uplift/runs/ledger.jsonl"))
        if one["run"] == run
    ]
    assert (ledger["outcome"], ledger["exit_code"]) == ("done", 0)
    good = {"new": [], "old": 0, "mended": 0, "flaky": []}
    assert ledger["gate"] == told[-1]["gate"] == {"1": good, "2": good}
    assert ledger["changed"] == {key: ["Version", "Check"] for key in NAMES}
    assert set(ledger["serving"]) == set(ledger["took"]) == set(NAMES)
    again = json.loads(project.uplift("history", "--json", cwd=project.folder).stdout)
    assert again[0]["run"] == run
    assert [again[0][key] for key in ("gate", "changed", "serving", "took")] == [
        ledger[key] for key in ("gate", "changed", "serving", "took")
    ]
    shown = project.uplift("show", run, cwd=project.folder).stdout
    assert "wave 2" in shown
    assert "gate: wave 1 is no worse than before" in shown
    assert "lab-2  done (2 changed: Version, Check)" in shown
    assert "gate of wave 2: 0 new, 0 old, 0 mended, 0 flaky" in shown


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
    (flaky,) = lines(out)[-1]["gate"]["1"]["flaky"]
    assert flaky.startswith("lab-2 ")
    assert flaky.endswith("test_that_fails_every_other_time")


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
    # Who, since when, and how far.
    said = " ".join(errors.split())
    assert f"run {first} of {person()} ({DEPLOY}) since " in said
    assert re.search(r" since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(\d+ s ago\)", said), said
    assert "wave 1 of 2: lab-1" in said
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
    project.until("verified", "lab-1")
    project.sh("lab-1", "touch /etc/uplift-test-mark")
    out, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == 3, errors
    assert project.versions() == ["two", "one", "one"]
    assert "test_nobody_has_left_a_mark" in out
    run = lines(out)[-1]["run"]
    kept = lines(project.sh("lab-1", f"cat /var/lib/uplift/runs/{run}.jsonl"))
    assert [one["kind"] for one in kept] == ["intent", "done", "verified", "rejected"]


@pytest.mark.slow
def test_a_killed_run_is_ended_where_its_hosts_are_reached_and_the_others_are_named(
    project: Project, lab_name: str
) -> None:
    project.sh("lab-1", "touch /etc/uplift-test-slow")
    child = project.started(*project.words("--no-gate", waves="1,100%"))
    project.until("intent")
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    assert project.locks("held") == set(NAMES)
    stopped = f"uplift-{lab_name}-lab-3"
    subprocess.run(["docker", "pause", stopped], check=True, capture_output=True)
    try:
        code, told, errors = project.call("abort", "--json")
        assert code == 3, errors
        assert told[-1]["outcome"] == "aborted"
        assert "lab-3: " in told[-1]["stopped"]
        assert "by itself 60 s after" in told[-1]["stopped"]
        assert project.call("resume", "--json")[0] == 64
        assert project.locks("free") == {"lab-1", "lab-2"}
    finally:
        subprocess.run(["docker", "unpause", stopped], check=True, capture_output=True)
    wait_for(lambda: not project.locks("held", "taking"))
    code, _, errors = project.rollout("--no-gate", waves="100%", version="three")
    assert code == 0, errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({}, "somebody else listens on .*:6379/tcp .python3."),
        ({"image": "registry:5000/redis:none", "port": 6380}, "the registry has no such image"),
        ({"image": f"registry:5000/redis@sha256:{'0' * 64}", "port": 6380}, "no such image"),
    ],
    ids=["port", "tag", "digest"],
)
def test_what_the_last_host_cannot_have_stops_the_run_before_the_first_one_is_changed(
    project: Project, docker: None, block: dict[str, Any], words: str
) -> None:
    password = {"secret": "r/password"}
    given = {"image": "registry:5000/redis:8", "password": password}
    project.sh("lab-2", "systemd-run -q --unit uplift-test-port python3 -m http.server 6379")
    data = {"lab-1": given, "lab-2": {**given, **block}}
    env = {
        **project.environment,
        "UPLIFT_TEST_REDIS": json.dumps(data),
        "UPLIFT_SECRET_R_PASSWORD": os.urandom(12).hex(),
    }
    try:
        done = project.uplift(
            *("rollout", "inventories/lab.py", "tests/lab/rollout_redis.py", "--no-gate", "-y"),
            *("--limit", "lab-1", "--limit", "lab-2", "--waves", "1,1"),
            check=False,
            cwd=project.folder,
            env=env,
        )
        assert done.returncode == 1, done.stderr
        assert re.search(rf"lab-2: .*{words}", done.stderr), done.stderr
        assert project.sh("lab-1", "docker ps -aq --filter name=redis") == ""
    finally:
        project.sh("lab-2", "systemctl stop uplift-test-port")


@pytest.fixture(scope="module")
def docker(pyinfra: Callable[..., Any]) -> None:
    """Hosts with Docker."""
    pyinfra("inventories/lab.py", "deploys/docker.py", "-y", "--limit", "lab-1", "--limit", "lab-2")
