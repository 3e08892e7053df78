"""Rollouts that put back containers and files, on two hosts: as they were, or said by name."""

from __future__ import annotations

import json
import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.lab.rollout_box import link_project

PROJECT = Path(__file__).parents[2]
DEPLOY, GATE = "tests/lab/back_deploy.py", "tests/lab/back_gate.py"
NAMES = ("lab-1", "lab-2")
GOOD, BAD = "registry:5000/redis:8", "registry:5000/uplift-back:bad"
BEFORE = "fund=false\naudit=false"  # without a newline at its end
LIMIT = 300  # seconds for a moment to come, on a slow machine

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Pair:
    """Two hosts, a project folder, and settings that are carried out on both."""

    folder: Path
    uplift: Run
    ssh: Run
    environment: Mapping[str, str]

    def sh(self, host: str, script: str) -> str:
        """Run a script as root."""
        return str(self.ssh(host, f"sudo sh -c {shlex.quote(script)}").stdout).strip()

    def want(self, image: str, **fields: Any) -> None:
        """Write settings."""
        box = {"name": "box", "image": image, "environment": {"PORT": "7001"}, **fields}
        box |= {"health": {"stable": 1}, "stop_timeout": 1}
        registry = "http://127.0.0.1:7001/"
        auth = {"username": "me", "password": {"secret": "back/npm"}}
        anna = {
            "user": "anna",
            "npmrc": {"registry": registry, "auth": [{"url": registry, **auth}]},
            "pip": {"index_url": f"{registry}simple"},
        }
        given = {"container": box, "clients": {"users": [anna]}}
        (self.folder / "back.json").write_text(json.dumps(given))

    def words(self, *more: str) -> list[str]:
        """Return the words of a rollout."""
        limits = [word for name in NAMES for word in ("--limit", name)]
        options = ["--waves", "1,1", "--gate", GATE, "-y", "--json"]
        return ["rollout", "inventories/lab.py", DEPLOY, *limits, *options, *more]

    def call(self, *words: str) -> tuple[int, dict[str, Any], str]:
        """Run `uplift`; return exit code, the result, and what was printed beside it."""
        done = self.uplift(*words, check=False, cwd=self.folder, env=self.environment)
        found = [line for line in done.stdout.splitlines() if '"kind": "result"' in line]
        return done.returncode, json.loads(found[-1]) if found else {}, done.stderr

    def rollout(self, *more: str) -> tuple[int, dict[str, Any], str]:
        """Roll out."""
        return self.call(*self.words(*more))

    def runs(self) -> set[Path]:
        """Return the journals of all runs."""
        return set(self.folder.glob(".uplift/runs/*/journal.jsonl"))

    def journal(self, after: Set[Path] = frozenset()) -> list[dict[str, Any]]:
        """Return the records of the last run; nothing while it is one of those before."""
        last = max(self.runs() - after, default=None)
        lines = last.read_text().splitlines() if last else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def state(self, host: str) -> list[str]:
        """Return what these tests change on a host: container, bytes, owners, modes."""
        return self.sh(
            host,
            "docker inspect -f '{{.Image}} {{.State.Status}} {{json .Config.Env}}' box;"
            "cd /home/anna; stat -c '%n %a %U:%G' .npmrc .config/pip/pip.conf 2>&1;"
            "sha256sum .npmrc .config/pip/pip.conf 2>&1;"
            "cat /var/lib/uplift/clients.json | sha256sum",
        ).splitlines()

    def kept(self, run: str) -> list[str]:
        """Return what the hosts still keep of a run beside its records."""
        return [self.sh(one, f"ls -d /var/lib/uplift/runs/{run} 2>/dev/null || :") for one in NAMES]


@pytest.fixture(scope="module")
def whole(
    hosts: list[dict[str, Any]],
    lab_name: str,
    environment: dict[str, str],
    uplift: Run,
    ssh: Run,
    pyinfra: Run,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    """The hosts with Docker, a good image and a bad one, and a project folder of their own."""
    folder = tmp_path_factory.mktemp("project")
    link_project(folder)
    uplift("lab", "image", "redis", "--name", lab_name)
    limits = [word for name in NAMES for word in ("--limit", name)]
    pyinfra("inventories/lab.py", "deploys/docker.py", *limits, "-y")
    known = {**environment, "UPLIFT_SECRET_BACK_NPM": secrets.token_hex(12)}
    pair = Pair(folder, uplift, ssh, known)
    build = f"printf 'FROM {GOOD}\\nLABEL bad=yes\\n' | docker build -q -t {BAD} -"
    pair.sh("lab-1", f"{build} && docker push -q {BAD}")
    yield pair
    for name in NAMES:
        pair.sh(name, _CLEAR)


_CLEAR = (
    "docker rm -f box >/dev/null 2>&1; rm -rf /var/lib/uplift/containers/box"
    " /var/lib/uplift/clients.json /etc/uplift-test-against;"
    "docker volume rm -f uplift-back >/dev/null 2>&1;"
    "userdel -rf anna >/dev/null 2>&1; :"
)


@pytest.fixture
def pair(whole: Pair) -> Pair:
    """Both hosts run the good image; anna has a file of root's; lab-2 looks for the bad one."""
    for name in NAMES:
        npmrc = f"printf {shlex.quote(BEFORE)} >/home/anna/.npmrc"
        rights = "chmod 0640 /home/anna/.npmrc; chown anna:daemon /home/anna/.npmrc"
        whole.sh(name, f"{_CLEAR}; useradd -m -s /bin/sh anna; {npmrc}; {rights}")
        run = "docker run -d --name box --restart no -e PORT=7000"
        whole.sh(name, f"{run} {GOOD} redis-server --save ''; touch /etc/uplift-test-against")
    whole.sh("lab-1", "rm /etc/uplift-test-against")
    return whole


def test_revert_fleet_brings_back_the_container_and_each_file_byte_for_byte(pair: Pair) -> None:
    before = {name: pair.state(name) for name in NAMES}
    assert any(".npmrc 640 anna:daemon" in line for line in before["lab-1"])
    pair.want(BAD)
    code, result, errors = pair.rollout("--on-failure", "revert-fleet")
    assert (code, result["outcome"]) == (1, "reverted"), (errors, result)
    assert {name: pair.state(name) for name in NAMES} == before
    steps = [(one["kind"], one["host"]) for one in pair.journal() if "revert" in one["kind"]]
    assert steps == [
        ("reverting", "lab-2"),
        ("reverted", "lab-2"),
        ("reverting", "lab-1"),
        ("reverted", "lab-1"),
    ]
    (said,) = [one["put_back"] for one in pair.journal() if one["kind"] == "reverted"][1:]
    assert any("/home/anna/.npmrc" in line for line in said)
    assert any(line.startswith("box: ") for line in said)
    assert pair.kept(result["run"]) == ["", ""]


@pytest.mark.slow
def test_a_file_that_somebody_changed_meanwhile_stays_and_is_named(pair: Pair) -> None:
    before = pair.state("lab-2")
    pair.want(BAD)
    code, result, errors = pair.rollout("--on-failure", "hold")
    assert (code, result["outcome"]) == (3, "held"), (errors, result)
    keeps = pair.sh("lab-1", f"find /var/lib/uplift/runs/{result['run']} -type f -perm /077")
    assert keeps == ""
    assert pair.sh("lab-1", f"stat -c %a /var/lib/uplift/runs/{result['run']}") == "700"
    pair.sh("lab-1", "cd /home/anna; cp -a .npmrc written; echo '# by hand' >>.npmrc")
    changed = pair.sh("lab-1", "sha256sum /home/anna/.npmrc")
    code, result, errors = pair.call("abort", "--revert", "--json")
    assert (code, result["outcome"]) == (3, "held"), (errors, result)
    said = {one["name"]: (one["step"], one["words"]) for one in result["hosts"]}
    assert said["lab-1"][0] == "not-reverted"
    assert said["lab-1"][1].startswith("/home/anna/.npmrc: somebody changed it after the run")
    assert "container box" not in said["lab-1"][1]
    assert said["lab-2"][0] == "reverted"
    assert pair.state("lab-2") == before
    assert pair.sh("lab-1", "sha256sum /home/anna/.npmrc") == changed
    assert pair.sh("lab-1", "cat /home/anna/.config/pip/pip.conf 2>&1 || :").endswith("directory")
    # Whoever gives the file back as the run had written it can go on.
    pair.sh("lab-1", "cd /home/anna; cp -a written .npmrc")
    code, result, errors = pair.call("abort", "--revert", "--json")
    assert (code, result["outcome"]) == (1, "reverted"), (errors, result)


@pytest.mark.slow
def test_a_revert_that_was_killed_is_gone_on_with(pair: Pair) -> None:
    before = {name: pair.state(name) for name in NAMES}
    pair.want(BAD)
    known = pair.runs()
    child = subprocess.Popen(
        [str(PROJECT / ".venv/bin/uplift"), *pair.words("--on-failure", "revert-fleet")],
        cwd=pair.folder,
        env=pair.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + LIMIT
    while not any(one["kind"] == "reverting" for one in pair.journal(after=known)):
        assert time.monotonic() < end and child.poll() is None
        time.sleep(0.2)
    time.sleep(2)  # in the middle of it, wherever that is
    child.send_signal(signal.SIGKILL)
    child.wait()
    code, result, errors = pair.call("resume", "--json")
    assert (code, result["outcome"]) == (1, "reverted"), (errors, result)
    assert {name: pair.state(name) for name in NAMES} == before


@pytest.mark.slow
def test_secret_files_of_a_container_come_back_with_it(pair: Pair) -> None:
    wanted = {"secrets": {"token": {"secret": "back/token"}}}
    tokens = [secrets.token_hex(12) for _ in "12"]
    seen = "cat /etc/uplift/secrets/box/token; docker exec box cat /run/secrets/token"
    pair.want(GOOD, **wanted)
    pair.environment = {**pair.environment, "UPLIFT_SECRET_BACK_TOKEN": tokens[0]}
    code, _, errors = pair.rollout("--on-failure", "hold")
    assert code == 0, errors
    pair.want(BAD, **wanted)
    pair.environment = {**pair.environment, "UPLIFT_SECRET_BACK_TOKEN": tokens[1]}
    code, result, errors = pair.rollout("--on-failure", "revert-fleet")
    assert (code, result["outcome"]) == (1, "reverted"), (errors, result)
    assert [pair.sh(name, seen).count(tokens[0]) for name in NAMES] == [2, 2]
    # As a container that is as it should be: nothing is changed for the settings of before.
    pair.want(GOOD, **wanted)
    pair.environment = {**pair.environment, "UPLIFT_SECRET_BACK_TOKEN": tokens[0]}
    code, result, errors = pair.rollout("--on-failure", "hold")
    assert code == 0, errors
    assert [one["changed"] for one in result["hosts"]] == [[], []]


@pytest.mark.slow
def test_a_container_that_the_run_made_goes_again(pair: Pair) -> None:
    for name in NAMES:
        pair.sh(name, "docker rm -f box")
    pair.want(BAD)
    code, result, errors = pair.rollout("--on-failure", "revert-fleet")
    assert (code, result["outcome"]) == (1, "reverted"), (errors, result)
    there = "docker ps -aq --filter name=box; ls -d /home/anna/.config/pip/pip.conf 2>&1"
    assert [pair.sh(name, f"{there} || :").count("\n") for name in NAMES] == [0, 0]


@pytest.mark.slow
def test_another_image_on_data_is_refused_before_the_start_and_left_when_that_is_wanted(
    pair: Pair,
) -> None:
    mounts = [{"volume": "uplift-back", "target": "/data"}]
    pair.want(GOOD, stateful=True, mounts=mounts)
    assert pair.rollout("--on-failure", "hold")[0] == 0
    pair.want(BAD, stateful=True, mounts=mounts)
    code, result, errors = pair.rollout("--on-failure", "revert-fleet")
    assert (code, result["outcome"]) == (1, "refused"), errors
    assert "cannot put back" in result["stopped"]
    assert "another image on the data of box" in result["stopped"]
    assert all("good" not in line for line in pair.state("lab-1"))
    code, result, errors = pair.rollout("--on-failure", "revert-fleet", "--partial-revert")
    assert (code, result["outcome"]) == (3, "held"), errors
    said = {one["name"]: one["words"] for one in result["hosts"]}
    assert all("container box: another image on the data" in words for words in said.values())
