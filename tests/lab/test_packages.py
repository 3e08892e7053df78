"""Packages, published to a real Nexus where everyone must sign in, and installed from it."""

from __future__ import annotations

import io
import json
import secrets
import shutil
import textwrap
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nexus_server import PORT, Nexus, Run, add_user, proxy, public_indexes, repository, running

PROJECT = Path(__file__).parents[2]
NAMES = ("logging", "config", "monitoring", "db", "api", "auth")
DEPLOYER, READER = "UPLIFT_SECRET_INDEX_DEPLOYER", "UPLIFT_SECRET_INDEX_READER"
FORMATS = {"pypi-private": "pypi", "npm-private": "npm", "raw-private": "raw"}
LOG_LIMIT = 60  # seconds; the server writes its request log a little later
FILES = 2 * len(NAMES) + 2

Publish = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def server(
    lab: dict[str, Any], lab_name: str, uplift: Run, pyinfra: Run, ssh: Run
) -> Iterator[dict[str, Any]]:
    """A Nexus on the first host, with a user who publishes and one who only reads."""
    host = lab["hosts"][0]
    for part in ("certificates", "docker", "uv"):
        pyinfra("inventories/lab.py", f"deploys/{part}.py", "-y", "--limit", host["name"])
    with running(host, lab_name, uplift, ssh) as nexus:
        add_repositories(nexus, public_indexes(ssh, host["name"])[0])
        publishing = [
            f"nx-repository-view-{format}-{name}-{action}"
            for name, format in FORMATS.items()
            for action in ("read", "add", "edit")
        ]
        passwords = {
            DEPLOYER: add_user(nexus, "deployer", publishing),
            READER: add_user(nexus, "reader", ["nx-repository-view-*-*-read"]),
        }
        yield {"host": host["name"], "nexus": nexus, "passwords": passwords}


def add_repositories(nexus: Nexus, public: str) -> None:
    for name, format in FORMATS.items():
        made = repository(name)
        made["storage"]["writePolicy"] = "ALLOW_ONCE"
        nexus.send("POST", f"v1/repositories/{format}/hosted", made)
    frozen = repository("pypi-frozen")
    frozen["storage"]["writePolicy"] = "DENY"
    nexus.send("POST", "v1/repositories/pypi/hosted", frozen)
    nexus.send("POST", "v1/repositories/pypi/proxy", proxy("pypi-public", public))
    members = {"memberNames": ["pypi-private", "pypi-public"]}
    nexus.send("POST", "v1/repositories/pypi/group", repository("pypi-all", group=members))


@pytest.fixture
def project(server: dict[str, Any], tmp_path: Path) -> Path:
    """A copy of the examples that a test may change."""
    copy = tmp_path / "maestro"
    shutil.copytree(PROJECT / "examples/maestro", copy)
    (copy / "notes.txt").write_text("the first of them\n")
    return copy


def settings_of(host: str, project: Path, **changed: Any) -> dict[str, Any]:
    """Return the block `packages` for the examples in a folder."""
    url = changed.pop("url", f"http://{host}:{PORT}/repository")
    login = {"username": "deployer", "password": {"secret": "index/deployer"}}
    python = [
        {
            "name": f"maestro-core-{name}",
            "repository": "pypi-private",
            "source": f"{project}/packages/maestro-core-{name}",
        }
        for name in NAMES
    ]
    npm = {"name": "@maestro/types", "repository": "npm-private", "source": f"{project}/npm/types"}
    notes = {"name": "notes", "repository": "raw-private", "files": [f"{project}/notes.txt"]}
    formats = {**FORMATS, "pypi-frozen": "pypi", "pypi-none": "pypi"}
    return {
        "repositories": {
            name: {"format": format, "url": f"{url}/{name}/", **login}
            for name, format in formats.items()
        },
        "publish": [*python, npm, {**notes, "path": "maestro"}],
        **changed,
    }


def inventory_of(folder: Path, group: str, **data: Any) -> str:
    """Return an inventory with data for the first host of a group of the lab."""
    file = folder / f"{group}.py"
    file.write_text(
        textwrap.dedent(f"""
        from pathlib import Path as _Path
        _lab = {{}}
        exec(_Path("inventories/lab.py").read_text(), _lab)
        _data = {data!r}
        {group} = [(name, {{**own, **_data}}) for name, own in _lab["{group}"][:1]]
        """)
    )
    return str(file)


@pytest.fixture
def publish(
    server: dict[str, Any], project: Path, uplift: Run, environment: dict[str, str], tmp_path: Path
) -> Publish:
    """Run `uplift publish`; return its document, exit code and what else it said."""

    def call(*words: str, password: str | None = None, **changed: Any) -> dict[str, Any]:
        block = settings_of(server["host"], project, **changed)
        inventory = inventory_of(tmp_path, "builders", packages=block)
        known = {**environment, **server["passwords"]}
        known |= {DEPLOYER: password} if password else {}
        done = uplift("publish", inventory, *words, "--json", check=False, env=known)
        document = json.loads(done.stdout) if done.stdout else {"hosts": []}
        assert known[DEPLOYER] not in done.stdout + done.stderr
        said = [*(str(host["error"]) for host in document["hosts"]), done.stderr]
        return {**document, "code": done.returncode, "said": "\n".join(said)}

    return call


def outcomes(done: dict[str, Any]) -> Counter[str]:
    return Counter(file["outcome"] for host in done["hosts"] for file in host["files"])


class RequestLog:
    """The server's own log of requests by its clients for packages, from now on."""

    def __init__(self, ssh: Run, host: str) -> None:
        self._ssh, self._host = ssh, host
        self._from = len(self._lines())

    def _lines(self) -> list[str]:
        command = "sudo docker exec index cat /nexus-data/log/request.log"
        return str(self._ssh(self._host, command).stdout).splitlines()

    def methods(self, last: str) -> Counter[str]:
        """Count the requests by method, once one whose path holds a text is there."""
        end = time.monotonic() + LOG_LIMIT
        while True:
            lines = [line for line in self._lines()[self._from :] if " /repository/" in line]
            if any(last in line for line in lines):
                return Counter(line.split('"')[1].split()[0] for line in lines)
            assert time.monotonic() < end, f"no request for {last} in the server's log"
            time.sleep(1)


# In this order: the first finds an empty server.


def test_a_dry_run_tells_what_is_missing_and_writes_nothing(
    server: dict[str, Any], publish: Publish, ssh: Run
) -> None:
    log = RequestLog(ssh, server["host"])
    done = publish("--dry-run")
    assert (done["code"], outcomes(done)) == (2, {"pending": FILES}), done["said"]
    assert set(log.methods("notes.txt")) == {"GET"}


def test_everything_is_published_once_and_the_second_run_writes_nothing(
    server: dict[str, Any], publish: Publish, ssh: Run
) -> None:
    log = RequestLog(ssh, server["host"])
    first = publish()
    assert (first["code"], outcomes(first)) == (0, {"published": FILES}), first
    # The control: this log does show writes.
    assert log.methods("notes.txt")["POST"] == 2 * len(NAMES)
    log = RequestLog(ssh, server["host"])
    second = publish()
    assert (second["code"], outcomes(second)) == (0, {"unchanged": FILES}), second
    assert set(log.methods("notes.txt")) == {"GET"}
    ssh(server["host"], 'test -z "$(ls -d /var/tmp/uplift-publish.* 2>/dev/null)"')


def test_a_deploy_does_the_same_work(
    server: dict[str, Any],
    publish: Publish,
    project: Path,
    pyinfra: Run,
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, password in server["passwords"].items():
        monkeypatch.setitem(environment, name, password)
    inventory = inventory_of(tmp_path, "builders", packages=settings_of(server["host"], project))
    publish()
    words = (inventory, "deploys/packages.py", "-y", "-vvv", "--debug")
    same = pyinfra(*words)
    assert "all 14 files are served as they are here" in same.stdout + same.stderr
    (project / "more.txt").write_text("more\n")
    block = settings_of(server["host"], project)
    more = {"name": "more", "repository": "raw-private", "files": [f"{project}/more.txt"]}
    block["publish"].append(more)
    done = pyinfra(inventory_of(tmp_path, "builders", packages=block), *words[1:])
    told = done.stdout + done.stderr
    assert "packages: raw-private: more.txt published" in told
    assert server["passwords"][DEPLOYER] not in told + same.stdout + same.stderr


def test_other_content_of_a_version_is_refused_with_both_hashes_and_nothing_is_sent(
    server: dict[str, Any], publish: Publish, project: Path, ssh: Run
) -> None:
    publish()
    with (project / "packages/maestro-core-db/README.md").open("a") as file:
        file.write("changed\n")
    (project / "npm/types/index.js").write_text("export default 1;\n")
    (project / "notes.txt").write_text("others\n")
    log = RequestLog(ssh, server["host"])
    done = publish()
    assert (done["code"], outcomes(done)) == (1, {"conflict": 4, "unchanged": FILES - 4}), done
    for file in done["hosts"][0]["files"]:
        if file["outcome"] == "conflict":
            algorithm, digest = file["served"].split()
            assert f"served {algorithm} {digest}" in file["reason"]
            assert f"ours   {algorithm}" in file["reason"]
    assert set(log.methods("notes.txt")) == {"GET"}


def test_a_new_version_stands_beside_the_old_one(publish: Publish, project: Path) -> None:
    manifest = project / "packages/maestro-core-logging/pyproject.toml"
    manifest.write_text(manifest.read_text().replace("1.0.0", "1.0.1"))
    done = publish("maestro-core-logging", "maestro-core-config")
    assert outcomes(done) == {"published": 2, "unchanged": 2}, done


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"password": "wrong-0123456789"}, "401: the server does not accept user 'deployer'"),
        ({"repository": "pypi-none"}, "404: there is no such repository"),
        ({"url": "http://127.0.0.1:9/repository"}, "nothing listens there"),
        ({"repository": "pypi-frozen"}, "read only"),
    ],
)
def test_what_keeps_from_publishing_is_told_with_its_reason(
    server: dict[str, Any], publish: Publish, project: Path, changed: dict[str, str], text: str
) -> None:
    name = changed.pop("repository", "pypi-private")
    (project / "dist").mkdir()
    build = {"name": "x", "repository": name, "files": [f"{project}/dist"]}
    (project / "dist/maestro_other-1.0-py3-none-any.whl").write_bytes(wheel())
    if name == "pypi-frozen":
        add_reading(server["nexus"], name)
    done = publish("x", publish=[build], **changed)
    reasons = [str(file["reason"]) for host in done["hosts"] for file in host["files"]]
    assert done["code"] == 1, done
    assert text.lower() in "\n".join([done["said"], *reasons]).lower()


def add_reading(nexus: Nexus, name: str) -> None:
    """Let the deployer try to publish to a repository."""
    rights = [f"nx-repository-view-pypi-{name}-{action}" for action in ("read", "add", "edit")]
    role = {"id": "deployer", "name": "deployer", "description": "", "roles": []}
    old = [
        f"nx-repository-view-{format}-{repository}-{action}"
        for repository, format in FORMATS.items()
        for action in ("read", "add", "edit")
    ]
    nexus.send("PUT", "v1/security/roles/deployer", {**role, "privileges": [*old, *rights]})


def wheel() -> bytes:
    """Return a wheel that an index takes, with nothing in it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        info = "maestro_other-1.0.dist-info"
        metadata = "Metadata-Version: 2.1\nName: maestro-other\nVersion: 1.0\n"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return content.getvalue()


def test_a_package_of_ours_is_installed_through_the_index_with_its_password_and_no_other(
    server: dict[str, Any],
    publish: Publish,
    pyinfra: Run,
    ssh: Run,
    hosts: list[dict[str, Any]],
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish("maestro-core-logging", "maestro-core-config", "@maestro/types")
    app = next(host["name"] for host in hosts if "apps" in host["groups"])
    monkeypatch.setitem(environment, READER, server["passwords"][READER])
    url = f"http://{server['host']}:{PORT}/repository"
    secret = {"secret": "index/reader"}
    netrc = [{"machine": server["host"], "login": "reader", "password": secret}]
    npmrc = {
        "scopes": {"@maestro": f"{url}/npm-private/"},
        "auth": [{"url": f"{url}/npm-private/", "username": "reader", "password": secret}],
    }
    index = {"name": "corp", "url": f"{url}/pypi-all/simple", "default": True}
    clients = {
        "uv": {"index": [{**index, "authenticate": "always"}]},
        "users": [{"user": "app", "netrc": netrc, "npmrc": npmrc}],
    }
    inventory = inventory_of(tmp_path, "apps", clients=clients)
    for part in ("certificates", "uv", "clients"):
        pyinfra(inventory, f"deploys/{part}.py", "-y")
    good = ssh(app, f"sudo -H -u app sh -c '{INSTALL}'")
    assert "1.0.0" in good.stdout
    # The control: the same commands fail once the server no longer takes what the files hold.
    server["nexus"].send(
        "PUT",
        "v1/security/users/reader/change-password",
        data=secrets.token_hex(16),
        headers={"Content-Type": "text/plain"},
    )
    bad = ssh(app, f"sudo -H -u app sh -c '{INSTALL}'", check=False)
    assert bad.returncode != 0
    assert "401" in bad.stderr, bad.stderr


INSTALL = (
    "set -e; dir=$(mktemp -d); cd $dir; uv venv -q .venv; "
    "uv pip install -q --no-cache maestro-core-config==1.0.0; "
    '.venv/bin/python -c "from importlib.metadata import version; import maestro_core_config; '
    'print(version(\\"maestro-core-config\\"))"; '
    "npm install --no-audit --no-fund @maestro/types@1.0.0 >&2; "
    "test -f node_modules/@maestro/types/index.d.ts"
)


def test_verification_reads_every_file_to_its_end(
    server: dict[str, Any],
    publish: Publish,
    project: Path,
    uplift: Run,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    publish()
    inventory = inventory_of(tmp_path, "builders", packages=settings_of(server["host"], project))
    known = {**environment, **server["passwords"]}
    words = ("verify", inventory, "--tests", "tests/verify/test_packages.py", "--json")
    good = uplift(*words, env=known)
    (project / "notes.txt").write_text("others\n")
    bad = uplift(*words, check=False, env=known)
    (host,) = json.loads(good.stdout)["hosts"]
    assert host["subjects"]["packages"]["passed"] == 1
    (host,) = json.loads(bad.stdout)["hosts"]
    assert bad.returncode == 1
    assert "notes.txt" in str(host["failures"])
    assert server["passwords"][DEPLOYER] not in good.stdout + bad.stdout + bad.stderr
