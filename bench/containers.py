"""Measure how long a replaced container does not serve, and what reading many of them costs.

A prober on the host asks Redis again and again through its published port: what counts is the
longest time between two answers. Results go to bench/results/ as JSON lines, and to the terminal as
Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import compare
import raw
import table
import work
from lab import lab_host
from raw import Line

LIMIT = 900  # seconds for one step
COUNT = 20
GIBIBYTE = 1024
IMAGE = "registry:5000/redis:8"
STOP = "/run/uplift-bench-stop"

Host = dict[str, Any]

# One line a try: microseconds, and whether the server answered.
_PROBE = f"""
rm -f {STOP}
while [ ! -e {STOP} ]; do
  line=$(exec 3<>/dev/tcp/127.0.0.1/6379 && printf 'PING\\r\\n' >&3 &&
    read -t 1 -r said <&3 && echo "$said")
  case $line in -NOAUTH*) said=yes ;; *) said=no ;; esac
  echo "${{EPOCHREALTIME/[.,]/}} $said"
  sleep 0.01
done 2>/dev/null
"""


class Bench:
    """One host of a lab, and what is applied to it.

    Args:
        lab: its name.
        host: as ``uplift lab status --json`` shows it.
    """

    def __init__(self, lab: str, host: Host) -> None:
        self.host = host
        self.environment = {
            **os.environ,
            "UPLIFT_LAB": lab,
            "UPLIFT_SECRET_BENCH_REDIS": secrets.token_hex(16),
            "PYINFRA_PROGRESS": "off",
        }

    def sh(self, script: str) -> str:
        """Run a script on the host as root."""
        done = subprocess.run(
            [*compare.ssh(self.host), "sudo", "bash"],
            input=script,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        if done.returncode:
            sys.exit(f"{script}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def pyinfra(self, **what: Any) -> str:
        """Apply some work and return what was said."""
        words = ("inventories/lab.py", "bench/containers_deploy.py", "-y", "-vvv")
        done = subprocess.run(
            [str(compare.BIN / "pyinfra"), *words, "--limit", self.host["name"]],
            cwd=work.ROOT,
            env={**self.environment, "UPLIFT_BENCH": json.dumps(what)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        if done.returncode:
            sys.exit(f"pyinfra failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout + done.stderr

    def sessions(self) -> int:
        """Return how many commands and transfers the host's sshd has seen, this one included."""
        log = self.sh("journalctl -u ssh -o cat --no-pager")
        return len(re.findall(r"^Starting session: ", log, flags=re.MULTILINE))

    @contextmanager
    def probed(self) -> Iterator[list[float]]:
        """Give a list that holds, afterwards, the longest time without an answer in seconds."""
        found: list[float] = []
        words = [*compare.ssh(self.host), "sudo", "bash"]
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as prober:
            assert prober.stdin is not None and prober.stdout is not None
            prober.stdin.write(_PROBE)
            prober.stdin.close()
            first = prober.stdout.readline()
            try:
                yield found
                time.sleep(0.5)
            finally:
                self.sh(f"touch {STOP}")
            lines = [first, *prober.stdout.read().splitlines()]
        answered = [int(line.split()[0]) for line in lines if line.split()[1:] == ["yes"]]
        found.append(max(b - a for a, b in pairwise(answered)) / 1e6)


def redis(number: int) -> dict[str, Any]:
    """Return settings that differ from those of the number before."""
    return {
        "image": IMAGE,
        "volume": "uplift-bench",
        "password": {"secret": "bench/redis"},
        "maxmemory": f"{64 + number % 2}m",
    }


def many() -> list[dict[str, Any]]:
    """Return the settings of many small containers."""
    return [
        {
            "name": f"bench-{number}",
            "image": IMAGE,
            "subject": "bench",
            "entrypoint": ["sleep", "infinity"],
            "stop_timeout": 1,
            "health": {"stable": 0},
            "environment": {f"NAME_{at}": "value" for at in range(10)},
            "ports": [{"container": 80, "host": 20000 + number}],
        }
        for number in range(COUNT)
    ]


def clean(bench: Bench) -> None:
    """Take away what this benchmark makes."""
    bench.sh(
        "docker ps -aq --filter label=io.uplift.subject=bench | xargs -r docker rm -f\n"
        "docker rm -f redis 2>/dev/null\ndocker volume rm -f uplift-bench\n"
        "rm -rf /var/lib/uplift/containers/{redis,bench-*} /etc/uplift/secrets/{redis,bench-*}\n"
        "rm -rf $(docker info --format '{{.DockerRootDir}}')/uplift-copies/redis\n"
    )


def replacements(bench: Bench, repeat: int, megabytes: int) -> Iterator[Line]:
    """Measure the container's own stop and start, and our replacement, one after the other."""
    clean(bench)
    bench.pyinfra(redis=redis(0))
    if megabytes:
        bench.sh(f"docker exec redis sh -c 'head -c {megabytes}M /dev/urandom >/data/filler'; sync")
    for number in range(1, repeat + 1):
        load = raw.load()
        with bench.probed() as own:
            bench.sh("docker stop redis && docker start redis")
        with bench.probed() as ours:
            said = bench.pyinfra(redis=redis(number))
        told = re.search(r"healthy after ([0-9.]+) s", said)
        if told is None:
            sys.exit(f"it was not replaced:\n{said}")
        common = {"megabytes": megabytes, "repeat": number, **load}
        yield {"what": "stop and start", "seconds": round(own[0], 3), **common}
        seconds = {"seconds": round(ours[0], 3), "told": float(told[1])}
        yield {"what": "replacement", **seconds, **common}


def reading(bench: Bench, repeat: int) -> Iterator[Line]:
    """Measure runs with nothing to do on many containers, and the same without any."""
    clean(bench)
    work_ = many()
    bench.pyinfra(containers=work_)
    for number in range(1, repeat + 1):
        for what, containers in (("read 0 containers", []), (f"read {COUNT} containers", work_)):
            load = raw.load()
            before = bench.sessions()
            began = time.monotonic()
            said = bench.pyinfra(containers=containers) if containers else bench.pyinfra()
            seconds = time.monotonic() - began
            if containers and not re.search(r"Containers +1 +- +- +1 ", said):
                sys.exit(f"something was changed:\n{said}")
            yield {
                "what": what,
                "seconds": round(seconds, 3),
                # The second count counts itself.
                "commands": bench.sessions() - before - 1,
                "repeat": number,
                **load,
            }


def show(lines: list[Line]) -> None:
    """Print the results as Markdown."""
    raw.show_head(lines)
    found = [line for line in lines if "what" in line]
    print("\n| seconds without an answer | empty volume | 1 GiB in the volume |\n|---|---|---|")
    cells: dict[tuple[str, int], list[float]] = defaultdict(list)
    for line in (line for line in found if "megabytes" in line):
        cells[line["what"], line["megabytes"]].append(line["seconds"])
    for what in ("stop and start", "replacement"):
        row = " | ".join(table.cell(cells[what, size]) for size in (0, GIBIBYTE))
        print(f"| {what} | {row} |")
    print("\n| with nothing to do | seconds | remote commands |\n|---|---|---|")
    for what in sorted({line["what"] for line in found if "commands" in line}):
        own = [line for line in found if line["what"] == what]
        row = (table.cell([line[key] for line in own]) for key in ("seconds", "commands"))
        print(f"| {what} | {' | '.join(row)} |")


def measured(bench: Bench, repeat: int) -> Iterator[Line]:
    """Measure everything, and clean up."""
    yield from replacements(bench, repeat, 0)
    yield from replacements(bench, repeat, GIBIBYTE)
    yield from reading(bench, repeat)
    clean(bench)


def measure(given: argparse.Namespace) -> tuple[Line, Iterator[Line]]:
    """Bring the host up, and say what is measured there."""
    bench = Bench(given.lab, lab_host(given.lab, "redis", "docker"))
    docker = bench.sh("docker version --format '{{.Server.Version}}'")
    place = bench.sh("stat -f -c %T $(docker info --format '{{.DockerRootDir}}')")
    return {"docker": docker, "disk": place}, measured(bench, given.repeat)


if __name__ == "__main__":
    raw.measured("containers", measure, show, about=__doc__, lab="bench-c")
