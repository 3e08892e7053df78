"""Lengths of time as people write them: ``30d``, ``1h30m``, ``infinite``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

INFINITE = "infinite"

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_WORD = re.compile(r"(?:[0-9]+[wdhms])+")
_PART = re.compile(r"([0-9]+)([wdhms])")


def seconds(text: object) -> int:
    """Return a length of time in seconds; 0 for ``infinite``.

    Args:
        text: numbers with w, d, h, m or s, or ``infinite``.

    Raises:
        ValueError: it is something else, or nothing at all.
    """
    if text == INFINITE:
        return 0
    if not isinstance(text, str) or not _WORD.fullmatch(text):
        msg = (
            "write a length of time as numbers with w, d, h, m or s ('30d', '1h30m'), or 'infinite'"
        )
        raise ValueError(msg)
    length = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if length == 0:
        msg = "no time at all; without end is 'infinite'"
        raise ValueError(msg)
    return length


def human(length: int) -> str:
    """Return seconds as people write them.

    Args:
        length: seconds; 0 is without end.
    """
    if length == 0:
        return INFINITE
    # Whole weeks as such, but 30 days are "30d", not "4w2d".
    units = _UNITS if length % _UNITS["w"] == 0 else {k: v for k, v in _UNITS.items() if k != "w"}
    words = []
    for unit, size in units.items():
        number, length = divmod(length, size)
        words += [f"{number}{unit}"] if number else []
    return "".join(words)


Duration = Annotated[int, BeforeValidator(seconds)]
"""Seconds, written as text in the settings; 0 is without end."""
