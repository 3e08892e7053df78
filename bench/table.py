"""Print the results of a run of the benchmark as Markdown tables: table.py FILE…"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

Column = tuple[int, str]
Cells = Mapping[tuple[str, int, str], list[float]]


def cell(values: list[float]) -> str:
    """Return the median, with the smallest and largest value where there are several."""
    if not values:
        return ""
    spread = f" ({min(values):.1f}-{max(values):.1f})" if len(values) > 1 else ""
    return f"{median(values):.1f}{spread}"


def gather(lines: list[dict[str, Any]], key: str) -> Cells:
    """Return the values of one measure by way, number of hosts and run."""
    found: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for line in lines:
        found[line["way"], line["hosts"], line["run"]].append(line[key])
    return found


def table(title: str, lines: list[dict[str, Any]], key: str) -> None:
    """Print one measure: a row for each way, a column for each number of hosts and run."""
    cells = gather(lines, key)
    counts = sorted({line["hosts"] for line in lines})
    columns: list[Column] = [(count, run) for count in counts for run in ("first", "second")]
    heads = [f"{count} host{'s' * (count > 1)}, {run}" for count, run in columns]
    print(f"\n| {title} |", " | ".join(heads), "|")
    print("|---" * (len(heads) + 1) + "|")
    for way in sorted({line["way"] for line in lines}, key=WAYS.index):
        print(f"| {way} |", " | ".join(cell(cells[way, *column]) for column in columns), "|")


WAYS = ["ssh floor", "uplift", "pyinfra files.put", "ansible, mitogen", "ansible, pipelining"]


def main() -> None:
    """Print all measures of one or more files of results."""
    every = [
        json.loads(line) for name in sys.argv[1:] for line in Path(name).read_text().splitlines()
    ]
    for first in (line for line in every if "way" not in line):
        print("; ".join(f"{key} {value}" for key, value in first.items()))
    lines = [line for line in every if "way" in line]
    table("seconds", lines, "seconds")
    table("controller's CPU seconds", lines, "controller_cpu")
    table("SSH sessions a host", lines, "sessions_a_host")
    repeats = sorted(len(values) for values in gather(lines, "seconds").values())
    loads = [line["load_before"] for line in lines]
    print(f"\nMedian of {repeats[0]} to {repeats[-1]} runs (smallest-largest).")
    print(f"Load of the machine before a run: {cell(loads)}.")


if __name__ == "__main__":
    main()
