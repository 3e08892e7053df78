"""The script that takes an application off a host; volumes stay, and so do records unless told."""

from __future__ import annotations

from uplift.facts import job
from uplift.spec.app.models import FILES
from uplift.spec.app.release import APPS, RELEASES
from uplift.spec.container.models import OURS, SECRETS
from uplift.spec.container.state import STATE
from uplift.spec.haproxy.models import CONFIG

_THERE = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
dk() { timeout "${limit:-120}" docker -H unix:///var/run/docker.sock "$@"; }
# Its containers by name: a service may be called the same. What has no record is no application.
known() {
  [ -d "@releases@/$1" ] || return 0
  alone=; ! grep -qs '"proxy": "none"' "@releases@/$1"/*/release.json || alone=$1
  dk ps -a --filter "label=@label@managed" --format '{{.Label "@label@subject"}} {{.Names}}' \
    2>/dev/null | awk -v app="$1" -v alone="$alone" '
      $1 == app && ($2 == app "-blue" || $2 == app "-green" || $2 == alone ||
        index($2, app "-job-") == 1) { print $2 }'
}
"""

FOUND = rf"""{_THERE}
for container in $(known "$1"); do echo "container $container"; done
grep -q "^backend $1\$" "@config@" 2>/dev/null && echo "proxy"
[ ! -d "@files@/$1" ] || echo "files"
[ ! -d "@releases@/$1" ] || echo "records $(ls "@releases@/$1" | wc -l)"
for one in "@releases@"/*/; do
  [ ! -d "$one" ] || {{ one=${{one%/}}; echo "known ${{one##*/}}"; }}
done
echo end
"""
"""Prints what a host has of the application ``$1``, and which applications it has."""

# Traffic first. The lines are those that templates/haproxy.cfg.j2 makes.
REMOVAL = rf"""{_THERE}
set -u
umask 077
app=$1 purge=$2
@settled@
[ -z "$busy" ] || {{ echo "uplift: a change is still running as $busy: run again" >&2; exit 1; }}
mkdir -p "@apps@"
exec 7>"@apps@/$app.lock"
flock -w 60 7 || {{ echo "uplift: another change of this application runs" >&2; exit 1; }}
if grep -q "^backend $app\$" "@config@" 2>/dev/null; then
  awk -v app="$app" '
    $1 == "use_backend" && $2 == app {{ next }}
    $1 == "default_backend" && $2 == app {{ sub(app "$", "uplift-nobody") }}
    /^[^ \t]/ {{ inside = ($1 == "backend" && $2 == app) }}
    inside {{ next }}
    # An empty line goes with what comes after it.
    /^$/ {{ empty++; next }}
    {{ while (empty) {{ print ""; empty-- }} print }}' "@config@" >"@config@.new" &&
    chmod 0644 "@config@.new" && said=$(haproxy -c -f "@config@.new" 2>&1) || {{
      rm -f "@config@.new"
      echo "uplift: haproxy refuses a configuration without it: ${{said-}}" >&2; exit 1; }}
  sync "@config@.new"; mv "@config@.new" "@config@"
  ! systemctl is-active --quiet haproxy || systemctl reload haproxy || exit 1
  echo "removed proxy entry"
fi
for name in $(known "$app"); do
  dk update --restart=no "$name" >/dev/null
  [ "$(dk inspect --format '{{{{.State.Status}}}}' "$name")" != paused ] || dk unpause "$name"
  (limit=3700; dk stop "$name") >/dev/null || exit 1
  format='{{{{range .Mounts}}}}{{{{if eq .Type "volume"}}}}{{{{.Name}}}} {{{{end}}}}{{{{end}}}}'
  volumes="${{volumes-}} $(dk inspect --format "$format" "$name")"
  dk rm "$name" >/dev/null || exit 1
  rm -rf "@secrets@/$name" "@secrets@/$name--previous" "@state@/$name"
  echo "removed container $name"
done
for one in $(printf '%s\n' ${{volumes-}} | sort -u); do echo "left volume $one"; done
if [ -d "@files@/$app" ]; then rm -rf "@files@/${{app:?}}"; echo "removed own files"; fi
rm -f "@apps@/$app.journal"
if [ -n "$purge" ]; then
  [ ! -d "@releases@/$app" ] || echo "removed records of releases"
  rm -rf "@releases@/${{app:?}}" "@apps@/$app.jobs"
elif [ -d "@releases@/$app" ]; then echo "left records @releases@/$app"; fi
echo end
"""


def placed(text: str) -> str:
    """Return a script with the places that it speaks of.

    Args:
        text: :data:`FOUND` or :data:`REMOVAL`.
    """
    words = {
        "label": OURS,
        "config": CONFIG,
        "files": FILES,
        "releases": RELEASES,
        "apps": APPS,
        "secrets": SECRETS,
        "state": STATE,
        "settled": job.settled("app", "haproxy", limit=60),
    }
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
