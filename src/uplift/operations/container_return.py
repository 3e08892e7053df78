"""Bring back the container that was replaced, from its record on the host."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.container import Record
from uplift.facts.kept import KeptOf
from uplift.facts.script import read_quietly
from uplift.operations import job, script
from uplift.operations.container_removal import absent
from uplift.operations.container_script import returning
from uplift.spec.container.record import Recorded
from uplift.spec.kept import RUNS


@operation()
def returned(
    container: str, record: Literal["previous", "adopted"] = "previous"
) -> Generator[StringCommand, None, None]:
    """Bring back the container that a replacement took away, as it was made then.

    + container: its name
    + record: previous, that of the last replacement; or adopted, the last one that somebody else
      had made

    It is made anew from its record, whoever made it, with the same steps as any replacement: what
    runs now serves again when it does not keep running. It gets its volumes and folders with the
    data that is in them now, and the secret files as they are now. The records stay, so that a
    second run changes nothing. A deploy whose settings say otherwise replaces it again.

    **Example:**

    .. code:: python

        container.returned(name="The cache as before", container="cache", record="adopted")
    """
    found = read_quietly(host, Record, container=container, record=record)
    if found is None:
        return
    if reason := _refusal(found, record):
        yield script.refuse(f"uplift: {container}: {reason}")
        return
    if found.is_back:
        host.noop(f"{container} is as its record says")
        return
    yield from _brought(container, found, f"brought back from its record ({record})")


@operation()
def as_before(container: str, run: str) -> Generator[StringCommand, None, None]:
    """Bring a container back to what it was before a rollout, with its secret files of then.

    + container: its name
    + run: id of the rollout, which keeps how it was until it has ended

    One that the rollout made is removed; its volumes stay. Its data are those that are there now.
    A change that was interrupted is settled first.

    **Example:**

    .. code:: python

        container.as_before(name="The cache", container="cache", run="20261121T191523Z-77fa")
    """
    kept = read_quietly(host, KeptOf, run=run)
    if kept is None:
        return
    found = next((one for one in kept.containers if one.name == container), None)
    if found is None or (found.is_back and not found.recorded.journal):
        host.noop(f"{container} is as it was before {run}")
        return
    if reason := found.stays or _unable(found.recorded):
        yield script.refuse(f"uplift: {container}: {reason}")
    elif not found.was_there:
        yield from absent._inner(containers=[container])
    else:
        files = f"{RUNS}/{run}/containers/{container}/secrets"
        yield from _brought(container, found.recorded, f"brought back as before {run}", files)


def _brought(
    container: str, found: Recorded, words: str, files: str = ""
) -> Generator[StringCommand, None, None]:
    script.announce(f"{container}: {words}")
    text = returning(container, found, files)
    now = (found.now or {}).get("Id", "")
    yield job.start(job.identity("container", text, now), text, limit=3600)
    script.changed(f"{container}: {words}")


def _unable(found: Recorded) -> str:
    if not found.docker:
        return "there is no Docker Engine that answers on this host"
    if found.busy:
        return f"a change is still running as {found.busy}: run again when it has ended"
    return ""


def _refusal(found: Recorded, record: str) -> str:
    if reason := _unable(found):
        return reason
    if found.journal:
        return f"a replacement was interrupted at {found.journal!r}: run its deploy first"
    if found.container is None:
        return f"there is no record {record!r}: it was never replaced"
    return ""
