"""Ways to sign in: which are active, in which order, and never without a way in for admin."""

from __future__ import annotations

import json
from collections.abc import Iterator

from uplift.spec.http import Request
from uplift.spec.nexus.api import unknown
from uplift.spec.nexus.models import Nexus
from uplift.spec.nexus.security import AUTHENTICATING, AUTHORIZING
from uplift.spec.nexus.state import REST, State
from uplift.spec.nexus.writes import Does, Write


def realms(settings: Nexus, state: State) -> Iterator[Write]:
    """Return the write that makes the wanted realms active, where they are not.

    Args:
        settings: what the server shall hold.
        state: what it holds.
    """
    wanted = _wanted(settings, state)
    if wanted != list(state.active):
        request = Request("PUT", f"{REST}/v1/security/realms/active", body=json.dumps(wanted))
        said = f"active: {json.dumps(list(state.active))} -> {json.dumps(wanted)}"
        yield Write("realms", "", Does.CHANGE, (said,), request)


def _wanted(settings: Nexus, state: State) -> list[str]:
    if settings.realms.strict:
        # From 3.60 on the server adds it by itself, and takes no list that names it.
        hidden = AUTHORIZING not in state.available
        return [it for it in settings.realms.active if not (hidden and it == AUTHORIZING)]
    found = list(state.active)
    if AUTHENTICATING not in found:
        found.insert(0, AUTHENTICATING)
    must = [AUTHORIZING] if AUTHORIZING in state.available else []
    return [*found, *(it for it in (*must, *settings.realms.active) if it not in found)]


def lock_outs(settings: Nexus, state: State) -> Iterator[str]:
    """Return why the wanted realms cannot be.

    Args:
        settings: what the server shall hold.
        state: what it holds.
    """
    wanted = settings.realms
    for name in wanted.active:
        if name not in state.available and name != AUTHORIZING:
            text = unknown("realm", name, state.available)
            yield f"realms.active: {text.replace('in these settings', f'on {state.version}')}"
    if wanted.strict and AUTHORIZING in state.available and AUTHORIZING not in wanted.active:
        yield (
            f"realms.active: strict, and without {AUTHORIZING}: on {state.version} nobody could do "
            "anything any more; add it"
        )
