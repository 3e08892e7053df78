"""Clients and verification against a real private index: Nexus, where everyone must sign in."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.slow

IMAGE = "nexus:3.30.0"
TAG = "sonatype/nexus3:3.30.0"
PORT = 28081
START_LIMIT = 600  # seconds; a first start on a busy machine takes minutes
Run = Callable[..., subprocess.CompletedProcess[str]]


class Nexus:
    """The REST API of a Nexus, as its administrator."""

    def __init__(self, base: str, password: str) -> None:
        self.base = base
        self.session = requests.Session()
        self.session.auth = ("admin", password)

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> None:
        """Send one request; anything but success fails the test with the server's words."""
        answer = self.session.request(
            method, f"{self.base}/service/rest/{path}", json=body, timeout=60, **options
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:300]}"


def repository(name: str, **more: Any) -> dict[str, Any]:
    storage = {"blobStoreName": "default", "strictContentTypeValidation": True}
    return {"name": name, "online": True, "storage": storage, **more}


def proxy(name: str, remote: str) -> dict[str, Any]:
    return repository(
        name,
        proxy={"remoteUrl": remote, "contentMaxAge": 1440, "metadataMaxAge": 1440},
        negativeCache={"enabled": False, "timeToLive": 60},
        httpClient={"blocked": False, "autoBlock": False},
    )


def public_indexes(ssh: Run, host: str) -> tuple[str, str]:
    """Ask the tools for their own public index: no address stands here."""
    code = "from pip._internal.models.index import PyPI; print(PyPI.url)"
    python = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return python.stdout.strip(), ssh(
        host, "npm config get registry --location=default"
    ).stdout.strip()


@pytest.fixture(scope="module")
def server(
    lab: dict[str, Any], lab_name: str, uplift: Run, pyinfra: Run, ssh: Run
) -> dict[str, Any]:
    """A Nexus on the first host, signed in to by a user for readers alone."""
    host = lab["hosts"][0]
    uplift("lab", "image", IMAGE, "--name", lab_name)
    pyinfra("inventories/lab.py", "deploys/site.py", "-y", "--limit", host["name"])
    ssh(
        host["name"],
        f"sudo docker run -d --name index -p {PORT}:8081 -e EXTRA_JAVA_OPTS='-Xms512m -Xmx768m"
        f" -XX:MaxDirectMemorySize=512m' registry:5000/{TAG}",
    )
    base = f"http://{host['address']}:{host['ports'][str(PORT)]}"
    wait_until_writable(base)
    first = ssh(host["name"], "sudo docker exec index cat /nexus-data/admin.password").stdout
    yield {
        "host": host["name"],
        **configured(base, first.strip(), public_indexes(ssh, host["name"])),
    }
    ssh(host["name"], "sudo docker rm -f -v index")


def wait_until_writable(base: str) -> None:
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        try:
            if requests.get(f"{base}/service/rest/v1/status/writable", timeout=10).ok:
                return
        except requests.ConnectionError:
            pass  # not up yet: the limit of the loop is the check
        time.sleep(2)
    pytest.fail(f"{base} was not writable after {START_LIMIT} s")


def configured(base: str, first_password: str, public: tuple[str, str]) -> dict[str, Any]:
    """Set up proxies, and a user who may only read, with nobody let in without a password."""
    admin, reader = secrets.token_hex(16), secrets.token_hex(16)
    change = requests.put(
        f"{base}/service/rest/v1/security/users/admin/change-password",
        data=admin,
        headers={"Content-Type": "text/plain"},
        auth=("admin", first_password),
        timeout=60,
    )
    assert change.ok, change.text[:300]
    nexus = Nexus(base, admin)
    anonymous = {"enabled": False, "userId": "anonymous", "realmName": "NexusAuthorizingRealm"}
    nexus.send("PUT", "v1/security/anonymous", anonymous)
    nexus.send("POST", "v1/repositories/pypi/proxy", proxy("pypi-all", public[0]))
    nexus.send("POST", "v1/repositories/npm/proxy", proxy("npm-all", public[1]))
    role = {"id": "reader", "name": "reader", "privileges": ["nx-repository-view-*-*-*"]}
    nexus.send("POST", "v1/security/roles", {**role, "description": "", "roles": []})
    user = {"userId": "reader", "firstName": "r", "lastName": "r", "status": "active"}
    rest = {"emailAddress": "reader@example.com", "roles": ["reader"], "password": reader}
    nexus.send("POST", "v1/security/users", {**user, **rest})
    return {"nexus": nexus, "password": reader}


@pytest.fixture(scope="module")
def inventory(server: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's applications, with the Nexus as the only index of every client."""
    file = tmp_path_factory.mktemp("inventory") / "lab.py"
    url = f"http://{server['host']}:{PORT}/repository"
    secret = {"secret": "index/reader"}
    user = {
        "user": "app",
        "netrc": [{"machine": server["host"], "login": "reader", "password": secret}],
        "npmrc": {
            "registry": f"{url}/npm-all/",
            "auth": [{"url": f"{url}/npm-all/", "username": "reader", "password": secret}],
        },
    }
    trusted = [f"{server['host']}:{PORT}"]
    index = {"name": "corp", "url": f"{url}/pypi-all/simple", "default": True}
    clients = {
        "uv": {"index": [{**index, "authenticate": "always"}], "allow_insecure_host": trusted},
        "pip": {"index_url": f"{url}/pypi-all/simple", "trusted_host": trusted},
        "users": [user],
    }
    file.write_text(
        textwrap.dedent(f"""
        from pathlib import Path as _Path
        _lab = {{}}
        exec(_Path("inventories/lab.py").read_text(), _lab)
        _clients = {clients!r}
        apps = [(name, {{**data, "clients": _clients}}) for name, data in _lab["apps"][:1]]
        """)
    )
    return file


def resolve(uplift: Run, environment: dict[str, str], inventory: Path) -> dict[str, Any]:
    """Run the tests of clients and return the result of the one host."""
    words = ("verify", str(inventory), "--tests", "tests/verify/test_clients.py", "--json")
    done = uplift(*words, check=False, env=environment)
    (host,) = json.loads(done.stdout)["hosts"]
    return {"code": done.returncode, **host}


def test_every_client_resolves_through_an_index_that_demands_a_password_and_fails_without(
    server: dict[str, Any],
    inventory: Path,
    pyinfra: Run,
    uplift: Run,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(environment, "UPLIFT_SECRET_INDEX_READER", server["password"])
    pyinfra(str(inventory), "deploys/site.py", "-y")
    good = resolve(uplift, environment, inventory)
    # The control: the same files, but the server no longer takes what they hold.
    server["nexus"].send(
        "PUT",
        "v1/security/users/reader/change-password",
        data=secrets.token_hex(16),
        headers={"Content-Type": "text/plain"},
    )
    bad = resolve(uplift, environment, inventory)

    assert good["code"] == 0, good["failures"]
    assert good["subjects"]["clients"]["failed"] == 0
    failed = " ".join(str(failure) for failure in bad["failures"])
    assert bad["code"] == 1
    assert "test_uv_resolves_through_its_index" in failed
    assert "test_pip_downloads_through_its_index" in failed
    assert "npm" in failed
