"""A host with the application of these tests on it: deployed, looked at, cleaned away.

A plugin of the test files that name it in ``pytest_plugins``.
"""

from __future__ import annotations

import json
import re
import secrets as random
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
DEPLOY = "tests/lab/app_deploy.py"
REPOSITORY = "registry:5000/uplift-test-app"
# Tag, how it behaves, what built it.
IMAGES = [
    # As another tool would leave it: known by its tag alone.
    ("1.3.0-poetry", "", ""),
    ("1.4.0-poetry", "", "poetry"),
    # Ready by another path than the others, which do not know that one; no builder's, so that no
    # other test finds it at the registry.
    ("1.5.0-up", "up", ""),
    ("2.0.0-uv", "", "uv"),
    ("2.1.0-uv", "never", "uv"),
    ("2.2.0-uv", "until-8", "uv"),
    ("2.3.0-uv", "exit-9", "uv"),
    ("2.4.0-uv", "eat-6", "uv"),
]
UP = {"ready": {"http": {"port": 8000, "path": "/up"}, "stable": 1, "start_period": 6}}
DRAIN = {"seconds": 5, "path": "/health/drain", "token": {"secret": "testapp/drain"}}

INVENTORY = """
from pathlib import Path as _Path
_lab = {{}}
exec(_Path("inventories/lab.py").read_text(), _lab)
_own = {{"haproxy": {haproxy!r}, "apps": {apps!r}}}
_hosts = dict([*_lab["services"], *_lab["apps"]])
# A group of its own: what the lab's groups have is none of these tests' business.
tested = [(name, {{**_hosts[name], **_own}}) for name in {names!r}]
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Site:
    """One host with the application on it."""

    name: str
    address: str
    port: int
    ssh: Run
    pyinfra: Run
    token: str
    lab: str
    secrets: dict[str, str] = field(default_factory=dict)
    haproxy: dict[str, Any] = field(
        default_factory=lambda: {"binds": [{"address": "*", "port": 80}]}
    )

    def sh(self, script: str, *, check: bool = True) -> str:
        """Run a script as root."""
        return str(self.ssh(self.name, f"sudo sh -c {shlex.quote(script)}", check).stdout).strip()

    def run(
        self, tag: str, *words: str, check: bool = True, **fields: Any
    ) -> subprocess.CompletedProcess[str]:
        """Deploy a version, or what the words say."""
        return self.pyinfra(*self.words(tag, *words, **fields), check=check)

    def words(self, tag: str, *words: str, **fields: Any) -> list[str]:
        """Return pyinfra's arguments that deploy a version, or do what the words say."""
        data = ["--data", f"the_app={json.dumps(self.block(tag, **fields))}"]
        data += ["--data", f"the_haproxy={json.dumps(self.haproxy)}"]
        data += ["--data", f"the_secrets={json.dumps(self.environment)}"]
        return ["inventories/lab.py", DEPLOY, "--limit", self.name, "-y", *data, *words]

    def block(self, tag: str, **fields: Any) -> dict[str, Any]:
        """Return the settings of a version."""
        return {
            "name": "testapp",
            "image": f"{REPOSITORY}:{tag}",
            "port": 8000,
            "slot_ports": [18001, 18002],
            "routes": [{}],
            "hold": 3,
            "stop_timeout": 5,
            "secrets": {"drain-token": {"secret": "testapp/drain"}},
            "ready": {"http": {"port": 8000, "path": "/readyz"}, "stable": 1, "start_period": 6},
            "drain": DRAIN,
            **fields,
        }

    def changed(self, tag: str, *words: str, **fields: Any) -> list[str]:
        """Deploy, and return the names of the operations that changed something."""
        done = self.run(tag, "--json", *words, **fields)
        operations = json.loads(done.stdout)["results"]["operations"]
        return [one["name"].rpartition(" | ")[2] for one in operations if one["success"]]

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables with the secrets of the settings."""
        return {"UPLIFT_SECRET_TESTAPP_DRAIN": self.token, **self.secrets}

    def inventory(self, file: Path, *apps: dict[str, Any], names: Sequence[str] = ()) -> str:
        """Write an inventory of this host, or of these, with applications; return its name."""
        text = INVENTORY.format(names=names or [self.name], haproxy=self.haproxy, apps=[*apps])
        file.write_text(text)
        return str(file)

    def version(self) -> str:
        """Ask through HAProxy."""
        return self.sh("curl -s http://127.0.0.1/version")

    def clean(self) -> None:
        """Take the application away."""
        self.sh(
            "docker rm -f testapp-blue testapp-green testapp-job-migrate; "
            "rm -rf /var/lib/uplift/releases/testapp /etc/uplift/apps/testapp "
            "/var/lib/uplift/apps/testapp* /var/lib/uplift/containers/testapp* "
            "/etc/uplift/secrets/testapp-*; systemctl disable -q --now haproxy; "
            "rm -f /etc/haproxy/haproxy.cfg; systemctl reset-failed haproxy",
            check=False,
        )

    def outcomes(self) -> list[str]:
        """Tell what became of each release, the newest last."""
        said = self.sh("cat /var/lib/uplift/releases/testapp/*/outcome | grep ^outcome")
        return [line.removeprefix("outcome ") for line in said.splitlines()]

    def containers(self) -> str:
        """Name the containers of the application, and what state they are in."""
        return self.sh(
            "docker ps -a --filter label=io.uplift.subject=testapp "
            "--format '{{.Names}} {{.State}}' | sort"
        )

    def seen(self) -> str:
        """Return what changes when a container is touched."""
        return self.sh("docker inspect -f '{{.Id}} {{.State.StartedAt}}' $(docker ps -aq)")

    def worker(self) -> str:
        """Return the process of HAProxy that takes new connections; a reload makes another."""
        return self.sh("pgrep -P $(systemctl show --property MainPID --value haproxy) -n")

    def sessions(self) -> int:
        """Count the commands that sshd has started."""
        log = self.ssh(self.name, "sudo journalctl -u ssh -o cat --no-pager").stdout
        return len(re.findall(r"^Starting session: command", log, flags=re.MULTILINE))


def build(pyinfra: Run, uplift: Run, lab: str, ssh: Run) -> None:
    """Build the images on the first host, and push them to the lab's registry."""
    pyinfra("inventories/lab.py", "deploys/docker.py", "--limit", "lab-1", "-y")
    uplift("lab", "image", "python", "--name", lab)
    for file in ("server.py", "Dockerfile"):
        text = (HERE / "app" / file).read_text()
        ssh("lab-1", f"mkdir -p test-app && printf %s {shlex.quote(text)} > test-app/{file}")
    for tag, how, builder in IMAGES:
        words = {"VERSION": tag.partition("-")[0], "HOW": how, "BUILDER": builder}
        arguments = " ".join(f"--build-arg {key}={value}" for key, value in words.items())
        image = f"{REPOSITORY}:{tag}"
        ssh(
            "lab-1",
            f"cd test-app && sudo docker build -q {arguments} -t {image} . && "
            f"sudo docker push -q {image}",
        )


@pytest.fixture(scope="module")
def built(pyinfra: Run, uplift: Run, lab_name: str, ssh: Run) -> None:
    """The images, in the lab's registry."""
    build(pyinfra, uplift, lab_name, ssh)


@pytest.fixture(scope="module")
def box(
    built: None, hosts: list[dict[str, Any]], ssh: Run, pyinfra: Run, lab_name: str
) -> Iterator[Site]:
    """The host; the application is taken away afterwards."""
    host = hosts[0]
    token = random.token_urlsafe(24)
    site = Site(
        host["name"], host["address"], int(host["ports"]["80"]), ssh, pyinfra, token, lab_name
    )
    yield site
    site.clean()


@pytest.fixture
def old(box: Site) -> Site:
    """The version that Poetry built serves."""
    box.run("1.4.0-poetry")
    assert box.version() == "1.4.0"
    return box
