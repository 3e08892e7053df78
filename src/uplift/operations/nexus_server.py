"""Keep the container of a Nexus as its settings say."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.nexus_server import Found, NexusServer, NexusTraces
from uplift.facts.script import HiddenInput, read_quietly
from uplift.operations import container, nexus_tls, script
from uplift.operations.nexus_tls import RESTARTED
from uplift.secrets import fact_salt, fingerprint_key
from uplift.spec.container import Container
from uplift.spec.container.diff import same_image
from uplift.spec.container.image import Image, Reference
from uplift.spec.container.plan import Preparation
from uplift.spec.errors import UpliftError
from uplift.spec.nexus import server as spec
from uplift.spec.nexus.data import File, properties_file
from uplift.spec.nexus.server import PROPERTIES, UID, Server
from uplift.spec.nexus.tls import Todo
from uplift.spec.nexus.upgrade import Step, number, refusal, remarks


@operation()
def running(server: Server) -> Generator[StringCommand, None, None]:
    """Bring the container of a Nexus, its data folder and ``nexus.properties`` to their settings.

    + server: as it shall be

    An image that the data is not fit for is refused before it is pulled: an older one than wrote
    them, or one without OrientDB on data that is in it. Keys of ``nexus.properties`` that the
    settings do not name stay as they are; a changed key replaces the container, and comes back to
    what it was when the new one does not become ready. For another certificate the server is
    restarted: it reads it once.

    **Example:**

    .. code:: python

        nexus_server.running(name="Nexus", server=Server(image="sonatype/nexus3:3.85.0"))
    """
    found = _read(server)
    if found is None:
        return
    try:
        key, secured = fingerprint_key(), nexus_tls.todo(server, found.tls)
    except UpliftError as error:
        yield script.refuse(f"nexus: {error}", code=int(error.exit_code))
        return
    settled = server.name in found.state.journals
    if settled:
        yield from container.settle([_container(server, found)], found.state, {})
        found = _read(server)
        if found is None:
            return
    reason = _unfit(server, _container(server, found), found)
    if reason is None:
        return
    if reason:
        yield script.refuse(f"nexus: {reason}; nothing was touched")
        return
    yield from _converge(server, found, secured, key, settled=settled)


def _converge(
    server: Server, found: Found, secured: Todo, key: bytes, *, settled: bool
) -> Iterator[StringCommand]:
    """Yield what brings data, certificate and container to the settings, in this order."""
    own = _owned(server, found)
    nexus_tls.announce(server, secured, found.tls)
    jobs = container.converge(
        [_container(server, found)],
        found.state,
        {},
        key,
        changed=settled or bool(own) or bool(secured.words) or found.tls.stale,
        preparation=_preparation(server, properties_file(server, found.data)),
    )
    # A dry run ends at the first command: what the others do is said before it.
    try:
        first, done = [next(jobs)], None
    except StopIteration as end:
        first, done = [], end.value
    yield from own
    yield from nexus_tls.written(server, secured)
    yield from first
    done = (yield from jobs) or done
    if done and (secured.words or found.tls.stale):
        yield from nexus_tls.removed(server, secured)
        yield from _with_its_certificate(server)


def _with_its_certificate(server: Server) -> Iterator[StringCommand]:
    """Yield the job that restarts a server which runs with a keystore of before."""
    found = _read(server)
    if found is not None and found.tls.stale:
        yield container.restarted(_container(server, found), found.state, {}, RESTARTED)
        script.changed(f"{server.name}: {RESTARTED}")


def _read(server: Server) -> Found | None:
    salt = fact_salt()
    # Of the container the fact needs the name and the image alone.
    asked = spec.container(server, spec.memory(server, 0))
    given: dict[str, Any] = {"container": asked, "place": server.place}
    found = read_quietly(host, NexusServer, HiddenInput(salt), **given)
    return None if found is None else replace(found, state=replace(found.state, salt=salt))


def _container(server: Server, found: Found) -> Container:
    has = spec.memory_of(found.state.containers.get(server.name))
    return spec.container(server, spec.memory(server, found.data.host_memory, has))


def _unfit(server: Server, it: Container, found: Found) -> str | None:
    """Return why the image must not be started on the data, empty when it may; None: unreadable."""
    real = found.state.containers.get(it.name)
    resolved = found.state.resolved.get(it.image)
    image = found.state.images.get(real["Image"], Image(real["Image"])) if real else None
    if not found.data.used or resolved is None or resolved.how == "failed":
        return ""
    if image is not None and same_image(image, resolved):
        return ""
    traces = read_quietly(
        host, NexusTraces, container=it.name, place=server.place, image=server.image
    )
    if traces is None:
        return None
    last = number(_tag(str(real["Config"].get("Image", "")))) if real else None
    given = number(server.data_version or "")
    step = Step(
        image=server.image,
        wanted=server.version or traces.wanted,
        current=traces.current or last or given,
        databases=found.data.databases,
    )
    reason = refusal(step)
    for remark in () if reason else remarks(step):
        host.log(f"{it.name}: {remark}", log_func=logger.warning)
    return reason


def _tag(image: str) -> str:
    try:
        return Reference.parse(image).tag
    except ValueError:
        return ""


def _owned(server: Server, found: Found) -> list[StringCommand]:
    """Return the command that makes a folder of the host, or gives the data to the server."""
    resolved = found.state.resolved.get(server.image)
    if found.state.busy or resolved is None or resolved.how == "failed":
        return []
    missing = server.data.startswith("/") and not found.data.there
    if not missing and found.data.owned:
        return []
    done = f"made {server.data}" if missing else f"{server.data} is user {UID}'s alone"
    script.changed(f"{server.name}: {done}")
    return [script.run(_OWN, server.place, str(UID))]


# Not through links, and not along a path that the server could change meanwhile.
_OWN = r"""
set -eu
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
case $1 in
  volume:*) path=$(docker volume inspect --format '{{.Mountpoint}}' "${1#volume:}") ;;
  *) path=${1#bind:}
    [ -e "$path" ] || {
      mkdir -p "$(dirname "$path")"
      install -d -m 0700 -o "$2" -g "$2" "$path"; } ;;
esac
[ -d "$path" ] || { echo "nexus: $path is no folder" >&2; exit 1; }
chown "$2:$2" "$path"
case $1 in bind:*) chmod o= "$path" ;; esac
find "$path/" ! \( -uid "$2" -gid "$2" \) -execdir chown -h "$2:$2" {} +
"""


def _preparation(server: Server, file: File) -> Preparation:
    if not file.why:
        return Preparation(":")
    words = {
        "place": server.place,
        "uid": str(UID),
        "name": PROPERTIES,
        "before": file.before,
        "after": file.after,
        "text": base64.b64encode(file.bytes).decode(),
    }
    text = _WRITE
    for word, value in words.items():
        text = text.replace(f"@{word}@", shlex.quote(value))
    return Preparation(text, file.why)


_WRITE = r"""
  path=$(place @place@) && [ -d "$path" ] || { reason="the data is not there"; return 1; }
  file=$path/@name@; folder=$(dirname "$file")
  for one in "$folder" "$file"; do
    [ ! -L "$one" ] || { reason="$one is a link"; return 1; }
  done
  has=-; [ ! -e "$file" ] || has=$(sha256sum <"$file" | cut -c 1-64)
  [ "$has" != @after@ ] || return 0
  [ "$has" = @before@ ] || { reason="$file changed in the meantime: run again"; return 1; }
  mkdir -p "$folder" && chown @uid@:@uid@ "$folder" && rm -f "$file.new" || return 1
  if [ -e "$file" ]; then cp -p "$file" "$file.new"
  else install -m 0640 /dev/null "$file.new"; fi &&
    printf %s @text@ | base64 -d >"$file.new" &&
    chown @uid@:@uid@ "$file.new" && sync "$file.new" && mv -T "$file.new" "$file"
"""
