"""Amounts of bytes as people write them: ``10GB``, ``512MiB``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNITS: dict[str, int] = {
    **{f"{letter}B": 1000**power for power, letter in enumerate(("k", "M", "G", "T"), 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate(("K", "M", "G", "T"), 1)},
}
_WORD = re.compile(r"([0-9]+) ?([A-Za-z]+)")


def amount(text: object) -> int:
    """Return an amount in bytes.

    Args:
        text: a whole number with its unit.

    Raises:
        ValueError: it has no unit, or another one, or is nothing.
    """
    found = _WORD.fullmatch(text) if isinstance(text, str) else None
    if not found or found[2] not in _UNITS or int(found[1]) == 0:
        shown = f"; found {text!r}" if isinstance(text, int | str) else ""
        msg = f"write an amount as a number with its unit ({', '.join(_UNITS)}): '10GB'{shown}"
        raise ValueError(msg)
    return int(found[1]) * _UNITS[found[2]]


def human(number: int) -> str:
    """Return bytes as people write them, without rounding.

    Args:
        number: of bytes.
    """
    for unit, size in sorted(_UNITS.items(), key=lambda item: -item[1]):
        if number and number % size == 0:
            return f"{number // size}{unit}"
    return f"{number} bytes"


Amount = Annotated[int, BeforeValidator(amount)]
"""Bytes, written as text with a unit in the settings."""
