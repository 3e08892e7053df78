"""Fingerprints of anything that was read: equal when all of it is equal.

What changes by itself (times, counts, a random id) does not count: an object that holds such things
has a method ``steady`` that returns the rest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
from collections.abc import Mapping, Set
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import PurePath

from pydantic import BaseModel

from uplift.spec.secret import Secret


def fingerprint(value: object, key: bytes) -> str:
    """Return a keyed hash of a value: 16 hexadecimal digits.

    Args:
        value: made of dataclasses, models and Python's own types.
        key: random bytes that stay on the controller, so that nobody can test guesses.

    Raises:
        TypeError: there is a thing inside that has no content to compare.
    """
    text = json.dumps(_plain(value), sort_keys=True, ensure_ascii=True)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:16]


def parts(value: object, key: bytes) -> dict[str, str]:
    """Return fingerprints of the parts of a value, by name: what moved can then be named.

    Args:
        value: as for ``fingerprint``.
        key: likewise.

    Returns:
        One for each field; for each entry where a field maps names to something, as
        ``containers.redis``.
    """
    found: dict[str, str] = {}
    for name, part in _named(value):
        inner = list(_named(part)) if isinstance(part, Mapping) else []
        found |= {f"{name}.{below}": fingerprint(one, key) for below, one in inner}
        # Without entries there is still something to compare.
        found |= {} if inner else {name: fingerprint(part, key)}
    return found


def _named(value: object) -> list[tuple[str, object]]:
    value = _steady(value)
    if isinstance(value, Mapping):
        return [(str(name), part) for name, part in value.items()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field for field in dataclasses.fields(value) if field.compare]
        return [(field.name, getattr(value, field.name)) for field in fields]
    return [("all", value)]


def _steady(value: object) -> object:
    steady = getattr(value, "steady", None)
    return steady() if callable(steady) else value


def _plain(value: object) -> object:
    """Return a value as JSON, with its types where two would look the same."""
    value = _steady(value)
    match value:
        case Enum():
            return [type(value).__name__, value.name]
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return ["bytes", value.hex()]
        case Secret():
            return ["secret", value.reveal()]
        case Mapping():
            pairs = [[_plain(key), _plain(item)] for key, item in value.items()]
            return ["map", sorted(pairs, key=_order)]
        case Set():
            return ["set", sorted((_plain(item) for item in value), key=_order)]
        case list() | tuple():
            return [_plain(item) for item in value]
        case BaseModel():
            fields = type(value).model_fields
            return [type(value).__name__, {name: _plain(getattr(value, name)) for name in fields}]
        case datetime() | date() | time() | timedelta() | PurePath():
            return [type(value).__name__, str(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.compare]
        return [type(value).__name__, {name: _plain(getattr(value, name)) for name in names}]
    msg = f"a {type(value).__name__} cannot be fingerprinted"
    raise TypeError(msg)


def _order(value: object) -> str:
    return json.dumps(value, sort_keys=True)
