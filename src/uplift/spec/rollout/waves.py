"""Which hosts change together, and in which order: fixed before the first of them changes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Protocol

from uplift.spec.base import near_miss
from uplift.spec.errors import UsageError

_SIZE = re.compile(r"([1-9][0-9]*)(%?)")


class Host(Protocol):
    """A host as far as waves are concerned."""

    @property
    def name(self) -> str:
        """Return its name in the inventory."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the groups that it is in."""


@dataclass(frozen=True)
class Size:
    """How many hosts a wave takes.

    Args:
        number: of hosts, or percent of the selected ones.
        percent: whether it is percent.
    """

    number: int
    percent: bool

    def of(self, total: int) -> int:
        """Return the number of hosts, rounded up: at least one.

        Args:
            total: hosts that are selected (of the group, where the wave names one).
        """
        return max(1, math.ceil(total * self.number / 100)) if self.percent else self.number


def size(word: str) -> Size | None:
    """Read a size: ``3`` or ``25%``; None for any other word.

    Args:
        word: as it was written.

    Raises:
        ValueError: more than 100 percent.
    """
    found = _SIZE.fullmatch(word)
    if not found:
        return None
    number, percent = int(found[1]), found[2] == "%"
    if percent and number > 100:
        msg = f"{word} is more than all hosts"
        raise ValueError(msg)
    return Size(number, percent)


def divided(hosts: Sequence[Host], words: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Divide hosts into waves; within a wave the inventory's order stays.

    A word is a number of hosts (``1``), percent of the selected ones (``25%``), a group or a
    pattern of host names (all of these that are left), or both (``apps:25%``). Hosts that are left
    at the end come in waves of the last size; a list that ends with a name must leave none.

    Args:
        hosts: that are selected, in the inventory's order.
        words: one a wave.

    Raises:
        UsageError: a word is neither a size nor selects a host, or hosts are in no wave.
    """
    asked = list(words)
    if not asked:
        raise UsageError("waves: name at least one, as 1,25%,100%")
    left, waves = list(hosts), []
    for word in asked:
        taken = _taken(word, hosts, left)
        if taken:
            waves.append(tuple(host.name for host in taken))
            left = [host for host in left if host not in taken]
    last = _last(asked[-1], hosts)
    while left and last is not None:
        taken, left = left[: last.of(len(hosts))], left[last.of(len(hosts)) :]
        waves.append(tuple(host.name for host in taken))
    if left:
        names = ", ".join(host.name for host in left)
        raise UsageError(f"waves: {names}: in no wave; end the list with a size, as 100%")
    return tuple(waves)


def naming(hosts: Sequence[Host], words: Iterable[str]) -> tuple[str, ...]:
    """Return the words of waves that are about some hosts: sizes, and names that one of them has.

    Args:
        hosts: that are selected.
        words: one a wave.
    """
    found = []
    for word in words:
        name, _, rest = word.rpartition(":")
        name = name if _SIZE.fullmatch(rest) else word
        if not name or _chosen(name, hosts):
            found.append(word)
    return tuple(found)


def _taken(word: str, hosts: Sequence[Host], left: Sequence[Host]) -> list[Host]:
    name, _, rest = word.rpartition(":")
    try:
        number = size(rest)
    except ValueError as error:
        raise UsageError(f"waves: {error}") from None
    if number is None:
        name = word
    if not name:
        return list(left[: number.of(len(hosts))]) if number else []
    own = _named(name, hosts)
    there = [host for host in left if host in own]
    return there[: number.of(len(own))] if number else there


def _last(word: str, hosts: Sequence[Host]) -> Size | None:
    """Return the size that is repeated: that of a last word without a name."""
    return size(word) if ":" not in word else None


def _named(name: str, hosts: Sequence[Host]) -> list[Host]:
    chosen = _chosen(name, hosts)
    if not chosen:
        groups = {group for host in hosts for group in host.groups}
        guess = near_miss(name, [*groups, *(host.name for host in hosts)])
        hint = f", did you mean {guess!r}?" if guess else ""
        raise UsageError(
            f"waves: {name!r} is no size (3, 25%) and none of the selected hosts or groups{hint}"
        )
    return chosen


def _chosen(name: str, hosts: Sequence[Host]) -> list[Host]:
    groups = {group for host in hosts for group in host.groups}
    return [
        host
        for host in hosts
        if (name in host.groups if name in groups else fnmatch(host.name, name))
    ]
