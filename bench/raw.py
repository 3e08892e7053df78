"""Keep what a benchmark measures: a file of JSON lines, the first says where and when.

`measured` is the main function of a benchmark; `--table FILE` prints what an earlier run kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import table

Line = dict[str, Any]

RESULTS = Path(__file__).parent / "results"


def load() -> Line:
    """Return how many processes have wanted to run lately: 1 minute's mean, from getloadavg(3)."""
    return {"load_before": round(os.getloadavg()[0], 2)}


def measured(
    name: str,
    measure: Callable[[argparse.Namespace], tuple[Mapping[str, Any], Iterable[Line]]],
    show: Callable[[list[Line]], None],
    *,
    about: str,
    lab: str = "",
    repeat: int = 5,
) -> None:
    """Measure, keep each result as it comes, and show all; or show those of an earlier run.

    Args:
        name: of the benchmark, in the name of its file.
        measure: returns what the first line says, and yields the others.
        show: prints all lines.
        about: the benchmark's docstring.
        lab: its own lab; without one there is no `--lab`.
        repeat: how often each thing is measured, when nobody says.
    """
    parser = argparse.ArgumentParser(description=about)
    if lab:
        parser.add_argument("--lab", default=lab, help="which lab; made when it is not there")
    parser.add_argument("--repeat", type=int, default=repeat)
    parser.add_argument("--table", type=_lines, metavar="FILE", help="only print these results")
    given = parser.parse_args()
    if given.table:
        show(given.table)
        return
    head, lines = measure(given)
    show(keep(name, head, lines))


def keep(name: str, head: Mapping[str, Any], lines: Iterable[Line]) -> list[Line]:
    """Write lines as they come, and return all with the head.

    Args:
        name: of the benchmark.
        head: what was measured, on what.
        lines: one for each measurement.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    kept = [{"date": now, **head, "kernel": platform.release(), "cpus": os.cpu_count()}]
    file = RESULTS / f"{now}-{name}.jsonl"
    with file.open("x") as out:
        print(json.dumps(kept[0]), file=out, flush=True)
        for line in lines:
            kept.append(line)
            print(json.dumps(line), file=out, flush=True)
            print(line, file=sys.stderr)
    print(f"{file}\n")
    return kept


def show_head(lines: list[Line]) -> None:
    """Print what the first line says, and the machine's load while the others were measured."""
    print("; ".join(f"{key} {value}" for key, value in lines[0].items()))
    loads = [line["load_before"] for line in lines if "load_before" in line]
    print(f"\nLoad of the machine before each measurement: {table.cell(loads)}.")


def _lines(name: str) -> list[Line]:
    """Read a file of results, for argparse."""
    try:
        return [json.loads(line) for line in Path(name).read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{name}: {error}") from None
