"""What every command prints: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
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
