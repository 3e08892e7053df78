"""Settings of a Nexus: what is wrong in them is said before the first request, with its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.secrets import secret
from uplift.spec.errors import SettingsError
from uplift.spec.nexus import Nexus
from uplift.spec.nexus.units import amount, human

HOSTED = {"format": "pypi", "type": "hosted", "name": "pypi-ours"}
PROXY = {
    "format": "pypi",
    "type": "proxy",
    "name": "pypi-public",
    "proxy": {"remote_url": "https://index.example/"},
}
GROUP = {
    "format": "pypi",
    "type": "group",
    "name": "pypi",
    "group": {"member_names": ["pypi-ours", "pypi-public"]},
}


def settings(**blocks: Any) -> Nexus:
    """Settings with these blocks."""
    return Nexus.parse({"admin": {"password": secret("nexus/admin")}, **blocks}, path="nexus")


def group(name: str, *members: str) -> dict[str, Any]:
    """A group of pypi."""
    return {**GROUP, "name": name, "group": {"member_names": list(members)}}


def person(name: str, **more: Any) -> dict[str, Any]:
    """A user."""
    return {"user_id": name, "password": secret(f"nexus/{name}"), **more}


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown member": (
        {"repositories": [HOSTED, PROXY, group("all", "pypi-our")]},
        ["repositories[2].group.member_names", "'pypi-our'", "did you mean 'pypi-ours'?"],
    ),
    "circle of groups": (
        {"repositories": [group("a", "b"), group("b", "c"), group("c", "a")]},
        ["a group cannot hold itself: a -> b -> c -> a"],
    ),
    "group in itself": (
        {"repositories": [group("a", "a")]},
        ["a group cannot hold itself: a -> a"],
    ),
    "member of another format": (
        {"repositories": [{**HOSTED, "format": "npm"}, group("all", "pypi-ours")]},
        ["repositories[1].group.member_names", "'pypi-ours' is npm"],
    ),
    "member twice": (
        {"repositories": [HOSTED, group("all", "pypi-ours", "pypi-ours")]},
        ["'pypi-ours' stands there more than once"],
    ),
    "proxy without a remote": (
        {"repositories": [{**PROXY, "proxy": None}]},
        ["repositories[0]", "'pypi-public'", "proxy is required", "remote_url"],
    ),
    "remote without a scheme": (
        {"repositories": [{**PROXY, "proxy": {"remote_url": "index.example"}}]},
        ["repositories[0].proxy.remote_url"],
    ),
    "remote with credentials": (
        {"repositories": [{**PROXY, "proxy": {"remote_url": "https://me:pw@index.example/"}}]},
        ["repositories[0].proxy.remote_url"],
    ),
    "group without members": (
        {"repositories": [{**GROUP, "group": None}]},
        ["repositories[0]", "group is required", "member_names"],
    ),
    "block of another type": (
        {"repositories": [{**HOSTED, "proxy": {"remote_url": "https://index.example/"}}]},
        ["proxy does not go with pypi hosted"],
    ),
    "format by its path": (
        {"repositories": [{**HOSTED, "format": "maven"}]},
        ["repositories[0].format", "did you mean 'maven2'?"],
    ),
    "unknown key": (
        {"repositories": [{**PROXY, "proxy": {"remote_url": "https://a/", "content_maxage": 1}}]},
        ["repositories[0].proxy.content_maxage", "did you mean 'content_max_age'?"],
    ),
    "quota without a unit": (
        {"blob_stores": [{"name": "b", "soft_quota": {"type": "spaceUsedQuota", "limit": 10}}]},
        ["blob_stores[0].soft_quota.limit", "found 10", "'10GB'"],
    ),
    "quota in an unknown unit": (
        {"blob_stores": [{"name": "b", "soft_quota": {"type": "spaceUsedQuota", "limit": "1gb"}}]},
        ["blob_stores[0].soft_quota.limit", "found '1gb'", "GiB"],
    ),
    "unknown blob store": (
        {"repositories": [{**HOSTED, "storage": {"blob_store_name": "defualt"}}]},
        ["repositories[0].storage.blob_store_name", "did you mean 'default'?"],
    ),
    "same name in other letters": (
        {"repositories": [HOSTED, {**HOSTED, "name": "PyPI-ours"}]},
        ["repositories: 'PyPI-ours' and 'pypi-ours' are the same name"],
    ),
    "role with an unknown privilege": (
        {"roles": [{"id": "r", "privileges": ["nx-repository-view-pypi-gone-read"]}]},
        ["roles[0].privileges", "'nx-repository-view-pypi-gone-read' is not in these settings"],
    ),
    "circle of roles": (
        {"roles": [{"id": "a", "roles": ["b"]}, {"id": "b", "roles": ["a"]}]},
        ["a role cannot hold itself: a -> b -> a"],
    ),
    "user with an unknown role": (
        {"users": [person("ci", roles=["readers"])], "roles": [{"id": "reader"}]},
        ["users[0].roles", "did you mean 'reader'?"],
    ),
    "admin as a user": (
        {"users": [person("admin", roles=["nx-admin"])]},
        ["users[0].user_id", "stands in 'admin'"],
    ),
    "role of the server": (
        {"roles": [{"id": "nx-admin"}]},
        ["roles[0].id", "the server's own"],
    ),
    "deploying to a group": (
        {"repositories": [HOSTED, PROXY, GROUP], "deployers": {"repositories": ["pypi"]}},
        ["deployers.repositories", "'pypi' is a group"],
    ),
    "policy of another format": (
        {
            "cleanup_policies": [{"name": "p", "format": "npm", "criteria_last_downloaded": 9}],
            "repositories": [{**HOSTED, "cleanup": {"policy_names": ["p"]}}],
        },
        ["repositories[0].cleanup.policy_names", "'p' is for npm"],
    ),
    "policy without a criterion": (
        {"cleanup_policies": [{"name": "p", "format": "npm"}]},
        ["cleanup_policies[0]", "needs one of criteria_last_blob_updated"],
    ),
    "unknown routing rule": (
        {"repositories": [{**PROXY, "routing_rule": "ours"}]},
        ["repositories[0].routing_rule", "routing rule 'ours'"],
    ),
    "no regular expression": (
        {"routing_rules": [{"name": "r", "matchers": ["^/(x"]}]},
        ["routing_rules[0].matchers", "no regular expression"],
    ),
    "lock-out": (
        {"realms": {"strict": True, "active": ["NpmToken"]}},
        ["realms.active", "NexusAuthenticatingRealm", "nobody could sign in"],
    ),
    "privilege without what it is about": (
        {"privileges": [{"type": "wildcard", "name": "w"}]},
        ["privileges[0]", "pattern is required for type 'wildcard'"],
    ),
    "privilege for a repository that is not there": (
        {
            "privileges": [
                {
                    "type": "repository-view",
                    "name": "v",
                    "format": "pypi",
                    "repository": "gone",
                    "actions": ["READ"],
                }
            ]
        },
        ["privileges[0].repository", "'gone'"],
    ),
    "password as text": (
        {"users": [{"user_id": "ci", "roles": ["nx-admin"], "password": "canary-0815"}]},
        ["users[0].password", "must be a reference such as secret("],
    ),
    "credentials without a password": (
        {"repositories": [{**PROXY, "http_client": {"authentication": {"username": "me"}}}]},
        ["repositories[0].http_client.authentication", "password is required"],
    ),
    "schedule of five fields": (
        {"compactions": [{"name": "c", "cron": "0 3 * * *"}]},
        ["compactions[0].cron", "six or seven fields"],
    ),
    "docker without its realm": (
        {
            "repositories": [
                {
                    "format": "docker",
                    "type": "hosted",
                    "name": "images",
                    "docker": {"force_basic_auth": False},
                }
            ]
        },
        ["repositories[0].docker.force_basic_auth", "DockerToken"],
    ),
}


@pytest.mark.parametrize(("blocks", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_its_key_and_remedy(
    blocks: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**blocks)
    text = str(caught.value)
    assert text.startswith("nexus")
    assert [part for part in said if part not in text] == []
    assert "canary-0815" not in text


def test_what_is_on_the_server_may_be_referred_to_once_it_is_named() -> None:
    away = {"repositories": ["theirs"], "roles": ["their-role"], "blob_stores": ["disk"]}
    found = settings(
        repositories=[
            {**HOSTED, "storage": {"blob_store_name": "disk"}},
            group("all", "pypi-ours", "theirs"),
        ],
        roles=[{"id": "r", "roles": ["their-role"], "privileges": ["nx-search-read"]}],
        users=[person("ci", roles=["r", "nx-admin"])],
        unmanaged=away,
    )
    assert found.repositories[1].group is not None


def test_the_ready_roles_have_the_least_that_each_format_needs() -> None:
    found = settings(
        repositories=[
            HOSTED,
            {**HOSTED, "name": "redeploy", "storage": {"write_policy": "ALLOW"}},
            {"format": "npm", "type": "hosted", "name": "npm-ours"},
            {"format": "maven2", "type": "hosted", "name": "jars"},
            PROXY,
            GROUP,
        ],
        deployers={
            "repositories": ["pypi-ours", "redeploy", "npm-ours", "jars"],
            "users": [person("ci")],
        },
        readers={"repositories": ["pypi"], "users": [person("host")]},
    )
    deployer, reader = found.all_roles
    assert set(deployer.privileges) == {
        *(f"nx-repository-view-pypi-pypi-ours-{it}" for it in ("add", "read")),
        *(f"nx-repository-view-pypi-redeploy-{it}" for it in ("add", "edit", "read")),
        *(f"nx-repository-view-npm-npm-ours-{it}" for it in ("add", "edit", "read")),
        *(f"nx-repository-view-maven2-jars-{it}" for it in ("add", "edit", "read")),
    }
    assert set(reader.privileges) == {
        f"nx-repository-view-pypi-pypi-{it}" for it in ("browse", "read")
    }
    assert [(it.user_id, it.roles) for it in found.all_users] == [
        ("ci", ("deployer",)),
        ("host", ("reader",)),
    ]


def test_what_is_left_out_is_not_wanted_and_none_takes_it_away() -> None:
    plain, none, kept = settings(
        repositories=[
            PROXY,
            {**PROXY, "name": "b", "routing_rule": None, "http_client": {"authentication": None}},
            {**PROXY, "name": "c", "negative_cache": {"time_to_live": -1}},
        ]
    ).repositories
    assert plain.wanted() == {
        "name": "pypi-public",
        "online": True,
        "storage": {"blobStoreName": "default", "strictContentTypeValidation": True},
        "proxy": {
            "remoteUrl": "https://index.example/",
            "contentMaxAge": 1440,
            "metadataMaxAge": 1440,
        },
        "negativeCache": {"enabled": True, "timeToLive": 1440},
        "httpClient": {"blocked": False, "autoBlock": True},
    }
    assert none.wanted()["routingRule"] is None
    assert none.wanted()["httpClient"]["authentication"] is None
    assert kept.wanted()["negativeCache"] == {"enabled": True, "timeToLive": -1}


@given(st.integers(1, 10**15))
def test_an_amount_comes_back_as_it_was_written(number: int) -> None:
    text = human(number)
    if text.endswith(" bytes"):
        assert text == f"{number} bytes"
    else:
        assert amount(text) == number
