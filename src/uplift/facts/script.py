"""Scripts that run on a host: input that pyinfra never prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class HiddenInput:
    """Text for a remote command's standard input that pyinfra cannot print.

    pyinfra shows a fact's arguments at ``-v`` and an operation's in ``--debug-operations``;
    whatever has a ``repr`` of its own shows that instead.

    Args:
        text: what the command reads; a final newline is added when there is none. Something
            large comes as lines, which are shared by all hosts and sent one by one.
    """

    def __init__(self, text: str | Sequence[str]) -> None:
        pieces = [text] if isinstance(text, str) else text
        self._pieces = [piece if piece.endswith("\n") else piece + "\n" for piece in pieces]

    def readlines(self) -> list[str]:
        """Return the text's pieces: pyinfra writes each on its own."""
        return self._pieces

    def __iter__(self) -> Iterator[str]:
        return iter(self.readlines())

    def __repr__(self) -> str:
        return "<hidden input>"
