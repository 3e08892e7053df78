"""Keep a host's Redis as its settings say."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.redis import Server
from uplift.facts.script import HiddenInput, read_quietly
from uplift.operations import container, job, script
from uplift.secrets import Secret, fingerprint_key, require
from uplift.spec.errors import UpliftError
from uplift.spec.redis.models import Redis
from uplift.spec.redis.server import AUTH, START, auth_command, auth_file
from uplift.spec.redis.state import Difference, State, asked, differences, questions, repairs

SWITCH_LIMIT = 1800
"""Seconds that writing the whole data anew may take when the append-only file is switched."""


_ALONE = "what the running server alone had is not kept"


@operation()
def configured(settings: Redis) -> Generator[StringCommand, None, None]:
    """Run Redis in a container as the settings say, behind its password.

    + settings: the block ``redis``

    The container is compared like any other, the running server by asking it: with the password,
    without one, and for its configuration. What only the server has otherwise is set while it runs;
    a server whose password is not the wanted one any more is started anew.

    **Example:**

    .. code:: python

        redis.configured(name="Redis", settings=for_host(host).redis)
    """
    try:
        password = require(settings)[settings.password]
        key = fingerprint_key()
    except UpliftError as error:
        yield script.refuse(f"redis: {error}", code=int(error.exit_code))
        return
    if not password.reveal():
        yield script.refuse(f"redis: {settings.password} is empty: everybody would get in", code=64)
        return
    server = _read(settings, password)
    if server is None:
        return
    # What a new command line is about: Docker's comparison says no more than that it changed.
    _tell(differences(settings, server))
    it, values = settings.container, {AUTH: auth_file(password)}
    late = yield from _write_down(settings, password, server)
    state, changed = yield from container.settled([it], values)
    if state is None:
        return
    stays = _stays(settings, server, state.containers.get(it.name))
    done = yield from container.converge(
        [it], state, values, key, changed=changed or late, stays=stays
    )
    if done is None:
        return
    if done:
        server = _read(settings, password)
    elif server.trouble:
        why = f"restarted: {server.trouble}"
        script.announce(f"redis: {why}", lasting=_ALONE)
        yield container.restarted(it, state, values, why)
        script.changed(f"redis: {why}")
        server, done = _read(settings, password), True
    if server is not None:
        yield from _set(settings, password, server, told=not done)


def _stays(settings: Redis, server: State, found: Mapping[str, Any] | None) -> str:
    """Return why the container of before would not find its data, empty when it would."""
    # One of ours looks for itself which file it has, whatever its settings say.
    if found is None or START in (found["Config"].get("Cmd") or ()):
        return ""
    wanted = "yes" if settings.appendonly else "no"
    if server.config.get("appendonly") == wanted:
        return ""
    return "somebody else made the container before, and it may not read the data written since"


def _write_down(
    settings: Redis, password: Secret, server: State
) -> Generator[StringCommand, None, bool]:
    """Switch the append-only file on before anything stops; tell whether it was off.

    What the server was told since is in its memory alone, and a start would load the file, old as
    it is. That holds for ours, which began with the file: one that somebody else started has
    perhaps never seen it, and is not written over it.
    """
    if not settings.appendonly or not server.opens or server.config.get("appendonly") != "no":
        return False
    text = _setting(settings, password, [Difference("appendonly", "no", "yes")])
    yield job.start(job.identity("redis", text, server.seen), text, limit=SWITCH_LIMIT)
    return True


def _set(
    settings: Redis, password: Secret, server: State, *, told: bool
) -> Iterator[StringCommand]:
    """Bring the running server to what its files say already."""
    if server.trouble:
        yield script.refuse(f"redis: {server.trouble}: see docker logs {settings.container.name}")
        return
    differs = differences(settings, server)
    if not differs:
        return
    if not told:
        _tell(differs)
    if not told:
        script.announce("redis: set while it runs", lasting=_ALONE)
    text = _setting(settings, password, differs)
    yield job.start(job.identity("redis", text, server.seen), text, limit=SWITCH_LIMIT)
    again = _read(settings, password)
    if again is not None and (left := differences(settings, again)):
        yield script.refuse(_unlike(left))


def _tell(differs: Sequence[Difference]) -> None:
    for one in differs:
        script.changed(f"redis: {one}")


def _unlike(left: Sequence[Difference]) -> str:
    """Say that the server took a value and writes it in another way, or not at all."""
    return "\n".join(
        f"redis: config: {one.key}: the server has {one.found!r} for {one.wanted!r}: write it so"
        for one in left
    )


def _read(settings: Redis, password: Secret) -> State | None:
    lines = [auth_command(password).reveal(), *questions(asked(settings))]
    stdin = HiddenInput("\n".join(lines))
    return read_quietly(host, Server, stdin, container=settings.container.name)


# Before the setting is off, the file is the whole truth; after the dump is written, the dump is.
_SWITCHES = {
    "yes": r"""
printf '%s\n' 'CONFIG SET appendonly yes' | ask || exit 1
while :; do
  found=$(printf '%s\n' 'INFO persistence' | ask) || exit 1
  case $found in
    *aof_rewrite_in_progress:1*|*aof_rewrite_scheduled:1*) sleep 0.5 ;;
    *aof_last_bgrewrite_status:ok*) break ;;
    *) echo "redis: the append-only file could not be written: see docker logs"; exit 1 ;;
  esac
done
""",
    "no": r"""
printf '%s\n' 'CONFIG SET appendonly no' SAVE | ask || exit 1
docker exec "$name" sh -c 'rm -rf /data/appendonlydir /data/appendonly.aof' </dev/null || exit 1
""",
}

_ASK = r"""
ask() {
  said=$({ printf '%s\n' "$login"; cat; } |
    timeout 900 docker exec -i "$name" redis-cli --no-raw) || return 1
  case $said in
    *"(error)"*) printf '%s\n' "$said" | grep '(error)' | sed 's/^/redis: /' >&2; return 1 ;;
  esac
  printf '%s\n' "$said"
}
"""


def _setting(settings: Redis, password: Secret, differs: Sequence[Difference]) -> str:
    """Return the shell text of a job that sets values in the running server; it holds a secret."""
    lines = [
        "set -u",
        f"name={shlex.quote(settings.container.name)}",
        f"login={shlex.quote(auth_command(password).reveal())}",
        _ASK,
    ]
    if commands := repairs(differs):
        lines.append(f"printf '%s\\n' {shlex.join(commands)} | ask || exit 1")
    lines += [_SWITCHES[one.wanted] for one in differs if one.key == "appendonly"]
    return "\n".join([*lines, ""])
