"""Hosts with an application, and a project whose settings say which release each has.

A plugin of the test files that name it in ``pytest_plugins``.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.lab.app_box import REPOSITORY
from tests.lab.prober import Prober
from tests.lab.rollout_box import PROJECT, link_project

AGAINST = "/etc/uplift-test-against"
"""The version that a test of the gate is against."""

MARK = "/etc/uplift-test-mark"
"""Makes a test of the gate fail, whatever the version is."""

GATE = "tests/lab/rollout_gate_app.py"
LIMIT = 900  # seconds, on a slow machine
ROLLOUT = ("rollout", "inventories/rollout.py", "deploys/app.py", "-y", "--json")
NAMES = ("lab-1", "lab-2", "lab-3")
INVENTORY = """
import json
from pathlib import Path
from uplift.lab import inventory as _inventory

_groups = _inventory.groups_or_exit()
_hosts = dict([*_groups["services"], *_groups["apps"]])
_apps = json.loads(Path("apps.json").read_text())
rollout = [(name, {**_hosts[name], **_apps[name]}) for name in sorted(_apps)]
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Fleet:
    """The hosts, and the project.

    Args:
        folder: of the project.
        uplift: runs it.
        ssh: runs a command on a host.
        hosts: as the lab's status shows them.
        environment: of commands.
        names: of the hosts with the application.
        told: JSON lines of the last command.
    """

    folder: Path
    uplift: Run
    ssh: Run
    hosts: list[dict[str, Any]]
    environment: Mapping[str, str]
    names: tuple[str, ...] = NAMES
    told: list[dict[str, Any]] = field(default_factory=list)

    def prepare(self, pyinfra: Run) -> None:
        """Fill the project's folder, and let the hosts have Docker."""
        link_project(self.folder, but="inventories")
        (self.folder / "inventories").mkdir()
        (self.folder / "inventories/rollout.py").write_text(INVENTORY)
        limits = [word for name in self.names for word in ("--limit", name)]
        pyinfra("inventories/lab.py", "deploys/docker.py", *limits, "-y")

    def clear(self) -> None:
        """Take the application away."""
        for name in self.names:
            self.sh(
                name,
                "docker rm -f testapp-blue testapp-green; rm -rf /var/lib/uplift/releases/testapp "
                f"/etc/uplift/apps/testapp {AGAINST} {MARK}; "
                "systemctl disable -q --now haproxy; rm -f /etc/haproxy/haproxy.cfg",
            )

    def begin(self) -> None:
        """Let every host serve what Poetry built."""
        self.want("1.4.0-poetry")
        code, result, errors = self.rollout("--no-gate", "--waves", "100%")
        assert code == 0, (errors, result)
        for name in self.names:
            self.sh(name, f"rm -f {AGAINST} {MARK}")
        assert self.versions() == ["1.4.0"] * len(self.names)

    def want(self, tag: str, others: Mapping[str, str] | None = None, **fields: Any) -> None:
        """Write settings: a release for every host, or another one for some."""
        tags = {**dict.fromkeys(self.names, tag), **(others or {})}
        data = {name: settings(one, **fields) for name, one in tags.items()}
        (self.folder / "apps.json").write_text(json.dumps(data))

    def rollout(self, *more: str) -> tuple[int, dict[str, Any], str]:
        """Roll out; return exit code, result, and what was printed beside it."""
        return self.call(*ROLLOUT, *more)

    def call(self, *words: str) -> tuple[int, dict[str, Any], str]:
        """Run `uplift`; return exit code, result, and what was printed beside it."""
        done = self.uplift(*words, check=False, cwd=self.folder)
        self.told = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]
        last = [one for one in self.told if one["kind"] == "result"]
        return done.returncode, last[-1] if last else {}, done.stderr

    def killed(self, moment: str, what: str, *words: str) -> None:
        """Run `uplift` until it kills itself at a moment: see killed.py."""
        killing = [sys.executable, "-P", str(PROJECT / "tests/lab/killed.py"), moment, what]
        done = subprocess.run(
            [*killing, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, (done.stdout, done.stderr)

    def sh(self, host: str, script: str) -> str:
        """Run a script as root."""
        return str(self.ssh(host, f"sudo sh -c {shlex.quote(script)}").stdout).strip()

    def versions(self) -> list[str]:
        """Ask each host through HAProxy."""
        return [self.sh(name, "curl -s http://127.0.0.1/version") for name in self.names]

    def running(self) -> list[str]:
        """Return the version of the one container that runs on each host."""
        script = (
            "docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' "
            "$(docker ps -q --filter label=io.uplift.subject=testapp) | sed -n 's/^VERSION=//p'"
        )
        return [self.sh(name, script) for name in self.names]

    def digests(self) -> set[str]:
        """Return the images that serve."""
        script = (
            "docker inspect -f '{{.Image}}' "
            "$(docker ps -q --filter label=io.uplift.subject=testapp)"
        )
        return {self.sh(name, script) for name in self.names}

    def behind(self) -> set[str]:
        """Return the hosts of which `uplift drift` says that others serve a newer release."""
        words = ("drift", "inventories/rollout.py", "deploys/app.py", "--json")
        done = self.uplift(*words, check=False, cwd=self.folder)
        findings = json.loads(done.stdout)["findings"]
        return {one["host"] for one in findings if one["kind"] == "behind"}

    def prober(self, name: str) -> Prober:
        """Return a prober of a host."""
        (host,) = (one for one in self.hosts if one["name"] == name)
        return Prober(host["address"], int(host["ports"]["80"]))


def serving(result: Mapping[str, Any]) -> list[str]:
    """Return the tags that serve, as the result of a run tells."""
    images = [one["serving"]["apps"]["testapp"]["image"] for one in result["hosts"]]
    return [image.rpartition(":")[2] for image in images]


def settings(tag: str, **fields: Any) -> dict[str, Any]:
    """Return the settings of a host."""
    app = {
        "name": "testapp",
        "image": f"{REPOSITORY}:{tag}",
        "port": 8000,
        "slot_ports": [18001, 18002],
        "routes": [{}],
        "hold": 2,
        "stop_timeout": 5,
        "ready": {"http": {"port": 8000, "path": "/readyz"}, "stable": 1, "start_period": 6},
        "drain": {"seconds": 1},
        **fields,
    }
    return {"haproxy": {"binds": [{"address": "*", "port": 80}]}, "apps": [app]}


@pytest.fixture(scope="module")
def fleet_of(
    built: None,
    hosts: list[dict[str, Any]],
    uplift: Run,
    ssh: Run,
    pyinfra: Run,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[tuple[str, ...]], Fleet]]:
    """Prepares some of the hosts; the application is taken away afterwards."""
    made: list[Fleet] = []

    def fleet(names: tuple[str, ...]) -> Fleet:
        folder = tmp_path_factory.mktemp("project")
        made.append(Fleet(folder, uplift, ssh, hosts, environment, names))
        made[-1].prepare(pyinfra)
        return made[-1]

    yield fleet
    for one in made:
        one.clear()


@pytest.fixture(scope="module")
def whole(fleet_of: Callable[[tuple[str, ...]], Fleet]) -> Fleet:
    """All hosts, with Docker."""
    return fleet_of(NAMES)


@pytest.fixture(scope="module")
def pair(fleet_of: Callable[[tuple[str, ...]], Fleet]) -> Fleet:
    """Two hosts alone, with Docker."""
    return fleet_of(NAMES[:2])


@pytest.fixture
def old(whole: Fleet) -> Fleet:
    """Every host serves what Poetry built, and no test is against anything."""
    whole.begin()
    return whole
