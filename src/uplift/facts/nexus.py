"""Read a Nexus, its first password and what the host remembers of it, in one command."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts.http import SEND, Sent, sent
from uplift.spec.secret import Secret

# The file is there until admin's password was changed; both are small, and nothing is opened
# through a link. The folder of a volume is asked of Docker, as a container may have no shell.
_FILES = r"""
export LC_ALL=C
content() {
  dd if="$1" iflag=nofollow,nonblock,fullblock bs=1048577 count=1 2>/dev/null | base64 -w 0
}
http "$1" 0 "$3"
data=
if [ -n "$2" ] && command -v docker >/dev/null 2>&1; then
  data=$(docker inspect --type container --format \
    '{{range .Mounts}}{{if eq .Destination "/nexus-data"}}{{.Source}}{{end}}{{end}}' \
    -- "$2" 2>/dev/null)
fi
[ -z "$data" ] || echo "first -$(content "$data/admin.password")"
[ -z "$4" ] || echo "record -$(content "$4")"
echo end
""".strip()


@dataclass(frozen=True)
class Found:
    """What a host said.

    Args:
        sent: the server's answers.
        first_password: what a new server made up; None when there is none.
        record: contents of the record, empty when there is none.
    """

    sent: Sent
    first_password: Secret | None = None
    record: str = ""


class Nexus(FactBase[Found | None]):
    """Return the answers of a Nexus to requests from its host, and its first password.

    Both hold secrets: read it by ``uplift.facts.script.read_quietly``.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(
        self, address: str, container: str = "", record: str = "", limit: int = 300
    ) -> StringCommand:
        """Return the one command; the requests come by standard input.

        Args:
            address: of the server, without credentials.
            container: whose volume may hold the first password; empty for none.
            record: path of what the host remembers; empty for none.
            limit: seconds for all requests together.
        """
        words = [QuoteString(word) for word in (str(limit), container, address, record)]
        return StringCommand("sh", "-c", QuoteString(f"{SEND}\n{_FILES}"), "uplift", *words)

    def process(self, output: Iterable[str]) -> Found:
        """Turn the lines of the script into a value."""
        lines = [line.split(" ") for line in output]
        if not lines or lines[-1] != ["end"] or lines[0][0] != "http":
            msg = "what the host said about Nexus was cut off"
            raise FactProcessError(msg)
        files = {words[0]: _text(words[1]) for words in lines[1:-1]}
        first = files.get("first", "").strip()
        return Found(
            sent=sent(" ".join(lines[0][1:])),
            first_password=Secret(first) if first else None,
            record=files.get("record", ""),
        )


def _text(word: str) -> str:
    try:
        return base64.b64decode(word.removeprefix("-"), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
