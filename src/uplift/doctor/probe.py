"""The one remote command of the doctor, and what it saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyinfra.api.command import QuoteString, StringCommand

from uplift.remote.connection import Connection, Result

TIME_LIMIT = 45.0

# As the user who logs in. Nothing here may fail: what is not there is left empty.
_AS_USER = r"""
LC_ALL=C; export LC_ALL
echo "uplift.began=$(date +%s.%N)"
echo "uplift.user=$(id -un)"
echo "uplift.kernel=$(uname -s)"
echo "uplift.machine=$(uname -m)"
( [ -r /etc/os-release ] && . /etc/os-release
  printf 'uplift.%s\n' "id=${ID:-}" "version=${VERSION_ID:-}" "pretty=${PRETTY_NAME:-}" )
folder=${1:+${TMPDIR:-$1}}
case $folder,$(findmnt -n -o OPTIONS -T "$folder" 2>/dev/null), in
    ?*,noexec,*) echo "uplift.noexec=$folder" ;;
esac
"""

# As the user who does the work: root by sudo, as the inventory says.
_AS_ROOT = r"""
LC_ALL=C; export LC_ALL
at_most() { if command -v timeout >/dev/null 2>&1; then timeout 15 "$@"; else "$@"; fi; }
first() { printf '%s\n' "$1" | head -n 1; }
echo "uplift.uid=$(id -u)"
if command -v docker >/dev/null 2>&1; then
    echo "uplift.docker.client=$(first "$(at_most docker --version 2>/dev/null)")"
    if server=$(at_most docker version --format '{{.Server.Version}}' 2>&1); then
        echo "uplift.docker.server=$(first "$server")"
    else
        echo "uplift.docker.error=$(first "$server")"
        echo "uplift.docker.unit=$(systemctl is-active docker 2>/dev/null)"
    fi
fi
for folder in /var/lib/docker /opt; do
    there=$folder
    until [ -d "$there" ]; do there=${there%/*}; there=${there:-/}; done
    set -- $(df -Pk "$there" | tail -n 1)
    echo "uplift.free.$folder=$4"
    # The mount's own word: who is not root may not write there anyway.
    case ",$(findmnt -n -o OPTIONS -T "$there" 2>/dev/null)," in
        *,ro,*) echo "uplift.readonly.$folder=yes" ;;
    esac
done
"""


@dataclass(frozen=True)
class Seen:
    """What the remote command saw on a host.

    Args:
        values: what it printed, by key; parts that did not run are missing.
        complaint: error output, where it tells why sudo did not work.
        offset: seconds that the host's clock is ahead of the controller's; None if unknown.
        uncertainty: seconds by which that may be wrong, because of the way there and back.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    complaint: str = ""
    offset: float | None = None
    uncertainty: float = 0.0


def look(connection: Connection) -> Seen:
    """Run the command on a host that is connected.

    Raises:
        Unreachable: it was lost, does not answer in time, or has no shell.
    """
    inner = StringCommand("sh", "-c", QuoteString(_AS_ROOT))
    command = StringCommand(
        "sh",
        "-c",
        QuoteString(_AS_USER),
        "uplift",
        QuoteString(connection.helper_folder),
        ";",
        connection.as_configured(inner),
        '; echo "uplift.ended=$(date +%s.%N)"',
    )
    return read(connection.execute(command, time_limit=TIME_LIMIT))


def read(result: Result) -> Seen:
    """Return what a result says.

    Args:
        result: of the remote command.
    """
    lines = result.stdout.splitlines()
    ours = [line.removeprefix("uplift.") for line in lines if line.startswith("uplift.")]
    values = dict(line.split("=", 1) for line in ours)
    # With a terminal, errors come with the output.
    rest = [line for line in lines if not line.startswith("uplift.")]
    complaint = "\n".join([*result.stderr.splitlines(), *rest])
    began, ended = _clock(values.get("began", "")), _clock(values.get("ended", ""))
    if began is None or ended is None:
        return Seen(values, complaint)
    # As NTP does: the way there and the way back are taken to be equally long.
    offset = ((began - result.sent) + (ended - result.received)) / 2
    travel = (result.received - result.sent) - (ended - began)
    return Seen(values, complaint, offset, max(travel, 0.0) / 2)


def _clock(text: str) -> float | None:
    """Read a time; where ``date`` knows no %N, whole seconds."""
    whole, _, fraction = text.partition(".")
    if not whole.isdigit():
        return None
    return float(f"{whole}.{fraction}") if fraction.isdigit() else float(whole)
