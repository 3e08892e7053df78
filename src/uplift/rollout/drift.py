"""Compare hosts with their settings and with each other; nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from uplift.controller import has_inventory, inventory_name
from uplift.rollout.child import Event
from uplift.rollout.plan import Request, plan
from uplift.rollout.status import Status, read
from uplift.settings import BLOCKS, Settings
from uplift.spec.errors import Exit, UsageError
from uplift.spec.rollout.drift import Finding, findings
from uplift.spec.rollout.event import Kind
from uplift.spec.rollout.plan import Plan

SITE = "deploys/site.py"


@dataclass(frozen=True)
class Drift:
    """What was found.

    Args:
        plan: what the deploy files would change.
        status: what runs where.
        findings: all that is not as it should be.
    """

    plan: Plan
    status: Status
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> Exit:
        """Return the exit code of ``uplift drift``."""
        for code in (self.plan.exit_code, self.status.exit_code):
            if code in (Exit.HELD, Exit.FAILED):
                return code
        return Exit.PENDING if self.findings else Exit.DONE


def look(
    inventory: str,
    deploys: Sequence[str],
    limit: Sequence[str],
    on_event: Callable[[Event], None],
) -> Drift:
    """Find where hosts are not as their settings say, or not like each other.

    Args:
        inventory: a file, or what else pyinfra takes.
        deploys: deploy files; the whole site when left out.
        limit: groups or patterns of host names.
        on_event: is called with each event, for progress.

    Raises:
        UsageError: wrong inventory, deploy files, limit or settings.
    """
    if not deploys and not Path(SITE).is_file():
        raise UsageError(f"there is no {SITE} in {Path.cwd()}: name the deploy files")
    named: dict[str, set[str]] = {}

    def take(event: Event) -> None:
        if event.kind == Kind.NAMED:
            named.setdefault(event.host, set()).update(event.data["names"])
        on_event(event)

    made = plan(Request(inventory, deploys or (SITE,), limit), take)
    status = read(inventory, limit)
    subjects = {name: _subjects(settings) for name, settings in status.settings.items()}
    here = inventory_name(inventory)
    for one in status.hosts:
        own = one.owners.items()
        subjects[one.host] |= {app for app, it in own if it.elsewhere(here, has_inventory)}
    return Drift(made, status, tuple(findings(made, status.hosts, named, subjects)))


def _subjects(settings: Settings) -> set[str]:
    blocks = {name for name in BLOCKS if getattr(settings, name)}
    return blocks | {app.name for app in settings.apps}
