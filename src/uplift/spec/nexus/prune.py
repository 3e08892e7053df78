"""Deletion of what the settings do not list any more, of what was once created by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from uplift.spec.http import Request, Response
from uplift.spec.nexus.check import BUILT_IN_ROLES, BUILT_IN_USERS, FIRST_BLOB_STORE
from uplift.spec.nexus.errors import Refused, words
from uplift.spec.nexus.models import Nexus
from uplift.spec.nexus.state import REST, State, value
from uplift.spec.nexus.tasks import removal
from uplift.spec.nexus.things import KINDS, Id, path_of, things
from uplift.spec.nexus.writes import Does, Write

_NEVER = {
    "user": BUILT_IN_USERS,
    "role": BUILT_IN_ROLES,
    "blob store": (FIRST_BLOB_STORE,),
}


def surplus(settings: Nexus, state: State) -> list[Id]:
    """Return what is to be deleted: users first, blob stores last.

    Args:
        settings: what the server shall hold.
        state: what it holds.
    """
    if not settings.prune.enabled:
        return []
    wanted = {it.id for it in things(settings, state.version)}
    wanted |= {("compaction", it.name) for it in settings.compactions}
    found = []
    for kind in reversed((*KINDS[:1], "compaction", *KINDS[1:])):
        for name in sorted(state.record.created.get(kind, ())):
            there = state.there(kind, name)
            own = name in _NEVER.get(kind, ()) or (there or {}).get("readOnly") is True
            if there is not None and (kind, name) not in wanted and not own:
                found.append((kind, name))
    # A group is deleted before what it shows.
    groups = [it for it in found if "group" in (state.there(*it) or {}).get("type", "")]
    return [it for it in found if it[0] in ("user", "role", "privilege")] + [
        *groups,
        *(it for it in found if it[0] not in ("user", "role", "privilege") and it not in groups),
    ]


def questions(settings: Nexus, state: State) -> dict[str, Request]:
    """Return what must be asked before anything is deleted: which repositories are empty.

    Args:
        settings: what the server shall hold.
        state: what it holds.
    """
    return {
        name: Request("GET", f"{REST}/v1/components?repository={quote(name)}")
        for kind, name in surplus(settings, state)
        if kind == "repository"
        and (state.there(kind, name) or {}).get("type") != "group"
        and name not in settings.prune.with_components
    }


def holding(asked: Iterable[str], responses: Iterable[Response]) -> frozenset[str]:
    """Return the repositories that have components.

    Args:
        asked: names, as ``questions`` gave them.
        responses: in their order.

    Raises:
        Refused: an answer does not say whether there are any.
    """
    found = set()
    for name, response in zip(asked, responses, strict=True):
        said = value(response, f"the components of {name}")
        if not isinstance(said, dict) or not isinstance(said.get("items"), list):
            msg = f"reading the components of {name}: {words(response)}"
            raise Refused(msg)
        if said["items"]:
            found.add(name)
    return frozenset(found)


def unconfirmed(settings: Nexus, state: State) -> Iterator[str]:
    """Return why something must not be deleted.

    Args:
        settings: what the server shall hold.
        state: what it holds.
    """
    for kind, name in surplus(settings, state):
        confirmed = name in settings.prune.with_components
        if kind == "repository" and name in state.filled and not confirmed:
            yield (
                f"repository {name}: is not in the settings any more, and has components in it, "
                "which would be gone with it: if they may go, add its name to "
                "prune.with_components, else put it back"
            )


def deletions(settings: Nexus, state: State, before: Sequence[Write]) -> Iterator[Write]:
    """Return the writes that delete; they wait for all others.

    Args:
        settings: what the server shall hold.
        state: what it holds.
        before: all other writes.
    """
    needs = frozenset((it.kind, it.name) for it in before)
    for kind, name in surplus(settings, state):
        there = state.there(kind, name) or {}
        if kind == "compaction":
            request = removal(there, state.version)
        else:
            request = Request("DELETE", path_of(kind, name, state.version))
        yield Write(kind, name, Does.DELETE, ("deleted",), request, needs)
