"""Send requests from the host itself to a service on it, all in one command."""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

# The configuration stays in a variable and goes to curl by a builtin: it is in no argument.
SEND = r"""
http() {
  command -v curl >/dev/null 2>&1 || { cat >/dev/null; echo "http no-curl"; return 0; }
  config=$(cat)
  if [ "$2" -gt 0 ]; then
    end=$(($(date +%s) + $2))
    while [ "$(date +%s)" -lt "$end" ]; do
      # With an address that must answer 200, whatever else it says is not yet. Nothing secret is
      # sent: it is asked for life, not for trust.
      status=$(curl -q -sk -o /dev/null -w '%{http_code}' --noproxy '*' --max-time 5 -- "${4:-$3}")
      case $? in 7|28|52|56) sleep 0.5; continue ;; esac
      [ -n "${4:-}" ] && [ "$status" != 200 ] || break
      sleep 0.5
    done
  fi
  said=$({
    printf '%s\n' "$config" | timeout "$1" curl -q --config -
    printf '\n%s\n' "$?"
  } | gzip -c | base64 -w 0)
  printf 'http %s\n' "$said"
}
""".strip()
"""``http LIMIT WAIT ADDRESS [READY]`` sends what is configured by standard input, prints one line.

LIMIT: seconds for all requests. WAIT: seconds to wait until something listens at ADDRESS, or until
READY answers 200.
"""

EACH = r"""
each() {
  command -v curl >/dev/null 2>&1 || { cat >/dev/null; echo "http no-curl"; return 0; }
  number=0; failed=' '; broken=
  while IFS=' ' read -r needs config; do
    for need in $(printf %s "$needs" | tr ',' ' '); do
      case $failed in *" $need "*) needs=failed ;; esac
    done
    if [ "$needs" = failed ] || [ -n "$broken" ]; then
      failed="$failed$number "
      echo "http skipped"
    else
      said=$({
        printf %s "$config" | base64 -d | timeout "$1" curl -q --config -
        printf '\n%s\n' "$?"
      } | gzip -c | base64 -w 0)
      printf 'http %s\n' "$said"
      # The two lines that our trailer and the line above end with, whatever the body is.
      set -- "$1" $(printf %s "$said" | base64 -d | gzip -dc | tail -n 3 | cut -d ' ' -f 1-2)
      case ${2:-} in 2??) ;; *) failed="$failed$number " ;; esac
      # No answer at all: none can be expected to what follows.
      [ "${3:-1}" = 0 ] || broken=1
    fi
    number=$((number + 1))
  done
}
""".strip()
"""``each LIMIT`` sends requests one after the other, a line of standard input each.

A line is the numbers of the requests that it needs (``-`` for none), joined by commas, and its
configuration in base64. A request whose need did not get a 2xx is not sent. Prints a line for each.
LIMIT: seconds for each.
"""

NO_CURL = "no-curl"
SKIPPED = "skipped"


@dataclass(frozen=True)
class Sent:
    """What curl printed on a host; ``uplift.spec.http.judge`` takes it apart.

    Args:
        curl: the host has curl.
        raw: its output; may hold secrets, so it is never shown.
        code: its exit code, or that of ``timeout``.
    """

    curl: bool
    raw: bytes = field(default=b"", repr=False)
    code: int = 0

    def steady(self) -> bool:
        """Return what can be told from it: what the answers mean is told by who understands them.

        They hold times, and come in any order.
        """
        return self.curl


def sent(word: str) -> Sent:
    """Return what the line of ``http`` says.

    Args:
        word: the line without its first word.

    Raises:
        FactProcessError: it was cut off; never shows any of it.
    """
    if word == NO_CURL:
        return Sent(curl=False)
    try:
        raw = gzip.decompress(base64.b64decode(word, validate=True))
        body, code, end = raw.rsplit(b"\n", 2)
        if end:
            raise ValueError
        return Sent(curl=True, raw=body, code=int(code))
    except (ValueError, OSError, EOFError, zlib.error, binascii.Error):
        msg = "the service's answers were cut off"
        raise FactProcessError(msg) from None


class Http(FactBase[Sent | None]):
    """Return the answers to requests that the host sends to a service on it.

    The configuration of ``uplift.spec.http.render`` comes by standard input, and
    the answers may hold secrets: read it by ``uplift.facts.script.read_quietly``.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(
        self, address: str, limit: int = 300, wait: int = 0, ready: str = ""
    ) -> StringCommand:
        """Return the one command.

        Args:
            address: of the service, without credentials; asked while waiting.
            limit: seconds for all requests together.
            wait: seconds to wait until something listens.
            ready: address that is waited for until it answers 200.
        """
        script = f'{SEND}\nexport LC_ALL=C\nhttp "$@"'
        words = [QuoteString(word) for word in (str(limit), str(wait), address, ready)]
        return StringCommand("sh", "-c", QuoteString(script), "uplift", *words)

    def process(self, output: Iterable[str]) -> Sent:
        """Take the one line apart."""
        for line in output:
            word, _, rest = line.partition(" ")
            if word == "http":
                return sent(rest)
        msg = "the host printed no answers"
        raise FactProcessError(msg)


class HttpEach(FactBase[list[Sent | None] | None]):
    """Return the answers to requests that are sent one after the other; None for one left out.

    The lines of ``EACH`` come by standard input: read it by
    ``uplift.facts.script.read_quietly``.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, limit: int = 60) -> StringCommand:
        """Return the one command.

        Args:
            limit: seconds for each request.
        """
        script = f'{EACH}\nexport LC_ALL=C\neach "$1"'
        return StringCommand("sh", "-c", QuoteString(script), "uplift", QuoteString(str(limit)))

    def process(self, output: Iterable[str]) -> list[Sent | None]:
        """Take the lines apart."""
        words = [line.split(" ", 1)[1] for line in output if line.startswith("http ")]
        return [None if word == SKIPPED else sent(word) for word in words]
