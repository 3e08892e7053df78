"""A made-up uv: its wheel, and an index that serves it."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from uplift.spec.uv import Member, Release

BINARIES = {"uv": b"#!/bin/sh\necho 'uv 1.2.3'\n" * 50, "uvx": b"#!/bin/sh\nexec uv tool run\n"}


def make_wheel(
    folder: Path,
    version: str = "1.2.3",
    *,
    arch: str = "x86_64",
    binaries: dict[str, bytes] = BINARIES,
    method: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """Write a wheel that pip takes for uv's."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"uv-{version}-py3-none-musllinux_1_1_{arch}.whl"
    info = f"uv-{version}.dist-info"
    with zipfile.ZipFile(path, "w", method) as wheel:
        for name, content in binaries.items():
            wheel.writestr(f"uv-{version}.data/scripts/{name}", content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: uv\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: py3-none-musllinux_1_1_{arch}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def release(version: str = "1.2.3") -> Release:
    """Return a release whose hashes are made up."""
    binaries = {
        name: Member(100, 10, 8, 0x01020304, 20, hashlib.sha256(name.encode()).hexdigest())
        for name in BINARIES
    }
    return Release(version, f"uv-{version}.whl", "ab" * 32, 1000, binaries)


class Index:
    """A simple index over the wheels of a folder.

    Args:
        folder: with wheels.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.as_json = False
        self.hash_offered: str | None = "right"
        self.requests: list[str] = []
        self.url = ""

    def page(self) -> tuple[str, bytes]:
        """Return the content type and the answer for the project's page."""
        files = sorted(self.folder.glob("*.whl"))
        if self.as_json:
            return "application/vnd.pypi.simple.v1+json", self._json(files)
        links = [f'<a href="../../files/{f.name}{self._fragment(f)}">{f.name}</a>' for f in files]
        return "text/html", f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()

    def _json(self, files: list[Path]) -> bytes:
        listed = [
            {
                "filename": file.name,
                "url": f"../../files/{file.name}",
                "hashes": {"sha256": sha256(file)} if self.hash_offered else {},
            }
            for file in files
        ]
        meta = {"api-version": "1.0"}
        return json.dumps({"meta": meta, "name": "uv", "files": listed}).encode()

    def _fragment(self, file: Path) -> str:
        if self.hash_offered is None:
            return ""
        return f"#sha256={sha256(file) if self.hash_offered == 'right' else self.hash_offered}"


@contextmanager
def serve(index: Index) -> Iterator[Index]:
    """Serve an index on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.requests.append(self.path)
            name = self.path.rsplit("/", 1)[-1]
            if self.path == "/simple/uv/":
                self._answer(*index.page())
            elif self.path.startswith("/files/") and (index.folder / name).exists():
                self._answer("application/octet-stream", (index.folder / name).read_bytes())
            else:
                self.send_error(404)

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        index.url = f"http://127.0.0.1:{server.server_address[1]}/simple/"
        try:
            yield index
        finally:
            server.shutdown()
            thread.join(timeout=10)
