"""Keep containers as their settings say."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.container import Containers
from uplift.facts.script import HiddenInput, read_quietly
from uplift.operations import job, kept, script
from uplift.operations.container_removal import absent, orphans_listed, pruned, remember_names
from uplift.operations.container_return import as_before, returned
from uplift.operations.container_script import Keep, render, settling
from uplift.secrets import fact_salt, fingerprint_key, require
from uplift.spec.container.diff import Values
from uplift.spec.container.lasting import lasting
from uplift.spec.container.models import OURS, Container
from uplift.spec.container.plan import (
    NO_PREPARATION,
    Plan,
    Preparation,
    Refused,
    check_host,
    plan,
)
from uplift.spec.container.state import State
from uplift.spec.errors import UpliftError

__all__ = [
    "absent",
    "as_before",
    "converged",
    "orphans_listed",
    "pruned",
    "remember_names",
    "returned",
]


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
    state, changed = yield from settled(containers, values)
    if state is not None:
        yield from converge(containers, state, values, key, changed=changed)


def settled(
    containers: Sequence[Container], values: Values
) -> Generator[StringCommand, None, tuple[State | None, bool]]:
    """Give what ends interrupted replacements.

    Args:
        containers: as they shall be.
        values: of their secrets.

    Returns:
        The state of the host afterwards, None when it has failed; and whether something was done.
    """
    state = read(containers)
    if state is None:
        return None, False
    interrupted = [it for it in containers if it.name in state.journals]
    if not interrupted:
        return state, False
    yield from settle(interrupted, state, values)
    return read(containers), True


def read(containers: Sequence[Container]) -> State | None:
    """Return the state of containers, by one command; None when the host has failed.

    Args:
        containers: as they shall be.
    """
    salt = fact_salt()
    state = read_quietly(host, Containers, HiddenInput(salt), containers=list(containers))
    return None if state is None else replace(state, salt=salt)


def settle(
    containers: Sequence[Container], state: State, values: Values
) -> Iterator[StringCommand]:
    """Yield the jobs that end interrupted replacements: what is there is known only then.

    Args:
        containers: those with a journal.
        state: of the host.
        values: of the secrets.
    """
    for it in containers:
        try:
            check_host(state)
        except Refused as error:
            yield script.refuse(f"uplift: {it.name}: {error}")
            return
        told = f"{it.name}: a replacement was interrupted at {state.journals[it.name]!r}"
        script.announce(told)
        text = settling(it, values)
        id = job.identity("container", text, state.seen(it.name))
        yield job.start(id, text, limit=time_limit(it))
        script.changed(f"{told}, and is settled")


def converge(
    containers: Sequence[Container],
    state: State,
    values: Values,
    key: bytes,
    *,
    changed: bool,
    preparation: Preparation = NO_PREPARATION,
    stays: str = "",
) -> Generator[StringCommand, None, bool | None]:
    """Yield the jobs that bring containers to what their settings say.

    Args:
        containers: as they shall be.
        state: of the host.
        values: of the secrets.
        key: of the fingerprints that show secrets.
        changed: this operation has changed the host already.
        preparation: what is changed in their data before they start.
        stays: why a rollout does not bring them back by itself, beside what is known of containers.

    Returns:
        Whether anything was changed; None when it was refused.
    """
    remember_names(containers)
    for name in orphans(containers, state):
        host.log(
            f"{name}: not in the settings any more, left as it is: docker rm -f {name}",
            log_func=logger.warning,
        )
    _foretell(containers, state, values, key, preparation, stays)
    for it in containers:
        try:
            todo = plan(it, state, values, key, preparation.why)
        except Refused as error:
            yield script.refuse(f"uplift: {it.name}: {error}")
            return None
        for warning in todo.warnings:
            host.log(f"{it.name}: {warning}", log_func=logger.warning)
        if todo.action == "nothing":
            continue
        changed = True
        keep = Keep(kept.folder(), stays or lasting(it, todo, state, preparation))
        text = render(it, todo, state, values, preparation, keep=keep)
        told = _told(it, todo, state)
        id = job.identity("container", text, state.seen(it.name))
        yield job.start(id, text, limit=time_limit(it))
        script.changed(told)
    if not changed:
        host.noop(f"{len(containers)} containers are as they should be")
    return changed


def _foretell(
    containers: Sequence[Container],
    state: State,
    values: Values,
    key: bytes,
    preparation: Preparation,
    stays: str = "",
) -> None:
    """Announce all that will be done: where pyinfra only looks, it stops at the first command."""
    for it in containers if not host.state.is_executing else ():
        try:
            todo = plan(it, state, values, key, preparation.why)
        except Refused as error:
            script.foresee(f"uplift: {it.name}: {error}")
            return
        if todo.action != "nothing":
            script.announce(
                _told(it, todo, state),
                restarts=_restarts(it, todo),
                lasting=stays or lasting(it, todo, state, preparation),
            )


def foretold(containers: Sequence[Container]) -> None:
    """Announce what will be done about containers, ahead of a command that comes before it.

    Args:
        containers: as they shall be.
    """
    if host.state.is_executing:
        return
    state = read(containers)
    if state is not None:
        values = require(list(containers))
        _foretell(containers, state, values, fingerprint_key(), NO_PREPARATION)


def _told(it: Container, todo: Plan, state: State) -> str:
    return f"{it.name}: {', '.join(todo.why)}; {state.resolved[it.image].words}"


def _restarts(it: Container, todo: Plan) -> tuple[str, ...]:
    return (it.name,) if todo.action == "replace" or todo.restart else ()


def restarted(it: Container, state: State, values: Values, why: str) -> StringCommand:
    """Return the job that starts a container anew which is as it should be, until it is healthy.

    Args:
        it: as it is.
        state: of the host.
        values: of its secrets.
        why: for people.
    """
    text = render(it, Plan("mend", (why,), found=it.name, restart=True), state, values)
    id = job.identity("container", text, state.seen(it.name))
    return job.start(id, text, limit=time_limit(it))


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
