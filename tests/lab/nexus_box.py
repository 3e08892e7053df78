"""A real Nexus on a host of the lab, applied to and counted by its own request log.

A plugin of the test files that name it in ``pytest_plugins``.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.nexus_wanted import BLOCK, VALUES

from uplift.spec.nexus.server import JAVA_OPTIONS

PROJECT = Path(__file__).parents[2]
DEPLOY = "tests/lab/nexus_deploy.py"
# Of no other test: it stays from file to file.
NAME = "uplift-test-nexus-api"
PORT = 28093
ADDRESS = f"http://127.0.0.1:{PORT}"
LOG = f"/var/lib/docker/volumes/{NAME}/_data/log/request.log"
FIRST = LOG.replace("log/request.log", "admin.password")
INITIAL = "NEXUS_SECURITY_INITIAL_PASSWORD"
RECORD = f"/var/lib/uplift/nexus-http-127-0-0-1-{PORT}.json"

Run = Callable[..., subprocess.CompletedProcess[str]]
Shell = Callable[[str], str]
Start = Callable[..., None]


@pytest.fixture(scope="session")
def box(hosts: list[dict[str, Any]]) -> str:
    """The host of these tests."""
    return str(hosts[0]["name"])


@pytest.fixture(scope="session")
def shell(ssh: Run, box: str) -> Shell:
    """Run a command on the host as root and return what it prints."""
    return lambda command: ssh(box, f"sudo sh -c {shlex.quote(command)}").stdout.strip()


@pytest.fixture(scope="session")
def start(uplift: Run, pyinfra: Run, lab_name: str, box: str, shell: Shell) -> Iterator[Start]:
    """Start an empty server, with a first password if one is given; gone afterwards."""
    pyinfra("inventories/lab.py", "deploys/docker.py", "-y", "--limit", box)
    gone = f"docker rm -fv {NAME} >/dev/null 2>&1; docker volume rm {NAME} >/dev/null 2>&1; "

    def call(version: str, first: str = "") -> None:
        _READY.clear()
        uplift("lab", "image", f"nexus:{version}", "--name", lab_name)
        export = f"export {INITIAL}={shlex.quote(first)};" if first else ""
        shell(
            f"{gone} rm -f {RECORD}; {export} docker run -d --name {NAME} -v {NAME}:/nexus-data "
            f"-e {shlex.quote(f'{JAVA_OPTIONS}={JAVA}')} "
            f"{f'-e {INITIAL}' if first else ''} -p 127.0.0.1:{PORT}:8081 "
            f"registry:5000/sonatype/nexus3:{version}"
        )

    yield call
    shell(f"{gone} rm -f {RECORD}")


# It starts with half the work: what is compiled well pays off later than these tests.
JAVA = (
    "-Xms512m -Xmx768m -XX:MaxDirectMemorySize=512m -XX:TieredStopAtLevel=1 "
    "-Djava.util.prefs.userRoot=/nexus-data/javaprefs -Dfile.encoding=UTF-8"
)
REQUEST = r'"([A-Z]+) (\S+) HTTP/1.1" (\d+)'


def writes(log: str) -> list[str]:
    """Return the requests of a log that change something, without what all their paths share."""
    return [
        f"{method} {path.removeprefix('/service/rest').removeprefix('/v1')}"
        for method, path, _ in re.findall(REQUEST, log)
        if method != "GET"
    ]


class Result:
    """What a run did: whether something changed, its output, the requests that the server saw."""

    def __init__(self, done: subprocess.CompletedProcess[str], log: str) -> None:
        self.code = done.returncode
        self.output = done.stdout + done.stderr
        self.changed = re.search(r"Nexus +1 +1 ", self.output) is not None
        found = re.findall(REQUEST, log)
        self.writes = writes(log)
        self.reads = [path for method, path, _ in found if method == "GET"]
        self.refused = [path for _, path, status in found if status == "401"]


def words(box: str, *options: str, dry: bool = False) -> list[str]:
    """Return the command line of the deploy."""
    program = str(Path(sys.executable).parent / "pyinfra")
    way = "--dry" if dry else "-y"
    return [program, "inventories/lab.py", DEPLOY, way, "--limit", box, *options]


def given(block: dict[str, Any], wait: int = 900) -> dict[str, str]:
    """Return the variables of the deploy that hold no secret."""
    return {
        "UPLIFT_TEST_NEXUS": json.dumps(block),
        "UPLIFT_TEST_NEXUS_ADDRESS": ADDRESS,
        "UPLIFT_TEST_NEXUS_CONTAINER": NAME,
        "UPLIFT_TEST_NEXUS_WAIT": str(wait),
    }


def in_variables() -> dict[str, str]:
    """Return the secrets as environment variables."""
    return {f"UPLIFT_SECRET_N_{name}": value for name, value in VALUES.items()}


@pytest.fixture(scope="session")
def deploy(environment: dict[str, str], shell: Shell, box: str) -> Callable[..., Result]:
    """Run the deploy; count what the server's own log shows of it."""

    def call(
        block: dict[str, Any] = BLOCK,
        *options: str,
        dry: bool = False,
        wait: int = 900,
        variables: dict[str, str] | None = None,
    ) -> Result:
        lines = logged(shell)
        done = subprocess.run(
            words(box, *options, dry=dry),
            cwd=PROJECT,
            env={
                **environment,
                **given(block, wait),
                **(in_variables() if variables is None else variables),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        return Result(done, log(shell, lines))

    return call


def logged(shell: Shell) -> int:
    """Return how many requests the server has logged so far."""
    return int(shell(f"cat {LOG} 2>/dev/null | wc -l") or 0)


def log(shell: Shell, lines: int) -> str:
    """Return what the server has logged since."""
    return shell(f"tail -n +{lines + 1} {LOG} 2>/dev/null || true")


Deploy = Callable[..., Result]


@pytest.fixture(scope="module")
def ready(start: Start, deploy: Deploy, box: str) -> Result:
    """A server of 3.30.0 that the settings were applied to once, from its first second on.

    It is the same for all files of tests, until one of them starts another.
    """
    if box not in _READY:
        start("3.30.0")
        _READY[box] = deploy()
    result = _READY[box]
    assert result.code == 0, result.output
    return result


_READY: dict[str, Result] = {}
"""What the run said that made the server ready, while it is there."""


@pytest.fixture(scope="session")
def curl(shell: Shell) -> Callable[..., str]:
    """Ask the server by hand; return the status, or the body with ``body=True``."""

    def call(
        method: str,
        path: str,
        data: object = None,
        user: str = "admin",
        kind: str = "application/json",
        body: bool = False,
        password: str | None = None,
        more: tuple[str, ...] = (),
    ) -> str:
        given = VALUES.get(user.upper(), "") if password is None else password
        escaped = given.replace("\\", "\\\\").replace('"', '\\"')
        config = f'user = "{user}:{escaped}"\n' if user != "nobody" else ""
        words = ["curl", "-s", "-X", method, "--config", "-", *more, f"{ADDRESS}{path}"]
        if data is not None:
            text = data if isinstance(data, str) else json.dumps(data)
            words += ["-H", f"Content-Type: {kind}", "--data-raw", text]
        words += [] if body else ["-o", "/dev/null", "-w", "%{http_code}"]
        return shell(f"printf %s {shlex.quote(config)} | {shlex.join(words)}")

    return call


Curl = Callable[..., str]


def get(curl: Curl, path: str) -> Any:
    """Return a value that the server holds, read by hand."""
    return json.loads(curl("GET", f"/service/rest{path}", body=True))


def put(curl: Curl, path: str, value: object, **more: Any) -> None:
    """Change the server by hand."""
    status = curl("PUT", f"/service/rest{path}", value, **more)
    assert status in ("200", "204"), f"{path}: {status}"


def compaction(curl: Curl, method: str, **more: Any) -> None:
    """Change the task that compacts by hand, as the web interface does.

    Args:
        curl: asks the server.
        method: ``update`` or ``remove``.
        more: fields of the task in place of ours.
    """
    (task,) = get(curl, "/v1/tasks?type=blobstore.compact")["items"]
    fields = {
        "id": task["id"],
        "typeId": task["type"],
        "name": task["name"],
        "enabled": True,
        "alertEmail": "",
        "notificationCondition": "FAILURE",
        "properties": {"blobstoreName": "packages"},
        "recurringDays": [],
        "startDate": None,
        "timeZoneOffset": "+00:00",
        **more,
    }
    data = [task["id"] if method == "remove" else fields]
    call = {"action": "coreui_Task", "method": method, "type": "rpc", "tid": 1, "data": data}
    answer = json.loads(curl("POST", "/service/extdirect", call, body=True))
    assert answer["result"]["success"] is True, answer
