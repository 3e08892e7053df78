"""Who may do what on a Nexus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from uplift.spec.base import Block
from uplift.spec.nexus.api import Api, Line, Name
from uplift.spec.secret import SecretRef

AUTHENTICATING = "NexusAuthenticatingRealm"
AUTHORIZING = "NexusAuthorizingRealm"

UserId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._@\-]+$")]
RoleId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\- ]*$")]
Action = Literal[
    "READ", "BROWSE", "EDIT", "ADD", "DELETE", "RUN", "START", "STOP", "ASSOCIATE",
    "DISASSOCIATE", "ALL",
]  # fmt: skip


class Admin(Block):
    """The user ``admin``: the way in.

    Args:
        password: the wanted one. What a new server made up for itself is replaced by it.
        first_password: of a server that was given one before, for example in the environment
            variable NEXUS_SECURITY_INITIAL_PASSWORD, or before a rotation.
    """

    password: SecretRef
    first_password: SecretRef | None = None


class Anonymous(Api):
    """What is served to those who do not sign in.

    Args:
        enabled: anything at all.
        user_id: whose rights they have.
        realm_name: that knows this user.
    """

    enabled: bool = False
    user_id: UserId = "anonymous"
    realm_name: Line = AUTHORIZING


class Realms(Block):
    """Ways to sign in, in the order in which they are asked.

    Args:
        active: beside the server's own two, as ``NpmToken``, ``DockerToken``.
        strict: no others may be active, and in this order. Else what is missing is added last.
    """

    active: tuple[Line, ...] = ()
    strict: bool = False


class Privilege(Api):
    """A right. Those for whole repositories (``nx-repository-view-…``) the server makes itself.

    Args:
        type: what it is about; cannot be changed later.
        name: unique.
        description: for people.
        actions: of all types but ``wildcard``.
        format: of the three types for repositories; ``*`` is all.
        repository: its name, ``*`` for all.
        content_selector: of ``repository-content-selector``.
        domain: of ``application``.
        pattern: of ``wildcard``.
        script_name: of ``script``.
    """

    type: Literal[
        "application", "wildcard", "repository-admin", "repository-view",
        "repository-content-selector", "script",
    ] = Field(exclude=True)  # fmt: skip
    name: Name
    description: Line = ""
    actions: tuple[Action, ...] | None = None
    format: Line | None = None
    repository: Line | None = None
    content_selector: Name | None = None
    domain: Line | None = None
    pattern: Line | None = None
    script_name: Line | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        must = _PRIVILEGE[self.type]
        for name in ("actions", *sorted({key for keys in _PRIVILEGE.values() for key in keys})):
            there = getattr(self, name) not in (None, ())
            if there != (name in must):
                verb = "does not go with" if there else "is required for"
                msg = f"privilege {self.name!r}: {name} {verb} type {self.type!r}"
                raise ValueError(msg)
        return self


_PRIVILEGE = {
    "application": {"actions", "domain"},
    "wildcard": {"pattern"},
    "repository-admin": {"actions", "format", "repository"},
    "repository-view": {"actions", "format", "repository"},
    "repository-content-selector": {"actions", "format", "repository", "content_selector"},
    "script": {"actions", "script_name"},
}


class Role(Api):
    """Rights under one name.

    Args:
        id: unique; cannot be changed later.
        name: for people; the id when left out.
        description: for people.
        privileges: in any order.
        roles: whose rights it has too.
    """

    id: RoleId
    name: Line | None = None
    description: Line = ""
    privileges: tuple[Line, ...] = ()
    roles: tuple[RoleId, ...] = ()

    def wanted(self) -> dict[str, Any]:
        """Return the fields that are wanted; a role must have a name."""
        return {"name": self.id, **super().wanted()}


class Person(Api):
    """A user who signs in with a password.

    Args:
        user_id: unique.
        password: tried by signing in.
        first_name: the id when left out.
        last_name: ``-`` when left out.
        email_address: made up of the id when left out.
        status: ``disabled`` may not sign in, and its password is not tried.
    """

    user_id: UserId
    password: SecretRef = Field(exclude=True)
    first_name: Line | None = Field(default=None, min_length=1)
    last_name: Line | None = Field(default=None, min_length=1)
    email_address: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    status: Literal["active", "disabled"] = "active"


class User(Person):
    """A user with roles.

    Args:
        roles: at least one, in any order.
    """

    roles: tuple[RoleId, ...] = Field(min_length=1)


class Ready(Block):
    """A ready role and its users.

    Args:
        role_id: of the role.
        repositories: what it is for.
        users: who have it, and no other.
    """

    role_id: RoleId
    repositories: tuple[Name, ...] = Field(min_length=1)
    users: tuple[Person, ...] = ()

    def as_users(self) -> Iterator[User]:
        """Return its users with their role."""
        for person in self.users:
            given = {name: getattr(person, name) for name in person.model_fields_set}
            yield User(**given, roles=(self.role_id,))


class Deployers(Ready):
    """Who publish: the least that each format needs, on hosted repositories."""

    role_id: RoleId = "deployer"


class Readers(Ready):
    """Who install; a group's members need not be named."""

    role_id: RoleId = "reader"


_DEPLOY = {
    "pypi": ("add", "read"),
    "npm": ("add", "edit", "read"),
    "docker": ("add", "edit", "read"),
    "raw": ("add", "edit", "read"),
    "maven2": ("add", "edit", "read"),
}


def deploying(format: str, repository: str, write_policy: str | None) -> list[str]:
    """Return the privileges that publishing needs.

    Args:
        format: of the repository.
        repository: its name.
        write_policy: that it has.
    """
    actions = set(_DEPLOY[format]) | ({"edit"} if write_policy == "ALLOW" else set())
    return [f"nx-repository-view-{format}-{repository}-{action}" for action in sorted(actions)]


def reading(format: str, repository: str) -> list[str]:
    """Return the privileges that installing needs.

    Args:
        format: of the repository.
        repository: its name.
    """
    return [f"nx-repository-view-{format}-{repository}-{action}" for action in ("browse", "read")]
