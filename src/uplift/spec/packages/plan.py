"""What has to be published, and what must not be: each file compared with what is served."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from uplift.spec.packages.artifact import STRONGEST, Artifact, Hashes
from uplift.spec.packages.models import Packages
from uplift.spec.packages.served import Served

SHOWN = 16
"""Digits of a hash in one line; errors show all."""


class Status(StrEnum):
    """How a file stands to what is served."""

    SAME = "same"
    ABSENT = "absent"
    OTHER = "other content"
    UNKNOWN = "no hash"


@dataclass(frozen=True)
class Finding:
    """One file.

    Args:
        artifact: the file.
        status: how it stands.
        algorithm: of the hashes that were compared.
        served: the hash that is served.
    """

    artifact: Artifact
    status: Status
    algorithm: str = ""
    served: str = ""

    @property
    def ours(self) -> str:
        """Return our file's hash, by the same algorithm."""
        return self.artifact.hashes.get(self.algorithm or "sha256", "")

    @property
    def to_send(self) -> bool:
        """Tell whether the file shall be sent."""
        replaced = self.status is Status.OTHER and self.artifact.replace
        return self.status is Status.ABSENT or replaced


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Args:
        findings: of all files, in their order.
    """

    findings: tuple[Finding, ...]

    @property
    def todo(self) -> tuple[Finding, ...]:
        """Return the files to send."""
        return tuple(one for one in self.findings if one.to_send)

    @property
    def conflicts(self) -> tuple[Finding, ...]:
        """Return the files that must not be sent."""
        wrong = (Status.OTHER, Status.UNKNOWN)
        return tuple(one for one in self.findings if one.status in wrong and not one.to_send)

    @property
    def lines(self) -> list[str]:
        """Return what would be done, a line a file."""
        return [_line(one) for one in self.todo]


def plan(settings: Packages, artifacts: Sequence[Artifact], served: Served) -> Plan:
    """Compare files with what is served.

    Args:
        settings: the block.
        artifacts: files.
        served: what the server says.
    """
    return Plan(tuple(_finding(settings, one, served) for one in artifacts))


def _finding(settings: Packages, artifact: Artifact, served: Served) -> Finding:
    is_npm = settings.repositories[artifact.repository].format == "npm"
    name = artifact.version if is_npm else artifact.file
    found = served.get((artifact.repository, artifact.project, name))
    if found is None:
        return Finding(artifact, Status.ABSENT)
    algorithm = best(found)
    if algorithm is None:
        return Finding(artifact, Status.UNKNOWN)
    same = found[algorithm] == artifact.hashes[algorithm]
    return Finding(artifact, Status.SAME if same else Status.OTHER, algorithm, found[algorithm])


def best(hashes: Hashes) -> str | None:
    """Return the strongest algorithm among some hashes that we know."""
    return next((name for name in STRONGEST if hashes.get(name)), None)


def _line(finding: Finding) -> str:
    artifact = finding.artifact
    if finding.status is Status.OTHER:
        old, new = finding.served[:SHOWN], finding.ours[:SHOWN]
        return f"{artifact} replaced ({finding.algorithm} {old} -> {new})"
    return f"{artifact} published ({artifact.size} bytes, sha256 {finding.ours[:SHOWN]})"


def refusal(conflicts: Iterable[Finding]) -> str:
    """Return why nothing is published, with all that is in the way.

    Args:
        conflicts: files that must not be sent.
    """
    lines = [f"{one.artifact}: {difference(one)}" for one in conflicts]
    return "\n".join([*lines, "nothing was published"])


def difference(finding: Finding) -> str:
    """Return how a file that must not be sent differs from what is served, and what to do.

    Args:
        finding: of ``Plan.conflicts``.
    """
    if finding.status is Status.UNKNOWN:
        return "served, but without a hash that could be compared: compare it by hand"
    return (
        "served with other content\n"
        f"  served {finding.algorithm} {finding.served}\n"
        f"  ours   {finding.algorithm} {finding.ours}\n"
        f"  {_VERSION if finding.artifact.version else _RAW}"
    )


_VERSION = (
    "A published version stays as it is: raise the version. Did the source not change? Then the "
    "build did: pin its backend to the version that built what is served. A lab that was kept "
    "serves what it served: uplift lab down, and up again."
)
_RAW = "Give the file another name or path, or set replace = True."
