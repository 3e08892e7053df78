"""Containers on a real host: applied, drifted, broken, removed."""

from __future__ import annotations

import json

import pytest
from tests.lab.container_box import BARE, IMAGE, SERVER, Box, redis

pytest_plugins = ["tests.lab.container_box"]
# Minutes of starts, stops and waits; a core of all is in the default suite.
slow = pytest.mark.slow


def test_applied_twice_it_changes_once_and_nothing_is_touched(box: Box) -> None:
    block = redis(
        environment={"A": "b c"},
        ports=[{"container": 6379}, {"container": 53, "host": 5353, "protocol": "udp"}],
        tmpfs={"/scratch": "size=1m,noexec"},
        networks=[{"name": "uplift-test", "aliases": ["kv"]}, {"name": "uplift-test-2"}],
        hostname="cache",
        working_dir="/data",
        restart="on-failure:3",
        ulimits={"nofile": {"soft": 500, "hard": 1000}},
        cap_add=["NET_BIND_SERVICE"],
        cap_drop=["NET_RAW"],
        no_new_privileges=True,
        init=True,
        extra_hosts={"elsewhere": "10.1.2.3"},
        labels={"team": "x y"},
        logging={"driver": "local", "max_size": "5m"},
        stop_signal="SIGTERM",
    )
    assert box.apply(block) is True
    before, log = box.started(), box.sh("docker logs redis 2>&1 | wc -l")
    assert box.apply(block) is False
    assert (box.started(), box.sh("docker logs redis 2>&1 | wc -l")) == (before, log)
    box.sh("docker rm -f redis; docker network rm uplift-test uplift-test-2")


BY_HAND = "docker rm -f redis; docker run -d --name redis -v uplift-test:/data"
LIKE_OURS = f"{BY_HAND} --restart=unless-stopped --stop-timeout=5"
ARGV = f"{IMAGE} {' '.join(SERVER)}"
DRIFT = {
    "removed": "docker rm -f redis",
    "stopped": "docker stop redis",
    "killed": "docker kill redis",
    "paused": "docker pause redis",
    "renamed": "docker rename redis elsewhere",
    "update": "docker update --restart=always redis",
    "other options": f"{BY_HAND} -p 127.0.0.1:6379:6379 {ARGV}",
    "other env": f"{LIKE_OURS} -e A=b -p 127.0.0.1:6379:6379 {ARGV}",
    "other port": f"{LIKE_OURS} -p 127.0.0.1:6380:6379 {ARGV}",
    "other image": f"docker tag {IMAGE} other:1; docker create --name other {IMAGE};"
    f"docker commit other {IMAGE}; docker rm other; {LIKE_OURS} -p 127.0.0.1:6379:6379 {ARGV};"
    f"docker tag other:1 {IMAGE}",
    "privileged": f"{BY_HAND} --privileged {ARGV}",
    "paused, other env": f"{LIKE_OURS} -e A=b -p 127.0.0.1:6379:6379 {ARGV}; docker pause redis",
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind in ("removed", "other env") else (slow,))
        for kind in DRIFT
    ],
)
def test_drift_by_hand_is_repaired_and_the_data_stays(running: Box, kind: str) -> None:
    running.sh(DRIFT[kind])
    running.check(redis(), changed=True)
    policy = "docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' redis; docker port redis"
    assert running.sh(policy) == "unless-stopped\n6379/tcp -> 127.0.0.1:6379"


def test_what_can_be_changed_in_place_does_not_restart_it(running: Box) -> None:
    before = running.started()
    assert running.apply(redis(restart="always")) is True
    assert running.started() == before
    assert running.apply(redis(restart="always")) is False


@slow
def test_an_equal_container_that_somebody_else_made_is_left_running(running: Box) -> None:
    running.sh("docker rm -f redis")
    running.sh(
        "docker run -d --name redis --restart=unless-stopped --stop-timeout=5 -v uplift-test:/data "
        f"-p 127.0.0.1:6379:6379 {IMAGE} {' '.join(SERVER)}"
    )
    before = running.started()
    assert running.apply(redis()) is False
    assert running.started() == before


@slow
def test_another_image_behind_the_same_tag_is_found_at_the_registry(running: Box) -> None:
    changed = (
        f"docker create --name other {IMAGE} && docker commit -c 'ENV V=2' other {IMAGE} &&"
        f"docker push -q {IMAGE}; docker rm other"
    )
    image = "$(docker inspect -f '{{.Image}}' redis)"
    digest = f"docker image inspect -f '{{{{index .RepoDigests 0}}}}' {image}"
    old = running.sh(digest)
    running.sh(changed)
    try:
        assert "image 8 -> 8 (sha256:" in running.said(redis())
        assert running.sh(digest) != old
        running.check(redis())
    finally:
        running.sh(f"docker pull -q {old} && docker tag {old} {IMAGE} && docker push -q {IMAGE}")
    # A digest needs no registry's answer, and says the same.
    assert running.apply(redis(image=old)) is True
    assert running.apply(redis()) is False


@slow
def test_an_image_that_no_registry_has_is_fine(box: Box) -> None:
    box.sh(f"docker pull -q {IMAGE}; docker create --name other {IMAGE}; docker commit other own:1")
    box.sh("docker rm other")
    assert "own:1 is sha256:" in box.said(redis(image="own:1"))
    assert box.apply(redis(image="own:1")) is False
    box.sh("docker rm -f redis; docker rmi own:1")


BROKEN = {
    "damages its data and exits": (
        {"entrypoint": ["sh", "-c", "rm -rf /data/*; echo the-reason-why; exit 3"]},
        # Docker starts it again, so that it depends on the moment in which of the two it is found.
        ("FAILED at healthy: it ended with exit code 3", "FAILED at healthy: it ended and was"),
    ),
    "never healthy": (
        {"entrypoint": ["sleep", "1000"], "command": []},
        "FAILED at healthy: its check (tcp) fails: port 6379 is closed",
    ),
    "healthy for three seconds": (
        {"entrypoint": ["sh", "-c", f"timeout 3 {BARE}; sleep 1000"]},
        "FAILED at healthy: it was healthy for",
    ),
    "missing mount": (
        {"mounts": [{"source": "/nowhere", "target": "/data"}]},
        "FAILED at create: ",
    ),
    "port taken": ({"ports": [{"container": 6379, "host": 22}]}, "FAILED at start: "),
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind == "damages its data and exits" else (slow,))
        for kind in BROKEN
    ],
)
def test_a_broken_release_leaves_the_old_one_serving(running: Box, kind: str) -> None:
    fields, reason = BROKEN[kind]
    health = {"tcp": 6379, "stable": 6, "start_period": 2, "retries": 2}
    lines = running.broken(redis(health=health, **{"command": None, **fields}))
    assert lines[0].startswith(reason), lines
    # Nothing was down yet when it was not even made.
    words = "the container of before serves again"
    told = [line for line in lines if line.startswith(words)]
    assert told and (kind == "missing mount" or " s" in told[0].removeprefix(words)), lines
    running.check(redis())


@slow
def test_the_last_lines_of_a_broken_release_are_shown_without_its_secrets(running: Box) -> None:
    running.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": "needle-$x'\"\\-value"}
    block = redis(
        secrets={"password": {"secret": "test/password"}},
        secret_owner=999,
        entrypoint=["sh", "-c", 'echo "the password is $(cat /run/secrets/password)."; exit 1'],
    )
    said = running.said(block, ok=False)
    assert "the password is ********." in said
    assert "needle" not in said
    assert running.apply(redis()) is False


@slow
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("registry:5000/redis:none", "the registry has no such image"),
        ("nowhere.invalid/redis:8", "the registry does not answer"),
    ],
)
def test_an_image_that_cannot_be_had_leaves_all_as_it_is(
    running: Box, image: str, reason: str
) -> None:
    before = running.started()
    (line,) = running.broken(redis(image=image))
    assert reason in line and "nothing was touched" in line
    assert running.started() == before


@slow
def test_a_secret_is_a_file_that_only_its_owner_reads_and_shows_nowhere(box: Box) -> None:
    word = "needle-in-the-container"
    box.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": word}
    block = redis(secrets={"password": {"secret": "test/password"}}, secret_owner=999)
    said = box.said(block)
    assert word not in said
    # The positive control: it is where it shall be.
    file = "/etc/uplift/secrets/redis/password"
    assert box.sh(f"cat {file}; stat -c ' %a %u' {file}") == f"{word} 400 999"
    assert box.sh("docker exec -u 999 redis cat /run/secrets/password") == word
    assert word not in box.sh("docker inspect redis; docker logs redis 2>&1")
    left = box.sh(f"grep -rl {word} /var/lib/uplift", check=False)
    assert left == ""
    assert box.apply(block) is False
    for drift in (f"echo x >{file}", f"chmod 644 {file}; touch {file}2"):
        box.sh(drift)
        assert box.apply(block) is True
        assert box.apply(block) is False
        assert box.sh(f"cat {file}; ls -A {file}*") == f"{word}{file}"
    box.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": f"{word}-2"}
    assert "secret password changed (now " in box.said(block)
    assert box.sh("docker exec -u 999 redis cat /run/secrets/password") == f"{word}-2"


@slow
def test_a_dry_run_writes_nothing(running: Box) -> None:
    before = running.started()
    words = [word for word in running.words(redis(environment={"A": "b"})) if word != "-y"]
    plan = json.loads(running.pyinfra(*words, "--dry", "--json").stdout)["plan"]
    assert [operation["hosts_with_change"] for operation in plan] == [[running.name]]
    assert running.started() == before
