"""Scripts that run on a host: input that pyinfra never prints."""

from __future__ import annotations

from collections.abc import Iterator


class HiddenInput:
    """Text for a remote command's standard input that pyinfra cannot print.

    pyinfra shows a fact's arguments at ``-v`` and an operation's in ``--debug-operations``;
    whatever has a ``repr`` of its own shows that instead.

    Args:
        text: what the command reads; a final newline is added when there is none.
    """

    def __init__(self, text: str) -> None:
        self._text = text if text.endswith("\n") else text + "\n"

    def readlines(self) -> list[str]:
        """Return the text as one piece: pyinfra writes each item on its own."""
        return [self._text]

    def __iter__(self) -> Iterator[str]:
        return iter(self.readlines())

    def __repr__(self) -> str:
        return "<hidden input>"
