"""Read the container of a Nexus with its data, and which version wrote them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts.container import Containers
from uplift.spec.container import Container
from uplift.spec.container.state import State
from uplift.spec.container.state import parse as parse_state
from uplift.spec.nexus import tls
from uplift.spec.nexus.data import Data, Traces, parse, parse_traces
from uplift.spec.nexus.server import PORT, PROPERTIES, UID

# $1 place of the data, $2 name of the container, $3 folder of its TLS; `dk` and `pack` are those of
# the script before it. Deeper than two levels a blob store may hold a million files.
_LOOK = r"""
nexus_tls() {
  began=$(dk inspect --type container --format \
    '{{if .State.Running}}{{.State.StartedAt}}{{end}}' "$1")
  [ -z "$began" ] || echo "tls-started $(date -d "$began" +%s%N)"
  [ -d "$2" ] && [ ! -L "$2" ] || return 0
  echo "tls-folder $(stat -c '%a %u:%g' "$2")"
  for one in @tls@; do
    [ -f "$2/$one" ] && [ ! -L "$2/$one" ] || continue
    # The time of the last rename or change of mode: what the server read before is another file.
    echo "tls-file $one $(stat -c '%a %u:%g %.9Z' "$2/$one" | tr -d .) -$(base64 -w 0 "$2/$one")"
  done
}
nexus_look() {
  nexus_tls "$2" "$3"
  echo "nexus-memory $(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
  case $1 in
    volume:*) path=$(dk volume inspect --format '{{.Mountpoint}}' "${1#volume:}") || path= ;;
    *) path=${1#bind:} ;;
  esac
  [ -n "$path" ] && [ -d "$path" ] || return 0
  echo "nexus-owner $(stat -L -c '%u:%g' "$path")"
  # Nobody gets as far as a volume.
  case $1,$(stat -L -c '%a' "$path") in volume:*|*0) ;; *) echo "nexus-open yes" ;; esac
  echo "nexus-foreign $(
    find "$path/" -mindepth 1 -maxdepth 2 ! \( -uid @uid@ -gid @uid@ \) | wc -l)"
  echo "nexus-databases" $(ls -A "$path/db" 2>/dev/null | tr -c 'A-Za-z0-9._\n-' _)
  [ -z "$(ls -A "$path/db" 2>/dev/null)" ] && [ ! -e "$path/keystores" ] || echo "nexus-used yes"
  # A link may lead anywhere on the host.
  file=$path/@properties@
  [ -L "$file" ] || [ ! -f "$file" ] || echo "nexus-properties $(pack <"$file")"
}
"""


@dataclass(frozen=True)
class Found:
    """A Nexus on a host.

    Args:
        data: what is where its data shall be.
        state: its container, with all that it is compared by.
        tls: what it is given for TLS; holds its key.
    """

    data: Data
    state: State
    tls: tls.Files = field(default_factory=tls.Files)


class NexusServer(FactBase[Found | None]):
    """
    Return the container and the data of a Nexus, as :class:`Found`, by one command.

    Read it with ``read_quietly`` and a salt on standard input, as ``facts.container.Containers``.
    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, container: Container, place: str) -> StringCommand:
        """Return the one script that reads everything.

        + container: as it shall be
        + place: of the data
        """
        look = _LOOK.replace("@uid@", str(UID)).replace("@properties@", PROPERTIES)
        look = look.replace("@tls@", " ".join(tls.RIGHTS))
        words = shlex.join(["nexus_look", place, container.name, tls.folder(container.name)])
        return Containers().command([container], more=f"{look}{words}")

    def process(self, output: Iterable[str]) -> Found:
        """Turn the script's lines into what was found."""
        lines = list(output)
        try:
            return Found(parse(lines), parse_state(lines), tls.parse(lines))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise FactProcessError(f"nexus: {error}") from error


# $1 name of the container, $2 place of the data, $3 the wanted image.
_TRACES = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" HOME=/root
dk() { timeout 60 docker -H unix:///var/run/docker.sock "$@" 2>/dev/null; }
started() { sed -n 's/^Started Sonatype Nexus [^0-9]*\([0-9][0-9.-]*\).*/logged \1/p' | tail -n 1; }
address=$(dk inspect --type container --format \
  '{{if .State.Running}}{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}{{end}}' "$1")
set -- "$1" "$2" "$3" $address
if [ "$#" -gt 3 ]; then
  curl -sI --noproxy '*' --max-time 10 "http://$4:@port@/" |
    sed -n 's,^[Ss]erver: *Nexus/\([0-9][0-9.-]*\).*,serves \1,p'
fi
case $2 in
  volume:*) path=$(dk volume inspect --format '{{.Mountpoint}}' "${2#volume:}") || path= ;;
  *) path=${2#bind:} ;;
esac
if [ -n "$path" ] && [ -d "$path" ]; then
  started <"$path/log/nexus.log" 2>/dev/null
  for file in $(ls -t "$path"/log/nexus-*.log.gz 2>/dev/null | head -n 10); do
    gzip -dc "$file" 2>/dev/null | started
  done
  cat "$path"/cache/bundle*/bundle.info 2>/dev/null |
    grep -ao 'nexus-bootstrap/[0-9][0-9.-]*' | sed 's,^nexus-bootstrap/,cached ,' | sort -u
fi
dk image inspect --format '{{range $key, $value := .Config.Labels}}{{$key}}={{$value}}
{{end}}{{range .Config.Env}}{{.}}
{{end}}' "$3" | sed -n -E \
  's/^(version|org.opencontainers.image.version|NEXUS_VERSION)=([0-9][0-9.-]*).*/image \2/p'
echo end
"""


class NexusTraces(FactBase[Traces | None]):
    """
    Return what says which version wrote the data, and which one an image is, as :class:`Traces`.

    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, container: str, place: str, image: str) -> StringCommand:
        """Return the one script that looks for all of it.

        + container: name
        + place: of the data
        + image: the wanted one
        """
        text = _TRACES.replace("@port@", str(PORT))
        words = [QuoteString(word) for word in (container, place, image)]
        return StringCommand("sh", "-c", QuoteString(text), "uplift", *words)

    def process(self, output: Iterable[str]) -> Traces:
        """Turn the script's lines into a value."""
        try:
            return parse_traces(output)
        except ValueError as error:
            raise FactProcessError(f"nexus: {error}") from error
