"""The lab itself: idempotent, side by side with others, completed after a kill, removed whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from tests.lab.conftest import cases

Run = Callable[..., subprocess.CompletedProcess[str]]
LABEL = "io.uplift.lab"
PROJECT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def engine() -> docker.DockerClient:
    """The local Docker Engine, asked without our own code."""
    return docker.from_env()


class Small:
    """A lab of light hosts in a project folder of its own."""

    def __init__(self, uplift: Run, name: str, folder: Path) -> None:
        self.call, self.name, self.folder = uplift, name, folder
        (folder / "inventories").mkdir(parents=True)

    def uplift(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.call("lab", *words, cwd=self.folder, check=check)

    def up(self, *words: str) -> dict[str, Any]:
        done = self.uplift("up", "--name", self.name, "--no-images", "--json", *words)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def down(self) -> list[str]:
        done = self.uplift("down", self.name, "--json", check=False)
        if done.returncode == 64 and "there is no lab" in done.stderr:
            return []
        assert done.returncode == 0, done.stderr
        removed: list[str] = json.loads(done.stdout)["removed"]
        return removed


@pytest.fixture
def small(uplift: Run, lab_name: str, tmp_path: Path) -> Iterator[Callable[[str], Small]]:
    """Make small labs, which are removed in the end, whatever the test did to them."""
    made: list[Small] = []

    def make(part: str) -> Small:
        made.append(Small(uplift, f"{lab_name[:30]}-{part}", tmp_path / part))
        return made[-1]

    yield make
    for lab in made:
        lab.folder.mkdir(parents=True, exist_ok=True)
        lab.down()


def state_of(engine: docker.DockerClient, lab: str) -> dict[str, tuple[str, str]]:
    """Return each container's id and time of start: what a change would change."""
    found = engine.containers.list(all=True, filters={"label": f"{LABEL}={lab}"})
    return {box.name: (box.id, box.attrs["State"]["StartedAt"]) for box in found}


def test_up_twice_changes_nothing(
    lab: dict[str, Any], uplift: Run, engine: docker.DockerClient
) -> None:
    before = state_of(engine, lab["name"])
    again = json.loads(uplift("lab", "up", "--json").stdout)
    assert (again["changed"], again["left"], again["failed"]) == ([], {}, {})
    assert state_of(engine, lab["name"]) == before
    assert again["hosts"] == lab["hosts"]
    assert len(before) == 1 + len(lab["hosts"])


def test_status_names_each_host_as_ssh_and_the_inventory_need_it(
    lab: dict[str, Any], uplift: Run
) -> None:
    shown = json.loads(uplift("lab", "status", "--json").stdout)
    assert {"name", "folder", "hosts", "images", "registry", "disk"} == shown.keys()
    assert [host["name"] for host in shown["hosts"]][:3] == ["lab-1", "lab-2", "lab-3"]
    # A host of Debian 12 is there where it was asked for.
    assert {host["name"]: host["groups"] for host in shown["hosts"]} | {"lab-bookworm": None} == {
        "lab-1": ["services", "builders"],
        "lab-2": ["apps"],
        "lab-3": ["apps"],
        "lab-bookworm": None,
    }
    assert len({host["address"] for host in shown["hosts"]}) == len(shown["hosts"])
    for host in shown["hosts"]:
        assert (host["user"], host["state"]) == ("deploy", "running")
        assert Path(host["identity_file"]).stat().st_mode & 0o777 == 0o600
    assert shown["registry"]["name"] == "registry:5000"
    assert {"host", "registry"} <= shown["images"].keys()


def test_the_inventory_has_the_groups_that_status_shows(lab: dict[str, Any], pyinfra: Run) -> None:
    shown = json.loads(pyinfra("inventories/lab.py", "debug-inventory", "--json").stdout)
    assert {host["name"] for host in lab["hosts"]} <= set(json.dumps(shown).split('"'))


def test_every_host_lets_deploy_and_root_in_and_deploy_may_become_root(
    hosts: list[dict[str, Any]], ssh: Run, login: Run
) -> None:
    for host in hosts:
        assert login(host, user="root").stdout.strip() == host["name"]
        assert ssh(host["name"], "sudo -n id -u").stdout.strip() == "0"
        assert login(host, user="app").returncode == 255


def test_every_host_has_its_own_systemd_and_is_through_with_its_start(
    hosts: list[dict[str, Any]], ssh: Run
) -> None:
    states = [ssh(host["name"], "systemctl is-system-running").stdout for host in hosts]
    assert states == ["running\n"] * len(hosts)


def test_hosts_have_different_keys(hosts: list[dict[str, Any]]) -> None:
    lines = Path(hosts[0]["known_hosts_file"]).read_text().split("\n")[:-1]
    keys = [line.split()[2] for line in lines]
    assert len(keys) == len(set(keys)) >= len(hosts)


def test_a_host_whose_key_is_another_ones_is_refused(
    hosts: list[dict[str, Any]], tmp_path: Path, login: Run
) -> None:
    first, second = hosts[:2]
    true = Path(first["known_hosts_file"]).read_text()
    wrong = tmp_path / "known_hosts"
    # The keys of both hosts change places.
    swapped = true.replace(first["address"] + " ", "first ")
    swapped = swapped.replace(second["address"] + " ", first["address"] + " ")
    wrong.write_text(swapped.replace("first ", second["address"] + " "))
    refused = login(first, known_hosts_file=str(wrong))
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr
    assert login(first).stdout.strip() == first["name"]


def test_hosts_reach_each_other_and_the_registry_by_name(
    hosts: list[dict[str, Any]], ssh: Run
) -> None:
    for host in hosts:
        for other in hosts:
            banner = f"timeout 10 bash -c 'head -c 4 </dev/tcp/{other['name']}/22'"
            assert ssh(host["name"], banner).stdout == "SSH-"
        asked = "curl -sS --max-time 10 -o /dev/null -w '%{http_code}' http://registry:5000/v2/"
        assert ssh(host["name"], asked).stdout == "200"


def test_service_ports_of_a_host_are_reached_on_its_own_address(
    hosts: list[dict[str, Any]], ssh: Run
) -> None:
    server = "python3 -m http.server 8080 --directory /etc"
    for host in hosts[:2]:
        ssh(host["name"], f"sudo systemd-run --quiet --unit=lab-probe {server}")
    try:
        for host in hosts[:2]:
            wait = "curl -sS --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null"
            ssh(host["name"], f"{wait} http://localhost:8080/hostname")
            url = f"http://{host['address']}:{host['ports']['8080']}/hostname"
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert answer.read().decode().strip() == host["name"]
    finally:
        for host in hosts[:2]:
            ssh(host["name"], "sudo systemctl stop lab-probe")


def test_an_image_is_in_the_registry_under_its_public_name(
    lab: dict[str, Any], uplift: Run, ssh: Run, engine: docker.DockerClient
) -> None:
    pushed = json.loads(uplift("lab", "image", "registry", "--json").stdout)
    assert pushed["reference"] == "registry:5000/registry:2"
    accept = "Accept: application/vnd.docker.distribution.manifest.v2+json"
    ask = f"curl -fsSI --max-time 10 -H '{accept}' http://registry:5000/v2/registry/manifests/2"
    assert f"docker-content-digest: {pushed['digest']}" in ssh("lab-1", ask).stdout.lower()
    # The name that the push needed is gone again.
    tags = [tag for image in engine.images.list() for tag in image.tags]
    assert not [tag for tag in tags if tag.startswith(lab["registry"]["address"])]


def test_an_unknown_image_is_refused_with_a_near_miss(lab: dict[str, Any], uplift: Run) -> None:
    refused = uplift("lab", "image", "registri", check=False)
    assert refused.returncode == 64
    assert "registry" in refused.stderr


def test_two_labs_do_not_disturb_each_other(small: Callable[[str], Small], login: Run) -> None:
    first, second = small("a"), small("b")
    one = first.up("--hosts", "1", "--light")
    two = second.up("--hosts", "1", "--light")
    assert one["hosts"][0]["address"] != two["hosts"][0]["address"]
    assert one["registry"]["address"] != two["registry"]["address"]
    foreign = two["hosts"][0]["identity_file"]
    assert login(one["hosts"][0], identity_file=foreign).returncode == 255
    first.down()
    assert login(two["hosts"][0]).stdout == "lab-1\n"
    assert second.up()["changed"] == []


def test_down_removes_all_of_a_lab_and_nothing_else(
    small: Callable[[str], Small], engine: docker.DockerClient
) -> None:
    lab = small("a")
    lab.up("--hosts", "2", "--light")
    (lab.folder / ".uplift" / "other").write_text("somebody's")
    boxes = engine.containers.list(all=True, filters={"label": f"{LABEL}={lab.name}"})
    volumes = [mount["Name"] for box in boxes for mount in box.attrs["Mounts"] if "Name" in mount]
    assert len(boxes) == 3
    assert volumes
    # Things that look like the lab's and are not.
    other = engine.volumes.create(f"uplift-{lab.name}-lab-9", labels={"who": "somebody"})
    near = engine.networks.create(f"uplift-{lab.name}-x", labels={LABEL: f"{lab.name}-x"})
    try:
        removed = lab.down()
        engine.networks.get(near.id)
        engine.volumes.get(other.name)
    finally:
        near.remove()
        other.remove()
    for box in boxes:
        with pytest.raises(NotFound):
            engine.containers.get(box.id)
    for volume in volumes:
        with pytest.raises(NotFound):
            engine.volumes.get(volume)
    left = engine.networks.list(filters={"label": f"{LABEL}={lab.name}"})
    assert left == []
    assert [path.name for path in (lab.folder / ".uplift").iterdir()] == ["other"]
    assert len(removed) == len(boxes) + len(volumes) + 2  # and the network, and the folder
    assert lab.down() == []


MOMENTS = (
    "choosing addresses",
    "registry: creating",
    "lab-1: creating",
    "lab-1: starting",
    "lab-2: waiting for sshd",
)


@pytest.mark.parametrize("moment", cases(MOMENTS, "registry: creating", "lab-1: starting"))
def test_up_completes_what_a_killed_up_began(
    moment: str, small: Callable[[str], Small], login: Run
) -> None:
    lab = small("k")
    words = ["lab", "up", "--name", lab.name, "--hosts", "2", "--light"]
    process = subprocess.Popen(
        [str(SCRIPTS / "uplift"), *words],
        cwd=lab.folder,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    seen = next((line for line in process.stderr if moment in line), None)
    process.kill()
    process.communicate(timeout=30)
    assert seen is not None, "the step to kill at was not reached"
    # What was asked for is remembered: no options.
    found = lab.up()
    assert [login(host).stdout for host in found["hosts"]] == ["lab-1\n", "lab-2\n"]
    assert lab.up()["changed"] == []


def test_hosts_that_died_with_the_daemon_are_started_again_with_their_keys(
    small: Callable[[str], Small], engine: docker.DockerClient, login: Run
) -> None:
    lab = small("a")
    host = lab.up("--hosts", "1", "--light")["hosts"][0]
    keys = Path(host["known_hosts_file"]).read_text()
    for box in engine.containers.list(filters={"label": f"{LABEL}={lab.name}"}):
        box.kill()
    assert lab.uplift("status", lab.name, check=False).returncode == 3
    again = lab.up()
    assert again["changed"] == ["registry: started", "lab-1: started"]
    assert Path(host["known_hosts_file"]).read_text() == keys
    assert login(again["hosts"][0]).stdout == "lab-1\n"


def test_hosts_that_differ_are_named_and_left_until_recreate(
    small: Callable[[str], Small], engine: docker.DockerClient, login: Run
) -> None:
    lab = small("a")
    lab.up("--hosts", "1", "--light")
    before = state_of(engine, lab.name)
    left = lab.up("--full")
    assert "is of image host-light, not host" in left["left"]["lab-1"]
    assert (left["changed"], state_of(engine, lab.name)) == ([], before)
    anew = lab.up("--recreate")
    assert anew["changed"] == ["lab-1: removed", "lab-1: created"]
    assert anew["hosts"][0]["kind"] == "host"
    assert login(anew["hosts"][0]).stdout == "lab-1\n"


def test_a_lost_lab_folder_is_made_again(small: Callable[[str], Small], login: Run) -> None:
    lab = small("a")
    lab.up("--hosts", "1", "--light")
    shutil.rmtree(lab.folder / ".uplift")
    again = lab.up("--hosts", "1", "--light")
    assert again["changed"] == ["lab-1: the lab's key put in"]
    assert login(again["hosts"][0]).stdout == "lab-1\n"


def test_a_lab_whose_folder_is_gone_is_found_and_removed(
    small: Callable[[str], Small], engine: docker.DockerClient, tmp_path: Path
) -> None:
    lab = small("a")
    lab.up("--hosts", "1", "--light")
    shutil.rmtree(lab.folder)
    elsewhere = small("b")
    labs = json.loads(elsewhere.uplift("status", "--all", "--json").stdout)
    found = next(one for one in labs if one["name"] == lab.name)
    assert (found["orphan"], found["hosts"]) == (True, {"lab-1": "running"})
    refused = elsewhere.uplift("up", "--name", lab.name, check=False)
    assert refused.returncode == 64
    assert f"belongs to {lab.folder}, which is gone" in refused.stderr
    elsewhere.uplift("down", lab.name)
    assert state_of(engine, lab.name) == {}
    assert not lab.folder.exists()


def test_a_lab_of_another_folder_is_not_touched(
    small: Callable[[str], Small], engine: docker.DockerClient
) -> None:
    lab, other = small("a"), small("b")
    lab.up("--hosts", "1", "--light")
    before = state_of(engine, lab.name)
    refused = other.uplift("up", "--name", lab.name, "--hosts", "2", check=False)
    assert refused.returncode == 64
    assert state_of(engine, lab.name) == before
    assert not (other.folder / ".uplift").exists()


def test_no_lab_ends_pyinfra_with_64_and_says_what_to_run(
    small: Callable[[str], Small], environment: dict[str, str]
) -> None:
    name = small("none").name
    refused = subprocess.run(
        [str(SCRIPTS / "pyinfra"), "inventories/lab.py", "fact", "server.Hostname"],
        cwd=PROJECT,
        env={**environment, "UPLIFT_LAB": name},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 64
    assert "run `uplift lab up`" in refused.stderr
