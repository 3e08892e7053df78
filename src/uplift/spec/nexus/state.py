"""What is asked of a server, and what its answers mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any
from urllib.parse import quote

from uplift.spec.http import Anonymous, Basic, Request, Response
from uplift.spec.nexus.errors import Refused, is_page, words
from uplift.spec.nexus.models import Nexus
from uplift.spec.nexus.record import Record
from uplift.spec.nexus.version import Version, version
from uplift.spec.secret import Secret, SecretRef

REST = "/service/rest"
WRITABLE = f"{REST}/v1/status/writable"
STATUS = f"{REST}/v1/status"
COMPACT = "blobstore.compact"

_COUNTS = (
    "blobCount",
    "totalSizeInBytes",
    "availableSpaceInBytes",
    "currentState",
    "lastRun",
    "lastRunResult",
    "nextRun",
)
"""What a server counts: it changes while nobody configures it."""

Resolve = Callable[[SecretRef], Secret]


class NotYet(Enum):
    """Why the answers say nothing about what a server holds."""

    STARTING = "it is still starting"
    PASSWORD = "it refuses the password of admin"  # noqa: S105 - a text, no password


@dataclass(frozen=True)
class State:
    """What a server holds.

    Args:
        version: of the server.
        objects: by kind and name, as the server shows them.
        anonymous: what is served without signing in.
        available: ids of realms.
        active: ids of realms, in their order.
        eula: of the Community Edition; None where there is none.
        signed_in: users whose password is as wanted.
        first_password: what admin has, when it is not the wanted one.
        record: what the host remembers.
        filled: repositories with components in them, among those that may be deleted.
    """

    version: Version
    objects: Mapping[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)
    anonymous: Mapping[str, Any] = field(default_factory=dict)
    available: Sequence[str] = ()
    active: Sequence[str] = ()
    eula: Mapping[str, Any] | None = None
    signed_in: frozenset[str] = frozenset()
    first_password: Secret | None = None
    record: Record = field(default_factory=Record)
    filled: frozenset[str] = frozenset()

    def steady(self) -> dict[str, object]:
        """Return all that does not change by itself, for fingerprints."""
        kept = {
            kind: {
                name: {key: value for key, value in one.items() if key not in _COUNTS}
                for name, one in objects.items()
            }
            for kind, objects in self.objects.items()
        }
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "objects": kept,
        }

    def there(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object as the server shows it.

        Args:
            kind: of the object.
            name: of the object.
        """
        return self.objects.get(kind, {}).get(name)


Asked = Mapping[str, Request]
"""Requests by what they are for."""


def requests(settings: Nexus, resolve: Resolve) -> Asked:
    """Return all that is asked of a server as admin; none of it changes what it holds.

    Args:
        settings: what the server shall hold.
        resolve: gives secrets.
    """
    asked = {
        "status": Request("GET", WRITABLE, auth=Anonymous(), headers=True),
        "admin": Request("GET", STATUS),
        "eula": _get("/v1/system/eula"),
        "anonymous": _get("/v1/security/anonymous"),
        "available": _get("/v1/security/realms/available"),
        "active": _get("/v1/security/realms/active"),
        "blob stores": _get("/v1/blobstores"),
        "routing rules": _get("/v1/routing-rules"),
        "content selectors": _get("/v1/security/content-selectors"),
        "repositories": _get("/v1/repositorySettings"),
        "privileges": _get("/v1/security/privileges"),
        "roles": _get("/v1/security/roles?source=default"),
        "users": _get("/v1/security/users?source=default"),
    }
    for store in settings.blob_stores:
        asked[f"blob store {store.name}"] = _get(f"/v1/blobstores/file/{quote(store.name)}")
    if settings.cleanup_policies or settings.unmanaged.cleanup_policies or settings.prune.enabled:
        asked["cleanup policies"] = _get("/internal/cleanup-policies")
    if settings.compactions or settings.prune.enabled:
        asked["compactions"] = _get(f"/v1/tasks?type={COMPACT}")
    for user in settings.all_users:
        if user.status == "active":
            auth = Basic(user.user_id, resolve(user.password))
            asked[f"user {user.user_id}"] = Request("GET", STATUS, auth=auth)
    return asked


def _get(path: str) -> Request:
    return Request("GET", f"{REST}{path}")


def understand(
    settings: Nexus, asked: Asked, responses: Sequence[Response], record: Record
) -> State | NotYet:
    """Return what the answers say.

    Args:
        settings: what the server shall hold.
        asked: as ``requests`` gave it.
        responses: in its order.
        record: what the host remembers.

    Raises:
        Refused: the server does not answer as it must; in its own words.
    """
    said = dict(zip(asked, responses, strict=True))
    status = said["status"]
    if status.status in (404, 503):
        return NotYet.STARTING
    found = version(status.headers.get("server", ""))
    if found is None or is_page(status):
        msg = (
            f"what answers there is no Nexus ({words(status)}, Server: "
            f"{status.headers.get('server', 'not named')[:60]!r}); the address must be that of "
            "Nexus itself, with its context path, not of a proxy in front of it"
        )
        raise Refused(msg)
    if status.status != 200:
        msg = f"{WRITABLE}: {words(status)}"
        raise Refused(msg)
    if not found.supported:
        msg = f"{found} is too old; from 3.26 on its API can do what these settings need"
        raise Refused(msg)
    if said["admin"].status == 401:
        return NotYet.PASSWORD
    try:
        return _understand(settings, said, found, record)
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"the answers are not those of {found} ({type(error).__name__}: {error})"
        raise Refused(msg) from None


def _understand(
    settings: Nexus, said: Mapping[str, Response], found: Version, record: Record
) -> State:
    eula = said["eula"]
    return State(
        version=found,
        objects=_objects(settings, said, found),
        anonymous=value(said["anonymous"], "anonymous access"),
        available=[it["id"] for it in value(said["available"], "realms")],
        active=value(said["active"], "active realms"),
        # 404 before 3.77, and in Pro.
        eula=None if eula.status == 404 else value(eula, "the licence"),
        signed_in=_signed_in(settings, said),
        record=record,
    )


def _objects(
    settings: Nexus, said: Mapping[str, Response], found: Version
) -> dict[str, dict[str, dict[str, Any]]]:
    listed = {
        "blob store": ("blob stores", "name"),
        "routing rule": ("routing rules", "name"),
        "content selector": ("content selectors", "name"),
        "repository": ("repositories", "name"),
        "privilege": ("privileges", "name"),
        "role": ("roles", "id"),
        "user": ("users", "userId"),
    }
    if found.cleanup:
        listed["cleanup policy"] = ("cleanup policies", "name")
    objects = {
        kind: {it[key]: it for it in value(said[what], what)}
        for kind, (what, key) in listed.items()
        if what in said
    }
    if "compactions" in said:
        items = value(said["compactions"], "tasks")["items"]
        objects["compaction"] = {it["name"]: it for it in items}
    for store in settings.blob_stores:
        if store.name in objects["blob store"]:
            shown = _store(said[f"blob store {store.name}"], store.name)
            objects["blob store"][store.name] = {**objects["blob store"][store.name], **shown}
    return objects


def _store(response: Response, name: str) -> dict[str, Any]:
    # One that is no store of files is found by its type in the list.
    if response.status in (400, 404):
        return {}
    found: dict[str, Any] = value(response, f"blob store {name}")
    return found


def _signed_in(settings: Nexus, said: Mapping[str, Response]) -> frozenset[str]:
    names = set()
    for user in settings.all_users:
        response = said.get(f"user {user.user_id}")
        if response is None:
            continue
        if response.status == 200:
            names.add(user.user_id)
        elif response.status != 401:
            msg = f"signing in as {user.user_id}: {words(response)}"
            raise Refused(msg)
    return frozenset(names)


def value(response: Response, what: str) -> Any:
    """Return the data of an answer.

    Args:
        response: of the server.
        what: was asked for.

    Raises:
        Refused: it holds none; in the server's words.
    """
    if response.status == 403:
        msg = f"reading {what}: the user admin may not ({words(response)}); give it nx-admin again"
        raise Refused(msg)
    try:
        if response.status == 200:
            return response.json()
    except ValueError:
        pass
    msg = f"reading {what}: {words(response)}"
    raise Refused(msg)
