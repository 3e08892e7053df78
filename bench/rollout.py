"""Measure what waves, events, journal and table cost the controller, by number of hosts.

Hosts are simulated by pyinfra's fake connector (each command takes 50 ms and does nothing): what is
measured is the controller alone, without locks and gates, which talk to real hosts. Each number of
hosts is run as plain pyinfra, and in waves of one host, a quarter and the rest. Each run is a
process of its own, whose CPU and memory the kernel counts, children included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COUNTS = (25, 50, 100, 200)
LIMIT = 900  # seconds for one run
INVENTORY = """
data = {{"fake_delay": 0.05, "fake_delay_jitter": 0}}
fleet = [(f"@fake/web-{{n}}", data) for n in range({count})]
"""
DEPLOY = """
from pyinfra.operations import server

for number in range(5):
    server.shell(name=f"Step {number}", commands=["true"])
"""


def plain(folder: Path) -> None:
    """Run pyinfra as a person would."""
    words = [sys.executable, "-m", "pyinfra", "inventory.py", "deploy.py", "-y"]
    with (folder / "log").open("wb") as log:
        subprocess.run(words, cwd=folder, stdout=log, stderr=log, timeout=LIMIT, check=True)


def waves(folder: Path) -> None:
    """Run the same in waves, with the journal's records and the live table of `uplift rollout`."""
    from rich.console import Console

    from uplift.cli import watching
    from uplift.remote import inventory
    from uplift.rollout import child
    from uplift.rollout.journal import Journal
    from uplift.spec.rollout.waves import divided

    watching.progress = Console(file=(folder / "table").open("w"), force_terminal=True)
    found = divided(inventory.hosts("inventory.py"), ["1", "25%", "100%"])
    request = {"waves": found, "inventory": "inventory.py", "deploys": ["deploy.py"], "actor": "b"}
    with (
        watching.LiveTable() as table,
        Journal.begin(request, table.tell, folder / "runs") as journal,
    ):
        for number, names in enumerate(found, start=1):
            journal.write("wave", wave=number, hosts=names)
            for name in names:
                journal.write("intent", host=name)
            outcome = child.run(
                "inventory.py",
                ["deploy.py"],
                names,
                log=folder / f"wave-{number}.log",
                on_event=lambda event: table.tell({"kind": "event", "event": event}),
            )
            if not outcome.ok:
                raise SystemExit(outcome.text)
            for kind in ("done", "verified", "committed"):
                for name in names:
                    journal.write(kind, host=name)


WAYS = {"plain pyinfra": plain, "waves": waves}


def measured(way: str, count: int) -> dict[str, Any]:
    """Run one way in a process of its own, and return what it cost.

    Args:
        way: a key of ``WAYS``.
        count: hosts.
    """
    with tempfile.TemporaryDirectory(prefix="uplift-bench-") as folder:
        Path(folder, "inventory.py").write_text(INVENTORY.format(count=count))
        Path(folder, "deploy.py").write_text(DEPLOY)
        words = [sys.executable, str(HERE / "rollout.py"), "--one", way, folder]
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        return {"way": way, "hosts": count, **json.loads(done.stdout.splitlines()[-1])}


def one(way: str, folder: Path) -> None:
    """Run a way in this process, and print what it cost as JSON."""
    begun = time.monotonic()
    WAYS[way](folder)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(
        json.dumps(
            {
                "seconds": round(time.monotonic() - begun, 2),
                "cpu": round(sum(it.ru_utime + it.ru_stime for it in used), 2),
                "memory_mib": round(max(it.ru_maxrss for it in used) / 1024),
            }
        )
    )


def table(lines: list[Mapping[str, Any]]) -> str:
    """Return the middle of each measurement as Markdown."""
    rows = [
        "| hosts | way | seconds | CPU seconds | CPU a host | MiB |",
        "|---|---|---|---|---|---|",
    ]
    for count in sorted({line["hosts"] for line in lines}):
        for way in WAYS:
            own = [line for line in lines if (line["way"], line["hosts"]) == (way, count)]
            seconds, cpu, memory = (
                sorted(line[key] for line in own)[len(own) // 2]
                for key in ("seconds", "cpu", "memory_mib")
            )
            rows.append(
                f"| {count} | {way} | {seconds:.1f} | {cpu:.1f} | {cpu / count:.3f} | {memory} |"
            )
    return "\n".join(rows)


def main() -> None:
    """Measure, keep the raw results, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print earlier results")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one[0], Path(given.one[1]))
        return
    if given.table:
        print(table([json.loads(line) for line in given.table.read_text().splitlines()]))
        return
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    file = HERE / "results" / f"{stamp}-rollout.jsonl"
    lines = []
    with file.open("w") as kept:
        for turn in range(given.repeat):
            for count in COUNTS:
                for way in sorted(WAYS, reverse=bool(turn % 2)):
                    lines.append(measured(way, count))
                    print(json.dumps(lines[-1]), file=kept, flush=True)
    print(table(lines))


if __name__ == "__main__":
    main()
