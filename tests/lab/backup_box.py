"""A host with a real InfluxDB, and the deploys of backups on it."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
OLD, NEW = "registry:5000/influxdb:2.7.11", "registry:5000/influxdb:2.7.12"
DATA = "/var/lib/influxdb2"
PLACE = "/srv/uplift-test-backup"
PROGRAM = "/usr/local/lib/uplift/backup-influxdb"
SERVICE = "uplift-backup-influxdb.service"
TIMER = "uplift-backup-influxdb.timer"
POINTS = 100_000
TOKEN = secrets.token_hex(24)
PASSWORD = secrets.token_hex(12)

Run = Callable[..., subprocess.CompletedProcess[str]]

BLOCK: dict[str, Any] = {
    "target": PLACE,
    "schedule": "*-*-* 03:15:00",
    "token": {"secret": "b/token"},
    "keep": {"last": 2, "daily": 0, "weekly": 0},
    "start_limit": 60,
}


def server(image: str, **container: Any) -> dict[str, Any]:
    """The block of a server that is set up with one bucket."""
    return {
        "container": {"image": image, "data": "uplift-test-backup", "stable": 2, **container},
        "setup": {
            "user": "admin",
            "password": {"secret": "b/password"},
            "organisation": "main",
            "bucket": "metrics",
            "token": {"secret": "b/token"},
        },
        "buckets": [{"name": "metrics"}],
    }


class Box:
    """A host with an InfluxDB, and the deploys of backups on it."""

    def __init__(self, name: str, ssh: Run, environment: dict[str, str], folder: Path) -> None:
        self.name, self.ssh, self.folder = name, ssh, folder
        self.environment = {
            **environment,
            "UPLIFT_SECRET_B_TOKEN": TOKEN,
            "UPLIFT_SECRET_B_PASSWORD": PASSWORD,
            "PYINFRA_PROGRESS": "off",
        }

    def sh(self, script: str, *, check: bool = True, on: str = "") -> str:
        done = self.ssh(on or self.name, f"sudo sh -c {shlex.quote(script)}", check)
        return str(done.stdout + ("" if check else done.stderr)).strip()

    def pyinfra(
        self, file: str, *options: str, **blocks: dict[str, Any]
    ) -> subprocess.CompletedProcess[str]:
        """Run a deploy with blocks of the group data in place of the lab's own."""
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        # The file of the inventory's own name wins.
        values = {"backups": {"influxdb": BLOCK}, "influxdb_client": None, **blocks}
        lines = [f"{name} = {value!r}\n" for name, value in values.items()]
        (data / "lab.py").write_text("".join(lines))
        words = ["inventories/lab.py", file, "--group-data", str(data), "--limit", self.name, "-y"]
        return subprocess.run(
            [str(Path(sys.executable).parent / "pyinfra"), *words, *options],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def backup(self, *options: str, ok: bool = True, **fields: Any) -> str:
        """Run the deploy with these settings, and return what it said."""
        backups = {"influxdb": {**BLOCK, **fields}}
        return said(self.pyinfra("deploys/backup.py", *options, backups=backups), ok)

    def take(self, *, ok: bool = True, **fields: Any) -> str:
        return self.backup("--data", "subject=influxdb", ok=ok, **fields)

    def restore(self, name: str = "latest", *, replace: bool = True, ok: bool = True) -> str:
        words = ["--data", "subject=influxdb", "--data", f"backup={name}"]
        words += ["--data", "replace=yes"] if replace else []
        return said(self.pyinfra("deploys/restore.py", *words), ok)

    def run(self, image: str, ok: bool = True, **container: Any) -> str:
        """Deploy the server."""
        return said(self.pyinfra("deploys/influxdb.py", influxdb=server(image, **container)), ok)

    def names(self, place: str = PLACE) -> list[str]:
        return self.sh(f"ls {place}/influxdb 2>/dev/null | grep T || :").split()

    @property
    def address(self) -> str:
        find = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return self.sh(f"docker inspect -f {shlex.quote(find)} influxdb")

    def api(self, method: str, path: str, data: str = "", more: str = "") -> str:
        """Ask the server as a person with the operator token would."""
        return self.sh(
            f"curl -sS -f --retry 20 --retry-connrefused --retry-delay 1 -X {method} "
            f"-H 'Authorization: Token {TOKEN}' {more} "
            f"{f'--data-binary {shlex.quote(data)}' if data else ''} "
            f"'http://{self.address}:8086/api/v2/{path}'"
        )

    def empty(self) -> None:
        """Take server and data away."""
        self.sh(
            "docker rm -f influxdb influxdb--previous >/dev/null 2>&1; "
            "docker volume rm -f uplift-test-backup >/dev/null 2>&1; "
            "rm -rf /var/lib/uplift/containers/influxdb; :"
        )

    def fill(self) -> None:
        """Write the points, over many shards, of all types of fields."""
        self.sh(
            f"awk 'BEGIN {{ for (i = 0; i < {POINTS // 4}; i++) printf "
            '"m,host=h%d f=%f,i=%di,s=\\"%x\\",b=true %d\\n", i % 50, rand(), i, i * 7919, '
            f"1700000000 + i * 60 }}' | split -l 5000 - /tmp/uplift-test-lines-; "
            "for one in /tmp/uplift-test-lines-*; do "
            f"curl -sS -f -H 'Authorization: Token {TOKEN}' --data-binary @$one "
            f"'http://{self.address}:8086/api/v2/write"
            "?org=main&bucket=metrics&precision=s' || exit 1; done; rm /tmp/uplift-test-lines-*"
        )

    def points(self) -> int:
        query = (
            'from(bucket: "metrics") |> range(start: 0) |> count() |> group() '
            '|> sum(column: "_value")'
        )
        told = self.api("POST", "query?org=main", query, "-H 'Content-Type: application/vnd.flux'")
        found = re.findall(r",(\d+)\s*$", told.strip())
        return int(found[-1]) if found else 0

    def buckets(self) -> set[str]:
        return {it["name"] for it in json.loads(self.api("GET", "buckets?limit=100"))["buckets"]}


def said(done: subprocess.CompletedProcess[str], ok: bool) -> str:
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def clean(box: Box) -> None:
    box.pyinfra("deploys/backup.py", backups={})
    box.empty()
    box.sh(f"rm -rf {PLACE} /var/lib/uplift/backup/influxdb")
