"""`uplift rollback` over two hosts, wave by wave: good, and put back when a test fails."""

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
