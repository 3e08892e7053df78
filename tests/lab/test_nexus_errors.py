"""A real Nexus that refuses, is not there, or is asked for what cannot be."""

from __future__ import annotations

import re
import secrets

import pytest
from tests.lab.nexus_box import ADDRESS, NAME, Curl, Deploy, Result, Shell, get, put
from tests.lab.nexus_wanted import (
    BLOCK,
    VALUES,
    VIEW,
    repository,
    secret,
)

pytest_plugins = ["tests.lab.nexus_box"]
# Minutes of start and of writes.
pytestmark = pytest.mark.slow


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


def test_a_server_that_is_not_there_is_said(ready: Result, deploy: Deploy, shell: Shell) -> None:
    shell(f"docker stop -t 60 {NAME}")
    refused = deploy(wait=3)
    shell(f"docker start {NAME}")
    assert refused.code != 0
    assert f"{ADDRESS}: not ready after 3 s: nothing listens there" in refused.output
    assert deploy().code == 0
