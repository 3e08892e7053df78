"""A real InfluxDB 2.7: set up, drifted by hand in each way, and never written to without need."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
DEPLOY = "tests/lab/influxdb_deploy.py"
IMAGE = "influxdb:2.7.12"
SERVER = "uplift-test-influxdb"
API = "http://127.0.0.1:8086/api/v2"
FILE = "/etc/uplift-test-influxdb.token"

# What a server's builder needs may have to be built first.
pytestmark = pytest.mark.slow

# All that a shell, JSON or curl's configuration could stumble over.
VALUES = {
    "ADMIN": f"""a:b "c" 'd' \\n\\ %7B$(id){{}} é {secrets.token_hex(8)}""",
    "TOKEN": secrets.token_hex(24),
    "CI": secrets.token_hex(12),
}
BLOCK: dict[str, Any] = {
    "setup": {
        "user": "admin",
        "password": {"secret": "i/admin"},
        "organisation": "main",
        "bucket": "default",
        "token": {"secret": "i/token"},
    },
    "organisations": ["second org"],
    "buckets": [
        {"name": "default"},
        {
            "name": "ci metrics",
            "organisation": "second org",
            "retention": "30d",
            "shard_group_duration": "1d",
        },
    ],
    "users": [{"name": "ci", "password": {"secret": "i/ci"}}],
    "tokens": [
        {
            "description": "ci writes",
            "organisation": "second org",
            "write": ["ci metrics"],
            "file": FILE,
        }
    ],
}

Run = Callable[..., subprocess.CompletedProcess[str]]
Shell = Callable[[str], str]


@pytest.fixture(scope="module")
def box(hosts: list[dict[str, Any]]) -> str:
    """The host of these tests."""
    return str(hosts[0]["name"])


@pytest.fixture(scope="module")
def shell(ssh: Run, box: str) -> Shell:
    """Run a command on the host as root and return what it prints."""
    return lambda command: ssh(box, f"sudo sh -c {shlex.quote(command)}").stdout.strip()


@pytest.fixture(scope="module", autouse=True)
def docker(uplift: Run, pyinfra: Run, lab_name: str, box: str) -> None:
    """An Engine on the host, and the image in the lab's registry."""
    uplift("lab", "image", IMAGE, "--name", lab_name)
    pyinfra("inventories/lab.py", "deploys/docker.py", "-y", "--limit", box)


@pytest.fixture(scope="module")
def fresh(shell: Shell) -> Iterator[Callable[[], None]]:
    """Start an empty server that logs each request; gone afterwards."""

    def start() -> None:
        shell(
            f"docker rm -fv {SERVER} >/dev/null 2>&1; rm -f {FILE}; "
            f"docker run -d --name {SERVER} --network host registry:5000/{IMAGE} --log-level debug"
        )

    yield start
    shell(f"docker rm -fv {SERVER} >/dev/null 2>&1; rm -f {FILE}")


class Result:
    """What a run did: whether something changed, its output, the requests that the server saw."""

    def __init__(self, done: subprocess.CompletedProcess[str], log: str) -> None:
        self.code = done.returncode
        self.output = done.stdout + done.stderr
        self.changed = re.search(r"InfluxDB +1 +1 ", self.output) is not None
        found = re.findall(r"msg=Request .*method=(\S+) .*?path=(\S+)", log)
        # Signing in is how a password is read; it leaves a session in the server's memory alone.
        writes = [it for it in found if it[0] != "GET" and not it[1].endswith("/signin")]
        self.writes = [f"{method} {path.split('/')[3]}" for method, path in writes]
        self.reads = len(found) - len(writes)


@pytest.fixture(scope="module")
def deploy(environment: dict[str, str], shell: Shell, box: str) -> Callable[..., Result]:
    """Run the deploy; count what the server's own log shows of it."""

    def call(block: dict[str, Any] = BLOCK, *options: str) -> Result:
        lines = int(shell(f"docker logs {SERVER} 2>&1 | wc -l"))
        pyinfra = str(Path(sys.executable).parent / "pyinfra")
        done = subprocess.run(
            [pyinfra, "inventories/lab.py", DEPLOY, "-y", "--limit", box, *options],
            cwd=PROJECT,
            env={
                **environment,
                **{f"UPLIFT_SECRET_I_{name}": value for name, value in VALUES.items()},
                "UPLIFT_TEST_INFLUXDB": json.dumps(block),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Result(done, shell(f"docker logs {SERVER} 2>&1 | tail -n +{lines + 1}"))

    return call


Deploy = Callable[..., Result]


@pytest.fixture(scope="module")
def ready(fresh: Callable[[], None], deploy: Deploy) -> Result:
    """A server that the settings were applied to once."""
    fresh()
    result = deploy()
    assert result.code == 0, result.output
    return result


@pytest.fixture
def api(ready: Result, shell: Shell) -> Callable[..., Any]:
    """Ask the server as a person with the operator token would."""

    def call(method: str, path: str, body: Any = None) -> Any:
        data = f"-d {shlex.quote(json.dumps(body))}" if body is not None else ""
        said = shell(
            f"curl -sS -f -X {method} -H 'Authorization: Token {VALUES['TOKEN']}' {data} "
            f"{shlex.quote(f'{API}/{path}')}"
        )
        return json.loads(said) if said else None

    return call


Api = Callable[..., Any]


def one(api: Api, kind: str, key: str, value: str) -> dict[str, Any]:
    """Return the one object of this kind with this value."""
    (found,) = (it for it in api("GET", f"{kind}?limit=100")[kind] if it[key] == value)
    return dict(found)


def test_an_empty_server_is_set_up_once(ready: Result, api: Api, shell: Shell) -> None:
    assert ready.changed
    assert ready.writes == [
        "POST setup",
        "POST orgs",
        "POST users",
        "POST users",
        "POST buckets",
        "POST authorizations",
    ]
    rules = one(api, "buckets", "name", "ci metrics")["retentionRules"]
    assert [(it["everySeconds"], it["shardGroupDurationSeconds"]) for it in rules] == [
        (30 * 86400, 86400)
    ]
    assert shell(f"stat -c '%a %U' {FILE}") == "600 root"


def test_the_token_in_the_file_writes_to_its_bucket_and_to_no_other(
    ready: Result, shell: Shell
) -> None:
    def write(org: str, bucket: str) -> str:
        query = f"org={org}&bucket={bucket}".replace(" ", "%20")
        return shell(
            f"curl -s -o /dev/null -w '%{{http_code}}' -H \"Authorization: Token $(cat {FILE})\" "
            f"--data-binary 'm f=1' '{API}/write?{query}'"
        )

    assert write("second org", "ci metrics") == "204"
    assert write("main", "default") in ("401", "403", "404")


def test_the_second_run_writes_nothing_and_reads(ready: Result, deploy: Deploy) -> None:
    second = deploy()
    assert second.code == 0
    assert not second.changed
    assert second.writes == []
    # The positive control of the line above: setup, three lists, authorizations, two passwords.
    assert second.reads == 7


DRIFTS: dict[str, tuple[Callable[[Api], Any], list[str]]] = {
    "bucket deleted": (
        lambda api: api("DELETE", f"buckets/{one(api, 'buckets', 'name', 'ci metrics')['id']}"),
        # A token is for a bucket's id: the new bucket needs a new one.
        ["POST buckets", "POST authorizations", "DELETE authorizations"],
    ),
    "retention changed": (
        lambda api: api(
            "PATCH",
            f"buckets/{one(api, 'buckets', 'name', 'ci metrics')['id']}",
            {"retentionRules": [{"type": "expire", "everySeconds": 7 * 86400}]},
        ),
        ["PATCH buckets"],
    ),
    "token disabled": (
        lambda api: api(
            "PATCH",
            f"authorizations/{one(api, 'authorizations', 'description', 'ci writes')['id']}",
            {"status": "inactive"},
        ),
        ["PATCH authorizations"],
    ),
    "token deleted": (
        lambda api: api(
            "DELETE",
            f"authorizations/{one(api, 'authorizations', 'description', 'ci writes')['id']}",
        ),
        ["POST authorizations"],
    ),
    "password changed": (
        lambda api: api(
            "POST",
            f"users/{one(api, 'users', 'name', 'ci')['id']}/password",
            {"password": secrets.token_hex(8)},
        ),
        ["POST users"],
    ),
    "first password changed": (
        lambda api: api(
            "POST",
            f"users/{one(api, 'users', 'name', 'admin')['id']}/password",
            {"password": secrets.token_hex(8)},
        ),
        ["POST users"],
    ),
    "user disabled": (
        lambda api: api(
            "PATCH", f"users/{one(api, 'users', 'name', 'ci')['id']}", {"status": "inactive"}
        ),
        ["PATCH users"],
    ),
    "user deleted": (
        lambda api: api("DELETE", f"users/{one(api, 'users', 'name', 'ci')['id']}"),
        ["POST users", "POST users"],
    ),
    "organisation missing": (
        lambda api: api("DELETE", f"orgs/{one(api, 'orgs', 'name', 'second org')['id']}"),
        ["POST orgs", "POST buckets", "POST authorizations"],
    ),
}


@pytest.mark.parametrize(("drift", "writes"), DRIFTS.values(), ids=DRIFTS)
def test_drift_is_repaired_once_and_the_next_run_changes_nothing(
    api: Api,
    deploy: Deploy,
    shell: Shell,
    drift: Callable[[Api], Any],
    writes: list[str],
) -> None:
    drift(api)
    repair = deploy()
    assert repair.code == 0, repair.output
    assert repair.changed
    assert repair.writes == writes
    # Read from the server itself, not by us.
    token = one(api, "authorizations", "description", "ci writes")
    assert (shell(f"cat {FILE}"), token["status"]) == (token["token"], "active")
    again = deploy()
    assert (again.code, again.changed, again.writes) == (0, False, [])
    assert again.reads == 7


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
def test_a_token_file_is_repaired_without_a_write_to_the_server(
    ready: Result, deploy: Deploy, shell: Shell, drift: str
) -> None:
    before = shell(f"cat {FILE}; stat -c '%a %U' {FILE}")
    shell(drift)
    repair = deploy()
    assert (repair.code, repair.changed, repair.writes) == (0, True, []), repair.output
    assert shell(f"cat {FILE}; stat -c '%a %U' {FILE}") == before
    assert not deploy().changed
    assert shell("ls -A /etc | grep uplift-test-influxdb") == FILE.removeprefix("/etc/")


def test_a_token_file_is_written_through_no_folder_of_others(
    ready: Result, deploy: Deploy, shell: Shell
) -> None:
    shell("install -d -o deploy -m 0755 /srv/theirs")
    token = {**BLOCK["tokens"][0], "file": "/srv/theirs/token"}
    refused = deploy({**BLOCK, "tokens": [token]})
    assert refused.code != 0
    assert "/srv/theirs/token: /srv/theirs is not root's" in refused.output
    assert shell("ls -A /srv/theirs; rmdir /srv/theirs") == ""


def test_a_longer_retention_is_shortened_only_with_leave(
    ready: Result, api: Api, deploy: Deploy
) -> None:
    path = f"buckets/{one(api, 'buckets', 'name', 'ci metrics')['id']}"
    longer = {"type": "expire", "everySeconds": 0, "shardGroupDurationSeconds": 60 * 86400}
    api("PATCH", path, {"retentionRules": [longer]})
    refused = deploy()
    assert refused.code != 0
    assert refused.writes == []
    assert "bucket second org/ci metrics: retention infinite -> 30d deletes" in refused.output
    # Shard groups as the server has them would be longer than what is kept.
    bucket = {k: v for k, v in BLOCK["buckets"][1].items() if k != "shard_group_duration"}
    buckets = [BLOCK["buckets"][0], {**bucket, "allow_data_loss": True}]
    assert deploy({**BLOCK, "buckets": buckets}).writes == ["PATCH buckets"]
    assert not deploy().changed


def test_a_permission_more_is_a_new_token_and_the_old_one_goes(
    ready: Result, api: Api, deploy: Deploy, shell: Shell
) -> None:
    old = shell(f"cat {FILE}")
    more = {**BLOCK, "tokens": [{**BLOCK["tokens"][0], "read": ["ci metrics"]}]}
    assert deploy(more).writes == ["POST authorizations", "DELETE authorizations"]
    assert old not in [it["token"] for it in api("GET", "authorizations")["authorizations"]]
    assert shell(f"cat {FILE}") != old
    assert deploy(more).writes == []
    assert deploy().changed


def test_another_operator_token_is_told_apart(
    ready: Result, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VALUES, "TOKEN", secrets.token_hex(24))
    refused = deploy()
    assert refused.code != 0
    assert refused.writes == []
    assert "refuses secret('i/token') as its operator token: 401 unauthorized" in refused.output


def test_nothing_secret_is_shown_or_in_a_process_list(
    fresh: Callable[[], None], deploy: Deploy, shell: Shell
) -> None:
    fresh()
    canary = f"canary-{secrets.token_hex(8)}"
    shell("rm -f /tmp/uplift-seen /tmp/uplift-stop")
    # Samples all command lines while the run goes on; the canary is the positive control.
    watch = (
        "i=0; until [ -e /tmp/uplift-stop ] || [ $i -gt 6000 ]; do i=$((i+1)); "
        "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >>/tmp/uplift-seen; sleep 0.02; done"
    )
    shell(f"setsid sh -c {shlex.quote(watch)} </dev/null >/dev/null 2>&1 &")
    shell(f"sh -c 'sleep 0.5; : {canary}'")
    done = deploy(BLOCK, "-vvv", "--debug")
    seen = shell("touch /tmp/uplift-stop; sleep 0.2; cat /tmp/uplift-seen; rm /tmp/uplift-seen")
    assert done.code == 0
    assert canary in seen
    assert "curl -q --config -" in seen
    made = shell(f"cat {FILE}")
    for value in (*VALUES.values(), made):
        assert value not in done.output
        assert json.dumps(value)[1:-1] not in done.output
        assert value not in seen
