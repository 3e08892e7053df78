"""A new Nexus in a container of a lab host, and what its own log says of its clients."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import compare
import nexus_work
import requests
import work

LIMIT = 900  # seconds for one step
NAME = "bench-nexus"
VERSION = "3.30.0"
PORT = 28081
LOG = "/nexus-data/log/request.log"

Environment = dict[str, str]


def call(
    *words: str | Path, env: Environment | None = None, cwd: Path = work.ROOT, input: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command, with variables beside those of this process."""
    return subprocess.run(
        words,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        input=input,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def done(result: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed; end the benchmark when it failed."""
    if result.returncode:
        sys.exit(f"{result.args}\n{result.stdout[-3000:]}{result.stderr[-3000:]}")
    return result.stdout.strip()


@dataclass
class Server:
    """A new Nexus in a container of a lab host.

    Args:
        lab: name of the lab.
        host: as ``uplift lab status --json`` shows it.
    """

    lab: str
    host: dict[str, Any]
    password: str = ""
    reader: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def port(self) -> int:
        """Where it is reached from here."""
        return int(self.host["ports"][str(PORT)])

    @property
    def url(self) -> str:
        """Its address from here."""
        return f"http://{self.host['address']}:{self.port}"

    def sh(self, script: str) -> str:
        """Run a script on its host as root."""
        return done(call(*compare.ssh(self.host), "sudo", "bash", input=script))

    def start(self) -> None:
        """Start a new one, and wait until it takes writes."""
        self.remove()
        self.password = secrets.token_hex(16)
        self.sh(
            f"docker run -d --name {NAME} -p {PORT}:8081 -e EXTRA_JAVA_OPTS='-Xms512m -Xmx512m "
            f"-XX:MaxDirectMemorySize=512m' registry:5000/sonatype/nexus3:{VERSION}"
        )
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            try:
                if requests.get(f"{self.url}/service/rest/v1/status/writable", timeout=10).ok:
                    return
            except requests.ConnectionError:
                pass  # not up yet: the limit of the loop is the check
            time.sleep(2)
        sys.exit(f"{self.url} was not writable after {LIMIT} s")

    def remove(self) -> None:
        """Take it away, with its data."""
        self.sh(f"docker rm -fv {NAME} >/dev/null 2>&1 || true")

    def set_first_password(self) -> None:
        """Do by hand what a tool does not: give the administrator the wanted password."""
        first = self.sh(f"docker exec {NAME} cat /nexus-data/admin.password")
        requests.put(
            f"{self.url}/service/rest/v1/security/users/admin/change-password",
            data=self.password,
            headers={"Content-Type": "text/plain"},
            auth=("admin", first),
            timeout=60,
        ).raise_for_status()

    def requests_so_far(self) -> list[str]:
        """Return the methods of all requests until now; the log is written a little later."""
        mark = f"/bench-mark-{secrets.token_hex(8)}"
        requests.get(self.url + mark, timeout=60)
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            log = self.sh(f"docker exec {NAME} cat {LOG}")
            before, found, _ = log.partition(mark)
            if found:
                known = re.findall(r'"([A-Z]+) (\S+) HTTP', before)
                return [method for method, path in known if "/bench-mark-" not in path]
            time.sleep(1)
        sys.exit(f"{mark} never was in the server's log")

    def get(self, path: str, user: str = "admin") -> Any:
        """Read something with a login."""
        password = self.password if user == "admin" else self.reader
        answer = requests.get(f"{self.url}/service/rest/{path}", auth=(user, password), timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def check(self) -> None:
        """End the benchmark unless the server has the wanted state."""
        groups = {it["name"]: it["group"]["memberNames"] for it in self.repositories("group")}
        hosted = {it["name"] for it in self.repositories("hosted")}
        proxies = {it["name"]: it["proxy"]["remoteUrl"] for it in self.repositories("proxy")}
        for format in nexus_work.GROUPED:
            ours, public = members = nexus_work.members(format)
            assert groups[format] == members, groups
            assert ours in hosted and proxies[public] == nexus_work.REMOTE, (hosted, proxies)
        assert "files" in hosted, hosted
        assert set(nexus_work.REALMS) <= set(self.get("v1/security/realms/active"))
        assert self.get("v1/security/anonymous")["enabled"] is False
        role = self.get(f"v1/security/roles/{nexus_work.READER}")
        assert set(role["privileges"]) == set(nexus_work.PRIVILEGES), role
        self.get("v1/status", user=nexus_work.READER)

    def repositories(self, type: str) -> list[dict[str, Any]]:
        """Return the settings of the repositories of a type that are kept in our blob store."""
        return [
            it
            for it in self.get("v1/repositorySettings")
            if it["type"] == type and it["storage"]["blobStoreName"] == nexus_work.STORE
        ]
