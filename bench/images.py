"""Measure builds of the same project with pip, Poetry and uv, by the Dockerfiles of this project.

What is timed is `docker buildx build` alone, on the host: no search for secrets, no push. Results
go to bench/results/ as JSON lines, and to the terminal as Markdown; `--table FILE` prints those of
an earlier run.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import compare
import table
import work
from containers import lab_host

from uplift import controller
from uplift.operations.images_work import archive, collect
from uplift.spec.images import Images

LIMIT = 1800  # seconds for one step
BASE = "registry:5000/python:3.13-slim"
FOLDER = "/srv/uplift-bench-images"
BUILDERS = ("pip", "poetry", "uv")
POETRY = "poetry==2.5.1"
# What changes before a build, in the order in which they are measured.
CASES = ("cold", "nothing changed", "source changed", "dependency changed")

Line = dict[str, Any]

PYPROJECT = """
[project]
name = "bench"
version = "1.0.0"
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
CODE = "import fastapi\n\ndef main() -> None:\n    print(fastapi.__version__, {number})\n"


def project(folder: Path, idna: str) -> Path:
    """Write the project with a version of one dependency, and its locks of all three tools."""
    index = controller.python_remote() + "simple/"
    (folder / "src/bench").mkdir(parents=True)
    (folder / "src/bench/__init__.py").write_text(CODE.format(number=0))
    (folder / "pyproject.toml").write_text(PYPROJECT.format(idna=idna, index=index))
    uv = str(compare.BIN / "uv")
    export = [uv, "export", "--quiet", "--no-emit-project", "-o", "requirements.txt"]
    for words in ([uv, "lock"], export, [uv, "tool", "run", "--from", POETRY, "poetry", "lock"]):
        subprocess.run(words, cwd=folder, check=True, timeout=LIMIT, capture_output=True)
    return folder


class Bench:
    """One host of a lab that builds.

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

    def build(self, builder: str, source: Path) -> tuple[float, int]:
        """Build and return seconds, and bytes of the image."""
        image = {
            "name": "bench/image",
            "version": "1.0.0",
            "builder": builder,
            "source": str(source),
            "entry_point": ["bench"],
            "ca_files": controller.certificates(),
        }
        settings = Images.parse({"build": [image]}, path="images")
        packed = base64.b64encode(archive(collect(settings)[0])).decode()
        # A folder of its own: BuildKit takes a file of the same size and date for the same.
        folder = f"{FOLDER}/{token_hex(4)}"
        self.sh(f"rm -rf {FOLDER}; mkdir -p {folder}; base64 -d | tar -x -C {folder}", packed)
        said = self.sh(
            f"cd {folder}; began=$EPOCHREALTIME; docker buildx build -q --load --provenance=false "
            f"--network host --build-context python:3.13-slim=docker-image://{BASE} "
            "--build-context installer=installer --build-context authorities=authorities "
            "-t bench/image -f Dockerfile source >/dev/null; ended=$EPOCHREALTIME; "
            "echo ${began/./} ${ended/./} $(docker image inspect -f '{{.Size}}' bench/image)"
        )
        began, ended, size = map(int, said.split())
        return (ended - began) / 1e6, size


def measured(bench: Bench, repeat: int) -> Iterator[Line]:
    """Build all cases with each builder; who begins alternates."""
    with tempfile.TemporaryDirectory() as folder:
        old, new = (project(Path(folder, it), it) for it in ("3.10", "3.9"))
        for number in range(1, repeat + 1):
            order = BUILDERS[number % 3 :] + BUILDERS[: number % 3]
            for builder in order if number % 2 else order[::-1]:
                bench.sh("docker image rm -f bench/image; docker buildx prune -af")
                for case in CASES:
                    source = new if case == "dependency changed" else old
                    file = source / "src/bench/__init__.py"
                    changed = number if case in CASES[2:] else 0
                    file.write_text(CODE.format(number=changed))
                    load = round(os.getloadavg()[0], 2)
                    seconds, size = bench.build(builder, source)
                    yield {
                        "what": case,
                        "builder": builder,
                        "seconds": round(seconds, 3),
                        "bytes": size,
                        "repeat": number,
                        "load_before": load,
                    }
    bench.sh(f"docker image rm -f bench/image; docker buildx prune -af; rm -rf {FOLDER}")


def show(lines: list[Line]) -> None:
    """Print the results as Markdown."""
    for first in (line for line in lines if "what" not in line):
        print("; ".join(f"{key} {value}" for key, value in first.items()))
    found = [line for line in lines if "what" in line]
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    sizes: dict[str, list[float]] = defaultdict(list)
    for line in found:
        seconds[line["what"], line["builder"]].append(line["seconds"])
        sizes[line["builder"]].append(line["bytes"] / 1e6)
    print(f"\n| seconds | {' | '.join(BUILDERS)} |\n|---|---|---|---|")
    for case in CASES:
        print(f"| {case} | {' | '.join(table.cell(seconds[case, it]) for it in BUILDERS)} |")
    print(f"| size in MB | {' | '.join(table.cell(sizes[it]) for it in BUILDERS)} |")
    print(
        f"\nLoad of the machine before a build: {table.cell([it['load_before'] for it in found])}."
    )


def main() -> None:
    """Measure, and write results as they come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab", default="bench-i", help="which lab; made when it is not there")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print these results")
    arguments = parser.parse_args()
    if arguments.table:
        show([json.loads(line) for line in arguments.table.read_text().splitlines()])
        return
    os.chdir(work.ROOT)  # templates are found from there
    bench = Bench(lab_host(arguments.lab, "python", "certificates", "docker"))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    results = work.ROOT / "bench" / "results" / f"{now}-images.jsonl"
    docker = bench.sh("docker version --format '{{.Server.Version}}'")
    lines: list[Line] = [{"date": now, "docker": docker, "cpus": os.cpu_count()}]
    with results.open("x") as out:
        print(json.dumps(lines[0]), file=out, flush=True)
        for line in measured(bench, arguments.repeat):
            lines.append(line)
            print(json.dumps(line), file=out, flush=True)
            print(line, file=sys.stderr)
    show(lines)
    print(results)


if __name__ == "__main__":
    main()
