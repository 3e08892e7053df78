"""A real Nexus that people change by hand, and what brings it back."""

from __future__ import annotations

import pytest
from tests.lab.nexus_box import Curl, Deploy, Result, compaction, get, put
from tests.lab.nexus_wanted import (
    PROBES,
    REMOTE,
    A,
    N,
)

pytest_plugins = ["tests.lab.nexus_box"]
# Minutes of start and of writes.
pytestmark = pytest.mark.slow


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
    files = {
        **base,
        "name": "files-public",
        "storage": {**storage, "strictContentTypeValidation": True},
        "proxy": {"remoteUrl": REMOTE, "contentMaxAge": -1, "metadataMaxAge": 1440},
        "negativeCache": {"enabled": True, "timeToLive": 5},
        "httpClient": {"blocked": False, "autoBlock": True, "connection": {"retries": 1}},
    }
    put(curl, "/v1/repositories/raw/proxy/files-public", files)
    compaction(curl, "update", schedule="manual")
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
    "repository files-public: online: false -> true",
    "proxy.content_max_age: -1 -> 720",
    "negative_cache.time_to_live: 5 -> 1440",
    "compaction Compact packages: is not scheduled: scheduled: packages, 0 0 3 * * ?",
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
    "PUT /repositories/raw/proxy/files-public",
    "PUT /repositories/maven/hosted/jars",
    "PUT /security/privileges/repository-content-selector/files-public",
    "PUT /security/roles/auditor",
    "PUT /security/users/audit",
    "PUT /security/users/reader/change-password",
    "POST /service/extdirect",
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
    assert curl("DELETE", "/service/rest/internal/cleanup-policies/old-pypi") == "204"
    compaction(curl, "remove")
    repair = deploy()
    assert repair.code == 0, repair.output
    assert repair.writes == [
        "POST /internal/cleanup-policies",
        "PUT /repositories/pypi/hosted/pypi-ours",
        "POST /repositories/npm/hosted",
        # The server takes a repository out of groups and roles when it goes.
        "PUT /repositories/npm/group/npm",
        "POST /security/roles",
        "PUT /security/roles/deployer",
        "POST /security/users",
        "POST /service/extdirect",
    ]
    assert not deploy().changed
