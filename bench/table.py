"""Print the results of bench/run as Markdown tables."""

from __future__ import annotations

import argparse
import json
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


def _results(name: str) -> list[dict[str, Any]]:
    """Read a file of results, for argparse."""
    try:
        lines = [json.loads(line) for line in Path(name).read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{name}: {error}") from None
    if not any("way" in line for line in lines):
        raise argparse.ArgumentTypeError(f"{name} holds no results of bench/run")
    return lines


def main() -> None:
    """Print all measures of one or more files of results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=_results, metavar="FILE")
    every = [line for found in parser.parse_args().files for line in found]
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
