"""The script that changes one container on its host, whatever happens in between.

Every step of a replacement is written to a journal before and after it, and can be done twice. A
journal that did not come to its end is settled by a script of its own, before anything is compared:
a new container that is good stays, anything else is taken back. The Docker daemon may be restarted
at any moment: a step that failed with it is done again.
"""

from __future__ import annotations

import base64
import json
import shlex
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uplift.operations import container_probe
from uplift.operations.container_settle import SETTLE
from uplift.operations.container_settle import UNDO as UNDO_TEXT
from uplift.operations.container_steps import BASE
from uplift.operations.container_steps import STEPS as STEPS_TEXT
from uplift.spec.container.arguments import create, update
from uplift.spec.container.health import Health
from uplift.spec.container.image import Reference, Resolved
from uplift.spec.container.models import OURS, SECRETS, Container
from uplift.spec.container.plan import NO_PREPARATION, STEPS, UNDO, Plan, Preparation
from uplift.spec.container.record import IMAGE as RECORDED_IMAGE
from uplift.spec.container.record import Recorded, body, exposed, further_networks, sources
from uplift.spec.container.state import STATE, State
from uplift.spec.container.units import memory_bytes
from uplift.spec.secret import Secret, SecretRef, references


@dataclass(frozen=True)
class Keep:
    """What a change writes down for the way back of a rollout.

    Args:
        folder: on the host, of the rollout; empty outside of any.
        stays: why the rollout does not bring the container back by itself; empty when it does.
    """

    folder: str = ""
    stays: str = ""


NOT_KEPT = Keep()

MARK = r"""
mark() { printf '%s\n' "$1" >>"$dir/journal" && sync "$dir/journal"; }
"""


def render(
    it: Container,
    todo: Plan,
    state: State,
    values: Mapping[SecretRef, Secret],
    preparation: Preparation = NO_PREPARATION,
    then: str | None = None,
    keep: Keep = NOT_KEPT,
) -> str:
    """Return the shell text for a plan; it runs as one job and holds the secrets.

    Args:
        it: what is wanted.
        todo: what is done.
        state: what the plan was made for.
        values: of the secrets.
        preparation: what is changed in its data before it starts.
        then: shell text that goes on when all is well, and tells what was done.
        keep: what is written down for the way back of a rollout.
    """
    resolved = state.resolved[it.image]
    given = {
        **_variables(it),
        "current": todo.found or it.name,
        "rollout": keep.folder,
        "stays": keep.stays,
        **_image(it, resolved),
    }
    return _whole(
        {**given, **container_probe.settings(it.health, values)},
        container_probe.command(it.health),
        _payload(it, values),
        _making(it, resolved, state),
        _mending(it, todo),
        f"prepare() {{\n{preparation.script}\n}}\n",
        _main(todo, then),
    )


def settling(it: Container, values: Mapping[SecretRef, Secret]) -> str:
    """Return the shell text that ends an interrupted replacement, one way or the other.

    Args:
        it: what is wanted now: its check tells whether the new container is good.
        values: of the secrets.
    """
    return _whole(
        {**_variables(it), **container_probe.settings(it.health, values)},
        container_probe.command(it.health),
        _payload(it, values),
        "settle\nheadline settled\n",
    )


def returning(name: str, found: Recorded, files: str = "") -> str:
    """Return the shell text that makes a container again from its record; it holds its variables.

    Args:
        name: of the container.
        found: the record.
        files: folder of the host with its secret files of then; those of now when left out.
    """
    old = found.container or {}
    health, further = Health(), further_networks(old)
    masked = _coded("\n".join(exposed(old, found.image)))
    named = [*further, *body(old)["NetworkingConfig"]["EndpointsConfig"]]
    variables = {
        "name": name,
        "current": name,
        "image": old["Image"],
        "sources": " ".join(sources(old, found.image)),
        "local": "",
        "tag": "",
        "need": str(memory_bytes(Container.model_fields["free_disk"].default) // 1024),
        "data": "",
        "networks": " ".join(named),
        "owner": "0",
        # Those of the releases stay, and so do the records.
        "keep_copies": "1000000",
        "returns": "yes",
        "files": files,
    }
    return _whole(
        {**variables, **container_probe.settings(health, {})},
        container_probe.command(health),
        _RETURN,
        f"write_env() {{ printf %s {_coded(json.dumps(body(old)))} | base64 -d |\n"
        f'  sed "s,{RECORDED_IMAGE},$image," >"$dir/env"; }}\n',
        f"connect() {{ :{connects(further)}; }}\n",
        f'printf %s {masked} | base64 -d >"$dir/secrets.mask"\n',
        'cp "$dir/secrets.mask" "$dir/mask"\n',
        # What a rollout kept is there whatever became of a replacement since.
        "settle\n" if files else "",
        _main(Plan("replace", ("brought back from its record",)), None),
    )


# The Engine's API takes what `docker inspect` says; its client does not.
_RETURN = r"""
for one in $sources; do
  ! dk image inspect "$one" >/dev/null 2>&1 || { image=$one; break; }
  # Where the host has none of them, the last is the one to pull.
  image=$one
done
prepare() { :; }
write_secrets() {
  from=${files:-$secrets--previous}
  [ -d "$from" ] || return 0
  # Whoever it runs as must get into the folder again.
  cp -a "$from/." "$secrets/" && owner=$(stat -c %u "$from")
}
make() {
  said=$(curl -sS --max-time 120 --unix-socket /var/run/docker.sock --data-binary @"$dir/env" \
    -H 'Content-Type: application/json' "http://docker/containers/create?name=$next") || return 1
  made=$(printf %s "$said" | sed -n 's/.*"Id":"\([0-9a-f]\{64\}\)".*/\1/p')
  [ -n "$made" ] || { printf '%s\n' "$said" >&2; return 1; }
  echo "$made"
}
"""


def connects(networks: Mapping[str, Sequence[str]], variable: str = "new") -> str:
    """Return shell text that connects a new container to further networks.

    Args:
        networks: aliases by network.
        variable: of the shell, which holds the container's id.
    """
    return "".join(
        f" && dk network connect {''.join(f'--alias {shlex.quote(one)} ' for one in aliases)}"
        f'{shlex.quote(name)} "${variable}"'
        for name, aliases in networks.items()
    )


def _whole(variables: Mapping[str, str], *parts: str) -> str:
    """Put the variables before all functions and the parts after them."""
    text = f"{BASE}{MARK}{container_probe.PROBE}{STEPS_TEXT}{UNDO_TEXT}{SETTLE}"
    words = {
        "state": STATE,
        "secrets": SECRETS,
        "label": OURS,
        "steps": " ".join(STEPS),
        "undo": " ".join(UNDO),
    }
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    head = "".join(f"{key}={shlex.quote(value)}\n" for key, value in variables.items())
    return f"{head}{text}{''.join(parts)}"


def _variables(it: Container) -> dict[str, str]:
    data = [mount for mount in it.mounts if it.stateful and not mount.read_only]
    return {
        "name": it.name,
        "need": str(memory_bytes(it.free_disk) // 1024),
        "data": " ".join(
            f"volume:{one.volume}" if one.volume else f"bind:{_octal(one.source or '')}"
            for one in data
        ),
        "networks": " ".join(one.name for one in it.networks if one.name not in _BUILTIN),
        "owner": str(it.secret_uid),
        "keep_copies": str(it.keep.copies),
    }


def _octal(path: str) -> str:
    """Return one word for the shell that `printf %b` turns into the path again."""
    usual = frozenset(b"/._-" + string.ascii_letters.encode() + string.digits.encode())
    return "".join(chr(one) if one in usual else f"\\0{one:03o}" for one in path.encode())


def _image(it: Container, resolved: Resolved) -> dict[str, str]:
    reference = Reference.parse(it.image)
    return {
        "image": resolved.wanted or it.image,
        "local": "" if resolved.digest else resolved.local,
        "tag": f"{reference.name}:{reference.tag}" if resolved.digest and reference.tag else "",
    }


_BUILTIN = ("host", "bridge", "none")


def _payload(it: Container, values: Mapping[SecretRef, Secret]) -> str:
    """Return functions that write the secrets, and a file of what must not be shown."""
    exposed = {
        key: values[value].reveal()
        for key, value in it.environment.items()
        if isinstance(value, SecretRef)
    }
    env = "".join(f"{key}={value}\n" for key, value in exposed.items())
    puts = "".join(
        f' && put "$secrets/{name}" {_coded(values[ref].reveal())}'
        for name, ref in it.secrets.items()
    )
    mask = "\n".join(values[ref].reveal() for ref in references(it))
    return (
        f'write_env() {{ printf %s {_coded(env)} | base64 -d >"$dir/env"; }}\n'
        f"write_secrets() {{ :{puts}; }}\n"
        f'printf %s {_coded(mask)} | base64 -d >"$dir/secrets.mask"\n'
        f'{{ echo; cat "$dir/secrets.mask"; }} >"$dir/mask"\n'
    )


def _making(it: Container, resolved: Resolved, state: State) -> str:
    words = shlex.join(create(it, resolved, state.limits))
    further = {one.name: one.aliases for one in it.networks[1:]}
    return (
        f'make() {{ dk create --pull never --name "$next" --env-file "$dir/env" {words}; }}\n'
        f"connect() {{ :{connects(further)}; }}\n"
    )


def _mending(it: Container, todo: Plan) -> str:
    steps = []
    if todo.found and todo.found != it.name:
        steps.append('firmly call "$(id_of "$current")" "$name"')
    if todo.fields:
        steps.append(f'firmly dk update {shlex.join(update(it, todo.fields))} "$name"')
    if todo.start or todo.restart:
        steps += [
            "firmly renew" if todo.restart else "firmly wake",
            'firmly wait_good "$(id_of "$name")"',
        ]
    return (
        'wake() { dk unpause "$name" 2>/dev/null || dk start "$name"; }\n'
        'renew() { (limit=3700; dk restart "$name"); }\n'
        f"mend_steps() {{ {' && '.join(steps) or ':'}; }}\n"
    )


def _main(todo: Plan, then: str | None) -> str:
    lines = [f"note {shlex.quote(reason)}" for reason in todo.why]
    call, done = _CALLS[todo.action]
    return "\n".join([*lines, call, f"headline {done}" if then is None else then, ""])


_CALLS = {
    "nothing": (":", "as wanted"),
    "create": ("replace", "created"),
    "replace": ("replace", "replaced"),
    "mend": ("mend", "mended"),
}


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode() or "''"
