"""A real Nexus on a host of the lab, for tests of what uses one."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

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
    npm = ssh(host, "npm config get registry --location=default").stdout
    return python.stdout.strip(), npm.strip()


@contextmanager
def running(host: dict[str, Any], lab_name: str, uplift: Run, ssh: Run) -> Iterator[Nexus]:
    """Run a Nexus in the container `index`, with nobody let in without a password.

    Args:
        host: of the lab, with Docker; it has the image afterwards.
        lab_name: of the lab.
        uplift: the command.
        ssh: to the hosts.
    """
    uplift("lab", "image", IMAGE, "--name", lab_name)
    # One that a killed run left behind has a password that nobody knows any more.
    ssh(host["name"], "sudo docker rm -f -v index 2>/dev/null", check=False)
    # The site's own listens there too; it comes back afterwards.
    site = ssh(host["name"], f"sudo docker ps -q --filter publish={PORT}").stdout.split()
    for id in site:
        ssh(host["name"], f"sudo docker stop -t 120 {id}")
    ssh(
        host["name"],
        f"sudo docker run -d --name index -p {PORT}:8081 -e EXTRA_JAVA_OPTS='-Xms512m -Xmx768m"
        f" -XX:MaxDirectMemorySize=512m' registry:5000/{TAG}",
    )
    base = f"http://{host['address']}:{host['ports'][str(PORT)]}"
    wait_until_writable(base)
    first = ssh(host["name"], "sudo docker exec index cat /nexus-data/admin.password").stdout
    try:
        yield closed(base, first.strip())
    finally:
        ssh(host["name"], "sudo docker rm -f -v index")
        for id in site:
            ssh(host["name"], f"sudo docker start {id}")


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


def closed(base: str, first_password: str) -> Nexus:
    """Give the administrator a password of this test alone, and let nobody in without one."""
    admin = secrets.token_hex(16)
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
    return nexus


def add_user(nexus: Nexus, name: str, privileges: list[str]) -> str:
    """Make a user with a role of the same name; return the password."""
    password = secrets.token_hex(16)
    role = {"id": name, "name": name, "privileges": privileges}
    nexus.send("POST", "v1/security/roles", {**role, "description": "", "roles": []})
    user = {"userId": name, "firstName": name, "lastName": name, "status": "active"}
    rest = {"emailAddress": f"{name}@example.com", "roles": [name], "password": password}
    nexus.send("POST", "v1/security/users", {**user, **rest})
    return password
