"""The job that builds an image, looks through it, and pushes it."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping

from uplift.facts.images import ASK
from uplift.operations import images_shell as shell
from uplift.operations.images_gate import GATE, patterns, put
from uplift.operations.images_work import archive
from uplift.secrets import resolve
from uplift.spec.app.release import RELEASES
from uplift.spec.container.image import Reference
from uplift.spec.container.state import STATE
from uplift.spec.http import quote
from uplift.spec.images import Images, Inputs, Todo
from uplift.spec.images.listing import address
from uplift.spec.secret import Secret

RECORD = "/var/lib/uplift/images/pushed"
"""What a host pushed, a line each: the name with the tag that never moves, and its digest."""

_WIDTH = 4096
_END = "UPLIFT-END-OF-CONTEXT"


def script(settings: Images, todo: Todo) -> str:
    """Return the text of the job; it holds secrets.

    Args:
        settings: the block.
        todo: what has to be done.

    Raises:
        UpliftError: a secret is missing, or too short to be looked for.
    """
    inputs = todo.inputs
    kept = [one.moving for one in settings.build if one.name == inputs.image.name]
    head = _head(
        inputs,
        limit=settings.cache_limit,
        there=todo.digest,
        keep=str(settings.keep),
        kept=" ".join(kept),
        releases=RELEASES,
        containers=STATE,
    )
    several = len(inputs.image.platforms) > 1
    move = shell.MOVE_LIST if several else shell.MOVE
    if todo.action == "tag":
        return "".join((head, shell.BEGIN, ASK, ': >"$keys/exact"\n', move))
    secrets = secrets_of(inputs)
    build = f"{_index(inputs)}{_build(settings, inputs, secrets)}"
    push = shell.SEVERAL if several else shell.ONE
    begin = (head, shell.BEGIN, ASK, GATE, _patterns(inputs, secrets), _unpack(inputs), build)
    return "".join((*begin, shell.BUILD, push, move, shell.PRUNE, shell.FORGET))


def looking(inputs: Inputs, tools: str) -> str:
    """Return the beginning of a script that looks at an image, with all that it needs; secret.

    Args:
        inputs: of the image.
        tools: patterns of paths, which the script finds in ``$work/tools``.

    Raises:
        UpliftError: a secret is missing, or too short to be looked for.
    """
    more = f'{put(tools)} >"$work/tools"\n'
    return "".join(
        (_head(inputs), shell.BEGIN, ASK, GATE, _patterns(inputs, secrets_of(inputs)), more)
    )


def _head(inputs: Inputs, **more: str) -> str:
    at, path = address(inputs.image.name)
    words = {
        "fixed": inputs.fixed,
        "moving": inputs.moving,
        "name": inputs.image.name,
        "registry": Reference.parse(inputs.fixed).registry,
        "record": RECORD,
        "platforms": " ".join(inputs.image.platforms),
        "at": at,
        "path": path,
        **more,
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in words.items())


def _patterns(inputs: Inputs, secrets: Mapping[str, Secret]) -> str:
    return patterns(inputs.image, _looked_for(inputs, secrets), inputs.dockerfile)


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
    options += ["--network", "host"] if settings.network == "host" else []
    for key, text in {**image.build_args, **_epoch(inputs)}.items():
        options += ["--build-arg", f"{key}={text}"]
    for key, text in inputs.labels.items():
        options += ["--label", f"{key}={text}"]
    for base, other in settings.contexts.items():
        options += ["--build-context", f"{base}=docker-image://{other}"]
    folders = ("installer", "authorities") if image.builder != "dockerfile" else ()
    own = ' ${platform:+--platform "$platform"}'
    own += "".join(f' --build-context {name}="$work/{name}"' for name in folders)
    return (
        f"build() (\n{''.join(lines)}  exec docker buildx build {shlex.join(options)}{own} \\\n"
        '    --iidfile "$work/id" -f "$work/Dockerfile" "$work/source"\n)\n'
    )


def _index(inputs: Inputs) -> str:
    """Return what an index is told by when it refuses a login."""
    index = inputs.image.index
    words = {
        "index": index.url if index else "",
        "index_user": (index.username if index else None) or "",
        "index_secret": index.password.secret if index and index.password else "",
    }
    asks = f"url = {quote((index.url if index else '').rstrip('/') + '/')}\n"
    if index and index.password:
        asks += f"user = {quote(f'{index.username}:{resolve(index.password).reveal()}')}\n"
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in words.items())
    return f"{text}index_login() {{ {put(asks)}; }}\n"


def _epoch(inputs: Inputs) -> dict[str, str]:
    return {"SOURCE_DATE_EPOCH": str(inputs.epoch)} if inputs.epoch else {}
