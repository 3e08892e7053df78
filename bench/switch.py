"""Measure what a switch between releases costs those who ask: an image of Poetry, one of uv, back.

Both are images of the same project, built by their Dockerfiles, behind the HAProxy of this project.
A prober asks the host 50 times a second, half of it on connections that stay open, before, during
and after each switch. Results go to bench/results/ as JSON lines, and to the terminal as Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

import compare
import raw
import table
import work
from lab import lab_host
from project import PORT, Builder, Project
from raw import Line

sys.path.insert(0, str(work.ROOT / "tests/lab"))
from prober import RATE, Answer, Prober

LIMIT = 900  # seconds for one switch
AROUND = 10.0  # seconds for which is asked before a switch, and after it
PHASES = ("before", "during", "after")
KINDS = ("kept", "fresh")
REPOSITORY = "registry:5000/uplift-bench-switch"
TAGS = ("1.4.0-poetry", "2.0.0-uv")


class Site:
    """The host with the application on it.

    Args:
        lab: its name.
        host: as ``uplift lab status --json`` shows it.
    """

    def __init__(self, lab: str, host: dict[str, Any]) -> None:
        self.builder = Builder(host)
        self.host = host
        self.environment = {**os.environ, "UPLIFT_LAB": lab, "PYINFRA_PROGRESS": "off"}

    def build(self) -> None:
        """Build both releases by their own tools, and push them to the lab's registry."""
        with tempfile.TemporaryDirectory() as folder:
            for tag in TAGS:
                version, _, builder = tag.partition("-")
                project = Project.write(Path(folder, tag), version=version)
                self.builder.build(builder, project, f"{REPOSITORY}:{tag}")
                self.builder.sh(f"docker push -q {REPOSITORY}:{tag}")

    def deploy(self, tag: str) -> None:
        """Deploy a release."""
        app = {
            "name": "bench",
            "image": f"{REPOSITORY}:{tag}",
            "port": PORT,
            "slot_ports": [18001, 18002],
            "routes": [{}],
            "hold": 3,
            "ready": {"http": {"port": PORT, "path": "/readyz"}, "stable": 1},
            "drain": {"seconds": 5},
        }
        haproxy = {"binds": [{"address": "*", "port": 80}]}
        data = (
            "--data",
            f"the_app={json.dumps(app)}",
            "--data",
            f"the_haproxy={json.dumps(haproxy)}",
        )
        words = (
            "inventories/lab.py",
            "tests/lab/app_deploy.py",
            "-y",
            "--limit",
            self.host["name"],
        )
        done = subprocess.run(
            [str(compare.BIN / "pyinfra"), *words, *data],
            cwd=work.ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        if done.returncode:
            sys.exit(f"pyinfra failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")

    def commands(self) -> int:
        """Return how many commands the host's sshd has started, this one included."""
        log = self.builder.sh("journalctl -u ssh -o cat --no-pager")
        return len(re.findall(r"^Starting session: command", log, flags=re.MULTILINE))

    def started(self) -> float:
        """Return when the container that runs was started, in seconds since 1970."""
        running = "$(docker ps -q --filter name=^bench-)"
        at = f"$(docker inspect -f '{{{{.State.StartedAt}}}}' {running})"
        return float(self.builder.sh(f'date -d "{at}" +%s.%N'))

    def clean(self) -> None:
        """Take the application away."""
        self.builder.sh(
            "docker rm -f bench-blue bench-green; systemctl disable -q --now haproxy; "
            "rm -rf /etc/haproxy/haproxy.cfg /etc/uplift/apps/bench "
            "/var/lib/uplift/{releases/bench,apps/bench*,containers/bench*}; "
            "systemctl reset-failed haproxy; true"
        )
        self.builder.forget(*(f"{REPOSITORY}:{tag}" for tag in TAGS))


def measured(site: Site, repeat: int) -> Iterator[Line]:
    """Switch to the release of uv and back, again and again."""
    site.build()
    site.deploy(TAGS[0])
    for number in range(repeat):
        yield {"repeat": number + 1, **switched(site, TAGS[(number + 1) % 2])}
    site.clean()


def switched(site: Site, tag: str) -> Line:
    """Switch to a release under load, and return how those fared who asked."""
    load = raw.load()
    commands = site.commands()
    with Prober(site.host["address"], int(site.host["ports"]["80"]), "/version") as prober:
        time.sleep(AROUND)
        began, cpu = time.monotonic(), os.times()
        site.deploy(tag)
        ended, used = time.monotonic(), os.times()
        time.sleep(AROUND)
    new = json.dumps({"version": tag.partition("-")[0]}, separators=(",", ":"))
    first = min(one.at for one in prober.good if one.body == new)
    phases = {
        "before": (0.0, began),
        "during": (began, ended),
        "after": (ended, float("inf")),
    }
    return {
        "to": tag,
        "seconds": round(ended - began, 3),
        "first_answer": round(first - began, 3),
        # Both clocks are those of this machine: the lab's host is a container of it.
        "start_to_answer": round(first + time.time() - time.monotonic() - site.started(), 3),
        # The second count counts itself.
        "commands": site.commands() - commands - 1,
        "controller_cpu": round(sum(used[2:4]) - sum(cpu[2:4]), 3),
        "good": len(prober.good),
        "failed": len(prober.failures),
        "failures": prober.failures[:5],
        **{
            f"{kind}_{phase}": percentiles(
                [one for one in prober.good if one.kept == (kind == "kept")], *phases[phase]
            )
            for kind in KINDS
            for phase in PHASES
        },
        **load,
    }


def percentiles(answers: Sequence[Answer], start: float, end: float) -> Line:
    """Return count, p50, p99 and maximum in milliseconds of the answers of a time."""
    found = [one.seconds * 1000 for one in answers if start <= one.at < end]
    steps = quantiles(found, n=100)
    return {
        "count": len(found),
        "p50": round(steps[49], 2),
        "p99": round(steps[98], 2),
        "max": round(max(found), 2),
    }


def show(lines: list[Line]) -> None:
    """Print the results as Markdown."""
    raw.show_head(lines)
    found = [line for line in lines if "to" in line]
    print(f"\n| switch to | {' | '.join(TAGS)} |\n|---|---|---|")
    for title, key in (
        ("switches", ""),
        ("start of the container to its first answer, seconds", "start_to_answer"),
        ("command to that answer, seconds", "first_answer"),
        ("whole command, with hold and drain, seconds", "seconds"),
        ("controller's CPU seconds", "controller_cpu"),
        ("remote commands", "commands"),
        ("good answers", "good"),
        ("failed requests", "failed"),
    ):
        own = ([line for line in found if line["to"] == tag] for tag in TAGS)
        cells = (table.cell([it[key] for it in one]) if key else str(len(one)) for one in own)
        print(f"| {title} | {' | '.join(cells)} |")
    print(f"\n| milliseconds | {' | '.join(PHASES)} |\n|---|---|---|---|")
    for kind in KINDS:
        for key in ("p50", "p99", "max"):
            cells = (
                table.cell([line[f"{kind}_{phase}"][key] for line in found]) for phase in PHASES
            )
            print(f"| {kind} connections, {key} | {' | '.join(cells)} |")


def measure(given: argparse.Namespace) -> tuple[Line, Iterator[Line]]:
    """Bring the host up, and say what is measured there."""
    os.chdir(work.ROOT)  # templates are found from there
    site = Site(given.lab, lab_host(given.lab, "python", "certificates", "docker"))
    versions = {
        "docker": site.builder.sh("docker version --format '{{.Server.Version}}'"),
        "requests_a_second": RATE,
    }
    return versions, measured(site, given.repeat)


if __name__ == "__main__":
    raw.measured("switch", measure, show, about=__doc__, lab="bench-s", repeat=10)
