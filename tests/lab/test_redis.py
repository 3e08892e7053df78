"""A real Redis: behind its password, drifted by hand in each way, and its data always there."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.lab.leaks import There, Watch, Words, within

from uplift.spec.redis.server import auth_command
from uplift.spec.secret import Secret

PROJECT = Path(__file__).parents[2]
DEPLOY = "tests/lab/redis_deploy.py"
IMAGE = "registry:5000/redis:8"

# All that a shell, JSON or redis.conf could stumble over.
AWKWARD = f"""a:b "c" 'd' \\n\\ %7B$(id){{}} #é {secrets.token_hex(8)}"""
BLOCK: dict[str, Any] = {
    "image": IMAGE,
    "volume": "uplift-test-redis",
    "password": {"secret": "r/password"},
    "maxmemory": "64m",
    "maxmemory_policy": "volatile-ttl",
    "config": {"save": "3600 1", "notify-keyspace-events": "KEA", "maxclients": 1000},
    "stop_timeout": 20,
}

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Box:
    """One host, and Redis applied to it."""

    name: str
    ssh: Run
    environment: dict[str, str]
    password: str = AWKWARD
    last: str = field(default="", init=False)

    def sh(self, script: str, *, check: bool = True) -> str:
        done = self.ssh(self.name, f"sudo sh -c {shlex.quote(script)}", check)
        return str(done.stdout).strip()

    def run(self, block: dict[str, Any] = BLOCK, *options: str) -> int:
        """Apply the settings, keep what was said, and return pyinfra's exit code."""
        pyinfra = str(Path(sys.executable).parent / "pyinfra")
        yes = [] if "--dry" in options else ["-y"]
        done = subprocess.run(
            [pyinfra, "inventories/lab.py", DEPLOY, "--limit", self.name, *yes, *options],
            cwd=PROJECT,
            env={
                **self.environment,
                "UPLIFT_SECRET_R_PASSWORD": self.password,
                "UPLIFT_TEST_REDIS": json.dumps(block),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        self.last = done.stdout + done.stderr
        return done.returncode

    def apply(self, block: dict[str, Any] = BLOCK) -> bool:
        """Apply the settings and tell whether anything changed."""
        assert self.run(block) == 0, self.last
        return re.search(r"Redis +1 +1 ", self.last) is not None

    def ask(self, *commands: str, password: str | None = None) -> list[str]:
        """Ask the server, as a person with the password would."""
        word = self.password if password is None else password
        lines = [auth_command(Secret(word)).reveal()] if word else []
        text = "".join(f"{line}\n" for line in (*lines, *commands))
        said = self.sh(f"printf %s {shlex.quote(text)} | docker exec -i redis redis-cli")
        return said.splitlines()

    def started(self) -> str:
        return self.sh("docker inspect -f '{{.Id}} {{.State.StartedAt}}' redis")

    def seen(self) -> str:
        """Return what changes when anything touches the server: its start, its log, its counters.

        The reads of a run are counted by Redis; writes and changes of its configuration are not
        among them.
        """
        log = self.sh("docker logs redis 2>&1 | wc -l")
        said = self.ask("INFO commandstats")
        wrote = sorted(line for line in said if re.match(r"cmdstat_(set|config\|set|save)\b", line))
        return f"{self.started()} {log} {wrote}"

    def clean(self) -> None:
        self.sh(
            "docker rm -f redis redis--previous other; docker volume rm uplift-test-redis redis;"
            "rm -rf /var/lib/uplift/containers/redis /etc/uplift/secrets/redis*",
            check=False,
        )


@pytest.fixture(scope="module")
def host(
    hosts: list[dict[str, Any]],
    lab_name: str,
    environment: dict[str, str],
    uplift: Run,
    ssh: Run,
    pyinfra: Run,
) -> Iterator[Box]:
    """A host with Docker, and a registry that has the image; its Redis goes afterwards."""
    name = str(hosts[0]["name"])
    uplift("lab", "image", "redis", "--name", lab_name)
    pyinfra("inventories/lab.py", "deploys/docker.py", "--limit", name, "-y")
    box = Box(name, ssh, environment)
    box.clean()
    yield box
    box.clean()


@pytest.fixture
def box(host: Box) -> Box:
    """A Redis as the settings say, with a key."""
    host.password = AWKWARD
    assert host.run() == 0, host.last
    assert host.ask("SET key kept") == ["OK", "OK"]
    return host


def well(box: Box) -> None:
    """The server is as it shall be, asked by other means than ours, and the data is there."""
    assert box.ask("PING", password="")[0].startswith("NOAUTH")
    assert box.ask("GET key") == ["OK", "kept"]
    for key, value in {
        "maxmemory": "67108864",
        "maxmemory-policy": "volatile-ttl",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "3600 1",
        "maxclients": "1000",
    }.items():
        assert box.ask(f"CONFIG GET {key}") == ["OK", key, value]
    assert box.sh("docker port redis") == "6379/tcp -> 127.0.0.1:6379"


def test_applied_twice_it_changes_once_and_is_not_touched_again(host: Box) -> None:
    host.clean()
    assert host.apply() is True
    before = host.seen()
    assert host.apply() is False
    assert host.seen() == before
    # The control: what the comparison looks at does see a write.
    host.ask("SET other value")
    assert host.seen() != before


DRIFTS = {
    "removed": "docker rm -f redis",
    "password set": "set requirepass other",
}
MORE_DRIFTS = {
    "maxmemory set": "set maxmemory 1mb",
    "secret file edited": "sed -i 's/.$/x\"/' /etc/uplift/secrets/redis/auth.conf",
    "stopped": "docker stop redis",
    "paused": "docker pause redis",
    "renamed": "docker rename redis elsewhere",
    "secret file opened": "chmod 0644 /etc/uplift/secrets/redis/auth.conf",
    "policy updated": "docker update --restart=always redis",
    "no password at all": "do ACL SETUSER default nopass",
    "password taken away": "set requirepass ''",
    "a user without a password": "do ACL SETUSER eve on nopass ~* +@all",
    "append-only off": "set appendonly no",
    "save set": "set save ''",
    "several set": "set maxmemory-policy noeviction; set notify-keyspace-events ''",
    "another port": "docker rm -f redis; docker run -d --name redis -p 6380:6379 "
    f"-v uplift-test-redis:/data {IMAGE}",
    "with a variable": "docker rm -f redis; docker run -d --name redis -e A=b "
    f"-p 127.0.0.1:6379:6379 -v uplift-test-redis:/data {IMAGE} redis-server --appendonly yes",
}


def by_hand(box: Box, drift: str) -> None:
    for part in drift.split("; "):
        if part.startswith("set "):
            assert box.ask(f"CONFIG SET {part[4:]}")[-1] == "OK"
        elif part.startswith("do "):
            assert box.ask(part[3:])[-1] == "OK"
        else:
            box.sh(part)


def repaired(box: Box, drift: str) -> None:
    by_hand(box, drift)
    assert box.apply() is True, box.last
    well(box)
    assert box.apply() is False


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS)
def test_drift_by_hand_is_repaired_and_the_data_stays(box: Box, drift: str) -> None:
    repaired(box, drift)


@pytest.mark.slow
@pytest.mark.parametrize("drift", MORE_DRIFTS.values(), ids=MORE_DRIFTS)
def test_more_drift_by_hand_is_repaired_and_the_data_stays(box: Box, drift: str) -> None:
    repaired(box, drift)


def test_what_was_set_by_hand_is_set_back_without_a_restart_and_named(box: Box) -> None:
    before = box.started()
    by_hand(box, "set maxmemory 1mb")
    assert box.apply() is True
    assert "redis: maxmemory 1m -> 64m" in box.last
    assert box.started() == before


def test_a_changed_setting_is_named_and_the_data_survives_the_replacement(box: Box) -> None:
    before = box.started()
    block = {**BLOCK, "maxmemory": "128m", "appendfsync": "always"}
    assert box.run(block, "--dry") == 0
    assert "redis: maxmemory 64m -> 128m" in box.last
    assert box.started() == before
    assert box.apply(block) is True
    assert "redis: appendfsync everysec -> always" in box.last
    assert box.ask("GET key", "CONFIG GET maxmemory")[1:] == ["kept", "maxmemory", "134217728"]
    assert box.apply(block) is False


def test_a_rotated_password_holds_and_the_old_one_does_not(box: Box) -> None:
    old, box.password = box.password, secrets.token_hex(20)
    assert box.apply() is True
    assert box.ask("GET key") == ["OK", "kept"]
    assert box.ask("PING", password=old)[0].startswith("WRONGPASS")
    assert box.apply() is False


def test_a_redis_that_kept_a_dump_alone_keeps_its_data(box: Box) -> None:
    box.sh(
        "docker rm -f redis; docker volume rm uplift-test-redis;"
        f"docker run -d --name redis -v uplift-test-redis:/data {IMAGE}"
    )
    box.sh("until docker exec redis redis-cli set key kept; do sleep 0.2; done")
    assert box.apply() is True
    well(box)
    assert box.apply() is False
    # And after a start without us: now the append-only file is the truth.
    box.sh("docker restart redis")
    box.sh("until docker exec redis redis-cli ping | grep -q NOAUTH; do sleep 0.2; done")
    well(box)


@pytest.mark.slow
def test_the_append_only_file_goes_and_comes_back_without_a_loss(box: Box) -> None:
    off = {**BLOCK, "appendonly": False}
    assert box.apply(off) is True
    assert box.ask("CONFIG GET appendonly", "GET key")[1:] == ["appendonly", "no", "kept"]
    assert box.sh("docker exec redis ls /data") == "dump.rdb"
    assert box.ask("SET key newer")[-1] == "OK"
    assert box.apply(off) is False
    assert box.apply() is True
    assert box.ask("GET key", "SET key kept")[1:] == ["newer", "OK"]
    well(box)
    assert box.apply() is False


def test_what_was_written_while_the_file_was_off_by_hand_survives_a_replacement(box: Box) -> None:
    by_hand(box, "set appendonly no")
    assert box.ask("SET key newer")[-1] == "OK"
    assert box.apply({**BLOCK, "appendfsync": "always"}) is True
    assert box.ask("GET key", "CONFIG GET appendonly")[1:] == ["newer", "appendonly", "yes"]


@pytest.mark.slow
def test_an_append_only_file_that_was_left_over_is_not_loaded_later(box: Box) -> None:
    off = {**BLOCK, "appendonly": False}
    assert box.apply(off) is True
    box.sh(
        "docker exec redis sh -c 'mkdir appendonlydir; : >appendonlydir/appendonly.aof.manifest'"
    )
    assert box.apply(off) is True
    assert box.sh("docker exec redis ls /data") == "dump.rdb"
    assert box.apply(off) is False


@pytest.mark.slow
def test_a_setting_that_redis_refuses_leaves_the_old_one_serving(box: Box) -> None:
    assert box.run({**BLOCK, "config": {"maxclients": "many"}}) != 0
    assert "maxclients" in box.last
    assert "the container of before serves again" in box.last
    assert box.apply() is False
    well(box)


@pytest.mark.slow
def test_a_value_that_redis_writes_in_another_way_is_told_as_it_writes_it(box: Box) -> None:
    block = {**BLOCK, "config": {"notify-keyspace-events": "Kg$lshzxetd"}}
    assert box.run(block) != 0
    assert "config: notify-keyspace-events: the server has 'AK' for" in box.last
    block["config"] = {"notify-keyspace-events": "AK"}
    assert box.apply(block) is True
    assert box.apply(block) is False


WRONG = {
    "a slip": ({"maxmemmory": "1g"}, "redis.maxmemmory: unknown key, did you mean 'maxmemory'?"),
    "a password": ({"password": "hunter2"}, "redis.password: must be a reference"),
    "its own key": ({"config": {"requirepass": "hunter2"}}, "use the key 'password'"),
}


@pytest.mark.parametrize(("fields", "words"), WRONG.values(), ids=WRONG)
def test_wrong_settings_are_64_before_anything_connects(
    host: Box, pyinfra: Run, fields: dict[str, Any], words: str
) -> None:
    data = f"redis={json.dumps({**BLOCK, **fields})}"
    words_ = ("inventories/lab.py", "deploys/redis.py", "-y", "--limit", host.name, "--data", data)
    done = pyinfra(*words_, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 64, said
    assert words in said
    assert "Connected" not in said


def test_nothing_secret_is_shown_or_in_a_process_or_an_open_file(
    host: Box, hosts: list[dict[str, Any]]
) -> None:
    host.clean()
    host.password = secrets.token_hex(20)
    words = Words({"password": host.password})
    there = There(hosts[0], words)
    lines = f"{auth_command(Secret(host.password)).reveal()}\nCONFIG SET maxmemory 1mb\n"
    with Watch(hosts[:1], words) as watch:
        assert host.run(BLOCK, "-vvv", "--debug") == 0, host.last
        said = host.last
        answers = there.run("docker exec -i redis redis-cli", stdin=lines)
        assert answers.split() == ["OK", "OK"]
        assert host.run(BLOCK, "-vvv", "--debug") == 0
        said += host.last
    shown = host.sh("docker inspect redis; docker history --no-trunc redis; docker logs redis 2>&1")
    assert watch.leaks() == []
    assert within(words, {"output": said, "docker": shown}) == []
    # The controls: what asks the server was among what was seen, and this is the password.
    assert {"redis-cli", "--no-raw"} <= set(watch.arguments(host.name).splitlines())
    assert host.password in host.sh("cat /etc/uplift/secrets/redis/auth.conf")


@pytest.mark.slow
def test_verification_names_what_was_changed_by_hand_and_warns_of_what_is_exposed(
    host: Box, pyinfra: Run, uplift: Run
) -> None:
    def verify() -> tuple[int, dict[str, Any]]:
        chosen = ("--limit", host.name, "-k", "redis or no_container_shows", "--json")
        done = uplift("verify", "inventories/lab.py", *chosen, check=False)
        assert word not in done.stdout + done.stderr
        (found,) = json.loads(done.stdout)["hosts"]
        return done.returncode, found

    host.clean()
    pyinfra("inventories/lab.py", "deploys/redis.py", "-y", "--limit", host.name)
    word = host.sh("cut -d '\"' -f 2 /etc/uplift/secrets/redis/auth.conf")
    code, found = verify()
    assert (code, found["failures"], found["warnings"]) == (0, [], [])

    other = f"docker rm -f other 2>/dev/null; docker create --name other -e WORD={word}"
    host.sh(f"{other} --label io.uplift.exposed=WORD {IMAGE}")
    code, found = verify()
    (warning,) = found["warnings"]
    assert (code, found["failures"]) == (0, [])
    assert "docker inspect other: Config.Env[WORD] holds" in warning["message"]
    host.sh(f"{other} {IMAGE}")
    code, found = verify()
    assert (code, found["warnings"]) == (1, [])
    assert "Config.Env[WORD] holds" in found["failures"][0]["message"]

    by_other_hands = f"docker run -d --name redis -p 6379:6379 -v redis:/data {IMAGE}"
    host.sh(f"docker rm -f other redis; {by_other_hands}")
    code, found = verify()
    said = "\n".join(one["message"] for one in found["failures"])
    failed = {one["test"].partition("[")[0] for one in found["failures"]}
    assert code == 1
    assert "test_nobody_gets_in_without_the_password" in failed
    assert "restart policy: no, not unless-stopped" in said
    assert "port 0.0.0.0:6379 -> 6379/tcp is published against the settings" in said
