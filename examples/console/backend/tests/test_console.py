"""The console against a real Redis: MAESTRO_REDIS_HOST and MAESTRO_REDIS_PORT say where it is."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console.__main__ import main
from console.app import create
from console.settings import ConsoleSettings
from fastapi.testclient import TestClient
from maestro_core_config import load
from starlette.websockets import WebSocketDisconnect

TOKEN = secrets.token_urlsafe(16)


@pytest.fixture(autouse=True)
def _folder_of_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_SECRETS_DIR", str(tmp_path))
    (tmp_path / "maestro_drain_token").write_text(TOKEN)


@pytest.fixture
def console() -> Iterator[TestClient]:
    with TestClient(create(load(ConsoleSettings))) as client:
        yield client


@pytest.fixture
def other() -> Iterator[TestClient]:
    """A second console on the same Redis."""
    with TestClient(create(load(ConsoleSettings))) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def until(socket: Any, kind: str) -> dict[str, Any]:
    while (message := socket.receive_json())["type"] != kind:
        pass
    return dict(message)


def until_shown(socket: Any, text: str) -> None:
    """Wait for a note: alone, or among all of them after a time without news."""
    while True:
        message = socket.receive_json()
        notes = [message["note"]] if message["type"] == "note" else message["notes"]
        if text in [note["text"] for note in notes]:
            return


def test_it_says_what_runs_and_what_installed_it(console: TestClient) -> None:
    version = console.get("/version").json()
    about = console.get("/api/about").json()
    assert version == {"service": "console", "version": about["version"]}
    assert about["installer"].split()[0] in ("uv", "Poetry", "pip")
    assert console.get("/healthz").json() == {"status": "ok"}
    assert console.get("/readyz").json() == {"checks": {"redis": True, "serving": True}}


def test_a_note_written_here_is_shown_there(console: TestClient, other: TestClient) -> None:
    text = f"note {secrets.token_hex(4)}"
    with other.websocket_connect("/ws") as page:
        hello = page.receive_json()
        assert hello["type"] == "hello"
        assert hello["version"] == other.get("/version").json()["version"]
        assert console.post("/api/notes", json={"text": text}).status_code == 201
        until_shown(page, text)
        assert other.get("/api/notes").json()[0]["text"] == text
        assert "console_websockets 1.0" in other.get("/metrics").text
    with console.websocket_connect("/ws") as page:
        assert page.receive_json()["notes"][0]["text"] == text


@pytest.mark.parametrize("sent", ['{"text": ""}', '{"text": "' + "x" * 281 + '"}', "no JSON"])
def test_what_is_no_note_is_refused_and_the_page_stays(console: TestClient, sent: str) -> None:
    with console.websocket_connect("/ws") as page:
        page.receive_json()
        page.send_text(sent)
        assert until(page, "refused")["why"]
        text = secrets.token_hex(4)
        page.send_json({"text": text})
        until_shown(page, text)


def test_drained_it_sends_pages_away_and_is_not_ready(console: TestClient) -> None:
    with console.websocket_connect("/ws") as page:
        page.receive_json()
        answer = console.post("/health/drain", headers=bearer(TOKEN))
        assert (answer.status_code, answer.json()) == (200, {"websockets": 1})
        with pytest.raises(WebSocketDisconnect) as left:
            while True:
                page.receive_json()
    assert left.value.code == 1012
    assert console.get("/readyz").status_code == 503
    assert (console.get("/healthz").status_code, console.get("/version").status_code) == (200, 200)


@pytest.mark.parametrize("header", [{}, bearer("wrong"), bearer(""), {"Authorization": TOKEN}])
def test_nobody_else_can_drain_it(console: TestClient, header: dict[str, str]) -> None:
    assert console.post("/health/drain", headers=header).status_code == 401
    assert console.get("/readyz").status_code == 200


def test_without_a_token_nobody_can_drain_it(tmp_path: Path) -> None:
    (tmp_path / "maestro_drain_token").unlink()
    with TestClient(create(load(ConsoleSettings))) as console:
        assert console.post("/health/drain", headers=bearer("")).status_code == 401


def test_without_redis_it_lives_and_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_REDIS_PORT", "1")
    with TestClient(create(load(ConsoleSettings))) as console:
        answer = console.get("/readyz")
        assert (answer.status_code, answer.json()["checks"]["redis"]) == (503, False)
        assert console.get("/healthz").status_code == 200


def test_logs_are_json_and_hold_no_secret(
    capsys: pytest.CaptureFixture[str], console: TestClient
) -> None:
    # Set up again: the logs go to where this test listens.
    load(ConsoleSettings)
    console.post("/health/drain", headers=bearer(TOKEN))
    said = capsys.readouterr().err
    lines = [json.loads(line) for line in said.splitlines()]
    assert {line["message"] for line in lines} >= {"draining", "POST answered"}
    assert {line["service"] for line in lines} == {"console"}
    assert TOKEN not in said


def test_wrong_settings_are_named_and_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_PORT", "http")
    with pytest.raises(SystemExit, match="MAESTRO_PORT"):
        main()
