"""Keep containers as their settings say."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.container import Containers
from uplift.facts.script import HiddenInput, read_quietly
from uplift.operations import job, script
from uplift.operations.container_script import render
from uplift.secrets import fingerprint_key, require
from uplift.spec.container.diff import Values
from uplift.spec.container.models import OURS, Container
from uplift.spec.container.plan import Refused, plan
from uplift.spec.container.state import State
from uplift.spec.errors import UpliftError


@operation()
def converged(containers: Sequence[Container]) -> Generator[StringCommand, None, None]:
    """Bring containers to what their settings say, one after the other.

    + containers: as they shall be

    Everything is read by one command, and compared with what Docker says of the real thing: by
    whom it was made does not matter. What differs is named. Limits and restart policy change in the
    running container; for the rest it is replaced: the new image is there before the old container
    stops, and the old one serves again when the new one does not become healthy and stay so. Each
    replacement is a job that goes on when the connection drops; one that was interrupted is settled
    first.

    **Example:**

    .. code:: python

        container.converged(
            name="Redis", containers=[Container(name="redis", image="redis:8", memory="1g")]
        )
    """
    try:
        values = require(list(containers))
        key = fingerprint_key()
    except UpliftError as error:
        yield script.refuse(f"containers: {error}", code=int(error.exit_code))
        return
    salt = secrets.token_hex(16)
    state = read_quietly(host, Containers, HiddenInput(salt), containers=list(containers))
    if state is None:
        return
    yield from _converge(containers, replace(state, salt=salt), values, key)


def _converge(
    containers: Sequence[Container], state: State, values: Values, key: bytes
) -> Iterator[StringCommand]:
    changed = False
    for name in orphans(containers, state):
        host.log(
            f"{name}: not in the settings any more, left as it is: docker rm -f {name}",
            log_func=logger.warning,
        )
    for it in containers:
        try:
            todo = plan(it, state, values, key)
        except Refused as error:
            yield script.refuse(f"uplift: {it.name}: {error}")
            return
        for warning in todo.warnings:
            host.log(f"{it.name}: {warning}", log_func=logger.warning)
        if todo.action == "nothing":
            continue
        changed = True
        text = render(it, todo, state, values)
        host.log(f"{it.name}: {', '.join(todo.why)}; {state.resolved[it.image].words}")
        id = job.identity("container", text, state.seen(it.name))
        yield job.start(id, text, limit=time_limit(it))
    if not changed:
        host.noop(f"{len(containers)} containers are as they should be")


def time_limit(it: Container) -> int:
    """Return the seconds that a replacement may take: pulled, stopped, copied, waited for twice.

    Args:
        it: the container.
    """
    return 2400 + it.stop_timeout + 2 * it.health.limit + (7200 if it.stateful else 0)


def orphans(containers: Sequence[Container], state: State) -> list[str]:
    """Return containers of the same subjects that this tool made and the settings lack.

    Args:
        containers: as they shall be.
        state: of the host.
    """
    subjects = {it.subject or it.name for it in containers}
    names = {it.name for it in containers}
    found = []
    for name, real in state.containers.items():
        labels = real["Config"].get("Labels") or {}
        own = labels.get(f"{OURS}managed") and labels.get(f"{OURS}subject") in subjects
        if own and labels.get(f"{OURS}container") not in names:
            found.append(name)
    return sorted(found)
