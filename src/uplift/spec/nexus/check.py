"""Names of the settings that refer to each other: checked before the first request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from uplift.spec.nexus.api import twice, unknown
from uplift.spec.nexus.security import AUTHENTICATING, AUTHORIZING

if TYPE_CHECKING:
    from uplift.spec.nexus.models import Nexus

BUILT_IN_ROLES = ("nx-admin", "nx-anonymous")
BUILT_IN_USERS = ("admin", "anonymous")
FIRST_BLOB_STORE = "default"
EVERY = "*"
DOCKER_TOKEN = "DockerToken"  # noqa: S105 - the name of a realm

_AUTOMATIC = re.compile(r"nx-repository-(view|admin)-")
_OF_REPOSITORY = re.compile(r"nx-repository-(?:view|admin)-[a-z0-9]+-(.+)-[^-]+")
_ACTIONS = ("*", "browse", "read", "edit", "add", "delete")


def findings(settings: Nexus) -> list[str]:
    """Return what is wrong, each with the key, the finding and the remedy.

    Args:
        settings: each part of which is right by itself.
    """
    found = [*_twice(settings)]
    # What else is wrong follows from names that are not clear.
    if found:
        return found
    found = [
        *_storage(settings),
        *_groups(settings),
        *_privileges(settings),
        *_realms(settings),
        *_ready(settings),
    ]
    # Ready roles need repositories that are there.
    return found or [*_roles(settings), *_users(settings)]


def _twice(settings: Nexus) -> Iterator[str]:
    ready = [it for it in (settings.deployers, settings.readers) if it]
    roles = [*(it.id for it in settings.roles), *(it.role_id for it in ready)]
    people = [*settings.users, *(person for it in ready for person in it.users)]
    for kind, names in (
        ("blob_stores", [it.name for it in settings.blob_stores]),
        ("routing_rules", [it.name for it in settings.routing_rules]),
        ("content_selectors", [it.name for it in settings.content_selectors]),
        ("cleanup_policies", [it.name for it in settings.cleanup_policies]),
        ("compactions", [it.name for it in settings.compactions]),
        ("repositories", [it.name for it in settings.repositories]),
        ("privileges", [it.name for it in settings.privileges]),
        ("roles", roles),
        ("users", [it.user_id for it in people]),
    ):
        same = twice(names)
        if same:
            shown = " and ".join(repr(name) for name in same)
            yield (
                f"{kind}: {shown} are the same name: the server makes no difference between "
                "capital and small letters; give one of them another"
            )


def _storage(settings: Nexus) -> Iterator[str]:
    away = settings.unmanaged
    stores = [FIRST_BLOB_STORE, *(it.name for it in settings.blob_stores), *away.blob_stores]
    rules = [*(it.name for it in settings.routing_rules), *away.routing_rules]
    policies = {it.name: it.format for it in settings.cleanup_policies}
    for index, it in enumerate(settings.repositories):
        where = f"repositories[{index}]"
        if it.storage.blob_store_name not in stores:
            text = unknown("blob store", it.storage.blob_store_name, stores)
            yield f"{where}.storage.blob_store_name: {text}"
        if it.routing_rule is not None and it.routing_rule not in rules:
            yield f"{where}.routing_rule: {unknown('routing rule', it.routing_rule, rules)}"
        for name in it.cleanup.policy_names if it.cleanup else ():
            known = [*policies, *away.cleanup_policies]
            if name not in known:
                text = unknown("cleanup policy", name, known)
                yield f"{where}.cleanup.policy_names: {text}"
            elif policies.get(name, it.format) != it.format:
                yield (
                    f"{where}.cleanup.policy_names: {name!r} is for {policies[name]}, this "
                    f"repository is {it.format}"
                )
    for index, task in enumerate(settings.compactions):
        if task.blob_store_name not in stores:
            text = unknown("blob store", task.blob_store_name, stores)
            yield f"compactions[{index}].blob_store_name: {text}"


def _groups(settings: Nexus) -> Iterator[str]:
    known = {it.name: it for it in settings.repositories}
    names = [*known, *settings.unmanaged.repositories]
    for index, it in enumerate(settings.repositories):
        where = f"repositories[{index}].group.member_names"
        members = it.group.member_names if it.group else ()
        for name in members:
            if name not in names:
                yield f"{where}: {unknown('repository', name, names)}"
            elif name in known and known[name].format != it.format:
                yield (
                    f"{where}: {name!r} is {known[name].format}, a group's members must be of its "
                    f"own format {it.format}"
                )
        for name in sorted({name for name in members if members.count(name) > 1}):
            yield f"{where}: {name!r} stands there more than once"
    graph = {it.name: it.group.member_names if it.group else () for it in settings.repositories}
    yield from _circles("repositories", "group", graph)


def _circles(key: str, kind: str, graph: dict[str, tuple[str, ...]]) -> Iterator[str]:
    circle = _circle(graph)
    if circle:
        shown = " -> ".join(circle)
        yield f"{key}: a {kind} cannot hold itself: {shown}; take one out of the other"


def _circle(graph: dict[str, tuple[str, ...]]) -> list[str]:
    """Return names that lead back to the first of them, if there are any."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for following in graph.get(name, ()):
            found = walk(following, [*way, name])
            if found:
                return found
        done.add(name)
        return []

    return next((found for name in graph if (found := walk(name, []))), [])


def _privileges(settings: Nexus) -> Iterator[str]:
    repositories = [EVERY, *(it.name for it in settings.repositories)]
    repositories += settings.unmanaged.repositories
    selectors = [it.name for it in settings.content_selectors]
    selectors += settings.unmanaged.content_selectors
    for index, it in enumerate(settings.privileges):
        where = f"privileges[{index}]"
        if it.name.startswith("nx-"):
            yield f"{where}.name: {it.name!r}: names that begin with 'nx-' are the server's own"
        if it.repository is not None and it.repository not in repositories:
            yield f"{where}.repository: {unknown('repository', it.repository, repositories)}"
        if it.content_selector is not None and it.content_selector not in selectors:
            text = unknown("content selector", it.content_selector, selectors)
            yield f"{where}.content_selector: {text}"


def _realms(settings: Nexus) -> Iterator[str]:
    active = settings.realms.active
    for index, it in enumerate(settings.repositories):
        if it.docker and not it.docker.force_basic_auth and DOCKER_TOKEN not in active:
            yield (
                f"repositories[{index}].docker.force_basic_auth: without it docker signs in by the "
                f"realm {DOCKER_TOKEN}; add that to realms.active"
            )
    for name in sorted({name for name in active if active.count(name) > 1}):
        yield f"realms.active: {name!r} stands there more than once"
    if settings.realms.strict and AUTHENTICATING not in active:
        yield (
            f"realms.active: strict, and without {AUTHENTICATING}: nobody could sign in any more, "
            "admin neither; put it first"
        )
    if not settings.realms.strict:
        for name in (AUTHENTICATING, AUTHORIZING):
            if name in active:
                yield f"realms.active: {name} is always active; take it out, or set strict = True"


def _ready(settings: Nexus) -> Iterator[str]:
    known = {it.name: it for it in settings.repositories}
    for key, it in (("deployers", settings.deployers), ("readers", settings.readers)):
        for name in it.repositories if it else ():
            if name not in known:
                yield f"{key}.repositories: {unknown('repository', name, known)}"
            elif key == "deployers" and known[name].type != "hosted":
                kind = known[name].type
                yield f"{key}.repositories: {name!r} is a {kind}; only hosted ones take packages"


def known_privileges(settings: Nexus) -> set[str]:
    """Return the privileges that there will be, apart from the server's own for all.

    Args:
        settings: what the server shall hold.
    """
    own = {it.name for it in settings.privileges} | set(settings.unmanaged.privileges)
    formats = {it.format for it in settings.repositories}
    pairs: list[tuple[str, str]] = [(it.format, it.name) for it in settings.repositories]
    pairs += [(format, EVERY) for format in formats] + [(EVERY, EVERY)]
    return own | {
        f"nx-repository-{kind}-{format}-{name}-{action}"
        for kind in ("view", "admin")
        for format, name in pairs
        for action in _ACTIONS
    }


def is_servers_own(privilege: str) -> bool:
    """Is this a privilege that each server has, and that is not about a repository?

    Args:
        privilege: its name.
    """
    return privilege.startswith("nx-") and not _AUTOMATIC.match(privilege)


def repository_of(privilege: str) -> str | None:
    """Return the repository that an automatic privilege is about; None for all others.

    Args:
        privilege: its name.
    """
    found = _OF_REPOSITORY.fullmatch(privilege)
    return found[1] if found else None


def _roles(settings: Nexus) -> Iterator[str]:
    privileges = known_privileges(settings)
    own = [it.id for it in settings.all_roles]
    roles = [*BUILT_IN_ROLES, *own, *settings.unmanaged.roles]
    away = settings.unmanaged.repositories
    for index, it in enumerate(settings.all_roles):
        where = f"roles[{index}]"
        if it.id in BUILT_IN_ROLES:
            yield f"{where}.id: {it.id!r} is the server's own and cannot be changed"
        for name in it.privileges:
            if name not in privileges and not is_servers_own(name) and not _about(name, away):
                yield f"{where}.privileges: {unknown('privilege', name, privileges)}"
        yield from _names(f"{where}.roles", "role", it.roles, roles)
    yield from _circles("roles", "role", {it.id: it.roles for it in settings.all_roles})


def _about(privilege: str, repositories: Sequence[str]) -> bool:
    """Is this an automatic privilege of a repository that is on the server?"""
    return repository_of(privilege) in repositories


def _names(where: str, kind: str, names: Iterable[str], known: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"{where}: {unknown(kind, name, known)}"


def _users(settings: Nexus) -> Iterator[str]:
    roles = [*BUILT_IN_ROLES, *(it.id for it in settings.all_roles), *settings.unmanaged.roles]
    for index, it in enumerate(settings.all_users):
        where = f"users[{index}]"
        if it.user_id in BUILT_IN_USERS:
            yield (
                f"{where}.user_id: {it.user_id!r} is the server's own; its password stands in "
                "'admin', its rights in 'anonymous'"
            )
        yield from _names(f"{where}.roles", "role", it.roles, roles)
