"""Rollouts that something outside stops: a host that goes, signals, settings that change."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from tests.lab.rollout_box import (
    DEPLOY,
    GATE,
    LIMIT,
    NAMES,
    PROJECT,
    Project,
    lines,
    steps,
    wait_for,
)

pytest_plugins = ["tests.lab.rollout_box"]

pytestmark = pytest.mark.slow


class Away(Protocol):
    """Takes a host away while a context is open."""

    def __call__(self, name: str, gone: str, back: str) -> AbstractContextManager[None]: ...


@pytest.fixture
def away(project: Project, lab_name: str) -> Away:
    """Take a host away by one word of the lab's engine, and bring it back by another."""

    @contextmanager
    def call(name: str, gone: str, back: str) -> Iterator[None]:
        def engine(word: str) -> None:
            words = ["docker", word, f"uplift-{lab_name}-{name}"]
            subprocess.run(words, check=True, capture_output=True)

        engine(gone)
        try:
            yield
        finally:
            engine(back)
            wait_for(lambda: project.ssh(name, "true", False).returncode == 0)

    return call


def result(out: str) -> dict[str, Any]:
    """Return the last line that a run printed."""
    return lines(out)[-1]


def test_a_host_that_goes_down_in_its_wave_is_unreachable_and_resume_completes_it(
    project: Project, away: Away
) -> None:
    project.sh("lab-2", "touch /etc/uplift-test-slow")
    child = project.started(*project.words("--no-gate"))
    project.until("intent", "lab-2")
    wait_for(lambda: project.sh("lab-2", "cat /etc/uplift-test") == "version two")
    with away("lab-2", "kill", "start"):
        out, errors = child.communicate(timeout=LIMIT)
        assert child.returncode == 3, errors
        told = result(out)["hosts"]
        assert [one["step"] for one in told] == ["committed", "unreachable", "waiting"], told
        assert told[1]["words"]
        assert "lab-2" in result(out)["stopped"]
        # While it is away: nothing more is done, and the host is named.
        code, _, errors = project.call("resume", "--json")
        assert code == 3
        assert "lab-2" in errors
        assert project.sh("lab-3", "cat /etc/uplift-test") == "version one"
    code, told, errors = project.call("resume", "--json")
    assert code == 0, errors
    assert project.versions() == ["two"] * 3
    assert project.locks("held", "taking") == set()
    done = steps([one for one in told if one["kind"] != "event"])
    assert "intent lab-1" not in done
    assert "committed lab-2" in done


def test_a_host_that_falls_silent_in_its_wave_is_given_up_with_words_and_resume_completes_it(
    project: Project, away: Away
) -> None:
    (project.folder / "quiet.yml").write_text("quiet: 20s\nlease: 15s\ngate: []\n")
    project.sh("lab-2", "touch /etc/uplift-test-slow")
    child = project.started(*project.words("--policy", "quiet.yml", "--no-gate"))
    project.until("intent", "lab-2")
    wait_for(lambda: project.sh("lab-2", "cat /etc/uplift-test") == "version two")
    with away("lab-2", "pause", "unpause"):
        out, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == 3, errors
    found = result(out)
    assert [one["step"] for one in found["hosts"]] == ["committed", "failed", "waiting"]
    assert "nothing happened for 20 s" in found["hosts"][1]["words"]
    assert "lab-2" in found["stopped"]
    code, _, errors = project.call("resume", "--json")
    assert code == 0, errors
    assert project.versions() == ["two"] * 3


def test_a_fleet_is_put_back_though_one_of_its_hosts_is_lost_and_that_one_later(
    project: Project, away: Away
) -> None:
    own = "tests/lab/rollout_pip.py"
    file = "/home/deploy/.config/pip/pip.conf"

    def served() -> list[str]:
        shown = [project.sh(name, f"cat {file}") for name in NAMES]
        return re.findall(r"https://(\w+)\.example", "".join(shown))

    code, _, errors = project.rollout("--no-gate", deploy=own, version="one", waves="100%")
    assert code == 0, errors
    words = ("--gate", GATE, "--on-failure", "revert-fleet")
    child = project.started(*project.words(*words, deploy=own))
    project.until("intent", "lab-3")
    project.sh("lab-3", "touch /etc/uplift-test-mark")
    with away("lab-1", "kill", "start"):
        project.until("reverting", "lab-3")
        # Else that host would be no better than before.
        project.sh("lab-3", "rm /etc/uplift-test-mark")
        out, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == 3, errors
    found = result(out)
    assert found["outcome"] == "held"
    assert [one["step"] for one in found["hosts"]] == ["not-reverted", "reverted", "reverted"]
    assert "lab-1" in found["hosts"][0]["words"]
    assert served() == ["two", "one", "one"]
    code, told, errors = project.call("abort", "--revert", "--json")
    assert (code, told[-1]["outcome"]) == (1, "reverted"), errors
    assert served() == ["one", "one", "one"]
    assert project.locks("held", "taking", "lease over") == set()


def test_ctrl_c_while_hosts_are_put_back_holds_the_rest_and_resume_goes_on_with_that(
    project: Project,
) -> None:
    own = "tests/lab/rollout_pip.py"
    code, _, errors = project.rollout("--no-gate", deploy=own, version="one", waves="100%")
    assert code == 0, errors
    words = ("--gate", GATE, "--on-failure", "revert-fleet")
    child = project.started(*project.words(*words, deploy=own))
    project.until("intent", "lab-2")
    project.sh("lab-2", "touch /etc/uplift-test-mark")
    project.until("reverting", "lab-2")
    project.sh("lab-2", "rm /etc/uplift-test-mark")
    child.send_signal(signal.SIGINT)
    out, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == 130, errors
    assert [one["step"] for one in result(out)["hosts"]] == ["committed", "reverted", "waiting"]
    assert project.locks("held", "taking") == set()
    code, told, errors = project.call("resume", "--json")
    assert (code, told[-1]["outcome"]) == (1, "reverted"), errors
    assert [one["step"] for one in told[-1]["hosts"]] == ["reverted", "reverted", "waiting"]


def test_stock_operations_which_have_no_way_back_are_refused_by_name_before_the_start(
    project: Project,
) -> None:
    for answer in ("revert-wave", "revert-fleet"):
        code, told, errors = project.rollout("--no-gate", "--on-failure", answer)
        assert (code, told[-1]["outcome"]) == (1, "refused"), errors
        for name in NAMES:
            assert f"{name}: {answer} cannot put back Version" in told[-1]["stopped"]
    assert project.versions() == ["one"] * 3
    code, _, errors = project.rollout(
        "--no-gate", "--on-failure", "revert-fleet", "--partial-revert"
    )
    assert code == 0, errors


SIGNALS = {
    "once": [signal.SIGINT],
    "twice": [signal.SIGINT, signal.SIGINT],
    "ended": [signal.SIGTERM],
}


@pytest.mark.parametrize("sent", SIGNALS.values(), ids=SIGNALS)
def test_a_run_that_is_interrupted_leaves_no_lock_and_can_be_resumed(
    project: Project, sent: list[signal.Signals]
) -> None:
    project.sh("lab-1", "touch /etc/uplift-test-slow")
    child = project.started(*project.words("--no-gate"))
    project.until("intent", "lab-1")
    assert project.locks("held") == set(NAMES)  # which is how the others are known to be free
    for number in sent:
        child.send_signal(number)
        time.sleep(1)
    out, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == 130, errors
    assert project.locks("held", "taking", "lease over") == set()
    # The second one lets nobody finish: where the host is, its journal says.
    stands = "intent" if len(sent) > 1 else "done"
    assert [one["step"] for one in result(out)["hosts"]] == [stands, "waiting", "waiting"]
    assert project.versions()[1:] == ["one", "one"]
    code, _, errors = project.call("resume", "--json")
    assert code == 0, errors
    assert project.versions() == ["two"] * 3


def test_a_deploy_file_or_settings_that_were_changed_on_disk_are_not_resumed_with(
    project: Project,
) -> None:
    folder = project.folder
    deploy = folder / "own.py"
    shutil.copy(folder / DEPLOY, deploy)
    (folder / "group_data").unlink()
    shutil.copytree(Path(__file__).parents[2] / "group_data", folder / "group_data")
    project.sh("lab-1", "touch /etc/uplift-test-break")
    assert project.rollout("--no-gate", deploy="own.py")[0] == 3
    project.sh("lab-1", "rm /etc/uplift-test-break")
    for file in (deploy, folder / "group_data/all.py"):
        was = file.read_text()
        file.write_text(f"{was}\n# changed since\n")
        code, _, errors = project.call("resume", "--json")
        assert (code, "not those that it began with" in errors) == (5, True), errors
        assert project.versions()[1:] == ["one", "one"]
        file.write_text(was)
    code, _, errors = project.call("resume", "--json")
    assert code == 0, errors
    assert project.versions() == ["two"] * 3


def test_a_budget_of_the_gate_lets_one_host_fail_it_and_stops_at_the_second(
    project: Project,
) -> None:
    for name in NAMES[:2]:
        project.sh(name, "touch /etc/uplift-test-slow")
    words = ("--gate", GATE, "--budget", "gate_failed=1")
    child = project.started(*project.words(*words))
    for name in NAMES[:2]:
        # After its baseline: what is bad before a change is nobody's failure.
        project.until("intent", name)
        project.sh(name, "touch /etc/uplift-test-mark")
    out, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == 3, errors
    assert [one["step"] for one in result(out)["hosts"]] == ["rejected", "rejected", "waiting"]
    assert "test_nobody_has_left_a_mark" in result(out)["stopped"]


def test_a_budget_of_lost_hosts_lets_the_others_be_changed_and_says_so_at_the_end(
    project: Project, away: Away
) -> None:
    with away("lab-3", "pause", "unpause"):
        code, told, errors = project.rollout("--no-gate", "--budget", "unreachable=1")
    assert code == 3, errors
    assert [one["step"] for one in told[-1]["hosts"]] == ["committed", "committed", "unreachable"]
    assert project.versions() == ["two", "two", "one"]


FULL = {
    "full": ("mount -t tmpfs -o size=800k none /tmp", "/tmp has 0 MiB free, 1 are needed"),
    "read only": ("mount --bind /tmp /tmp; mount -o remount,bind,ro /tmp", "/tmp cannot be writ"),
}


@pytest.mark.parametrize(("made", "words"), FULL.values(), ids=FULL)
def test_a_host_without_room_stops_the_run_before_the_first_one_is_changed(
    project: Project, made: str, words: str
) -> None:
    project.sh("lab-2", made)
    try:
        code, told, errors = project.rollout("--no-gate")
    finally:
        project.sh("lab-2", "umount /tmp")
    assert code == 1, errors
    assert (told[-1]["outcome"], told[-1]["stopped"][:5]) == ("refused", "lab-2")
    assert words in told[-1]["stopped"]
    assert project.versions() == ["one"] * 3
    assert project.locks("held", "taking", "lease over") == set()


def test_the_results_of_the_gate_stay_with_the_run_for_each_host(project: Project) -> None:
    code, _, errors = project.rollout("--gate", GATE, waves="100%")
    assert code == 0, errors
    tests = (PROJECT / GATE).read_text().count("\ndef test_")
    folder = project.runs()[-1] / "gate"
    for moment in ("before", "after"):
        kept = (folder / f"wave-1-{moment}.xml").read_text()
        found = re.findall(r'name="uplift_host" value="([^"]+)"', kept)
        assert {name: found.count(name) for name in NAMES} == dict.fromkeys(NAMES, tests)
    assert folder.stat().st_mode & 0o077 == 0
