"""One application on two hosts: what is done once for both, and what at the same time on each."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.lab.app_box import DRAIN, Site
from tests.lab.container_box import PROJECT
from tests.lab.prober import WebSocket

pytest_plugins = ["tests.lab.app_box"]
pytestmark = pytest.mark.slow

PYINFRA = str(Path(sys.executable).parent / "pyinfra")
LIMIT = 600  # seconds, on a slow machine
DATA = "uplift-test-data"
TIMES = "/run/uplift-test-times"
# As the function of the switch's journal, which tells the time beside it.
POINT = f"""
point() {{
  printf '%s\\n' "$1" >>"$journal" && sync "$journal"
  echo "$(date +%s%N) $1" >>{TIMES}
}}
"""


@dataclass
class Pair:
    """Two hosts with the application."""

    first: Site
    second: Site
    environment: dict[str, str]

    @property
    def sites(self) -> tuple[Site, Site]:
        """Return both."""
        return self.first, self.second

    def versions(self) -> list[str]:
        """Ask each through its HAProxy."""
        return [one.version() for one in self.sites]

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a run of pyinfra."""
        return subprocess.Popen(
            [PYINFRA, *words],
            cwd=PROJECT,
            env={**self.environment, **self.first.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def words(self, tag: str, **fields: Any) -> list[str]:
        """Return the words that deploy a version on both in one run."""
        words = self.first.words(tag, **fields)
        return [*words, "--limit", self.second.name, "--data", f"the_point={POINT}"]


def ended(run: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a run's end; return its exit code and what it said."""
    said, _ = run.communicate(timeout=LIMIT)
    return run.returncode, said


@pytest.fixture
def pair(box: Site, hosts: list[dict[str, Any]], environment: dict[str, str]) -> Iterator[Pair]:
    """Both hosts, on which the application never was."""
    host = hosts[1]
    second = replace(box, name=host["name"], address=host["address"], port=int(host["ports"]["80"]))
    box.pyinfra("inventories/lab.py", "deploys/docker.py", "--limit", second.name, "-y")
    it = Pair(box, second, environment)
    for one in it.sites:
        one.clean()
        one.sh(f"rm -f {TIMES}")
    yield it
    for one in it.sites:
        one.clean()
        one.sh(f"docker volume rm {DATA}; rm -f {TIMES}", check=False)


def lines(box: Site) -> list[str]:
    """What the migrations wrote."""
    return box.sh(f"cat /var/lib/docker/volumes/{DATA}/_data/jobs 2>/dev/null || :").split()


def refusals(said: str) -> list[str]:
    """Return the hosts where a run was told that another one was there before it."""
    words = r"a change is still running|another run has changed it since this one looked"
    return re.findall(rf"^ *\[(\S+)\].*(?:{words})", said, flags=re.MULTILINE)


def jobs(command: str) -> dict[str, Any]:
    """Settings with a migration, which writes a line to a volume."""
    return {
        "mounts": [{"volume": DATA, "target": "/data"}],
        "jobs": [{"name": "migrate", "command": ["python3", "/server.py", "job", command]}],
    }


def test_two_controllers_at_once_run_a_migration_once_for_the_whole_inventory(
    pair: Pair, tmp_path: Path
) -> None:
    names = [one.name for one in pair.sites]

    def call(tag: str, folder: str) -> list[str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        block = pair.first.block(tag, **jobs("work-15"))
        inventory = pair.first.inventory(tmp_path / folder / "lab.py", block, names=names)
        return [inventory, "deploys/app.py", "-y"]

    code, said = ended(pair.begin(*call("1.4.0-poetry", "a")))
    assert (code, pair.versions()) == (0, ["1.4.0"] * 2), said
    assert [lines(one) for one in pair.sites] == [["1.4.0"], []]

    runs = [pair.begin(*call("2.0.0-uv", folder)) for folder in ("a", "b")]
    done = [ended(one) for one in runs]
    # Once, on the host that runs the jobs, whatever became of the second run.
    assert [lines(one) for one in pair.sites] == [["1.4.0", "2.0.0"], []], done
    assert pair.versions() == ["2.0.0"] * 2, done
    # Each host was switched by one of them; where the other came second, it was refused.
    assert [one.outcomes() for one in pair.sites] == [["good", "good"]] * 2, done
    assert len(refused := [line for _, said in done for line in refusals(said)]) <= 2, done
    assert len(set(refused)) == len(refused), done
    logs = pair.first.sh("cat /var/lib/uplift/apps/testapp.jobs/migrate-*/log").splitlines()
    assert sorted(logs) == ["job 1.4.0 work-15", "job 2.0.0 work-15"]
    assert "log" not in pair.second.sh("ls /var/lib/uplift/apps/testapp.jobs 2>/dev/null || :")
    for code, said in done:
        assert (code == 0) is (refusals(said) == []), said
    # And there is nothing left to do, for either.
    code, said = ended(pair.begin(*call("2.0.0-uv", "b"), "--json"))
    operations = json.JSONDecoder().raw_decode(said[said.index("{") :])[0]["results"]["operations"]
    assert (code, [one["name"] for one in operations if one["success"]]) == (0, [])


def test_connections_of_the_hosts_of_one_wave_are_drained_side_by_side(pair: Pair) -> None:
    code, said = ended(pair.begin(*pair.words("1.4.0-poetry")))
    assert code == 0, said
    for one in pair.sites:
        one.sh(f"rm {TIMES}")
    sockets = [WebSocket(one.address, one.port, timeout=LIMIT) for one in pair.sites]
    run = pair.begin(*pair.words("2.0.0-uv", hold=1, drain={**DRAIN, "seconds": 200}))
    # The connections end only when each host has begun to wait for its own.
    for one in pair.sites:
        while "hold before" not in one.sh(f"cat {TIMES} 2>/dev/null || :"):
            assert run.poll() is None, ended(run)
            time.sleep(1)
    for socket in sockets:
        assert socket.say("a") == "1.4.0:a"
        socket.close()
    code, said = ended(run)
    assert (code, pair.versions()) == (0, ["2.0.0"] * 2), said
    begun, over = [], []
    for one in pair.sites:
        times = {
            point: int(at)
            for at, _, point in (
                line.partition(" ") for line in one.sh(f"cat {TIMES}").splitlines()
            )
        }
        begun.append(times["hold before"])
        over.append(times["hold after"])
    assert max(begun) < min(over)
    assert "still open" not in said
