"""Plans on real hosts: what the run then changes, nothing written, bound to what was seen."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.rollout_box import link_project

from uplift.rollout.child import State, run
from uplift.spec.errors import Exit
from uplift.spec.rollout.plan import Plan, load, stale

PROJECT = Path(__file__).parents[2]
SITE = ("inventories/lab.py", "deploys/uv.py", "deploys/clients.py")
KEY = "UPLIFT_FINGERPRINT_KEY"
TREE = (
    "sudo find /etc /opt /root /home /usr/local /var/lib/uplift -xdev "
    "-printf '%p %y %m %U %l %s %T@\\n' | sort"
)

Make = Callable[..., Plan]


@pytest.fixture
def make(uplift: Any, tmp_path: Path) -> Make:
    """Plan for lab-2, keep the plan, and check the exit code against it."""

    def call(*more: str, deploys: tuple[str, ...] = SITE[1:]) -> Plan:
        file = tmp_path / "plan.json"
        words = [SITE[0], *deploys, "--limit", "lab-2", "-o", str(file), *more]
        done = uplift("plan", *words, check=False)
        plan = load(file.read_text(), "plan.json")
        assert done.returncode == plan.exit_code, done.stderr
        return plan

    return call


def lines(plan: Plan) -> list[str]:
    return [line for host in plan.hosts for step in host.steps for line in step.lines]


@pytest.mark.parametrize(
    ("deploy", "drift", "part", "reverts"),
    [
        ("clients", "chmod 0644 /root/.netrc", "clients.ClientFiles: files.", True),
        pytest.param(
            "uv", "rm /usr/local/bin/uvx", "uv.Installed: links.uvx", True, marks=pytest.mark.slow
        ),
    ],
    ids=["clients", "uv"],
)
def test_a_plan_says_what_the_run_then_changes_writes_nothing_and_names_what_moved(
    make: Make, pyinfra: Any, ssh: Any, deploy: str, drift: str, part: str, reverts: bool
) -> None:
    deploys = (f"deploys/{deploy}.py",)
    words = [SITE[0], *deploys, "-y", "--limit", "lab-2"]
    pyinfra(*words)
    ssh("lab-2", f"sudo {drift}")
    before = ssh("lab-2", TREE).stdout
    plan = make(deploys=deploys)
    assert ssh("lab-2", TREE).stdout == before
    assert plan.exit_code is Exit.PENDING
    assert [(step.effect, step.reverts) for step in plan.hosts[0].steps] == [("change", reverts)]

    done = pyinfra(*words)
    # pyinfra pads the names of hosts to the longest one of the inventory.
    said = [line.partition("] ")[2].strip() for line in done.stderr.splitlines()]
    assert lines(plan) and [line for line in said if line in lines(plan)] == lines(plan)

    # The run moved what it repaired, and nothing else.
    after = make(deploys=deploys)
    assert after.exit_code is Exit.DONE
    now = {key: read.parts for key, read in after.hosts[0].reads.items()}
    assert part in " ".join(stale(plan, "lab-2", now))
    assert stale(after, "lab-2", now) == []


@pytest.mark.slow
def test_two_plans_are_equal_until_somebody_changes_the_host_and_then_the_file_is_named(
    make: Make, ssh: Any
) -> None:
    plan = make()
    assert make().hosts == plan.hosts
    ssh("lab-2", "echo '# by hand' | sudo tee -a /root/.netrc")
    try:
        now = {key: read.parts for key, read in make().hosts[0].reads.items()}
    finally:
        ssh("lab-2", "sudo sed -i '/# by hand/d' /root/.netrc")
    (line,) = stale(plan, "lab-2", now)
    assert line.startswith("lab-2: clients.ClientFiles: ")
    assert ".netrc" in line


@pytest.mark.slow
def test_a_rollout_by_plan_refuses_a_host_that_moved_and_carries_out_a_plan_that_holds(
    make: Make, uplift: Any, ssh: Any, tmp_path: Path
) -> None:
    words = ["rollout", "--plan", str(tmp_path / "plan.json"), "--no-gate", "-y"]
    broken = "sudo rm -f /usr/local/bin/uvx; sudo chmod 0644 /root/.netrc"
    ssh("lab-2", f"{broken}; sudo rm -f /usr/local/bin/uv")
    make("--waves", "1")
    ssh("lab-2", "echo '# by hand' | sudo tee -a /root/.netrc")
    refused = uplift(*words, check=False)
    assert refused.returncode == Exit.STALE, refused.stderr
    assert ".netrc" in refused.stdout + refused.stderr
    assert ssh("lab-2", "ls /usr/local/bin/uv", check=False).returncode != 0
    ssh("lab-2", "sudo sed -i '/# by hand/d' /root/.netrc")
    make("--waves", "1")
    done = uplift(*words, "--on-failure", "hold", check=False)
    assert done.returncode == Exit.DONE, done.stderr
    assert make().exit_code is Exit.DONE


@pytest.mark.slow
def test_a_plan_of_one_machine_is_carried_out_on_another_that_has_the_same_key_alone(
    uplift: Any, pyinfra: Any, ssh: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    here, there = tmp_path / "pull-request", tmp_path / "main"
    for folder in (here, there):
        folder.mkdir()
        link_project(folder)
        # What a checkout on another machine does not have.
        (folder / ".uplift/fingerprint.key").unlink(missing_ok=True)
    same, other = ({**environment, KEY: secrets.token_hex(32)} for _ in range(2))
    pyinfra(SITE[0], SITE[2], "-y", "--limit", "lab-2")
    ssh("lab-2", "sudo chmod 0644 /root/.netrc")
    planning = ("plan", SITE[0], SITE[2], "--limit", "lab-2", "-o", "plan.json")
    planned = uplift(*planning, check=False, cwd=here, env=same)
    assert planned.returncode == Exit.PENDING, planned.stderr
    shutil.copy(here / "plan.json", there)
    words = ("rollout", "--plan", "plan.json", "--no-gate", "--on-failure", "hold", "-y")
    for env in (environment, other):
        refused = uplift(*words, check=False, cwd=there, env=env)
        assert refused.returncode == Exit.STALE, refused.stderr
        assert ssh("lab-2", "sudo stat -c %a /root/.netrc").stdout.strip() == "644"
    done = uplift(*words, check=False, cwd=there, env=same)
    assert done.returncode == Exit.DONE, done.stderr
    assert ssh("lab-2", "sudo stat -c %a /root/.netrc").stdout.strip() == "600"


@pytest.mark.slow
def test_an_operation_that_finds_another_host_than_the_plan_saw_changes_nothing(
    make: Make, ssh: Any, environment: dict[str, str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(PROJECT)
    ssh("lab-2", "sudo rm -f /usr/local/bin/uvx; sudo chmod 0644 /root/.netrc")
    plan = make()
    ssh("lab-2", "echo '# by hand' | sudo tee -a /root/.netrc")
    expect = {host.name: {k: it.parts for k, it in host.reads.items()} for host in plan.hosts}
    found = run(
        SITE[0], SITE[1:], ["lab-2"], log=tmp_path / "log", expect=expect, environment=environment
    ).hosts["lab-2"]
    # What came before it is as the plan saw it, and done; what the run itself changes is no drift.
    assert (found.state, len(found.changed)) == (State.STALE, 1)
    assert "clients.ClientFiles" in found.text
    assert ".netrc" in found.text
    assert "# by hand" in ssh("lab-2", "sudo cat /root/.netrc").stdout
    ssh("lab-2", "sudo sed -i '/# by hand/d' /root/.netrc")
    after = run(
        SITE[0], SITE[1:], ["lab-2"], log=tmp_path / "log", expect={}, environment=environment
    )
    assert after.ok and not (tmp_path / "log.expected").exists()


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[Path]:
    """A deploy file that says a secret: the scan must find it."""
    file = tmp_path / "leak.py"
    file.write_text(
        "from pyinfra.api.operation import operation\n"
        "from uplift.operations import script\n"
        "from uplift.secrets import SecretRef, resolve\n"
        "@operation()\n"
        "def leak():\n"
        "    ref = SecretRef(secret='plan/canary', generate=True)\n"
        "    script.announce('leak: ' + resolve(ref).reveal())\n"
        "    yield script.run('true')\n"
        "leak(name='A leak')\n"
    )
    yield file


@pytest.mark.slow
def test_no_secret_is_in_a_plan_and_one_that_was_planted_is_found(
    make: Make, ssh: Any, planted: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    ssh("lab-2", "sudo rm -f /root/.netrc")
    make()
    leaky = make(deploys=(str(planted),))
    secrets = json.loads((PROJECT / ".uplift/lab-secrets.json").read_text())
    values = list(_texts(secrets))
    assert len(values) > 3

    def found(text: str) -> list[str]:
        return [value for value in values if len(value) > 7 and value in text]

    assert found(leaky.model_dump_json())
    plan = make()
    assert plan.exit_code is Exit.PENDING
    assert found(plan.model_dump_json()) == []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
