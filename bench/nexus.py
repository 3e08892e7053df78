"""Measure what it costs to configure a new Nexus, and to find that nothing is left to do.

The same state with uplift, OpenTofu and the Ansible collection, each on a new server of its own.
Requests and writes are those of the server's own log. A tool that is not to be had is named with
the reason, and has no numbers. Results go to bench/results/ as JSON lines, and to the terminal as
Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import raw
import table
from lab import lab_host
from nexus_server import VERSION, Server
from nexus_ways import WAYS, NotToBeHadError, Way
from raw import Line


def measure(way: Way, server: Server, repeat: int) -> Iterator[Line]:
    """Apply the state twice to a new server; count what it saw."""
    with tempfile.TemporaryDirectory() as name:
        way.get(Path(name))
        server.start()
        if not way.sets_first_password:
            server.set_first_password()
        for run in ("first", "second"):
            load = raw.load()
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
                **load,
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
    raw.show_head(lines)
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


def measure_all(given: argparse.Namespace) -> tuple[Line, Iterator[Line]]:
    """Bring the host up, and say what is measured there."""
    server = Server(given.lab, lab_host(given.lab, f"nexus:{VERSION}", "docker"))
    return {"nexus": VERSION}, every(server, given.repeat)


if __name__ == "__main__":
    raw.measured("nexus", measure_all, show, about=__doc__, lab="bench-n", repeat=3)
