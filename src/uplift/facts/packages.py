"""Read what a repository serves, from the host that publishes, in one command."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts.http import SEND, Sent, sent
from uplift.facts.script import HiddenInput
from uplift.spec.packages import Sum

LIMIT = 600
"""Seconds for all index pages together, and for each raw file."""

TOOLS = ("uv", "npm", "curl", "tar")

# Standard input: a line for each raw file, "pages", and the configuration for the pages.
# curl says its status on standard error, so that a file of any size goes straight into its hash.
READ = (
    SEND
    + r"""
export LC_ALL=C
PATH=$PATH:/usr/local/bin
for tool in uv npm curl tar; do
  if command -v "$tool" >/dev/null 2>&1; then echo "tool $tool"; fi
done
raw() {
  { printf %s "$1" | base64 -d | timeout "$2" curl -q --config - 2>&3 | sha256sum; } 3>&1 |
    tr -s '\n -' ' '
}
while IFS= read -r line && [ "$line" != pages ]; do
  if command -v curl >/dev/null 2>&1; then printf 'raw %s\n' "$(raw "$line" "$1")"; fi
done
http "$1" 0 "$2"
echo end
""".rstrip()
)
"""``READ LIMIT ADDRESS``"""


@dataclass(frozen=True)
class Found:
    """What a host said.

    Args:
        tools: those of ``TOOLS`` that it has.
        sent: answers to the pages.
        sums: of the raw files.
    """

    tools: frozenset[str]
    sent: Sent
    sums: tuple[Sum, ...]


def questions_input(sums: Sequence[str], config: str) -> HiddenInput:
    """Return what the script reads.

    Args:
        sums: configurations for files that are read to their end; they hold credentials.
        config: for the pages, likewise.
    """
    coded = [base64.b64encode(one.encode()).decode() for one in sums]
    return HiddenInput([*coded, "pages", config])


class Packages(FactBase[Found | None]):
    """Return what repositories serve, as their host sees it.

    The questions hold credentials: read it by ``uplift.facts.script.read_quietly``.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, address: str) -> StringCommand:
        """Return the one command.

        Args:
            address: of a server, without credentials; only named.
        """
        words = [QuoteString(word) for word in arguments(address)]
        return StringCommand("sh", "-c", QuoteString(READ), "uplift", *words)

    def process(self, output: Iterable[str]) -> Found:
        """Turn the lines of the script into a value."""
        return understood(output)


def arguments(address: str) -> Sequence[str]:
    """Return the script's arguments."""
    return (str(LIMIT), address)


def understood(output: Iterable[str]) -> Found:
    """Return what the lines of the script say.

    Args:
        output: all of them.

    Raises:
        FactProcessError: they were cut off.
    """
    lines = [line.partition(" ")[::2] for line in output]
    answers = [rest for word, rest in lines if word == "http"]
    if not lines or lines[-1][0] != "end" or len(answers) != 1:
        msg = "what the host said about the repositories was cut off"
        raise FactProcessError(msg)
    return Found(
        tools=frozenset(rest for word, rest in lines if word == "tool"),
        sent=sent(answers[0]),
        sums=tuple(_sum(rest.split()) for word, rest in lines if word == "raw"),
    )


def _sum(words: Sequence[str]) -> Sum:
    if len(words) != 3:
        msg = "what the host said about a raw file was cut off"
        raise FactProcessError(msg)
    return Sum(int(words[0]), int(words[1]), words[2])
