"""What is done about an application: nothing, mended where it serves, or switched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from uplift.spec.app.models import SLOTS, App
from uplift.spec.app.state import AppState
from uplift.spec.container.diff import Values
from uplift.spec.container.plan import Plan, Refused
from uplift.spec.container.plan import plan as plan_container
from uplift.spec.container.state import State
from uplift.spec.container.units import memory_bytes
from uplift.spec.haproxy.backend import Backend

Action = Literal["nothing", "mend", "tidy", "switch", "replace"]


@dataclass(frozen=True)
class Todo:
    """What is done about an application.

    Args:
        action: ``mend`` touches only what serves, ``tidy`` ends what an interrupted switch left,
            ``switch`` starts the other slot and changes over, ``replace`` stops first.
        slot: that shall serve.
        before: slot that serves now, or empty.
        container: what is done about the slot's container.
        why: what differs, for people.
        files: the folder of its files is written.
        prove: the container is there already, and has to show that it is ready.
        backend: HAProxy's of what serves, where it is not as the settings say.
    """

    action: Action
    slot: str
    before: str
    container: Plan
    why: tuple[str, ...] = ()
    files: bool = False
    prove: bool = False
    backend: Backend | None = None


def plan(app: App, state: State, found: AppState, values: Values, key: bytes) -> Todo:
    """Compare an application with the settings and say what to do.

    What serves is read from HAProxy and the containers, never from a label or a record.

    Args:
        app: what is wanted, its files with their text.
        state: of the host's containers.
        found: of HAProxy, releases and files.
        values: of the secrets.
        key: of the fingerprints that show secrets.

    Raises:
        Refused: it cannot be brought there without harm.
    """
    if found.busy:
        msg = f"a change is still running as {found.busy}: run again when it has ended"
        raise Refused(msg)
    files = _restored(app, found)
    if app.proxy == "none":
        return _without_proxy(app, state, found, values, key, files)
    before = found.active.get(app.name, "")
    if before:
        here = plan_container(app.container(before), state, values, key)
        if here.action in ("nothing", "mend", "settle") and here.found == app.name_in(before):
            return _stays(app, before, here, state, found, files)
    target = SLOTS[1 - SLOTS.index(before)] if before else _unfinished(app, state)
    there = plan_container(app.container(target), state, values, key)
    _check_room(app, target, there, state, found)
    why = plan_container(app.container(before), state, values, key).why if before else ("first",)
    why = (*_interrupted(app, found), *why, f"{before or 'nobody'} -> {target}")
    prove = there.action in ("nothing", "mend")
    return Todo(
        "switch", target, before, there, why, bool(files), prove, _other_backend(app, found)
    )


def _other_backend(app: App, found: AppState) -> Backend | None:
    here = found.backends.get(app.name)
    return here if here != Backend.of(app) else None


def _check_room(app: App, slot: str, todo: Plan, state: State, found: AppState) -> None:
    """Refuse a slot whose port is somebody else's, and a host whose disk is full.

    Raises:
        Refused: nothing was touched.
    """
    there = state.containers.get(app.name_in(slot), {"State": {}})
    port = app.slot_port(slot)
    if port in found.listening and not there["State"].get("Running"):
        msg = f"port {port} of slot {slot} is taken by another program; nothing was touched"
        raise Refused(msg)
    need = memory_bytes(app.free_disk) // 1024
    if todo.action in ("create", "replace") and found.room is not None and found.room < need:
        msg = (
            f"disk: {found.room // 1024} MB are free where images are, {need // 1024} MB are "
            "demanded (free_disk); nothing was touched"
        )
        raise Refused(msg)


def _interrupted(app: App, found: AppState) -> tuple[str, ...]:
    journal = found.journals.get(app.name)
    return (f"a switch was interrupted at {journal.at!r}",) if journal else ()


def _without_proxy(
    app: App, state: State, found: AppState, values: Values, key: bytes, files: str
) -> Todo:
    here = plan_container(app.container(SLOTS[0]), state, values, key)
    if here.action == "nothing" and not files:
        why = _interrupted(app, found)
        return Todo("tidy" if why else "nothing", SLOTS[0], "", here, why)
    mended = here.action in ("nothing", "mend", "settle")
    why = (*here.why, *((files,) if files and mended else ()))
    return Todo("mend" if mended else "replace", SLOTS[0], "", here, why, bool(files))


def _stays(app: App, slot: str, here: Plan, state: State, found: AppState, files: str) -> Todo:
    """Say what is done when the slot that serves is the right one."""
    why = [*here.why, *([files] if files else [])]
    other = SLOTS[1 - SLOTS.index(slot)]
    left = state.containers.get(app.name_in(other))
    both = left is not None and left["State"].get("Running")
    if backend := _other_backend(app, found):
        why.append(f"HAProxy asks {backend.words}, and {Backend.of(app).words} is wanted")
    if interrupted := _interrupted(app, found):
        before = other if both else ""
        return Todo("tidy", slot, before, here, (*interrupted, *why), bool(files), backend=backend)
    running = found.running.get(app.name, {})
    if running and running.get(slot) != "ready":
        why.append(f"HAProxy has {slot} as {running.get(slot)}, and ready is wanted")
    elif running.get(other, "maint") == "ready":
        why.append(f"HAProxy gives {other} traffic too")
    if both:
        why.append(f"{other} still runs beside {slot}")
        return Todo("tidy", slot, other, here, tuple(why), bool(files), backend=backend)
    if here.action != "nothing" or why:
        return Todo("mend", slot, other, here, tuple(why), bool(files), backend=backend)
    return Todo("nothing", slot, other, here)


def _unfinished(app: App, state: State) -> str:
    """Return the slot of a container that a first deploy left, else blue."""
    there = [slot for slot in SLOTS if app.name_in(slot) in state.containers]
    return there[0] if len(there) == 1 else SLOTS[0]


def _restored(app: App, found: AppState) -> str:
    """Say which of its own files are not as wanted; they are written together, as a folder."""
    there = found.files.get(app.folder, {}) if app.files else {}
    wanted = app.hashes if app.files else {}
    names = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
    return f"files restored: {', '.join(names)}" if names else ""
