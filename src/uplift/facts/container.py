"""Read the containers of a host that matter, with all that they are compared by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts import job
from uplift.spec.app.owner import OWNERS
from uplift.spec.container.image import Reference
from uplift.spec.container.kept import Kept
from uplift.spec.container.kept import parse as parse_kept
from uplift.spec.container.models import OURS, SECRETS, Container
from uplift.spec.container.record import Recorded
from uplift.spec.container.record import parse as parse_record
from uplift.spec.container.state import STATE, State, parse

LOGIN = r"""
# $1 key of $said: its text with JSON's own backslashes
json_text() {
  printf %s "$said" | tr -d '\n' | sed -n "s/.*\"$1\" *: *\"\(\([^\"\\\\]\|\\\\.\)*\)\".*/\1/p"
}
# $1 registry, as config.json names it: what the Engine's API takes as X-Registry-Auth
login() {
  [ -r "$HOME/.docker/config.json" ] || return 0
  pattern=$(printf %s "$1" | sed 's/[.[\*^$/]/\\&/g')
  text=$(tr -d '\n\t' <"$HOME/.docker/config.json")
  # A helper for this registry, else the one for all: Docker asks them before its own file.
  helper=$(printf %s "$text" |
    sed -n "s/.*\"credHelpers\" *: *{[^}]*\"$pattern\" *: *\"\([A-Za-z0-9._-]*\)\".*/\1/p")
  [ -n "$helper" ] ||
    helper=$(printf %s "$text" | sed -n 's/.*"credsStore" *: *"\([A-Za-z0-9._-]*\)".*/\1/p')
  if [ -n "$helper" ] &&
      said=$(printf %s "$1" | timeout 30 "docker-credential-$helper" get 2>/dev/null); then
    user=$(json_text Username) secret=$(json_text Secret)
    case $user in
      '<token>') printf '{"identitytoken":"%s","serveraddress":"%s"}' "$secret" "$1" ;;
      *) printf '{"username":"%s","password":"%s","serveraddress":"%s"}' "$user" "$secret" "$1" ;;
    esac | pack | tr '+/' '-_'
    return
  fi
  pair=$(printf %s "$text" |
    sed -n "s/.*\"$pattern\" *: *{[^}]*\"auth\" *: *\"\([^\"]*\)\".*/\1/p" | base64 -d 2>/dev/null)
  [ -n "$pair" ] || return 0
  pair=$(printf %s "$pair" | sed 's/[\\"]/\\&/g')
  printf '{"username":"%s","password":"%s","serveraddress":"%s"}' \
    "${pair%%:*}" "${pair#*:}" "$1" | pack | tr '+/' '-_'
}
"""

_STILL = r"""
# What a daemon that went away meanwhile did not say is not absent.
dk version >/dev/null || { echo "the Docker daemon stopped answering" >&2; exit 1; }
"""

# By standard input the salt; arguments for each container: NAME REFERENCE TAG-OR-@ REGISTRY.
# The daemon itself asks registries: it has their certificates, mirrors and insecure ones.
# What it needs to log in comes from root's config.json, and goes to curl by its standard input.
_SCRIPT = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" HOME=/root
umask 077
read -r salt; exec </dev/null
socket=/var/run/docker.sock
dk() { timeout 60 docker -H "unix://$socket" "$@" 2>/dev/null; }
pack() { base64 -w 0; }
@settled@
echo "busy $busy"
if [ -S "$socket" ] && limits=$(dk info --format '{{.MemoryLimit}} {{.CPUCfsQuota}} {{.PidsLimit}}')
then echo "docker yes"; echo "limits $limits"
else echo "docker no"; echo end; exit 0; fi

@login@
# $1 reference, $2 its registry
ask() {
  auth=$(login "$2")
  printf '%s\n' "unix-socket = \"$socket\"" "url = \"http://docker/distribution/$1/json\"" \
    silent globoff 'max-time = 30' 'write-out = "\n%{http_code}"' \
    ${auth:+"header = \"X-Registry-Auth: $auth\""} | curl --config - 2>/dev/null
}
# $1 reference, $2 tag or @ for a digest, $3 registry
resolve() {
  id=$(dk image inspect --format '{{.Id}}' "$1") || id=-
  code=skipped; body=-
  # A digest is what it is: only its being there is asked for, and only where it is not here.
  if [ "$id" = - ] || { [ "$2" != @ ] &&
      [ "$(dk image inspect --format '{{len .RepoDigests}}' "$1")" != 0 ]; }; then
    answer=$(ask "$1" "$3") || :
    code=${answer##*
}
    body=$(printf %s "${answer%
*}" | pack)
  fi
  echo "resolve $1 $id ${code:-000} ${body:--}"
}
state() {
  [ ! -s "@state@/$1/journal" ] || echo "journal $1 $(tail -n 1 "@state@/$1/journal")"
  for file in "@secrets@/$1"/* "@secrets@/$1"/.[!.]*; do
    [ -f "$file" ] && [ ! -L "$file" ] || continue
    echo "secret $1 $(stat -c '%a %u:%g' "$file")" \
      "$({ printf %s "$salt"; cat "$file"; } | sha256sum | cut -c 1-64)" \
      "$(printf %s "${file##*/}" | pack)"
  done
}
names=
echo "listening $(ss -Hltunp 2>/dev/null | pack)"
volumes=$(dk volume ls -q)
while [ "$#" -ge 4 ]; do
  names="$names $1 $1--previous $1--next"
  state "$1"
  resolve "$2" "$3" "$4"
  shift 4
done
names="$names $(dk ps -aq --no-trunc --filter label=@label@managed)"
echo "containers $(dk inspect --type container $names | pack)"
ids=$(dk inspect --type container --format '{{.Image}}' $names | sort -u)
[ -z "$ids" ] || echo "images $(dk image inspect $ids | pack)"
[ -z "$volumes" ] || echo "volumes $(dk volume inspect $volumes | pack)"
@more@
@still@
echo end
"""


def _filled(text: str, **more: str) -> str:
    words = {
        "settled": job.settled("container"),
        "login": LOGIN.strip(),
        "still": _STILL.strip(),
        "state": STATE,
        "secrets": SECRETS,
        "label": OURS,
        "owners": OWNERS,
        **more,
    }
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


class Containers(FactBase[State | None]):
    """
    Return the named containers and all that this tool made, as :class:`State`.

    Read it with ``read_quietly``: what ``docker inspect`` says may hold secrets. Its standard
    input is the random text with which the hashes of secret files begin.
    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, containers: Sequence[Container], more: str = "") -> StringCommand:
        """Return the one script that reads everything.

        + containers: which ones
        + more: shell text that prints lines of a subject's own; it can use ``dk`` and ``pack``
        """
        text = _filled(_SCRIPT, more=more)
        words: list[str] = []
        for it in containers:
            reference = Reference.parse(it.image)
            tag = "@" if reference.digest else reference.tag
            words += [it.name, it.image, tag, reference.registry]
        return StringCommand("sh", "-c", QuoteString(text), "uplift", *map(QuoteString, words))

    def process(self, output: Iterable[str]) -> State:
        """Turn the script's lines into a state."""
        try:
            return parse(output)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise FactProcessError(f"containers: {error}") from error


_KEPT = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" HOME=/root
dk() { timeout 60 docker -H unix:///var/run/docker.sock "$@" 2>/dev/null; }
@settled@
echo "busy $busy"
if [ -S /var/run/docker.sock ] && dk version >/dev/null; then echo "docker yes"
else echo "docker no"; echo end; exit 0; fi
dk ps -a --format 'container {{.Names}}'
dk ps -a --filter label=@label@managed \
  --format 'managed {{.Names}} {{.Label "@label@container"}}
subject {{.Names}} {{.Label "@label@subject"}}'
for folder in "@state@"/* "@secrets@"/*; do
  [ ! -d "$folder" ] || echo "folder ${folder##*/}"
done
dk volume ls --format 'volume {{.Name}}'
dk image ls -q --no-trunc | sort -u | sed 's/^/image /'
dk ps -aq | xargs -r docker inspect --format 'used {{.Image}}' 2>/dev/null
for file in @state@/*/releases; do
  [ ! -f "$file" ] || { name=${file%/releases}
    cut -d ' ' -f 2 "$file" | sed "s/^/release ${name##*/} /"; }
done
@owners@
@still@
echo end
"""


class Releases(FactBase[Kept | None]):
    """
    Return names of containers and volumes, and the images of good releases, as :class:`Kept`.

    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self) -> StringCommand:
        """Return the one script that reads everything."""
        return StringCommand("sh", "-c", QuoteString(_filled(_KEPT)), "uplift")

    def process(self, output: Iterable[str]) -> Kept:
        """Turn the script's lines into a value."""
        try:
            return parse_kept(output)
        except (ValueError, KeyError, IndexError) as error:
            raise FactProcessError(f"releases: {error}") from error


_RECORD = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" HOME=/root
dk() { timeout 60 docker -H unix:///var/run/docker.sock "$@" 2>/dev/null; }
pack() { base64 -w 0; }
@settled@
echo "busy $busy"
if [ -S /var/run/docker.sock ] && dk version >/dev/null; then echo "docker yes"
else echo "docker no"; fi
[ ! -s "@state@/$1/journal" ] || echo "journal $(tail -n 1 "@state@/$1/journal")"
echo "record $(cat "@state@/$1/$2.json" 2>/dev/null | pack)"
echo "now $(dk inspect --type container "$1" | pack)"
[ ! -S /var/run/docker.sock ] || {
@still@
}
echo end
"""


class Record(FactBase[Recorded | None]):
    """
    Return what is kept of a container that was replaced, as :class:`Recorded`.

    Read it with ``read_quietly``: what ``docker inspect`` says may hold secrets.
    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, container: str, record: str) -> StringCommand:
        """Return the one script that reads everything.

        + container: its name
        + record: previous or adopted
        """
        words = map(QuoteString, (container, record))
        return StringCommand("sh", "-c", QuoteString(_filled(_RECORD)), "uplift", *words)

    def process(self, output: Iterable[str]) -> Recorded:
        """Turn the script's lines into a value."""
        try:
            return parse_record(output)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise FactProcessError(f"record: {error}") from error
