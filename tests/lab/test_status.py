"""What runs where on real hosts, and drift made by hand."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.lab.app_box import Site

from uplift.spec.errors import Exit

pytest_plugins = ["tests.lab.app_box"]

INVENTORY = "inventories/lab.py"
ORPHAN = (
    "sudo docker create --name uplift-orphan --label io.uplift.managed=true "
    "--label io.uplift.subject=gone --label io.uplift.container=gone registry:5000/redis:8"
)
TREE = "sudo find /etc /opt /root /var/lib/uplift -xdev -printf '%p %y %m %s %T@\\n' | sort"


@pytest.fixture
def orphan(ssh: Any, pyinfra: Any) -> Iterator[str]:
    """A container that says of itself that uplift made it."""
    pyinfra(INVENTORY, "deploys/docker.py", "-y", "--limit", "lab-2")
    ssh("lab-2", f"sudo docker pull -q registry:5000/redis:8 && {ORPHAN}")
    yield "uplift-orphan"
    ssh("lab-2", "sudo docker rm -f uplift-orphan")


@pytest.fixture
def switched(ssh: Any) -> Iterator[str]:
    """A version of uv that somebody switched to by hand."""
    link = "/opt/uv/current"
    before = ssh("lab-2", f"readlink {link} || true").stdout.strip()
    ssh("lab-2", f"sudo mkdir -p /opt/uv && sudo ln -sfn 0.0.1 {link}")
    yield "0.0.1"
    ssh("lab-2", f"sudo ln -sfn {before} {link}" if before else f"sudo rm {link}")


@pytest.fixture
def look(uplift: Any) -> Callable[..., tuple[dict[str, Any], int]]:
    """Run a command with --json on lab-2."""

    def call(*words: str) -> tuple[dict[str, Any], int]:
        done = uplift(*words, "--limit", "lab-2", "--json", check=False)
        return json.loads(done.stdout), done.returncode

    return call


def test_drift_finds_what_was_done_by_hand_and_status_shows_it_without_writing(
    look: Callable[..., tuple[dict[str, Any], int]], ssh: Any, orphan: str, switched: str
) -> None:
    before = ssh("lab-2", TREE).stdout
    found, code = look("drift", INVENTORY, "deploys/uv.py")
    shown, _ = look("status", INVENTORY)
    assert ssh("lab-2", TREE).stdout == before
    assert code == Exit.PENDING
    kinds = {(one["kind"], one["subject"]) for one in found["findings"]}
    assert ("orphan", orphan) in kinds
    assert any(kind == "settings" and "uv" in subject for kind, subject in kinds)
    states = {row["name"]: row["state"] for row in shown["rows"]}
    assert states[orphan] == "created"
    assert [row["release"] for row in shown["rows"] if row["name"] == "uv"] == [switched]


@pytest.mark.slow
def test_a_host_as_its_settings_say_has_no_drift(
    look: Callable[..., tuple[dict[str, Any], int]], pyinfra: Any
) -> None:
    deploys = ("deploys/docker.py", "deploys/uv.py")
    pyinfra(INVENTORY, "deploys/certificates.py", *deploys, "-y", "--limit", "lab-2")
    found, code = look("drift", INVENTORY, *deploys)
    assert (found["findings"], found["errors"], code) == ([], {}, Exit.DONE)


@pytest.mark.slow
def test_a_host_that_is_down_has_an_error_of_its_own_and_exit_code_three(
    uplift: Any, hosts: list[dict[str, Any]], closed_port: int, tmp_path: Any
) -> None:
    keys = {"hostname": "address", "port": "port", "user": "user"}
    keys |= {"key": "identity_file", "known_hosts_file": "known_hosts_file"}
    data: dict[str, Any] = {f"ssh_{key}": hosts[0][name] for key, name in keys.items()}
    data["_sudo"] = True
    inventory = tmp_path / "inventory.py"
    two = [("up", data), ("down", {**data, "ssh_port": closed_port})]
    inventory.write_text(f"hosts = {two!r}\n")
    for words in (["status"], ["drift"]):
        more = ["deploys/uv.py"] if words == ["drift"] else []
        done = uplift(*words, str(inventory), *more, "--json", check=False)
        assert done.returncode == Exit.HELD, done.stderr
        assert list(json.loads(done.stdout)["errors"]) == ["down"]


@dataclass
class Told:
    """What the commands tell of an application.

    Args:
        site: its host.
        uplift: runs the command.
        folder: for inventories.
        environment: of commands.
    """

    site: Site
    uplift: Any
    folder: Path
    environment: Mapping[str, str]

    def row(self, block: Mapping[str, Any]) -> dict[str, Any]:
        """Return what status tells of it."""
        rows = self._said("status", block)["rows"]
        return next(one for one in rows if one["kind"] == "app")

    def drift(self, block: Mapping[str, Any]) -> dict[str, str]:
        """Return what is not as settings with this block say, by kind."""
        found = self._said("drift", block, "deploys/app.py")["findings"]
        # This inventory says nothing of the services that may run on the same host.
        return {one["kind"]: one["text"] for one in found if one["kind"] != "orphan"}

    def _said(self, command: str, block: Mapping[str, Any], *words: str) -> dict[str, Any]:
        inventory = self.site.inventory(self.folder / "inventory.py", dict(block))
        done = self.uplift(command, inventory, *words, "--json", env=self.environment, check=False)
        assert done.returncode in (Exit.DONE, Exit.PENDING), done.stderr
        return dict(json.loads(done.stdout))


@pytest.fixture
def told(old: Site, uplift: Any, environment: dict[str, str], tmp_path: Path) -> Told:
    """The application that Poetry built serves."""
    return Told(old, uplift, tmp_path, {**environment, **old.environment})


@pytest.mark.slow
def test_an_application_is_told_as_it_serves_and_as_it_was_stopped_by_hand(told: Told) -> None:
    block = told.site.block("1.4.0-poetry")
    serves = told.row(block)
    assert serves["image"] == block["image"]
    assert (serves["name"], serves["builder"], serves["notes"]) == ("testapp", "poetry", [])
    assert serves["state"] in ("healthy", "running")
    assert serves["digest"].startswith("sha256:")
    assert serves["release"] and serves["slot"] in ("blue", "green")
    assert told.drift(block) == {}

    told.site.sh(f"docker stop testapp-{serves['slot']}")
    stopped = told.row(block)
    assert (stopped["state"], stopped["release"]) == ("exited", serves["release"])
    assert set(told.drift(block)) == {"settings", "state"}
    told.site.sh(f"docker start testapp-{serves['slot']}")


@pytest.mark.slow
def test_drift_names_the_file_and_the_variables_of_an_application_that_are_not_as_wanted(
    told: Told,
) -> None:
    fields = {"files": {"words.txt": {"content": "ours"}}, "environment": {"COLOUR": "red"}}
    told.site.run("1.4.0-poetry", **fields)
    block = told.site.block("1.4.0-poetry", **fields)
    assert told.drift(block) == {}

    file = told.site.sh("ls /etc/uplift/apps/testapp/*/words.txt")
    told.site.sh(f"echo theirs >{file}")
    edited = told.drift(block)
    assert set(edited) == {"settings"}
    assert "words.txt" in edited["settings"]
    # Read-only, as all of it.
    assert told.site.sh(f"cat {file}") == "theirs"
    told.site.run("1.4.0-poetry", **fields)
    assert told.site.sh(f"cat {file}") == "ours"

    other = told.site.block("1.4.0-poetry", **{**fields, "environment": {"COLOUR": "blue"}})
    changed = told.drift(other)
    assert set(changed) == {"settings"}
    assert "COLOUR" in changed["settings"]


# On each host another image of the same name, of whose host it knows.
SAME = """
set -eu
printf 'FROM scratch\\nLABEL of=%s\\n' "$(hostname)" | docker build -q -t registry:5000/same:1 -
docker rm -f same 2>/dev/null || :
docker create --name same --label io.uplift.managed=true --label io.uplift.subject=same \
  --label io.uplift.container=same registry:5000/same:1 none
"""


@pytest.mark.slow
def test_drift_names_the_host_whose_tag_is_another_image_with_one_command_a_subject(
    uplift: Any, ssh: Any, pyinfra: Any
) -> None:
    names = ("lab-1", "lab-2")
    limits = [word for name in names for word in ("--limit", name)]
    pyinfra(INVENTORY, "deploys/docker.py", "-y", *limits)
    log = "sudo journalctl -u ssh -o cat --no-pager | grep -c '^Starting session: command'"

    def sessions() -> int:
        return int(ssh("lab-2", log).stdout)

    try:
        for name in names:
            ssh(name, f"sudo sh -c {shlex.quote(SAME)}")
        before = sessions()
        done = uplift("drift", INVENTORY, "deploys/uv.py", *limits, "--json", check=False)
        # One for uv (and one for its index, where it is to be installed), one for all that status
        # shows, and the one that counts.
        assert sessions() - before in (3, 4)
    finally:
        for name in names:
            ssh(name, "sudo docker rm -f same; sudo docker rmi registry:5000/same:1")
    assert done.returncode == Exit.PENDING, done.stderr
    findings = json.loads(done.stdout)["findings"]
    (odd,) = [one for one in findings if one["kind"] == "digest"]
    assert (odd["subject"], odd["host"] in names) == ("same", True)
    assert "registry:5000/same:1 is " in odd["text"] and " elsewhere" in odd["text"]
