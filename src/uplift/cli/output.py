"""What every command prints: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape

# Into a file or a pipe a table has the room that it needs: ids and addresses stay whole.
_WIDE = 400

results = Console(
    highlight=False, soft_wrap=True, width=None if sys.stdout and sys.stdout.isatty() else _WIDE
)
progress = Console(stderr=True, highlight=False, soft_wrap=True)


# rich ends the program where a pipe is closed.
GONE = (OSError, SystemExit)
"""What printing fails with once nobody listens any more."""


def close() -> None:
    """Give up what nobody reads, so that the exit code stays what the command has returned."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Python tries once more at its end, and would fail for it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def error(message: str) -> None:
    """Print an error on stderr, its first line marked."""
    first, *rest = message.splitlines() or [""]
    progress.print(f"[bold red]uplift:[/] {escape(first)}")
    for line in rest:
        progress.print(escape(line))


def as_json(value: Any) -> None:
    """Print a result as JSON on stdout.

    Args:
        value: plain data.
    """
    print(json.dumps(value, indent=2, sort_keys=False))
