"""What the lab tests of images share: one host that builds, its settings, and what it pushed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent
LIMIT = 1800  # seconds; Poetry and its packages are downloaded

MANIFESTS = (
    "oci.image.index.v1",
    "oci.image.manifest.v1",
    "docker.distribution.manifest.list.v2",
    "docker.distribution.manifest.v2",
)
ACCEPT = f"Accept: {', '.join(f'application/vnd.{kind}+json' for kind in MANIFESTS)}"
OCI = "org.opencontainers.image."

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Box:
    """One host that builds images and pushes them.

    Args:
        name: of the host.
        ssh: runs a command there.
        environment: of commands.
        folder: for inventories.
        repository: registry and repository of most images here.
        contexts: bases that are replaced.
        said: what the last run printed.
    """

    name: str
    ssh: Run
    environment: dict[str, str]
    folder: Path
    repository: str
    contexts: Mapping[str, str]
    said: str = field(default="", init=False)

    def sh(self, script: str, *, check: bool = True) -> str:
        """Run a script as root."""
        done = self.ssh(self.name, f"sudo sh -c {shlex.quote(script)}", check)
        return str(done.stdout).strip()

    def inventory(self, *images: Mapping[str, Any], more: str = "", **block: Any) -> str:
        """Write an inventory of this host alone with these images, and return its file."""
        wanted = {"build": list(images), "contexts": dict(self.contexts), **block}
        # Named lab.py, so that the group data of the lab holds for it too.
        file = self.folder / "lab.py"
        file.write_text(
            textwrap.dedent(f"""
            from pathlib import Path as _Path
            _lab = {{}}
            exec(_Path("inventories/lab.py").read_text(), _lab)
            _own = {{"images": {wanted!r}}}
            builders = [(n, {{**d, **_own}}) for n, d in _lab["services"] if n == {self.name!r}]
            {more}
            """)
        )
        return str(file)

    def apply(
        self, *images: Mapping[str, Any], options: tuple[str, ...] = ("-y",), **block: Any
    ) -> int:
        """Deploy images; what was printed is in ``said``."""
        return self.run(
            "pyinfra", self.inventory(*images, **block), "deploys/images.py", *options
        ).returncode

    def run(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the project; what it printed is in ``said``."""
        done = subprocess.run(
            [str(SCRIPTS / command), *words],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        self.said = done.stdout + done.stderr
        return done

    def registry(self, path: str, *words: str) -> str:
        """Ask the registry itself, with root's login where it wants one."""
        host = self.repository.partition("/")[0]
        scheme = "http" if host.startswith("registry:") else "https"
        script = f"""
            file=/root/.docker/config.json ca=/etc/docker/certs.d/{host}/ca.crt
            auth=$(sed -n 's/.*"auth": *"\\(.*\\)".*/\\1/p' $file 2>/dev/null)
            [ ! -e $ca ] || set -- --cacert $ca -H "Authorization: Basic $auth"
            curl -s "$@" {shlex.join(words)} {scheme}://{host}/v2/{path}
        """
        return self.sh(script)

    @property
    def path(self) -> str:
        """Return the repository as the registry's paths name it."""
        return self.repository.partition("/")[2]

    def manifest(self, tag: str) -> dict[str, Any]:
        """Return the manifest that the registry has under a tag or digest."""
        found: dict[str, Any] = json.loads(
            self.registry(f"{self.path}/manifests/{tag}", "-H", ACCEPT)
        )
        return found

    def digest(self, tag: str) -> str:
        """Return what the registry has under a tag, or nothing."""
        answer = self.registry(f"{self.path}/manifests/{tag}", "-I", "-H", ACCEPT)
        found = re.search(r"docker-content-digest: (\S+)", answer, re.IGNORECASE)
        return found[1] if found and " 200" in answer.splitlines()[0] else ""

    def config(self, tag: str) -> dict[str, Any]:
        """Return the configuration that the registry has of an image for one platform."""
        blob = self.registry(f"{self.path}/blobs/{self.manifest(tag)['config']['digest']}", "-L")
        found: dict[str, Any] = json.loads(blob)
        return found

    def told(self) -> dict[str, str]:
        """Return digests by tag, as the last run told them."""
        name = re.escape(self.repository)
        return dict(re.findall(rf"{name}:(\S+) is {name}@(sha256:\w+)", self.said))

    def verify(self, file: str) -> dict[str, Any]:
        """Return what the verification of images says of this host, as plain data."""
        document = self.folder / "verified.json"
        words = ["tests/verify/test_images.py", "--inventory", file, "--verify-json", str(document)]
        self.run("pytest", *words, "-q", "-rA", "--tb=short")
        host: dict[str, Any] = json.loads(document.read_text())["hosts"][0]
        return host

    def requests(self) -> list[str]:
        """Return method and path of every request that the registry of this host has logged."""
        log = self.sh("docker logs registry 2>/dev/null")
        return re.findall(r'"([A-Z]+ /v2/\S*) HTTP/', log)


def commit(folder: Path, epoch: int) -> str:
    """Commit all that a folder holds, with a date, and return the commit."""
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    date = {f"GIT_{one}_DATE": f"{epoch} +0000" for one in ("AUTHOR", "COMMITTER")}
    for words in (("init", "-q"), ("add", "."), (*who, "commit", "-q", "-m", "a commit")):
        subprocess.run(
            ["git", *words], cwd=folder, env={**os.environ, **date}, check=True, timeout=60
        )
    said = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, timeout=60
    )
    return said.stdout.decode().strip()


def no_change(said: str) -> list[list[str]]:
    """Return the hosts where nothing changed, for each operation of a run with ``--json``."""
    results = json.JSONDecoder().raw_decode(said[said.index("{") :])[0]["results"]
    return [one["no_change"] for one in results["operations"]]
