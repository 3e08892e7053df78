"""What ends the waves of a run before the last one."""

from __future__ import annotations

from collections.abc import Iterable

from uplift.rollout.child import Outcome, State
from uplift.spec.rollout.lock import REFUSED

ABORTED = "aborted"
"""Somebody wants every host put back, whatever the policy says."""


class Stop(Exception):
    """End the waves: something failed, or somebody asked.

    Args:
        kind: what it was.
        words: for people.
    """

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words

    @property
    def asked(self) -> bool:
        """Tell whether somebody asked for it: then nothing is put back."""
        return self.kind in ("interrupted", "lock-lost")

    @property
    def aborts(self) -> bool:
        """Tell whether somebody gave the run up: then every host is put back."""
        return self.kind == ABORTED

    @property
    def early(self) -> bool:
        """Tell whether it came before this attempt has changed anything: nothing is put back."""
        return self.kind in ("not-ready", "usage")


def check_refused(said: Iterable[str]) -> None:
    """Stop where the fence of a host has refused a command.

    Args:
        said: about commands, by hosts or tests.

    Raises:
        Stop: another run has taken a host over.
    """
    if refused := [words for words in said if REFUSED in words]:
        raise Stop("lock-lost", "; ".join(refused))


def check_taken_over(outcome: Outcome) -> None:
    """Stop where another run has taken hosts over.

    Args:
        outcome: of a child.

    Raises:
        Stop: the fence of a host has refused an operation.
    """
    if refused := outcome.of(State.REFUSED):
        raise Stop("lock-lost", "; ".join(f"{one.host}: {one.text}" for one in refused))
