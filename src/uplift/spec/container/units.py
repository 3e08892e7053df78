"""Sizes as people and as Docker write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def memory_bytes(value: str) -> int:
    """Return the bytes of a size as ``512m`` or ``2g``.

    Raises:
        ValueError: it is no size.
    """
    match = re.fullmatch(r"([1-9][0-9]*)([bkmgt]?)b?", value.lower())
    if match is None:
        msg = f"a size is a number and k, m or g, for example '512m'; found {value!r}"
        raise ValueError(msg)
    return int(match[1]) * _UNITS[match[2]]


def memory_words(value: int) -> str:
    """Return bytes in the largest unit that needs no fraction."""
    for unit in ("t", "g", "m", "k"):
        if value and value % _UNITS[unit] == 0:
            return f"{value // _UNITS[unit]}{unit}"
    return str(value)
