"""The script that asks a registry, run by this machine's shell against a server that wants a token.

The lab's registry knows users alone; hosted ones give tokens, as their specification says.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from uplift.facts.images_listing import REGISTRY, RUNNING, Tags, answers, running, tagged

PASSWORD = secrets.token_hex(8) + r"""\"'$x"""
TOKEN = secrets.token_hex(16)
TAGS = {"": ["a", "b"], "last=b": ["c"]}


@dataclass
class Server:
    """A registry that gives tokens, in pages of two tags."""

    port: int
    folder: Path
    asked: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def login(self, user: str, password: str) -> None:
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
        file = self.folder / ".docker/config.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"auths": {self.host: {"auth": auth}}}))

    def ask(self, *paths: str) -> subprocess.CompletedProcess[str]:
        # HOME is root's there: here it is that of the test.
        script = REGISTRY.replace("HOME=/root", f"HOME={self.folder}")
        return subprocess.run(
            ["sh", "-c", script, "uplift", self.host, "team/console", self.host, *paths],
            env={"PATH": f"{self.folder}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            made.asked.append(self.path)
            if path == "/token":
                login = base64.b64encode(f"ci:{PASSWORD}".encode()).decode()
                good = self.headers["Authorization"] == f"Basic {login}"
                self.answer(200 if good else 401, {"token": TOKEN} if good else {})
            elif self.headers["Authorization"] != f"Bearer {TOKEN}":
                where = f'Bearer realm="http://{made.host}/token",service="it"'
                self.answer(401, {}, **{"WWW-Authenticate": where})
            elif path.endswith("/tags/list"):
                last = "last=b" if "last=b" in query else ""
                more = {} if last else {"Link": f'<{path}?last=b&n=2>; rel="next"'}
                self.answer(200, {"tags": TAGS[last]}, **more)
            else:
                self.answer(404 if path.endswith("/gone") else 200, {"path": path})

        def answer(self, status: int, value: object, **headers: str) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        made = Server(http.server_address[1], tmp_path)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield made
        http.shutdown()


def test_a_token_is_fetched_with_the_login_and_all_pages_are_read(server: Server) -> None:
    server.login("ci", PASSWORD)
    done = server.ask("tags/list?n=2")
    found = answers(done.stdout.splitlines())
    assert [json.loads(body)["tags"] for _, status, body in found if status == 200] == [
        ["a", "b"],
        ["c"],
    ]
    assert "/token?service=it&scope=repository:team/console:pull" in server.asked


def test_all_tags_of_a_repository_are_told_or_why_they_are_not(server: Server) -> None:
    server.login("ann", secrets.token_hex(8))
    assert tagged(server.ask("tags/list").stdout.splitlines()).trouble
    server.login("ci", PASSWORD)
    assert tagged(server.ask("tags/list").stdout.splitlines()).tags == ("a", "b", "c")
    coded = base64.b64encode(b"{}").decode()
    assert tagged([f"answer tags 404 {coded}", "end"]).tags == ()
    assert "status 500" in tagged([f"answer tags 500 {coded}", "end"]).trouble
    assert "refuses the login" in tagged([f"answer tags 403 {coded}", "end"]).trouble
    with pytest.raises(FactProcessError):
        Tags().process([f"answer tags 200 {coded}"])


def test_each_path_has_its_own_answer(server: Server) -> None:
    server.login("ci", PASSWORD)
    found = answers(
        server.ask("manifests/a", "manifests/gone", "blobs/sha256:1").stdout.splitlines()
    )
    assert [(path, status) for path, status, _ in found] == [
        ("manifests/a", 200),
        ("manifests/gone", 404),
        ("blobs/sha256:1", 200),
    ]
    assert json.loads(found[2][2]) == {"path": "/v2/team/console/blobs/sha256:1"}


def test_a_wrong_login_is_said_without_its_password(server: Server) -> None:
    server.login("ci", "another")
    done = server.ask("tags/list")
    with pytest.raises(ValueError, match="gives no token"):
        answers(done.stdout.splitlines())
    assert "another" not in done.stdout + done.stderr


def test_a_registry_that_is_not_there_is_named(tmp_path: Path, server: Server) -> None:
    server.port = 9
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:9 does not answer"):
        answers(server.ask("tags/list").stdout.splitlines())


def test_a_host_without_docker_says_so(server: Server) -> None:
    path = {"PATH": f"{server.folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", RUNNING], env=path, capture_output=True, text=True, check=False
    )
    with pytest.raises(ValueError, match="Docker does not answer"):
        running(done.stdout.splitlines())


def test_half_an_answer_is_none() -> None:
    with pytest.raises(ValueError, match="cut off"):
        answers(["answer tags 200 e30="])
