"""Ask registries which tags they have, from the host that pushes, in one command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts import job
from uplift.facts.container import LOGIN
from uplift.spec.container.image import Reference
from uplift.spec.images.state import Found, parse

# The daemon itself asks: it has the registry's certificate, and root's login goes by curl's
# standard input.
ASK = (
    r"""
socket=/var/run/docker.sock
pack() { base64 -w 0; }
"""
    + LOGIN
    + r"""
# $1 reference, $2 its registry: the answer, and its status on a last line
ask() {
  auth=$(login "$2")
  printf '%s\n' "unix-socket = \"$socket\"" "url = \"http://docker/distribution/$1/json\"" \
    silent globoff 'max-time = 60' 'write-out = "\n%{http_code}"' \
    ${auth:+"header = \"X-Registry-Auth: $auth\""} | curl -q --config - 2>/dev/null
}
"""
)

_HEAD = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" HOME=/root
umask 077
exec </dev/null
"""

_EACH = r"""
while [ "$#" -ge 2 ]; do
  answer=$(ask "$1" "$2") || :
  code=${answer##*
}
  echo "tag $1 ${code:-000} $(printf %s "${answer%
*}" | pack)"
  shift 2
done
echo end
"""

RESOLVE = _HEAD + ASK + _EACH
"""Say what references mean at their registries. Arguments: REFERENCE REGISTRY, as often as wanted;
``spec.images.parse`` reads the answer."""

_READ = (
    _HEAD
    + job.settled("images")
    + ASK
    + r"""
echo "busy $busy"
unable() { echo "unable $1"; echo end; exit 0; }
command -v curl >/dev/null || unable "curl is not installed"
timeout 60 docker -H "unix://$socket" version >/dev/null 2>&1 ||
  unable "Docker does not answer: deploys/docker.py installs it"
docker buildx version >/dev/null 2>&1 ||
  unable "buildx is not installed (Debian 13: apt install docker-buildx; Debian 12 has none)"
# BuildKit tries what it can run; a star marks what somebody asked for.
[ "$1" != platforms ] || echo "platforms $(docker buildx inspect default 2>/dev/null |
  sed -n 's/^Platforms: *//p' | tr -d ' *')"
shift
"""
    + _EACH
)


class Images(FactBase[Found | None]):
    """
    Return which tags are in their registries, with digests, as :class:`Found`.

    Read it with ``read_quietly``. None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, references: Sequence[str], platforms: bool = False) -> StringCommand:
        """Return the one command.

        + references: whole names with their tags
        + platforms: it matters for which ones the host can build
        """
        words = [word for it in references for word in (it, Reference.parse(it).registry)]
        words.insert(0, "platforms" if platforms else "tags")
        return StringCommand("sh", "-c", QuoteString(_READ), "uplift", *map(QuoteString, words))

    def process(self, output: Iterable[str]) -> Found:
        """Turn the script's lines into a value."""
        try:
            return parse(output)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise FactProcessError(f"images: {error}") from error
