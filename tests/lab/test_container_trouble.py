"""Containers on a real host that has trouble, and secrets that must show nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.lab.container_box import (
    BARE,
    IMAGE,
    SERVER,
    SMALL,
    Box,
    Run,
    redis,
    small_disk,
    word,
)
from tests.lab.leaks import PLANTED, Watch, Words, within

pytest_plugins = ["tests.lab.container_box"]
# Minutes of starts, stops and waits.
pytestmark = pytest.mark.slow

PYTHON = "registry:5000/python:3.13-slim"


@pytest.mark.parametrize(
    "health",
    [
        {"command": ["redis-cli", "ping"]},
        {"tcp": 6379},
        {"http": {"port": 8000, "path": "/?a=b"}},
        {"image": True},
        {},
    ],
    ids=lambda health: next(iter(health), "none"),
)
def test_each_check_tells_a_container_that_serves_from_one_that_does_not(
    box: Box, uplift: Run, lab_name: str, health: dict[str, Any]
) -> None:
    block = redis(health={"stable": 1, "start_period": 20, **health})
    bad: dict[str, Any] = {"entrypoint": ["sleep", "1000"], "command": []}
    if "http" in health:
        uplift("lab", "image", "python", "--name", lab_name)
        block |= {"image": PYTHON, "command": ["python3", "-m", "http.server"], "ports": []}
    if "image" in health:
        box.sh(
            f"docker create --name other {IMAGE}; docker commit -c 'HEALTHCHECK --interval=1s"
            " --start-interval=1s CMD redis-cli ping' other own:1; docker rm other"
        )
        block |= {"image": "own:1"}
    if not health:
        bad = {"entrypoint": ["sleep", "0.5"], "command": []}
    assert box.apply(block) is True
    assert box.apply(block) is False
    before = box.sh("docker inspect -f '{{.Id}}' redis")
    short = {"stable": 1, "start_period": 2, "retries": 2, **health}
    lines = box.broken({**block, **bad, "health": short})
    assert lines[0].startswith("FAILED at healthy: it"), lines
    assert box.sh("docker inspect -f '{{.Id}}' redis") == before
    assert box.apply(block) is False


def test_a_folder_and_a_file_of_the_host_are_given_back_with_the_container(box: Box) -> None:
    folder = "/srv/uplift test/redis"
    box.sh(f"mkdir -p '{folder}'; echo 1 >'/srv/uplift test/file'; chmod 777 '{folder}'")
    mounts = [
        {"source": folder, "target": "/data"},
        {"source": "/srv/uplift test/file", "target": "/file"},
    ]
    block = redis(mounts=mounts)
    try:
        assert box.apply(block) is True
        box.put()
        damage = ["sh", "-c", "rm -rf /data/*; echo damaged >/file; exit 1"]
        box.broken({**block, "entrypoint": damage, "command": None})
        assert box.sh("docker exec redis redis-cli get key") == box.key
        assert box.sh("docker exec redis cat /file") == "1"
        assert box.apply(block) is False
        assert box.apply({**block, "environment": {"A": "b"}}) is True
        copies = "ls '/srv/uplift test/.uplift-copies/redis'"
        assert len(box.sh(copies).split()) == 1
        assert box.apply({**block, "environment": {"A": "c"}}) is True
        assert len(box.sh(copies).split()) == 1
        assert box.sh("docker exec redis redis-cli get key") == box.key
    finally:
        box.sh("docker rm -f redis; rm -rf '/srv/uplift test'")


@pytest.fixture
def small(box: Box) -> Iterator[Box]:
    """A host whose images and containers are on a file system of 600 MB."""
    with small_disk(box.sh, "600m"):
        yield box
        box.sh("docker rm -f redis", check=False)


def test_a_disk_that_is_nearly_full_is_found_before_anything_stops(
    small: Box, uplift: Run, lab_name: str
) -> None:
    uplift("lab", "image", "python", "--name", lab_name)
    block = redis(free_disk="20m")
    assert small.apply(block) is True
    small.put()
    before = small.started()
    # What is demanded is not free.
    lines = small.broken(redis(free_disk="600m", environment={"A": "b"}))
    assert lines[0].startswith("FAILED at pull: disk: ")
    # There is no room for a copy of the data.
    fill = f"free=$(df -k --output=avail {SMALL} | tail -n 1);fallocate -l $((free * 6 / 10))k {{}}"
    small.sh(fill.format("/srv/uplift-small/volumes/uplift-test/_data/other"))
    lines = small.broken(redis(free_disk="20m", environment={"A": "b"}))
    assert lines[0].startswith("FAILED at pull: disk: a copy of /srv/uplift-small/volumes/")
    small.sh("rm /srv/uplift-small/volumes/uplift-test/_data/other")
    # The image itself does not fit.
    small.sh(
        "free=$(df -k --output=avail /srv/uplift-small | tail -n 1);"
        "fallocate -l $((free - 30 * 1024))k /srv/uplift-small/other"
    )
    lines = small.broken(redis(free_disk="20m", image=PYTHON, command=None))
    assert lines[0].startswith("FAILED at pull: disk: it is full: "), lines
    small.sh("rm /srv/uplift-small/other")
    assert small.started() == before
    small.check(block)


def test_an_image_for_another_processor_is_refused_with_the_old_one_running(running: Box) -> None:
    before = running.started()
    running.sh(
        "mkdir -p /run/uplift-test-empty; tar -C /run/uplift-test-empty -c . |"
        "  docker import --platform linux/s390x - registry:5000/strange:1;"
        "docker push -q registry:5000/strange:1; docker tag registry:5000/strange:1 strange:2"
    )
    # By a tag, by a digest that no registry is asked for, and as the host's own.
    digest = running.sh("docker inspect -f '{{index .RepoDigests 0}}' registry:5000/strange:1")
    for image in ("registry:5000/strange:1", digest, "strange:2"):
        (line, *_) = running.broken(redis(image=image))
        assert "no image for this architecture: it is for " in line, line
    running.sh("docker rmi registry:5000/strange:1 strange:2")
    assert running.started() == before
    running.check(redis())


def test_a_registry_that_says_nothing_is_given_up_with_the_old_one_running(running: Box) -> None:
    before = running.started()
    silent = "127.0.0.1:5999"
    running.sh(
        f"systemd-run --quiet --collect --unit=uplift-test-silent systemd-socket-activate"
        f" -l {silent} sleep 1000"
    )
    try:
        (line,) = running.broken(redis(image=f"{silent}/redis:8"))
        assert "the registry does not answer" in line and "nothing was touched" in line
        # An image of that name which the host has is taken, and that is said.
        running.sh(f"docker tag {IMAGE} {silent}/redis:8")
        assert "on the host (the registry does not answer" in running.said(
            redis(image=f"{silent}/redis:8", environment={"A": "b"})
        )
    finally:
        running.sh(f"systemctl stop uplift-test-silent; docker rmi {silent}/redis:8", check=False)
    assert running.started() != before
    assert running.apply(redis()) is True
    running.check(redis())


@pytest.mark.parametrize("options", [["-vvv"], ["--json"], ["--debug"]], ids=" ".join)
def test_no_secret_shows_anywhere_while_a_container_is_replaced(
    box: Box, hosts: list[dict[str, Any]], options: list[str]
) -> None:
    secret, canary, name = word(), word(), word().upper()
    box.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": word()}
    block = redis(secrets={"password": {"secret": "test/password"}}, secret_owner=999)
    box.apply(block)
    box.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": secret}
    block["environment"] = {name: canary}
    words = Words({"password": secret})
    with Watch([host for host in hosts if host["name"] == box.name], words) as watch:
        done = box.pyinfra(*box.words(block), *options)
    said = done.stdout + done.stderr
    places = {
        "docker inspect": box.sh("docker inspect redis"),
        "docker history": box.sh(
            f"docker history --no-trunc redis 2>&1 || true; docker history --no-trunc {IMAGE}"
        ),
        "journal": box.sh("journalctl -o cat --no-pager --since -15min"),
        "records": box.sh("grep -rE 'needle' /var/lib/uplift || true"),
        "container's log": box.sh("docker logs redis 2>&1"),
        "output": said,
    }
    assert watch.leaks() == []
    assert within(words, places) == [f"journal: {PLANTED}"]
    # The positive controls: what is no secret is found by the same scans.
    assert canary in places["docker inspect"]
    assert "redis-server" in places["docker history"] or "CMD" in places["docker history"]
    assert name in said or "--json" in options
    assert "uplift-container-" in places["journal"]
    assert box.sh("docker exec redis cat /run/secrets/password") == secret


@pytest.mark.parametrize("option", ["--debug-facts", "--debug-operations"])
def test_no_secret_is_in_what_pyinfra_dumps_of_a_run(box: Box, option: str) -> None:
    box.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": word()}
    block = redis(secrets={"password": {"secret": "test/password"}}, secret_owner=999)
    box.apply(block)
    (old,) = box.secrets.values()
    box.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": word()}
    # With -y pyinfra runs no operation before it dumps them.
    words = [given for given in box.words(block) if given != "-y"]
    done = box.pyinfra(*words, "--dry", option, "-vvv")
    said = done.stdout + done.stderr
    assert old not in said
    assert not [value for value in box.secrets.values() if value in said]
    # The positive control: the operation did come to the secret.
    assert "secret password changed (now " in said


def test_a_broken_release_says_why_with_json_too(running: Box) -> None:
    block = redis(entrypoint=["sh", "-c", f"timeout 1 {BARE}; exit 4"], command=None)
    done = running.pyinfra(*running.words(block), "--json", check=False)
    assert done.returncode == 1
    # pyinfra prints no results where every host failed; what the host said is on stderr.
    assert "FAILED at healthy: " in done.stderr and "serves again after " in done.stderr
    assert SERVER[0] in running.sh("docker inspect redis")
    running.check(redis())
