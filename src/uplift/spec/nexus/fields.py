"""Two values of the API compared by their meaning, and joined."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from uplift.spec.nexus.api import snake
from uplift.spec.nexus.units import human
from uplift.spec.secret import SecretRef

_EMPTY: tuple[Any, ...] = (None, False, "", [], {})
"""What the server leaves out, or shows as another of these."""

_LOGIN = re.compile(r"(?<=://)[^/\s]*@")
"""Of an address that somebody entered by hand: ours have none."""


@dataclass(frozen=True)
class Change:
    """A field that differs.

    Args:
        path: keys of the API, joined by dots.
        old: what is there.
        new: what is wanted.
    """

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{snake(self.path)}: {_shown(self.path, self.old)} -> {_shown(self.path, self.new)}"


@dataclass(frozen=True)
class Rules:
    """How fields of a kind of object compare.

    Args:
        sets: lists whose order says nothing.
        folded: texts whose letter case says nothing.
        fixed: what cannot be changed, and why not.
        unseen: what this server does not show.
    """

    sets: Collection[str] = ()
    folded: Collection[str] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    unseen: Collection[str] = ()


def changes(wanted: Mapping[str, Any], there: Mapping[str, Any], rules: Rules) -> list[Change]:
    """Return the fields in which an object differs from what is wanted, in their order.

    Secrets are not compared: the server does not show them.

    Args:
        wanted: fields that are wanted; others are as they may be.
        there: the object, as the server shows it.
        rules: for its kind.
    """
    return list(_changes(wanted, there, rules, ""))


def _changes(
    wanted: Mapping[str, Any], there: Mapping[str, Any], rules: Rules, above: str
) -> Iterator[Change]:
    for key, new in wanted.items():
        path, old = f"{above}{key}", there.get(key)
        if isinstance(new, SecretRef) or path in rules.unseen:
            continue
        if isinstance(new, Mapping):
            yield from _changes(new, old if isinstance(old, Mapping) else {}, rules, f"{path}.")
        elif _meaning(new, path, rules) != _meaning(old, path, rules):
            yield Change(path, old, new)


def _meaning(value: Any, path: str, rules: Rules) -> Any:
    # Zero is a number, not nothing.
    if any(value == empty and type(value) is type(empty) for empty in _EMPTY):
        return None
    if path in rules.sets and isinstance(value, list | tuple):
        return sorted(set(value))
    if path in rules.folded and isinstance(value, str):
        return value.casefold()
    return value


def joined(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is there with the wanted fields set: the server drops what a request leaves out.

    Args:
        wanted: fields that are wanted; None takes one away.
        there: the object, as the server shows it.
    """
    found = {key: value for key, value in there.items() if value is not None}
    for key, new in wanted.items():
        if new is None:
            found.pop(key, None)
        elif isinstance(new, Mapping) and isinstance(found.get(key), Mapping):
            found[key] = joined(new, found[key])
        elif isinstance(new, Mapping):
            found[key] = joined(new, {})
        else:
            found[key] = new
    return found


def _shown(path: str, value: Any) -> str:
    if path.endswith("softQuota.limit") and isinstance(value, int):
        return human(value)
    if value is None:
        return "nothing"
    text = _LOGIN.sub("(hidden)@", json.dumps(value, ensure_ascii=False, default=str))
    return "".join(letter if letter.isprintable() else " " for letter in text)
