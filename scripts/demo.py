"""Bring up the lab, deploy the site, verify and use it, deploy it again: nothing changes.

Then an application on it, built by Poetry and by uv, switched and taken back under load. `--quick`
leaves out the application, whose images have to be built.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import demo_console
from rich.console import Console
from rich.table import Table

BIN = Path(sys.executable).parent
INVENTORY = "inventories/lab.py"
DEPLOY = "deploys/site.py"
# Nothing is there yet that tests could compare with: `uplift verify` comes after.
WAVES = ("--waves", "services,100%", "--no-gate")
ON_APPS = ("pyinfra", INVENTORY, "exec", "--limit", "apps", "--")
INDEX = "http://lab-1:28081/repository/pypi/simple"
# As an application's host has it: uv reads the login from ~/.netrc.
INSTALL = (
    *ON_APPS,
    "uv venv -q --clear /tmp/demo && uv pip install -q --python /tmp/demo/bin/python "
    f"--index {INDEX} maestro-core-config && "
    "uv pip list --python /tmp/demo/bin/python | grep maestro",
)
# Nobody gets in without: curl reads no ~/.netrc unless it is told to.
ANONYMOUS = (
    *ON_APPS,
    f"code=$(curl -sS -o /dev/null -w '%{{http_code}}' {INDEX}/maestro-core-config/); "
    'echo "without a login: $code"; test "$code" = 401',
)
say = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)


class StepFailedError(Exception):
    """A step of the demo ended with an exit code that is not 0."""


def step(text: str, *command: str, capture: bool = False, code: int = 0) -> tuple[str, float]:
    """Run one command of the demo, shown as a person would type it.

    Args:
        text: what it shows.
        command: its words.
        capture: return what it prints.
        code: with which it must end.

    Returns:
        What it printed on stdout when ``capture`` is set, and the seconds it took.
    """
    say.print(f"\n[bold]{text}[/]\n  $ {' '.join(command)}")
    started = time.monotonic()
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if done.returncode != code:
        raise StepFailedError(f"{' '.join(command)}: exit {done.returncode}")
    return done.stdout or "", time.monotonic() - started


def rollout(text: str) -> tuple[dict[str, int], float]:
    """Roll the site out, services first; return what changed on each host, and the seconds."""
    _, seconds = step(text, "uplift", "rollout", INVENTORY, DEPLOY, "-y", *WAVES)
    run = subprocess.run(
        [BIN / "uplift", "show", "--json"], check=True, capture_output=True, text=True
    )
    told: dict[str, Any] = json.loads(run.stdout)
    return {name: len(told["changed"].get(name, ())) for name in told["hosts"]}, seconds


def changes(run: str) -> dict[str, int]:
    """Count the operations that changed something, by host, in pyinfra's JSON output."""
    operations: list[dict[str, Any]] = json.loads(run)["results"]["operations"]
    counts: dict[str, int] = {}
    for operation in operations:
        for host in operation["no_change"]:
            counts.setdefault(host, 0)
        for host in operation["success"]:
            counts[host] = counts.get(host, 0) + 1
    return counts


def passed(verified: str) -> dict[str, str]:
    """Return the number of tests that each host passed, from the JSON of `uplift verify`."""
    return {
        host["name"]: f"{sum(subject['passed'] for subject in host['subjects'].values())} tests"
        for host in json.loads(verified)["hosts"]
    }


def show(first: dict[str, int], verified: dict[str, str], second: dict[str, int]) -> None:
    table = Table("host", "changed by the first run", "verified by", "changed by the second run")
    for host in sorted(first):
        table.add_row(host, str(first[host]), verified[host], str(second[host]))
    out.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out what needs a build")
    quick = parser.parse_args().quick
    probers: dict[str, demo_console.Prober] = {}
    built = 0.0
    try:
        _, lab = step("1. A lab of real hosts", "uplift", "lab", "up", "--yes")
        first, first_time = rollout("2. Deploy the site, its services before what uses them")
        verify = ("uplift", "verify", INVENTORY, "-n", "2", "--json")
        report, verify_time = step("3. Verify it from the outside", *verify, capture=True)
        step("4. Use it: a package of ours, from the Nexus that was just made", *INSTALL)
        step("5. The same package without a login: the Nexus must say 401", *ANONYMOUS)
        again = ("pyinfra", INVENTORY, DEPLOY, "-y", "--json")
        run, second_time = step("6. Deploy it again, all at once", *again, capture=True)
        second = changes(run)
        if not quick:
            probers, built = demo_console.run(step)
    except StepFailedError as failed:
        say.print(f"[bold red]demo:[/] {failed}")
        return 1
    show(first, passed(report), second)
    out.print(
        f"lab {lab:.0f} s, first run {first_time:.0f} s, verify {verify_time:.0f} s, "
        f"second run {second_time:.0f} s" + (f", application {built:.0f} s" if probers else "")
    )
    if probers:
        out.print(demo_console.table(probers))
    if any(second.values()):
        say.print("[bold red]demo:[/] the second run changed something: that is a bug")
        return 1
    if wrong := demo_console.trouble(probers):
        say.print(f"[bold red]demo:[/] {wrong}: that is a bug")
        return 1
    out.print(
        "Look around: uplift lab status · uplift verify inventories/lab.py · "
        "deploys/site.py · group_data/lab.py · take it away: uplift lab down"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
