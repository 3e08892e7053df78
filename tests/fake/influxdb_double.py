"""A small InfluxDB in memory that answers what a host's curl is told to ask, and pyinfra's host."""

from __future__ import annotations

import base64
import gzip
import json
import shlex
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pyinfra.connectors.util import CommandOutput, OutputLine

PAGE = 100


class Double:
    """Answers like InfluxDB 2.7 where the operation looks; counts what it is asked."""

    def __init__(self) -> None:
        self.token = ""
        self.passwords: dict[str, str] = {}
        self.orgs: list[dict[str, Any]] = []
        self.users: list[dict[str, Any]] = []
        self.buckets: list[dict[str, Any]] = []
        self.authorizations: list[dict[str, Any]] = []
        self.files: dict[str, tuple[str, str, bytes]] = {}
        self.commands: list[str] = []
        self.said = ""
        self.writes: list[str] = []
        self.reads = 0
        self.listens = True
        self.curl = True
        self.refuse: dict[str, tuple[int, Any]] = {}
        self._ids = 0

    # The host

    def run(self, command: Any, stdin: Any) -> tuple[bool, CommandOutput]:
        """Do what the host would with a command of ours."""
        words = shlex.split(command.get_raw_value())
        self.commands.append(command.get_raw_value())
        text = "".join(stdin.readlines()) if stdin is not None else ""
        if "curl" not in words[2] and "nofollow" not in words[2]:
            if "exit " in words[2] and not text:  # a refusal
                self.said = words[-1]
                return False, CommandOutput([OutputLine("stderr", self.said)])
            return self._write_files(text), CommandOutput([])
        asked = [f"http {self._curl(text)}"] if "curl" in words[2] else []
        return True, self._said(asked, words[7 if asked else 4 :])

    def _said(self, lines: list[str], paths: list[str]) -> CommandOutput:
        for path in paths:
            mode, owner, content = self.files.get(path, ("", "", b""))
            kind = f"file {mode} {owner} -{base64.b64encode(content).decode()}"
            lines.append(f"file {path} {kind if path in self.files else 'absent'}")
        return CommandOutput([OutputLine("stdout", line) for line in [*lines, "end"]])

    def _write_files(self, text: str) -> bool:
        *lines, last = text.splitlines()
        assert last == "end"
        for line in lines:
            path, owner, content = line.split(" ")
            self.files[path] = ("600", owner, base64.b64decode(content))
        return True

    def _curl(self, config: str) -> str:
        if not self.curl:
            return "no-curl"
        raw = b""
        for block in config.split("next\n"):
            if not self.listens:
                raw += b"\n000 7 0 \n"
                continue
            status, value = self._ask(block)
            body = b"" if value is None else json.dumps(value).encode()
            raw += body + f"\n{status} 0 {len(body)} application/json\n".encode()
        return base64.b64encode(gzip.compress(raw + b"\n0\n")).decode()

    # The server

    def _ask(self, block: str) -> tuple[int, Any]:
        options: dict[str, list[str]] = {}
        for line in block.splitlines():
            key, _, value = line.partition(" = ")
            # JSON escapes what our quoting does, and curl undoes, in the same way.
            options.setdefault(key, []).append(json.loads(value) if value[:1] == '"' else value)
        (method,), (url,) = options["request"], options["url"]
        path = urlsplit(url).path.removeprefix("/api/v2/")
        query = parse_qs(urlsplit(url).query)
        body = json.loads(options.get("data-raw", ["{}"])[0] or "{}")
        if method == "GET" or path in ("signin", "write"):
            self.reads += 1
        else:
            self.writes.append(f"{method} {path.split('/')[0]}")
        for start, answer in self.refuse.items():
            if f"{method} {path}".startswith(start):
                return answer
        if path == "signin":
            user, password = options["user"][0].split(":", 1)
            return (204, None) if self.passwords.get(user) == password else (401, {})
        if path == "setup":
            return self._setup(method, body)
        if path == "write":
            return self._write(options["header"], query["bucket"][0])
        if any(self._may("read", it, path) for it in self._of(options["header"])):
            return 200, {}
        if f"Authorization: Token {self.token}" not in options["header"]:
            return 401, {"code": "unauthorized", "message": "unauthorized access"}
        return self._serve(method, path.split("/"), query, body)

    def _of(self, headers: list[str]) -> list[dict[str, Any]]:
        """Return the tokens that a request was sent with."""
        active = (it for it in self.authorizations if it.get("status") == "active")
        return [it for it in active if f"Authorization: Token {it['token']}" in headers]

    def _may(self, action: str, it: dict[str, Any], path: str) -> bool:
        wanted = [(action, f"buckets/{one['id']}") for one in self.buckets]
        held = [(one["action"], f"buckets/{one['resource']['id']}") for one in it["permissions"]]
        return (action, path) in wanted and (action, path) in held

    def _write(self, headers: list[str], bucket: str) -> tuple[int, Any]:
        """Look at the rights first, as the server does; no test sends points."""
        if not any(self._may("write", it, f"buckets/{bucket}") for it in self._of(headers)):
            return 403, {"code": "forbidden", "message": "insufficient permissions for write"}
        return 204, None

    def _setup(self, method: str, body: dict[str, Any]) -> tuple[int, Any]:
        if method == "GET":
            return 200, {"allowed": not self.token}
        self.token = body["token"]
        org = self._add(self.orgs, name=body["org"])
        for name in ("_monitoring", "_tasks", body["bucket"]):
            kind = "system" if name.startswith("_") else "user"
            rules = [{"everySeconds": body["retentionPeriodSeconds"]}]
            self._bucket(name=name, orgID=org["id"], type=kind, retentionRules=rules)
        self._add(self.users, name=body["username"], status="active")
        self.passwords[body["username"]] = body["password"]
        return 201, {}

    def _serve(
        self, method: str, path: list[str], query: dict[str, list[str]], body: dict[str, Any]
    ) -> tuple[int, Any]:
        held = getattr(self, path[0])
        if method == "GET":
            start = int(query.get("offset", ["0"])[0])
            size = int(query.get("limit", [str(len(held) + 1)])[0])
            return 200, {path[0]: held[start : start + size]}
        found = [it for it in held if it["id"] == path[1]] if len(path) > 1 else []
        if method == "POST" and path[2:] == ["password"]:
            self.passwords[found[0]["name"]] = body["password"]
            return 204, None
        if method == "POST":
            if path[0] == "buckets":
                return 201, self._bucket(type="user", **body)
            extra = {"status": "active"}
            if path[0] == "authorizations":
                extra["token"] = f"made-{len(held)}=="
            return 201, self._add(held, **extra, **body)
        if method == "DELETE":
            held.remove(found[0])
            return 204, None
        found[0].update(body)
        return 200, found[0]

    def _bucket(self, **fields: Any) -> dict[str, Any]:
        rules = [{"shardGroupDurationSeconds": 604800, **fields["retentionRules"][0]}]
        return self._add(self.buckets, **{**fields, "retentionRules": rules})

    def _add(self, held: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        self._ids += 1
        held.append({"id": f"{self._ids:016x}", **fields})
        return held[-1]
