"""What a server refuses, in its own words."""

from __future__ import annotations

from typing import Any

from uplift.spec.errors import UpliftError
from uplift.spec.http import Response

_LONGEST = 300


class Refused(UpliftError):
    """Report why a server is left as it is."""


def words(response: Response) -> str:
    """Return what a server said about a request that it did not do.

    Args:
        response: with an error.
    """
    try:
        said: Any = response.json()
    except ValueError:
        said = None
    if isinstance(said, dict) and "message" in said:
        text = f"{said.get('code', '')}: {said['message']}".removeprefix(": ")
    else:
        text = response.body.decode(errors="replace").strip() or "no reason given"
    # One line, whatever the server says: it goes to a terminal.
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"{response.status} {shown[:_LONGEST]}"
