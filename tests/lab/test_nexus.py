"""A real Nexus: configured from nothing, and never written to without need."""

from __future__ import annotations

import re
import secrets

import pytest
from tests.lab.nexus_box import LOG, NAME, RECORD, Curl, Deploy, Result, Shell, get
from tests.lab.nexus_wanted import (
    PROBES,
    VALUES,
)

pytest_plugins = ["tests.lab.nexus_box"]
# Minutes of start and of writes.
pytestmark = pytest.mark.slow


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


def test_a_server_that_starts_is_waited_for(ready: Result, deploy: Deploy, shell: Shell) -> None:
    shell(f"docker restart -t 60 {NAME}")
    again = deploy()
    assert again.code == 0, again.output
    assert again.writes == []
