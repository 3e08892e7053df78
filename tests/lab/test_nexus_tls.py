"""A real Nexus that speaks TLS itself: its certificate, exchanged, damaged and taken away."""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.lab.backup_box import PLACE, said
from tests.lab.backup_box import Box as BackupBox

from uplift import authority

pytestmark = pytest.mark.slow

NAME = "uplift-test-nexus-tls"
FOLDER = f"/etc/uplift/{NAME}"
LOG = f"/var/lib/docker/volumes/{NAME}/_data/log/request.log"
PORT = 28183
HOST, OTHER = "nexus.uplift.test", "packages.uplift.test"
LIMIT = 1500  # seconds; on a busy machine
PASSWORDS = {name: secrets.token_hex(12) for name in ("ADMIN", "READER")}
Run = Callable[..., subprocess.CompletedProcess[str]]


def wanted(tls: dict[str, Any] | None) -> dict[str, Any]:
    """Settings of a Nexus in a container."""
    return {
        "container": {
            "image": "registry:5000/sonatype/nexus3:3.30.0",
            "name": NAME,
            "port": PORT,
            "data": NAME,
            "heap": "512m",
            "direct_memory": "512m",
            # It starts with half the work.
            "java_options": ["-XX:TieredStopAtLevel=1"],
            "nofile": 16384,
            "stable": 2,
            "start_limit": LIMIT,
            "tls": tls,
        },
        "admin": {"password": {"secret": "n/admin"}},
        "repositories": [{"format": "raw", "type": "hosted", "name": "files"}],
        "readers": {
            "repositories": ["files"],
            "users": [{"user_id": "reader", "password": {"secret": "n/reader"}}],
        },
    }


@dataclass
class Box:
    """One host, and a Nexus with TLS applied to it."""

    name: str
    ssh: Run
    pyinfra: Run
    environment: dict[str, str]

    def sh(self, script: str, *, check: bool = True) -> str:
        done = self.ssh(self.name, f"sudo sh -c {shlex.quote(script)}", check)
        return str(done.stdout).strip()

    def run(self, tls: dict[str, Any] | None, *options: str, trusted: bool = False) -> Any:
        self.environment["UPLIFT_TEST_NEXUS"] = json.dumps(wanted(tls))
        self.environment["UPLIFT_TEST_TRUSTED"] = "yes" if trusted else "no"
        words = ["inventories/lab.py", "tests/lab/nexus_tls_deploy.py", "--limit", self.name]
        return self.pyinfra(*words, *options, check=False, limit=2 * LIMIT)

    def apply(self, tls: dict[str, Any] | None, *, trusted: bool = False) -> tuple[bool, ...]:
        """Apply settings; tell whether anything changed of the server, and of what it holds."""
        done = self.run(tls, "-y", "--json", trusted=trusted)
        assert done.returncode == 0, done.stdout + done.stderr
        _, *some = json.loads(done.stdout)["results"]["operations"]
        return tuple(not it["no_change"] for it in some)

    def began(self) -> tuple[str, str]:
        """Return the id of the container, and when it was started."""
        said = self.sh(f"docker inspect -f '{{{{.Id}}}} {{{{.State.StartedAt}}}}' {NAME}")
        id, began = said.split()
        return id, began

    def status(self, name: str, *options: str, user: str = "reader") -> str:
        """Ask for a file that is there as a client does; return curl's exit code and the status."""
        config = shlex.quote(f'user = "{user}:{PASSWORDS[user.upper()]}"')
        words = shlex.join(["-s", "-o", "/dev/null", "-w", "%{http_code}", *options])
        url = f"https://{name}:{PORT}/repository/files/a.txt"
        return self.sh(f'printf %s {config} | curl --config - {words} {url}; echo " $?"')

    def names(self) -> str:
        """Return the names of the certificate that the server shows."""
        return self.sh(
            f"openssl s_client -connect 127.0.0.1:{PORT} </dev/null 2>/dev/null |"
            " openssl x509 -noout -ext subjectAltName | tail -n 1"
        )

    def logged(self) -> list[str]:
        """Return the methods that the server has logged."""
        return self.sh(f"sed -n 's/.*] \"\\([A-Z]*\\) .*/\\1/p' {LOG}").split()

    def clean(self) -> None:
        self.sh(
            f"docker rm -fv {NAME}; docker volume rm {NAME}; rm -rf {FOLDER}"
            f" /var/lib/uplift/containers/{NAME} /var/lib/uplift/nexus-*-{PORT}.json"
            " /usr/local/share/ca-certificates/uplift-test.crt; update-ca-certificates;"
            # Docker has mounted this file: it is written in place.
            " grep -v uplift.test /etc/hosts >/run/uplift-hosts; cat /run/uplift-hosts >/etc/hosts",
            check=False,
        )


@pytest.fixture(scope="module")
def box(
    hosts: list[dict[str, Any]],
    lab_name: str,
    environment: dict[str, str],
    uplift: Run,
    ssh: Run,
    pyinfra: Run,
) -> Iterator[Box]:
    """A host with Docker and nothing of these tests, and the image in the lab's registry."""
    name = str(hosts[0]["name"])
    uplift("lab", "image", "nexus:3.30.0", "--name", lab_name)
    pyinfra("inventories/lab.py", "deploys/docker.py", "--limit", name, "-y")
    box = Box(name, ssh, pyinfra, environment)
    environment |= {f"UPLIFT_SECRET_N_{key}": value for key, value in PASSWORDS.items()}
    box.clean()
    box.sh(f"echo '127.0.0.1 {HOST} {OTHER}' >>/etc/hosts")
    yield box
    box.clean()
    own = [f"UPLIFT_SECRET_N_{it}" for it in PASSWORDS]
    for key in ("UPLIFT_TEST_NEXUS", "UPLIFT_TEST_TRUSTED", *own):
        del environment[key]


@pytest.fixture(scope="module")
def running(box: Box) -> Box:
    """A new server with a certificate of the controller's own CA, and a file in it."""
    assert box.apply({"names": [HOST]}) == (True, True)
    config = shlex.quote(f'user = "admin:{PASSWORDS["ADMIN"]}"')
    where = f"https://{HOST}:{PORT}/repository/files/a.txt"
    sent = box.sh(
        f"printf %s {config} | curl --config - -s --cacert {FOLDER}/ca.crt --data-raw text"
        f" -X PUT -H 'Content-Type: text/plain' -o /dev/null -w '%{{http_code}}' {where}"
    )
    assert sent == "201"
    return box


def test_a_second_run_changes_nothing_and_writes_nothing(running: Box) -> None:
    before, began = running.logged(), running.began()
    seen = running.sh(f"sha256sum {FOLDER}/*")
    assert running.apply({"names": [HOST]}) == (False, False)
    assert (running.began(), running.sh(f"sha256sum {FOLDER}/*")) == (began, seen)
    some = running.logged()[len(before) :]
    # The reads are the positive control.
    assert len(some) > 10 and set(some) == {"GET"}


def test_clients_check_the_certificate_and_plain_http_gets_nothing(running: Box) -> None:
    assert running.status(HOST, "--cacert", f"{FOLDER}/ca.crt") == "200 0"
    # Nobody trusts it yet, and it is for no other name.
    assert running.status(HOST) == "000 60"
    assert running.status(OTHER, "--cacert", f"{FOLDER}/ca.crt") == "000 60"
    plain = f"curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.1:{PORT}/; echo"
    assert running.sh(plain) in ("000", "400")


def test_the_key_is_for_root_and_the_server_alone(running: Box) -> None:
    rights = running.sh(f"stat -c '%a %u:%g %n' {FOLDER} {FOLDER}/*")
    assert rights.split("\n") == [
        f"750 0:200 {FOLDER}",
        f"640 0:200 {FOLDER}/ca.crt",
        f"640 0:200 {FOLDER}/keystore.jks",
    ]
    asked = running.sh(f"runuser -u nobody -- cat {FOLDER}/keystore.jks 2>&1 || :")
    assert "Permission denied" in asked


def test_hosts_that_trust_the_own_ca_reach_it_with_every_client(running: Box) -> None:
    assert running.apply({"names": [HOST]}, trusted=True) == (False, False)
    assert running.status(HOST) == "200 0"
    index = "import urllib.request as u; u.urlopen('https://{}:{}/service/rest/v1/status')"
    running.sh(f"python3 -c {shlex.quote(index.format(HOST, PORT))}")
    assert running.apply({"names": [HOST]}) == (False, False)
    assert running.status(HOST) == "000 60"


def test_a_backup_is_read_back_in_a_server_that_has_the_keystore_too(
    running: Box, ssh: Run, tmp_path: Path
) -> None:
    backups = {
        "nexus": {
            "target": PLACE,
            "container": NAME,
            "password": {"secret": "n/admin"},
            "start_limit": LIMIT,
        }
    }
    box = BackupBox(running.name, ssh, running.environment, tmp_path)
    words = ["--data", "subject=nexus"]
    try:
        said(box.pyinfra("deploys/backup.py", *words, backups=backups), True)
        (taken,) = running.sh(f"ls {PLACE}/nexus | grep T").split()
        held = running.sh(f"cat {PLACE}/nexus/{taken}/manifest*")
        assert "repositories 1" in held and "version 3.30.0" in held
    finally:
        box.pyinfra("deploys/backup.py", backups={})
        running.sh(f"rm -rf {PLACE} /var/lib/uplift/backup/nexus", check=False)
    assert running.status(HOST, "--cacert", f"{FOLDER}/ca.crt") == "200 0"


def test_a_dry_run_says_which_names_change_and_changes_nothing(running: Box) -> None:
    began = running.began()
    looked = running.run({"names": [HOST, OTHER]}, "--dry")
    words = looked.stdout + looked.stderr
    assert f"certificate: is not for {OTHER} (its names: {HOST}), signed anew" in words
    assert "restarted with the certificate of its files" in words
    assert (running.began(), running.names()) == (began, f"DNS:{HOST}")


def test_other_names_and_damaged_files_cost_one_restart_and_no_new_container(
    running: Box,
) -> None:
    id, began = running.began()
    running.sh(f"chmod 644 {FOLDER}/keystore.jks; rm {FOLDER}/ca.crt")
    names = {"names": [OTHER, HOST]}
    assert running.apply(names) == (True, False)
    assert running.began()[0] == id and running.began()[1] != began
    assert running.names() == f"DNS:{OTHER}, DNS:{HOST}"
    assert running.status(OTHER, "--cacert", f"{FOLDER}/ca.crt") == "200 0"
    assert running.apply(names) == (False, False)
    test_the_key_is_for_root_and_the_server_alone(running)


def test_a_certificate_of_yours_is_checked_by_the_hosts_own_store(
    running: Box, tmp_path: Path
) -> None:
    ca = authority.own(tmp_path)
    text, key = ca.sign([HOST], datetime.now(UTC))
    (tmp_path / "own.crt").write_text(text)
    (tmp_path / "own.key").write_text(key.reveal())
    own = {
        "names": [HOST],
        "certificate": str(tmp_path / "own.crt"),
        "key_file": str(tmp_path / "own.key"),
    }
    untrusted = running.run(own, "-y")
    assert untrusted.returncode != 0
    assert "its certificate is not trusted there, or not for this name" in (
        untrusted.stdout + untrusted.stderr
    )
    place = "/usr/local/share/ca-certificates/uplift-test.crt"
    running.sh(f"printf %s {shlex.quote(ca.certificate)} >{place}; update-ca-certificates")
    assert running.apply(own) == (False, False)
    assert running.status(HOST) == "200 0"


def test_without_tls_it_speaks_http_again_and_its_key_is_gone(running: Box) -> None:
    assert running.apply(None) == (True, False)
    assert running.sh(f"ls {FOLDER} 2>&1 || :").endswith("No such file or directory")
    where = f"http://127.0.0.1:{PORT}/service/rest/v1/status"
    assert running.sh(f"curl -s -o /dev/null -w '%{{http_code}}' {where}") == "200"
    assert running.apply(None) == (False, False)
