"""Draw results of a benchmark as an SVG file beside them: every run a dot, the median a line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Line = dict[str, Any]

COLOURS = ("#9467bd", "#1f77b4", "#2ca02c")
WIDTH = 0.24  # of one group's share on the axis
BUILDERS = ("pip", "poetry", "uv")
CASES = ("cold", "nothing changed", "source changed", "dependency changed", "start to ready")
PHASES = ("before", "during", "after")


def dots(axes: Axes, groups: Sequence[str], series: Sequence[Sequence[Sequence[float]]]) -> None:
    """Draw values of several series side by side in groups, on a logarithmic axis.

    Args:
        axes: to draw on.
        groups: names along the axis.
        series: values by series and group.
    """
    for number, values in enumerate(series):
        for at, found in enumerate(values):
            place = at + (number - (len(series) - 1) / 2) * WIDTH
            colour = COLOURS[number]
            axes.plot([place] * len(found), found, "o", color=colour, alpha=0.5, markersize=4)
            if found:
                edges = (place - WIDTH / 3, place + WIDTH / 3)
                axes.plot(edges, [median(found)] * 2, color=colour, linewidth=2)
    axes.set_xticks(range(len(groups)), [name.replace(" ", "\n") for name in groups])
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", alpha=0.3)


def legend(axes: Axes, names: Sequence[str]) -> None:
    """Name the series."""
    lines = [axes.plot([], [], "o-", color=COLOURS[at])[0] for at in range(len(names))]
    axes.legend(lines, names)


def images(lines: list[Line]) -> Figure:
    """Draw seconds and CPU seconds of each case by builder."""
    figure, both = pyplot.subplots(1, 2, figsize=(11, 4.5))
    for axes, key, title in zip(
        both, ("seconds", "cpu"), ("seconds", "CPU seconds of the host"), strict=True
    ):
        series = [
            [
                [it[key] for it in lines if (it["what"], it["builder"]) == (case, name)]
                for case in CASES
            ]
            for name in BUILDERS
        ]
        dots(axes, CASES, series)
        axes.set_ylabel(title)
    legend(both[0], BUILDERS)
    return figure


def switch(lines: list[Line]) -> Figure:
    """Draw percentiles before, during and after, on kept and on fresh connections."""
    figure, both = pyplot.subplots(1, 2, figsize=(10, 4.5), sharey=True)
    for axes, kind in zip(both, ("kept", "fresh"), strict=True):
        series = [
            [[it[f"{kind}_{phase}"][key] for it in lines] for phase in PHASES]
            for key in ("p50", "p99")
        ]
        dots(axes, PHASES, series)
        axes.set_title(f"{kind} connections")
    both[0].set_ylabel("milliseconds")
    legend(both[0], ("p50", "p99"))
    return figure


def rollout(lines: list[Line]) -> Figure:
    """Draw CPU seconds and memory of the controller by number of hosts."""
    figure, both = pyplot.subplots(1, 2, figsize=(10, 4.5))
    found = [line for line in lines if line["part"] == "fleet"]
    ways = ("plain pyinfra", "waves")
    for axes, key, title in zip(both, ("cpu", "memory_mib"), ("CPU seconds", "MiB"), strict=True):
        for way, colour in zip(ways, COLOURS[1:], strict=True):
            own = [line for line in found if line["way"] == way]
            counts = sorted({line["hosts"] for line in own})
            axes.plot(
                [it["hosts"] for it in own], [it[key] for it in own], "o", color=colour, alpha=0.5
            )
            middle = [median(it[key] for it in own if it["hosts"] == count) for count in counts]
            axes.plot(counts, middle, color=colour, label=way)
        axes.set_xlabel("simulated hosts")
        axes.set_ylabel(title)
        axes.set_xlim(0)
        axes.set_ylim(0)
        axes.grid(alpha=0.3)
    both[0].legend()
    return figure


DRAWN: dict[str, Callable[[list[Line]], Figure]] = {
    "images": images,
    "switch": switch,
    "rollout": rollout,
}


def main() -> None:
    """Draw each file by what its name says it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    # The same results give the same file.
    mpl.rcParams["svg.hashsalt"] = "uplift"
    for file in parser.parse_args().files:
        draw = DRAWN.get(file.stem.rpartition("-")[2])
        if draw is None:
            parser.error(f"{file}: there is a plot of {', '.join(DRAWN)} alone")
        _, *lines = (json.loads(line) for line in file.read_text().splitlines())
        figure = draw(lines)
        figure.tight_layout()
        drawn = file.with_suffix(".svg")
        figure.savefig(drawn, metadata={"Date": None})
        print(drawn)


if __name__ == "__main__":
    main()
