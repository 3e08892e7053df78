"""The job that builds an image, looks through it, and pushes it."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping

from uplift.facts.images import ASK
from uplift.operations.images_gate import GATE, patterns, put
from uplift.operations.images_work import archive
from uplift.secrets import resolve
from uplift.spec.container.image import Reference
from uplift.spec.images import Images, Inputs, Todo
from uplift.spec.secret import Secret

_WIDTH = 4096
_END = "UPLIFT-END-OF-CONTEXT"

_BEGIN = r"""
set -u
umask 077
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" BUILDKIT_PROGRESS=plain
work=$(mktemp -d /var/tmp/uplift-images.XXXXXX) || exit 1
keys=$(mktemp -d /dev/shm/uplift-images.XXXXXX) || exit 1
trap 'rm -rf "$work" "$keys"' EXIT
trap 'exit 143' TERM
fail() { echo "images: $1"; exit "${2:-1}"; }
# A line of others' words that holds a secret is not shown.
quiet() {
  if [ -s "$keys/exact" ]; then grep --line-buffered -avF -f "$keys/exact"; else cat; fi
}
# $1 reference: its digest, or nothing; 1 when the registry did not answer
digest() {
  answer=$(ask "$1" "$registry") || return 1
  case ${answer##*
} in
    200) printf %s "$answer" | tr -d '\n' |
      sed -n 's/.*"digest" *: *"\(sha256:[0-9a-f]\{64\}\)".*/\1/p' ;;
    000) return 1 ;;
  esac
}
# $1 image, $2 reference
push() {
  docker tag "$1" "$2" || fail "$2 could not be named"
  docker push "$2" >"$work/push" 2>&1 || {
    tail -n 8 "$work/push" | quiet
    fail "$2 was not pushed: may root of this host log in to $registry and write there?"
  }
}
"""

# What failed is said by the lines of its own step; BuildKit numbers them.
_BUILD = r"""
why() {
  step=$(sed -n 's/^#\([0-9]*\) ERROR.*/\1/p' "$work/log" | tail -n 1)
  if [ -n "$step" ]; then grep "^#$step " "$work/log" | tail -n 40
  else tail -n 20 "$work/log"; fi
  grep '^ERROR' "$work/log" | tail -n 1 | cut -c 1-500
}
# Who waits sees each step begin and end; what steps print is kept for when one fails.
steps() {
  known=' '
  while IFS= read -r line; do
    number=${line%% *}
    case $number:${line#"$number "} in
      "#"*:"[internal]"*) ;;
      "#"*:"["*) known="$known$number "; printf '%.150s\n' "$line" ;;
      "#"*:"DONE "* | "#"*:CACHED) case $known in *" $number "*) echo "$line" ;; esac ;;
    esac
  done
}
{ build; echo "$?" >"$work/code"; } 2>&1 </dev/null | tee "$work/log" | steps | quiet
[ "$(cat "$work/code")" = 0 ] || { why | quiet; fail "$fixed was not built"; }
image=$(cat "$work/id") || fail "$fixed: the build named no image"
echo "images: $fixed is looked through for secrets"
gate "$image"; code=$?
[ "$code" != 2 ] || fail "$fixed could not be looked through for secrets, and is not pushed"
[ "$code" = 0 ] || { docker image rm "$image" >/dev/null 2>&1
  fail "$fixed holds secrets, and is not pushed"; }
there=$(digest "$fixed") || fail "$registry does not answer"
# Another host was faster: its image stays.
[ -n "$there" ] || { echo "images: $fixed is pushed"; push "$image" "$fixed"
  there=$(digest "$fixed") || fail "$registry does not answer"
  [ -n "$there" ] || fail "$fixed was pushed, but its registry does not have it"; }
"""

_MOVE = r"""
docker pull -q "$name@$there" >"$work/pull" 2>&1 || {
  tail -n 3 "$work/pull"; fail "$name@$there could not be pulled"; }
push "$name@$there" "$moving"
now=$(digest "$moving") || fail "$registry does not answer"
[ "$now" = "$there" ] || fail "$moving is $now at its registry, and not $there"
"""

_PRUNE = r"""
# The cache is for the next build; older parts of it go first.
docker buildx --builder default prune -f --keep-storage "$limit" >/dev/null 2>&1 ||
  echo "images: the builder's cache could not be cut"
"""


def script(settings: Images, todo: Todo) -> str:
    """Return the text of the job; it holds secrets.

    Args:
        settings: the block.
        todo: what has to be done.

    Raises:
        UpliftError: a secret is missing, or too short to be looked for.
    """
    inputs = todo.inputs
    words = {
        "fixed": inputs.fixed,
        "moving": inputs.moving,
        "name": inputs.image.name,
        "registry": Reference.parse(inputs.fixed).registry,
        "limit": settings.cache_limit,
        "there": todo.digest,
    }
    head = "".join(f"{name}={shlex.quote(value)}\n" for name, value in words.items())
    if todo.action == "tag":
        return "".join((head, _BEGIN, ASK, ': >"$keys/exact"\n', _MOVE))
    secrets = secrets_of(inputs)
    parts = (head, _BEGIN, ASK, GATE, patterns(inputs.image, _looked_for(inputs, secrets)))
    return "".join(
        (*parts, _unpack(inputs), _build(settings, inputs, secrets), _BUILD, _MOVE, _PRUNE)
    )


def secrets_of(inputs: Inputs) -> dict[str, Secret]:
    """Return what a build gets as BuildKit secrets, by id.

    Args:
        inputs: of the image.

    Raises:
        MissingSecretError: there is none of that name.
    """
    image = inputs.image
    found = {key: resolve(ref) for key, ref in image.secrets.items()}
    if image.index and image.index.password:
        password = resolve(image.index.password).reveal()
        line = f"machine {image.index.machine} login {image.index.username} password {password}"
        found["netrc"] = Secret(line)
    return found


def _looked_for(inputs: Inputs, secrets: Mapping[str, Secret]) -> dict[str, Secret]:
    """Return what must not be in the image: of a login, its parts."""
    found = {key: value for key, value in secrets.items() if key != "netrc"}
    index = inputs.image.index
    if index and index.password:
        password = resolve(index.password)
        found["index.password"] = password
        found["index"] = Secret(f"{index.username}:{password.reveal()}")
    return found


def _unpack(inputs: Inputs) -> str:
    coded = base64.b64encode(archive(inputs)).decode()
    lines = "\n".join(coded[at : at + _WIDTH] for at in range(0, len(coded), _WIDTH))
    return (
        f"base64 -d <<'{_END}' >\"$work/context.tar\" || fail 'the source did not arrive'\n"
        f"{lines}\n{_END}\n"
        'tar -xf "$work/context.tar" -C "$work" || fail "the source could not be unpacked"\n'
        'rm "$work/context.tar"\n'
    )


def _build(settings: Images, inputs: Inputs, secrets: Mapping[str, Secret]) -> str:
    """Return a shell function; only the one program that it runs knows the secrets."""
    lines = []
    options = ["--builder", "default", "--load", "--pull", "--provenance=false"]
    for number, (key, value) in enumerate(sorted(secrets.items())):
        variable = f"UPLIFT_BUILD_SECRET_{number}"
        lines.append(f"  {variable}=$({put(value.reveal())}); export {variable}\n")
        options += ["--secret", f"id={key},env={variable}"]
    image = inputs.image
    options += [word for one in image.platforms for word in ("--platform", one)]
    options += ["--network", "host"] if settings.network == "host" else []
    for key, text in {**image.build_args, **_epoch(inputs)}.items():
        options += ["--build-arg", f"{key}={text}"]
    for key, text in inputs.labels.items():
        options += ["--label", f"{key}={text}"]
    for base, other in settings.contexts.items():
        options += ["--build-context", f"{base}=docker-image://{other}"]
    folders = ("installer", "authorities") if image.builder != "dockerfile" else ()
    own = "".join(f' --build-context {name}="$work/{name}"' for name in folders)
    return (
        f"build() (\n{''.join(lines)}  exec docker buildx build {shlex.join(options)}{own} \\\n"
        '    --iidfile "$work/id" -f "$work/Dockerfile" "$work/source"\n)\n'
    )


def _epoch(inputs: Inputs) -> dict[str, str]:
    return {"SOURCE_DATE_EPOCH": str(inputs.epoch)} if inputs.epoch else {}
