"""`uplift publish` and copies of an older index, with a small server of files on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from uplift.cli.main import run
from uplift.index import packages as index
from uplift.publish import run as publishing
from uplift.remote.inventory import InventoryHost
from uplift.secrets import forget
from uplift.spec.errors import UpliftError
from uplift.spec.packages import Packages

PASSWORD = secrets.token_hex(16)
LOGIN = {"username": "deployer", "password": {"secret": "nexus/deployer"}}


class Files(ThreadingHTTPServer):
    """A server that keeps what is put into it, for one user; it notes every method."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content: dict[str, bytes] = {"/raw/": b"", "/simple/": b""}
        self.methods: list[str] = []
        self.read_only = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Files

    def do_GET(self) -> None:
        content = self.server.content.get(self.path)
        self.answer(404 if content is None else 200, content or b"")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.read_only:
            self.answer(400, b"<html><title>x</title><p>This one is read only</p></html>")
            return
        self.server.content[self.path] = body
        self.answer(201, b"")

    def answer(self, status: int, body: bytes) -> None:
        self.server.methods.append(self.command)
        login = base64.b64encode(f"deployer:{PASSWORD}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {login}" and "/simple" not in self.path:
            status, body = 401, b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UPLIFT_SECRET_NEXUS_DEPLOYER", PASSWORD)
    index._BUILT.clear()
    forget()
    with Files() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()
    forget()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes.txt"
    file.write_text("first\n")
    return file


def block(server: Files, notes: Path, **more: Any) -> dict[str, Any]:
    package = {"name": "notes", "repository": "raw", "files": [str(notes)], "path": "docs"}
    repositories = {"raw": {"format": "raw", "url": f"{server.url}/raw", **LOGIN}}
    return {"repositories": repositories, "publish": [{**package, **more}]}


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> list[InventoryHost]:
    """What the inventory has; tests fill it."""
    found: list[InventoryHost] = []
    monkeypatch.setattr(publishing.inventories, "hosts", lambda name, limit: found)
    return found


def called(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    index._BUILT.clear()
    code = run(["publish", "prod.py", "--json", *words])
    out, err = capsys.readouterr()
    assert PASSWORD not in out + err
    document = json.loads(out) if out else {"hosts": []}
    files = [file for host in document["hosts"] for file in host["files"]]
    reasons = [str(host["error"]) for host in document["hosts"]] + [str(f["reason"]) for f in files]
    return code, [file["outcome"] for file in files], "\n".join([*reasons, err])


def test_it_publishes_once_and_refuses_other_content(
    server: Files, notes: Path, hosts: list[InventoryHost], capsys: pytest.CaptureFixture[str]
) -> None:
    hosts.append(InventoryHost("@local", data={"packages": block(server, notes)}))
    assert called(capsys, "--dry-run")[:2] == (2, ["pending"])
    assert "PUT" not in server.methods
    assert called(capsys)[:2] == (0, ["published"])
    assert server.content["/raw/docs/notes.txt"] == b"first\n"
    server.methods.clear()
    assert called(capsys)[:2] == (0, ["unchanged"])
    assert set(server.methods) == {"GET"}
    notes.write_text("second\n")
    code, found, told = called(capsys)
    assert (code, found) == (1, ["conflict"])
    for content in (b"first\n", b"second\n"):
        assert hashlib.sha256(content).hexdigest() in told
    assert "PUT" not in server.methods


def test_what_may_be_replaced_is(
    server: Files, notes: Path, hosts: list[InventoryHost], capsys: pytest.CaptureFixture[str]
) -> None:
    hosts.append(InventoryHost("@local", data={"packages": block(server, notes, replace=True)}))
    server.content["/raw/docs/notes.txt"] = b"old\n"
    assert called(capsys)[:2] == (0, ["published"])
    assert server.content["/raw/docs/notes.txt"] == b"first\n"


def test_the_servers_own_words_are_told(
    server: Files, notes: Path, hosts: list[InventoryHost], capsys: pytest.CaptureFixture[str]
) -> None:
    hosts.append(InventoryHost("@local", data={"packages": block(server, notes)}))
    server.read_only = True
    code, found, told = called(capsys)
    assert (code, found) == (1, ["failed"])
    assert "This one is read only" in told


def test_a_wrong_password_is_told_with_the_secrets_name(
    server: Files,
    notes: Path,
    hosts: list[InventoryHost],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UPLIFT_SECRET_NEXUS_DEPLOYER", "wrong")
    hosts.append(InventoryHost("@local", data={"packages": block(server, notes)}))
    code, found, told = called(capsys)
    assert (code, found) == (1, [])
    assert "401" in told
    assert "secret('nexus/deployer')" in told


def test_a_host_that_cannot_be_reached_is_no_success(
    server: Files,
    notes: Path,
    hosts: list[InventoryHost],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    connection = {"ssh_hostname": "127.0.0.1", "ssh_port": 1, "ssh_allow_agent": False}
    hosts.append(InventoryHost("gone", data={"packages": block(server, notes), **connection}))
    code, found, told = called(capsys)
    assert (code, found) == (3, [])
    assert "gone" in told


def test_of_hosts_with_the_same_block_the_first_publishes(
    server: Files, notes: Path, hosts: list[InventoryHost], capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"packages": block(server, notes)}
    hosts += [InventoryHost("@local", data=data), InventoryHost("other", data=data)]
    assert called(capsys)[:2] == (0, ["published"])


def test_what_is_not_in_the_settings_is_wrong_usage(
    server: Files, notes: Path, hosts: list[InventoryHost], capsys: pytest.CaptureFixture[str]
) -> None:
    hosts.append(InventoryHost("@local", data={}))
    code, _, told = called(capsys)
    assert code == 64
    assert "no host has a block 'packages'" in told
    hosts[:] = [InventoryHost("@local", data={"packages": block(server, notes)})]
    code, _, told = called(capsys, "note")
    assert code == 64
    assert "Did you mean 'notes'?" in told
    notes.unlink()
    code, _, told = called(capsys)
    assert code == 64
    assert "no such file" in told


# Copies of an older index


def simple(server: Files, files: Mapping[str, bytes], **wrong: str) -> None:
    """Put files and their page into the server's simple index."""
    links = ""
    for name, content in files.items():
        server.content[f"/simple/files/{name}"] = content
        digest = wrong.get("digest") or hashlib.sha256(content).hexdigest()
        links += f'<a href="../files/{name}#sha256={digest}">{name}</a>\n'
    server.content["/simple/some-tool/"] = links.encode()


def copied(server: Files, version: str) -> dict[str, bytes]:
    repositories = {"py": {"format": "pypi", "url": f"{server.url}/py", **LOGIN}}
    package = {"name": "Some_Tool", "repository": "py", "version": version}
    publish = [{**package, "index": f"{server.url}/simple"}]
    settings = Packages.parse({"repositories": repositories, "publish": publish}, path="packages")
    index._BUILT.clear()
    return {one.file: one.path.read_bytes() for one in index.collect(settings)}


FILES = {
    "some_tool-1.0-py3-none-any.whl": b"wheel",
    "some_tool-1.0.tar.gz": b"source",
    "some_tool-1.0.1.tar.gz": b"later",
}


def test_all_files_of_a_version_are_copied_byte_for_byte(server: Files) -> None:
    simple(server, FILES)
    found = copied(server, "1.0.0")  # the same version in another spelling
    assert found == {name: FILES[name] for name in list(FILES)[:2]}


def test_a_copy_that_is_not_what_the_index_says_is_refused(server: Files) -> None:
    simple(server, FILES, digest="0" * 64)
    with pytest.raises(UpliftError, match="other bytes than its own hash says"):
        copied(server, "1.0")


def test_a_version_that_the_older_index_does_not_have_is_named(server: Files) -> None:
    simple(server, FILES)
    with pytest.raises(UpliftError, match=r"no file of version 2\.0"):
        copied(server, "2.0")
    server.content.pop("/simple/some-tool/")
    with pytest.raises(UpliftError, match="the index answers 404"):
        copied(server, "1.0")


@pytest.mark.parametrize(
    "name", ["..%2Fsome_tool-1.0.tar.gz", "some_tool%2F..%2F..%2Fx-1.0.tar.gz", "other-1.0.tar.gz"]
)
def test_an_older_index_cannot_bring_other_packages_or_write_elsewhere(
    server: Files, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    simple(server, {name: b"source"})
    with pytest.raises(UpliftError, match=r"no file of version 1\.0"):
        copied(server, "1.0")
    assert list(tmp_path.rglob("*.gz")) == []
