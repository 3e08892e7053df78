"""Read what a host runs, whoever made it known: one command."""

from __future__ import annotations

from uplift.facts import app, job
from uplift.spec.app.owner import OWNERS
from uplift.spec.container.models import OURS
from uplift.spec.kept import RUNS
from uplift.spec.uv import CURRENT

# A job that is at work is told, not waited for.
_BUSY = r"""
busy=$(systemctl list-units --plain --no-legend --state=active,activating 'uplift-*.service' \
  2>/dev/null | cut -d ' ' -f 1 | tr '\n' ' ')
""".strip()

_SHAPE = (
    '{"name":{{json .Name}},"image":{{json .Image}},"reference":{{json .Config.Image}},'
    '"labels":{{json .Config.Labels}},"status":{{json .State.Status}},'
    '"health":{{if .State.Health}}{{json .State.Health.Status}}{{else}}""{{end}},'
    '"started":{{json .State.StartedAt}}}'
)

# The ledger has a line of each run that has ended; one that has not is the last to have written.
LAST = f"""
last=$(ls -t {RUNS}/*.jsonl 2>/dev/null | head -n 1)
[ ! -s "$last" ] || echo "last $(tail -n 1 "$last" | base64 -w 0)"
""".strip()

_OWN = rf"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
dk() {{ timeout 60 docker -H unix:///var/run/docker.sock "$@" 2>/dev/null; }}
if [ -S /var/run/docker.sock ] && dk version >/dev/null; then echo "docker yes"
else echo "docker no"; fi
names=$(dk ps -aq --no-trunc --filter label={OURS}managed)
for one do names="$names $one $one-blue $one-green"; done
echo "containers $(dk inspect --type container --format '{_SHAPE}' $names | base64 -w 0)"
link=$(readlink {CURRENT} 2>/dev/null); echo "uv ${{link##*/}}"
{OWNERS}
{LAST}
"""

READ = f"{_BUSY}\n{_OWN}\n{app.text(':')}"
"""The script that reads everything, and waits for nothing; its arguments are the names of
applications."""

SETTLED = f"{job.settled('app')}\n{_OWN}\n{app.text(':')}"
"""The same, which waits for a switch that is still going on."""
