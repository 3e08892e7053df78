"""Docker Engine on real hosts: installed, adopted, configured, and containers that live on."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
FILE = "/etc/docker/daemon.json"
Run = Callable[..., subprocess.CompletedProcess[str]]

DEPLOY = """
from uplift.operations import docker
from uplift.spec.docker import Docker
docker.installed(name="Docker Engine", settings=Docker.parse({block!r}, path="docker"))
"""

# An image without a registry: `sleep` and the libraries it needs.
IMAGE = """
docker image inspect tiny >/dev/null 2>&1 ||
tar -C / -chf - $(ldd /bin/sleep | grep -o '/[^ ]*' | sed 's,^/,,') bin/sleep 2>/dev/null |
docker import - tiny >/dev/null
"""


@dataclass
class Box:
    """One host, and Docker applied to it."""

    name: str
    ssh: Run
    pyinfra: Run
    folder: Path

    def sh(self, script: str, *, check: bool = True) -> str:
        done = self.ssh(self.name, f"sudo sh -c {shlex.quote(script)}", check)
        return str(done.stdout).strip()

    def words(self, block: dict[str, Any], *options: str) -> list[str]:
        file = self.folder / "deploy.py"
        file.write_text(DEPLOY.format(block=block))
        return ["inventories/lab.py", str(file), "--limit", self.name, "--json", *options]

    def apply(self, block: dict[str, Any] | None = None) -> bool:
        """Apply a block of settings and tell whether anything changed."""
        done = self.pyinfra(*self.words(block or {}, "-y"))
        (operation,) = json.loads(done.stdout)["results"]["operations"]
        assert operation["success"] + operation["no_change"]
        return not operation["no_change"]

    def refused(self, block: dict[str, Any] | None = None) -> str:
        """Apply a block that must fail, and return what was said."""
        done = self.pyinfra(*self.words(block or {}, "-y"), check=False)
        assert done.returncode != 0, done.stdout
        return str(done.stderr)

    def info(self, field: str) -> str:
        return self.sh(f'docker info --format "{{{{{field}}}}}" 2>/dev/null')

    def container(self) -> str:
        return self.sh('docker inspect -f "{{.State.Pid}} {{.State.StartedAt}}" tiny')

    def daemon(self) -> str:
        return self.sh("systemctl show docker -p MainPID --value")

    def config(self) -> dict[str, Any]:
        return dict(json.loads(self.sh(f"cat {FILE}")))


@pytest.fixture(scope="module", params=["13", pytest.param("12", marks=pytest.mark.slow)])
def box(
    request: pytest.FixtureRequest,
    hosts: list[dict[str, Any]],
    ssh: Run,
    pyinfra: Run,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Box]:
    """A host of each supported Debian; the last ones, so that services elsewhere stay."""
    kind = {"13": "host", "12": "host:bookworm"}[request.param]
    wanted = [host for host in hosts if host["kind"] == kind]
    if not wanted:
        pytest.skip("the lab has no host of Debian 12: uplift lab up --debian12")
    box = Box(wanted[-1]["name"], ssh, pyinfra, tmp_path_factory.mktemp("docker"))
    yield box
    box.sh(f"rm -f {FILE}")
    box.apply()


@pytest.fixture
def ready(box: Box) -> Iterator[Box]:
    """A host with the default block."""
    box.apply()
    yield box
    box.sh("docker swarm leave --force 2>/dev/null || :")


@pytest.fixture
def running(box: Box) -> Iterator[Box]:
    """An Engine that somebody else installed: no configuration, and a container on it."""
    box.apply()
    box.sh(f"rm -rf {FILE} /var/lib/uplift/docker*; systemctl reset-failed docker")
    box.sh(f"systemctl restart docker; {IMAGE}")
    box.sh("docker rm -f tiny 2>/dev/null; docker run -d --name tiny tiny sleep 1000000")
    assert box.info(".LiveRestoreEnabled") == "false"
    yield box
    box.sh("docker rm -f tiny")


@pytest.mark.parametrize("box", ["13", "12"], indirect=True)
def test_a_bare_host_gets_docker_and_the_second_run_changes_nothing(box: Box) -> None:
    if box.sh("docker rm -f tiny >/dev/null 2>&1; docker ps -aq 2>/dev/null", check=False):
        pytest.skip("containers of others are on this host")
    box.sh(
        "systemctl stop docker docker.socket 2>/dev/null; export DEBIAN_FRONTEND=noninteractive;"
        "apt-get purge -y -qq $(dpkg-query -W -f '${Package} ' docker.io docker-cli docker-buildx);"
        "rm -rf /etc/docker /var/lib/uplift/docker*",
        check=False,
    )
    assert box.sh("command -v dockerd", check=False) == ""
    assert box.apply() is True
    assert box.sh("systemctl is-active docker; systemctl is-enabled docker") == "active\nenabled"
    assert box.info(".LiveRestoreEnabled") == "true"
    assert box.config()["log-opts"] == {"max-size": "10m", "max-file": "3"}
    assert box.apply() is False


def test_a_dry_run_on_a_drifted_host_shows_the_change_and_writes_nothing(ready: Box) -> None:
    ready.sh(f"rm {FILE}; systemctl stop docker.socket docker")
    plan = json.loads(ready.pyinfra(*ready.words({}, "--dry")).stdout)["plan"]
    assert [operation["hosts_with_change"] for operation in plan] == [[ready.name]]
    assert ready.sh(f"ls {FILE}; systemctl is-active docker", check=False) == "inactive"


def test_containers_live_on_through_the_first_configuration_and_every_later_one(
    running: Box,
) -> None:
    before, daemon = running.container(), running.daemon()
    assert running.apply() is True
    assert running.container() == before
    # The positive control: the daemon was restarted indeed.
    assert running.daemon() != daemon
    assert running.info(".LiveRestoreEnabled") == "true"
    assert running.apply() is False

    assert running.apply({"log_opts": {"max_size": "5m"}}) is True
    assert running.container() == before
    running.sh("docker create --name new tiny sleep 1")
    sizes = running.sh('docker inspect -f "{{.HostConfig.LogConfig.Config}}" new; docker rm new')
    assert "max-size:5m" in sizes
    assert running.apply({"log_opts": {"max_size": "5m"}}) is False

    daemon = running.daemon()
    running.sh("echo >> /etc/ssl/certs/ca-certificates.crt")
    assert running.apply({"log_opts": {"max_size": "5m"}}) is True
    assert running.daemon() != daemon
    assert running.container() == before
    assert running.apply({"log_opts": {"max_size": "5m"}}) is False


def test_registries_and_mirrors_are_taken_over_without_a_restart(ready: Box) -> None:
    daemon = ready.daemon()
    block = {
        "insecure_registries": ["registry:5000", "10.99.0.0/16"],
        "registry_mirrors": ["http://mirror.example:5001"],
    }
    assert ready.apply(block) is True
    assert ready.daemon() == daemon
    assert "http://mirror.example:5001/" in ready.info(".RegistryConfig.Mirrors")
    assert "10.99.0.0/16" in ready.info(".RegistryConfig.InsecureRegistryCIDRs")
    assert ready.apply(block) is False
    # Taken out again: what the daemon only reloads, it would keep.
    assert ready.apply() is True
    assert ready.info(".RegistryConfig.Mirrors") == "[]"
    assert "registry-mirrors" not in ready.config()
    assert ready.apply() is False


@pytest.mark.parametrize(
    "drift",
    [
        "systemctl stop docker.socket docker",
        f'sed -i "s/10m/99m/" {FILE} && systemctl restart docker',
        *(
            pytest.param(drift, marks=pytest.mark.slow)
            for drift in (
                f"sed -i /live-restore/d {FILE}",
                f"rm {FILE}",
                f"chmod 666 {FILE}; chown 1000:1000 {FILE}",
                "systemctl disable docker",
                f'sed -i "s/10m/99m/" {FILE} && systemctl kill -s HUP docker',
            )
        ),
    ],
)
def test_drift_is_repaired_by_one_run(ready: Box, drift: str) -> None:
    ready.sh(f"systemctl reset-failed docker; {drift}")
    assert ready.apply() is True
    assert ready.apply() is False
    assert ready.config()["log-opts"]["max-size"] == "10m"
    assert ready.sh(f"stat -c %a:%u:%g {FILE}") == "644:0:0"
    assert ready.sh("systemctl is-active docker; systemctl is-enabled docker") == "active\nenabled"
    assert ready.info(".LiveRestoreEnabled") == "true"


@pytest.mark.slow
def test_a_file_that_is_closed_to_others_stays_closed(ready: Box) -> None:
    ready.sh(f"chmod 600 {FILE}; touch /etc/docker/.daemon.json.uplift-0123456789")
    assert ready.apply() is False
    assert ready.apply({"log_opts": {"max_size": "4m"}}) is True
    assert ready.sh(f"stat -c %a:%u:%g {FILE}") == "600:0:0"
    # Whatever a killed change left is gone, and nothing of this one stays.
    assert "uplift" not in ready.sh("ls -A /etc/docker")
    ready.sh(f"chmod 644 {FILE}")


def test_foreign_keys_keep_their_bytes(ready: Box) -> None:
    foreign = '"max-concurrent-uploads" : 4,'
    ready.sh(f"sed -i '1s/{{/{{ {foreign}/; s/10m/99m/' {FILE}")
    assert ready.apply() is True
    assert foreign in ready.sh(f"cat {FILE}")
    assert ready.config()["log-opts"]["max-size"] == "10m"
    assert ready.apply() is False


def test_a_file_that_was_edited_and_not_reloaded_is_found(ready: Box) -> None:
    ready.sh(f"""sed -i '1s/{{/{{ "debug": true,/' {FILE}""")
    assert ready.info(".Debug") == "false"
    daemon = ready.daemon()
    assert ready.apply() is True
    assert ready.info(".Debug") == "true"
    assert ready.daemon() == daemon
    assert ready.apply() is False


def test_a_broken_file_is_named_with_its_line_and_left_as_it_is(ready: Box) -> None:
    ready.sh(f"""printf '{{\\n  // ours\\n  "debug": true\\n}}\\n' > {FILE}""")
    before = ready.sh(f"cat {FILE}")
    said = ready.refused()
    assert f"{FILE}, line 2: not JSON: comments are not allowed" in said
    assert ready.sh(f"cat {FILE}") == before
    ready.sh(f"rm {FILE}")


def test_a_configuration_that_docker_refuses_leaves_the_file_as_it_was(ready: Box) -> None:
    before, daemon = ready.sh(f"cat {FILE}"), ready.daemon()
    said = ready.refused({"daemon_json": {"no-such-key": True}})
    assert "no-such-key" in said
    assert ready.sh(f"cat {FILE}") == before
    assert ready.daemon() == daemon
    assert ready.apply() is False


def test_a_daemon_that_does_not_start_gets_its_old_file_back_and_containers_live_on(
    running: Box,
) -> None:
    container, daemon = running.container(), running.daemon()
    said = running.refused({"data_root": "/etc/hostname/docker"})
    assert "was put back with live-restore" in said
    assert running.container() == container
    # The positive control: the daemon was restarted indeed.
    assert running.daemon() != daemon
    assert running.config() == {"live-restore": True}
    assert running.apply() is True
    before = running.sh(f"cat {FILE}")
    running.refused({"data_root": "/etc/hostname/docker"})
    assert running.sh(f"cat {FILE}") == before
    assert running.container() == container
    assert running.apply() is False


def test_without_live_restore_a_restart_with_containers_must_be_allowed(running: Box) -> None:
    block: dict[str, Any] = {"live_restore": False, "log_opts": {"max_size": "7m"}}
    before = running.container()
    said = running.refused(block)
    assert "set docker.restart_running to True" in said
    assert running.container() == before
    assert running.sh(f"ls {FILE}", check=False) == ""
    assert running.apply({**block, "restart_running": True}) is True
    assert running.config()["log-opts"]["max-size"] == "7m"
    assert running.apply(block) is False


@pytest.mark.slow
def test_live_restore_in_a_swarm_is_refused_with_the_reason(ready: Box) -> None:
    block = {"live_restore": False}
    ready.apply(block)
    ready.sh("docker swarm init --advertise-addr 127.0.0.1")
    daemon, before = ready.daemon(), ready.sh(f"cat {FILE}")
    assert "set docker.live_restore to False" in ready.refused()
    assert (ready.daemon(), ready.sh(f"cat {FILE}")) == (daemon, before)
    assert ready.apply(block) is False
    ready.sh("systemctl stop docker.socket docker")
    assert "set docker.live_restore to False" in ready.refused()
    assert ready.apply(block) is True
    ready.sh("docker swarm leave --force")


def test_a_registrys_ca_comes_and_goes_without_a_restart(ready: Box, tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    subprocess.run(
        ["openssl", *words.split(), "-keyout", "/dev/null", "-out", str(ca)],
        check=True,
        capture_output=True,
    )
    block = {"registries": {"r.example:5000": {"ca_file": str(ca)}}}
    daemon, place = ready.daemon(), "/etc/docker/certs.d/r.example:5000/ca.crt"
    assert ready.apply(block) is True
    assert ready.sh(f"cat {place}") == ca.read_text().strip()
    assert ready.sh(f"stat -c %a:%u:%g {place}") == "644:0:0"
    ready.sh(f"echo >> {place}")
    assert ready.apply(block) is True
    assert ready.apply(block) is False
    assert ready.apply() is True
    assert ready.sh(f"ls -d /etc/docker/certs.d/r.example:5000 {place}", check=False) == ""
    assert ready.daemon() == daemon


def test_a_change_goes_on_when_the_controller_is_killed(
    ready: Box, environment: dict[str, str]
) -> None:
    block = {"log_opts": {"max_size": "3m"}}
    words = [str(Path(sys.executable).parent / "pyinfra"), *ready.words(block, "-y")]
    controller = subprocess.Popen(
        words,
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # The job is there as soon as its unit is: the rest happens without anybody.
    for _ in range(300):
        if "uplift-docker-" in ready.sh("systemctl list-units --plain --no-legend"):
            break
        assert controller.poll() is None, "the change ended before it was seen"
        time.sleep(0.05)
    controller.send_signal(signal.SIGKILL)
    controller.wait(timeout=30)
    assert ready.apply(block) is False
    assert ready.config()["log-opts"]["max-size"] == "3m"
