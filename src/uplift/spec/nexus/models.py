"""What a Nexus shall hold, as it stands in the group data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import StringConstraints, model_validator

from uplift.spec.base import Block
from uplift.spec.nexus.api import Name
from uplift.spec.nexus.repositories import Repository
from uplift.spec.nexus.security import (
    Admin,
    Anonymous,
    Deployers,
    Privilege,
    Readers,
    Realms,
    Role,
    RoleId,
    User,
    deploying,
    reading,
)
from uplift.spec.nexus.server import Server
from uplift.spec.nexus.storage import (
    BlobStore,
    CleanupPolicy,
    Compaction,
    ContentSelector,
    RoutingRule,
)

Address = Annotated[
    str,
    StringConstraints(
        pattern=r"^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[^\s?#]*)?$"
    ),
]


class Unmanaged(Block):
    """What is on the server, is not kept by these settings, and may be referred to by them.

    Whether it is there is looked up before anything is written.

    Args:
        blob_stores: beside ``default``.
        repositories: for groups, roles and privileges.
        cleanup_policies: for repositories.
        routing_rules: for proxies.
        content_selectors: for privileges.
        privileges: for roles; the server's own (``nx-…``) need not be named.
        roles: for roles and users; ``nx-admin`` and ``nx-anonymous`` need not be named.
    """

    blob_stores: tuple[Name, ...] = ()
    repositories: tuple[Name, ...] = ()
    cleanup_policies: tuple[Name, ...] = ()
    routing_rules: tuple[Name, ...] = ()
    content_selectors: tuple[Name, ...] = ()
    privileges: tuple[Name, ...] = ()
    roles: tuple[RoleId, ...] = ()


class Prune(Block):
    """Delete what these settings do not list any more, of what was once created by them.

    Never the users admin and anonymous, nor the server's own roles and privileges.

    Args:
        enabled: delete at all.
        with_components: repositories that may be deleted with the components in them.
    """

    enabled: bool = False
    with_components: tuple[Name, ...] = ()


class Nexus(Block):
    """What a Nexus shall hold. What it names is kept as it says; all else is left alone.

    Args:
        container: where it runs; None for a server that is on the host already.
        address: of such a server, as its host sees it, with its context path.
        admin: the way in.
        accept_eula: the licence of the Community Edition (from 3.77) is accepted by you.
        anonymous: what is served without signing in.
        realms: ways to sign in.
        blob_stores: of files.
        routing_rules: for proxies.
        content_selectors: for privileges.
        cleanup_policies: for repositories.
        compactions: tasks that free what cleanup has removed.
        repositories: in any order.
        privileges: beside those that the server makes for each repository.
        roles: in any order.
        users: beside ``admin``.
        deployers: a ready role for those who publish.
        readers: a ready role for those who install.
        unmanaged: names that are on the server.
        prune: deletion of what was taken out of these settings.
    """

    container: Server | None = None
    address: Address = "http://127.0.0.1:28081"
    admin: Admin
    accept_eula: bool = False
    anonymous: Anonymous = Anonymous()
    realms: Realms = Realms()
    blob_stores: tuple[BlobStore, ...] = ()
    routing_rules: tuple[RoutingRule, ...] = ()
    content_selectors: tuple[ContentSelector, ...] = ()
    cleanup_policies: tuple[CleanupPolicy, ...] = ()
    compactions: tuple[Compaction, ...] = ()
    repositories: tuple[Repository, ...] = ()
    privileges: tuple[Privilege, ...] = ()
    roles: tuple[Role, ...] = ()
    users: tuple[User, ...] = ()
    deployers: Deployers | None = None
    readers: Readers | None = None
    unmanaged: Unmanaged = Unmanaged()
    prune: Prune = Prune()

    @model_validator(mode="after")
    def _check(self) -> Self:
        from uplift.spec.nexus.check import findings

        found = findings(self)
        if found:
            raise ValueError("\n".join(found))
        return self

    @property
    def all_roles(self) -> tuple[Role, ...]:
        """Those of the settings, and the ready ones."""
        known = {it.name: it for it in self.repositories}
        ready = []
        if self.deployers:
            chosen = [known[name] for name in self.deployers.repositories]
            rights = [deploying(it.format, it.name, it.storage.write_policy) for it in chosen]
            ready.append(_ready(self.deployers.role_id, "Publish packages", rights))
        if self.readers:
            chosen = [known[name] for name in self.readers.repositories]
            rights = [reading(it.format, it.name) for it in chosen]
            ready.append(_ready(self.readers.role_id, "Install packages", rights))
        return (*self.roles, *ready)

    @property
    def all_users(self) -> tuple[User, ...]:
        """Those of the settings, and those of the ready roles."""
        ready = [it for it in (self.deployers, self.readers) if it]
        return (*self.users, *(user for it in ready for user in it.as_users()))


def _ready(id: str, description: str, rights: Iterable[Iterable[str]]) -> Role:
    privileges = tuple(privilege for some in rights for privilege in some)
    return Role(id=id, description=description, privileges=privileges)
