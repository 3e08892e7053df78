"""What people ask of applications that run: checks, logs, commands, removal, certificates."""

from __future__ import annotations

import datetime
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.lab.app_box import DRAIN, Site
from tests.lab.container_box import PROJECT
from tests.lab.prober import Prober, WebSocket

pytest_plugins = ["tests.lab.app_box"]

UPLIFT = str(Path(sys.executable).parent / "uplift")
FILES = {"settings.txt": {"content": "one"}}
CHECKED = {"version_path": "/version", "files": FILES, "environment": {"MODE": "plain"}}


@dataclass
class Project:
    """An inventory with the application, and uplift called on it."""

    box: Site
    inventory: str

    def uplift(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Call uplift; the inventory stands after the first word."""
        return self.at(self.inventory, *words, **options)

    def at(self, inventory: str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Call uplift with another inventory."""
        call = [UPLIFT, words[0], inventory, *words[1:]]
        return subprocess.run(
            call, capture_output=True, text=True, check=False, timeout=600, **self.where, **options
        )

    @property
    def where(self) -> dict[str, Any]:
        """Return the folder and the environment of commands."""
        given = {"UPLIFT_LAB": self.box.lab, "PYINFRA_PROGRESS": "off", **self.box.environment}
        return {"cwd": PROJECT, "env": {**os.environ, **given}}

    def verified(self) -> tuple[int, set[str], str]:
        """Verify, and return the exit code, the tests that failed, and all that was said."""
        tests = [
            word
            for one in ("app", "rollback")
            for word in ("--tests", f"tests/verify/test_{one}.py")
        ]
        done = self.uplift("verify", *tests, "--json")
        (host,) = json.loads(done.stdout)["hosts"]
        failed = {one["test"].partition("[")[0] for one in host["failures"]}
        return done.returncode, failed, done.stdout


@pytest.fixture(scope="module")
def project(box: Site, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The application serves as 2.0.0, after 1.4.0."""
    box.clean()
    box.run("1.4.0-poetry", **CHECKED)
    box.run("2.0.0-uv", **CHECKED)
    file = tmp_path_factory.mktemp("project") / "lab.py"
    return Project(box, box.inventory(file, box.block("2.0.0-uv", **CHECKED)))


RECORD = "$(ls -d /var/lib/uplift/releases/testapp/* | tail -1)"
BEFORE = "$(ls -d /var/lib/uplift/releases/testapp/* | head -1)"
OWN = "$(ls -d /etc/uplift/apps/testapp/*/settings.txt | tail -1)"
RUNNING = "$(docker ps -q --filter label=io.uplift.subject=testapp)"
# HAProxy asks it as well, and gives it nothing then.
UNREADY = {"test_it_answers_that_it_is_ready", "test_through_haproxy_the_same_version_answers"}
RT = "socat - UNIX-CONNECT:/run/haproxy/admin.sock"

BROKEN = [
    # What somebody does, how it is undone, the tests that see it.
    (
        f"cp {OWN} /root/own; echo by hand >{OWN}",
        f"cat /root/own >{OWN}",
        {"test_its_own_files_are_as_they_were_written"},
    ),
    (
        f"sed -i 's/^builder uv/builder poetry/' {RECORD}/outcome",
        f"sed -i 's/^builder poetry/builder uv/' {RECORD}/outcome",
        {"test_it_runs_the_image_that_is_recorded"},
    ),
    (
        f"cp {RECORD}/release.json /root/record; "
        f'sed -i \'s/"digest": "sha256:..../"digest": "sha256:0000/; s/2.0.0-uv/2.0.1-uv/\' '
        f"{RECORD}/release.json",
        f"cat /root/record >{RECORD}/release.json",
        {
            "test_it_runs_the_image_that_is_recorded",
            "test_it_answers_with_the_version_of_its_image",
            "test_through_haproxy_the_same_version_answers",
        },
    ),
    (
        f"docker update --restart=no {RUNNING}",
        f"docker update --restart=unless-stopped {RUNNING}",
        {
            "test_it_runs_with_its_settings_and_secrets",
            "test_its_container_is_sound_and_shows_no_secret",
        },
    ),
    (
        f"for slot in blue green; do echo set server testapp/$slot state ready | {RT}; done",
        f"for slot in blue green; do docker ps | grep -q testapp-$slot || "
        f"echo set server testapp/$slot state maint | {RT}; done",
        {"test_one_slot_of_each_serves"},
    ),
    (
        f"mv {BEFORE}/secrets/0 /root/secret",
        f"mv /root/secret {BEFORE}/secrets/0",
        {"test_the_way_back_is_whole"},
    ),
    (
        f"docker exec {RUNNING} touch /unready",
        f"docker exec {RUNNING} rm /unready; sleep 3",
        UNREADY,
    ),
    (
        f"cp {BEFORE}/release.json /root/record; echo broken >{BEFORE}/release.json",
        f"cat /root/record >{BEFORE}/release.json",
        {"test_the_last_release_is_recorded_as_good"},
    ),
    (
        f"chmod 0644 {RECORD}/release.json",
        f"chmod 0600 {RECORD}/release.json",
        {"test_records_of_releases_are_closed_to_others"},
    ),
]


def seen_when_broken(project: Project, broken: list[tuple[str, str, set[str]]]) -> None:
    """Break one thing after the other: verification fails by its tests alone, and then passes."""
    for what, undone, tests in broken:
        project.box.sh(what)
        try:
            code, failed, said = project.verified()
        finally:
            project.box.sh(undone)
        assert (code, failed) == (1, tests), f"{what}\n{said}"
        code, failed, said = project.verified()
        assert (code, failed) == (0, set()), f"{undone}\n{said}"


@pytest.mark.slow
def test_verification_sees_each_thing_that_somebody_breaks(project: Project) -> None:
    code, failed, said = project.verified()
    assert (code, failed) == (0, set()), said
    seen_when_broken(project, BROKEN)


@pytest.mark.slow
def test_a_host_that_was_taken_back_is_verified_against_its_release(project: Project) -> None:
    project.box.run("2.0.0-uv", "--data", "to=poetry", **CHECKED)
    try:
        code, failed, said = project.verified()
        assert (code, failed) == (0, set()), said
        assert "which this host was taken back to" in said
        record = f"{RECORD}/release.json"
        project.box.sh(
            f"set -e; cp {record} /root/record; "
            f'sed -i \'s/"MODE": "plain"/"MODE": "other"/\' {record}; '
            f"! cmp -s {record} /root/record"
        )
        try:
            code, failed, said = project.verified()
        finally:
            project.box.sh(f"cat /root/record >{record}")
        assert code == 1, said
        assert "test_it_runs_with_its_settings_and_secrets" in failed
    finally:
        project.box.run("2.0.0-uv", "--data", "to=uv", **CHECKED)


def test_logs_and_commands_reach_the_container_that_serves(project: Project) -> None:
    logs = project.uplift("logs", "testapp", "--tail", "5")
    assert (logs.returncode, "version 2.0.0" in logs.stdout) == (0, True), logs.stderr
    words = ("exec", "testapp", "--", "sh", "-c", "cat; echo $VERSION; exit 7")
    done = project.uplift(*words, input="given\n")
    assert (done.returncode, done.stdout) == (7, "given\n2.0.0\n"), done.stderr
    for command in (("logs", "testap"), ("exec", "testap", "--", "true"), ("remove", "testap")):
        unknown = project.uplift(*command)
        assert unknown.returncode == 64
        assert "Did you mean 'testapp'?" in unknown.stderr
    host = project.uplift("exec", "testapp", "--host", "lab-9", "--", "true")
    assert (host.returncode, "lab-1" in host.stderr) == (64, True)


@pytest.mark.slow
def test_logs_are_followed_over_a_switch_and_leave_nothing_behind(project: Project) -> None:
    call = [UPLIFT, "logs", project.inventory, "testapp", "-f", "--tail", "1"]
    child = subprocess.Popen(call, stdout=subprocess.PIPE, text=True, **project.where)
    assert child.stdout is not None
    project.uplift("exec", "testapp", "--", "sh", "-c", "echo hello >/proc/1/fd/1")
    for line in child.stdout:
        if "hello" in line:
            break
    project.box.run("1.4.0-poetry", **CHECKED)
    for line in child.stdout:
        if "version 1.4.0" in line:
            break
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 130
    project.box.sh("sleep 2; ! pgrep -f '[d]ocker logs'")
    project.box.run("2.0.0-uv", **CHECKED)


@dataclass
class Followed:
    """`uplift logs -f` in a terminal of its own, where Ctrl-C reaches all that it started."""

    child: subprocess.Popen[str]
    others: list[str] = field(default_factory=list)

    def heard(self, *words: str) -> str:
        """Wait for a line with these words; lines of other hosts are kept for who asks later."""
        for line in self.others:
            if all(word in line for word in words):
                self.others.remove(line)
                return line
        for line in self.child.stdout or ():
            if all(word in line for word in words):
                return line
            self.others.append(line)
        pytest.fail(f"it ended with {self.child.wait()} before it said {words}: {self.others}")

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        os.killpg(self.child.pid, signal.SIGINT)
        return self.child.wait(30)


@pytest.fixture
def followed(project: Project) -> Iterator[Callable[..., Followed]]:
    """Follow the logs of an inventory; what hangs is ended after a while."""
    begun: list[subprocess.Popen[str]] = []

    def call(inventory: str) -> Followed:
        words = [UPLIFT, "logs", inventory, "testapp", "-f", "--tail", "1"]
        options = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True}
        begun.append(subprocess.Popen(words, **options, **project.where))
        timer = threading.Timer(600, begun[-1].kill)
        timer.daemon = True
        timer.start()
        return Followed(begun[-1])

    yield call
    for one in begun:
        one.kill()


def printed(box: Site, text: str) -> None:
    """Let the container that runs print a line."""
    box.sh(f"docker exec $({RUNS}) sh -c 'echo {text} >/proc/1/fd/1'")


RUNS = "docker ps -q --filter label=io.uplift.subject=testapp"


@pytest.mark.slow
def test_logs_of_several_hosts_are_followed_over_what_happens_to_one_of_them(
    project: Project,
    hosts: list[dict[str, Any]],
    followed: Callable[..., Followed],
    tmp_path: Path,
) -> None:
    first = project.box
    second = replace(first, name=hosts[1]["name"])
    names = [first.name, second.name]
    block = first.block("2.0.0-uv", **CHECKED)
    first.pyinfra("inventories/lab.py", "deploys/docker.py", "-y", "--limit", second.name)
    try:
        second.run("2.0.0-uv", **CHECKED)
        logs = followed(first.inventory(tmp_path / "both.py", block, names=names))
        for box in (first, second):
            logs.heard(f"{box.name} | version 2.0.0")
            printed(box, "one")
            logs.heard(f"{box.name} | one")
        # Gone, and made anew by the next run: until then it is said, once.
        second.sh(f"docker rm -f $({RUNS})")
        logs.heard(second.name, "no container of testapp serves here now, waiting for one")
        printed(first, "two")
        assert logs.heard(first.name) == f"{first.name} | two\n"
        second.run("2.0.0-uv", **CHECKED)
        logs.heard(second.name, "uplift: now testapp-")
        logs.heard(f"{second.name} | version 2.0.0")
        # Started anew, it is the same one: what it printed before is not shown again.
        first.sh(f"docker restart $({RUNS})")
        assert logs.heard(first.name) == f"{first.name} | version 2.0.0 \n"
        # The connection of one host is cut: the other one goes on.
        second.sh("pkill -f '@[n]otty'", check=False)
        logs.heard(second.name, "nothing more from here: the connection is gone")
        printed(first, "three")
        logs.heard(f"{first.name} | three")
        assert logs.interrupt() == 130
        for box in (first, second):
            box.sh("sleep 3; ! pgrep -f '[d]ocker logs'")
    finally:
        second.clean()


@pytest.mark.slow
def test_an_inventory_that_does_not_know_it_says_whose_it_is_and_offers_nothing(
    project: Project, tmp_path: Path
) -> None:
    box = project.box

    def listed(inventory: str) -> list[str]:
        call = (inventory, "uplift.operations.container.orphans_listed", "-y", "--limit", box.name)
        said = box.pyinfra(*call)
        return [line for line in (said.stdout + said.stderr).splitlines() if "testapp" in line]

    def orphans(inventory: str) -> set[str]:
        done = project.at(inventory, "drift", "deploys/app.py", "--limit", box.name, "--json")
        found = json.loads(done.stdout)["findings"]
        return {one["subject"] for one in found if one["subject"].startswith("testapp")}

    # The tests deploy it from the lab's inventory, whose settings do not name it.
    other = box.inventory(tmp_path / "without.py")
    (line,) = listed(other)
    assert "testapp (testapp-blue, testapp-green): " in line
    assert line.endswith("deployed it from inventories/lab.py")
    assert orphans(other) == set()
    lines = listed("inventories/lab.py")
    assert len(lines) == 2
    assert all("no settings of this host name it" in one for one in lines)
    assert all("uplift remove inventories/lab.py testapp" in one for one in lines)
    assert orphans("inventories/lab.py") == {"testapp-blue", "testapp-green"}


def certificate(folder: Path, name: str) -> str:
    """Write a certificate that signs itself, and return its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "site.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
def encrypted(box: Site, tmp_path: Path) -> Iterator[Site]:
    """HAProxy listens with TLS too."""
    before = box.haproxy
    own = {"certificate": str(tmp_path / "site.crt"), "key": {"secret": "testapp/key"}}
    binds = [{"address": "*", "port": 80}, {"address": "*", "port": 443, "tls": True}]
    box.haproxy = {"binds": binds, "certificates": {"site": own}}
    box.secrets = {"UPLIFT_SECRET_TESTAPP_KEY": certificate(tmp_path, "first")}
    yield box
    box.haproxy, box.secrets = before, {}
    box.run("2.0.0-uv", **CHECKED)


def served_name(box: Site) -> str:
    """Return the name in the certificate that new connections get."""
    text = ssl.get_server_certificate((box.address, 443))
    found = x509.load_pem_x509_certificate(text.encode())
    return str(found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


@pytest.mark.slow
def test_a_certificate_is_exchanged_without_a_connection_that_drops(
    encrypted: Site, tmp_path: Path
) -> None:
    encrypted.run("2.0.0-uv", drain=DRAIN, **CHECKED)
    assert served_name(encrypted) == "first"
    # Who is there is asked below; here it is only spoken to.
    context = ssl._create_unverified_context()  # noqa: S323
    socket = WebSocket(encrypted.address, 443, context)
    assert socket.say("a") == "2.0.0:a"
    with Prober(encrypted.address, 443, tls=context) as prober:
        encrypted.secrets = {"UPLIFT_SECRET_TESTAPP_KEY": certificate(tmp_path, "second")}
        assert encrypted.changed("2.0.0-uv", drain=DRAIN, **CHECKED) == ["HAProxy"]
    assert prober.failures == []
    assert sum(prober.answers.values()) > 100
    assert served_name(encrypted) == "second"
    assert socket.say("b") == "2.0.0:b"
    socket.close()


@pytest.mark.slow
def test_an_application_is_removed_when_its_name_is_confirmed(project: Project) -> None:
    box = project.box
    box.run("2.0.0-uv", mounts=[{"volume": "uplift-test-kept", "target": "/data"}])
    asked = project.uplift("remove", "testapp", stdin=subprocess.DEVNULL)
    assert (asked.returncode, "add --yes" in asked.stderr) == (64, True)
    assert box.version() == "2.0.0"
    done = project.uplift("remove", "testapp", "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (host,) = json.loads(done.stdout)["hosts"]
    assert "container testapp-blue" in host["removed"]
    assert "volume uplift-test-kept" in host["left"]
    assert box.containers() == ""
    assert "no application of this name" in box.version()
    assert box.sh("docker volume ls -q --filter name=uplift-test-kept") == "uplift-test-kept"
    assert box.sh("ls /var/lib/uplift/releases/testapp | wc -l") != "0"
    # What HAProxy has now is what it gets where the settings name the application no more.
    file = Path(project.inventory).with_name("without.py")
    without = [box.inventory(file), "deploys/app.py", "-y", "--json"]
    operations = json.loads(box.pyinfra(*without).stdout)["results"]["operations"]
    assert [one["name"] for one in operations if one["success"]] == []
    purged = project.uplift("remove", "testapp", "--yes", "--purge")
    assert purged.returncode == 0
    assert box.sh("ls /var/lib/uplift/releases") == ""
    box.sh("docker volume rm uplift-test-kept")
