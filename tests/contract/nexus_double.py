"""A small Nexus in memory, made from the description of 3.85: it refuses what is not in that.

It is for the shape of requests. How a server behaves is tested on real ones (tests/lab).
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from jsonschema import Draft7Validator

from uplift.spec.http import Basic, Request, Response

TABLE = json.loads((Path(__file__).parent / "nexus-calls.json").read_text(encoding="utf-8"))
EULA = {"accepted": False, "disclaimer": "Use of it is governed by “terms”."}

# By the path of a collection: which field names an object.
KEYS = {
    "blobstores": "name",
    "routing-rules": "name",
    "content-selectors": "name",
    "cleanup-policies": "name",
    "privileges": "name",
    "roles": "id",
    "users": "userId",
}
UNDESCRIBED = re.compile(r"(POST|PUT|DELETE) /internal/cleanup-policies(/[^/]+)?")
POLICY = {
    "name", "format", "notes", "criteriaLastBlobUpdated", "criteriaLastDownloaded",
    "criteriaReleaseType", "criteriaAssetRegex",
}  # fmt: skip


def described(method: str, path: str) -> dict[str, Any] | None:
    """Return the bodies that a call takes, by their kind; None when there is no such call."""
    for call, bodies in TABLE["calls"].items():
        verb, pattern = call.split(" ")
        if verb == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
            found: dict[str, Any] = bodies
            return found
    return None


def check(request: Request) -> None:
    """Fail when a request that changes something is not as the description has it."""
    path = request.path.removeprefix("/service/rest")
    if UNDESCRIBED.fullmatch(f"{request.method} {path}"):
        assert request.body is None or set(json.loads(request.body)) <= POLICY
        return
    bodies = described(request.method, path)
    assert bodies is not None, f"there is no call {request.method} {path}"
    if request.body is None:
        assert not bodies, f"{request}: a body is required"
        return
    assert request.content_type in bodies, f"{request}: {request.content_type}"
    text = request.content_type == "text/plain"
    value = request.body if text else json.loads(request.body)
    schema = {**bodies[request.content_type], "definitions": TABLE["definitions"]}
    problems = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in Draft7Validator(schema).iter_errors(value)
    ]
    assert problems == [], f"{request}: {problems}\n{request.body}"


class Double:
    """Answers like a Nexus of 3.85, with its first password still set."""

    def __init__(self, server: str = "Nexus/3.85.0-03 (COMMUNITY)", first: str = "made-up") -> None:
        self.server = server
        self.passwords = {"admin": first}
        self.first = True  # its file with the first password is there
        self.eula = dict(EULA)
        self.anonymous: dict[str, Any] = {"enabled": True, "userId": "anonymous", "realmName": "x"}
        self.active = ["NexusAuthenticatingRealm"]
        self.repositories: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.held: dict[str, dict[str, dict[str, Any]]] = {key: {} for key in KEYS}
        self.held["blobstores"]["default"] = {"name": "default", "path": "default", "type": "File"}
        for name in ("nx-search-read", "nx-all"):
            self.held["privileges"][name] = {"name": name, "readOnly": True}
        self.held["roles"]["nx-admin"] = {"id": "nx-admin", "readOnly": True}
        self.held["users"]["admin"] = {"userId": "admin", "status": "active"}
        self.writes: list[str] = []

    def answer(self, request: Request, admin: Basic) -> Response:
        """Do what a request asks for, and answer it."""
        auth = request.auth if isinstance(request.auth, Basic) else admin
        path = unquote(urlsplit(request.path).path).removeprefix("/service/rest")
        headers = {"server": self.server}
        if path == "/v1/status/writable":
            return Response(200, 0, "", b"", headers)
        if self.passwords.get(auth.user) != auth.password.reveal():
            return Response(401, 0, "", b"", headers)
        if request.method != "GET":
            check(request)
            self.writes.append(f"{request.method} {path}")
        body = None
        if request.body is not None and request.content_type == "application/json":
            body = json.loads(request.body)
        status, value = self._serve(request, path.strip("/").split("/"), body)
        text = b"" if value is None else json.dumps(value).encode()
        return Response(status, 0, "application/json", text, headers)

    def _serve(self, request: Request, path: list[str], body: Any) -> tuple[int, Any]:
        match path[1:]:
            case ["status"]:
                return 200, None
            case ["system", "eula"]:
                if body is not None:
                    assert body == {**EULA, "accepted": True}
                    self.eula = body
                return (200, self.eula) if body is None else (204, None)
            case ["security", "anonymous"]:
                self.anonymous = body or self.anonymous
                return 200, self.anonymous
            case ["security", "realms", "available"]:
                return 200, [{"id": it} for it in ("NexusAuthenticatingRealm", *REALMS)]
            case ["security", "realms", "active"]:
                self.active = body or self.active
                assert set(self.active) <= {"NexusAuthenticatingRealm", *REALMS}
                return 200, self.active
            case ["repositorySettings"]:
                return 200, list(self.repositories.values())
            case ["repositories", *rest]:
                return self._repository(request, rest, body)
            case ["components"]:
                assert parse_qs(urlsplit(request.path).query)["repository"]
                return 200, {"items": []}
            case ["tasks", *rest]:
                return self._task(request, rest, body)
            case ["security", "users", user, "change-password"]:
                assert user in self.held["users"]
                assert request.body is not None
                self.passwords[user] = request.body
                self.first = self.first and user != "admin"
                return 204, None
            case ["security", kind, *rest] | [kind, *rest]:
                return self._object(request, kind, rest, body)
        raise AssertionError(request)

    def _repository(self, request: Request, rest: list[str], body: Any) -> tuple[int, Any]:
        if request.method == "DELETE":
            del self.repositories[rest[0]]
            return 204, None
        format = "maven2" if rest[0] == "maven" else rest[0]
        known = {it.casefold() for it in self.repositories}
        assert (request.method == "POST") == (body["name"].casefold() not in known)
        assert body["storage"]["blobStoreName"] in self.held["blobstores"]
        for member in body.get("group", {}).get("memberNames", []):
            assert self.repositories[member]["format"] == format
        for name in body.get("cleanup", {}).get("policyNames", []):
            assert self.held["cleanup-policies"][name]["format"] == format
        shown = deepcopy(body)
        rule = shown.pop("routingRule", None)
        assert rule is None or rule in self.held["routing-rules"]
        if rest[1] == "proxy":
            shown["routingRuleName"] = rule
            authentication = shown["httpClient"].get("authentication")
            if authentication:
                # The server refuses credentials without their secret, and never shows it.
                kind = "bearerToken" if authentication["type"] == "bearerToken" else "password"
                assert authentication.pop(kind)
        more = {"format": format, "type": rest[1], "url": "x", "cleanup": body.get("cleanup")}
        self.repositories[body["name"]] = {**shown, **more, "replication": None}
        for action in ("*", "browse", "read", "edit", "add", "delete"):
            name = f"nx-repository-view-{format}-{body['name']}-{action}"
            self.held["privileges"][name] = {"name": name, "readOnly": True}
        return (201 if request.method == "POST" else 204), None

    def _task(self, request: Request, rest: list[str], body: Any) -> tuple[int, Any]:
        if request.method == "GET":
            return 200, {"items": list(self.tasks.values()), "continuationToken": None}
        if request.method == "DELETE":
            del self.tasks[rest[0]]
            return 204, None
        id = rest[0] if rest else f"t{len(self.tasks)}"
        shown = {"id": id, "name": body["name"], "type": body.get("type"), "nextRun": "soon"}
        self.tasks[id] = {**shown, "currentState": "WAITING"}
        return 201, {"id": id}

    def _object(self, request: Request, kind: str, rest: list[str], body: Any) -> tuple[int, Any]:
        held, key = self.held[kind], KEYS[kind]
        if request.method == "GET" and kind == "blobstores" and rest:
            if rest[1] not in held:
                return 404, None
            return 200, {it: held[rest[1]].get(it) for it in ("path", "softQuota")}
        if request.method == "GET":
            return 200, list(held.values())
        if request.method == "DELETE":
            del held[rest[-1]]
            return 204, None
        name = rest[-1] if request.method == "PUT" else body[key]
        assert (request.method == "PUT") == (name in held)
        for role in body.get("roles", []):
            assert role in self.held["roles"]
        for privilege in body.get("privileges", []):
            assert privilege in self.held["privileges"]
        if kind == "users" and request.method == "POST":
            self.passwords[name] = body.pop("password")
            body["source"] = "default"
        shown = {"type": rest[0]} if kind == "privileges" else {}
        shown |= {"type": "File"} if kind == "blobstores" else {}
        held[name] = {**body, **shown, key: name}
        return 204, None


REALMS = ("NpmToken", "DockerToken")
