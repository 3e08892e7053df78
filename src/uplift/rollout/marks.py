"""The run's records on the hosts themselves: they tell more when the controller is lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.spec.errors import UpliftError
from uplift.spec.kept import RUNS
from uplift.spec.rollout.lock import newer

LEDGER = "ledger"
KEPT = 100  # files of runs on a host

# $1 name of the file, $2 how many files are kept, $3 a run that needs no way back any more;
# lines come by stdin. What a run keeps goes with its records: old settings may hold secrets.
_APPEND = f"""
set -eu; umask 077
install -d -m 0700 /var/lib/uplift {RUNS}
file={RUNS}/$1.jsonl
cat >>"$file"; sync "$file"
cd {RUNS}
[ -z "$3" ] || rm -rf -- "./$3"
ls -t | grep '[.]jsonl$' | grep -v '^{LEDGER}[.]jsonl$' | tail -n +"$(($2 + 1))" |
  while read -r old; do rm -rf -- "./$old" "./${{old%.jsonl}}"; done
"""

# Each run's last token; a record is one line, and the ledger's have none.
_TOKENS = f"""
cd {RUNS} 2>/dev/null || exit 0
for one in *.jsonl; do
  token=$(sed -n 's/^{{"token":\\([0-9]*\\),.*/\\1/p' "$one" | tail -n 1)
  [ -z "$token" ] || echo "$one $token"
done
"""

# The token is the fence's: a controller that was asleep while another took over writes nothing.
_FENCED = 'fence=$1; shift; exec "$fence" -c "$@"'


def later(fleet: Fleet, run: str) -> dict[str, tuple[str, ...]]:
    """Return the runs that have left records of steps on hosts after another one.

    Args:
        fleet: connected.
        run: id of the other one.

    Returns:
        Their ids, by host, where there are any.

    Raises:
        UpliftError: a host could not be read.
    """

    def found(connection: Connection) -> tuple[str, ...]:
        done = connection.run(_TOKENS)
        tokens: dict[str, int] = {}
        for line in done.stdout.splitlines():
            file, _, token = line.partition(" ")
            tokens[file.removesuffix(".jsonl")] = int(token)
        return newer(tokens, run)

    outcomes = fleet.each(found)
    for one in outcomes.values():
        if isinstance(one, UpliftError):
            raise one
    return {name: one for name, one in outcomes.items() if one and not isinstance(one, UpliftError)}


def append(
    fleet: Fleet,
    hosts: Iterable[str],
    file: str,
    records: Sequence[Mapping[str, Any]],
    shell: str,
    over: str = "",
) -> dict[str, UpliftError]:
    """Write records on hosts, in parallel; one remote command each.

    Args:
        fleet: connected.
        hosts: names.
        file: the run's id, or ``ledger``.
        records: plain data without secrets, in order.
        shell: of the run's fence.
        over: id of a run that has ended for good: what hosts keep to go back is forgotten.

    Returns:
        Hosts on which they could not be written, with the reason.
    """
    wanted = set(hosts)
    lines = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in records)

    def write(connection: Connection) -> None:
        if connection.name not in wanted:
            return
        done = connection.run(_FENCED, shell, _APPEND, "uplift", file, str(KEPT), over, stdin=lines)
        if done.rc:
            said = (done.stderr or done.stdout).strip()[-300:]
            raise UpliftError(f"{connection.name}: no record could be written: {said}")

    outcomes = fleet.each(write)
    lost = {name: error for name, error in fleet.unreachable.items() if name in wanted}
    failed = {name: one for name, one in outcomes.items() if isinstance(one, UpliftError)}
    return {**lost, **failed}
