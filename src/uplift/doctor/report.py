"""Findings, and the exit code that they make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from uplift.spec.errors import Exit

CHECKS = (
    "connect",
    "host key",
    "login",
    "shell",
    "sudo",
    "system",
    "docker",
    "disk",
    "clock",
    "verify",
)
"""What is looked at on every host, in this order."""


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One check of one host, or of the controller.

    Args:
        check: its name.
        status: how it came out.
        text: what was found, in one line.
        remedy: what to do, commands included; none where all is well.
        kind: the kind of trouble: hosts with the same kind share a remedy, names apart.
    """

    check: str
    status: Status
    text: str
    remedy: str | None = None
    kind: str = ""


def ok(check: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, Status.OK, text)


def warning(check: str, text: str, remedy: str, kind: str = "") -> Finding:
    """Return a finding that does not stop a run."""
    return Finding(check, Status.WARNING, text, remedy, kind)


def failed(check: str, text: str, remedy: str, kind: str = "") -> Finding:
    """Return a finding that stops a run."""
    return Finding(check, Status.FAILED, text, remedy, kind)


def skipped(check: str, text: str) -> Finding:
    """Return a check that could not be made."""
    return Finding(check, Status.SKIPPED, text)


@dataclass(frozen=True)
class HostReport:
    """All checks of one host.

    Args:
        name: as in the inventory.
        reached: whether a command could be run there.
        findings: one a check, in the order of :data:`CHECKS`.
    """

    name: str
    reached: bool
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Report:
    """What was found for one inventory.

    Args:
        inventory: as it was asked for.
        controller: findings about this machine and the settings.
        hosts: none when the inventory could not be loaded.
    """

    inventory: str
    controller: tuple[Finding, ...]
    hosts: tuple[HostReport, ...]

    @property
    def exit_code(self) -> Exit:
        """Return 64 without usable inventory or settings, 3 with lost hosts, 1 with failures."""
        wrong = [it.check for it in self.controller if it.status is Status.FAILED]
        if not self.hosts or "settings" in wrong:
            return Exit.USAGE
        if not all(host.reached for host in self.hosts):
            return Exit.HELD
        findings = (it for host in self.hosts for it in host.findings)
        trouble = wrong or any(finding.status is Status.FAILED for finding in findings)
        return Exit.FAILED if trouble else Exit.DONE


def complete(findings: Iterable[Finding], why: str) -> tuple[Finding, ...]:
    """Return one finding for every check of a host; those that are missing were skipped.

    Args:
        findings: of one host.
        why: text for those that were skipped.
    """
    by_check = {finding.check: finding for finding in findings}
    return tuple(by_check.get(check) or skipped(check, why) for check in CHECKS)
