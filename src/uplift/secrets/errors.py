"""What can be wrong with secrets; no message ever holds one."""

from __future__ import annotations

from collections.abc import Mapping

from uplift.spec.errors import UsageError


class SecretsError(UsageError):
    """Report a place of secrets that cannot be used as it is."""


class MissingSecretError(SecretsError):
    """Report secrets that no place has, and every place that was asked.

    Args:
        asked: for each name of a secret, the places with what they said.
        remedies: for each name, what to do about it.
    """

    def __init__(self, asked: Mapping[str, Mapping[str, str]], remedies: Mapping[str, str]) -> None:
        self.names = tuple(asked)
        lines = []
        for name, places in asked.items():
            lines += [f"secret {name!r} was not found. Asked, in this order:"]
            lines += [f"  {place}: {answer}" for place, answer in places.items()]
            lines += [f"  {remedies[name]}"]
        super().__init__("\n".join(lines))
