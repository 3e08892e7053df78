"""Each object of the settings as the API has it: how it is written, compared, and what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from uplift.spec.nexus.check import repository_of
from uplift.spec.nexus.fields import Rules
from uplift.spec.nexus.models import Nexus
from uplift.spec.nexus.repositories import Repository
from uplift.spec.nexus.security import Privilege, Role, User
from uplift.spec.nexus.state import REST
from uplift.spec.nexus.version import Version
from uplift.spec.secret import SecretRef

Id = tuple[str, str]
"""Kind and name of an object."""

KINDS = (
    "blob store", "routing rule", "content selector", "cleanup policy", "repository", "privilege",
    "role", "user",
)  # fmt: skip
"""In the order in which they can be written; deleted they are in the other."""

_FOR_GOOD = "cannot be changed; give it another name, or delete it by hand"
_CLEANUP = "/internal/cleanup-policies"


@dataclass(frozen=True)
class Thing:
    """An object that is wanted.

    Args:
        kind: of the object.
        name: of the object.
        wanted: fields, under the names of the API; secrets are references.
        create: path to post to.
        change: path to put to.
        rules: how its fields compare.
        needs: objects that must be there before it.
        what: it is, for people: format and type.
        defaults: fields that a new one gets.
        hidden: fields that the server shows and does not take.
        named: the path alone names it in a change, not the body.
    """

    kind: str
    name: str
    wanted: Mapping[str, Any]
    create: str
    change: str
    rules: Rules = field(default_factory=Rules)
    needs: frozenset[Id] = frozenset()
    what: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    named: bool = False

    @property
    def id(self) -> Id:
        """Kind and name."""
        return self.kind, self.name


def path_of(kind: str, name: str, version: Version) -> str:
    """Return the path at which an object is deleted.

    Args:
        kind: of the object.
        name: of the object.
        version: of the server.
    """
    above = {
        "blob store": "/v1/blobstores",
        "routing rule": "/v1/routing-rules",
        "content selector": "/v1/security/content-selectors",
        "cleanup policy": version.cleanup or _CLEANUP,
        "repository": "/v1/repositories",
        "privilege": "/v1/security/privileges",
        "role": "/v1/security/roles",
        "user": "/v1/security/users",
    }[kind]
    return f"{REST}{above}/{quote(name)}"


def things(settings: Nexus, version: Version) -> list[Thing]:
    """Return every object of the settings, each after those that it needs.

    Args:
        settings: what the server shall hold.
        version: of the server.
    """
    return [
        *_stores(settings),
        *_rules(settings),
        *_policies(settings, version),
        *(_repository(it) for it in _in_order(settings)),
        *(_privilege(it) for it in settings.privileges),
        *_roles(settings),
        *(_user(it) for it in settings.all_users),
    ]


def _stores(settings: Nexus) -> Iterator[Thing]:
    above = f"{REST}/v1/blobstores/file"
    for it in settings.blob_stores:
        yield Thing(
            "blob store",
            it.name,
            it.wanted(),
            above,
            f"{above}/{quote(it.name)}",
            Rules(fixed={"path": f"the files stay where they are: path {_FOR_GOOD}"}),
            defaults={"path": it.name},
            hidden=frozenset(
                {"type", "unavailable", "blobCount", "totalSizeInBytes", "availableSpaceInBytes"}
            ),
            named=True,
        )


def _rules(settings: Nexus) -> Iterator[Thing]:
    above = f"{REST}/v1/routing-rules"
    for rule in settings.routing_rules:
        change = f"{above}/{quote(rule.name)}"
        yield Thing("routing rule", rule.name, rule.wanted(), above, change)
    above = f"{REST}/v1/security/content-selectors"
    for it in settings.content_selectors:
        hidden = frozenset({"type"})
        change = f"{above}/{quote(it.name)}"
        yield Thing(
            "content selector", it.name, it.wanted(), above, change, hidden=hidden, named=True
        )


def _policies(settings: Nexus, version: Version) -> Iterator[Thing]:
    above = f"{REST}{version.cleanup or _CLEANUP}"
    for it in settings.cleanup_policies:
        yield Thing(
            "cleanup policy",
            it.name,
            it.wanted(),
            above,
            f"{above}/{quote(it.name)}",
            Rules(fixed={"format": f"the format of a policy {_FOR_GOOD}"}),
            what=it.format,
            hidden=frozenset({"inUseCount"}),
        )


def _in_order(settings: Nexus) -> list[Repository]:
    """Return the repositories, groups after their members; there are no circles."""
    known = {it.name: it for it in settings.repositories}
    found: dict[str, Repository] = {}

    def add(it: Repository) -> None:
        for name in it.group.member_names if it.group else ():
            if name in known and name not in found:
                add(known[name])
        found.setdefault(it.name, it)

    for it in settings.repositories:
        add(it)
    return list(found.values())


def _repository(it: Repository) -> Thing:
    above = f"{REST}/v1/repositories/{it.path}"
    needs = {("blob store", it.storage.blob_store_name)}
    needs |= {("cleanup policy", name) for name in (it.cleanup.policy_names if it.cleanup else ())}
    needs |= {("repository", name) for name in (it.group.member_names if it.group else ())}
    needs |= {("routing rule", it.routing_rule)} if it.routing_rule else set()
    return Thing(
        "repository",
        it.name,
        it.wanted(),
        above,
        f"{above}/{quote(it.name)}",
        Rules(
            sets={"cleanup.policyNames", "dockerProxy.foreignLayerUrlWhitelist"},
            folded={"storage.writePolicy"},
            fixed={"storage.blobStoreName": f"the blob store of a repository {_FOR_GOOD}"},
        ),
        frozenset(needs),
        f"{it.format} {it.type}",
        hidden=frozenset({"format", "type", "url"}),
    )


def _privilege(it: Privilege) -> Thing:
    above = f"{REST}/v1/security/privileges/{it.type}"
    needs = {("repository", it.repository)} if it.repository else set()
    needs |= {("content selector", it.content_selector)} if it.content_selector else set()
    return Thing(
        "privilege",
        it.name,
        it.wanted(),
        above,
        f"{above}/{quote(it.name)}",
        Rules(sets={"actions"}),
        frozenset(needs),
        it.type,
        hidden=frozenset({"readOnly", "type"}),
    )


def _roles(settings: Nexus) -> Iterator[Thing]:
    known = {it.id: it for it in settings.all_roles}
    done: dict[str, Role] = {}

    def add(it: Role) -> None:
        for name in it.roles:
            if name in known and name not in done:
                add(known[name])
        done.setdefault(it.id, it)

    for it in known.values():
        add(it)
    above = f"{REST}/v1/security/roles"
    for it in done.values():
        needs = {("role", name) for name in it.roles}
        needs |= {("privilege", name) for name in it.privileges}
        automatic = map(repository_of, it.privileges)
        needs |= {("repository", name) for name in automatic if name}
        yield Thing(
            "role",
            it.id,
            it.wanted(),
            above,
            f"{above}/{quote(it.id)}",
            Rules(sets={"privileges", "roles"}),
            frozenset(needs),
            hidden=frozenset({"source", "readOnly"}),
        )


def _user(it: User) -> Thing:
    above = f"{REST}/v1/security/users"
    return Thing(
        "user",
        it.user_id,
        it.wanted(),
        above,
        f"{above}/{quote(it.user_id)}",
        Rules(sets={"roles"}),
        frozenset(("role", name) for name in it.roles),
        defaults={
            "password": it.password,
            "firstName": it.user_id,
            "lastName": "-",
            "emailAddress": f"{it.user_id.partition('@')[0]}@localhost",
        },
    )


def as_sent(it: Thing, there: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object under the names that a request has.

    Args:
        it: what is wanted of it.
        there: as the server shows it.
    """
    found = {key: value for key, value in there.items() if key not in it.hidden}
    if "routingRuleName" in found:
        found["routingRule"] = found.pop("routingRuleName")
    return found


def seen(it: Thing, shown: Mapping[str, Any]) -> Rules:
    """Return how its fields compare on this server: Nexus 3.30 shows no content disposition.

    Args:
        it: what is wanted of it.
        shown: what the server shows of it.
    """
    paths = [("raw", "contentDisposition"), ("maven", "contentDisposition")]
    unseen = {f"{above}.{key}" for above, key in paths if key not in (shown.get(above) or {})}
    return replace(it.rules, unseen=frozenset(unseen))


def secrets_of(wanted: Mapping[str, Any], above: str = "") -> dict[str, SecretRef]:
    """Return the secrets inside wanted fields, by path.

    Args:
        wanted: fields.
        above: path of them.
    """
    found: dict[str, SecretRef] = {}
    for key, value in wanted.items():
        if isinstance(value, SecretRef):
            found[f"{above}{key}"] = value
        elif isinstance(value, Mapping):
            found |= secrets_of(value, f"{above}{key}.")
    return found
