"""Rollouts of an application over real hosts: bad releases, and the fleet put back by digest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.lab.conftest import SCRIPTS
from tests.lab.fleet_box import (
    AGAINST,
    GATE,
    LIMIT,
    MARK,
    NAMES,
    ROLLOUT,
    Fleet,
    serving,
    settings,
)
from tests.lab.rollout_box import lines, wait_for

pytest_plugins = ["tests.lab.app_box", "tests.lab.fleet_box"]


def test_a_release_that_is_bad_on_one_host_is_put_back_on_the_whole_fleet_by_digest(
    old: Fleet,
) -> None:
    before = old.digests()
    old.want("2.0.0-uv", {"lab-3": "2.1.0-uv"})
    with old.prober("lab-1") as prober:
        code, result, errors = old.rollout(
            "--gate", GATE, "--waves", "1,1,1", "--on-failure", "revert-fleet"
        )
    assert code == 1, (errors, result)
    assert result["outcome"] == "reverted"
    assert [one["step"] for one in result["hosts"]] == ["reverted"] * 3
    assert old.versions() == ["1.4.0"] * 3
    assert old.digests() == before
    assert prober.failures == []
    assert set(prober.answers) == {"1.4.0", "2.0.0"}


@dataclass(frozen=True)
class Bad:
    """What is wrong with the second host's release.

    Args:
        tag: of it.
        stays: what the host serves when nothing is put back.
        says: what tells of it.
        step: what becomes of the host.
        against: a test fails with this version.
        fields: of the application.
    """

    tag: str
    stays: str
    says: str
    step: str = "rejected"
    against: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


BAD = {
    "from the start": Bad("2.1.0-uv", "1.4.0-poetry", "FAILED", "failed"),
    # Ready for eight seconds: the tests after the change see it, or those while it bakes.
    "after seconds": Bad("2.2.0-uv", "2.2.0-uv", "test_the_application", fields={"hold": 0}),
    "to a new test": Bad("2.0.0-uv", "2.0.0-uv", "test_it_is_not_the_release", against="2.0.0"),
}
ANSWERS = ("hold", "revert-wave", "revert-fleet")


@pytest.mark.slow
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_each_answer_to_a_release_that_is_bad_on_one_host(
    old: Fleet, bad: Bad, answer: str
) -> None:
    images = old.digests()
    if bad.against:
        old.sh("lab-2", f"echo {bad.against} >{AGAINST}")
    old.want("2.0.0-uv", {"lab-2": bad.tag}, **bad.fields)
    words = ("--gate", GATE, "--waves", "1,1,1", "--bake", "10s", "--on-failure", answer)
    code, result, errors = old.rollout(*words)
    new, before = "2.0.0-uv", "1.4.0-poetry"
    serve, steps = {
        "hold": ([new, bad.stays, before], ["committed", bad.step, "waiting"]),
        "revert-wave": ([new, before, before], ["committed", "reverted", "waiting"]),
        "revert-fleet": ([before] * 3, ["reverted", "reverted", "waiting"]),
    }[answer]
    assert code == (1 if answer == "revert-fleet" else 3), (errors, result)
    assert [one["step"] for one in result["hosts"]] == steps
    assert serving(result) == serve
    assert old.running() == [one.partition("-")[0] for one in serve]
    assert (old.digests() == images) is (answer == "revert-fleet")
    assert bad.says in f"{result['stopped']} {result['hosts'][1]['words']}"
    newest = max(serve)
    behind = {name for name, one in zip(NAMES, serve, strict=True) if one != newest}
    assert old.behind() == behind


@pytest.mark.slow
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_good_release_passes_a_test_that_was_bad_before_whatever_the_answer_would_be(
    old: Fleet, answer: str
) -> None:
    old.sh("lab-2", f"touch {MARK}")
    old.want("2.0.0-uv")
    words = ("--gate", GATE, "--waves", "1,2", "--bake", "0s", "--on-failure", answer)
    code, result, errors = old.rollout(*words)
    assert (code, result["outcome"]) == (0, "done"), (errors, result)
    assert serving(result) == ["2.0.0-uv"] * 3
    gates = [one for one in old.told if one["kind"] == "gate"]
    assert {one["host"] for gate in gates for one in gate["old"]} == {"lab-2"}
    assert [gate["new"] for gate in gates] == [[]] * len(gates)


@pytest.mark.slow
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("when", ["from the start", "after seconds"])
def test_a_release_that_is_bad_everywhere_gets_no_further_than_the_first_host_and_people_read_so(
    old: Fleet, when: str, answer: str
) -> None:
    before, bad = old.digests(), BAD[when]
    old.want(bad.tag, **bad.fields)
    words = ("--gate", GATE, "--waves", "1,1,1", "--bake", "10s", "--on-failure", answer)
    wide = {**old.environment, "COLUMNS": "300"}
    done = old.uplift(*ROLLOUT[:-1], *words, check=False, cwd=old.folder, env=wide)
    held = answer == "hold"
    assert done.returncode == (3 if held else 1), (done.stderr, done.stdout)
    rows = [line for line in done.stdout.splitlines() if "│ lab-" in line]
    assert [name in row for name, row in zip(NAMES, rows, strict=True)] == [True] * 3
    assert [bad.step if held else "reverted", "waiting", "waiting"] == [
        row.split("│")[3].strip() for row in rows
    ]
    serve = [bad.stays if held else "1.4.0-poetry", "1.4.0-poetry", "1.4.0-poetry"]
    assert [f"testapp {tag}" in row for tag, row in zip(serve, rows, strict=True)] == [True] * 3
    assert old.running() == [tag.partition("-")[0] for tag in serve]
    # Why it stopped, where, and what can be done now.
    said = " ".join(done.stderr.split())
    assert ("held: lab-1" if held else "reverted: lab-1") in said
    assert bad.says in done.stdout + done.stderr
    assert ("go on: uplift resume" in said) is held
    assert (old.digests() == before) is (serve[0] == "1.4.0-poetry")


@pytest.mark.slow
def test_a_host_that_is_put_back_and_still_fails_its_gate_is_not_called_as_before(
    old: Fleet,
) -> None:
    before = old.digests()
    old.want("2.0.0-uv")
    words = (*ROLLOUT, "--gate", GATE, "--waves", "1,1,1", "--on-failure", "revert-fleet")
    known = set(old.folder.glob(".uplift/runs/*/journal.jsonl"))
    child = subprocess.Popen(
        [str(SCRIPTS / "uplift"), *words],
        cwd=old.folder,
        env=old.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def begun() -> bool:
        new = set(old.folder.glob(".uplift/runs/*/journal.jsonl")) - known
        return any('"kind":"intent"' in one.read_text() for one in new)

    wait_for(begun)
    # Its baseline was good, and the old release does not bring that back.
    old.sh("lab-1", f"touch {MARK}")
    out, errors = child.communicate(timeout=LIMIT)
    result = lines(out)[-1]
    assert (child.returncode, result["outcome"]) == (3, "held"), (errors, result)
    assert [one["step"] for one in result["hosts"]] == ["not-reverted", "waiting", "waiting"]
    assert "test_nobody_has_left_a_mark" in result["hosts"][0]["words"]
    assert old.digests() == before
    # Mended by hand: the way back is gone to its end.
    old.sh("lab-1", f"rm {MARK}")
    code, result, errors = old.call("abort", "--revert", "--json")
    assert (code, result["outcome"]) == (1, "reverted"), (errors, result)


@pytest.mark.slow
def test_a_revert_that_could_not_undo_everything_is_refused_before_the_start(old: Fleet) -> None:
    old.want("2.0.0-uv", files={})
    other = settings("2.0.0-uv")
    other["haproxy"]["binds"].append({"address": "*", "port": 81})
    (old.folder / "apps.json").write_text(json.dumps(dict.fromkeys(NAMES, other)))
    code, result, errors = old.rollout("--gate", GATE, "--on-failure", "revert-fleet")
    assert code == 1, errors
    assert "cannot put back HAProxy" in result["stopped"]
    assert old.versions() == ["1.4.0"] * 3


END = {"resume": ("resume",), "abort": ("abort", "--revert")}
# In the switch: before it, in its middle, and with pyinfra alive; and around its records.
FORTH = [("in-all", "change"), ("in-all", "change+3"), ("in", "change+3"), ("before", "done")]
FORTH += [("after", one) for one in ("ready", "baseline", "intent", "done", "gate", "verified")]
FORTH += [("after", "committed")]
BACK = [("after", "interrupted"), ("after", "reverting")]
BACK += [("before", "reverted"), ("after", "reverted")]


@pytest.mark.crash
@pytest.mark.parametrize("end", END)
@pytest.mark.parametrize(("moment", "what"), FORTH, ids=[" ".join(one) for one in FORTH])
def test_traffic_is_served_while_a_controller_is_killed_around_a_switch(
    old: Fleet, moment: str, what: str, end: str
) -> None:
    before = old.digests()
    old.want("2.0.0-uv")
    with old.prober("lab-1") as first, old.prober("lab-2") as second:
        gate = ("--gate", GATE) if what in ("baseline", "gate") else ("--no-gate",)
        old.killed(moment, what, *ROLLOUT, *gate, "--waves", "1,2")
        code, result, errors = old.call(*END[end], "--json")
    assert first.failures + second.failures == []
    assert set(first.answers + second.answers) <= {"1.4.0", "2.0.0"}
    if end == "resume":
        assert code == 0, (errors, result)
        assert old.versions() == ["2.0.0"] * 3
    else:
        untouched = what in ("ready", "baseline")
        assert code == (0 if untouched else 1), (errors, result)
        assert old.digests() == before


@pytest.mark.crash
@pytest.mark.parametrize("end", END)
@pytest.mark.parametrize(("moment", "kind"), BACK, ids=[" ".join(one) for one in BACK])
def test_traffic_is_served_while_a_controller_is_killed_on_the_way_back(
    old: Fleet, moment: str, kind: str, end: str
) -> None:
    """Resumed or given up, the way back is gone to its end."""
    before = old.digests()
    old.want("2.0.0-uv", {"lab-2": "2.1.0-uv"})
    with old.prober("lab-1") as first, old.prober("lab-2") as second:
        options = ("--no-gate", "--waves", "1,1,1", "--on-failure", "revert-fleet")
        old.killed(moment, kind, *ROLLOUT, *options)
        code, result, errors = old.call(*END[end], "--json")
    assert first.failures + second.failures == []
    assert (code, result["outcome"]) == (1, "reverted"), (errors, result)
    assert old.versions() == ["1.4.0"] * 3
    assert old.digests() == before


@pytest.mark.crash
def test_an_abort_that_was_killed_in_the_switch_back_is_repeated(old: Fleet) -> None:
    before = old.digests()
    old.want("2.0.0-uv", {"lab-2": "2.1.0-uv"})
    code, result, errors = old.rollout("--no-gate", "--waves", "1,1,1")
    assert code == 3, (errors, result)
    with old.prober("lab-1") as first:
        old.killed("in-all", "change+3", "abort", "--revert", "--json")
        code, result, errors = old.call("abort", "--revert", "--json")
    assert first.failures == []
    assert (code, result["outcome"]) == (1, "reverted"), (errors, result)
    assert old.digests() == before
