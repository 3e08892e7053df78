"""How logins are read from client files without ever standing in a test's output."""

from __future__ import annotations

import base64
from secrets import token_hex
from types import SimpleNamespace
from typing import Any

import pytest

from uplift.secrets import Secret
from uplift.verify import clients, secrets
from uplift.verify.clients import Login

CODED = base64.b64encode(b"deployer:pass:word").decode()


@pytest.mark.parametrize(
    ("parse", "text", "key"),
    [
        (clients.from_netrc, "machine a.example login deployer password pass:word\n", "a.example"),
        (
            clients.from_pypirc,
            "[distutils]\nindex-servers =\n    corp\n[corp]\nusername = deployer\n"
            "password = pass:word\n",
            "corp",
        ),
        (clients.from_docker, f'{{"auths": {{"r:5000": {{"auth": "{CODED}"}}}}}}', "r:5000"),
        (clients.from_npmrc, f"; old\n//r/npm/:_auth = {CODED}\n", "//r/npm/"),
    ],
)
def test_each_format_gives_name_and_password(parse: Any, text: str, key: str) -> None:
    assert parse(text) == {key: Login("deployer", Secret("pass:word"))}


def test_a_token_of_npm_has_no_name() -> None:
    assert clients.from_npmrc('//r/npm/:_authToken="t0ken"\nregistry=https://r/npm/\n') == {
        "//r/npm/": Login("", Secret("t0ken"))
    }


def test_a_server_that_the_list_of_servers_leaves_out_is_no_login() -> None:
    assert clients.from_pypirc("[corp]\nusername = a\npassword = b\n") == {}


class Host:
    """A host with one file."""

    def __init__(self, text: str) -> None:
        self.text = text

    def run(self, command: str, *args: str) -> SimpleNamespace:
        return SimpleNamespace(rc=0, stdout=self.text, stderr="")


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (clients.from_netrc, "machine a login b SECRET c\n"),
        (clients.from_docker, '{"auths": ["SECRET"]}'),
        (clients.from_docker, "{SECRET"),
        (clients.from_pypirc, "SECRET\n"),
    ],
)
def test_a_broken_file_is_named_and_not_quoted(parse: Any, text: str) -> None:
    secret = token_hex(8)
    host: Any = Host(text.replace("SECRET", secret))
    with pytest.raises(AssertionError, match=r"/home/a/file cannot be read: \w+") as failed:
        clients.logins(host, "/home/a/file", parse)
    assert failed.value.__context__ is None
    # What pytest shows of each frame but this test's own.
    shown = [repr(entry.frame.f_locals) for entry in failed.traceback[1:]]
    assert shown
    assert not any(secret in text for text in [*shown, str(failed.value)])


def test_what_holds_a_secret_is_told_without_it() -> None:
    secret = token_hex(8)
    patterns = {"secret('a/b')": Secret(secret)}
    seen = [("one", Secret(f"x {secret} y")), ("two", Secret("nothing"))]
    assert secrets.holders(seen, patterns) == ["one holds secret('a/b')"]
