"""The ready roles on a real Nexus: what each format's own client sends, and nothing more."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator

import pytest
from tests.lab.nexus_box import ADDRESS, Curl, Result, Shell, get

pytest_plugins = ["tests.lab.nexus_box"]
# Minutes of start and of writes.
pytestmark = pytest.mark.slow

JAR = "/repository/jars/com/example/demo/1.0.0/demo-1.0.0"
WHEEL = "demo-1.0-py3-none-any.whl"
FILES = "/root/uplift-test-upload"


def archive(**texts: str) -> bytes:
    """Return a zip archive, which wheels and jars are."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in texts.items():
            file.writestr(name, text)
    return content.getvalue()


def tarball() -> bytes:
    """Return a package of npm."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        text = json.dumps({"name": "demo", "version": "1.0.0"}).encode()
        info = tarfile.TarInfo("package/package.json")
        info.size = len(text)
        file.addfile(info, io.BytesIO(text))
    return content.getvalue()


def npm_document(content: bytes) -> bytes:
    """Return what `npm publish` sends."""
    name, file = "demo", "demo-1.0.0.tgz"
    data = base64.b64encode(content).decode()
    dist = {"shasum": hashlib.sha1(content).hexdigest(), "tarball": f"{ADDRESS}/{file}"}  # noqa: S324
    version = {"name": name, "version": "1.0.0", "dist": dist}
    attached = {"content_type": "application/octet-stream", "data": data, "length": len(content)}
    document = {
        "_id": name,
        "name": name,
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": version},
        "_attachments": {file: attached},
    }
    return json.dumps(document).encode()


@pytest.fixture
def uploads(shell: Shell) -> Iterator[dict[str, tuple[str, str, tuple[str, ...]]]]:
    """What each format's own client sends: method, path and words of curl, files at hand."""
    metadata = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
    wheel = archive(**{"demo-1.0.dist-info/METADATA": metadata})
    project = "<groupId>com.example</groupId><artifactId>demo</artifactId>"
    known = {
        WHEEL: wheel,
        "npm.json": npm_document(tarball()),
        "demo.jar": archive(**{"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n"}),
        "demo.pom": f"<project>{project}<version>1.0.0</version></project>".encode(),
        "demo.xml": f"<metadata>{project}</metadata>".encode(),
        "notes.txt": b"notes",
    }
    shell(f"mkdir -p {FILES}")
    for name, content in known.items():
        shell(f"echo {base64.b64encode(content).decode()} | base64 -d >{FILES}/{name}")
    form = [":action=file_upload", "name=demo", "version=1.0", "filetype=bdist_wheel"]
    form += ["pyversion=py3", "metadata_version=2.1", f"content=@{FILES}/{WHEEL}"]

    def put(path: str, file: str) -> tuple[str, str, tuple[str, ...]]:
        return "PUT", path, ("-T", f"{FILES}/{file}")

    document = put("/repository/npm-ours/demo", "npm.json")
    json_type = ("-H", "Content-Type: application/json")
    yield {
        "pypi": (
            "POST",
            "/repository/pypi-ours/",
            tuple(word for field in form for word in ("-F", field)),
        ),
        "npm": (*document[:2], (*document[2], *json_type)),
        "raw": put("/repository/files/notes.txt", "notes.txt"),
        # `mvn deploy` puts these one after the other, and the last with each version again.
        "jar": put(f"{JAR}.jar", "demo.jar"),
        "pom": put(f"{JAR}.pom", "demo.pom"),
        "metadata": put("/repository/jars/com/example/demo/maven-metadata.xml", "demo.xml"),
        "metadata again": put("/repository/jars/com/example/demo/maven-metadata.xml", "demo.xml"),
    }
    shell(f"rm -r {FILES}")


def test_the_deployer_publishes_each_format_and_the_reader_none(
    ready: Result, curl: Curl, uploads: dict[str, tuple[str, str, tuple[str, ...]]]
) -> None:
    def send(user: str) -> dict[str, str]:
        return {
            name: curl(method, path, user=user, more=more)
            for name, (method, path, more) in uploads.items()
        }

    assert send("nobody") == dict.fromkeys(uploads, "401")
    assert send("reader") == dict.fromkeys(uploads, "403")
    sent = send("deployer")
    assert {name: code for name, code in sent.items() if code not in ("200", "201")} == {}
    served = {
        "reader": ("pypi/simple/demo/", "npm/demo", "files/notes.txt"),
        "deployer": (f"pypi-ours/packages/demo/1.0/{WHEEL}", "npm-ours/demo/-/demo-1.0.0.tgz"),
    }
    for user, paths in served.items():
        for path in paths:
            assert curl("GET", f"/repository/{path}", user=user) == "200", path
    assert curl("GET", f"{JAR}.jar", user="deployer") == "200"
    # Not among those that the settings give to readers.
    assert curl("GET", f"{JAR}.jar", user="reader") == "403"
    # A release is written once, by the deployer too.
    method, path, more = uploads["jar"]
    assert curl(method, path, user="deployer", more=more) == "400"


ADMINISTRATION = [
    ("GET", "/v1/security/users"),
    ("GET", "/v1/security/roles"),
    ("GET", "/v1/security/realms/active"),
    ("GET", "/v1/security/anonymous"),
    ("GET", "/v1/blobstores"),
    ("GET", "/v1/repositorySettings"),
    ("GET", "/v1/tasks"),
    ("GET", "/v1/script"),
    ("PUT", "/v1/security/users/reader/change-password"),
    ("POST", "/v1/read-only/freeze"),
    ("DELETE", "/v1/repositories/files"),
    ("DELETE", "/v1/security/roles/auditor"),
    ("DELETE", "/v1/security/users/audit"),
]


@pytest.mark.parametrize("user", ["deployer", "reader"])
def test_neither_ready_role_administers_anything_or_deletes_a_component(
    ready: Result, curl: Curl, user: str
) -> None:
    data = {"data": "x", "kind": "text/plain"}
    said = {
        (method, path): curl(
            method, f"/service/rest{path}", user=user, **data if method == "PUT" else {}
        )
        for method, path in ADMINISTRATION
    }
    # A list of what a user may see is empty for who may see nothing.
    other = {key: code for key, code in said.items() if code != "403"}
    assert other == {key: "200" for key in other if key[0] == "GET"}
    seen = {path: curl("GET", f"/service/rest{path}", user=user, body=True) for _, path in other}
    assert {path: json.loads(text) for path, text in seen.items()} == {path: [] for path in seen}
    assert all(get(curl, path) for path in seen)  # the administrator sees some
    kept = f"/repository/files/kept-by-{user}.txt"
    assert curl("PUT", kept, user="deployer", **data) == "201"
    found = get(curl, "/v1/components?repository=files")["items"]
    (id,) = [one["id"] for one in found if kept.endswith("/" + one["name"])]
    assert curl("DELETE", f"/service/rest/v1/components/{id}", user=user) == "403"
    assert curl("DELETE", kept, user=user) == "403"
    assert curl("GET", kept, user=user) == "200"
