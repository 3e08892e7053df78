"""Ways back on real hosts: what really serves, what only a registry has, what is not possible."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
from tests.lab.app_box import REPOSITORY, Run, Site
from tests.lab.conftest import SCRIPTS, run
from tests.lab.container_box import SMALL, small_disk

pytest_plugins = ["tests.lab.app_box"]
pytestmark = pytest.mark.slow

CONFIG = "/etc/haproxy/haproxy.cfg"
ADMIN = "socat - UNIX-CONNECT:/run/haproxy/admin.sock"
RECORDS = "/var/lib/uplift/releases/testapp"


@pytest.fixture
def clean(box: Site) -> Iterator[Site]:
    """A host on which the application never was."""
    box.clean()
    yield box
    box.clean()


@pytest.fixture
def environment_of(clean: Site) -> dict[str, str]:
    """The environment of commands that need the application's secrets."""
    given = {"UPLIFT_LAB": clean.lab, "PYINFRA_PROGRESS": "off"}
    return {**os.environ, **given, **clean.environment}


def without_images(box: Site) -> None:
    """Take away all images of the application that no container has."""
    box.sh(
        "used=$(docker ps -aq | xargs -r docker inspect -f '{{.Image}}'); "
        f"for one in $(docker images -q --no-trunc {REPOSITORY} | sort -u); do "
        'case $used in *"$one"*) ;; *) docker rmi -f "$one" ;; esac; done'
    )
    assert box.sh("docker images -q --filter label=io.uplift.builder=poetry") == ""


def arrived(done: subprocess.CompletedProcess[str]) -> list[bool]:
    """Tell of each host whether it serves what was asked for: the last line of the stream."""
    return [one["arrived"] for one in json.loads(done.stdout.splitlines()[-1])["after"]]


def active(box: Site) -> str:
    """The slot that HAProxy's configuration names."""
    (line,) = [
        one
        for one in box.sh(f"sed -n '/^backend testapp$/,/^$/p' {CONFIG}").splitlines()
        if one.split()[:1] == ["server"]
        and one.split()[1] in ("blue", "green")
        and one.split()[-1] != "disabled"
    ]
    return line.split()[1]


def exchanged(box: Site) -> None:
    """Let the other slot serve, as a person does who knows Docker and HAProxy."""
    now = active(box)
    other = "green" if now == "blue" else "blue"
    box.sh(
        f"docker start testapp-{other} && sleep 2 && "
        f"sed -i '/^backend testapp$/,/^$/{{/^ *server {other} /s/ disabled$//;"
        f"/^ *server {now} /s/$/ disabled/}}' {CONFIG} && haproxy -c -q -f {CONFIG} && "
        f"echo 'set server testapp/{other} state ready' | {ADMIN} && "
        f"echo 'set server testapp/{now} state maint' | {ADMIN} && docker stop testapp-{now}"
    )
    assert active(box) == other


def test_what_serves_is_what_haproxy_and_its_container_say_and_not_the_newest_record(
    clean: Site, uplift: Run, environment_of: dict[str, str], tmp_path: Path
) -> None:
    for tag in ("1.3.0-poetry", "1.4.0-poetry", "2.0.0-uv"):
        clean.run(tag)
    exchanged(clean)
    assert clean.version() == "1.4.0"
    inventory = clean.inventory(tmp_path / "lab.py", clean.block("1.4.0-poetry"))
    words = ("rollback", inventory, "testapp")

    def serving() -> str:
        said = json.loads(uplift(*words, "--list", "--json", env=environment_of).stdout)
        (host,) = said["hosts"]
        (one,) = [one for one in host["releases"] if one["id"] == host["current"]]
        return str(one["image"])

    assert serving() == f"{REPOSITORY}:1.4.0-poetry"
    # The one before what really serves, and not the one before the newest record.
    done = uplift(*words, "--to", "previous", "--json", env=environment_of)
    assert arrived(done) == [True]
    assert clean.version() == "1.3.0"
    assert serving() == f"{REPOSITORY}:1.3.0-poetry"


@pytest.mark.parametrize("by", ["pyinfra", "uplift"])
def test_of_poetrys_images_that_only_the_registry_has_the_newest_is_taken_over(
    clean: Site, uplift: Run, environment_of: dict[str, str], tmp_path: Path, by: str
) -> None:
    clean.run("2.0.0-uv")
    clean.sh(f"rm -rf {RECORDS}/*")
    without_images(clean)
    # What no tag fits is still an error.
    before = clean.seen()
    none = clean.run("2.0.0-uv", "--data", "to=dockerfile", check=False)
    assert (none.returncode, clean.seen()) == (1, before)
    if by == "uplift":
        inventory = clean.inventory(tmp_path / "lab.py", clean.block("2.0.0-uv"))
        words = ("rollback", inventory, "testapp", "--to", "poetry", "--json")
        done = uplift(*words, env=environment_of)
        assert [one["arrived"] for one in json.loads(done.stdout.splitlines()[-1])["after"]] == [
            True
        ]
    else:
        assert clean.changed("2.0.0-uv", "--data", "to=poetry") == ["Roll back"]
    assert clean.version() == "1.4.0"
    record = json.loads(clean.sh(f"cat {RECORDS}/*/release.json"))
    assert record["foreign"] is True
    assert record["reference"] == f"{REPOSITORY}:1.4.0-poetry"
    assert record["app"]["image"] == f"{REPOSITORY}@{record['digest']}"


def test_without_image_and_registry_it_is_said_before_anything_is_done(
    clean: Site, lab_name: str
) -> None:
    clean.run("1.4.0-poetry")
    clean.run("2.0.0-uv")
    stopped = "docker ps -aq --filter label=io.uplift.subject=testapp --filter status=exited"
    clean.sh(f"docker rm $({stopped})")
    without_images(clean)
    before = (clean.seen(), clean.outcomes(), clean.sh(f"cat {CONFIG}"))
    registry = docker.from_env().containers.get(f"uplift-{lab_name}-registry")
    registry.stop(timeout=10)
    try:
        back = clean.run("2.0.0-uv", "--data", "to=poetry", check=False)
        # The tag is in the registry, and not here.
        forward = clean.run("1.4.0-poetry", check=False)
    finally:
        registry.start()
    said = back.stdout + back.stderr
    assert back.returncode == 1
    assert "No host was touched" in said
    assert "the registry does not answer" in said
    said = forward.stdout + forward.stderr
    assert forward.returncode == 1
    assert f"image {REPOSITORY}:1.4.0-poetry: the registry does not answer" in said
    assert "nothing was touched" in said
    assert (clean.seen(), clean.outcomes(), clean.sh(f"cat {CONFIG}")) == before
    # The positive control: with the registry both are possible.
    clean.run("2.0.0-uv", "--data", "to=poetry")
    assert clean.version() == "1.4.0"


def test_a_host_without_room_for_a_container_is_named_before_a_rollback_touches_it(
    clean: Site,
) -> None:
    with small_disk(clean.sh, "1g"):
        clean.run("1.4.0-poetry")
        clean.run("2.0.0-uv")
        stopped = "docker ps -aq --filter label=io.uplift.subject=testapp --filter status=exited"
        clean.sh(f"docker rm $({stopped})")
        free = f"free=$(df -k --output=avail {SMALL} | tail -n 1)"
        clean.sh(f"{free}; fallocate -l $((free - 100 * 1024))k {SMALL}/other")
        before = (clean.seen(), clean.outcomes(), clean.sh(f"cat {CONFIG}"))
        back = clean.run("2.0.0-uv", "--data", "to=poetry", check=False)
        said = back.stdout + back.stderr
        assert back.returncode == 1
        assert re.search(r"disk: \d+ MB are free where images are, 256 MB are demanded", said), said
        assert "No host was touched" in said
        assert (clean.seen(), clean.outcomes(), clean.sh(f"cat {CONFIG}")) == before
        # The positive control.
        clean.sh(f"rm {SMALL}/other")
        clean.run("2.0.0-uv", "--data", "to=poetry")
        assert clean.version() == "1.4.0"
        clean.clean()


def state(box: Site) -> dict[str, Any]:
    """All that makes the release that serves, and every container of the host."""
    (found,) = json.loads(box.sh("docker inspect $(docker ps -q --filter name=testapp)"))
    newest = json.loads(box.sh(f"cat $(ls -d {RECORDS}/* | tail -1)/release.json"))
    return {
        "image": found["Image"],
        "config": {key: found["Config"][key] for key in ("Env", "Cmd", "Image", "StopTimeout")},
        "host": {key: found["HostConfig"][key] for key in ("PortBindings", "RestartPolicy")},
        "mounts": sorted(one["Destination"] for one in found["Mounts"]),
        "secrets": box.sh("cd /etc/uplift/secrets && sha256sum testapp-*/*"),
        "digest": newest["digest"],
        "settings": newest["app"],
        "slot": active(box),
        "containers": box.sh("docker ps -a --format '{{.Names}} {{.State}}' | sort"),
        "file": box.sh("curl -s http://127.0.0.1/file"),
        "version": box.version(),
    }


def test_back_and_forth_any_number_of_times_ends_where_it_began(clean: Site) -> None:
    old = {"files": {"settings.txt": {"content": "old"}}}
    new = {"files": {"settings.txt": {"content": "new"}}, "environment": {"GREETING": "new"}}
    clean.run("1.4.0-poetry", **old)
    clean.run("2.0.0-uv", **new)
    forward, backward = state(clean), None
    assert (forward["version"], forward["file"]) == ("2.0.0", "new")
    for _ in range(3):
        assert clean.changed("2.0.0-uv", "--data", "to=poetry", **new) == ["Roll back"]
        now = state(clean)
        assert now == (backward or now)
        assert (now["version"], now["file"]) == ("1.4.0", "old")
        backward = now
        assert clean.changed("2.0.0-uv", "--data", "to=uv", **new) == ["Roll back"]
        assert state(clean) == forward


@pytest.fixture
def both(clean: Site, hosts: list[dict[str, Any]]) -> Iterator[tuple[Site, Site]]:
    """Two hosts with two releases each."""
    second = replace(clean, name=hosts[1]["name"])
    clean.pyinfra("inventories/lab.py", "deploys/docker.py", "-y", "--limit", second.name)
    second.clean()
    for one in (clean, second):
        for tag in ("1.4.0-poetry", "2.0.0-uv"):
            one.run(tag)
    yield clean, second
    second.clean()


def taken(box: Site) -> None:
    """Another program gets the port of the slot that is free."""
    port = 18001 if active(box) == "green" else 18002
    listen = f"socat TCP-LISTEN:{port},bind=127.0.0.1,fork /dev/null"
    box.sh(f"systemd-run --quiet --collect --unit=uplift-test-port {listen} && sleep 1")


def given_back(box: Site) -> None:
    """It ends."""
    box.sh("systemctl stop uplift-test-port")


FIRST = f"$(ls -d {RECORDS}/* | head -1)"


def lost(box: Site) -> None:
    """A secret of the release of before is gone."""
    box.sh(f"mv {FIRST}/secrets/0 /root/kept-secret")


def found(box: Site) -> None:
    """It is there again."""
    box.sh(f"mv /root/kept-secret {FIRST}/secrets/0")


def test_when_one_of_two_hosts_cannot_go_back_it_is_named_and_neither_is_touched(
    both: tuple[Site, Site], uplift: Run, environment_of: dict[str, str], tmp_path: Path
) -> None:
    first, second = both
    names = [first.name, second.name]
    inventory = first.inventory(tmp_path / "lab.py", first.block("2.0.0-uv"), names=names)
    command = ["rollback", inventory, "testapp", "--to", "poetry"]
    plain = [str(SCRIPTS / "pyinfra"), inventory, "deploys/rollback.py", "-y"]
    plain += ["--data", "app=testapp", "--data", "to=poetry"]

    def now() -> list[tuple[str, ...]]:
        return [(one.seen(), one.sh(f"cat {CONFIG}; ls {RECORDS}")) for one in both]

    before = now()
    for broken, mended, reason in (
        (taken, given_back, "127.0.0.1:1800"),
        (lost, found, "has no value of secret('testapp/drain')"),
    ):
        broken(second)
        try:
            told = [
                uplift(*command, *more, check=False, env=environment_of)
                for more in ((), ("--waves", "1,100%"))
            ]
            told.append(run(plain, check=False, env=environment_of))
        finally:
            mended(second)
        for done in told:
            said = done.stdout + done.stderr
            assert done.returncode == 1, said
            assert reason in said
            assert f"{second.name}: " in said.partition(reason)[0].splitlines()[-1], said
        assert now() == before
    # The positive control: with both mended, both go back.
    uplift(*command, env=environment_of)
    assert [one.version() for one in both] == ["1.4.0", "1.4.0"]
