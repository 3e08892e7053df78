"""What is done about an application: nothing, mended where it serves, or switched."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from uplift.spec.app.models import SLOTS, App
from uplift.spec.app.state import AppState
from uplift.spec.container.diff import Values
from uplift.spec.container.plan import Plan, Refused
from uplift.spec.container.plan import plan as plan_container
from uplift.spec.container.state import State

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
    """

    action: Action
    slot: str
    before: str
    container: Plan
    why: tuple[str, ...] = ()
    files: bool = False


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
    files = _files_differ(app, found)
    if app.proxy == "none":
        return _without_proxy(app, state, values, key, files)
    before = found.active.get(app.name, "")
    if before:
        here = plan_container(app.container(before), state, values, key)
        if here.action in ("nothing", "mend", "settle") and here.found == app.name_in(before):
            return _stays(app, before, here, state, found, files)
    target = SLOTS[1 - SLOTS.index(before)] if before else _unfinished(app, state)
    there = plan_container(app.container(target), state, values, key)
    why = plan_container(app.container(before), state, values, key).why if before else ("first",)
    return Todo("switch", target, before, there, (*why, f"{before or 'nobody'} -> {target}"), files)


def _without_proxy(app: App, state: State, values: Values, key: bytes, files: bool) -> Todo:
    here = plan_container(app.container(SLOTS[0]), state, values, key)
    if here.action == "nothing" and not files:
        return Todo("nothing", SLOTS[0], "", here)
    mended = here.action in ("nothing", "mend", "settle")
    why = (*here.why, *(("files restored",) if files and mended else ()))
    return Todo("mend" if mended else "replace", SLOTS[0], "", here, why, files)


def _stays(app: App, slot: str, here: Plan, state: State, found: AppState, files: bool) -> Todo:
    """Say what is done when the slot that serves is the right one."""
    why = list(here.why)
    if files:
        why.append("files restored")
    other = SLOTS[1 - SLOTS.index(slot)]
    running = found.running.get(app.name, {})
    if running and running.get(slot) != "ready":
        why.append(f"HAProxy has {slot} as {running.get(slot)}, and ready is wanted")
    elif running.get(other, "maint") == "ready":
        why.append(f"HAProxy gives {other} traffic too")
    if here.action != "nothing" or why:
        return Todo("mend", slot, other, here, tuple(why), files)
    left = state.containers.get(app.name_in(other))
    if left is not None and left["State"].get("Running"):
        return Todo("tidy", slot, other, here, (f"{other} still runs beside {slot}",))
    return Todo("nothing", slot, other, here)


def _unfinished(app: App, state: State) -> str:
    """Return the slot of a container that a first deploy left, else blue."""
    there = [slot for slot in SLOTS if app.name_in(slot) in state.containers]
    return there[0] if len(there) == 1 else SLOTS[0]


def _files_differ(app: App, found: AppState) -> bool:
    if not app.files:
        return False
    wanted = {
        name: hashlib.sha256((file.content or "").encode()).hexdigest()
        for name, file in app.files.items()
    }
    return dict(found.files.get(app.folder, {})) != wanted
