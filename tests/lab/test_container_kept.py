"""What stays of containers on a real host, and what goes: removed, pruned, brought back, listed."""

from __future__ import annotations

import shlex

import pytest
from tests.lab.container_box import IMAGE, SERVER, Box, redis

pytest_plugins = ["tests.lab.container_box"]
# Minutes of starts, stops and waits.
pytestmark = pytest.mark.slow

ABSENT = "container.absent(name='Gone', containers=['redis'])"
WITH_DATA = (
    "container.absent(name='Gone', containers=['redis'], volumes=['uplift-test'], delete_data=True)"
)
PRUNED = "container.pruned(name='Pruned', containers=containers)"
BACK = "container.returned(name='Back', container='redis', record='adopted')"
PREVIOUS = "container.returned(name='Back', container='redis')"
LISTED = "container.orphans_listed(name='Listed')"
LEFT = (
    "docker ps -aq --filter name=redis; docker volume ls -q --filter name=uplift-test;"
    "ls -d /etc/uplift/secrets/redis* /var/lib/uplift/containers/redis"
    "  /var/lib/docker/uplift-copies/redis 2>/dev/null; true"
)


def test_absent_takes_the_container_and_its_secrets_and_data_only_when_that_is_confirmed(
    box: Box,
) -> None:
    box.secrets = {"UPLIFT_SECRET_TEST_PASSWORD": "any-value"}
    block = redis(secrets={"password": {"secret": "test/password"}}, secret_owner=999)
    box.apply(block)
    box.apply({**block, "environment": {"A": "b"}})
    before = box.started()
    refused = box.pyinfra(*box.words(call=WITH_DATA.replace(", delete_data=True", "")), check=False)
    assert refused.returncode == 1
    assert "set delete_data to True" in refused.stdout + refused.stderr
    assert box.started() == before
    assert box.apply(call=ABSENT) is True
    assert box.apply(call=ABSENT) is False
    assert box.sh(LEFT).split() == ["uplift-test", "/var/lib/docker/uplift-copies/redis"]
    box.apply(block)
    box.apply({**block, "environment": {"A": "b"}})
    assert box.apply(call=WITH_DATA) is True
    assert box.apply(call=WITH_DATA) is False
    assert box.sh(LEFT) == ""


def test_absent_leaves_a_volume_that_somebody_else_has_and_all_else_with_it(running: Box) -> None:
    running.sh(f"docker run -d --name other -v uplift-test:/x {IMAGE} sleep 1000")
    before = running.started()
    done = running.pyinfra(*running.words(call=WITH_DATA), check=False)
    assert done.returncode == 1
    told = "volume uplift-test is used by other: nothing was removed"
    assert told in done.stdout + done.stderr
    assert running.started() == before


def test_absent_ends_what_an_interruption_left(running: Box) -> None:
    running.sh(
        "docker rename redis redis--previous; docker stop redis--previous;"
        "echo 'rename before' >/var/lib/uplift/containers/redis/journal;"
        "mkdir -p /etc/uplift/secrets/redis"
    )
    assert running.apply(call=ABSENT) is True
    assert running.apply(call=ABSENT) is False
    assert running.sh(LEFT).split() == ["uplift-test", "/var/lib/docker/uplift-copies/redis"]


def image(box: Box, tag: str) -> str:
    """Make a release of its own, as different images as there are tags, and return its id."""
    return box.sh(
        f"docker pull -q {IMAGE} >/dev/null; docker create --name other {IMAGE} >/dev/null;"
        f"docker commit -c 'ENV TAG={tag}' other own:{tag}; docker rm other >/dev/null"
    )


# One run of pyinfra deploys all that are given, one after the other.
EACH = """
for number, it in enumerate(containers):
    container.converged(name=f"Deploy {number}", containers=[it])
"""


def test_pruned_keeps_the_last_good_one_after_six_deploys_of_one_version(box: Box) -> None:
    ids = {tag: image(box, tag) for tag in "abcde"}
    block = redis(keep={"images": 2}, stateful=False, health={"tcp": 6379, "stable": 0})
    try:
        box.pyinfra(*box.words(*[{**block, "image": f"own:{tag}"} for tag in "abc"], call=EACH))
        # What did not come to serve is no release.
        broken = {"image": "own:d", "entrypoint": ["false"], "command": None}
        box.broken({**block, **broken})
        again = [{**block, "image": "own:c", "environment": {"N": str(n)}} for n in range(6)]
        box.pyinfra(*box.words(*again, call=EACH))
        # Of somebody else, stopped.
        box.sh("docker create --name other own:e; docker tag own:e team/kept:1")
        assert box.apply(again[-1], call=PRUNED) is True
        assert box.apply(again[-1], call=PRUNED) is False
        there = set(box.sh("docker image ls -q --no-trunc").split())
        assert {tag for tag, id in ids.items() if id in there} == set("bcde")
        # The last good one of before serves again, and somebody else has the one after it.
        box.sh("docker rm -f other; docker create --name other own:c")
        old = [{**block, "image": f"own:{tag}"} for tag in "bd"]
        box.pyinfra(*box.words(*old, call=EACH))
        assert box.apply(old[-1], call=PRUNED) is False
        box.sh("docker rm other")
        assert box.apply(old[-1], call=PRUNED) is True
        there = set(box.sh("docker image ls -q --no-trunc").split())
        assert {tag for tag, id in ids.items() if id in there} == set("bde")
    finally:
        box.sh(
            "docker rm -f redis other; docker rmi -f own:a own:b own:c own:d own:e team/kept:1",
            check=False,
        )


def test_a_container_of_somebody_else_can_come_back_as_it_was(box: Box) -> None:
    box.sh(
        "docker network create uplift-test; docker network create uplift-test-2;"
        "docker run -d --name redis --hostname old --restart=always --memory=100m --init"
        "  --network uplift-test --network-alias kv -e 'WORD=a b$c' -v uplift-test:/data"
        f" -v /elsewhere -p 127.0.0.1:6390:6379 {IMAGE} {' '.join(SERVER)};"
        "docker network connect --alias second uplift-test-2 redis;"
        "docker exec redis sh -c 'echo here >/elsewhere/file'"
    )

    facts = shlex.quote(
        "{{.Image}} {{.Config.Hostname}} {{.Config.Env}} {{.Config.Cmd}} {{.HostConfig.Init}}"
        "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.PortBindings}}"
        " {{.HostConfig.NetworkMode}}"
        " {{range $name, $one := .NetworkSettings.Networks}}{{$name}} {{end}}"
    )
    before = box.sh(f"docker inspect -f {facts} redis; docker exec redis cat /elsewhere/file")
    try:
        assert box.apply(redis()) is True
        assert box.apply(redis(environment={"LATER": "1"})) is True
        assert box.apply(call=BACK) is True
        now = box.sh(f"docker inspect -f {facts} redis; docker exec redis cat /elsewhere/file")
        assert now == before
        names = "docker inspect -f '{{json .NetworkSettings.Networks}}' redis"
        assert '"kv"' in box.sh(names) and '"second"' in box.sh(names)
        started = box.started()
        assert box.apply(call=BACK) is False
        assert box.started() == started
        # And away again, and the one of before that one.
        assert box.apply(redis()) is True
        assert box.apply(call=BACK) is True
        assert box.apply(redis()) is True
        assert box.apply(redis(environment={"LATER": "1"})) is True
        assert box.apply(call=PREVIOUS) is True
        assert box.apply(redis()) is False
    finally:
        box.sh("docker rm -f redis; docker network rm uplift-test uplift-test-2", check=False)


def test_without_a_record_nothing_comes_back_and_nothing_stops(running: Box) -> None:
    before = running.started()
    (line,) = running.broken(call=BACK)
    assert line == "there is no record 'adopted': it was never replaced"
    assert running.started() == before


def test_what_no_settings_of_a_run_name_is_listed_and_left(running: Box) -> None:
    told = "redis: made by uplift, and no settings of this host name it"
    assert told in running.said(call=LISTED)
    assert told not in running.said(redis(), call=f"{CALL}; {LISTED}")
    assert running.apply(call=LISTED) is False
    running.put()


CALL = "container.converged(name='Containers', containers=containers)"
