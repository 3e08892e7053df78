"""What is asked of a server, and what its answers mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from uplift.spec.http import Anonymous, Basic, Request, Response
from uplift.spec.influxdb.errors import Refused, words
from uplift.spec.influxdb.models import InfluxDB
from uplift.spec.secret import Secret, SecretRef

PAGE = 100
"""The most that the server gives at once; it gives all authorizations in any case."""

MOST_PAGES = 64

_LISTS = ("orgs", "users", "buckets")

Resolve = Callable[[SecretRef], Secret]


@dataclass(frozen=True)
class BucketState:
    """A bucket that is there.

    Args:
        id: the server's.
        retention: seconds; 0 is without end.
        shard: seconds of a shard group.
    """

    id: str
    retention: int
    shard: int


@dataclass(frozen=True)
class UserState:
    """A user who is there.

    Args:
        id: the server's.
        active: may be given rights.
    """

    id: str
    active: bool


@dataclass(frozen=True)
class Authorization:
    """A token that is there.

    Args:
        id: the server's.
        organisation: id.
        description: as somebody gave it.
        active: it opens something.
        permissions: what, as (action, type, id of the object, id of its organisation).
        value: the token; None when the server does not show it.
    """

    id: str
    organisation: str
    description: str
    active: bool
    permissions: frozenset[tuple[str, str, str, str]]
    value: Secret | None


@dataclass(frozen=True)
class TokenFile:
    """What stands at the path of a token's file.

    Args:
        kind: ``absent``, ``file`` or ``other``.
        mode: permission bits in octal.
        owner: name of a user.
        content: None when there is no file, or a large one.
    """

    kind: str = "absent"
    mode: str = ""
    owner: str = ""
    content: Secret | None = None


@dataclass(frozen=True)
class State:
    """What a server holds.

    Args:
        fresh: nobody has set it up.
        organisations: ids by name.
        buckets: by organisation's id and name; the server's own are left out.
        users: by name.
        authorizations: all of them.
        signed_in: users whose password is as wanted.
        files: by path.
        stored: what the controller keeps, by the name of the secret.
        proved: ids of tokens that were seen to work in this run.
    """

    fresh: bool
    organisations: Mapping[str, str] = field(default_factory=dict)
    buckets: Mapping[tuple[str, str], BucketState] = field(default_factory=dict)
    users: Mapping[str, UserState] = field(default_factory=dict)
    authorizations: Sequence[Authorization] = ()
    signed_in: frozenset[str] = frozenset()
    files: Mapping[str, TokenFile] = field(default_factory=dict)
    stored: Mapping[str, Secret] = field(default_factory=dict)
    proved: frozenset[str] = frozenset()


def pages(settings: InfluxDB) -> int:
    """Return how many pages of each list are asked for at first.

    Args:
        settings: what the server shall hold.
    """
    # Each organisation has two buckets of the server's own.
    most = max(len(settings.buckets) + 2 * len(settings.all_organisations), len(settings.all_users))
    return 1 + most // PAGE


def requests(settings: InfluxDB, resolve: Resolve, pages: int) -> list[Request]:
    """Return all that is asked of a server; none of it changes what it holds.

    Args:
        settings: what the server shall hold.
        resolve: gives secrets.
        pages: of each list.
    """
    asked = [Request("GET", "/api/v2/setup", auth=Anonymous())]
    for kind in _LISTS:
        asked += [
            Request("GET", f"/api/v2/{kind}?limit={PAGE}&offset={PAGE * page}")
            for page in range(pages)
        ]
    asked.append(Request("GET", "/api/v2/authorizations"))
    for user in settings.all_users:
        auth = Basic(user.name, resolve(user.password))
        asked.append(Request("POST", "/api/v2/signin", auth=auth))
    return asked


def is_open(response: Response) -> bool | None:
    """Tell whether anybody may set a server up; None when it does not say.

    Args:
        response: to ``GET /api/v2/setup``.
    """
    try:
        said = response.json() if response.status == 200 else None
    except ValueError:
        return None
    allowed = said.get("allowed") if isinstance(said, dict) else None
    return allowed if isinstance(allowed, bool) else None


def understand(
    settings: InfluxDB,
    responses: Sequence[Response],
    pages: int,
    files: Mapping[str, TokenFile] | None = None,
) -> State | None:
    """Return what the answers say, or None when there are more pages than were asked for.

    Args:
        settings: what the server shall hold.
        responses: to ``requests``.
        pages: as for ``requests``.
        files: by path, what stands on the host.

    Raises:
        Refused: the server does not answer as it must; in its own words.
    """
    try:
        return _understand(settings, responses, pages, files or {})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        msg = f"the server's answers are not those of InfluxDB 2.7 ({type(error).__name__})"
        raise Refused(msg) from None


def _understand(
    settings: InfluxDB, responses: Sequence[Response], pages: int, files: Mapping[str, TokenFile]
) -> State | None:
    left = iter(responses)
    if _object(next(left), "is the server set up?").get("allowed") is True:
        return State(fresh=True, files=files)
    found: dict[str, list[Any]] = {}
    for kind in _LISTS:
        lists = [_list(settings, it, kind) for it in islice(left, pages)]
        if len(lists[-1]) >= PAGE:
            return None
        found[kind] = [it for some in lists for it in some]
    authorizations = _list(settings, next(left), "authorizations")
    return State(
        fresh=False,
        organisations={it["name"]: it["id"] for it in found["orgs"]},
        buckets={
            (it["orgID"], it["name"]): _bucket(it)
            for it in found["buckets"]
            if it.get("type") != "system"
        },
        users={it["name"]: _user(it) for it in found["users"]},
        authorizations=[_authorization(it) for it in authorizations],
        signed_in=_signed_in(settings, list(left)),
        files=files,
    )


def _signed_in(settings: InfluxDB, responses: Sequence[Response]) -> frozenset[str]:
    names = set()
    for user, response in zip(settings.all_users, responses, strict=True):
        if response.status == 204:
            names.add(user.name)
        elif response.status != 401:
            msg = f"signing in as {user.name}: {words(response)}"
            raise Refused(msg)
    return frozenset(names)


def _object(response: Response, what: str) -> dict[str, Any]:
    try:
        value = response.json() if response.status == 200 else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        msg = f"{what} {words(response)}"
        raise Refused(msg)
    return value


def _list(settings: InfluxDB, response: Response, kind: str) -> list[Any]:
    if response.status in (401, 403):
        msg = (
            f"the server refuses {settings.setup.token} as its operator token: {words(response)}; "
            "if the token was lost, see docs/influxdb.md, 'A lost operator token'"
        )
        raise Refused(msg)
    return list(_object(response, f"reading {kind}:").get(kind) or [])


def _bucket(it: Mapping[str, Any]) -> BucketState:
    rules = it.get("retentionRules") or [{}]
    rule = rules[0]
    return BucketState(
        it["id"], int(rule.get("everySeconds", 0)), int(rule.get("shardGroupDurationSeconds", 0))
    )


def _user(it: Mapping[str, Any]) -> UserState:
    return UserState(it["id"], it.get("status", "active") == "active")


def _authorization(it: Mapping[str, Any]) -> Authorization:
    return Authorization(
        id=it["id"],
        organisation=it.get("orgID", ""),
        description=it.get("description", ""),
        active=it.get("status", "active") == "active",
        permissions=frozenset(_permission(one) for one in it.get("permissions") or []),
        value=Secret(it["token"]) if it.get("token") else None,
    )


def _permission(it: Mapping[str, Any]) -> tuple[str, str, str, str]:
    on = it.get("resource") or {}
    return it.get("action", ""), on.get("type", ""), on.get("id", ""), on.get("orgID", "")
