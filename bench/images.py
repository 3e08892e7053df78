"""Measure builds of the same project with pip, Poetry and uv, and how the images start.

By the Dockerfiles of this project. What is timed is `docker buildx build` alone, on the host: no
search for secrets, no push. Results go to bench/results/ as JSON lines, and to the terminal as
Markdown.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import raw
import table
import work
from lab import lab_host
from project import BUILDERS, PORT, Builder, Project
from raw import Line

IMAGE = "bench/image"
CONTAINER = "bench-start"
# What changes before a build, in the order in which they are measured.
CASES = ("cold", "nothing changed", "source changed", "dependency changed")
START = "start to ready"

# Prints microseconds until it answers, its own processor time until then, and bytes in memory.
_START = f"""
set -e
docker rm -f {CONTAINER} >/dev/null 2>&1
began=$EPOCHREALTIME
docker run -d --name {CONTAINER} -p 127.0.0.1:18000:{PORT} {IMAGE} >/dev/null
for try in $(seq 3000); do
  curl -sf -o /dev/null http://127.0.0.1:18000/readyz && break
  sleep 0.02
done
ended=$EPOCHREALTIME
process=/proc/$(docker inspect -f '{{{{.State.Pid}}}}' {CONTAINER})
group=/sys/fs/cgroup$(sed -n 's/^0:://p' $process/cgroup)
cpu=$(sed -n 's/^usage_usec //p' $group/cpu.stat)
kibibytes=$(sed -n 's/^RssAnon:[^0-9]*\\([0-9]*\\) kB/\\1/p' $process/status)
echo $((${{ended/./}} - ${{began/./}})) $cpu $((kibibytes * 1024))
docker rm -f {CONTAINER} >/dev/null
"""


def measured(builder: Builder, repeat: int) -> Iterator[Line]:
    """Build all cases with each builder; who begins alternates."""
    with tempfile.TemporaryDirectory() as folder:
        old, new = (Project.write(Path(folder, it), idna=it) for it in ("3.10", "3.9"))
        for number in range(1, repeat + 1):
            order = BUILDERS[number % 3 :] + BUILDERS[: number % 3]
            for name in order if number % 2 else order[::-1]:
                builder.forget(IMAGE)
                for case in CASES:
                    project = new if case == "dependency changed" else old
                    project.change_code(number if case in CASES[2:] else 0)
                    before = raw.load()
                    built = asdict(builder.build(name, project, IMAGE))
                    yield {"what": case, "builder": name, "repeat": number, **built, **before}
                yield {"builder": name, "repeat": number, **started(builder)}
    builder.forget(IMAGE)


def started(builder: Builder) -> Line:
    """Start the image that was built last, and measure until it answers that it is ready."""
    before = raw.load()
    microseconds, cpu, memory = map(int, builder.sh(_START).split())
    return {
        "what": START,
        "seconds": round(microseconds / 1e6, 3),
        "cpu": round(cpu / 1e6, 3),
        "memory": memory,
        **before,
    }


def show(lines: list[Line]) -> None:
    """Print the results as Markdown."""
    raw.show_head(lines)
    for title, key in (("seconds", "seconds"), ("CPU seconds of the host", "cpu")):
        print(f"\n| {title} | {' | '.join(BUILDERS)} |\n|---|---|---|---|")
        for case in (*CASES, START):
            cells = (cell(lines, case, name, key) for name in BUILDERS)
            print(f"| {case} | {' | '.join(cells)} |")
    print(f"\n| megabytes | {' | '.join(BUILDERS)} |\n|---|---|---|---|")
    for title, case, key in (
        ("image, unpacked", CASES[0], "size"),
        ("memory of its own when ready", START, "memory"),
    ):
        cells = (cell(lines, case, name, key, 1e6) for name in BUILDERS)
        print(f"| {title} | {' | '.join(cells)} |")


def cell(lines: list[Line], what: str, builder: str, key: str, by: float = 1) -> str:
    """Return what was measured of one case with one builder."""
    own = [line for line in lines if (line.get("what"), line.get("builder")) == (what, builder)]
    return table.cell([line[key] / by for line in own])


def measure(given: argparse.Namespace) -> tuple[Line, Iterator[Line]]:
    """Bring the host up, and say what is measured there."""
    os.chdir(work.ROOT)  # templates are found from there
    builder = Builder(lab_host(given.lab, "python", "certificates", "docker"))
    docker = builder.sh("docker version --format '{{.Server.Version}}'")
    return {"docker": docker}, measured(builder, given.repeat)


if __name__ == "__main__":
    raw.measured("images", measure, show, about=__doc__, lab="bench-i")
