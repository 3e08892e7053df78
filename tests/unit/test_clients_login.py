"""Docker's logins: which are tried, and what is made of the daemon's answer."""

from __future__ import annotations

import json

import pytest

from uplift.spec.clients import Clients
from uplift.spec.clients.login import Login, logins, refuse, trouble
from uplift.spec.clients.state import DOCKER, NETRC, FileState, HostState, Place, User
from uplift.spec.clients.wanted import Wanted
from uplift.spec.http import Response
from uplift.spec.secret import Secret, SecretRef, secret

PASSWORD = Secret("needle-in-the-body")


def settings(*users: str) -> Clients:
    auth = {"registry": "r.example:5000", "username": "ci", "password": secret("registry/ci")}
    blocks = [{"user": user, "docker": {"auths": [auth]}} for user in users]
    return Clients.parse({"users": blocks}, path="clients")


def host(**files: str) -> HostState:
    found = {
        Place(user, DOCKER): FileState("file", f"/home/{user}/{DOCKER}", content=text.encode())
        for user, text in files.items()
    }
    return HostState(0, {user: User("1", "1", f"/home/{user}") for user in files}, found)


def tried(state: HostState, *users: str) -> list[Login]:
    def resolve(ref: SecretRef) -> Secret:
        return PASSWORD

    return logins(settings(*users), resolve, state)


def test_the_same_login_of_several_users_is_tried_once_and_by_its_body() -> None:
    (login,) = tried(host(), "root", "app")
    assert login.users == ("root", "app")
    assert str(login.request) == "POST /auth"
    assert json.loads(login.request.body or "") == {
        "username": "ci",
        "password": PASSWORD.reveal(),
        "serveraddress": "r.example:5000",
    }
    assert PASSWORD.reveal() not in f"{login} {login!r} {login.request!r}"


def test_a_login_that_a_helper_answers_for_or_in_a_broken_file_is_not_tried() -> None:
    state = host(app='{"credHelpers": {"r.example:5000": "x"}}', root="{", ci="{}")
    (login,) = tried(state, "app", "root", "ci")
    assert login.users == ("ci",)
    assert tried(host(app='{"credsStore": "x"}'), "app") == []


@pytest.mark.parametrize(
    ("status", "message", "begins"),
    [
        (200, "", ""),
        (401, "unauthorized: incorrect username or password", "credentials: "),
        (500, "login attempt to https://r/v2/ failed with status: 401 Unauthorized", "credentials"),
        (500, "dial tcp: lookup r: no such host", "the registry does not answer"),
        (502, "", "the registry does not answer"),
    ],
)
def test_a_refused_login_is_told_from_a_registry_that_does_not_answer(
    status: int, message: str, begins: str
) -> None:
    body = json.dumps({"message": message}).encode() if message else b"<html>"
    said = trouble(Response(status, 0, "application/json", body))
    assert said.startswith(begins) and bool(said) == bool(begins)


def test_a_refused_login_keeps_its_own_files_alone_from_being_written() -> None:
    (login,) = tried(host(), "app")
    files = [Wanted(Place(*place), ()) for place in (("app", DOCKER), ("ci", DOCKER))]
    files.append(Wanted(Place("app", NETRC), ()))
    mine, *others = refuse(files, {login: "credentials: no"})
    assert "secret('registry/ci')" in mine.faults[0]
    assert [file.faults for file in others] == [(), ()]
