"""How long steps tell what they are doing."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str], None]
"""Told what is being done now, in a few words; the command line shows it as progress."""


def silent(_text: str) -> None:
    """Tell nobody."""
