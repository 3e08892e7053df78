"""A fleet of six hosts, in a lab of its own: waves of one, two and three, there and back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.lab.app_box import REPOSITORY, build
from tests.lab.conftest import RUN_LIMIT, SCRIPTS, UP_LIMIT, Run, run, ssh_words
from tests.lab.fleet_box import GATE, Fleet, serving
from tests.lab.rollout_box import lines, steps

WAVES = [["lab-1"], ["lab-2", "lab-3"], ["lab-4", "lab-5", "lab-6"]]
NAMES = tuple(name for wave in WAVES for name in wave)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def six(
    lab_name: str,
    uplift: Run,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fleet]:
    """Six hosts with Docker; they are gone afterwards."""
    lab = f"{lab_name}-six"
    within = {**environment, "UPLIFT_LAB": lab}

    def here(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return uplift(*words, **{"env": within, **options})

    def pyinfra(*words: str) -> subprocess.CompletedProcess[str]:
        return run([str(SCRIPTS / "pyinfra"), *words], check=True, env=within)

    def ssh(name: str, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run([*ssh_words(known[name]), command], check=check)

    up = here("lab", "up", "--name", lab, "--hosts", "6", "--json", limit=UP_LIMIT)
    hosts = json.loads(up.stdout)["hosts"]
    known = {host["name"]: host for host in hosts}
    try:
        build(pyinfra, here, lab, ssh)
        fleet = Fleet(tmp_path_factory.mktemp("project"), here, ssh, hosts, within, NAMES)
        fleet.prepare(pyinfra)
        yield fleet
    finally:
        here("lab", "down", lab, limit=RUN_LIMIT)


@pytest.fixture
def old(six: Fleet) -> Fleet:
    """Every host serves what Poetry built."""
    six.begin()
    return six


def journal(fleet: Fleet) -> list[dict[str, Any]]:
    """Return the records of the last run."""
    last = max(fleet.folder.glob(".uplift/runs/*/journal.jsonl"))
    return lines(last.read_text())


def test_a_good_release_goes_through_the_announced_waves_each_verified_before_the_next(
    old: Fleet,
) -> None:
    old.want("2.0.0-uv")
    with old.prober("lab-1") as first, old.prober("lab-6") as last:
        code, result, errors = old.rollout("--gate", GATE, "--waves", "1,2,3")
    assert (code, result["outcome"]) == (0, "done"), (errors, result)
    assert serving(result) == ["2.0.0-uv"] * 6
    assert old.versions() == ["2.0.0"] * 6
    assert first.failures + last.failures == []

    records = journal(old)
    assert records[0]["request"]["waves"] == WAVES
    found = steps(records)
    for wave, following in zip(WAVES, [*WAVES[1:], []], strict=True):
        passed = max(found.index(f"committed {name}") for name in wave)
        assert all(found.index(f"intent {name}") > passed for name in following)
    gates = [(one["wave"], one["hosts"]) for one in records if one["kind"] == "gate"]
    assert gates == list(enumerate(WAVES, start=1))
    known = f"docker image inspect -f '{{{{index .RepoDigests 0}}}}' {REPOSITORY}:2.0.0-uv"
    digest = old.sh("lab-1", known).partition("@")[2]
    for name in NAMES:
        ledger = lines(old.sh(name, "tail -n 1 /var/lib/uplift/runs/ledger.jsonl"))[-1]
        assert (ledger["run"], ledger["outcome"]) == (result["run"], "done")
        assert set(ledger["hosts"].values()) == {"committed"}
        served = [ledger["serving"][one]["apps"]["testapp"] for one in NAMES]
        assert {one["digest"] for one in served} == {digest}


def test_a_release_that_is_bad_on_the_last_host_is_put_back_on_all_six_by_digest(
    old: Fleet,
) -> None:
    before = old.digests()
    old.want("2.0.0-uv", {"lab-6": "2.1.0-uv"})
    with old.prober("lab-1") as first, old.prober("lab-4") as other:
        code, result, errors = old.rollout(
            "--gate", GATE, "--waves", "1,2,3", "--on-failure", "revert-fleet"
        )
    assert (code, result["outcome"]) == (1, "reverted"), (errors, result)
    assert [one["step"] for one in result["hosts"]] == ["reverted"] * 6
    assert serving(result) == ["1.4.0-poetry"] * 6
    assert old.digests() == before
    assert first.failures + other.failures == []
    # The newest wave first.
    reverted = [one["host"] for one in journal(old) if one["kind"] == "reverted"]
    assert set(reverted[:3]) == set(WAVES[2])
    assert reverted[-1] == "lab-1"
