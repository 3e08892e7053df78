"""Read the applications of a host beside their containers: traffic, releases, own files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts import job
from uplift.facts.haproxy import TRAFFIC
from uplift.spec.app.jobs import JobsState
from uplift.spec.app.jobs import parse as parse_jobs
from uplift.spec.app.models import FILES
from uplift.spec.app.release import APPS, RELEASES
from uplift.spec.app.state import AppState, parse
from uplift.spec.container.models import OURS

_SCRIPT = rf"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
@settled@
echo "busy $busy"
pack() {{ base64 -w 0; }}
slots=
for app do
  slots="$slots $app $app-blue $app-green"
  [ ! -e "{APPS}/$app.journal" ] || echo "journal $app $(pack <"{APPS}/$app.journal")"
  for dir in "{RELEASES}/$app"/*/; do
    [ -f "$dir/release.json" ] || continue
    id=${{dir%/}}
    echo "release $app ${{id##*/}} $(pack <"$dir/release.json")" \
      "$(if [ -s "$dir/outcome" ]; then pack <"$dir/outcome"; else echo -; fi)"
    for file in "$dir/secrets"/*; do
      [ ! -f "$file" ] || echo "held $app/${{id##*/}} ${{file##*/}}"
    done
  done
  for file in "{FILES}/$app"/*/*; do
    [ -f "$file" ] || continue
    echo "file ${{file%/*}} $(sha256sum <"$file" | cut -d ' ' -f 1)" \
      "$(printf %s "${{file##*/}}" | pack)"
  done
done
# A field that one image does not have, as the time of one without layers, is an error for all.
format='image {{{{.Id}}}} {{{{or (index . "Created") "-"}}}} {{{{json (index . "RepoTags")}}}}'
format="$format "'{{{{json (index . "RepoDigests")}}}} {{{{with index . "Config"}}}}'
format="$format"'{{{{json (index . "Labels")}}}}{{{{else}}}}null{{{{end}}}}'
dk() {{ timeout 60 docker -H unix:///var/run/docker.sock "$@" 2>/dev/null; }}
# A name that is no container's is an error, and the others are told all the same.
[ -z "$slots" ] || dk inspect --type container $slots --format \
  '{{{{.Name}}}} {{{{.Id}}}} {{{{.Image}}}} {{{{index .Config.Labels "{OURS}release"}}}}' |
  sed -n 's|^/|slot |p'
ids=$(dk image ls -q --no-trunc | sort -u)
[ -z "$ids" ] || dk image inspect --format "$format" $ids
others=$(dk ps -a --no-trunc --format '{{{{.ID}}}} {{{{.Label "{OURS}managed"}}}}' |
  awk 'NF == 1')
[ -z "$others" ] || {{
  echo "strangers $(dk inspect --type container $others | pack)"
  theirs=$(dk inspect --type container --format '{{{{.Image}}}}' $others | sort -u)
  echo "their-images $(dk image inspect $theirs | pack)"
}}
root=$(dk info --format '{{{{.DockerRootDir}}}}')
[ -z "$root" ] || echo "room $(df -Pk "$root" | awk 'NR == 2 {{ print $4 }}')"
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" {{ print "listening", $2 }}'
{TRAFFIC}
echo end
"""


def text(busy: str) -> str:
    """Return the script that reads everything.

    Args:
        busy: shell text that sets ``busy`` to what is at work.
    """
    return _SCRIPT.replace("@settled@", busy)


READ = text(job.settled("app", "haproxy"))
"""The script that reads everything; its arguments are the names of applications."""


class Apps(FactBase[AppState | None]):
    """
    Return traffic, releases and files of applications, as :class:`AppState`.

    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, apps: Sequence[str]) -> StringCommand:
        """Return the one script that reads everything.

        + apps: names
        """
        return StringCommand("sh", "-c", QuoteString(READ), "uplift", *map(QuoteString, apps))

    def process(self, output: Iterable[str]) -> AppState:
        """Turn the script's lines into a state."""
        try:
            return parse(output)
        except (ValueError, KeyError, IndexError) as error:
            raise FactProcessError(f"applications: {error}") from error


class ReleaseSecrets(FactBase[dict[str, str] | None]):
    """
    Return the secrets that a release was deployed with, as base64 by file; read it quietly.

    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, app: str, release: str) -> StringCommand:
        """Return the script.

        + app: name
        + release: id
        """
        text = (
            f'for file in "{RELEASES}/$1/$2/secrets"/*; do [ ! -f "$file" ] || '
            'echo "secret ${file##*/} $(base64 -w 0 <"$file")"; done; echo end'
        )
        words = map(QuoteString, (app, release))
        return StringCommand("sh", "-c", QuoteString(text), "uplift", *words)

    def process(self, output: Iterable[str]) -> dict[str, str]:
        """Turn the script's lines into values by file."""
        lines = [line.split() for line in output]
        if ["end"] not in lines:
            raise FactProcessError("the secrets of a release: the script was cut off")
        return {words[1]: words[2] if len(words) > 2 else "" for words in lines[:-1]}


_JOBS = rf"""
export LC_ALL=C
@settled@
echo "busy $busy"
for app do
  for run in "{APPS}/$app.jobs"/*/; do
    [ "$(cat "$run/rc" 2>/dev/null)" != 0 ] || {{ run=${{run%/}}; echo "done $app ${{run##*/}}"; }}
  done
done
echo end
"""


class Jobs(FactBase[JobsState | None]):
    """
    Return the jobs of applications that a host has run, as :class:`JobsState`.

    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, apps: Sequence[str]) -> StringCommand:
        """Return the script.

        + apps: names
        """
        text = _JOBS.replace("@settled@", job.settled("jobs"))
        return StringCommand("sh", "-c", QuoteString(text), "uplift", *map(QuoteString, apps))

    def process(self, output: Iterable[str]) -> JobsState:
        """Turn the script's lines into a state."""
        try:
            return parse_jobs(output)
        except (ValueError, KeyError, IndexError) as error:
            raise FactProcessError(f"jobs: {error}") from error
