"""Read a host's Docker Engine."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts import job
from uplift.spec.certificates import BUNDLE
from uplift.spec.docker_state import LOADED, RECORD, DockerState, parse

# `docker info` is asked only when the daemon runs: the socket unit would start it otherwise,
# and reading must not change anything. Times are in microseconds where systemd can (247 on).
_SCRIPT = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
if [ -d /run/systemd/system ]; then echo "systemd yes"; else echo "systemd no"; fi
@settled@
echo "busy $busy"
( . /etc/os-release && echo "os $ID ${VERSION_ID:-}" ) 2>/dev/null
dpkg-query -W -f '${db:Status-Abbrev}package ${Package} ${Version}\n' \
  docker.io docker-cli docker-buildx docker-ce moby-engine podman-docker 2>/dev/null |
  sed -n 's/^[hi]i  *package/package/p'
path=$(command -v dockerd) && echo "engine $path"
path=$(command -v docker) && echo "client $path"
show() {
  systemctl "$@" show docker.service -p LoadState,ActiveState,UnitFileState,InvocationID \
    -p MainPID,ActiveEnterTimestamp,StateChangeTimestamp 2>/dev/null
}
unit=$(show --timestamp=us+utc || show)
printf '%s\n' "$unit" | sed -n 's/^[A-Z]/unit &/p'
get() { printf '%s\n' "$unit" | sed -n "s/^$1=//p"; }
when() { moment=$(get "$2"); [ -z "$moment" ] || echo "$1 $(date -d "$moment" +%s.%N)"; }
if [ "$(get ActiveState)" = active ] || [ "$(get ActiveState)" = reloading ]; then
  when started ActiveEnterTimestamp; when reloaded StateChangeTimestamp
  echo "flags $(base64 -w 0 "/proc/$(get MainPID)/cmdline" 2>/dev/null)"
  echo "info $(timeout 20 docker -H unix:///var/run/docker.sock info --format '{{json .}}' \
    2>/dev/null | base64 -w 0)"
fi
[ -s /var/lib/docker/swarm/docker-state.json ] && echo "swarm files"
file=/etc/docker/daemon.json
if [ -f "$file" ] && [ ! -L "$file" ]; then content=$(base64 -w 0 "$file"); else content=-; fi
stat -c "config %a %u:%g %.9Y ${content:--} %F" "$file" 2>/dev/null
ca() {
  [ -f "$2" ] || return 0
  echo "$1 $(sha256sum <"$2" | cut -d ' ' -f 1) $(stat -Lc '%a %u:%g %.9Y' "$2")$3"
}
for file in /etc/docker/certs.d/*/ca.crt; do ca cert "$file" " $file"; done
ca bundle @bundle@
[ -f @record@ ] && echo "record $(base64 -w 0 @record@)"
[ -f @loaded@ ] && echo "loaded $(head -n 1 @loaded@)"
echo end
"""


class Docker(FactBase[DockerState | None]):
    """
    Return what is known of the host's Docker Engine; with no Engine, its parts are empty.

    .. code:: python

        DockerState(systemd=True, os=("debian", "13"), packages={"docker.io": "26.1.5+dfsg1-9"},
                    engine="/usr/sbin/dockerd", unit={"ActiveState": "active", ...},
                    config=ConfigFile(content=b"{...}", mode="644", ...), info={...}, ...)

    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self) -> StringCommand:
        """Return the one script that reads everything."""
        text = _SCRIPT.replace("@settled@", job.settled("docker"))
        for word, value in {"bundle": BUNDLE, "record": RECORD, "loaded": LOADED}.items():
            text = text.replace(f"@{word}@", value)
        return StringCommand("sh", "-c", QuoteString(text))

    def process(self, output: Iterable[str]) -> DockerState:
        """Turn the script's lines into a state."""
        try:
            return parse(output)
        except (ValueError, KeyError, TypeError) as error:
            raise FactProcessError(str(error)) from error
