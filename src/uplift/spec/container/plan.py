"""What is done about a container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from uplift.spec.container.diff import Change, Values, changes
from uplift.spec.container.image import Resolved
from uplift.spec.container.listening import in_the_way
from uplift.spec.container.models import OURS, Container
from uplift.spec.container.state import State
from uplift.spec.secret import SecretRef

STEPS = (
    "pull",
    "create",
    "stop",
    "rename",
    "copy",
    "prepare",
    "secrets",
    "start",
    "healthy",
    "finish",
)
"""The steps of a replacement, in their order."""

UNDO = ("take_away", "data_back", "secrets_back", "old_back")
"""The parts of taking a replacement back, in their order."""

POINTS = tuple(
    f"{one} {moment}"
    for one in (*STEPS, *UNDO)
    for moment in ("before", "after")
    # The last step takes the journal away.
    if (one, moment) != ("finish", "after")
)
"""The lines that the journal on the host may hold: where a replacement can be interrupted."""

Action = Literal["nothing", "mend", "create", "replace"]


class Refused(Exception):
    """Say why a container is left as it is, and what to do."""


@dataclass(frozen=True)
class Preparation:
    """What a subject changes in the data of its container while nothing runs on it.

    It is done at every replacement, after the copy, so that it is taken back with the data when the
    new container does not become healthy.

    Args:
        script: shell text; ``place volume:NAME`` and ``place bind:PATH`` give the folders on the
            host. A failure fails the replacement. It must be possible to do it twice.
        why: reasons to replace a container for it that is otherwise as it should be.
    """

    script: str
    why: tuple[str, ...] = ()


NO_PREPARATION = Preparation(":")


@dataclass(frozen=True)
class Plan:
    """What is done about a container.

    Args:
        action: mend changes it in place (name, limits, started); the others speak for themselves.
        why: what differs, for people.
        warnings: what cannot be had on this host.
        found: name that the container has now, or None.
        fields: what ``docker update`` shall change.
        start: it does not run.
        restart: it runs, and is to begin anew.
    """

    action: Action
    why: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    found: str | None = None
    fields: tuple[str, ...] = ()
    start: bool = False
    restart: bool = False


def plan(
    it: Container, state: State, values: Values, key: bytes, reasons: tuple[str, ...] = ()
) -> Plan:
    """Compare a container with the settings and say what to do.

    Args:
        it: what is wanted.
        state: of the host.
        values: of the secrets.
        key: of the fingerprints that show secrets.
        reasons: why it is replaced though nothing of its own differs.

    Raises:
        Refused: it cannot be brought there without harm.
    """
    _check(it, state, values)
    name = _present(it, state)
    found = state.containers[name] if name else None
    warnings = _warnings(it, state)
    if found is None or name is None:
        _check_there(state.resolved[it.image])
        _check_ports(it, state)
        return Plan("create", ("created", *reasons), warnings)
    differs = changes(it, found, state, values, key)
    if reasons or any(not change.in_place for change in differs):
        _check_there(state.resolved[it.image])
        _check_old(it, found, state)
        _check_ports(it, state)
        return Plan("replace", (*_words(differs), *reasons), warnings, name)
    mended = _mend(it, name, found, differs, warnings)
    if mended.start:
        _check_ports(it, state)
    return mended


def _mend(
    it: Container,
    name: str,
    found: Mapping[str, Any],
    differs: list[Change],
    warnings: tuple[str, ...],
) -> Plan:
    why = [*_words(differs)]
    status = found["State"].get("Status", "running")
    start = status not in ("running", "restarting")
    if name != it.name:
        why.append(f"renamed {name} -> {it.name}")
    if start:
        why.append(f"started (was {status})")
    fields = tuple(change.field for change in differs)
    if why:
        return Plan("mend", tuple(why), warnings, name, fields, start)
    return Plan("nothing", (), warnings, name)


def _words(differs: list[Change]) -> tuple[str, ...]:
    return tuple(change.words for change in differs)


def _present(it: Container, state: State) -> str | None:
    """Return the name of the container that the settings mean."""
    if it.name in state.containers:
        return it.name
    spare = {it.previous, f"{it.name}--next"}
    for name, found in state.containers.items():
        labels = found["Config"].get("Labels") or {}
        if labels.get(f"{OURS}container") == it.name and name not in spare:
            return name
    return None


def check_host(state: State) -> None:
    """Refuse a host where nothing can be changed now.

    Raises:
        Refused: no Docker, or a job still runs.
    """
    if not state.docker:
        msg = "there is no Docker Engine that answers on this host: deploys/docker.py installs one"
        raise Refused(msg)
    if state.busy:
        msg = f"a change is still running as {state.busy}: run again when it has ended"
        raise Refused(msg)


def _check(it: Container, state: State, values: Values) -> None:
    check_host(state)
    if journal := state.journals.get(it.name):
        msg = f"a replacement was interrupted at {journal!r} in the meantime: run again"
        raise Refused(msg)
    resolved = state.resolved[it.image]
    if resolved.how == "failed":
        msg = f"image {it.image}: {resolved.trouble}; nothing was touched"
        raise Refused(msg)
    for key, value in it.environment.items():
        if isinstance(value, SecretRef) and "\n" in values[value].reveal():
            msg = f"environment: the secret for {key} has several lines: use secrets, a file"
            raise Refused(msg)
    if it.previous in state.containers:
        msg = f"{it.previous} is in the way, and no replacement of ours left it: docker rm it"
        raise Refused(msg)


def _check_there(resolved: Resolved) -> None:
    """Refuse a digest that neither the host nor, as it says, the registry has."""
    if resolved.how == "digest" and resolved.trouble:
        msg = f"image {resolved.reference}: {resolved.trouble}; nothing was touched"
        raise Refused(msg)


def _check_ports(it: Container, state: State) -> None:
    """Refuse a port that somebody else has: the new container could not be started."""
    if found := in_the_way(it, state.listeners, state.containers):
        who = ", ".join(str(one) for one in found)
        msg = f"ports: somebody else listens on {who}; nothing was touched"
        raise Refused(msg)


def _check_old(it: Container, found: Mapping[str, Any], state: State) -> None:
    """Refuse to stop what could not come back."""
    if found["HostConfig"].get("AutoRemove"):
        msg = (
            "the container was started with --rm: stopped, it would be gone, and could not come "
            "back if the new one fails; remove it yourself"
        )
        raise Refused(msg)
    for mount in it.mounts:
        volume = state.volumes.get(mount.volume or "")
        if it.stateful and volume and (volume.get("Driver") != "local" or volume.get("Options")):
            msg = (
                f"volume {mount.volume} is not a plain local one and cannot be copied here: set "
                f"stateful to False and see to its backup yourself"
            )
            raise Refused(msg)


def _warnings(it: Container, state: State) -> tuple[str, ...]:
    given = {"memory": it.memory, "cpus": it.cpus, "pids_limit": it.pids_limit}
    missing = [name for name, value in given.items() if value and name not in state.limits]
    return tuple(f"{name}: this host's kernel cannot limit it" for name in missing)
