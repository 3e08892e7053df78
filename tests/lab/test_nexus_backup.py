"""Backups of a real Nexus: copied while it is stopped, read back, and restored over a lost file."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.lab.backup_box import PASSWORD, PLACE, Box, said

# Each stop and start of a Nexus takes a minute.
pytestmark = pytest.mark.slow

Run = Callable[..., Any]

DEPLOY = "tests/lab/nexus_server_deploy.py"
NAME = "uplift-test-nexus"
FOLDER = "/srv/uplift-test-nexus"
PORT = 28181
PROGRAM = "/usr/local/lib/uplift/backup-nexus"
TIMER = "uplift-backup-nexus.timer"
CONTENT = secrets.token_hex(5000)
SERVER = {
    "image": "registry:5000/sonatype/nexus3:3.30.0",
    "name": NAME,
    "port": PORT,
    "data": FOLDER,
    "heap": "512m",
    "direct_memory": "512m",
    "java_options": ["-XX:TieredStopAtLevel=1"],
    "nofile": 16384,
    "stable": 2,
    "start_limit": 1500,
}
BLOCK: dict[str, Any] = {
    "target": PLACE,
    "container": NAME,
    "password": {"secret": "b/password"},
    "keep": {"last": 2, "daily": 0, "weekly": 0},
    "start_limit": 1500,
}


class NexusBox(Box):
    """A host with a Nexus in place of the InfluxDB."""

    def take(self, *, ok: bool = True, **fields: Any) -> str:
        backups = {"nexus": {**BLOCK, **fields}}
        words = ["--data", "subject=nexus"]
        return said(self.pyinfra("deploys/backup.py", *words, backups=backups), ok)

    def schedules(self) -> str:
        return said(self.pyinfra("deploys/backup.py", backups={"nexus": BLOCK}), True)

    def restore(self, name: str = "latest", *, replace: bool = True, ok: bool = True) -> str:
        words = ["--data", "subject=nexus", "--data", f"backup={name}"]
        words += ["--data", "replace=yes"] if replace else []
        done = self.pyinfra("deploys/restore.py", *words, backups={"nexus": BLOCK})
        return said(done, ok)

    def names(self, place: str = PLACE) -> list[str]:
        return self.sh(f"ls {place}/nexus 2>/dev/null | grep T || :").split()

    def ask(self, method: str, path: str, *more: str, password: str = PASSWORD) -> str:
        """Ask as admin, with the password by standard input; return body and status."""
        words = shlex.join(["-X", method, *more, f"127.0.0.1:{PORT}{path}"])
        login = shlex.quote(f"user = admin:{password}\n")
        return self.sh(f"printf %s {login} | curl -s -K - -w '\\n%{{http_code}}' {words}")

    def make(self, kind: str, body: dict[str, Any]) -> None:
        made = self.ask(
            "POST", f"/service/rest/v1/{kind}", "-H", "Content-Type: application/json",
            "-d", json.dumps(body),
        )  # fmt: skip
        assert re.search(r"20[0-9]$", made), made

    def file(self) -> str:
        return self.ask("GET", "/repository/files/dir/one.txt")

    def started(self) -> str:
        return self.sh(f"docker inspect -f '{{{{.State.StartedAt}}}}' {NAME}")

    def clean(self) -> None:
        self.pyinfra("deploys/backup.py", backups={})
        self.sh(
            f"docker rm -f {NAME}; rm -rf {FOLDER} {PLACE} /srv/.uplift-before-restore"
            f" /srv/.uplift-copies/{NAME} /var/lib/uplift/containers/{NAME}"
            " /var/lib/uplift/backup/nexus",
            check=False,
        )


@pytest.fixture(scope="module")
def box(
    hosts: list[dict[str, Any]],
    ssh: Run,
    uplift: Run,
    pyinfra: Run,
    environment: dict[str, str],
    lab_name: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[NexusBox]:
    """A host with a Nexus that has one raw repository with one file."""
    name = str(hosts[0]["name"])
    uplift("lab", "image", "nexus:3.30.0", "--name", lab_name)
    pyinfra("inventories/lab.py", "deploys/docker.py", "-y", "--limit", name)
    given = {**environment, "UPLIFT_TEST_NEXUS": json.dumps(SERVER)}
    box = NexusBox(name, ssh, given, tmp_path_factory.mktemp("backup"))
    box.clean()
    said(box.pyinfra(DEPLOY), True)
    first = box.sh(f"cat {FOLDER}/admin.password")
    changed = box.ask(
        "PUT", "/service/rest/v1/security/users/admin/change-password",
        "-H", "Content-Type: text/plain", "-d", PASSWORD, password=first,
    )  # fmt: skip
    assert changed.endswith("204"), changed
    storage = {
        "blobStoreName": "default",
        "strictContentTypeValidation": False,
        "writePolicy": "ALLOW",
    }
    body = {"name": "files", "online": True, "storage": storage}
    box.make("repositories/raw/hosted", body)
    box.sh(f"echo {CONTENT} >/tmp/uplift-test-file")
    sent = box.ask("PUT", "/repository/files/dir/one.txt", "-T", "/tmp/uplift-test-file")
    assert sent.endswith("201"), sent
    yield box
    box.clean()
    # What failed in these tests leaves nothing behind when the settings have it no more.
    assert "uplift-backup" not in box.sh("systemctl list-units --all --failed --no-legend")


@pytest.fixture(scope="module")
def taken(box: NexusBox) -> str:
    """What the first run with a backup on request said."""
    return box.take()


def test_a_backup_on_request_is_read_back_and_says_how_long_the_server_was_away(
    taken: str, box: NexusBox
) -> None:
    (name,) = box.names()
    assert f"{name} taken and read back" in taken
    assert re.search(r"1 repositories, 1 blobs, .*/nexus3\S* 3\.30\.0-01 on ", taken)
    assert re.search(r"[1-9][0-9]* stopped seconds", taken)
    assert "stopped_seconds" in box.sh(f"cat {PLACE}/nexus/{name}/manifest")
    assert box.sh("docker ps -aq --filter name=uplift-backup") == ""
    assert box.file() == f"{CONTENT}\n\n200"
    policy = box.sh(f"docker inspect -f '{{{{.HostConfig.RestartPolicy.Name}}}}' {NAME}")
    assert policy == "unless-stopped"


def test_the_second_run_changes_nothing_and_stops_nothing(taken: str, box: NexusBox) -> None:
    before = box.started()
    # pyinfra fills names up to the longest one of the inventory.
    assert re.search(rf"\[{box.name}\] +No changes", box.schedules())
    assert box.started() == before


def test_the_password_stands_in_one_file_of_roots_own(taken: str, box: NexusBox) -> None:
    found = box.sh(
        f"grep -rls {PASSWORD} /etc/uplift/backup /etc/systemd /usr/local /run/systemd; :"
    )
    assert found == "/etc/uplift/backup/nexus/curl"
    modes = box.sh(f"stat -c %a {found} {PLACE}/nexus/*/*").split()
    assert set(modes) == {"600"}
    journal = box.sh("journalctl -q --no-pager -u 'uplift-*'")
    assert "taken and read back" in journal
    assert PASSWORD not in journal + taken


def test_a_damaged_backup_is_refused_and_the_server_is_not_touched(
    taken: str, box: NexusBox
) -> None:
    (name,) = box.names()
    before, file = box.started(), f"{PLACE}/nexus/{name}/data.tar.gz"
    box.sh(f"cp -a {file} /var/tmp/uplift-test-whole")
    for spoil in (
        f"printf x | dd of={file} bs=1 seek=5000 conv=notrunc status=none",
        f"truncate -s -1 {file}",
    ):
        box.sh(spoil)
        assert "is damaged" in box.restore(ok=False)
        box.sh(f"cp -a /var/tmp/uplift-test-whole {file}")
    box.sh("rm /var/tmp/uplift-test-whole")
    # The positive control: it is whole again.
    assert "data.tar.gz: OK" in box.sh(f"{PROGRAM} sums")
    assert box.started() == before


def test_a_blob_store_in_another_place_is_refused_before_the_server_stops(
    taken: str, box: NexusBox
) -> None:
    before, names = box.started(), box.names()
    box.make("blobstores/file", {"name": "elsewhere", "path": "/tmp/elsewhere"})
    try:
        refused = box.take(ok=False)
        assert "blob store elsewhere is in /tmp/elsewhere, which is in no backup" in refused
    finally:
        box.ask("DELETE", "/service/rest/v1/blobstores/elsewhere")
    assert (box.started(), box.names()) == (before, names)


def test_a_password_that_was_changed_by_hand_is_told_before_the_server_stops(
    taken: str, box: NexusBox
) -> None:
    before, names = box.started(), box.names()
    file = "/etc/uplift/backup/nexus/curl"
    box.sh(f"sed -i 's/:.*/:{secrets.token_hex(8)}\"/' {file}")
    done = box.sh(f"{PROGRAM} take", check=False)
    assert "the server does not take admin with the password of the settings (401)" in done
    assert (box.started(), box.names()) == (before, names)
    # The deploy writes it again.
    assert f"{file} changed" in box.schedules()


def test_a_backup_without_its_database_is_not_read_back(taken: str, box: NexusBox) -> None:
    before = box.started()
    # Between the archive and the server, once: Nexus itself makes a new database without a word.
    box.sh(
        'sed \'s/^read_back() {/read_back() { rm -rf "$1"\\/db\\/component;/; '
        "s/^start_limit=.*/start_limit=300/' "
        f"{PROGRAM} >/run/uplift-test-program"
    )
    names = box.names()
    done = box.sh("sh /run/uplift-test-program take", check=False)
    assert re.search("FAILED: (reading it back failed|what was read back is not)", done), done
    assert box.names() == names
    assert box.started() > before
    assert box.file() == f"{CONTENT}\n\n200"


def test_a_restore_over_data_wants_to_be_told_so(taken: str, box: NexusBox) -> None:
    before = box.started()
    assert "add --data replace=yes" in box.restore(replace=False, ok=False)
    assert box.started() == before


def test_a_restore_that_fails_puts_the_present_state_back(taken: str, box: NexusBox) -> None:
    sent = box.ask("PUT", "/repository/files/later.txt", "-T", "/tmp/uplift-test-file")
    assert sent.endswith("201"), sent
    # The server is not let go on with what was restored, once.
    box.sh(
        "sed 's/^serves() {/serves() { echo stopped by the test >\"$new\\/why\"; return 1;/' "
        f"{PROGRAM} >/run/uplift-test-program"
    )
    done = box.sh("sh /run/uplift-test-program restore latest replace", check=False)
    assert "stopped by the test" in done
    assert "the state of before is back" in done
    box.sh(
        "until curl -sf -o /dev/null"
        f" 127.0.0.1:{PORT}/service/rest/v1/status/writable; do sleep 1; done"
    )
    # What came after the backup is there as well.
    assert box.ask("GET", "/repository/files/later.txt").endswith("200")


def test_a_file_that_was_deleted_is_there_again(taken: str, box: NexusBox) -> None:
    assert box.ask("DELETE", "/repository/files/dir/one.txt").endswith("204")
    assert box.file().endswith("404")
    assert "restored: " in box.restore()
    assert box.file() == f"{CONTENT}\n\n200"
    assert box.sh(f"stat -c %u:%g {FOLDER} {FOLDER}/blobs").split() == ["200:200"] * 2
    assert box.sh(f"systemctl is-active {TIMER}") == "active"
