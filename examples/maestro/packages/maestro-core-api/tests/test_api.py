"""What an operator sees of a service."""

import pytest
from fastapi.testclient import TestClient
from maestro_core_api import create_app
from maestro_core_config import Settings

SETTINGS = Settings(service="console", version="1.4.0")


def test_a_service_is_ready_when_all_its_checks_are() -> None:
    good = TestClient(create_app(SETTINGS, checks={"database": lambda: True}))
    bad = TestClient(
        create_app(SETTINGS, checks={"database": lambda: True, "cache": lambda: False})
    )
    assert good.get("/readyz").status_code == 200
    assert bad.get("/readyz").status_code == 503
    assert bad.get("/readyz").json() == {"checks": {"database": True, "cache": False}}
    assert bad.get("/healthz").status_code == 200


def test_it_says_its_version_and_counts_requests() -> None:
    client = TestClient(create_app(SETTINGS))
    assert client.get("/version").json() == {"service": "console", "version": "1.4.0"}
    assert 'operation="http_GET",outcome="ok"} 1.0' in client.get("/metrics").text


def test_a_stranger_cannot_make_a_series_of_metrics_by_a_method_of_their_own() -> None:
    client = TestClient(create_app(SETTINGS))
    client.request("NONSENSE", "/version")
    found = client.get("/metrics").text
    assert "NONSENSE" not in found
    assert 'operation="http_other"' in found


@pytest.mark.parametrize(("sent", "kept"), [("abc-1", True), ("a b\n", False), ("x" * 65, False)])
def test_a_request_keeps_its_id_when_it_looks_like_one(sent: str, kept: bool) -> None:
    client = TestClient(create_app(SETTINGS))
    answer = client.get("/healthz", headers={"X-Request-ID": sent.encode()})
    assert (answer.headers["X-Request-ID"] == sent) is kept
