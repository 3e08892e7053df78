"""Kinds of values in the settings of client files, each with an error that says what to do."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

from uplift.spec.secret import SecretRef

_HOST = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*")
_REGISTRY = re.compile(rf"({_HOST.pattern})(:\d{{1,5}})?(/[A-Za-z0-9._/-]+)?")
# What stands in an address must mean the same in INI, TOML and npm's files, unquoted.
_URL_TEXT = re.compile(r"[A-Za-z0-9:/?&=@%._~+,\[\]-]+")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}")
_WORD = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_SCOPE = re.compile(r"@[a-z0-9~-][a-z0-9._~-]*")

HUB = "https://index.docker.io/v1/"


def _secret_ref(value: Any) -> Any:
    if isinstance(value, str):
        msg = (
            "a password or token never stands in the settings: store it with "
            '`uplift secrets set NAME` and write secret("NAME") here, under a name of your choice'
        )
        raise ValueError(msg)
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        msg = "must be an address that begins with https:// or http:// and names a host"
        raise ValueError(msg)
    if parts.username is not None or parts.password is not None:
        msg = (
            "holds credentials, and this file or a process list would show them: remove what "
            "stands before '@' and list a login under netrc (pip, uv) or npmrc.auth (npm)"
        )
        raise ValueError(msg)
    if parts.query or parts.fragment or not _URL_TEXT.fullmatch(value):
        msg = "holds a query, a fragment, a space, a quote or another sign that clients read apart"
        raise ValueError(msg)
    _port(parts.netloc)
    return value


def _port(netloc: str) -> None:
    port = netloc.rpartition("]")[2].rpartition(":")[2] if ":" in netloc else ""
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        msg = f"the port must be a number from 1 to 65535, found {port!r}"
        raise ValueError(msg)


def _machine(value: str) -> str:
    if ":" in value or "/" in value:
        msg = (
            "a .netrc knows hosts only, no ports and no paths: write the host alone; its login "
            "is then sent to every port of that host that asks for one"
        )
        raise ValueError(msg)
    if not _HOST.fullmatch(value):
        msg = "must be a host name or address in lower case, for example 'nexus.example.com'"
        raise ValueError(msg)
    return value


def _registry(value: str) -> str:
    if value in ("docker.io", "index.docker.io", "registry-1.docker.io", HUB):
        return HUB
    if not _REGISTRY.fullmatch(value):
        msg = (
            "must be a registry as images name it, HOST or HOST:PORT without https://, for "
            "example 'nexus.example.com:5000' ('docker.io' for Docker Hub)"
        )
        raise ValueError(msg)
    return value


def _matches(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            msg = f"must be {what}; found {value!r}"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


def _login(value: str) -> str:
    if not value or value != value.strip() or not value.isprintable() or ":" in value:
        msg = "must be a user name without ':', line ends or spaces around it"
        raise ValueError(msg)
    return value


def _absolute(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._/+-]+", value):
        msg = "must be an absolute path of letters, digits and '._/+-'"
        raise ValueError(msg)
    return value


SecretField = Annotated[SecretRef, BeforeValidator(_secret_ref)]
Url = Annotated[str, AfterValidator(_url)]
Machine = Annotated[str, AfterValidator(_machine)]
Registry = Annotated[str, AfterValidator(_registry)]
Login = Annotated[str, AfterValidator(_login)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
UserName = Annotated[str, _matches(_USER, "the name of a user on the host")]
Word = Annotated[
    str, _matches(_WORD, "letters, digits, '.', '_' and '-', with a letter or digit at both ends")
]
Scope = Annotated[str, _matches(_SCOPE, "an npm scope with its '@', for example '@corp'")]
TrustedHost = Annotated[
    str, _matches(re.compile(rf"({_HOST.pattern})(:\d{{1,5}})?"), "HOST or HOST:PORT")
]
