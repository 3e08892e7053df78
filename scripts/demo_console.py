"""The demo's application: built by Poetry and by uv, switched under load, taken back and forth."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/lab"))
from prober import RATE, Prober

INVENTORY = "inventories/console.py"
APP = "deploys/app.py"
PLAN = ".uplift/demo-plan.json"
ROLLOUT = ("uplift", "rollout")
GATE = ("--gate", "tests/verify/test_app.py")
VERIFIED = [
    word
    for subject in ("images", "app", "rollback")
    for word in ("--tests", f"tests/verify/test_{subject}.py")
]
BACK = ("uplift", "rollback", INVENTORY, "console", "--to")
Step = Callable[..., tuple[str, float]]


def run(step: Step) -> tuple[dict[str, Prober], float]:
    """Build, plan, roll out in waves, put a bad release back, go back and forth, verify.

    Args:
        step: runs one command, given with the text above it.

    Returns:
        What was asked of each host during the switches, and the seconds of all steps.
    """
    seconds = 0.0

    def do(text: str, *command: str, capture: bool = False, code: int = 0) -> str:
        nonlocal seconds
        said, took = step(text, *command, capture=capture, code=code)
        seconds += took
        return said

    for image in ("node", "nginx"):
        do(f"7. A base for its page: {image}", "uplift", "lab", "image", image)
    build = ("pyinfra", INVENTORY, "deploys/images.py", "-y")
    do("8. Build the console: 1.4.0 by Poetry, 2.0.0 by uv, one that is broken", *build)
    deploy = (*ROLLOUT, INVENTORY, APP, "--limit", "apps", "-y")
    first = (*release("1.4.0-poetry"), "--waves", "100%", "--no-gate")
    do("9. Run the release of Poetry", *deploy, *first)
    hosts = json.loads(
        do("10. Ask it all the time", "uplift", "lab", "status", "--json", capture=True)
    )
    probers = {
        host["name"]: Prober(host["address"], int(host["ports"]["80"]), "/version")
        for host in hosts["hosts"]
        if "apps" in host["groups"]
    }
    with ExitStack() as asking:
        for prober in probers.values():
            asking.enter_context(prober)
        plan = ("uplift", "plan", INVENTORY, APP, "--limit", "apps", "-o", PLAN)
        do("11. Plan the switch to the release of uv", *plan, code=2)
        waves = ("--waves", "1,100%", "--bake", "5s", "-y")
        do("12. Carry the plan out in waves", *ROLLOUT, "--plan", PLAN, *waves, *GATE)
        bad = (*release("2.1.0-dockerfile"), *GATE, "--on-failure", "revert-fleet")
        do("13. A release that is broken: it is put back", *deploy, *bad, code=1)
        do("14. Back to the release of Poetry", *BACK, "poetry")
        do("15. Forward again", *BACK, "uv")
    do("16. Verify it from the outside", "uplift", "verify", INVENTORY, "-n", "2", *VERIFIED)
    do("17. What runs where", "uplift", "status", INVENTORY, "--limit", "apps")
    do("18. What happened", "uplift", "history", "-n", "5")
    return probers, seconds


def release(tag: str) -> tuple[str, ...]:
    """Return the words that name a release of the console."""
    return "--data", "app=console", "--data", f"tag={tag}"


def table(probers: dict[str, Prober]) -> Table:
    """Return what the hosts answered while their releases were switched."""
    shown = Table(f"host, {RATE} requests/s", "good", "failed", "versions", "p50", "p99")
    for name, prober in probers.items():
        versions = sorted(json.loads(answer)["version"] for answer in prober.answers)
        shown.add_row(
            name,
            str(sum(prober.answers.values())),
            str(len(prober.failures)),
            " ".join(versions),
            f"{prober.percentile(50) * 1000:.0f} ms",
            f"{prober.percentile(99) * 1000:.0f} ms",
        )
    return shown


def trouble(probers: dict[str, Prober]) -> str:
    """Return what must not be in these figures, or nothing."""
    for name, prober in probers.items():
        if prober.failures:
            return f"{name}: requests failed: {prober.failures[:3]}"
        if len(prober.answers) != 2:
            return f"{name}: not both releases answered: {sorted(prober.answers)}"
    return ""
