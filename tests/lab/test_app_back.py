"""Ways back on a real host: from what really serves, and to what only a registry has."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.app_box import REPOSITORY, Run, Site

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
    assert [one["arrived"] for one in json.loads(done.stdout)["after"]] == [True]
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
        assert [one["arrived"] for one in json.loads(done.stdout)["after"]] == [True]
    else:
        assert clean.changed("2.0.0-uv", "--data", "to=poetry") == ["Roll back"]
    assert clean.version() == "1.4.0"
    record = json.loads(clean.sh(f"cat {RECORDS}/*/release.json"))
    assert record["foreign"] is True
    assert record["reference"] == f"{REPOSITORY}:1.4.0-poetry"
    assert record["app"]["image"] == f"{REPOSITORY}@{record['digest']}"
