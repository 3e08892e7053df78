"""Ask an application whether a release before understands its database's schema."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts.mask import MASK
from uplift.spec.app.models import SchemaCheck
from uplift.spec.app.release import RELEASES
from uplift.spec.container.models import SECRETS

# As what serves sees the database: its image, variables, mounts and networks. It may have ended:
# that is when a rollback is wanted. The Engine's API takes a variable of several lines, which its
# client would read from a file line by line, and no argument would hide.
SCHEMA = (
    r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" HOME=/root
umask 077
exec </dev/null
app=$1 serves=$2 limit=$3 entrypoint=$4 command=$5 more=$6; name=$serves-schema-check
dir=$(mktemp -d /dev/shm/uplift-schema.XXXXXX) || exit 1
dk() { timeout "${most:-60}" docker -H unix:///var/run/docker.sock "$@"; }
json() { dk inspect --type container --format "{{json $1}}" "$serves"; }
trap 'dk rm -f -v "$name" >/dev/null 2>&1; rm -rf "$dir"' EXIT
"""
    + MASK
    + rf"""
answered() {{ echo "said $1 $(masked | tail -n 20 | base64 -w 0)"; echo end; exit 0; }}
if ! image=$(json .Image 2>/dev/null); then echo nobody; echo end; exit 0; fi
# What it was deployed with, and what it reads now.
for file in "{RELEASES}/$app"/*/secrets/* "{SECRETS}/$serves"/* \
    "{SECRETS}/${{serves%--previous}}"/*; do
  [ ! -f "$file" ] || {{ cat "$file"; echo; }}
done >"$dir/mask"
environment=$(json .Config.Env)
case $environment in null|'[]') environment="[$more]" ;;
  *) environment="${{environment%]}},$more]" ;; esac
network=$(dk inspect --format '{{{{.HostConfig.NetworkMode}}}}' "$serves")
dk rm -f -v "$name" >/dev/null 2>&1
printf '{{"Image":%s,"Env":%s,"User":%s,"WorkingDir":%s,"Entrypoint":%s,"Cmd":%s,
  "Healthcheck":{{"Test":["NONE"]}},"HostConfig":{{"VolumesFrom":["%s"],"NetworkMode":%s,
  "ExtraHosts":%s,"Dns":%s,"LogConfig":{{"Type":"json-file"}}}}}}' "$image" "$environment" \
  "$(json .Config.User)" "$(json .Config.WorkingDir)" "$entrypoint" "$command" "$serves" \
  "$(json .HostConfig.NetworkMode)" "$(json .HostConfig.ExtraHosts)" "$(json .HostConfig.Dns)" |
  curl -q -sS --max-time 60 --unix-socket /var/run/docker.sock --data-binary @- \
    -H 'Content-Type: application/json' "http://docker/containers/create?name=$name" \
    >"$dir/made" 2>&1 && grep -q '"Id":' "$dir/made" || answered 125 <"$dir/made"
# It answers to none of the names that what serves has there.
case $network in host|none|container:*) ;; *)
  each='{{{{range $name, $it := .NetworkSettings.Networks}}}}{{{{println $name}}}}{{{{end}}}}'
  dk inspect --format "$each" "$serves" | while read -r one; do
    case $one in ''|"$network") continue ;; bridge) [ "$network" != default ] || continue ;; esac
    dk network connect "$one" "$name" || exit 1
  done >"$dir/said" 2>&1 || answered 125 <"$dir/said" ;;
esac
dk start "$name" >"$dir/said" 2>&1 || answered 125 <"$dir/said"
rc=$(most=$limit; dk wait "$name" 2>"$dir/said") && [ -n "$rc" ] || {{
  rc=124; echo "it did not answer within $limit s" >"$dir/late"; }}
{{ cat "$dir/late" 2>/dev/null; dk logs --tail 20 "$name" 2>&1; }} | answered "$rc"
"""
)
"""Arguments: application, container that serves, seconds, and JSON: entrypoint, command, further
variables."""


@dataclass(frozen=True)
class Said:
    """What an application said of its database's schema.

    Args:
        code: exit code of its command; None when nothing serves.
        text: the last lines that it printed, without secrets of the application.
    """

    code: int | None
    text: str = ""


class SchemaAhead(FactBase[Said | None]):
    """
    Return what an application says of going back to a release, as :class:`Said`.

    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(
        self, app: str, container: str, check: SchemaCheck, to: Mapping[str, str]
    ) -> StringCommand:
        """Return the script.

        + app: its name
        + container: that serves
        + check: the command, and its time limit
        + to: variables that tell which release is meant
        """
        more = json.dumps([f"{name}={value}" for name, value in to.items()])[1:-1]
        parts: list[Sequence[str]] = [check.command[:1], check.command[1:]]
        coded = (json.dumps(list(part)) for part in parts)
        words = map(QuoteString, (app, container, str(check.timeout), *coded, more))
        return StringCommand("sh", "-c", QuoteString(SCHEMA), "uplift", *words)

    def process(self, output: Iterable[str]) -> Said:
        """Turn the script's lines into an answer."""
        lines = [line.split() for line in output]
        if ["end"] not in lines:
            raise FactProcessError("the schema's check: the script was cut off")
        found = next((words[1:] for words in lines if words[0] == "said"), None)
        if found is None:
            return Said(None)
        text = base64.b64decode(found[1]).decode(errors="replace") if len(found) > 1 else ""
        return Said(int(found[0]), text)
