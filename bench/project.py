"""A project that pip, Poetry and uv install alike, and a host that builds images of it."""

from __future__ import annotations

import base64
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import compare

from uplift import controller
from uplift.operations.images_work import archive, collect
from uplift.spec.images import Images

LIMIT = 1800  # seconds for one step
BASE = "registry:5000/python:3.13-slim"
BUILDERS = ("pip", "poetry", "uv")
PORT = 8000
_FOLDER = "/srv/uplift-bench-images"
_POETRY = "poetry==2.5.1"

_PYPROJECT = """
[project]
name = "bench"
version = "{version}"
requires-python = ">=3.11,<4"
dependencies = [
  "fastapi==0.115.6", "uvicorn==0.34.0", "httpx==0.28.1", "redis==5.2.1", "idna=={idna}",
]
scripts = {{ bench = "bench:main" }}

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[[tool.poetry.source]]
name = "mirror"
url = "{index}"
priority = "primary"
"""
_CODE = f'''"""Answers that it is ready, and which version it is."""

from importlib.metadata import version

import fastapi
import httpx
import redis.asyncio
import uvicorn

NUMBER = {{number}}
VERSION = version("bench")
app = fastapi.FastAPI()


@app.get("/readyz")
async def ready() -> dict[str, str]:
    return {{{{"status": "ready"}}}}


@app.get("/version")
async def which() -> dict[str, str]:
    return {{{{"version": VERSION}}}}


def main() -> None:
    uvicorn.run(app, host="0.0.0.0", port={PORT}, access_log=False)
'''


@dataclass(frozen=True)
class Project:
    """The project in a folder, with the locks of all three tools.

    Args:
        folder: where it is.
    """

    folder: Path

    @classmethod
    def write(cls, folder: Path, *, version: str = "1.0.0", idna: str = "3.10") -> Project:
        """Write it with its own version and that of one dependency."""
        index = controller.python_remote() + "simple/"
        (folder / "src/bench").mkdir(parents=True)
        text = _PYPROJECT.format(version=version, idna=idna, index=index)
        (folder / "pyproject.toml").write_text(text)
        written = cls(folder)
        written.change_code(0)
        uv = str(compare.BIN / "uv")
        export = [uv, "export", "--quiet", "--no-emit-project", "-o", "requirements.txt"]
        for words in (
            [uv, "lock"],
            export,
            [uv, "tool", "run", "--from", _POETRY, "poetry", "lock"],
        ):
            subprocess.run(words, cwd=folder, check=True, timeout=LIMIT, capture_output=True)
        return written

    def change_code(self, number: int) -> None:
        """Write the same code for the same number."""
        (self.folder / "src/bench/__init__.py").write_text(_CODE.format(number=number))


@dataclass(frozen=True)
class Built:
    """What a build took.

    Args:
        seconds: from the call of `docker buildx build` to its end.
        cpu: seconds of processor time that the whole host used meanwhile, from its cgroup.
        size: bytes of the image, unpacked.
    """

    seconds: float
    cpu: float
    size: int


class Builder:
    """A host of a lab that builds.

    Args:
        host: as ``uplift lab status --json`` shows it.
    """

    def __init__(self, host: dict[str, Any]) -> None:
        self.host = host

    def sh(self, script: str, sent: str = "") -> str:
        """Run a script on the host as root, with some standard input."""
        done = subprocess.run(
            [*compare.ssh(self.host), f"sudo bash -c {shlex.quote(script)}"],
            input=sent,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        if done.returncode:
            sys.exit(f"{script}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout.strip()

    def build(self, builder: str, project: Project, tag: str) -> Built:
        """Build an image by the Dockerfile of this project for a builder."""
        image = {
            "name": "bench/image",
            "version": "1.0.0",
            "builder": builder,
            "source": str(project.folder),
            "entry_point": ["bench"],
            "ca_files": controller.certificates(),
        }
        settings = Images.parse({"build": [image]}, path="images")
        packed = base64.b64encode(archive(collect(settings)[0])).decode()
        # A folder of its own: BuildKit takes a file of the same size and date for the same.
        folder = f"{_FOLDER}/{token_hex(4)}"
        self.sh(f"rm -rf {_FOLDER}; mkdir -p {folder}; base64 -d | tar -x -C {folder}", packed)
        used = "$(sed -n 's/^usage_usec //p' /sys/fs/cgroup/cpu.stat)"
        said = self.sh(
            f"set -e; cd {folder}; cpu={used}; began=$EPOCHREALTIME; "
            "docker buildx build -q --load --provenance=false "
            f"--label io.uplift.builder={builder} "
            f"--network host --build-context python:3.13-slim=docker-image://{BASE} "
            "--build-context installer=installer --build-context authorities=authorities "
            f"-t {tag} -f Dockerfile source >/dev/null; ended=$EPOCHREALTIME; "
            f"echo $((${{ended/./}} - ${{began/./}})) $(({used} - cpu)) "
            f"$(docker image inspect -f '{{{{.Size}}}}' {tag})"
        )
        microseconds, cpu, size = map(int, said.split())
        return Built(round(microseconds / 1e6, 3), round(cpu / 1e6, 3), size)

    def forget(self, *tags: str) -> None:
        """Take images and all that BuildKit keeps away."""
        self.sh(f"docker image rm -f {' '.join(tags)}; docker buildx prune -af; rm -rf {_FOLDER}")
