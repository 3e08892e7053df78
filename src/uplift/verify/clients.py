"""Client files as their clients read them; logins stay secret, also in a failed test's output."""

from __future__ import annotations

import base64
import configparser
import json
import netrc
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from uplift.secrets import Secret
from uplift.verify import files

if TYPE_CHECKING:
    from testinfra.host import Host

# An index that does not answer is asked twice, for this many seconds each: by themselves clients
# repeat that for minutes. Once would call every lost packet a failure.
INDEX_LIMIT = 15
UV_BRIEFLY = f"UV_HTTP_RETRIES=1 UV_HTTP_TIMEOUT={INDEX_LIMIT}"
# Nor is anybody there to give pip another password.
PIP_BRIEFLY = f"--no-input --retries 1 --timeout {INDEX_LIMIT}"
NPM_BRIEFLY = (
    f"--fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-timeout={INDEX_LIMIT * 1000}"
)


class Login(NamedTuple):
    """A user name and what proves it."""

    name: str
    password: Secret


def logins(host: Host, path: str, parse: Callable[[str], Mapping[str, Login]]) -> dict[str, Login]:
    """Return the logins of a client file.

    Args:
        host: testinfra's.
        path: on the host.
        parse: one of the functions below.
    """
    text = Secret(files.read(host, path))
    try:
        return dict(parse(text.reveal()))
    except Exception as error:  # whatever it is, its text and its frames may quote the file
        problem = type(error).__name__
    raise AssertionError(f"{path} cannot be read: {problem}")


def from_netrc(text: str) -> dict[str, Login]:
    """Return the logins of a ``.netrc`` by machine.

    Args:
        text: of the file.
    """
    with files.as_path(text) as path:
        hosts = netrc.netrc(path).hosts
    return {name: Login(login, Secret(word)) for name, (login, _, word) in hosts.items()}


def from_pypirc(text: str) -> dict[str, Login]:
    """Return the logins of a ``.pypirc`` by the servers that it lists.

    Args:
        text: of the file.
    """
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    names = parser.get("distutils", "index-servers", fallback="").split()
    sections = {name: parser[name] for name in names if parser.has_section(name)}
    return {
        name: Login(one.get("username", ""), Secret(one.get("password", "")))
        for name, one in sections.items()
    }


def from_docker(text: str) -> dict[str, Login]:
    """Return the logins of Docker's ``config.json`` by registry.

    Args:
        text: of the file.
    """
    auths = json.loads(text).get("auths", {})
    return {name: _basic(auth["auth"]) for name, auth in auths.items() if "auth" in auth}


def from_npmrc(text: str) -> dict[str, Login]:
    """Return the logins of an ``.npmrc`` by ``//host/path/``; a token has no name.

    Args:
        text: of the file.
    """
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and line[0] not in ";#[")
    found = {}
    for key, _, value in pairs:
        scope, _, what = key.strip().rpartition(":")
        word = value.strip().strip('"')
        if what == "_authToken":
            found[scope] = Login("", Secret(word))
        elif what == "_auth":
            found[scope] = _basic(word)
    return found


def _basic(coded: str) -> Login:
    name, _, password = base64.b64decode(coded).decode(errors="replace").partition(":")
    return Login(name, Secret(password))
