"""Ways back over two hosts: `uplift rollback` by waves, and what a revert could not undo."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.lab.fleet_box import AGAINST, GATE, Fleet

pytest_plugins = ["tests.lab.app_box", "tests.lab.fleet_box"]

WORDS = ("rollback", "inventories/rollout.py", "testapp", "--to", "poetry", "--json")
OPTIONS = ("--waves", "1,100%", "--gate", GATE, "--on-failure", "revert-fleet")


def gone_back(pair: Fleet) -> tuple[int, list[bool], dict[str, Any]]:
    """Go back; return exit code, which hosts arrived, and the run as the history has it."""
    done = pair.uplift(*WORDS, *OPTIONS, check=False, cwd=pair.folder)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["exit_code"] == done.returncode, done.stderr
    history = json.loads(pair.uplift("history", "--json", cwd=pair.folder).stdout)
    return done.returncode, [one["arrived"] for one in found["after"]], history[0]


def waves(pair: Fleet, run: str) -> list[list[str]]:
    """Return the hosts of the waves that began, in order."""
    journal = (pair.folder / f".uplift/runs/{run}/journal.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in journal]
    return [one["hosts"] for one in records if one["kind"] == "wave"]


@pytest.mark.slow
def test_a_rollback_goes_by_waves_and_one_that_its_gate_refuses_is_put_back(pair: Fleet) -> None:
    pair.begin()
    pair.want("2.0.0-uv")
    code, result, errors = pair.rollout("--no-gate", "--waves", "100%")
    assert code == 0, (errors, result)
    before = pair.digests()

    pair.sh("lab-2", f"echo 1.4.0 >{AGAINST}")
    code, arrived, run = gone_back(pair)
    assert (code, arrived) == (1, [False, False])
    assert (run["outcome"], run["exit_code"]) == ("reverted", 1)
    assert waves(pair, run["run"]) == [["lab-1"], ["lab-2"]]
    assert pair.versions() == ["2.0.0"] * 2
    assert pair.digests() == before

    pair.sh("lab-2", f"rm {AGAINST}")
    code, arrived, run = gone_back(pair)
    assert (code, arrived) == (0, [True, True])
    assert (run["outcome"], waves(pair, run["run"])) == ("done", [["lab-1"], ["lab-2"]])
    assert pair.versions() == ["1.4.0"] * 2


RECORDS = "/var/lib/uplift/releases/testapp"
NEWEST = f"$(ls -d {RECORDS}/* | tail -n 1)"
DAMAGE = {
    "gone": (f"mv {NEWEST} /root/record", f"mv /root/record {RECORDS}/$(cat /root/id)"),
    "cut off": (
        f"cp {NEWEST}/release.json /root/record && truncate -s 99 {NEWEST}/release.json",
        f"mv /root/record {NEWEST}/release.json",
    ),
}
# A container that was used again has the label of an earlier release: its image tells it then.
SAYS = {
    "gone": ("which serves, is gone", "is not the image of its release"),
    "cut off": ("cannot be read",),
}


@pytest.mark.slow
def test_a_revert_whose_way_back_was_damaged_is_refused_while_nothing_is_touched(
    pair: Fleet,
) -> None:
    pair.begin()
    before = pair.digests()
    pair.want("2.0.0-uv")
    options = ("--no-gate", "--waves", "1,1", "--on-failure", "revert-fleet")
    for name, (damage, repair) in DAMAGE.items():
        pair.sh("lab-2", f"rm -rf /root/record; basename {NEWEST} >/root/id; {damage}")
        code, result, errors = pair.rollout(*options)
        assert (code, result["outcome"]) == (1, "refused"), (errors, result)
        assert "lab-2: revert-fleet cannot put back Applications" in result["stopped"]
        assert any(words in result["stopped"] for words in SAYS[name]), result
        assert "lab-1:" not in result["stopped"]
        assert [one["step"] for one in result["hosts"]] == ["waiting"] * 2
        assert pair.digests() == before
        pair.sh("lab-2", repair)
    code, result, errors = pair.rollout(*options)
    assert (code, result["outcome"]) == (0, "done"), (errors, result)


@pytest.mark.slow
def test_a_first_release_promises_no_way_back_that_is_not_there(pair: Fleet) -> None:
    pair.clear()
    pair.want("2.0.0-uv")
    words = ("--no-gate", "--waves", "1,1", "--on-failure", "revert-fleet")
    code, result, errors = pair.rollout(*words)
    assert (code, result["outcome"]) == (1, "refused"), (errors, result)
    assert "testapp: there was no release before" in result["stopped"]
    assert pair.running() == ["", ""]
    code, result, errors = pair.rollout(*words, "--partial-revert")
    assert (code, pair.versions()) == (0, ["2.0.0"] * 2), (errors, result)
