"""Read a server's state and the files of its tokens, in one command."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts.http import SEND, Sent, sent
from uplift.spec.influxdb.state import TokenFile
from uplift.spec.secret import Secret

# A token is some 90 bytes. Nothing is opened through a link.
_FILES = r"""
export LC_ALL=C
content() {
  dd if="$1" iflag=nofollow,nonblock,fullblock bs=4097 count=1 2>/dev/null | base64 -w 0
}
file() {
  if [ -L "$1" ]; then echo "file $1 other"
  elif [ ! -e "$1" ]; then echo "file $1 absent"
  elif [ ! -f "$1" ]; then echo "file $1 other"
  else
    echo "file $1 file $(stat -c '%a %U' "$1") -$(content "$1")"
  fi
}
""".strip()
_ALL = 'for path in "$@"; do file "$path"; done; echo end'


@dataclass(frozen=True)
class Found:
    """What a host said.

    Args:
        sent: the server's answers.
        files: by path.
    """

    sent: Sent
    files: Mapping[str, TokenFile] = field(default_factory=dict)


class InfluxDB(FactBase[Found | None]):
    """Return the answers of an InfluxDB to requests from its host, and the files of its tokens.

    Both hold secrets: read it by ``uplift.facts.script.read_quietly``.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, address: str, files: Sequence[str] = (), limit: int = 300) -> StringCommand:
        """Return the one command; the requests come by standard input.

        Args:
            address: of the server, without credentials.
            files: paths.
            limit: seconds for all requests together.
        """
        words = [QuoteString(word) for word in (str(limit), "0", address, *files)]
        text = f'{SEND}\n{_FILES}\nhttp "$1" "$2" "$3"\nshift 3\n{_ALL}'
        return StringCommand("sh", "-c", QuoteString(text), "uplift", *words)

    def process(self, output: Iterable[str]) -> Found:
        """Turn the lines of the script into a value."""
        lines = [line.split(" ") for line in output]
        if not lines or lines[-1] != ["end"] or lines[0][0] != "http":
            msg = "what the host said about InfluxDB was cut off"
            raise FactProcessError(msg)
        return Found(
            sent=sent(" ".join(lines[0][1:])),
            files={words[1]: _file(words[2:]) for words in lines[1:-1]},
        )


class TokenFiles(FactBase[Mapping[str, TokenFile] | None]):
    """Return the files of tokens by path; they are secret: read it by ``read_quietly``."""

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, files: Sequence[str]) -> StringCommand:
        """Return the one command.

        Args:
            files: paths.
        """
        words = [QuoteString(path) for path in files]
        text = f"{_FILES}\n{_ALL}"
        return StringCommand("sh", "-c", QuoteString(text), "uplift", *words)

    def process(self, output: Iterable[str]) -> Mapping[str, TokenFile]:
        """Turn the lines of the script into a value."""
        lines = [line.split(" ") for line in output]
        if not lines or lines[-1] != ["end"]:
            msg = "what the host said about files of tokens was cut off"
            raise FactProcessError(msg)
        return {words[1]: _file(words[2:]) for words in lines[:-1]}


def _file(words: list[str]) -> TokenFile:
    kind, *more = words
    if kind != "file":
        return TokenFile(kind=kind)
    mode, owner, content = more
    try:
        text = base64.b64decode(content.removeprefix("-"), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return TokenFile("file", mode, owner)
    # A line end that an editor left is part of no token.
    return TokenFile("file", mode, owner, Secret(text.rstrip("\n")))
