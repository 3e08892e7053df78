"""Ask a registry for what it holds, and a host for what runs, for people who want to know."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts.container import LOGIN
from uplift.spec.container.image import Reference
from uplift.spec.images.listing import Running, Tagged, address, canonical

# Nothing is changed by it: running containers, and their images as `docker inspect` has them.
RUNNING = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
dk() { timeout 60 docker -H unix:///var/run/docker.sock "$@" 2>/dev/null; }
dk version >/dev/null || { echo "docker no"; echo end; exit 0; }
ids=$(dk ps -q --no-trunc)
if [ -n "$ids" ]; then
  dk inspect --type container --format 'container {{.Name}} {{.Image}}' $ids
  images=$(dk inspect --type container --format '{{.Image}}' $ids | sort -u)
  echo "images $(dk image inspect $images | base64 -w 0)"
fi
echo end
"""

REACH = r"""
dk() { timeout 60 docker -H unix:///var/run/docker.sock "$@" 2>/dev/null; }
# What Docker itself trusts: the system's authorities, and those of this registry.
cat /etc/ssl/certs/ca-certificates.crt "/etc/docker/certs.d/$host"/*.crt >"$work/ca" 2>/dev/null
trust="cacert = \"$work/ca\""
open=$(dk info --format '{{range $name, $it := .RegistryConfig.IndexConfigs
  }}{{if not $it.Secure}} {{$name}} {{end}}{{end}}')
case "$open " in *" $host "*) trust=insecure ;; esac
case $host in 127.*|localhost|localhost:*) trust=insecure ;; esac
pair=$(login "$known" | tr -- '-_' '+/' | base64 -d 2>/dev/null)
# JSON's backslashes are those of curl's configuration too.
part() { printf %s "$pair" | sed -n "s/.*\"$1\":\"\(\([^\"\\\\]\|\\\\.\)*\)\".*/\1/p"; }
user= as=
[ -z "$pair" ] || user="user = \"$(part username):$(part password)\""
common() {
  printf '%s\n' "$trust" silent globoff location 'connect-timeout = 10' 'max-time = 60' \
    'proto-redir = "=https,http"' "$@"
}
# $1 address, $2 more of the configuration: the status; headers and body are in files
get() {
  : >"$work/head"; : >"$work/body"
  common "url = \"$1\"" "dump-header = \"$work/head\"" "output = \"$work/body\"" \
    'write-out = "%{http_code}"' ${2:+"$2"} | curl -q --config - 2>/dev/null
}
base="https://$host"
code=$(get "$base/v2/")
if [ "$code" = 000 ] && [ "$trust" = insecure ]; then
  base="http://$host"; code=$(get "$base/v2/")
fi
[ "$code" != 000 ] || trouble "$host does not answer, or this host does not trust its certificate"
challenge=$(tr -d '\r' <"$work/head" | sed -n 's/^[Ww][Ww][Ww]-[Aa]uthenticate: *//p' | tail -n 1)
field() { printf %s "$challenge" | sed -n "s/.*$1=\"\([^\"]*\)\".*/\1/p"; }
case $code:$challenge in
  401:[Bb]earer*)
    realm=$(field realm) service=$(field service)
    code=$(get "$realm?service=$service&scope=repository:$repository:$scope" "$user")
    [ "$code" = 200 ] || trouble "$realm gives no token (status $code): root's login at $host?"
    said=$(cat "$work/body")
    token=$(json_text token); [ -n "$token" ] || token=$(json_text access_token)
    as="header = \"Authorization: Bearer $token\"" ;;
  401:*) as=$user ;;
esac
accept() {
  for kind in oci.image.index.v1 oci.image.manifest.v1 docker.distribution.manifest.list.v2 \
      docker.distribution.manifest.v2
  do printf 'header = "Accept: application/vnd.%s+json"\n' "$kind"; done
}
"""
"""The way to a registry by its own API, as the host's Docker has it.

Needs ``$host``, ``$repository``, ``$known`` (its name in Docker's logins), ``$scope``, the folder
``$work``, ``trouble``, and what ``LOGIN`` defines. Makes ``$base``, ``$as`` (a line that signs in),
``get`` and ``accept``.
"""

# Arguments: HOST REPOSITORY LOGIN, then paths below /v2/REPOSITORY/. The host trusts a registry as
# its Docker does, and root's login goes by curl's standard input. An answer is one line:
# answer PATH STATUS BODY. Of a list in pages each has a line.
REGISTRY = (
    r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" HOME=/root
umask 077
exec </dev/null
host=$1 repository=$2 known=$3 scope=pull; shift 3
work=$(mktemp -d /dev/shm/uplift-listing.XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
pack() { base64 -w 0; }
trouble() { printf 'trouble %s\n' "$(printf %s "$1" | pack)"; echo end; exit 0; }
command -v curl >/dev/null || trouble "curl is not installed"
"""
    + LOGIN
    + REACH
    + r"""
answer() { echo "answer $1 $2 $(pack <"$3")"; }
case ${1:-} in tags/list*)
  path="/v2/$repository/$1"
  while [ -n "$path" ]; do
    code=$(get "$base$path" "$as")
    answer tags "$code" "$work/body"
    path=$(tr -d '\r' <"$work/head" | sed -n 's/^[Ll]ink: *<\([^>]*\)>.*rel="\{0,1\}next.*/\1/p')
    path=${path#"$base"}
  done
  echo end
  exit 0 ;;
esac
[ "$#" -gt 0 ] || { echo end; exit 0; }
number=0
for path do
  number=$((number + 1))
  printf 'url = "%s/v2/%s/%s"\noutput = "%s/%s"\n' "$base" "$repository" "$path" "$work" "$number"
done >"$work/urls"
{ common 'write-out = "%{http_code}\n"' "$(accept)" ${as:+"$as"}; cat "$work/urls"; } |
  curl -q --config - >"$work/codes" 2>/dev/null
number=0
for path do
  number=$((number + 1))
  [ -e "$work/$number" ] || : >"$work/$number"
  answer "$path" "$(sed -n "${number}p" "$work/codes")" "$work/$number"
done
echo end
"""
)


def question(repository: str, *paths: str) -> tuple[str, ...]:
    """Return the arguments of ``REGISTRY``.

    Args:
        repository: and its registry, as settings have it.
        paths: below the repository's own; none: all tags.
    """
    host, path = address(repository)
    known = Reference.parse(canonical(repository)).registry
    return (host, path, known, *(paths or ("tags/list?n=1000",)))


class Tags(FactBase[Tagged | None]):
    """
    Return the tags that a repository has at its registry, as :class:`Tagged`.

    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, repository: str) -> StringCommand:
        """Return the script.

        + repository: and its registry, as settings have it
        """
        words = map(QuoteString, question(repository))
        return StringCommand("sh", "-c", QuoteString(REGISTRY), "uplift", *words)

    def process(self, output: Iterable[str]) -> Tagged:
        """Turn the script's lines into tags."""
        try:
            return tagged(output)
        except ValueError as error:
            raise FactProcessError(f"tags: {error}") from error


def tagged(lines: Iterable[str]) -> Tagged:
    """Return the tags of a repository, or why they are not known.

    Args:
        lines: of ``REGISTRY``, asked for all tags.

    Raises:
        ValueError: they were cut off.
    """
    words = _whole(lines)
    found: list[str] = []
    try:
        for _, status, body in _answers(words):
            if status == 404:
                return Tagged()  # nothing was pushed yet
            if status in (401, 403):
                return Tagged(trouble="it refuses the login of root on the host")
            if status != 200:
                return Tagged(trouble=f"it answers with status {status}")
            found += json.loads(body).get("tags") or []
    except (ValueError, AttributeError) as error:
        return Tagged(trouble=str(error))
    return Tagged(tuple(found))


def running(lines: Iterable[str]) -> list[Running]:
    """Return the containers that run on a host.

    Args:
        lines: of ``RUNNING``.

    Raises:
        ValueError: they were cut off, or Docker did not answer.
    """
    words = _whole(lines)
    if ["docker", "no"] in words:
        msg = "Docker does not answer"
        raise ValueError(msg)
    packed = next((line[1] for line in words if line[0] == "images" and len(line) > 1), "")
    images = {one["Id"]: one for one in json.loads(base64.b64decode(packed) or b"[]")}
    return [
        Running(
            name.removeprefix("/"),
            tuple(images.get(id, {}).get("RepoDigests") or ()),
            images.get(id, {}),
        )
        for _, name, id in (line for line in words if line[0] == "container")
    ]


def answers(lines: Iterable[str]) -> list[tuple[str, int, bytes]]:
    """Return path, status and body of each answer of a registry.

    Args:
        lines: of ``REGISTRY``.

    Raises:
        ValueError: they were cut off, or the registry did not answer.
    """
    return _answers(_whole(lines))


def _answers(words: list[list[str]]) -> list[tuple[str, int, bytes]]:
    for line in words:
        if line[0] == "trouble":
            raise ValueError(base64.b64decode(line[1]).decode(errors="replace"))
    found = [(*line, "", "")[:4] for line in words if line[0] == "answer"]
    return [(path, int(code or 0), base64.b64decode(body)) for _, path, code, body in found]


def _whole(lines: Iterable[str]) -> list[list[str]]:
    words = [line.split(" ") for line in lines if line.strip()]
    if not words or words[-1] != ["end"]:
        msg = "what the host said was cut off"
        raise ValueError(msg)
    return words
