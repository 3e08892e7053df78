"""A lab's hosts with the InfluxDB of these tests: applied by the project's own deploy, and read."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
IMAGE = "registry:5000/influxdb:2.7.12"
SERVER = "uplift-test-influxdb"
PORT = 18086
API = f"http://127.0.0.1:{PORT}/api/v2"
FILE = "/etc/uplift-test-influxdb.token"
KEPT = "test/influxdb-writer"
SAMPLES = "/run/uplift-test-samples"
POINT = "/run/uplift-test-point"

Run = Callable[..., subprocess.CompletedProcess[str]]

# All that a shell, JSON or curl's configuration could stumble over.
AWKWARD = f"""a:b "c" 'd' \\n\\ %7B$(id){{}} é {secrets.token_hex(8)}"""

BLOCK: dict[str, Any] = {
    "container": {
        "image": IMAGE,
        "name": SERVER,
        "port": PORT,
        "data": SERVER,
        "config": f"{SERVER}-config",
        "environment": {"INFLUXD_LOG_LEVEL": "debug"},
        "stable": 1,
    },
    "setup": {
        "user": "admin",
        "password": {"secret": "i/admin"},
        "organisation": "main",
        "bucket": "default",
        "token": {"secret": "i/token"},
    },
    "organisations": ["second org"],
    "buckets": [
        {"name": "default"},
        {
            "name": "ci metrics",
            "organisation": "second org",
            "retention": "30d",
            "shard_group_duration": "1d",
        },
    ],
    "users": [{"name": "ci", "password": {"secret": "i/ci"}}],
    "tokens": [
        {
            "description": "ci writes",
            "organisation": "second org",
            "write": ["ci metrics"],
            "file": FILE,
        }
    ],
}


@dataclass
class Result:
    """What a run did.

    Args:
        code: pyinfra's exit code.
        output: all that it said.
        log: what the server logged of it.
    """

    code: int
    output: str
    log: str
    changed: bool = field(init=False)
    writes: list[str] = field(init=False)
    reads: int = field(init=False)

    def __post_init__(self) -> None:
        self.changed = re.search(r"^ *InfluxDB[a-z' ]* +1 +1 ", self.output, re.M) is not None
        found = re.findall(r"msg=Request .*method=(\S+) .*?path=(\S+)", self.log)
        # Signing in is how a password is read; it leaves a session in the server's memory alone.
        writes = [it for it in found if it[0] != "GET" and not it[1].endswith("/signin")]
        self.writes = [f"{method} {path.split('/')[3]}" for method, path in writes]
        self.reads = len(found) - len(writes)


@dataclass
class Box:
    """Hosts of a lab; the first one has the server."""

    hosts: list[dict[str, Any]]
    ssh: Run
    environment: dict[str, str]
    folder: Path
    values: dict[str, str] = field(
        default_factory=lambda: {
            "ADMIN": AWKWARD,
            "TOKEN": secrets.token_hex(24),
            "CI": secrets.token_hex(12),
        }
    )

    @property
    def name(self) -> str:
        """The server's host."""
        return str(self.hosts[0]["name"])

    def sh(self, script: str, *, check: bool = True, host: str | None = None) -> str:
        """Run a command as root and return what it prints."""
        done = self.ssh(host or self.name, f"sudo sh -c {shlex.quote(script)}", check)
        return str(done.stdout).strip()

    def run(
        self,
        block: dict[str, Any] = BLOCK,
        *options: str,
        clients: dict[str, Any] | None = None,
        before: str = "",
    ) -> Result:
        """Apply the settings by ``deploys/influxdb.py``, and return what it did.

        Args:
            block: of the server.
            options: of pyinfra.
            clients: blocks ``influxdb_client`` by host.
            before: code that runs before the deploy.
        """
        since = self.sh("date -u +%Y-%m-%dT%H:%M:%S.%NZ")
        done = subprocess.run(
            self.words(block, *options, clients=clients or {}, before=before),
            cwd=PROJECT,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        log = self.sh(f"docker logs --since {since} {SERVER} 2>&1", check=False)
        return Result(done.returncode, done.stdout + done.stderr, log)

    def variables(self) -> dict[str, str]:
        """The environment of a run: the secrets of the settings."""
        given = {f"UPLIFT_SECRET_I_{name}": value for name, value in self.values.items()}
        return {**self.environment, **given}

    def words(
        self, block: dict[str, Any], *options: str, clients: dict[str, Any], before: str = ""
    ) -> list[str]:
        """Return the command line of a run."""
        data = {self.name: {"influxdb": block}}
        for name, client in clients.items():
            data.setdefault(name, {})["influxdb_client"] = client
        # Named lab.py, so that the group data of the lab holds for it too.
        (self.folder / "lab.py").write_text(
            textwrap.dedent(f"""
            import json as _json
            from pathlib import Path as _Path
            _lab, _data = {{}}, _json.loads({json.dumps(data)!r})
            exec(_Path("inventories/lab.py").read_text(), _lab)
            _all = {{name: data for group in ("services", "apps") for name, data in _lab[group]}}
            _none = {{"influxdb": None, "influxdb_client": None}}
            hosts = [(name, {{**_all[name], **_none, **_data[name]}}) for name in _data]
            """)
        )
        deploy = PROJECT / "deploys/influxdb.py"
        if before:
            deploy = self.folder / "deploy.py"
            text = f'from pyinfra import local\n{before}\nlocal.include("deploys/influxdb.py")\n'
            deploy.write_text(text)
        yes = [] if "--dry" in options else ["-y"]
        pyinfra = str(Path(sys.executable).parent / "pyinfra")
        return [pyinfra, str(self.folder / "lab.py"), str(deploy), *yes, *options]

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the server as a person with the operator token would."""
        data = f"-d {shlex.quote(json.dumps(body))}" if body is not None else ""
        said = self.sh(
            f"curl -sS -f -X {method} -H 'Authorization: Token {self.values['TOKEN']}' {data} "
            f"{shlex.quote(f'{API}/{path}')}"
        )
        return json.loads(said) if said else None

    def one(self, kind: str, key: str, value: str) -> dict[str, Any]:
        """Return the one object of this kind with this value."""
        listed = self.api("GET", f"{kind}?limit=100")[kind]
        (found,) = (it for it in listed if it[key] == value)
        return dict(found)

    def write(
        self, org: str = "second org", bucket: str = "ci metrics", token: str = f"$(cat {FILE})"
    ) -> str:
        """Write a point; return the server's status."""
        query = f"org={org}&bucket={bucket}".replace(" ", "%20")
        return self.sh(
            f'curl -s -o /dev/null -w "%{{http_code}}" -H "Authorization: Token {token}" '
            f"--data-binary 'm f=1' '{API}/write?{query}'"
        )

    def started(self) -> str:
        """What changes when the container is touched."""
        return self.sh(f'docker inspect -f "{{{{.Id}}}} {{{{.State.StartedAt}}}}" {SERVER}')

    def clean(self) -> None:
        """Take away all that these tests made."""
        self.sh(
            f"docker rm -fv {SERVER} {SERVER}--setup {SERVER}--next {SERVER}--previous hand;"
            f"docker volume rm {SERVER} {SERVER}-config; rm -f {FILE} {POINT} {SAMPLES};"
            f"rm -rf /var/lib/uplift/containers/{SERVER}*",
            check=False,
        )
        for host in self.hosts[1:]:
            self.sh(f"rm -f {FILE}", host=host["name"], check=False)

    def sample(self) -> Callable[[], str]:
        """Ask the published port all the time who may set the server up; stop and return all."""
        self.sh(f"rm -f {SAMPLES} {SAMPLES}.stop")
        text = (
            f"i=0; until [ -e {SAMPLES}.stop ] || [ $i -gt 20000 ]; do i=$((i+1)); "
            f"curl -s --max-time 1 {API}/setup >>{SAMPLES}; sleep 0.02; done"
        )
        self.sh(f"setsid sh -c {shlex.quote(text)} </dev/null >/dev/null 2>&1 &")
        return lambda: self.sh(f"touch {SAMPLES}.stop; sleep 0.3; cat {SAMPLES}; rm {SAMPLES}*")


def box(hosts: list[dict[str, Any]], ssh: Run, environment: dict[str, str], folder: Path) -> Box:
    """Return the hosts with the server on the first."""
    return Box([it for it in hosts if it["kind"] == "host"], ssh, environment, folder)


def kept() -> str:
    """Return what the controller keeps for the writer of the tests."""
    file = PROJECT / ".uplift/lab-secrets.json"
    return str(json.loads(file.read_text()).get(KEPT, "")) if file.exists() else ""
