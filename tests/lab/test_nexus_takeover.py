"""A real Nexus that somebody else has set up: what is theirs stays."""

from __future__ import annotations

from typing import Any

import pytest
from tests.lab.nexus_box import ADDRESS, FIRST, Curl, Deploy, Result, Shell, Start, get, put
from tests.lab.nexus_wanted import BLOCK, PROXY, REMOTE, VALUES, VIEW, A, N, repository, secret

pytest_plugins = ["tests.lab.nexus_box"]
# Minutes of start and of writes.
pytestmark = pytest.mark.slow

# What is wanted of a server that another tool has set up.
TAKEN: dict[str, Any] = {
    "admin": {"password": secret("admin")},
    "realms": {"active": ["NpmToken"]},
    "blob_stores": BLOCK["blob_stores"],
    "routing_rules": [{"name": "ours", "matchers": ["^/ours/.*"]}],
    "repositories": [
        repository("pypi", "hosted", "pypi-ours", storage={"blob_store_name": "packages"}),
        repository("pypi", "proxy", "pypi-public", proxy=PROXY, routing_rule="ours"),
        repository("pypi", "group", "pypi", group={"member_names": ["pypi-ours", "pypi-public"]}),
        repository("raw", "hosted", "files"),
        repository("raw", "hosted", "new"),
    ],
    "roles": [{"id": "auditor", "privileges": ["nx-search-read", f"{VIEW}raw-files-read"]}],
    "users": [{"user_id": "audit", "password": secret("audit"), "roles": ["auditor"]}],
    "deployers": {
        "repositories": ["pypi-ours"],
        "users": [{"user_id": "deployer", "password": secret("deployer")}],
    },
    "readers": {
        "repositories": ["pypi"],
        "users": [{"user_id": "reader", "password": secret("reader")}],
    },
}


def post(curl: Curl, path: str, value: object) -> None:
    """Make something by hand."""
    status = curl("POST", f"/service/rest{path}", value)
    assert status in ("200", "201", "204"), f"{path}: {status}"


def add_repository(curl: Curl, path: str, name: str, store: str = "default", **more: Any) -> None:
    """Make a repository by hand; another tool writes its policy in small letters."""
    storage = {"blobStoreName": store, "strictContentTypeValidation": True}
    if path.endswith("hosted"):
        storage["writePolicy"] = "allow_once"
    body = {"name": name, "online": True, "storage": storage, **more}
    post(curl, f"/v1/repositories/{path}", body)


def add_user(curl: Curl, name: str, role: str, password: str) -> None:
    """Make a user by hand."""
    fields = {"firstName": "Some", "lastName": "Body", "emailAddress": f"{name}@example.com"}
    user = {"userId": name, "password": password, "status": "active", "roles": [role]}
    post(curl, "/v1/security/users", {**fields, **user})


def set_up(curl: Curl, shell: Shell) -> None:
    """Set an empty server up as another tool does: plain calls, names and orders of its own."""
    first = shell(f"until cat {FIRST} 2>/dev/null; do sleep 1; done")
    ready = "until [ $(curl -s -o /dev/null -w '%{http_code}'"
    shell(f"{ready} {ADDRESS}/service/rest/v1/status/writable) = 200 ]; do sleep 1; done")
    put(
        curl,
        "/v1/security/users/admin/change-password",
        VALUES["ADMIN"],
        kind="text/plain",
        password=first,
    )
    anonymous = {"enabled": False, "userId": "anonymous", "realmName": A}
    put(curl, "/v1/security/anonymous", anonymous)
    put(curl, "/v1/security/realms/active", ["NpmToken", A, N])
    quota = {"type": "spaceUsedQuota", "limit": 10_000_000_000}
    post(curl, "/v1/blobstores/file", {"name": "packages", "path": "pkgs", "softQuota": quota})
    post(curl, "/v1/blobstores/file", {"name": "archive", "path": "archive"})
    rule = {"name": "ours", "description": "by hand", "mode": "BLOCK", "matchers": ["^/ours/.*"]}
    post(curl, "/v1/routing-rules", rule)
    add_repository(curl, "pypi/hosted", "pypi-ours", "packages")
    add_repository(
        curl,
        "pypi/proxy",
        "pypi-public",
        proxy={"remoteUrl": REMOTE, "contentMaxAge": 1440, "metadataMaxAge": 1440},
        negativeCache={"enabled": True, "timeToLive": 1440},
        httpClient={"blocked": False, "autoBlock": True, "connection": {"retries": 3}},
        routingRule="ours",
    )
    members = {"memberNames": ["pypi-public", "pypi-ours"]}
    add_repository(curl, "pypi/group", "pypi", group=members)
    add_repository(curl, "raw/hosted", "files", component={"proprietaryComponents": True})
    add_repository(curl, "raw/hosted", "legacy", "archive")
    upload = {"data": "text", "kind": "text/plain"}
    assert curl("PUT", "/repository/legacy/a.txt", **upload) == "201"
    for id, description, privileges in (
        ("auditor", "", [f"{VIEW}raw-files-read", "nx-search-read"]),
        ("deployer", "by hand", [f"{VIEW}pypi-pypi-ours-add", "nx-search-read"]),
        ("reader", "Install packages", [f"{VIEW}pypi-pypi-{it}" for it in ("read", "browse")]),
        ("theirs", "", [f"{VIEW}raw-legacy-read"]),
    ):
        role = {"id": id, "name": id, "description": description, "privileges": privileges}
        post(curl, "/v1/security/roles", {**role, "roles": []})
    add_user(curl, "audit", "auditor", VALUES["AUDIT"])
    add_user(curl, "deployer", "deployer", VALUES["DEPLOYER"])
    add_user(curl, "reader", "reader", VALUES["OTHER"])
    add_user(curl, "them", "theirs", VALUES["OTHER"])


def held(curl: Curl) -> dict[str, dict[str, Any]]:
    """Return all objects of the server by kind and name."""
    lists = {
        "repositories": ("/v1/repositorySettings", "name"),
        "blob stores": ("/v1/blobstores", "name"),
        "routing rules": ("/v1/routing-rules", "name"),
        "roles": ("/v1/security/roles", "id"),
        "users": ("/v1/security/users", "userId"),
    }
    found = {kind: {it[key]: it for it in get(curl, path)} for kind, (path, key) in lists.items()}
    # The rest is how much is in them.
    fields = ("type", "softQuota")
    stores = found["blob stores"].items()
    found["blob stores"] = {name: {key: it[key] for key in fields} for name, it in stores}
    return found


def test_a_server_that_another_tool_set_up_gets_only_the_writes_that_differ(
    start: Start, deploy: Deploy, curl: Curl, shell: Shell
) -> None:
    start("3.30.0")
    set_up(curl, shell)
    before = held(curl)
    # The list is the server's own, and its other repositories too.
    assert {"legacy", "maven-central"} <= before["repositories"].keys()
    looked = deploy(TAKEN, dry=True)
    assert (looked.code, looked.writes) == (0, []), looked.output
    taken = deploy({**TAKEN, "prune": {"enabled": True}})
    assert taken.code == 0, taken.output
    assert taken.writes == [
        "PUT /routing-rules/ours",
        "PUT /repositories/pypi/proxy/pypi-public",
        "PUT /repositories/pypi/group/pypi",
        "POST /repositories/raw/hosted",
        "PUT /security/roles/deployer",
        "PUT /security/users/reader/change-password",
    ]
    for line in (
        'routing rule ours: description: "by hand" -> ""',
        "repository pypi-public: proxy.content_max_age: 1440 -> 720",
        'group.member_names: ["pypi-public", "pypi-ours"] -> ["pypi-ours", "pypi-public"]',
        "repository new: created (raw hosted)",
        'role deployer: description: "by hand" -> "Publish packages"',
        "user reader: password set",
    ):
        assert line in looked.output and line in taken.output
    again = deploy(TAKEN)
    assert (again.code, again.changed, again.writes) == (0, False, []), again.output
    assert again.reads
    # Nothing of theirs went, and nothing changed that the settings do not name.
    after = held(curl)
    for kind, objects in before.items():
        changed = {name for name, it in objects.items() if after[kind].get(name) != it}
        assert changed == CHANGED.get(kind, set()), kind
    added = {kind: set(after[kind]) - set(objects) for kind, objects in before.items()}
    assert {kind: names for kind, names in added.items() if names} == {"repositories": {"new"}}
    assert get(curl, "/v1/security/realms/active") == ["NpmToken", A, N]
    assert curl("GET", "/repository/legacy/a.txt", user="admin", body=True) == "text"
    kept = after["repositories"]["pypi-public"]["httpClient"]["connection"]
    assert kept["retries"] == 3


CHANGED = {
    "routing rules": {"ours"},
    "repositories": {"pypi-public", "pypi"},
    "roles": {"deployer"},
}


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
