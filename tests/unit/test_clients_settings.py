"""The block ``clients``: what is refused, and what people are told to do instead."""

from __future__ import annotations

from typing import Any

import pytest

from uplift.spec.clients import Clients, npm_scope
from uplift.spec.errors import SettingsError
from uplift.spec.secret import secret

S = secret("nexus/deployer")


def user(**files: Any) -> dict[str, Any]:
    return {"users": [{"user": "app", **files}]}


def machine(name: str, login: str = "a") -> dict[str, Any]:
    return {"machine": name, "login": login, "password": S}


@pytest.mark.parametrize(
    ("settings", "path", "text"),
    [
        (user(netrc=[{**machine("n"), "password": "pw"}]), ".password", 'write secret("NAME")'),
        (user(netrc=[machine("n:8081")]), ".machine", "no ports"),
        (user(netrc=[machine("n/x")]), ".machine", "no paths"),
        (user(netrc=[machine("N")]), ".machine", "lower case"),
        (user(netrc=[machine("n"), machine("n", "b")]), "users[0]", "one login for a host"),
        (user(pip={"index_url": "https://u:p@n/simple"}), ".index_url", "holds credentials"),
        (user(pip={"index_url": "https://u@n/simple"}), ".index_url", "holds credentials"),
        (user(pip={"extra_index_url": "https://n"}), ".pip", "no order of indexes"),
        (user(pip={"index_url": "http://n:80/s"}), ".pip", "trusted_host = ['n:80']"),
        (user(pip={"index_url": "ftp://n/s"}), ".index_url", "https:// or http://"),
        (user(pip={"index_url": "https://n:x/s"}), ".index_url", "port"),
        (user(pip={"index_url": "https://n/${T}"}), ".index_url", "read apart"),
        (user(npmrc={"auth": [{"url": "https://n", "username": "a"}]}), ".auth[0]", "either"),
        (user(npmrc={"auth": [{"url": "https://n", "token": "t"}]}), ".token", "secret("),
        (user(npmrc={"scopes": {"corp": "https://n"}}), "scopes", "'@corp'"),
        (
            user(npmrc={"auth": [{"url": u, "token": S} for u in ("https://n/a", "https://n/a/")]}),
            ".npmrc",
            "more than once",
        ),
        (user(pypirc={"servers": []}), ".servers", "at least 1"),
        (
            user(pypirc={"servers": [{"name": "nexus", "username": "a", "password": S}]}),
            "servers[0]",
            "repository is required",
        ),
        (
            user(docker={"auths": [{"registry": "https://n", "username": "a", "password": S}]}),
            ".registry",
            "HOST:PORT",
        ),
        (user(nettrc=[]), ".nettrc", "did you mean 'netrc'"),
        ({"users": [{"user": "app"}, {"user": "app"}]}, "clients", "user 'app' is listed"),
        ({"users": [{"user": "a b"}]}, ".user", "name of a user"),
        ({"uv": {"index_strategy": "unsafe-best-match"}}, ".index_strategy", "first-index"),
        ({"uv": {"find_links": ["wheels"]}}, ".find_links[0]", "absolute path"),
        (
            {"uv": {"index": [{"name": n, "url": "https://n", "default": True} for n in "ab"]}},
            ".uv",
            "only one index",
        ),
        ({"uv": {"index": [{"name": "a", "url": "https://t@n"}]}}, ".url", "holds credentials"),
        ({"uv": {"index": [{"name": "a", "url": "https://n", "defualt": True}]}}, "defualt", "did"),
    ],
)
def test_wrong_settings_are_refused_with_the_key_and_the_remedy(
    settings: dict[str, Any], path: str, text: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Clients.parse(settings, path="clients")
    assert any(path in found.path and text in found.text for found in caught.value.problems), (
        caught.value
    )


def test_docker_hub_has_the_name_under_which_docker_keeps_its_login() -> None:
    for name in ("docker.io", "index.docker.io", "https://index.docker.io/v1/"):
        auth = {"registry": name, "username": "a", "password": S}
        clients = Clients.parse(user(docker={"auths": [auth]}), path="clients")
        assert clients.users[0].docker
        assert clients.users[0].docker.auths[0].registry == "https://index.docker.io/v1/"


def test_plain_http_is_allowed_where_pip_trusts_it() -> None:
    for pip in (
        {"index_url": "http://n:8081/s", "trusted_host": ["n"]},
        {"index_url": "http://n:8081/s", "trusted_host": ["n:8081"]},
        {"index_url": "http://localhost:8081/s"},
    ):
        Clients.parse(user(pip=pip), path="clients")


def test_a_registry_has_one_scope_with_and_without_its_final_slash() -> None:
    assert npm_scope("https://n:8081/a/b") == npm_scope("https://n:8081/a/b/") == "//n:8081/a/b/"
