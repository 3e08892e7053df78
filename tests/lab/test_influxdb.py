"""A real InfluxDB 2.7: set up before anybody else can, drifted by hand, and left alone."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.lab.influxdb_box import (
    API,
    BLOCK,
    FILE,
    IMAGE,
    KEPT,
    POINT,
    PORT,
    PROJECT,
    SERVER,
    Box,
    Result,
    Run,
    kept,
)
from tests.lab.influxdb_box import box as make_box
from tests.lab.leaks import Watch, Words, within

from uplift.spec.errors import Exit

# What its container's own job says it does: each is a place to be killed at.
POINTS = [
    f"{one} {moment}"
    for one in ("away", "start", "setup", "stop")
    for moment in ("before", "after")
]


@pytest.fixture(scope="module")
def box(
    hosts: list[dict[str, Any]],
    ssh: Run,
    pyinfra: Run,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Box]:
    """Hosts with Docker and nothing of these tests."""
    made = make_box(hosts, ssh, environment, tmp_path_factory.mktemp("influxdb"))
    pyinfra("inventories/lab.py", "deploys/docker.py", "-y", "--limit", made.name)
    made.clean()
    yield made
    made.clean()


@pytest.fixture(scope="module")
def first(box: Box) -> tuple[Result, str]:
    """A server that the settings were applied to once, and what the port said meanwhile."""
    stop = box.sample()
    result = box.run()
    samples = stop()
    assert result.code == 0, result.output
    return result, samples


@pytest.fixture
def ready(box: Box, first: tuple[Result, str]) -> Box:
    """A server as the settings say."""
    if not box.sh(f"docker ps -q --filter name=^{SERVER}$"):
        assert box.run().code == 0
    return box


@pytest.fixture
def empty(box: Box) -> Iterator[Box]:
    """Hosts without a server; without one afterwards too."""
    box.clean()
    yield box
    box.clean()


def test_an_empty_server_is_set_up_before_anybody_else_reaches_it(
    first: tuple[Result, str], ready: Box
) -> None:
    result, samples = first
    assert result.changed
    # The setup went to a container without ports: this one's log does not have it.
    assert result.writes == [
        "POST orgs",
        "POST users",
        "POST users",
        "POST buckets",
        "POST authorizations",
    ]
    assert '"allowed": true' not in samples
    # The positive control: the port was looked at when it was there.
    assert '"allowed": false' in samples
    assert ready.sh("docker ps -a --format '{{.Names}}'").split().count(SERVER) == 1
    rules = ready.one("buckets", "name", "ci metrics")["retentionRules"]
    assert [(it["everySeconds"], it["shardGroupDurationSeconds"]) for it in rules] == [
        (30 * 86400, 86400)
    ]
    assert ready.sh(f"stat -c '%a %U' {FILE}") == "600 root"


def test_the_token_in_the_file_writes_to_its_bucket_and_to_no_other(ready: Box) -> None:
    assert ready.write() == "204"
    assert ready.write("main", "default") in ("401", "403", "404")


def test_the_second_run_writes_nothing_and_reads_in_two_commands(ready: Box) -> None:
    log = "journalctl -u ssh -o cat --no-pager | grep -c '^Starting session: command'"
    before, commands = ready.started(), int(ready.sh(log))
    second = ready.run()
    # Of these, one asked for the time, one for the server's log, one for this number; and one of
    # every run of pyinfra, whatever it deploys, looks at the host's lock.
    cost = int(ready.sh(log)) - commands - 4
    assert (second.code, second.changed, second.writes, cost) == (0, False, [], 2)
    # The positive control of the line above: setup, three lists, authorizations, two passwords.
    assert second.reads == 7
    assert ready.started() == before


def test_a_dry_run_names_what_would_change_and_changes_nothing(ready: Box) -> None:
    ready.api("DELETE", f"buckets/{ready.one('buckets', 'name', 'ci metrics')['id']}")
    dry = ready.run(BLOCK, "--dry")
    assert dry.writes == []
    assert "bucket second org/ci metrics: created, retention 30d" in dry.output
    assert ready.run().writes[0] == "POST buckets"


DRIFTS: dict[str, tuple[Callable[[Box], Any], list[str]]] = {
    "bucket deleted": (
        lambda box: box.api("DELETE", f"buckets/{box.one('buckets', 'name', 'ci metrics')['id']}"),
        # A token is for a bucket's id: the new bucket needs a new one.
        ["POST buckets", "POST authorizations", "POST write", "DELETE authorizations"],
    ),
    "retention changed": (
        lambda box: box.api(
            "PATCH",
            f"buckets/{box.one('buckets', 'name', 'ci metrics')['id']}",
            {"retentionRules": [{"type": "expire", "everySeconds": 7 * 86400}]},
        ),
        ["PATCH buckets"],
    ),
    "token disabled": (
        lambda box: box.api(
            "PATCH",
            f"authorizations/{box.one('authorizations', 'description', 'ci writes')['id']}",
            {"status": "inactive"},
        ),
        ["PATCH authorizations"],
    ),
    "token deleted": (
        lambda box: box.api(
            "DELETE",
            f"authorizations/{box.one('authorizations', 'description', 'ci writes')['id']}",
        ),
        ["POST authorizations"],
    ),
    "password changed": (
        lambda box: box.api(
            "POST",
            f"users/{box.one('users', 'name', 'ci')['id']}/password",
            {"password": secrets.token_hex(8)},
        ),
        ["POST users"],
    ),
    "first password changed": (
        lambda box: box.api(
            "POST",
            f"users/{box.one('users', 'name', 'admin')['id']}/password",
            {"password": secrets.token_hex(8)},
        ),
        ["POST users"],
    ),
    "user disabled": (
        lambda box: box.api(
            "PATCH", f"users/{box.one('users', 'name', 'ci')['id']}", {"status": "inactive"}
        ),
        ["PATCH users"],
    ),
    "user deleted": (
        lambda box: box.api("DELETE", f"users/{box.one('users', 'name', 'ci')['id']}"),
        ["POST users", "POST users"],
    ),
    "organisation missing": (
        lambda box: box.api("DELETE", f"orgs/{box.one('orgs', 'name', 'second org')['id']}"),
        ["POST orgs", "POST buckets", "POST authorizations"],
    ),
}


QUICK = ("bucket deleted", "token disabled")


@pytest.mark.parametrize(
    ("drift", "writes"),
    [
        pytest.param(*it, id=name, marks=[] if name in QUICK else pytest.mark.slow)
        for name, it in DRIFTS.items()
    ],
)
def test_drift_is_repaired_once_and_the_next_run_changes_nothing(
    ready: Box, drift: Callable[[Box], Any], writes: list[str]
) -> None:
    before = ready.started()
    drift(ready)
    repair = ready.run()
    assert repair.code == 0, repair.output
    assert repair.changed
    assert repair.writes == writes
    # Read from the server itself, not by us.
    token = ready.one("authorizations", "description", "ci writes")
    assert (ready.sh(f"cat {FILE}"), token["status"]) == (token["token"], "active")
    again = ready.run()
    assert (again.code, again.changed, again.writes, again.reads) == (0, False, [], 7)
    assert ready.started() == before


@pytest.mark.slow
def test_uplift_drift_names_the_setting_that_was_changed_by_hand_and_leaves_it(
    ready: Box, uplift: Run
) -> None:
    ready.words(BLOCK, clients={})  # the inventory
    deploy = ("deploys/influxdb.py", "--limit", ready.name, "--json")

    def found(code: int) -> list[dict[str, Any]]:
        words = ("drift", str(ready.folder / "lab.py"), *deploy)
        done = uplift(*words, env=ready.variables(), check=False)
        assert done.returncode == code, done.stderr
        return list(json.loads(done.stdout)["findings"])

    assert found(Exit.DONE) == []
    DRIFTS["retention changed"][0](ready)
    (one,) = found(Exit.PENDING)
    assert (one["host"], one["kind"]) == (ready.name, "settings")
    assert "bucket second org/ci metrics: retention 1w -> 30d" in one["text"]
    rules = ready.one("buckets", "name", "ci metrics")["retentionRules"]
    assert rules[0]["everySeconds"] == 7 * 86400
    assert ready.run().writes == ["PATCH buckets"]


REMOVED = f"docker rm -f {SERVER} >/dev/null"
HAND = f"{REMOVED}; docker run -d --name {SERVER} -v {SERVER}:/var/lib/influxdb2"
CONTAINERS = {
    "removed": f"docker rm -f {SERVER}",
    "stopped": f"docker stop {SERVER}",
    "paused": f"docker pause {SERVER}",
    "renamed": f"docker rename {SERVER} other",
    "other port": f"{HAND} -p 127.0.0.1:{PORT + 1}:8086 {IMAGE}",
    "other environment": f"{HAND} -e INFLUXD_HTTP_BIND_ADDRESS=:9 -p 127.0.0.1:{PORT}:8086 {IMAGE}",
    "other data": f"docker rm -f {SERVER}; docker run -d --name {SERVER} "
    f"-p 127.0.0.1:{PORT}:8086 {IMAGE}",
    "restart policy": f"docker update --restart=no {SERVER}",
}


@pytest.mark.parametrize(
    "drift",
    [
        pytest.param(it, id=name, marks=[] if name == "removed" else pytest.mark.slow)
        for name, it in CONTAINERS.items()
    ],
)
def test_a_container_changed_by_hand_is_as_before_and_so_is_what_it_holds(
    ready: Box, drift: str
) -> None:
    old = ready.sh(f"cat {FILE}")
    ready.sh(drift)
    repair = ready.run()
    assert repair.code == 0, repair.output
    assert repair.changed
    assert repair.writes == []
    assert (ready.sh(f"cat {FILE}"), ready.write()) == (old, "204")
    again = ready.run()
    assert (again.code, again.changed) == (0, False)
    assert ready.sh(f"docker port {SERVER}") == f"8086/tcp -> 127.0.0.1:{PORT}"
    assert ready.sh(f"docker ps -a --format '{{{{.Names}}}}' --filter volume={SERVER}") == SERVER


@pytest.mark.slow
@pytest.mark.parametrize(
    "drift",
    [
        f"rm {FILE}",
        f"chmod 0644 {FILE}",
        f"chown deploy {FILE}",
        f"printf other >{FILE}",
        f": >{FILE}",
    ],
)
def test_a_token_file_is_repaired_without_a_write_to_the_server(ready: Box, drift: str) -> None:
    before = ready.sh(f"cat {FILE}; stat -c '%a %U' {FILE}")
    ready.sh(drift)
    repair = ready.run()
    assert (repair.code, repair.changed, repair.writes) == (0, True, []), repair.output
    assert ready.sh(f"cat {FILE}; stat -c '%a %U' {FILE}") == before
    assert not ready.run().changed
    assert ready.sh("ls -A /etc | grep uplift-test-influxdb") == FILE.removeprefix("/etc/")


@pytest.mark.slow
def test_a_token_file_is_written_through_no_folder_of_others(ready: Box) -> None:
    ready.sh("install -d -o deploy -m 0755 /srv/theirs")
    token = {**BLOCK["tokens"][0], "file": "/srv/theirs/token"}
    refused = ready.run({**BLOCK, "tokens": [token]})
    assert refused.code != 0
    assert "/srv/theirs/token: /srv/theirs is not root's" in refused.output
    assert ready.sh("ls -A /srv/theirs; rmdir /srv/theirs") == ""


@pytest.mark.slow
def test_a_longer_retention_is_shortened_only_with_leave(ready: Box) -> None:
    path = f"buckets/{ready.one('buckets', 'name', 'ci metrics')['id']}"
    longer = {"type": "expire", "everySeconds": 0, "shardGroupDurationSeconds": 60 * 86400}
    ready.api("PATCH", path, {"retentionRules": [longer]})
    refused = ready.run()
    assert refused.code != 0
    assert refused.writes == []
    assert "bucket second org/ci metrics: retention infinite -> 30d deletes" in refused.output
    # Shard groups as the server has them would be longer than what is kept.
    bucket = {k: v for k, v in BLOCK["buckets"][1].items() if k != "shard_group_duration"}
    buckets = [BLOCK["buckets"][0], {**bucket, "allow_data_loss": True}]
    assert ready.run({**BLOCK, "buckets": buckets}).writes == ["PATCH buckets"]
    assert not ready.run().changed


@pytest.mark.slow
def test_a_permission_more_is_a_new_token_and_the_old_one_goes(ready: Box) -> None:
    old = ready.sh(f"cat {FILE}")
    more = {**BLOCK, "tokens": [{**BLOCK["tokens"][0], "read": ["ci metrics"]}]}
    assert ready.run(more).writes == ["POST authorizations", "POST write", "DELETE authorizations"]
    listed = ready.api("GET", "authorizations")["authorizations"]
    assert old not in [it["token"] for it in listed]
    assert ready.sh(f"cat {FILE}") != old
    assert ready.run(more).writes == []
    assert ready.run().changed


def test_a_rotated_token_goes_only_when_every_host_has_the_new_one(ready: Box) -> None:
    other = str(ready.hosts[1]["name"])
    secret = {"secret": KEPT, "generate": True}
    clients = {other: {"tokens": [{"secret": secret, "file": FILE, "owner": "deploy"}]}}
    token = {key: it for key, it in BLOCK["tokens"][0].items() if key != "file"}

    def block(rotation: str) -> dict[str, Any]:
        return {**BLOCK, "tokens": [{**token, "secret": secret, "rotation": rotation}]}

    def there() -> str:
        return ready.sh(f"cat {FILE}", host=other)

    made = ready.run(block("1"), clients=clients)
    assert made.code == 0, made.output
    first = there()
    assert ready.sh(f"stat -c '%a %U' {FILE}", host=other) == "600 deploy"
    assert (kept(), ready.write(token=first)) == (first, "204")
    # Without the other host the old one must live on.
    alone = ready.run(block("2"), "--limit", ready.name, clients=clients)
    assert f"the old one stays until {other} got the new one" in alone.output
    assert (alone.code, there(), ready.write(token=first)) == (0, first, "204")
    done = ready.run(block("2"), clients=clients)
    assert done.code == 0, done.output
    assert done.writes == ["POST write", "DELETE authorizations"]
    assert there() == kept() != first
    assert (ready.write(token=there()), ready.write(token=first)) == ("204", "401")
    again = ready.run(block("2"), clients=clients)
    assert (again.changed, again.writes) == (False, [])
    for value in (first, there()):
        assert value not in made.output + alone.output + done.output
    assert ready.run().code == 0


KILLS = {
    "made": ("_send", "after"),
    "kept": ("_keep", "after"),
    "about to be proved": ("_prove", "before"),
    "proved": ("_prove", "after"),
}
KILL = """
import os, signal
from uplift.operations import influxdb_api
real = influxdb_api.{name}
def killing(state, host, *args):
    if {moment!r} == "after":
        assert real(state, host, *args)
    os.kill(os.getpid(), signal.SIGKILL)
influxdb_api.{name} = killing
"""


@pytest.mark.crash
@pytest.mark.parametrize("name", KILLS)
def test_a_rotation_killed_anywhere_is_done_by_the_next_run(ready: Box, name: str) -> None:
    function, moment = KILLS[name]
    secret = {"secret": KEPT, "generate": True}
    token = {**BLOCK["tokens"][0], "secret": secret}
    before = {**BLOCK, "tokens": [{**token, "rotation": secrets.token_hex(4)}]}
    assert ready.run(before).code == 0
    old = ready.sh(f"cat {FILE}")
    block = {**BLOCK, "tokens": [{**token, "rotation": secrets.token_hex(4)}]}
    killed = ready.run(block, before=KILL.format(name=function, moment=moment))
    assert killed.code == -signal.SIGKILL, killed.output
    # Whoever has the old one goes on working until the new one is everywhere.
    assert ready.write(token=old) == "204"
    done = ready.run(block)
    assert done.code == 0, done.output
    new = ready.sh(f"cat {FILE}")
    assert new == kept() != old
    assert (ready.write(), ready.write(token=old)) == ("204", "401")
    listed = ready.api("GET", "authorizations")["authorizations"]
    assert [it["token"] for it in listed if it["description"].startswith("ci writes")] == [new]
    assert not ready.run(block).changed


def test_a_lost_operator_token_comes_back_as_the_page_says(ready: Box) -> None:
    lost = ready.one("authorizations", "token", ready.values["TOKEN"])
    ready.api("DELETE", f"authorizations/{lost['id']}")
    refused = ready.run()
    assert refused.code != 0
    assert "refuses secret('i/token') as its operator token: 401 unauthorized" in refused.output
    page = (PROJECT / "docs/influxdb.md").read_text().partition("## A lost operator token")[2]
    commands = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)[0]
    # The last line stores it on the controller.
    on_host, _, store = commands.rstrip().rpartition("\n")
    assert store == "uplift secrets set influxdb/operator"
    said = ready.sh(re.sub(r"\binfluxdb(?=[\s)]|$)", SERVER, on_host))
    found = [line for line in said.splitlines() if line != SERVER]
    assert len(found) == 1, len(found)
    # That of the setup is gone for good: the tests that follow go on with this one.
    ready.values["TOKEN"] = found[0]
    back = ready.run()
    assert (back.code, back.changed, back.writes) == (0, False, []), back.output


@pytest.mark.slow
def test_another_operator_token_is_told_apart(ready: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ready.started()
    monkeypatch.setitem(ready.values, "TOKEN", secrets.token_hex(24))
    refused = ready.run()
    assert refused.code != 0
    assert refused.writes == []
    assert "refuses secret('i/token') as its operator token: 401 unauthorized" in refused.output
    assert ready.started() == before


def test_what_nobody_asked_for_is_named_and_left_alone(ready: Box) -> None:
    org = ready.one("orgs", "name", "main")["id"]
    ready.api("POST", "buckets", {"orgID": org, "name": "by hand", "retentionRules": []})
    ready.api("POST", "users", {"name": "bob"})
    seen = ready.run()
    assert (seen.code, seen.changed, seen.writes) == (0, False, [])
    assert "not in the settings, left alone: bucket main/by hand, user bob" in seen.output
    assert ready.one("buckets", "name", "by hand")


FRONT = f"""
defaults
 mode http
 timeout connect 1s
 timeout client 9s
 timeout server 9s
listen front
 bind 127.0.0.1:{PORT + 2}
 server one 127.0.0.1:{PORT}
"""
PAGE = " http-request return status 200 content-type text/html string <html>\n"


@pytest.mark.slow
def test_what_stands_in_front_of_a_server_is_told_from_it(ready: Box) -> None:
    block = {**BLOCK, "container": None, "address": f"http://127.0.0.1:{PORT + 2}"}
    ready.sh("command -v haproxy >/dev/null || { apt-get update; apt-get install -y haproxy; }")

    def proxy(conf: str) -> None:
        ready.sh(
            f"[ ! -e /run/front ] || kill $(cat /run/front); sleep 1; "
            f"printf %s {shlex.quote(conf)} >/run/front.cfg; "
            "haproxy -D -p /run/front -f /run/front.cfg"
        )

    try:
        proxy(FRONT)
        assert ready.run(block).writes == []
        # Nothing behind it, for as long as a start takes: then it is there.
        later = f"sleep 8; docker start {SERVER}"
        ready.sh(f"docker stop {SERVER}; setsid sh -c '{later}' </dev/null >/dev/null 2>&1 &")
        waited = ready.run(block)
        assert waited.code == 0, waited.output
        assert "it is not ready yet: 503 <html>" in waited.output
        proxy(FRONT + PAGE)
        page = ready.run(block)
        assert page.code != 0
        assert "is the server set up? 200 <html>" in page.output
    finally:
        ready.sh("kill $(cat /run/front); rm /run/front*", check=False)


AT = """
from uplift.operations import influxdb_setup
influxdb_setup.MARK = '''
mark() {{
  if [ "$1" = "{point}" ] && [ ! -e {file} ]; then
    : >{file}
    systemctl kill --signal=KILL 'uplift-container-*'; sleep 30
  fi
}}
'''
"""


@pytest.mark.crash
@pytest.mark.parametrize("point", POINTS)
def test_killed_while_it_is_set_up_it_is_never_open_and_done_by_the_next_run(
    empty: Box, point: str
) -> None:
    stop = empty.sample()
    killed = empty.run(before=AT.format(point=point, file=POINT))
    assert killed.code != 0, killed.output
    assert empty.sh(f"ls {POINT}") == POINT
    done = empty.run()
    samples = stop()
    assert done.code == 0, done.output
    assert '"allowed": true' not in samples
    assert '"allowed": false' in samples
    assert empty.sh("docker ps -a --format '{{.Names}}' | grep uplift-test") == SERVER
    assert empty.write() == "204"
    assert not empty.run().changed


@pytest.mark.crash
def test_with_the_controller_killed_while_it_is_set_up_the_next_run_completes(empty: Box) -> None:
    stop = empty.sample()
    words = empty.words(BLOCK, clients={})
    process = subprocess.Popen(
        words, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, env=empty.variables(),
    )  # fmt: skip
    for _ in range(300):
        if empty.sh(f"docker ps -q --filter name=^{SERVER}--setup$"):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert empty.run().code == 0
    assert '"allowed": true' not in stop()
    assert empty.write() == "204"


@pytest.mark.slow
def test_half_a_setup_is_begun_anew_and_a_server_that_somebody_left_open_is_closed(
    empty: Box,
) -> None:
    start = f"docker run -d --name hand -v {SERVER}:/var/lib/influxdb2"
    body = {"username": "x", "password": secrets.token_hex(8), "org": "x", "bucket": "x"}
    post = f"curl -s -f --retry 20 --retry-all-errors -d '{json.dumps(body)}' {API}/setup"
    empty.sh(f"{start} -p 127.0.0.1:{PORT}:8086 {IMAGE}; {post}; docker rm -f hand")
    refused = empty.run()
    # Somebody's own server is not ours to begin anew.
    assert refused.code != 0
    assert "refuses secret('i/token') as its operator token" in refused.output
    assert empty.sh(f"docker ps -aq --filter volume={SERVER}") == ""
    place = empty.sh(f"docker volume inspect -f '{{{{.Mountpoint}}}}' {SERVER}")
    empty.sh(f": >{place}/.uplift-setting-up")
    assert "half a set-up removed" in empty.run(BLOCK, "-v").output
    assert empty.write() == "204"
    # The sampler's own control: it does see a server that is open.
    empty.clean()
    stop = empty.sample()
    empty.sh(f"docker run -d --name {SERVER} -v {SERVER}:/var/lib/influxdb2 "
             f"-p 127.0.0.1:{PORT}:8086 {IMAGE}; sleep 5")  # fmt: skip
    assert empty.run().code == 0
    assert '"allowed": true' in stop()
    assert empty.write() == "204"


@pytest.mark.slow
def test_nothing_secret_is_shown_or_in_a_process_or_an_open_file(empty: Box) -> None:
    words = Words(empty.values)
    # Its log for debugging, where the other tests count requests, tells each new token.
    usual = {**BLOCK, "container": {**BLOCK["container"], "environment": {}}}
    with Watch(empty.hosts[:1], words) as watch:
        done = empty.run(usual, "-vvv", "--debug")
    assert done.code == 0
    words.add({"the token that was made": empty.sh(f"cat {FILE}")})
    shown = empty.sh(f"docker inspect {SERVER}; docker logs {SERVER} 2>&1")
    assert watch.leaks() == []
    assert within(words, {"output": done.output, "docker": shown}) == []
    assert SERVER in shown and "lvl=info" in shown
    # The control: what asks the server was among what was seen.
    assert "curl -q --config -" in watch.arguments(empty.name)
