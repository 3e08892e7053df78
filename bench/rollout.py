"""Measure what a rollout costs the controller on top of pyinfra and the tests.

`fleet`: hosts simulated by pyinfra's fake connector, where each command takes 50 ms and does
nothing: the controller alone, by number of hosts, as plain pyinfra and as a rollout in waves of one
host, a quarter and the rest. The rollout is all of `uplift rollout` but SSH and tests: the look
before the start, the engine, the journal, the records on hosts, a sign of life of the locks, the
live table. How long it told nothing, and how long its table stood still, is measured as well.

`unchanged`: a deploy with nothing to do on one real host of a lab, as plain pyinfra, its tests
alone, and as a rollout with these tests before and after.

Each run is a process of its own, whose CPU and memory the kernel counts, children included. Results
go to bench/results/ as JSON lines, and to the terminal as Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import compare
import raw
import table
import work
from lab import lab_host
from raw import Line
from rollout_one import LIMIT, WAYS

HERE = Path(__file__).parent
COUNTS = (25, 50, 100, 200)
INVENTORY = """
data = {{"fake_delay": 0.05, "fake_delay_jitter": 0}}
fleet = [(f"@fake/web-{{n}}", data) for n in range({count})]
"""
DEPLOY = """
from pyinfra.operations import server

for number in range(5):
    server.shell(name=f"Step {number}", commands=["true"])
"""
# Only for names that begin with @, as all of these do: real hosts do not pay for it.
CONFIG = """
from functools import cache

from pyinfra.api import inventory

# pyinfra looks through all installed packages for connectors, again for each such name.
inventory.get_all_connectors = cache(inventory.get_all_connectors)
"""
LAB = "inventories/lab.py"
PART = "deploys/docker.py"
GATE = "tests/verify/test_docker.py"


def fleet(way: str, count: int) -> Line:
    """Run simulated hosts one way.

    Args:
        way: a key of ``WAYS``.
        count: hosts.
    """
    with tempfile.TemporaryDirectory(prefix="uplift-bench-") as folder:
        for name, text in (
            ("inventory.py", INVENTORY.format(count=count)),
            ("deploy.py", DEPLOY),
            ("config.py", CONFIG),
        ):
            Path(folder, name).write_text(text)
        load = raw.load()
        words = [sys.executable, str(HERE / "rollout_one.py"), way]
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        cost = json.loads(done.stdout.splitlines()[-1])
        return {"part": "fleet", "way": way, "hosts": count, **cost, **load}


def unchanged(host: dict[str, Any]) -> dict[str, list[str]]:
    """Return the commands that are compared on a host where nothing is to be done."""
    name = ("--limit", host["name"])
    uplift = str(compare.BIN / "uplift")
    return {
        "plain pyinfra": [str(compare.BIN / "pyinfra"), LAB, PART, "-y", *name],
        "tests alone": [uplift, "verify", LAB, "--tests", GATE, *name],
        "rollout": [uplift, "rollout", LAB, PART, "-y", "--gate", GATE, *name],
    }


def timed(way: str, words: list[str], lab: str) -> Line:
    """Run a command, and return what it cost."""
    load = raw.load()
    before, began = os.times(), time.monotonic()
    done = subprocess.run(
        words,
        cwd=work.ROOT,
        env={**os.environ, "UPLIFT_LAB": lab, "PYINFRA_PROGRESS": "off"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    seconds, after = time.monotonic() - began, os.times()
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    cost = {"seconds": round(seconds, 2), "cpu": round(sum(after[2:4]) - sum(before[2:4]), 2)}
    return {"part": "unchanged", "way": way, "hosts": 1, **cost, **load}


def measured(host: dict[str, Any], given: argparse.Namespace) -> Iterator[Line]:
    """Run all ways in turn; who begins alternates."""
    commands = unchanged(host)
    for turn in range(given.repeat):
        for count in COUNTS:
            for way in sorted(WAYS, reverse=bool(turn % 2)):
                yield {"repeat": turn + 1, **fleet(way, count)}
        for way in sorted(commands, reverse=bool(turn % 2)):
            yield {"repeat": turn + 1, **timed(way, commands[way], given.lab)}


def show(lines: list[Line]) -> None:
    """Print the middle of each measurement as Markdown."""
    raw.show_head(lines)
    columns = ("seconds", "CPU seconds", "CPU milliseconds a host", "MiB")
    print(f"\n| simulated hosts | way | {' | '.join(columns)} |\n|---|---|---|---|---|---|")
    for count in COUNTS:
        for way in WAYS:
            own = _of(lines, "fleet", way, count)
            values = (
                [line["seconds"] for line in own],
                [line["cpu"] for line in own],
                [line["cpu"] / count * 1000 for line in own],
                [float(line["memory_mib"]) for line in own],
            )
            print(f"| {count} | {way} | {' | '.join(map(table.cell, values))} |")
    show_still(lines)
    print("\n| nothing to do on a host | seconds | CPU seconds |\n|---|---|---|")
    for way in ("plain pyinfra", "tests alone", "rollout"):
        own = _of(lines, "unchanged", way, 1)
        cells = (table.cell([line[key] for line in own]) for key in ("seconds", "cpu"))
        print(f"| {way} | {' | '.join(cells)} |")


def show_still(lines: list[Line]) -> None:
    """Print how long a rollout told nothing, where that was measured."""
    own = {count: _of(lines, "fleet", "waves", count) for count in COUNTS}
    if not all("silent" in line for some in own.values() for line in some):
        return
    print("\n| simulated hosts | told | longest without a word, s | after | table stood still, s |")
    print("|---|---|---|---|---|")
    for count, some in own.items():
        after = ", ".join(sorted({line["silent_after"] for line in some}))
        cells = [table.cell([line[key] for line in some]) for key in ("told", "silent")]
        still = table.cell([line["table_still"] for line in some])
        print(f"| {count} | {' | '.join(cells)} | {after} | {still} |")


def _of(lines: list[Line], part: str, way: str, hosts: int) -> list[Line]:
    wanted = {"part": part, "way": way, "hosts": hosts}
    return [line for line in lines if wanted.items() <= line.items()]


def measure(given: argparse.Namespace) -> tuple[Line, Iterator[Line]]:
    """Bring the host up, and say what is measured."""
    host = lab_host(given.lab, "registry", "certificates", "docker")
    versions = {"python": platform.python_version(), "pyinfra": metadata.version("pyinfra")}
    return versions, measured(host, given)


if __name__ == "__main__":
    raw.measured("rollout", measure, show, about=__doc__, lab="bench-r", repeat=5)
