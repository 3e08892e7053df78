"""Ask a host's Redis what it is: through its own client, in its container."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts import job
from uplift.spec.redis.state import State, parse

# $1 the container. By standard input the line that logs in, then what is asked behind it: the
# server's answer to a PING before the login tells whether strangers get in.
_SCRIPT = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
@settled@
dk() { timeout 60 docker -H unix:///var/run/docker.sock "$@" 2>/dev/null; }
what='{{.State.Status}} {{.Id}}{{.State.StartedAt}}'
found=$(dk inspect --type container --format "$what" "$1") || found="absent -"
echo "container ${found% *}"
echo "seen ${found##* }"
if [ "${found% *}" = running ]; then
  if dk exec "$1" sh -c \
    'test -e /data/appendonlydir/appendonly.aof.manifest || test -e /data/appendonly.aof' </dev/null
  then echo "appendonly yes"; else echo "appendonly no"; fi
  { echo PING; cat; } | dk exec -i "$1" redis-cli --no-raw
else cat >/dev/null; fi
echo end
"""


class Server(FactBase[State | None]):
    """
    Return a running Redis as :class:`State`.

    Read it with ``read_quietly``: what it answers holds hashes of passwords. Its standard input is
    the login and the questions. None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, container: str) -> StringCommand:
        """Return the one script that reads everything.

        + container: its name
        """
        text = _SCRIPT.replace("@settled@", job.settled("redis"))
        return StringCommand("sh", "-c", QuoteString(text), "uplift", QuoteString(container))

    def process(self, output: Iterable[str]) -> State:
        """Turn the script's lines into a state."""
        try:
            return parse(output)
        except (ValueError, KeyError, IndexError, SyntaxError) as error:
            raise FactProcessError(f"redis: {error}") from error
