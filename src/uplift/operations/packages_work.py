"""One publication, whoever runs its commands: pyinfra's operation or ``uplift publish``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from uplift.facts.packages import Found, questions_input
from uplift.facts.script import HiddenInput
from uplift.index import packages as index
from uplift.operations import http
from uplift.operations import packages_script as sender
from uplift.operations.packages_script import Sending
from uplift.secrets import resolve
from uplift.spec.errors import UpliftError, UsageError
from uplift.spec.packages import Artifact, Packages, Plan, Status, plan, understand
from uplift.spec.packages.plan import Finding, difference
from uplift.spec.packages.served import Questions, Refused, questions
from uplift.spec.secret import Secret

_REMEDIES = {
    "uv": "install it there first: deploys/uv.py",
    "npm": "install it there first (Debian: apt install npm)",
    "curl": "install it there first (Debian: apt install curl)",
}


@dataclass(frozen=True)
class Work:
    """What shall be published, and how it is asked for.

    Args:
        settings: the block.
        artifacts: files, built.
        passwords: of each repository that is used.
        asked: what a host asks the servers.
    """

    settings: Packages
    artifacts: tuple[Artifact, ...]
    passwords: Mapping[str, Secret] = field(repr=False)
    asked: Questions

    @classmethod
    def of(
        cls,
        settings: Packages,
        names: Sequence[str] = (),
        *,
        progress: Callable[[str], None] | None = None,
    ) -> Self:
        """Build what shall be published, and look up what it takes to do so.

        Args:
            settings: the block.
            names: of packages; all when empty.
            progress: is called with the name of each package, before it is built.

        Raises:
            UpliftError: with the reason; no host was asked anything.
        """
        if not settings.publish:
            raise UsageError("packages.publish: lists no package")
        used = {it.repository for it in settings.publish if not names or it.name in names}
        passwords = {name: resolve(settings.repositories[name].password) for name in used}
        artifacts = index.collect(settings, names, progress=progress)
        return cls(settings, artifacts, passwords, questions(settings, artifacts, passwords))

    @property
    def address(self) -> str:
        """Return the address of a server, for what is told."""
        return self.settings.repositories[self.artifacts[0].repository].url

    @property
    def questions(self) -> HiddenInput:
        """Return what the reading script reads."""
        return questions_input(self.asked.sums, self.asked.config)

    def examine(self, found: Found) -> Plan:
        """Return what has to be done.

        Args:
            found: what a host said.

        Raises:
            UpliftError: the servers cannot be read, or the host lacks a program that it needs.
        """
        answers = http.answers(found.sent, [one.request for one in self.asked.pages])
        if answers.trouble:
            names = dict.fromkeys(one.repository for one in self.artifacts)
            urls = [self.settings.repositories[name].url for name in names]
            raise Refused(f"{', '.join(urls)}: {answers}")
        served = understand(self.settings, self.asked, answers.responses, found.sums)
        todo = plan(self.settings, self.artifacts, served)
        needed = {self._client(one) for one in todo.todo}
        for name in sorted(needed - found.tools):
            msg = f"{name} is not installed on this host, which publishes by it: {_REMEDIES[name]}"
            raise UpliftError(msg)
        return todo

    def _client(self, finding: Finding) -> str:
        return sender.client(self.settings.repositories[finding.artifact.repository])

    def files(self, todo: Plan) -> HiddenInput:
        """Return what the publishing script reads.

        Args:
            todo: what has to be done.
        """
        artifacts = [one.artifact for one in todo.todo]
        return sender.script_input(self.settings, artifacts, self.passwords)


@dataclass(frozen=True)
class Outcome:
    """What came of one file.

    Args:
        artifact: the file.
        word: ``unchanged``, ``published``, ``pending``, ``conflict`` or ``failed``.
        reason: why it failed.
        served: the hash that is served instead, with its algorithm.
    """

    artifact: Artifact
    word: str
    reason: str = ""
    served: str = ""


def expected(todo: Plan) -> list[Outcome]:
    """Return what a plan says before anything is done.

    Args:
        todo: the plan.
    """
    found = []
    for one in todo.findings:
        served = f"{one.algorithm} {one.served}" if one.status is Status.OTHER else ""
        if one in todo.conflicts:
            found.append(Outcome(one.artifact, "conflict", difference(one), served))
        else:
            word = "pending" if one.to_send else "unchanged"
            found.append(Outcome(one.artifact, word, served=served))
    return found


def outcomes(before: Plan, sendings: Sequence[Sending], after: Plan | None) -> list[Outcome]:
    """Return what came of each file. What is served now is the proof, not what a client said.

    Args:
        before: what was to be done.
        sendings: what the clients said, one for each file that was tried.
        after: the same files compared once more; None when the servers could not be read.
    """
    said = dict(zip((one.artifact for one in before.todo), sendings, strict=False))
    now = {one.artifact: one.status for one in after.findings} if after else {}
    return [_outcome(one, said.get(one.artifact), now.get(one.artifact)) for one in before.findings]


def _outcome(before: Finding, said: Sending | None, now: Status | None) -> Outcome:
    artifact = before.artifact
    if not before.to_send:
        return Outcome(artifact, "unchanged")
    if now is Status.SAME:
        return Outcome(artifact, "published")
    if said is None:
        return Outcome(artifact, "failed", "not tried: a file before it failed")
    if said.code == 124:
        return Outcome(artifact, "failed", f"not sent within {sender.LIMIT} s")
    if said.code:
        return Outcome(artifact, "failed", said.said or f"the client's exit code is {said.code}")
    if now is None:
        return Outcome(artifact, "failed", "sent, but the server could not be read afterwards")
    reason = f"the server took it, but what it serves is {now}: see its log"
    return Outcome(artifact, "failed", reason)
