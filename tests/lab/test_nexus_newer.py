"""A real Nexus of the newer line (3.71.0): what it does other than 3.30.0."""

from __future__ import annotations

import pytest
from tests.lab.nexus_box import INITIAL, Curl, Deploy, Result, Start, compaction, get, put
from tests.lab.nexus_wanted import NEWER, PROBES, VALUES, A, N, secret

pytest_plugins = ["tests.lab.nexus_box"]
# Minutes of start and of writes.
pytestmark = pytest.mark.slow

VERSION = "3.71.0"


@pytest.fixture(scope="module")
def newer(start: Start, deploy: Deploy) -> Result:
    """A server that was given its first password, and had the settings applied to it."""
    start(VERSION, VALUES["OTHER"])
    result = deploy({**NEWER, "admin": {**NEWER["admin"], "first_password": secret("other")}})
    assert result.code == 0, result.output
    return result


def test_what_was_never_tried_does_not_get_in_and_what_was_tried_is_named(
    start: Start, deploy: Deploy
) -> None:
    start(VERSION, VALUES["OTHER"])
    wrong = {**NEWER, "admin": {**NEWER["admin"], "first_password": secret("reader")}}
    for block, tried in (
        (NEWER, "tried secret('n/admin') ("),
        (wrong, "tried secret('n/admin'), then secret('n/reader') ("),
    ):
        refused = deploy(block)
        assert refused.code != 0
        # This server was told its password, so it wrote none to a file.
        assert f"{tried}there is no /nexus-data/admin.password" in refused.output
        assert refused.output.count("the server refuses the password of admin") == 1
        assert refused.writes == []
        # The positive control of the line above.
        assert refused.reads


def test_a_first_password_from_the_environment_is_rotated_to_the_wanted_one(
    newer: Result, curl: Curl
) -> None:
    assert INITIAL not in newer.output
    assert newer.writes.count("PUT /security/users/admin/change-password") == 1
    assert curl("GET", "/service/rest/v1/status") == "200"
    assert curl("GET", "/service/rest/v1/status", password=VALUES["OTHER"]) == "401"


def test_the_second_run_writes_nothing(newer: Result, deploy: Deploy) -> None:
    second = deploy(NEWER)
    assert (second.code, second.changed, second.writes) == (0, False, []), second.output
    assert 10 < len(second.reads) <= 16 + PROBES


def test_fields_that_only_this_line_shows_are_compared_and_repaired(
    newer: Result, curl: Curl, deploy: Deploy
) -> None:
    for path in ("raw/hosted/files", "raw/proxy/files-public"):
        shown = get(curl, f"/v1/repositories/{path}")
        other = {"INLINE": "ATTACHMENT", "ATTACHMENT": "INLINE"}[shown["raw"]["contentDisposition"]]
        shown["raw"] = {"contentDisposition": other}
        if "proxy" in shown:
            shown["proxy"]["contentMaxAge"] = -1
            shown["negativeCache"]["enabled"] = False
            shown["httpClient"]["connection"] = {"timeout": 31, "retries": 4}
        put(curl, f"/v1/repositories/{path}", shown)
    policy = {"name": "old", "format": "maven2", "notes": "x", "criteriaLastDownloaded": 9}
    put(curl, "/internal/cleanup-policies/old", policy)
    compaction(curl, "update", schedule="manual")
    put(curl, "/v1/security/users/audit/change-password", "stale", kind="text/plain")
    looked = deploy(NEWER, dry=True)
    assert (looked.code, looked.writes) == (0, []), looked.output
    lines = (
        'repository files: raw.content_disposition: "INLINE" -> "ATTACHMENT"',
        'raw.content_disposition: "ATTACHMENT" -> "INLINE"',
        "proxy.content_max_age: -1 -> 720",
        "negative_cache.enabled: false -> true",
        "http_client.connection.timeout: 31 -> 30",
        'cleanup policy old: notes: "x" -> "", criteria_last_downloaded: 9 -> 90',
        "compaction Compact packages: is not scheduled: scheduled: packages, 0 0 3 * * ?",
        "user audit: password set",
    )
    assert [line for line in lines if line not in looked.output] == []
    repair = deploy(NEWER)
    assert repair.code == 0, repair.output
    assert repair.writes == [
        "PUT /internal/cleanup-policies/old",
        "PUT /repositories/raw/hosted/files",
        "PUT /repositories/raw/proxy/files-public",
        "PUT /security/users/audit/change-password",
        "POST /service/extdirect",
    ]
    # What the settings do not name survives.
    client = get(curl, "/v1/repositories/raw/proxy/files-public")["httpClient"]
    assert client["connection"]["retries"] == 4
    assert not deploy(NEWER).changed


def test_a_task_and_a_policy_that_were_deleted_by_hand_are_made_again(
    newer: Result, curl: Curl, deploy: Deploy
) -> None:
    compaction(curl, "remove")
    assert curl("DELETE", "/service/rest/internal/cleanup-policies/old") == "204"
    repair = deploy(NEWER)
    assert repair.code == 0, repair.output
    assert repair.writes == [
        "POST /internal/cleanup-policies",
        "PUT /repositories/maven/hosted/jars",
        "POST /service/extdirect",
    ]
    assert not deploy(NEWER).changed


def test_a_realm_that_the_server_has_not_is_named(newer: Result, deploy: Deploy) -> None:
    locked = {**NEWER, "realms": {"strict": True, "active": [N, "NpmTokn"]}}
    assert f"realm 'NpmTokn' is not on Nexus {VERSION}" in deploy(locked).output
    # The one that this version keeps to itself is taken, and left out.
    assert A in NEWER["realms"]["active"]
    assert not deploy(NEWER).changed
