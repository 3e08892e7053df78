"""Measure what it costs to configure a new Nexus, and to find that nothing is left to do.

The same state with uplift, OpenTofu and the Ansible collection, each on a new server of its own.
Requests and writes are those of the server's own log. A tool that is not to be had is named with
the reason, and has no numbers. Results go to bench/results/ as JSON lines, and to the terminal as
Markdown; `--table FILE` prints those of an earlier run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import compare
import table
import work
from nexus_server import VERSION, Server, call, done
from nexus_ways import WAYS, NotToBeHadError, Way

Line = dict[str, Any]


def measure(way: Way, server: Server, repeat: int) -> Iterator[Line]:
    """Apply the state twice to a new server; count what it saw."""
    with tempfile.TemporaryDirectory() as name:
        way.get(Path(name))
        server.start()
        if not way.sets_first_password:
            server.set_first_password()
        for run in ("first", "second"):
            load = round(os.getloadavg()[0], 2)
            before = len(server.requests_so_far())
            began = time.monotonic()
            way.apply(server, Path(name))
            seconds = time.monotonic() - began
            new = server.requests_so_far()[before:]
            server.check()
            yield {
                "way": way.title,
                "run": run,
                "repeat": repeat,
                "requests": len(new),
                "writes": sum(method not in ("GET", "HEAD") for method in new),
                "seconds": round(seconds, 3),
                "load_before": load,
            }


def every(server: Server, repeats: int) -> Iterator[Line]:
    """Measure all ways in turn; one that is not to be had is told once."""
    missing: set[str] = set()
    for repeat in range(1, repeats + 1):
        for way in WAYS:
            if way.title in missing:
                continue
            try:
                yield from measure(way, server, repeat)
            except NotToBeHadError as reason:
                missing.add(way.title)
                yield {"skipped": way.title, "reason": str(reason)}
    server.remove()


def show(lines: list[Line]) -> None:
    """Print the results as Markdown."""
    print("; ".join(f"{key} {value}" for key, value in lines[0].items()))
    columns = ("requests", "writes", "seconds")
    heads = [f"{column}, {run}" for run in ("first", "second") for column in columns]
    print(f"\n| {VERSION} |", " | ".join(heads), "|")
    print("|---" * (len(heads) + 1) + "|")
    for title in dict.fromkeys(line["way"] for line in lines if "way" in line):
        own = [line for line in lines if line.get("way") == title]
        cells = (
            table.cell([line[column] for line in own if line["run"] == run])
            for run in ("first", "second")
            for column in columns
        )
        print(f"| {title} |", " | ".join(cells), "|")
    for line in (line for line in lines if "skipped" in line):
        print(f"\n{line['skipped']} was not measured: {line['reason']}.")
    loads = [line["load_before"] for line in lines if "way" in line]
    print(f"\nLoad of the machine before a run: {table.cell(loads)}.")


def lab_host(name: str) -> dict[str, Any]:
    """Bring up the lab and return its first host, with Docker and the image it needs."""
    uplift = compare.BIN / "uplift"
    found = json.loads(done(call(uplift, "lab", "up", "--name", name, "--hosts", "1", "--json")))
    done(call(uplift, "lab", "image", f"nexus:{VERSION}", "--name", name))
    host: dict[str, Any] = found["hosts"][0]
    words = ("inventories/lab.py", "deploys/docker.py", "-y", "--limit", host["name"])
    done(call(compare.BIN / "pyinfra", *words, env={"UPLIFT_LAB": name}))
    return host


def main() -> None:
    """Measure, and write results as they come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab", default="bench-n", help="which lab; made when it is not there")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print these results")
    arguments = parser.parse_args()
    if arguments.table:
        show([json.loads(line) for line in arguments.table.read_text().splitlines()])
        return
    server = Server(arguments.lab, lab_host(arguments.lab))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    results = work.ROOT / "bench" / "results" / f"{now}-nexus.jsonl"
    head = {"date": now, "nexus": VERSION, "cpus": os.cpu_count()}
    lines: list[Line] = [head]
    with results.open("x") as out:
        print(json.dumps(head), file=out, flush=True)
        for line in every(server, arguments.repeat):
            lines.append(line)
            print(json.dumps(line), file=out, flush=True)
            print(line, file=sys.stderr)
    show(lines)
    print(results)


if __name__ == "__main__":
    main()
