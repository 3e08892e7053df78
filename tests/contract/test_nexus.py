"""Every request that can change a Nexus is as its published description of 3.85 has it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from nexus_double import Double, check

from uplift.spec.http import Answers, Basic, Request
from uplift.spec.nexus import Nexus, NotYet, Refused, State, plan
from uplift.spec.nexus.outcome import failure, remembered
from uplift.spec.nexus.record import Record, dump, load
from uplift.spec.nexus.state import requests, understand
from uplift.spec.secret import Secret, SecretRef

KEY = b"k" * 32
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_characters="\x7f"))
MINUTES, BOOLEAN = st.integers(-1, 10**6), st.booleans()
URL = st.sampled_from(["https://index.example/", "http://127.0.0.1:9/a/b/"])
DISPOSITION = st.sampled_from(["INLINE", "ATTACHMENT"])
LIMIT = st.sampled_from(["1kB", "10GB", "5GiB"])
REF = st.sampled_from([{"secret": "n/one"}, {"secret": "n/two"}])
ACTIONS = st.lists(st.sampled_from(["READ", "BROWSE", "EDIT", "ADD", "DELETE"]), min_size=1)


def block(required: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[Any]:
    """A block with fields that may be left out."""
    return st.fixed_dictionaries(required or {}, optional=optional)


PROXY = {"remote_url": URL}
AGES = {"content_max_age": MINUTES, "metadata_max_age": MINUTES}
CONNECTION = block(
    retries=st.none() | st.integers(0, 10),
    timeout=st.none() | st.integers(1, 3600),
    user_agent_suffix=st.none() | TEXT,
    enable_circular_redirects=BOOLEAN,
    enable_cookies=BOOLEAN,
    use_trust_store=BOOLEAN,
)
AUTHENTICATION = st.one_of(
    st.none(),
    block({"username": TEXT, "password": REF}),
    block(
        {"type": st.just("ntlm"), "username": TEXT, "password": REF},
        ntlm_host=TEXT,
        ntlm_domain=TEXT,
    ),
    block({"type": st.just("bearerToken"), "bearer_token": REF}),
)
OF_FORMAT = {
    "docker": block(
        v1_enabled=BOOLEAN,
        force_basic_auth=BOOLEAN,
        http_port=st.none() | st.integers(1, 65535),
        https_port=st.none() | st.integers(1, 65535),
        subdomain=st.none() | TEXT,
        path_enabled=BOOLEAN,
    ),
    "raw": block({"content_disposition": DISPOSITION}),
    "maven": block(
        version_policy=st.sampled_from(["RELEASE", "SNAPSHOT", "MIXED"]),
        layout_policy=st.sampled_from(["STRICT", "PERMISSIVE"]),
        content_disposition=DISPOSITION,
    ),
}


def repository(format: str, type: str, draw: Any) -> dict[str, Any]:
    """A repository of a kind, named after it."""
    hosted, proxy = type == "hosted", type == "proxy"
    write = {"write_policy": st.sampled_from(["ALLOW", "ALLOW_ONCE", "DENY"])} if hosted else {}
    if hosted and format == "docker":
        write["latest_policy"] = BOOLEAN
    own = "maven" if format == "maven2" else format
    optional: dict[str, Any] = {
        "online": BOOLEAN,
        "storage": block({"blob_store_name": st.just("packages")}, **write),
    }
    if own in OF_FORMAT and not (own == "maven" and type == "group"):
        optional[own] = OF_FORMAT[own]
    if type != "group":
        policies = st.sampled_from([[], [f"old-{format}"]])
        optional["cleanup"] = st.none() | block({"policy_names": policies})
    if hosted:
        optional["component"] = block({"proprietary_components": BOOLEAN})
    required: dict[str, Any] = {}
    if proxy:
        required["proxy"] = block(PROXY, **AGES)
        optional["negative_cache"] = block(enabled=BOOLEAN, time_to_live=MINUTES)
        optional["http_client"] = block(
            blocked=BOOLEAN,
            auto_block=BOOLEAN,
            connection=CONNECTION,
            authentication=AUTHENTICATION,
        )
        optional["routing_rule"] = st.sampled_from([None, "ours"])
    if proxy and format == "docker":
        optional["docker_proxy"] = block(
            index_type=st.sampled_from(["HUB", "REGISTRY", "CUSTOM"]), index_url=URL
        )
    if type == "group":
        members = st.permutations([f"{format}-hosted", f"{format}-proxy"])
        required["group"] = block({"member_names": members})
    drawn = draw(block(required, **optional))
    # The blob store is for good: one that is left out would be another.
    drawn["storage"] = {"blob_store_name": "packages", **drawn.get("storage", {})}
    return {"format": format, "type": type, "name": f"{format}-{type}", **drawn}


FORMATS = ("pypi", "npm", "docker", "raw", "maven2")
VIEW = "nx-repository-view-pypi-pypi-hosted-"


@st.composite
def blocks(draw: Any) -> dict[str, Any]:
    """Settings with an object of every kind; what they are called and are for is the same."""
    repositories = [
        repository(format, type, draw)
        for format in FORMATS
        for type in draw(st.permutations(["hosted", "proxy", "group"]))
    ]
    person = block(
        {"user_id": st.just("audit"), "password": REF, "roles": st.just(["auditor"])},
        first_name=st.text("abc", min_size=1),
        email_address=st.just("a@b.example"),
        status=st.sampled_from(["active", "disabled"]),
    )
    quota = block(
        {"type": st.sampled_from(["spaceUsedQuota", "spaceRemainingQuota"]), "limit": LIMIT}
    )
    privileges = [
        {"type": "wildcard", "pattern": draw(TEXT.filter(bool))},
        {"type": "application", "domain": "logging", "actions": draw(ACTIONS)},
        {"type": "script", "script_name": "s", "actions": draw(ACTIONS)},
        *(
            {"type": kind, "format": "raw", "repository": "raw-hosted", "actions": draw(ACTIONS)}
            for kind in ("repository-view", "repository-admin", "repository-content-selector")
        ),
    ]
    for number, privilege in enumerate(privileges):
        privilege |= {"name": f"p{number}", "description": draw(TEXT)}
    privileges[-1]["content_selector"] = "public"
    return {
        "admin": {"password": {"secret": "n/admin"}},
        "accept_eula": True,
        "anonymous": draw(block(enabled=BOOLEAN)),
        "realms": {"active": draw(st.permutations(["NpmToken", "DockerToken"]))},
        "blob_stores": [{"name": "packages", **draw(block(soft_quota=st.none() | quota))}],
        "routing_rules": [
            {
                "name": "ours",
                "description": draw(TEXT),
                "mode": draw(st.sampled_from(["BLOCK", "ALLOW"])),
                "matchers": draw(st.lists(st.sampled_from(["^/a", ".*/b"]), min_size=1)),
            }
        ],
        "content_selectors": [{"name": "public", "expression": draw(TEXT.filter(bool))}],
        "cleanup_policies": [
            {
                "name": f"old-{format}",
                "format": format,
                "criteria_last_downloaded": draw(st.integers(1, 999)),
                **draw(block(notes=TEXT, criteria_last_blob_updated=st.integers(1, 999))),
            }
            for format in FORMATS
        ],
        "compactions": [{"name": "compact", "cron": draw(st.sampled_from(["0 0 3 * * ?"]))}],
        "repositories": repositories,
        "privileges": privileges,
        "roles": [
            {
                "id": "auditor",
                "privileges": draw(st.permutations(["p0", "p1", f"{VIEW}read", "nx-search-read"])),
                **draw(block(name=st.text("abc", min_size=1), description=TEXT)),
            }
        ],
        "users": [draw(person)],
        "deployers": {
            "repositories": [f"{format}-hosted" for format in FORMATS],
            "users": [{"user_id": "deployer", "password": {"secret": "n/one"}}],
        },
        "readers": {"repositories": ["pypi-group"], "users": []},
    }


def resolve(ref: SecretRef) -> Secret:
    """A value for each name."""
    return Secret(f"value of {ref.secret}")


def look(block: Nexus, server: Double, record: Record, password: str) -> State | NotYet:
    """Read the server with a password."""
    asked = requests(block, resolve)
    admin = Basic("admin", Secret(password))
    answers = [server.answer(request, admin) for request in asked.values()]
    return understand(block, asked, answers, record)


def converge(block: Nexus, server: Double, record: Record) -> tuple[Record, int]:
    """Write and read again until nothing differs; return the record and the number of rounds."""
    wanted = resolve(block.admin.password)
    for rounds in range(4):
        state = look(block, server, record, wanted.reveal())
        if state is NotYet.PASSWORD:
            first = server.passwords["admin"]
            found = look(block, server, record, first)
            assert isinstance(found, State)
            state = State(**{**vars(found), "first_password": Secret(first)})
        assert isinstance(state, State)
        todo = plan(block, resolve, state, KEY)
        if todo.empty:
            return record, rounds
        for number, (write, needs) in enumerate(zip(todo.writes, todo.needs, strict=True)):
            assert all(need < number for need in needs)
            response = server.answer(write.request, Basic("admin", wanted))
            assert failure(write, Answers((response,))) is None
            record = remembered(record, [write])
    raise AssertionError(todo.lines)


# What fails is large: making it smaller would take minutes, and the error names the request.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
few = limits(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)


@few
@given(blocks())
@pytest.mark.parametrize("edition", ["COMMUNITY", "PRO"])
def test_every_request_is_as_described_and_one_round_is_enough(edition: str, drawn: Any) -> None:
    server = Double(f"Nexus/3.85.0-03 ({edition})")
    block = Nexus.parse(drawn, path="nexus")
    record, rounds = converge(block, server, Record())
    assert rounds == 1
    assert len(server.writes) >= 30
    server.writes.clear()
    # What the host remembers comes back from its file.
    converge(block, server, load(dump(record)))
    assert server.writes == []


@few
@given(blocks(), blocks())
def test_from_any_settings_to_any_others_only_what_differs_is_written(
    first: Any, then: Any
) -> None:
    server = Double()
    record, _ = converge(Nexus.parse(first, path="nexus"), server, Record())
    server.writes.clear()
    block = Nexus.parse(then, path="nexus")
    try:
        record, _ = converge(block, server, record)
    except Refused as error:
        # The first had credentials that the others neither give nor take away.
        assert "the server has credentials for its remote" in str(error)
        return
    assert all(it.startswith("PUT") for it in server.writes)
    server.writes.clear()
    converge(block, server, record)
    assert server.writes == []


@few
@given(blocks())
def test_all_that_was_created_can_be_deleted_again_and_nothing_else(drawn: Any) -> None:
    server = Double()
    record, _ = converge(Nexus.parse(drawn, path="nexus"), server, Record())
    server.held["roles"]["theirs"] = {"id": "theirs"}
    bare = {"admin": drawn["admin"], "accept_eula": True, "prune": {"enabled": True}}
    converge(Nexus.parse(bare, path="nexus"), server, record)
    assert server.repositories == {}
    assert server.tasks == {}
    assert set(server.held["users"]) == {"admin"}
    assert set(server.held["roles"]) == {"nx-admin", "theirs"}
    assert set(server.held["blobstores"]) == {"default"}


@pytest.mark.parametrize(
    "request_",
    [
        Request("POST", "/service/rest/v1/repositories/pypi/hostd", body="{}"),
        Request("PUT", "/service/rest/v1/security/anonymous", body='{"enabled": "yes"}'),
        Request("PUT", "/service/rest/v1/security/anonymous", body='{"enabeld": true}'),
        Request("POST", "/service/rest/v1/repositories/pypi/hosted", body='{"name": "a"}'),
        Request("PUT", "/service/rest/v1/security/users/a/change-password", body='"a"'),
    ],
)
def test_the_description_refuses_what_is_not_in_it(request_: Request) -> None:
    with pytest.raises(AssertionError):
        check(request_)
    check(Request("PUT", "/service/rest/v1/security/anonymous", body=json.dumps({"enabled": True})))
