"""Containers on a real host: applied, drifted, broken, killed at every step."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from uplift.spec.container.plan import STEPS

# Minutes of starts, stops and waits, and no deploy stands on it yet.
pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
IMAGE = "registry:5000/redis:8"
SERVER = ["redis-server", "--appendonly", "yes", "--appendfsync", "always"]
BARE = "redis-server --bind 0.0.0.0 --protected-mode no --save '' --dir /tmp"
Run = Callable[..., subprocess.CompletedProcess[str]]

DEPLOY = """
import json, os
from pathlib import Path
from uplift.operations import container, container_script
from uplift.spec.container import Container
given = json.loads(Path({file!r}).read_text())
os.environ.update(given["environment"])
container_script.MARK += given["mark"]
container.converged(
    name="Containers",
    containers=[Container.parse(block, path="containers") for block in given["blocks"]],
)
"""

# A second function of the same name: it does the same, and then something once at one point.
AT = """
mark() {{
  printf '%s\\n' "$1" >>"$dir/journal"; sync "$dir/journal"
  if [ "$1" = {point} ] && [ ! -e /run/uplift-test-point ]; then
    : >/run/uplift-test-point
    {what}
  fi
}}
"""
KILL = "systemctl kill --signal=KILL 'uplift-container-*'; sleep 30"


def redis(**fields: Any) -> dict[str, Any]:
    """A Redis that keeps each write, on a volume."""
    return {
        "name": "redis",
        "image": IMAGE,
        "command": SERVER,
        "ports": [{"container": 6379}],
        "mounts": [{"volume": "uplift-test", "target": "/data"}],
        "stateful": True,
        "stop_timeout": 5,
        "health": {"tcp": 6379, "stable": 1, "start_period": 10},
        **fields,
    }


@dataclass
class Box:
    """One host, and containers applied to it."""

    name: str
    ssh: Run
    pyinfra: Run
    folder: Path
    environment: dict[str, str]
    secrets: dict[str, str] = field(default_factory=dict)

    def sh(self, script: str, *, check: bool = True) -> str:
        done = self.ssh(self.name, f"sudo sh -c {shlex.quote(script)}", check)
        return str(done.stdout).strip()

    def words(self, *blocks: dict[str, Any], mark: str = "") -> list[str]:
        given = {"blocks": blocks, "mark": mark, "environment": self.secrets}
        file, data = self.folder / "deploy.py", self.folder / "given.json"
        data.write_text(json.dumps(given))
        file.write_text(DEPLOY.format(file=str(data)))
        return ["inventories/lab.py", str(file), "--limit", self.name, "-y"]

    def apply(self, *blocks: dict[str, Any], mark: str = "") -> bool:
        """Apply containers and tell whether anything changed."""
        done = self.pyinfra(*self.words(*blocks, mark=mark), "--json")
        (operation,) = json.loads(done.stdout)["results"]["operations"]
        assert operation["success"] + operation["no_change"]
        return not operation["no_change"]

    def said(self, *blocks: dict[str, Any], ok: bool = True) -> str:
        """Apply containers, and return all that was said."""
        done = self.pyinfra(*self.words(*blocks), "-vvv", check=False)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return str(done.stdout + done.stderr)

    def broken(self, block: dict[str, Any]) -> list[str]:
        """Apply a container that must fail, and return what the host said."""
        done = self.pyinfra(*self.words(block), check=False)
        assert done.returncode != 0, done.stdout + done.stderr
        lines = (done.stdout + done.stderr).splitlines()
        mark = "] uplift: redis: "
        return [line.partition(mark)[2] for line in lines if mark in line]

    def started(self) -> str:
        return self.sh('docker inspect -f "{{.Id}} {{.State.StartedAt}}" redis')

    def get(self) -> str:
        return self.sh("docker exec redis redis-cli get key")

    def clean(self) -> None:
        self.sh(
            "docker ps -aq --filter name=redis --filter label=io.uplift.managed |"
            "  xargs -r docker rm -f; docker rm -f redis other;"
            "docker volume rm uplift-test; rm -rf /var/lib/uplift/containers/redis"
            "  /etc/uplift/secrets/redis* /run/uplift-test-*; systemctl reset-failed docker",
            check=False,
        )


@pytest.fixture(scope="module")
def host(
    hosts: list[dict[str, Any]],
    lab_name: str,
    environment: dict[str, str],
    uplift: Run,
    ssh: Run,
    pyinfra: Run,
    tmp_path_factory: pytest.TempPathFactory,
) -> Box:
    """A host with Docker, and a registry that has the image."""
    name = [host["name"] for host in hosts if host["kind"] == "host"][-1]
    uplift("lab", "image", "redis", "--name", lab_name)
    pyinfra("inventories/lab.py", "deploys/docker.py", "--limit", name, "-y")
    return Box(name, ssh, pyinfra, tmp_path_factory.mktemp("container"), environment)


@pytest.fixture
def box(host: Box) -> Iterator[Box]:
    """A host without containers of these tests."""
    host.clean()
    host.secrets = {}
    yield host
    host.clean()


@pytest.fixture
def running(box: Box) -> Box:
    """A Redis with a key."""
    box.apply(redis())
    assert box.sh("docker exec redis redis-cli set key kept") == "OK"
    return box


def alone(box: Box) -> None:
    """Nothing is left of a replacement, and one container alone is on the volume."""
    there = "docker ps -a --filter volume=uplift-test --format '{{.Names}}'"
    assert box.sh(there) == "redis"
    left = "ls -d /var/lib/uplift/containers/redis/journal /etc/uplift/secrets/redis--previous"
    assert box.sh(f"{left} 2>/dev/null", check=False) == ""


def test_applied_twice_it_changes_once_and_nothing_is_touched(box: Box) -> None:
    block = redis(
        environment={"A": "b c"},
        ports=[{"container": 6379}, {"container": 53, "host": 5353, "protocol": "udp"}],
        tmpfs={"/scratch": "size=1m,noexec"},
        networks=[{"name": "uplift-test", "aliases": ["kv"]}, {"name": "uplift-test-2"}],
        hostname="cache",
        working_dir="/data",
        restart="on-failure:3",
        ulimits={"nofile": {"soft": 500, "hard": 1000}},
        cap_add=["NET_BIND_SERVICE"],
        cap_drop=["NET_RAW"],
        no_new_privileges=True,
        init=True,
        extra_hosts={"elsewhere": "10.1.2.3"},
        labels={"team": "x y"},
        logging={"driver": "local", "max_size": "5m"},
        stop_signal="SIGTERM",
    )
    assert box.apply(block) is True
    before, log = box.started(), box.sh("docker logs redis 2>&1 | wc -l")
    assert box.apply(block) is False
    assert (box.started(), box.sh("docker logs redis 2>&1 | wc -l")) == (before, log)
    box.sh("docker rm -f redis; docker network rm uplift-test uplift-test-2")


@pytest.mark.parametrize(
    "drift",
    [
        "docker rm -f redis",
        "docker stop redis",
        "docker pause redis",
        "docker rename redis elsewhere",
        "docker update --restart=always redis",
        "docker rm -f redis; docker run -d --name redis -v uplift-test:/data "
        f"-p 127.0.0.1:6379:6379 {IMAGE} {' '.join(SERVER)}",
        "docker rm -f redis; docker run -d --name redis --restart=unless-stopped --stop-timeout=5 "
        f"-e A=b -v uplift-test:/data -p 127.0.0.1:6379:6379 {IMAGE} {' '.join(SERVER)}",
        "docker rm -f redis; docker run -d --name redis --restart=unless-stopped --stop-timeout=5 "
        f"-v uplift-test:/data -p 127.0.0.1:6380:6379 {IMAGE} {' '.join(SERVER)}",
        f"docker tag {IMAGE} other; docker rm -f redis; docker run -d --name redis --privileged "
        f"-v uplift-test:/data other {' '.join(SERVER)}",
    ],
)
def test_drift_by_hand_is_repaired_and_the_data_stays(running: Box, drift: str) -> None:
    running.sh(drift)
    assert running.apply(redis()) is True
    assert running.apply(redis()) is False
    assert running.get() == "kept"
    assert running.sh("docker port redis") == "6379/tcp -> 127.0.0.1:6379"
    policy = running.sh("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' redis")
    assert policy == "unless-stopped"
    alone(running)


def test_what_can_be_changed_in_place_does_not_restart_it(running: Box) -> None:
    before = running.started()
    assert running.apply(redis(restart="always")) is True
    assert running.started() == before
    assert running.apply(redis(restart="always")) is False


def test_an_equal_container_that_somebody_else_made_is_left_running(running: Box) -> None:
    running.sh("docker rm -f redis")
    running.sh(
        "docker run -d --name redis --restart=unless-stopped --stop-timeout=5 -v uplift-test:/data "
        f"-p 127.0.0.1:6379:6379 {IMAGE} {' '.join(SERVER)}"
    )
    before = running.started()
    assert running.apply(redis()) is False
    assert running.started() == before


def test_another_image_behind_the_same_tag_is_found_at_the_registry(running: Box) -> None:
    changed = (
        f"docker create --name other {IMAGE} && docker commit -c 'ENV V=2' other {IMAGE} &&"
        f"docker push -q {IMAGE}; docker rm other"
    )
    image = "$(docker inspect -f '{{.Image}}' redis)"
    digest = f"docker image inspect -f '{{{{index .RepoDigests 0}}}}' {image}"
    old = running.sh(digest)
    running.sh(changed)
    try:
        assert "image 8 -> 8 (sha256:" in running.said(redis())
        assert running.sh(digest) != old
        assert running.apply(redis()) is False
        assert running.get() == "kept"
    finally:
        running.sh(f"docker pull -q {old} && docker tag {old} {IMAGE} && docker push -q {IMAGE}")
    # A digest needs no registry's answer, and says the same.
    assert running.apply(redis(image=old)) is True
    assert running.apply(redis()) is False


def test_an_image_that_no_registry_has_is_fine(box: Box) -> None:
    box.sh(f"docker pull -q {IMAGE}; docker create --name other {IMAGE}; docker commit other own:1")
    box.sh("docker rm other")
    assert "own:1 is sha256:" in box.said(redis(image="own:1"))
    assert box.apply(redis(image="own:1")) is False
    box.sh("docker rm -f redis; docker rmi own:1")


BROKEN = {
    "damages its data and exits": (
        {"entrypoint": ["sh", "-c", "rm -rf /data/*; echo the-reason-why; exit 3"]},
        "FAILED at healthy: it ended with exit code 3",
    ),
    "never healthy": (
        {"entrypoint": ["sleep", "1000"], "command": []},
        "FAILED at healthy: its check (tcp) fails port 6379 is closed",
    ),
    "healthy for three seconds": (
        {"entrypoint": ["sh", "-c", f"timeout 3 {BARE}; sleep 1000"]},
        "FAILED at healthy: it was healthy for",
    ),
    "missing mount": (
        {"mounts": [{"source": "/nowhere", "target": "/data"}]},
        "FAILED at create: ",
    ),
    "port taken": ({"ports": [{"container": 6379, "host": 22}]}, "FAILED at start: "),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_release_leaves_the_old_one_serving(running: Box, kind: str) -> None:
    fields, reason = BROKEN[kind]
    health = {"tcp": 6379, "stable": 6, "start_period": 2, "retries": 2}
    lines = running.broken(redis(health=health, **{"command": None, **fields}))
    assert any(reason in line for line in lines[:5]), lines
    # Nothing was down yet when it was not even made.
    words = "the container of before serves again"
    told = [line for line in lines if line.startswith(words)]
    assert told and (kind == "missing mount" or " s" in told[0].removeprefix(words)), lines
    assert running.get() == "kept"
    alone(running)
    assert running.apply(redis()) is False


def test_the_last_lines_of_a_broken_release_are_shown_without_its_secrets(running: Box) -> None:
    running.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": "needle-$x'\"\\-value"}
    block = redis(
        secrets={"password": {"secret": "test/password"}},
        secret_owner=999,
        entrypoint=["sh", "-c", 'echo "the password is $(cat /run/secrets/password)."; exit 1'],
    )
    said = running.said(block, ok=False)
    assert "the password is ********." in said
    assert "needle" not in said
    assert running.apply(redis()) is False


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("registry:5000/redis:none", "the registry has no such image"),
        ("nowhere.invalid/redis:8", "the registry does not answer"),
    ],
)
def test_an_image_that_cannot_be_had_leaves_all_as_it_is(
    running: Box, image: str, reason: str
) -> None:
    before = running.started()
    (line,) = running.broken(redis(image=image))
    assert reason in line and "nothing was touched" in line
    assert running.started() == before


def test_too_little_disk_is_refused_before_anything_stops(running: Box) -> None:
    before = running.started()
    lines = running.broken(redis(free_disk="900t", environment={"A": "b"}))
    assert lines[0].startswith("FAILED at pull: disk: ")
    assert running.started() == before
    alone(running)


def test_a_secret_is_a_file_that_only_its_owner_reads_and_shows_nowhere(box: Box) -> None:
    word = "needle-in-the-container"
    box.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": word}
    block = redis(secrets={"password": {"secret": "test/password"}}, secret_owner=999)
    said = box.said(block)
    assert word not in said
    # The positive control: it is where it shall be.
    file = "/etc/uplift/secrets/redis/password"
    assert box.sh(f"cat {file}; stat -c ' %a %u' {file}") == f"{word} 400 999"
    assert box.sh("docker exec -u 999 redis cat /run/secrets/password") == word
    assert word not in box.sh("docker inspect redis; docker logs redis 2>&1")
    left = box.sh(f"grep -rl {word} /var/lib/uplift", check=False)
    assert left == ""
    assert box.apply(block) is False
    for drift in (f"echo x >{file}", f"chmod 644 {file}; touch {file}2"):
        box.sh(drift)
        assert box.apply(block) is True
        assert box.apply(block) is False
        assert box.sh(f"cat {file}; ls -A {file}*") == f"{word}{file}"
    box.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": f"{word}-2"}
    assert "secret password changed (now " in box.said(block)
    assert box.sh("docker exec -u 999 redis cat /run/secrets/password") == f"{word}-2"


def test_a_dry_run_writes_nothing(running: Box) -> None:
    before = running.started()
    words = [word for word in running.words(redis(environment={"A": "b"})) if word != "-y"]
    plan = json.loads(running.pyinfra(*words, "--dry", "--json").stdout)["plan"]
    assert [operation["hosts_with_change"] for operation in plan] == [[running.name]]
    assert running.started() == before


# The last step takes its journal away: there is nothing after it.
POINTS = [f"{step} {moment}" for step in STEPS for moment in ("before", "after")][:-1]


def each(*usual: str) -> list[Any]:
    """Return all points; all but the usual ones are for the fault matrix, which takes long."""
    return [
        pytest.param(point, marks=() if point in usual else (pytest.mark.crash,))
        for point in POINTS
    ]


@pytest.mark.parametrize(
    "point", each("create after", "stop after", "copy before", "start after", "healthy after")
)
def test_killed_at_any_step_the_next_run_ends_as_wanted_with_the_data(
    running: Box, point: str
) -> None:
    running.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": "any-value"}
    block = redis(
        environment={"A": "b"},
        secrets={"password": {"secret": "test/password"}},
        secret_owner=999,
    )
    mark = AT.format(point=shlex.quote(point), what=KILL)
    done = running.pyinfra(*running.words(block, mark=mark), check=False)
    assert "ended without a result" in done.stdout + done.stderr
    assert running.apply(block) is True
    assert running.apply(block) is False
    assert running.get() == "kept"
    assert running.sh("docker exec redis sh -c 'echo $A; cat /run/secrets/*'") == "b\nany-value"
    alone(running)


@pytest.mark.parametrize("point", each("start after"))
def test_settings_that_were_taken_back_after_a_kill_bring_the_old_one_back(
    running: Box, point: str
) -> None:
    mark = AT.format(point=shlex.quote(point), what=KILL)
    running.pyinfra(*running.words(redis(environment={"A": "b"}), mark=mark), check=False)
    assert running.apply(redis()) is True
    assert running.apply(redis()) is False
    assert running.get() == "kept"
    alone(running)


@pytest.mark.parametrize("point", each("stop before", "start after"))
def test_with_docker_restarted_in_the_middle_it_is_done_all_the_same(
    running: Box, point: str
) -> None:
    what = "systemctl reset-failed docker; systemctl restart docker"
    block = redis(environment={"A": "b"})
    mark = AT.format(point=shlex.quote(point), what=what)
    assert running.apply(block, mark=mark) is True
    assert running.apply(block) is False
    assert running.get() == "kept"
    alone(running)


def test_with_the_controller_killed_the_replacement_ends_by_itself(running: Box) -> None:
    block = redis(environment={"A": "b"})
    mark = AT.format(point="'stop after'", what="sleep 5")
    words = [str(Path(sys.executable).parent / "pyinfra"), *running.words(block, mark=mark)]
    process = subprocess.Popen(
        words, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, env=running.environment,
    )  # fmt: skip
    for _ in range(300):
        if running.sh("ls /run/uplift-test-point", check=False):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert running.apply(block) is False
    assert running.get() == "kept"
    alone(running)
