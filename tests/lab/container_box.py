"""A host and a Redis on it, for tests of containers: applied, looked at, cleaned away.

A plugin of the test files that name it in ``pytest_plugins``.
"""

from __future__ import annotations

import json
import re
import secrets as random
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

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
containers = [Container.parse(block, path="containers") for block in given["blocks"]]
{call}
"""
CONVERGED = 'container.converged(name="Containers", containers=containers)'

# A second function of the same name: it does the same, and then something once at one point.
AT = """
mark() {{
  printf '%s\\n' "$1" >>"$dir/journal"; sync "$dir/journal"
  if [ "$1" = {point} ] && [ ! -e /run/uplift-test-point ]; then
    : >/run/uplift-test-point
    {what}
  fi
  :
}}
"""

SMALL = "/srv/uplift-small"
"""Docker's folder while its disk is small."""

_MOVE = (
    "set -e; systemctl reset-failed docker; systemctl stop docker.socket docker;"
    "{0}; systemctl start docker; docker version >/dev/null"
)
_MOUNT = (
    f"mkdir -p {SMALL}; mount -t tmpfs -o size={{0}} tmpfs {SMALL};"
    "cp -a /etc/docker/daemon.json /run/uplift-daemon.json;"
    f'sed -i \'s|^{{{{|{{{{"data-root": "{SMALL}",|\' /etc/docker/daemon.json'
)
_AWAY = (
    f"mv /run/uplift-daemon.json /etc/docker/daemon.json; umount -R {SMALL} || umount -l {SMALL}"
)

# Two servers at once, were it for a second, leave a line.
WATCH = """
while sleep 0.5; do
  [ "$(pgrep -xc redis-server)" -lt 2 ] || ps -C redis-server -o pid,args >>/run/uplift-two-servers
done
"""


@contextmanager
def small_disk(sh: Callable[[str], str], size: str) -> Iterator[None]:
    """Let Docker have an empty, small file system for a while.

    Args:
        sh: runs a script as root.
        size: as for the mount option of tmpfs.
    """
    sh(_MOVE.format(_MOUNT.format(size)))
    try:
        assert sh("docker info -f '{{.DockerRootDir}}'") == SMALL
        yield
    finally:
        sh(_MOVE.format(_AWAY))


def at(point: str, what: str) -> str:
    """Return the shell text that does something once when the journal gets this line."""
    return AT.format(point=shlex.quote(point), what=what)


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


def word() -> str:
    """Return a value that is nowhere else."""
    return f"needle{random.token_hex(12)}"


@dataclass
class Box:
    """One host, and containers applied to it."""

    name: str
    ssh: Run
    pyinfra: Run
    folder: Path
    environment: dict[str, str]
    secrets: dict[str, str] = field(default_factory=dict)
    key: str = ""
    before: dict[str, Any] = field(default_factory=dict)  # what runs when a test begins
    last: dict[str, Any] | None = None  # what was checked last, and still is so

    def sh(self, script: str, *, check: bool = True) -> str:
        done = self.ssh(self.name, f"sudo sh -c {shlex.quote(script)}", check)
        return str(done.stdout).strip()

    def words(self, *blocks: dict[str, Any], mark: str = "", call: str = CONVERGED) -> list[str]:
        given = {"blocks": blocks, "mark": mark, "environment": self.secrets}
        file, data = self.folder / "deploy.py", self.folder / "given.json"
        data.write_text(json.dumps(given))
        file.write_text(DEPLOY.format(file=str(data), call=call))
        return ["inventories/lab.py", str(file), "--limit", self.name, "-y"]

    def apply(self, *blocks: dict[str, Any], mark: str = "", call: str = CONVERGED) -> bool:
        """Apply containers and tell whether anything changed."""
        done = self.pyinfra(*self.words(*blocks, mark=mark, call=call), "--json")
        (operation,) = json.loads(done.stdout)["results"]["operations"]
        assert operation["success"] + operation["no_change"]
        return not operation["no_change"]

    def said(self, *blocks: dict[str, Any], ok: bool = True, call: str = CONVERGED) -> str:
        """Apply containers, and return all that was said."""
        done = self.pyinfra(*self.words(*blocks, call=call), "-vvv", check=False)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return str(done.stdout + done.stderr)

    def broken(self, *blocks: dict[str, Any], mark: str = "", call: str = CONVERGED) -> list[str]:
        """Apply a container that must fail, and return what the host said, without -v."""
        done = self.pyinfra(*self.words(*blocks, mark=mark, call=call), check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        # Hosts' names are padded to the longest one of the inventory.
        said = re.findall(r"\] +uplift: redis: (.*)", done.stdout + done.stderr)
        assert said, done.stdout + done.stderr
        return said

    def started(self) -> str:
        return self.sh('docker inspect -f "{{.Id}} {{.State.StartedAt}}" redis')

    def put(self, first: str = ":") -> None:
        """Give the key a new value, which must be there from now on."""
        self.key = word()
        assert self.sh(f"{first}; docker exec redis redis-cli set key {self.key}") == "OK"

    def check(self, block: dict[str, Any], *, changed: bool = False) -> None:
        """All is as wanted: nothing changes any more, the data is there, one server alone.

        With ``changed``, one run of the operation changes something first.
        """
        if changed:
            twice = f"{CONVERGED}\n{CONVERGED.replace('Containers', 'Again')}"
            done = self.pyinfra(*self.words(block, call=twice), "--json")
            first, again = json.loads(done.stdout)["results"]["operations"]
            assert (first["success"], again["no_change"]) == ([self.name], [self.name])
        else:
            assert self.apply(block) is False
        found = self.sh(
            "docker exec redis sh -c 'redis-cli get key; echo $A; cat /run/secrets/* 2>&-'; echo;"
            "docker ps -a --filter volume=uplift-test --format '{{.Names}}';"
            "ls -d /var/lib/uplift/containers/redis/journal /etc/uplift/secrets/redis--previous"
            "  2>/dev/null; cat /run/uplift-two-servers 2>/dev/null; echo end"
        )
        env = block.get("environment", {}).get("A", "")
        secrets = self.secrets.values() if "secrets" in block else [""]
        assert found.split("\n") == [self.key, env, *secrets, "redis", "end"]
        self.last = block

    def clean(self) -> None:
        self.sh(
            "docker ps -aq --filter label=io.uplift.managed | xargs -r docker rm -f;"
            "docker rm -f redis other; docker volume rm uplift-test;"
            "rm -rf /var/lib/uplift/containers/redis /etc/uplift/secrets/redis* /run/uplift-test-*"
            "  /run/uplift-two-servers; systemctl reset-failed docker",
            check=False,
        )


@pytest.fixture(scope="module")
def container_host(
    hosts: list[dict[str, Any]],
    lab_name: str,
    environment: dict[str, str],
    uplift: Run,
    ssh: Run,
    pyinfra: Run,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Box]:
    """A host with Docker, and a registry that has the image."""
    name = [host["name"] for host in hosts if host["kind"] == "host"][-1]
    uplift("lab", "image", "redis", "--name", lab_name)
    pyinfra("inventories/lab.py", "deploys/docker.py", "--limit", name, "-y")
    box = Box(name, ssh, pyinfra, tmp_path_factory.mktemp("container"), environment)
    box.sh("systemctl stop uplift-test-watch", check=False)
    box.sh(f"systemd-run --quiet --collect --unit=uplift-test-watch sh -c {shlex.quote(WATCH)}")
    yield box
    box.sh("systemctl stop uplift-test-watch")


@pytest.fixture
def box(container_host: Box) -> Iterator[Box]:
    """A host without containers of these tests."""
    container_host.clean()
    container_host.secrets = {}
    yield container_host
    container_host.clean()


@pytest.fixture
def running(box: Box) -> Box:
    """A Redis with a key."""
    box.apply(redis())
    box.put()
    return box
