"""What came out of a run, by host and subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

WARNING = "uplift_warning"
OUTCOMES = ("passed", "failed", "skipped")
MESSAGE_SIZE = 2000


class Results:
    """Counts and failures of each host.

    Args:
        problems: hosts that could not be reached, and why.
        hosts: names of all hosts, in the inventory's order.
    """

    def __init__(self, problems: Mapping[str, str], hosts: Sequence[str]) -> None:
        self._hosts: dict[str, dict[str, Any]] = {
            name: {
                "name": name,
                "reachable": name not in problems,
                "problem": problems.get(name, ""),
                "subjects": {},
                "failures": [],
                "skips": [],
                "warnings": [],
            }
            for name in hosts
        }
        self._outcomes: dict[str, str] = {}

    def add(self, report: pytest.TestReport) -> None:
        """Count one report; a test of an unreachable host is no result.

        Args:
            report: pytest's, of any phase.
        """
        name = dict(report.user_properties).get("uplift_host")
        entry = self._hosts.get(str(name))
        if entry is None or not entry["reachable"] or not _counts(report):
            return
        said = {"subject": subject_of(report.nodeid), "test": test_of(report.nodeid)}
        self._count(entry, said["subject"], report)
        if report.failed:
            entry["failures"].append(said | {"message": _message(report)})
        elif report.skipped:
            entry["skips"].append(said | {"reason": _skip_reason(report)})
        if report.when == "call":
            texts = [str(text) for key, text in report.user_properties if key == WARNING]
            entry["warnings"] += [said | {"message": text} for text in texts]

    def _count(self, entry: dict[str, Any], subject: str, report: pytest.TestReport) -> None:
        """Count a test once: one that passes and then fails in its teardown has failed."""
        counts = entry["subjects"].setdefault(subject, dict.fromkeys(OUTCOMES, 0))
        before = self._outcomes.get(report.nodeid)
        if before:
            counts[before] -= 1
        self._outcomes[report.nodeid] = "failed" if before == "failed" else report.outcome
        counts[self._outcomes[report.nodeid]] += 1

    def dump(self) -> dict[str, Any]:
        """Return plain data."""
        return {"hosts": list(self._hosts.values())}


def running(results: Path) -> Path:
    """Return the file that names the test which has begun last.

    Args:
        results: file for the results of each host.
    """
    return results.with_name(f"{results.name}.running")


def subject_of(nodeid: str) -> str:
    """Return the subject that a test belongs to: its file's name without ``test_``."""
    return PurePosixPath(nodeid.split("::", 1)[0]).stem.removeprefix("test_")


def test_of(nodeid: str) -> str:
    """Return a test's name without its file and its host."""
    return nodeid.split("::", 1)[-1]


test_of.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it where imported


def _counts(report: pytest.TestReport) -> bool:
    """Tell whether a phase decides: the call, or one that did not let it count."""
    return report.when == "call" or report.outcome != "passed"


def _message(report: pytest.TestReport) -> str:
    """Return what went wrong, without the source code around it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash is not None else report.longreprtext).strip()
    # "+ where" repeats in pytest's words what the lines before say.
    lines = [line for line in text.splitlines() if not line.strip().startswith("+  where")]
    return "\n".join(line for line in lines if line.strip())[:MESSAGE_SIZE]


def _skip_reason(report: pytest.TestReport) -> str:
    found = report.longrepr
    reason = found[2] if isinstance(found, tuple) else report.longreprtext
    return str(reason).removeprefix("Skipped: ")
