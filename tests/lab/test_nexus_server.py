"""The container of a real Nexus: started closed, drifted by hand, upgraded and brought back."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import secrets
import shlex
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

DEPLOY = "tests/lab/nexus_server_deploy.py"
REPOSITORY = "registry:5000/sonatype/nexus3"
FOLDER = "/srv/uplift-test-nexus"
NAME = "uplift-test-nexus"
PORT = 28181
START_LIMIT = 1500  # seconds
WHEEL = "own_pkg-1.0-py3-none-any.whl"
# Images that are made here: one without a version, and one that damages its data.
BROKEN = "uplift-test-nexus-broken"

Run = Callable[..., subprocess.CompletedProcess[str]]


def block(version: str = "3.30.0", **fields: Any) -> dict[str, Any]:
    """A Nexus on a folder of the host; limits of open files are beyond what a lab host may set."""
    return {
        "image": f"{REPOSITORY}:{version}",
        "name": NAME,
        "port": PORT,
        "data": FOLDER,
        "heap": "512m",
        "direct_memory": "512m",
        # It starts with half the work: what is compiled well pays off later than these tests.
        "java_options": ["-XX:TieredStopAtLevel=1"],
        "nofile": 16384,
        "stable": 2,
        # On a busy machine.
        "start_limit": START_LIMIT,
        **fields,
    }


@dataclass
class Box:
    """One host, and a Nexus applied to it."""

    name: str
    ssh: Run
    pyinfra: Run
    environment: dict[str, str]
    wheel: bytes = field(default=b"", repr=False)

    def sh(self, script: str, *, check: bool = True) -> str:
        done = self.ssh(self.name, f"sudo sh -c {shlex.quote(script)}", check)
        return str(done.stdout).strip()

    def words(self, given: dict[str, Any], *more: str) -> list[str]:
        self.environment["UPLIFT_TEST_NEXUS"] = json.dumps(given)
        return ["inventories/lab.py", DEPLOY, "--limit", self.name, *more]

    def apply(self, given: dict[str, Any]) -> bool:
        """Apply settings and tell whether anything changed."""
        done = self.pyinfra(*self.words(given, "-y", "--json"), limit=2 * START_LIMIT)
        (operation,) = json.loads(done.stdout)["results"]["operations"]
        assert operation["success"] + operation["no_change"]
        return not operation["no_change"]

    def refused(self, given: dict[str, Any]) -> str:
        """Apply settings that must be refused, and return all that was said."""
        done = self.pyinfra(*self.words(given, "-y"), check=False, limit=2 * START_LIMIT)
        assert done.returncode != 0, done.stdout + done.stderr
        return str(done.stdout + done.stderr)

    def dry(self, given: dict[str, Any]) -> str:
        done = self.pyinfra(*self.words(given, "--dry"))
        return str(done.stdout + done.stderr)

    def started(self) -> str:
        return self.sh(f"docker inspect -f '{{{{.Id}}}} {{{{.State.StartedAt}}}}' {NAME}")

    def serves(self) -> str:
        """Return which version answers, once it does."""
        for _ in range(START_LIMIT):
            said = self.sh(
                f"curl -sf -D - -o /dev/null 127.0.0.1:{PORT}/service/rest/v1/status/writable",
                check=False,
            )
            if found := re.search(r"Server: Nexus/([\d.]+)", said):
                return found[1]
            time.sleep(1)
        raise AssertionError(f"{NAME} does not serve: {said}")

    def api(self, method: str, path: str, *more: str) -> str:
        """Ask as admin, with the first password."""
        words = shlex.join(["-X", method, *more, f"127.0.0.1:{PORT}{path}"])
        return self.sh(
            f'printf \'user = "admin:%s"\' "$(cat {FOLDER}/admin.password)" |'
            f" curl -s -K - -w '\\n%{{http_code}}' {words}"
        )

    def publish(self) -> None:
        """Make a repository with one package in it."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as packed:
            packed.writestr("own_pkg.py", f"X = {secrets.token_hex(8)!r}\n")
            packed.writestr(
                "own_pkg-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: own-pkg\n"
            )
        self.wheel = content.getvalue()
        self.sh(f"base64 -d >/tmp/{WHEEL} <<'E'\n{base64.b64encode(self.wheel).decode()}\nE")
        storage = {
            "blobStoreName": "default",
            "strictContentTypeValidation": True,
            "writePolicy": "ALLOW_ONCE",
        }
        body = json.dumps({"name": "own", "online": True, "storage": storage})
        made = self.api(
            "POST", "/service/rest/v1/repositories/pypi/hosted", "-H",
            "Content-Type: application/json", "-d", body,
        )  # fmt: skip
        assert made.endswith("201"), made
        sent = self.api(
            "POST", "/repository/own/", "-F", ":action=file_upload", "-F", "name=own-pkg",
            "-F", "version=1.0", "-F", f"content=@/tmp/{WHEEL}",
        )  # fmt: skip
        assert sent.endswith("200"), sent

    def has_package(self) -> bool:
        """Tell whether it serves the package, byte for byte."""
        found = self.sh(
            f'printf \'user = "admin:%s"\' "$(cat {FOLDER}/admin.password)" |'
            f" curl -sf -K - 127.0.0.1:{PORT}/repository/own/packages/own-pkg/1.0/{WHEEL} |"
            " sha256sum | cut -c 1-64"
        )
        return found == hashlib.sha256(self.wheel).hexdigest()

    def properties(self) -> str:
        return self.sh(f"cat {FOLDER}/etc/nexus.properties")

    def clean(self) -> None:
        self.sh(
            f"docker rm -f {NAME}; rm -rf {FOLDER} /srv/.uplift-copies/{NAME} /tmp/{WHEEL}"
            f"  /var/lib/uplift/containers/{NAME}; docker rmi {BROKEN}:3.30.1 {BROKEN}:next",
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
    """A host with Docker and nothing of these tests, and the images in the lab's registry."""
    name = str(hosts[0]["name"])
    uplift("lab", "image", "nexus:3.30.0", "--name", lab_name)
    pyinfra("inventories/lab.py", "deploys/docker.py", "--limit", name, "-y")
    box = Box(name, ssh, pyinfra, environment)
    box.clean()
    yield box
    box.clean()
    del environment["UPLIFT_TEST_NEXUS"]


@pytest.fixture(scope="module")
def running(box: Box) -> Box:
    """Nexus 3.30.0 as its settings say, on a folder that was not there."""
    assert box.apply(block()) is True
    return box


def test_applied_again_nothing_changes_and_the_server_is_not_even_asked(running: Box) -> None:
    before = running.started()
    # Its own line is written when an answer is over.
    asked = f"cat {FOLDER}/log/request.log | wc -l"
    counted = running.sh(asked)
    assert running.apply(block()) is False
    assert (running.started(), running.sh(asked)) == (before, counted)
    # The positive control: a request is seen there.
    assert running.serves() == "3.30.0"
    time.sleep(1)
    assert int(running.sh(asked)) > int(counted)


def test_a_new_server_is_empty_closed_and_its_first_password_is_roots_alone(running: Box) -> None:
    anonymous = running.api("GET", "/service/rest/v1/security/anonymous")
    assert json.loads(anonymous.rpartition("\n")[0])["enabled"] is False
    repositories = running.api("GET", "/service/rest/v1/repositories")
    assert json.loads(repositories.rpartition("\n")[0]) == []
    rights = running.sh(f"stat -c '%a %u:%g' {FOLDER}; ls {FOLDER}/admin.password")
    assert rights == f"700 200:200\n{FOLDER}/admin.password"
    asked = running.sh(f"runuser -u nobody -- cat {FOLDER}/admin.password 2>&1 || :")
    assert "Permission denied" in asked


def test_it_listens_where_the_settings_say_with_the_limits_they_give(running: Box) -> None:
    bound = running.sh(f"docker port {NAME}")
    assert bound == f"8081/tcp -> 127.0.0.1:{PORT}"
    assert running.sh(f"docker exec {NAME} sh -c 'ulimit -n'") == "16384"
    java = running.sh(
        f"tr '\\0' ' ' </proc/$(docker top {NAME} -o pid | tail -n 1 | tr -d ' ')/cmdline"
    )
    # Java takes the last of several.
    assert re.findall(r"-Xmx\S+", java)[-1] == "-Xmx512m"
    assert re.findall(r"-XX:MaxDirectMemorySize=\S+", java)[-1].endswith("=512m")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image": f"{REPOSITORY}:3.29.2"}, "the data is of Nexus 3.30.0, and image .* is older"),
        ({"image": f"{REPOSITORY}:3.71.0"}, "OrientDB, which Nexus 3.71.0 does not read"),
        ({"image": f"{BROKEN}:next"}, "does not say which version it is"),
    ],
)
def test_an_image_that_does_not_fit_the_data_is_refused_before_it_is_pulled(
    running: Box, uplift: Run, lab_name: str, fields: dict[str, Any], reason: str
) -> None:
    version = fields["image"].rpartition(":")[2]
    if fields["image"].startswith(BROKEN):
        file = f"FROM {REPOSITORY}:3.30.0\nENV A=b\n"
        running.sh(f"printf %s {shlex.quote(file)} | docker build -q -t {BROKEN}:next -")
    else:
        uplift("lab", "image", f"nexus:{version}", "--name", lab_name)
        running.sh(f"docker rmi {fields['image']}", check=False)
    before = running.started()
    assert re.search(reason, running.refused(block(**fields)))
    assert running.started() == before
    if not fields["image"].startswith(BROKEN):
        assert running.sh(f"docker image ls -q {fields['image']}") == ""


@pytest.mark.slow
def test_what_a_stopped_server_left_tells_its_version_as_well(running: Box) -> None:
    older = block("3.29.2")
    running.sh(f"docker stop -t 120 {NAME}")
    try:
        assert "is of Nexus 3.30.0" in running.dry(older)
        running.sh(f"mv {FOLDER}/log/nexus.log /tmp/uplift-test-nexus.log")
        # The cache of its parts is left.
        assert "is of Nexus 3.30.0" in running.dry(older)
    finally:
        running.sh(f"mv /tmp/uplift-test-nexus.log {FOLDER}/log/nexus.log; docker start {NAME}")
    assert running.serves() == "3.30.0"


def test_a_dry_run_names_each_key_that_changes_and_writes_nothing(running: Box) -> None:
    before, text = running.started(), running.properties()
    said = running.dry(block(properties={"nexus.onboarding.enabled": "false"}, port=PORT + 1))
    assert "nexus.properties: nexus.onboarding.enabled none -> 'false'" in said
    assert f"+127.0.0.1:{PORT + 1}:8081/tcp" in said
    assert (running.started(), running.properties()) == (before, text)


@pytest.mark.parametrize("drift", ["chown -R root:root {}/etc", "chmod 755 {}"])
def test_data_that_were_given_to_somebody_else_are_given_back_without_a_restart(
    running: Box, drift: str
) -> None:
    before = running.started()
    running.sh(drift.format(FOLDER))
    assert running.apply(block()) is True
    assert running.apply(block()) is False
    assert running.started() == before
    rights = running.sh(f"stat -c '%u %a' {FOLDER}; find {FOLDER} ! -uid 200 | wc -l")
    # What the others may not do is all that is changed of the rights.
    assert rights in ("200 700\n0", "200 750\n0")


@pytest.mark.slow
def test_properties_are_merged_into_what_somebody_wrote_by_hand(running: Box) -> None:
    by_hand = "# by hand\nnexus.onboarding.enabled = true\n  odd\\ key : \\\n  x\n"
    running.sh(f"printf %s {shlex.quote(by_hand)} >>{FOLDER}/etc/nexus.properties")
    before = running.properties()
    given = block(properties={"nexus.onboarding.enabled": "false"}, context_path="/nexus")
    assert running.apply(given) is True
    merged = before.replace("nexus.onboarding.enabled = true", "nexus.onboarding.enabled=false")
    assert running.properties() == f"{merged}\nnexus-context-path=/nexus"
    answer = (
        f"curl -s -o /dev/null -w '%{{http_code}}' 127.0.0.1:{PORT}/nexus/service/rest/v1/status"
    )
    assert running.sh(answer) == "200"
    assert running.apply(given) is False
    assert running.sh(f"stat -c %u:%g {FOLDER}/etc/nexus.properties") == "200:200"


@pytest.mark.slow
def test_an_upgrade_keeps_the_packages_and_a_failed_one_brings_the_old_server_back(
    box: Box, uplift: Run, lab_name: str
) -> None:
    uplift("lab", "image", "nexus:3.29.2", "--name", lab_name)
    box.clean()
    # A folder that an administrator made, as people do.
    box.sh(f"mkdir -m 755 {FOLDER}")
    assert box.apply(block("3.29.2")) is True
    assert box.serves() == "3.29.2"
    box.publish()
    before = box.properties()

    damage = "rm -rf /nexus-data/db/component /nexus-data/blobs; exec sleep 1000"
    file = f'FROM {REPOSITORY}:3.29.2\nCMD ["sh", "-c", "{damage}"]\n'
    box.sh(f"printf %s {shlex.quote(file)} | docker build -q -t {BROKEN}:3.30.1 -")
    changed = {"properties": {"x.y": "z"}}
    said = box.refused({**block(**changed), "image": f"{BROKEN}:3.30.1", "start_limit": 120})
    assert "FAILED at healthy: its check (http) fails" in said
    assert box.serves() == "3.29.2"
    assert box.has_package()
    assert box.properties() == before

    assert box.apply(block(**changed)) is True
    assert box.serves() == "3.30.0"
    assert box.has_package()
    assert box.properties() == f"{before}\nx.y=z"
    assert box.apply(block(**changed)) is False

    assert "is of Nexus 3.30.0" in box.refused(block("3.29.2", **changed))
    assert box.has_package()

    # The way back that is described: the copy of before the upgrade.
    box.sh(
        f"docker stop -t 120 {NAME}; find {FOLDER} -mindepth 1 -delete;"
        f" cp -a /srv/.uplift-copies/{NAME}/*/0/. {FOLDER}/"
    )
    assert box.apply(block("3.29.2")) is True
    assert box.serves() == "3.29.2"
    assert box.has_package()
