"""Exceptions that the command line turns into a message and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of ``uplift``."""

    DONE = 0
    FAILED = 1
    PENDING = 2
    HELD = 3
    LOCKED = 4
    STALE = 5
    USAGE = 64
    INTERRUPTED = 130


class UpliftError(Exception):
    """Say what went wrong and what to do, without a traceback.

    Args:
        message: what happened, and where it helps what to do next; never a secret.
    """

    exit_code: Exit = Exit.FAILED


class UsageError(UpliftError):
    """Report wrong usage, wrong settings or an empty selection: nothing was touched."""

    exit_code = Exit.USAGE


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in the settings.

    Args:
        path: key of the value, as ``clients.users[0].netrc[1].machine``.
        text: what was found and what is allowed.
        source: the file that holds the value, where it is known.
    """

    path: str
    text: str
    source: str | None = None

    def __str__(self) -> str:
        where = f"{self.source}: " if self.source else ""
        return f"{where}{self.path}: {self.text}" if self.path else f"{where}{self.text}"


class SettingsError(UsageError):
    """Report every problem of the settings at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
