"""A real Nexus: configured from nothing, drifted by hand, never written to without need."""

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
DEPLOY = "tests/lab/nexus_deploy.py"
NAME = "uplift-test-nexus"
PORT = 28093
ADDRESS = f"http://127.0.0.1:{PORT}"
LOG = "/var/lib/docker/volumes/uplift-test-nexus/_data/log/request.log"
RECORD = f"/var/lib/uplift/nexus-http-127-0-0-1-{PORT}.json"

# Minutes of start and of writes.
pytestmark = pytest.mark.slow

# All that a shell, JSON or curl's configuration could stumble over.
VALUES = {
    "ADMIN": f"""a:b "c" 'd' \\n\\ %7B$(id){{}} é {secrets.token_hex(8)}""",
    **{name: secrets.token_hex(12) for name in ("REMOTE", "AUDIT", "DEPLOYER", "READER", "OTHER")},
}


def secret(name: str) -> dict[str, str]:
    """A reference, as group data holds it."""
    return {"secret": f"n/{name}"}


def repository(format: str, type: str, name: str, **more: Any) -> dict[str, Any]:
    """A repository."""
    return {"format": format, "type": type, "name": name, **more}


# Nothing answers there: proxies are configured, not used.
REMOTE = "http://127.0.0.1:9/"
PROXY = {"remote_url": REMOTE, "content_max_age": 720}
BLOCK: dict[str, Any] = {
    "admin": {"password": secret("admin")},
    "realms": {"active": ["NpmToken"]},
    "blob_stores": [
        {"name": "default"},
        {"name": "packages", "soft_quota": {"type": "spaceUsedQuota", "limit": "10GB"}},
    ],
    "routing_rules": [{"name": "ours", "description": "not asked for", "matchers": ["^/ours/.*"]}],
    "content_selectors": [{"name": "public", "expression": 'format == "raw"'}],
    "cleanup_policies": [
        {"name": "old-pypi", "format": "pypi", "notes": "a", "criteria_last_downloaded": 90}
    ],
    "compactions": [{"name": "Compact packages", "blob_store_name": "packages"}],
    "repositories": [
        repository("pypi", "group", "pypi", group={"member_names": ["pypi-ours", "pypi-public"]}),
        repository(
            "pypi",
            "hosted",
            "pypi-ours",
            storage={"blob_store_name": "packages"},
            cleanup={"policy_names": ["old-pypi"]},
        ),
        repository(
            "pypi",
            "proxy",
            "pypi-public",
            proxy=PROXY,
            routing_rule="ours",
            http_client={
                "authentication": {"username": "us", "password": secret("remote")},
                "connection": {"timeout": 30, "retries": 2},
            },
        ),
        repository("npm", "hosted", "npm-ours"),
        repository("npm", "proxy", "npm-public", proxy=PROXY),
        repository("npm", "group", "npm", group={"member_names": ["npm-ours", "npm-public"]}),
        repository("raw", "hosted", "files", raw={"content_disposition": "ATTACHMENT"}),
        repository("maven2", "hosted", "jars"),
    ],
    "privileges": [
        {
            "type": "repository-content-selector",
            "name": "files-public",
            "format": "raw",
            "repository": "files",
            "content_selector": "public",
            "actions": ["READ", "BROWSE"],
        }
    ],
    "roles": [{"id": "auditor", "privileges": ["files-public", "nx-search-read"]}],
    "users": [{"user_id": "audit", "password": secret("audit"), "roles": ["auditor", "reader"]}],
    "deployers": {
        "repositories": ["pypi-ours", "npm-ours", "files", "jars"],
        "users": [{"user_id": "deployer", "password": secret("deployer")}],
    },
    "readers": {
        "repositories": ["pypi", "npm", "files"],
        "users": [{"user_id": "reader", "password": secret("reader")}],
    },
}
PROBES = 4  # of admin, audit, deployer and reader

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


@pytest.fixture(scope="module")
def start(uplift: Run, pyinfra: Run, lab_name: str, box: str, shell: Shell) -> Iterator[Any]:
    """Start an empty server of a version; gone afterwards."""
    pyinfra("inventories/lab.py", "deploys/docker.py", "-y", "--limit", box)
    gone = f"docker rm -fv {NAME} >/dev/null 2>&1; docker volume rm {NAME} >/dev/null 2>&1; "

    def call(version: str) -> None:
        uplift("lab", "image", f"nexus:{version}", "--name", lab_name)
        shell(
            f"{gone} rm -f {RECORD}; docker run -d --name {NAME} -v {NAME}:/nexus-data "
            f"-p 127.0.0.1:{PORT}:8081 registry:5000/sonatype/nexus3:{version}"
        )

    yield call
    shell(f"{gone} rm -f {RECORD}")


class Result:
    """What a run did: whether something changed, its output, the requests that the server saw."""

    def __init__(self, done: subprocess.CompletedProcess[str], log: str) -> None:
        self.code = done.returncode
        self.output = done.stdout + done.stderr
        self.changed = re.search(r"Nexus +1 +1 ", self.output) is not None
        found = re.findall(r'"([A-Z]+) (\S+) HTTP/1.1" (\d+)', log)
        self.writes = [
            f"{method} {path.removeprefix('/service/rest').removeprefix('/v1')}"
            for method, path, _ in found
            if method != "GET"
        ]
        self.reads = [path for method, path, _ in found if method == "GET"]
        self.refused = [path for _, path, status in found if status == "401"]


@pytest.fixture(scope="module")
def deploy(environment: dict[str, str], shell: Shell, box: str) -> Callable[..., Result]:
    """Run the deploy; count what the server's own log shows of it."""

    def call(
        block: dict[str, Any] = BLOCK, *options: str, dry: bool = False, wait: int = 900
    ) -> Result:
        lines = int(shell(f"cat {LOG} 2>/dev/null | wc -l") or 0)
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "pyinfra"),
                "inventories/lab.py",
                DEPLOY,
                "--dry" if dry else "-y",
                "--limit",
                box,
                *options,
            ],
            cwd=PROJECT,
            env={
                **environment,
                **{f"UPLIFT_SECRET_N_{name}": value for name, value in VALUES.items()},
                "UPLIFT_TEST_NEXUS": json.dumps(block),
                "UPLIFT_TEST_NEXUS_ADDRESS": ADDRESS,
                "UPLIFT_TEST_NEXUS_CONTAINER": NAME,
                "UPLIFT_TEST_NEXUS_WAIT": str(wait),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        return Result(done, shell(f"tail -n +{lines + 1} {LOG} 2>/dev/null || true"))

    return call


Deploy = Callable[..., Result]


@pytest.fixture(scope="module")
def ready(start: Any, deploy: Deploy) -> Result:
    """A server of 3.30.0 that the settings were applied to once, from its first second on."""
    start("3.30.0")
    result = deploy()
    assert result.code == 0, result.output
    return result


@pytest.fixture(scope="module")
def curl(shell: Shell) -> Callable[..., str]:
    """Ask the server by hand; return the status, or the body with ``body=True``."""

    def call(
        method: str,
        path: str,
        data: object = None,
        user: str = "admin",
        kind: str = "application/json",
        body: bool = False,
        password: str | None = None,
    ) -> str:
        given = VALUES.get(user.upper(), "") if password is None else password
        escaped = given.replace("\\", "\\\\").replace('"', '\\"')
        config = f'user = "{user}:{escaped}"\n' if user != "nobody" else ""
        words = ["curl", "-s", "-X", method, "--config", "-", f"{ADDRESS}{path}"]
        if data is not None:
            text = data if isinstance(data, str) else json.dumps(data)
            words += ["-H", f"Content-Type: {kind}", "--data-raw", text]
        words += [] if body else ["-o", "/dev/null", "-w", "%{http_code}"]
        return shell(f"printf %s {shlex.quote(config)} | {shlex.join(words)}")

    return call


Curl = Callable[..., str]


def get(curl: Curl, path: str) -> Any:
    """Return a value that the server holds, read by hand."""
    return json.loads(curl("GET", f"/service/rest{path}", body=True))


def put(curl: Curl, path: str, value: object, **more: Any) -> None:
    """Change the server by hand."""
    status = curl("PUT", f"/service/rest{path}", value, **more)
    assert status in ("200", "204"), f"{path}: {status}"


def test_from_nothing_to_a_server_that_serves_who_may(ready: Result, curl: Curl) -> None:
    assert ready.changed
    assert curl("GET", "/repository/pypi/simple/", user="nobody") in ("401", "403")
    assert curl("GET", "/repository/pypi/simple/", user="reader") == "200"
    upload = {"data": "text", "kind": "text/plain"}
    assert curl("PUT", "/repository/files/a.txt", user="reader", **upload) == "403"
    assert curl("PUT", "/repository/files/a.txt", user="deployer", **upload) == "201"
    assert curl("GET", "/repository/files/a.txt", user="reader", body=True) == "text"
    assert curl("GET", "/service/rest/v1/security/users", user="deployer") == "403"
    assert "NpmToken" in get(curl, "/v1/security/realms/active")


def test_the_first_password_is_gone_and_its_file_too(
    ready: Result, curl: Curl, shell: Shell
) -> None:
    assert "nexus: user admin: password set" in ready.output
    folder = LOG.removesuffix("/log/request.log")
    assert shell(f"ls {folder} | grep -c admin.password || true") == "0"
    assert curl("GET", "/service/rest/v1/status", password="admin123") == "401"


def test_the_second_run_writes_nothing_and_reads_little(ready: Result, deploy: Deploy) -> None:
    second = deploy()
    assert (second.code, second.changed, second.writes) == (0, False, []), second.output
    # The reads are the positive control of the line above.
    probes = [path for path in second.reads if path.endswith("/v1/status")]
    assert len(probes) == PROBES
    assert 10 < len(second.reads) - PROBES <= 16
    assert second.refused == []


def drift(curl: Curl) -> None:
    """Change fields of every kind of object, as a person in the web interface would."""
    put(curl, "/v1/security/anonymous", {"enabled": True, "userId": "anonymous", "realmName": A})
    put(curl, "/v1/security/realms/active", [N, A])
    quota = {"type": "spaceRemainingQuota", "limit": 5_000_000}
    put(curl, "/v1/blobstores/file/packages", {"path": "packages", "softQuota": quota})
    rule = {"name": "ours", "description": "x", "mode": "ALLOW", "matchers": ["^/theirs/.*"]}
    put(curl, "/v1/routing-rules/ours", rule)
    selector = {"name": "public", "description": "x", "expression": 'format == "npm"'}
    put(curl, "/v1/security/content-selectors/public", selector)
    policy = {"name": "old-pypi", "format": "pypi", "notes": "b", "criteriaLastDownloaded": 9}
    put(curl, "/internal/cleanup-policies/old-pypi", policy)
    base = {"name": "pypi-public", "online": False}
    storage = {"blobStoreName": "default", "strictContentTypeValidation": False}
    put(
        curl,
        "/v1/repositories/pypi/proxy/pypi-public",
        {
            **base,
            "storage": storage,
            "proxy": {"remoteUrl": f"{REMOTE}x/", "contentMaxAge": 1, "metadataMaxAge": 2},
            "negativeCache": {"enabled": False, "timeToLive": 3},
            "httpClient": {
                "blocked": True,
                "autoBlock": False,
                "connection": {"timeout": 31, "retries": 3},
                "authentication": {"type": "username", "username": "them", "password": "x"},
            },
        },
    )
    hosted = {"name": "pypi-ours", "online": True, "component": {"proprietaryComponents": True}}
    stored = {"blobStoreName": "packages", "strictContentTypeValidation": True}
    stored["writePolicy"] = "ALLOW"
    put(curl, "/v1/repositories/pypi/hosted/pypi-ours", {**hosted, "storage": stored})
    group = {"name": "pypi", "online": True, "group": {"memberNames": ["pypi-public", "pypi-ours"]}}
    checked = {"blobStoreName": "default", "strictContentTypeValidation": True}
    put(curl, "/v1/repositories/pypi/group/pypi", {**group, "storage": checked})
    jars = {"versionPolicy": "MIXED", "layoutPolicy": "PERMISSIVE"}
    maven = {"name": "jars", "online": True, "maven": jars}
    once = {**checked, "writePolicy": "ALLOW_ONCE"}
    put(curl, "/v1/repositories/maven/hosted/jars", {**maven, "storage": once})
    privilege = {
        "name": "files-public",
        "description": "x",
        "format": "raw",
        "repository": "files",
        "contentSelector": "public",
        "actions": ["READ"],
    }
    put(curl, "/v1/security/privileges/repository-content-selector/files-public", privilege)
    role = {"id": "auditor", "name": "Audits", "description": "x", "privileges": ["files-public"]}
    put(curl, "/v1/security/roles/auditor", {**role, "roles": []})
    user = {
        "userId": "audit",
        "firstName": "audit",
        "lastName": "-",
        "emailAddress": "audit@localhost",
        "source": "default",
        "status": "active",
        "roles": ["auditor"],
    }
    put(curl, "/v1/security/users/audit", user)
    put(curl, "/v1/security/users/reader/change-password", "stale", kind="text/plain")


N, A = "NexusAuthenticatingRealm", "NexusAuthorizingRealm"
DRIFTED = [
    "anonymous access: enabled: true -> false",
    f'realms: active: ["{N}", "{A}"] -> ["{N}", "{A}", "NpmToken"]',
    'soft_quota.type: "spaceRemainingQuota" -> "spaceUsedQuota"',
    "soft_quota.limit: 5MB -> 10GB",
    'description: "x" -> "not asked for"',
    'mode: "ALLOW" -> "BLOCK"',
    'matchers: ["^/theirs/.*"] -> ["^/ours/.*"]',
    'content selector public: description: "x" -> ""',
    'expression: "format == \\"npm\\"" -> "format == \\"raw\\""',
    'notes: "b" -> "a"',
    "criteria_last_downloaded: 9 -> 90",
    "online: false -> true",
    "storage.strict_content_type_validation: false -> true",
    f'proxy.remote_url: "{REMOTE}x/" -> "{REMOTE}"',
    "proxy.content_max_age: 1 -> 720",
    "proxy.metadata_max_age: 2 -> 1440",
    "negative_cache.enabled: false -> true",
    "negative_cache.time_to_live: 3 -> 1440",
    "http_client.blocked: true -> false",
    "http_client.auto_block: false -> true",
    "http_client.connection.timeout: 31 -> 30",
    "http_client.connection.retries: 3 -> 2",
    'http_client.authentication.username: "them" -> "us"',
    'routing_rule: nothing -> "ours"',
    'storage.write_policy: "ALLOW" -> "ALLOW_ONCE"',
    'cleanup.policy_names: nothing -> ["old-pypi"]',
    'group.member_names: ["pypi-public", "pypi-ours"] -> ["pypi-ours", "pypi-public"]',
    'maven.version_policy: "MIXED" -> "RELEASE"',
    'maven.layout_policy: "PERMISSIVE" -> "STRICT"',
    'actions: ["READ"] -> ["READ", "BROWSE"]',
    'name: "Audits" -> "auditor"',
    'privileges: ["files-public"] -> ["files-public", "nx-search-read"]',
    'roles: ["auditor"] -> ["auditor", "reader"]',
    "user reader: password set",
]
REPAIRS = [
    "PUT /security/anonymous",
    "PUT /security/realms/active",
    "PUT /blobstores/file/packages",
    "PUT /routing-rules/ours",
    "PUT /security/content-selectors/public",
    "PUT /internal/cleanup-policies/old-pypi",
    "PUT /repositories/pypi/hosted/pypi-ours",
    "PUT /repositories/pypi/proxy/pypi-public",
    "PUT /repositories/pypi/group/pypi",
    "PUT /repositories/maven/hosted/jars",
    "PUT /security/privileges/repository-content-selector/files-public",
    "PUT /security/roles/auditor",
    "PUT /security/users/audit",
    "PUT /security/users/reader/change-password",
]


def test_each_drifted_field_is_named_and_repaired_by_one_write_an_object(
    ready: Result, curl: Curl, deploy: Deploy
) -> None:
    drift(curl)
    # What the settings do not name must survive the repair.
    looked = deploy(dry=True)
    assert looked.code == 0, looked.output
    assert [line for line in DRIFTED if line not in looked.output] == []
    assert looked.writes == []
    assert len(looked.reads) > PROBES
    repair = deploy()
    assert repair.code == 0, repair.output
    assert repair.writes == REPAIRS
    assert [line for line in DRIFTED if line not in repair.output] == []
    shown = {it["name"]: it for it in get(curl, "/v1/repositorySettings")}
    assert shown["pypi-ours"]["component"] == {"proprietaryComponents": True}
    assert curl("GET", "/service/rest/v1/status", user="reader") == "200"
    again = deploy()
    assert (again.code, again.changed, again.writes) == (0, False, []), again.output


def test_what_was_deleted_by_hand_is_made_again_with_what_went_with_it(
    ready: Result, curl: Curl, deploy: Deploy
) -> None:
    for path in ("users/audit", "roles/auditor"):
        assert curl("DELETE", f"/service/rest/v1/security/{path}") == "204"
    assert curl("DELETE", "/service/rest/v1/repositories/npm-ours") == "204"
    repair = deploy()
    assert repair.code == 0, repair.output
    assert repair.writes == [
        "POST /repositories/npm/hosted",
        # The server takes a repository out of groups and roles when it goes.
        "PUT /repositories/npm/group/npm",
        "POST /security/roles",
        "PUT /security/roles/deployer",
        "POST /security/users",
    ]
    assert not deploy().changed


def test_a_refused_write_stops_what_needs_it_and_nothing_else(
    ready: Result, curl: Curl, deploy: Deploy
) -> None:
    block = {
        **BLOCK,
        "blob_stores": [*BLOCK["blob_stores"], {"name": "nowhere", "path": "/proc/nowhere"}],
        "repositories": [
            *BLOCK["repositories"],
            repository("raw", "hosted", "lost", storage={"blob_store_name": "nowhere"}),
            repository("raw", "hosted", "found"),
        ],
        "roles": [*BLOCK["roles"], {"id": "loser", "privileges": [f"{VIEW}raw-lost-read"]}],
    }
    failed = deploy(block)
    assert failed.code != 0
    assert failed.writes == ["POST /blobstores/file", "POST /repositories/raw/hosted"]
    (line,) = [
        line for line in failed.output.splitlines() if "blob store nowhere: created: " in line
    ]
    assert re.search(r"created: [45]\d\d \S", line)
    assert "repository lost: created (raw hosted): left out" in failed.output
    assert "role loser: created: left out" in failed.output
    assert "found" in [it["name"] for it in get(curl, "/v1/repositories")]
    assert curl("DELETE", "/service/rest/v1/repositories/found") == "204"


VIEW = "nx-repository-view-"


def test_what_cannot_be_changed_is_refused_before_anything_is_written(
    ready: Result, deploy: Deploy
) -> None:
    repositories = [
        {**BLOCK["repositories"][3], "storage": {"blob_store_name": "packages"}},
        repository("raw", "hosted", "npm-public"),
        repository("raw", "hosted", "Files"),
    ]
    block = {
        "admin": BLOCK["admin"],
        "blob_stores": BLOCK["blob_stores"],
        "repositories": repositories,
        "realms": {"active": ["NpmTokn"]},
        "roles": [{"id": "r", "privileges": ["nx-serach-read"]}],
        "unmanaged": {"repositories": ["gone"]},
    }
    refused = deploy(block)
    assert refused.code != 0
    assert refused.writes == []
    for text in (
        'repository npm-ours: storage.blob_store_name: "default" -> "packages": the blob store of',
        "repository npm-public: is npm proxy, wanted is raw hosted: it cannot be changed",
        "repository Files: the server has it as 'files'",
        "realms.active: realm 'NpmTokn' is not on Nexus 3.30.0 (OSS), did you mean 'NpmToken'?",
        "role r: privilege 'nx-serach-read' is not on the server, did you mean 'nx-search-read'?",
        "unmanaged.repositories: repository 'gone' is not on the server",
    ):
        assert text in refused.output


def test_a_wrong_password_is_said_once_with_what_was_tried(
    ready: Result, deploy: Deploy, curl: Curl, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = VALUES["ADMIN"]
    monkeypatch.setitem(VALUES, "ADMIN", secrets.token_hex(12))
    refused = deploy()
    assert refused.code != 0
    assert refused.writes == []
    assert refused.output.count("the server refuses the password of admin") == 1
    assert "tried secret('n/admin') (there is no /nexus-data/admin.password" in refused.output
    # The rotation: the old one is named, and then not needed any more.
    monkeypatch.setitem(VALUES, "OTHER", old)
    admin = {"password": secret("admin"), "first_password": secret("other")}
    rotated = deploy({**BLOCK, "admin": admin})
    assert rotated.code == 0, rotated.output
    assert rotated.writes == ["PUT /security/users/admin/change-password"]
    assert not deploy().changed
    put(curl, "/v1/security/users/admin/change-password", old, kind="text/plain")


def test_the_secret_of_a_proxy_is_sent_when_it_changes_and_only_then(
    ready: Result, deploy: Deploy, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VALUES, "REMOTE", secrets.token_hex(12))
    looked = deploy(dry=True)
    assert re.search(r"authentication.password: fingerprint \w{12} -> \w{12}", looked.output)
    changed = deploy()
    assert changed.writes == ["PUT /repositories/pypi/proxy/pypi-public"]
    assert not deploy().changed
    # Nothing depends on the record: without it the secret is sent once more.
    assert shell(f"stat -c %a {RECORD}") == "600"
    assert VALUES["REMOTE"] not in shell(f"cat {RECORD}; rm {RECORD}")
    assert deploy().writes == [
        "PUT /repositories/pypi/proxy/pypi-public",
        "POST /service/extdirect",
    ]
    assert not deploy().changed


def test_only_what_was_once_created_is_deleted_and_components_only_with_leave(
    ready: Result, deploy: Deploy, curl: Curl
) -> None:
    more = {
        **BLOCK,
        "blob_stores": [*BLOCK["blob_stores"], {"name": "spare"}],
        "repositories": [
            *BLOCK["repositories"],
            repository("raw", "hosted", "temp", storage={"blob_store_name": "spare"}),
            repository("raw", "group", "temps", group={"member_names": ["temp"]}),
        ],
        "roles": [*BLOCK["roles"], {"id": "temps", "privileges": [f"{VIEW}raw-temp-read"]}],
        "users": [
            *BLOCK["users"],
            {"user_id": "temp", "password": secret("other"), "roles": ["temps"]},
        ],
    }
    assert deploy(more).code == 0
    upload = {"data": "text", "kind": "text/plain"}
    assert curl("PUT", "/repository/temp/a.txt", **upload) == "201"
    theirs = {"id": "theirs", "name": "theirs", "privileges": [], "roles": []}
    assert curl("POST", "/service/rest/v1/security/roles", theirs) == "200"
    # Without leave nothing goes.
    assert not deploy().changed
    pruned = {**BLOCK, "prune": {"enabled": True}}
    refused = deploy(pruned)
    assert refused.code != 0
    assert refused.writes == []
    assert "repository temp: is not in the settings any more, and has components" in refused.output
    confirmed = {**BLOCK, "prune": {"enabled": True, "with_components": ["temp"]}}
    done = deploy(confirmed)
    assert done.code == 0, done.output
    assert done.writes == [
        "DELETE /security/users/temp",
        "DELETE /security/roles/temps",
        "DELETE /repositories/temps",
        "DELETE /repositories/temp",
        "DELETE /blobstores/spare",
    ]
    assert not deploy(confirmed).changed
    assert "theirs" in [it["id"] for it in get(curl, "/v1/security/roles")]
    assert curl("DELETE", "/service/rest/v1/security/roles/theirs") == "204"


def test_a_server_that_starts_is_waited_for(ready: Result, deploy: Deploy, shell: Shell) -> None:
    shell(f"docker restart -t 60 {NAME}")
    again = deploy()
    assert again.code == 0, again.output
    assert again.writes == []


def test_a_server_that_is_not_there_is_said(ready: Result, deploy: Deploy, shell: Shell) -> None:
    shell(f"docker stop -t 60 {NAME}")
    refused = deploy(wait=3)
    shell(f"docker start {NAME}")
    assert refused.code != 0
    assert f"{ADDRESS}: not ready after 3 s: nothing listens there" in refused.output
    assert deploy().code == 0


def test_nothing_secret_is_shown_or_in_a_process_list(
    start: Any, deploy: Deploy, shell: Shell
) -> None:
    start("3.30.0")
    canary = f"canary-{secrets.token_hex(8)}"
    shell("rm -f /tmp/uplift-seen /tmp/uplift-stop")
    # Samples all command lines while the run goes on; the canary is the positive control.
    watch = (
        "i=0; until [ -e /tmp/uplift-stop ] || [ $i -gt 9000 ]; do i=$((i+1)); "
        "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >>/tmp/uplift-seen; sleep 0.02; done"
    )
    first = shell(
        f"until cat {LOG.removesuffix('/log/request.log')}/admin.password 2>/dev/null; "
        "do sleep 1; done"
    )
    shell(f"setsid sh -c {shlex.quote(watch)} </dev/null >/dev/null 2>&1 &")
    shell(f"sh -c 'sleep 0.5; : {canary}'")
    done = deploy(BLOCK, "-vvv", "--debug")
    seen = shell("touch /tmp/uplift-stop; sleep 0.2; cat /tmp/uplift-seen; rm /tmp/uplift-seen")
    assert done.code == 0, done.output
    assert canary in seen
    assert "curl -q --config -" in seen
    for value in (*VALUES.values(), first):
        assert value not in done.output
        assert json.dumps(value)[1:-1] not in done.output
        assert value not in seen


NEWER: dict[str, Any] = {
    "admin": BLOCK["admin"],
    # The one that this version keeps to itself, and takes no list with.
    "realms": {"strict": True, "active": [N, A]},
    "blob_stores": BLOCK["blob_stores"],
    "routing_rules": BLOCK["routing_rules"],
    "content_selectors": BLOCK["content_selectors"],
    "cleanup_policies": [{"name": "old", "format": "maven2", "criteria_last_downloaded": 90}],
    "compactions": BLOCK["compactions"],
    "repositories": [
        repository(
            "raw",
            "hosted",
            "files",
            storage={"blob_store_name": "packages"},
            raw={"content_disposition": "ATTACHMENT"},
        ),
        repository(
            "maven2",
            "hosted",
            "jars",
            cleanup={"policy_names": ["old"]},
            maven={"content_disposition": "INLINE"},
        ),
        repository(
            "maven2",
            "proxy",
            "jars-public",
            proxy=PROXY,
            routing_rule="ours",
            http_client={"authentication": {"username": "us", "password": secret("remote")}},
        ),
        repository("maven2", "group", "jar", group={"member_names": ["jars", "jars-public"]}),
    ],
    "privileges": BLOCK["privileges"],
    "roles": BLOCK["roles"],
    "users": [{"user_id": "audit", "password": secret("audit"), "roles": ["auditor"]}],
    "deployers": {**BLOCK["deployers"], "repositories": ["files", "jars"]},
    "readers": {**BLOCK["readers"], "repositories": ["jar", "files"]},
}


def test_the_newer_line_is_configured_too_and_the_second_run_writes_nothing(
    start: Any, deploy: Deploy, curl: Curl
) -> None:
    start("3.71.0")
    first = deploy(NEWER)
    assert first.code == 0, first.output
    second = deploy(NEWER)
    assert (second.code, second.changed, second.writes) == (0, False, []), second.output
    assert len(second.reads) <= 16 + PROBES
    # A content disposition that this version shows, and the password of a user.
    shown = get(curl, "/v1/repositories/raw/hosted/files")
    changed = {**shown, "raw": {"contentDisposition": "INLINE"}}
    put(curl, "/v1/repositories/raw/hosted/files", changed)
    put(curl, "/v1/security/users/audit/change-password", "stale", kind="text/plain")
    repair = deploy(NEWER)
    assert repair.code == 0, repair.output
    assert 'raw.content_disposition: "INLINE" -> "ATTACHMENT"' in repair.output
    assert repair.writes == [
        "PUT /repositories/raw/hosted/files",
        "PUT /security/users/audit/change-password",
    ]
    locked = {**NEWER, "realms": {"strict": True, "active": [N, "NpmTokn"]}}
    assert "realm 'NpmTokn' is not on Nexus 3.71.0" in deploy(locked).output
