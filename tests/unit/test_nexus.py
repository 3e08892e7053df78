"""What is to be done on a Nexus, from what it says: versions, realms, tasks, deletion, memory."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.secrets import secret
from uplift.spec.http import Answers, Request, Response
from uplift.spec.nexus import Nexus, Refused, State, plan
from uplift.spec.nexus.errors import words
from uplift.spec.nexus.fields import Rules, changes, joined
from uplift.spec.nexus.outcome import failure
from uplift.spec.nexus.record import Record, dump, load
from uplift.spec.nexus.version import Version, version
from uplift.spec.nexus.writes import Does, Write
from uplift.spec.secret import Secret, SecretRef

KEY = b"k" * 32
N, A = "NexusAuthenticatingRealm", "NexusAuthorizingRealm"
ANONYMOUS = {"enabled": False, "userId": "anonymous", "realmName": A}
OLD = State(
    Version((3, 30, 0)), anonymous=ANONYMOUS, available=[N, A, "NpmToken", "X"], active=[N, A]
)
NEW = State(Version((3, 85, 0)), anonymous=ANONYMOUS, available=[N, "NpmToken", "X"], active=[N])


def settings(**blocks: Any) -> Nexus:
    """Settings with these blocks."""
    return Nexus.parse({"admin": {"password": secret("n/admin")}, **blocks}, path="nexus")


def resolve(ref: SecretRef) -> Secret:
    """A value for each name."""
    return Secret(f"value of {ref.secret}")


def writes(block: Nexus, state: State) -> list[str]:
    """What is to be done, for people."""
    return plan(block, resolve, state, KEY).lines


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Nexus/3.30.0-01 (OSS)", Version((3, 30, 0), "OSS")),
        ("Nexus/3.85.1-01 (COMMUNITY)", Version((3, 85, 1), "COMMUNITY")),
        ("nginx/1.26.0", None),
        ("", None),
    ],
)
def test_the_version_comes_from_the_server_itself(text: str, found: Version | None) -> None:
    assert version(text) == found


def test_what_a_version_can_do() -> None:
    assert Version((3, 29, 0)).cleanup is None
    assert Version((3, 30, 0)).cleanup == "/internal/cleanup-policies"
    assert Version((3, 85, 0), "PRO").cleanup == "/v1/cleanup-policies"
    assert Version((3, 94, 0), "PRO").cleanup == "/internal/cleanup-policies"
    assert not Version((3, 73, 9)).creates_tasks
    assert Version((3, 74, 0)).creates_tasks


@pytest.mark.parametrize(
    ("block", "state", "sent"),
    [
        ({"active": ["NpmToken"]}, OLD, [N, A, "NpmToken"]),
        ({"active": ["NpmToken"]}, NEW, [N, "NpmToken"]),
        # What others have made active stays, and so does its order.
        ({"active": ["NpmToken"]}, replace(OLD, active=["X", N, A]), ["X", N, A, "NpmToken"]),
        ({"active": ["NpmToken"]}, replace(OLD, active=[N, A, "NpmToken"]), None),
        # Somebody locked everybody but themselves out.
        ({}, replace(OLD, active=[A]), [N, A]),
        ({}, replace(OLD, active=[N]), [N, A]),
        ({"strict": True, "active": [N, A]}, replace(OLD, active=[N, A, "X"]), [N, A]),
        ({"strict": True, "active": [N, A]}, replace(NEW, active=[N, "X"]), [N]),
        ({"strict": True, "active": ["NpmToken", N]}, NEW, ["NpmToken", N]),
    ],
)
def test_realms_are_made_active_as_the_version_takes_them(
    block: dict[str, Any], state: State, sent: list[str] | None
) -> None:
    bodies = [it.request.body for it in plan(settings(realms=block), resolve, state, KEY).writes]
    assert [json.loads(it or "") for it in bodies] == ([] if sent is None else [sent])


def test_a_strict_list_that_locks_out_is_refused_on_the_old_line() -> None:
    with pytest.raises(Refused, match=rf"without {A}: on Nexus 3\.30\.0 \(OSS\) nobody could do"):
        writes(settings(realms={"strict": True, "active": [N]}), OLD)


TASK = {"compactions": [{"name": "c"}]}


def test_a_task_is_made_by_the_call_that_the_version_has() -> None:
    (old,) = plan(settings(**TASK), resolve, OLD, KEY).writes
    (new,) = plan(settings(**TASK), resolve, NEW, KEY).writes
    assert str(old.request) == "POST /service/extdirect"
    assert str(new.request) == "POST /service/rest/v1/tasks"


def test_a_tasks_schedule_is_compared_with_what_was_sent_last() -> None:
    there = {"id": "1", "name": "c", "nextRun": "soon", "currentState": "WAITING"}
    (made,) = plan(settings(**TASK), resolve, OLD, KEY).writes
    record = Record().with_sent("compaction c", made.sent or "")
    state = replace(OLD, objects={"compaction": {"c": there}}, record=record)
    assert writes(settings(**TASK), state) == []
    changed = {"compactions": [{"name": "c", "cron": "0 0 4 * * ?"}]}
    assert writes(settings(**changed), state) == [
        "compaction c: schedule changed: default, 0 0 4 * * ?"
    ]
    off = replace(state, objects={"compaction": {"c": {**there, "nextRun": None}}})
    assert writes(settings(**TASK), off) == [
        "compaction c: is not scheduled: scheduled: default, 0 0 3 * * ?"
    ]


def test_a_call_of_the_web_interface_fails_with_status_200() -> None:
    write = Write("compaction", "c", Does.CREATE, (), Request("POST", "/service/extdirect"))

    def said(value: object) -> str | None:
        return failure(write, Answers((Response(200, 0, "", json.dumps(value).encode()),)))

    assert said({"result": {"success": True}}) is None
    assert said({"result": {"success": False, "message": "no such blob store"}}) == (
        "no such blob store"
    )
    assert said([]) == "200 no reason given"


def created(**names: list[str]) -> Record:
    """A record of what was created; a blank in a kind is written as an underline."""
    return Record({kind.replace("_", " "): frozenset(it) for kind, it in names.items()})


def test_deletion_is_for_what_was_created_and_never_for_the_servers_own() -> None:
    record = created(
        user=["ours", "admin", "anonymous", "gone"],
        role=["ours", "nx-admin"],
        blob_store=["ours", "default"],
        repository=["ours", "group"],
        privilege=["ours", "own"],
    )
    plain: dict[str, Any] = {}
    state = replace(
        OLD,
        record=record,
        objects={
            "user": dict.fromkeys(["ours", "theirs", "admin", "anonymous"], plain),
            "role": dict.fromkeys(["ours", "theirs", "nx-admin"], plain),
            "blob store": dict.fromkeys(["ours", "default"], plain),
            "repository": {"ours": {"type": "hosted"}, "group": {"type": "group"}},
            "privilege": {"ours": plain, "own": {"readOnly": True}},
        },
    )
    assert writes(settings(), state) == []
    pruned = settings(prune={"enabled": True})
    assert writes(pruned, state) == [
        "user ours: deleted",
        "role ours: deleted",
        "privilege ours: deleted",
        "repository group: deleted",
        "repository ours: deleted",
        "blob store ours: deleted",
    ]
    with pytest.raises(Refused, match="repository ours: is not in the settings any more, and has"):
        writes(pruned, replace(state, filled=frozenset({"ours"})))


def test_credentials_that_would_be_lost_hold_the_change_back() -> None:
    shown = {
        "name": "p",
        "format": "pypi",
        "type": "proxy",
        "online": False,
        "storage": {"blobStoreName": "default", "strictContentTypeValidation": True},
        "proxy": {"remoteUrl": "https://a/", "contentMaxAge": 1440, "metadataMaxAge": 1440},
        "negativeCache": {"enabled": True, "timeToLive": 1440},
        "httpClient": {
            "blocked": False,
            "autoBlock": True,
            "authentication": {"type": "username", "username": "us"},
        },
    }
    state = replace(OLD, objects={"repository": {"p": shown}})
    proxy = {"format": "pypi", "type": "proxy", "name": "p", "proxy": {"remote_url": "https://a/"}}
    with pytest.raises(Refused, match=r"online: false -> true: the server has credentials"):
        writes(settings(repositories=[proxy]), state)
    without = {**proxy, "http_client": {"authentication": None}}
    (write,) = plan(settings(repositories=[without]), resolve, state, KEY).writes
    assert "authentication" not in json.loads(write.request.body or "")["httpClient"]
    same = replace(state, objects={"repository": {"p": {**shown, "online": True}}})
    assert writes(settings(repositories=[proxy]), same) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("xyz"), JSON, max_size=3)


@given(OBJECTS, OBJECTS)
def test_what_is_joined_differs_in_nothing_and_keeps_the_rest(
    wanted: dict[str, Any], there: dict[str, Any]
) -> None:
    found = joined(wanted, there)
    assert changes(wanted, found, Rules()) == []
    rest = {key: value for key, value in there.items() if key not in wanted and value is not None}
    assert {key: found[key] for key in rest} == rest
    assert joined(wanted, found) == found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, []),
        (None, False),
        (None, ""),
        ([], None),
        ("allow_once", "ALLOW_ONCE"),
        (["b", "a"], ["a", "b"]),
    ],
)
def test_the_same_in_other_words_is_no_change(old: Any, new: Any) -> None:
    rules = Rules(sets={"a"}, folded={"a"})
    assert changes({"a": new}, {"a": old}, rules) == []


@pytest.mark.parametrize(
    ("old", "new"), [(None, 0), (False, 0), ("a", "A"), (["b", "a"], ["a", "b"])]
)
def test_what_means_something_else_is_a_change(old: Any, new: Any) -> None:
    assert len(changes({"a": new}, {"a": old}, Rules())) == 1


NAMES = st.dictionaries(
    st.sampled_from(["user", "blob store"]), st.frozensets(st.text(min_size=1), min_size=1)
)


@given(NAMES, st.dictionaries(st.text(), st.text()))
def test_what_is_remembered_comes_back(names: Any, sent: Any) -> None:
    record = Record(names, sent)
    assert load(dump(record)) == record


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 2, "created": {"user": ["a"]}}'])
def test_a_file_that_says_nothing_is_no_memory(text: str) -> None:
    assert load(text) == Record()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'[{"id":"FIELD name","message":"taken"},{"id":"*","message":"b"}]', "name: taken; b"),
        (b'{"id":"*","message":"\\"Unknown realmIds: [X]\\""}', "Unknown realmIds: [X]"),
        (b'"Unknown realmIds: [X]"', "Unknown realmIds: [X]"),
        (b"<html><title>Bad &amp; Gateway</title>", "a web page, Bad & Gateway"),
        (b"ERROR: (ID 1)\x1b[31m\nx", "ERROR: (ID 1) [31m x"),
        (b"", "no reason given"),
    ],
)
def test_a_servers_words_are_one_plain_line(body: bytes, said: str) -> None:
    assert words(Response(400, 0, "", body)) == f"400 {said}"


def test_a_login_that_somebody_put_into_an_address_is_not_shown() -> None:
    there = {"proxy": {"remoteUrl": "https://us:hidden@index.example/a@b/"}}
    wanted = {"proxy": {"remoteUrl": "https://index.example/"}}
    (change,) = changes(wanted, there, Rules())
    assert str(change) == (
        'proxy.remote_url: "https://(hidden)@index.example/a@b/" -> "https://index.example/"'
    )
