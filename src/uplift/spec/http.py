"""Many HTTP requests for one run of curl: its configuration, and the answers taken apart.

curl reads the configuration from standard input, so that no credential and no body stands in a
process list. Each answer is followed by a line of ours with its length, and is taken apart from
the end: whatever a body holds, it cannot be taken for such a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from uplift.spec.secret import Secret

LINE_LIMIT = 100_000
"""Bytes of one line: curl before 8.2 refuses a configuration with a longer one."""

_TRAILER = r"\n%{http_code} %{exitcode} %{size_download} %{content_type}\n"
_TRAILER_HEADERS = r"\n%{http_code} %{exitcode} %{size_download} %{size_header} %{content_type}\n"
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_METHOD = re.compile("[A-Z]+")
_HEADER = re.compile("[A-Za-z0-9-]+")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Basic:
    """Credentials of a user.

    Args:
        user: name, without a colon.
        password: of this user.
    """

    user: str
    password: Secret


@dataclass(frozen=True)
class Header:
    """A header that authenticates.

    Args:
        name: for example ``Authorization``.
        value: all of it, for example ``Token 0123``.
    """

    name: str
    value: Secret


@dataclass(frozen=True)
class Anonymous:
    """No credentials, whatever the other requests have."""


Auth = Basic | Header | Anonymous


@dataclass(frozen=True)
class Way:
    """How the host comes to a server whose address has a name that only its certificate knows.

    Args:
        connect: ``address:port`` to connect to, whatever the address of a request says.
        ca: path on the host of the only CA that may vouch for it; None for the host's own store.
    """

    connect: str
    ca: str | None = None


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        method: in capital letters; ``HEAD`` is not supported.
        path: with the query, encoded, from the ``/`` on.
        body: text to send; may hold secrets, so it is never shown.
        content_type: of the body.
        auth: credentials; None for those of all requests.
        headers: the answer's headers are wanted too.
    """

    method: str
    path: str
    body: str | None = field(default=None, repr=False)
    content_type: str = "application/json"
    auth: Auth | None = None
    headers: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Response:
    """One answer.

    Args:
        status: HTTP status; 0 when there was no answer.
        code: curl's exit code for this request; 0 when it went through.
        content_type: as the server says, may be empty.
        body: may hold secrets, so it is never shown.
        headers: by name in small letters; empty unless they were asked for.
    """

    status: int
    code: int
    content_type: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def json(self) -> Any:
        """Return the body's value.

        Raises:
            ValueError: the body is no JSON.
        """
        return json.loads(self.body)


class Trouble(Enum):
    """Why there are no answers."""

    NO_CURL = "curl is not installed on this host"
    NOTHING_LISTENS = "nothing listens there"
    TIMEOUT = "no answer within the time limit"
    UNTRUSTED = "its certificate is not trusted there, or not for this name"
    FAILED = "the connection failed"


@dataclass(frozen=True)
class Answers:
    """What came of some requests.

    Args:
        responses: one for each request, in their order; empty when there was trouble.
        trouble: why there is none.
        detail: more about the trouble, for people.
    """

    responses: tuple[Response, ...] = ()
    trouble: Trouble | None = None
    detail: str = ""

    def __str__(self) -> str:
        if self.trouble is None:
            return f"{len(self.responses)} answers"
        return f"{self.trouble.value}{f' ({self.detail})' if self.detail else ''}"


def quote(text: str) -> str:
    """Return text as a quoted value of a curl configuration.

    Args:
        text: anything but NUL, which curl takes for the end.
    """
    if "\0" in text:
        msg = "a value for curl cannot hold a NUL"
        raise ValueError(msg)
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in text) + '"'


def render(
    requests: Sequence[Request],
    base: str,
    auth: Auth | None = None,
    *,
    max_time: int = 30,
    socket: str | None = None,
    way: Way | None = None,
) -> str:
    """Return a configuration for ``curl -q --config -``.

    Args:
        requests: what to ask, in this order, over one connection where the server keeps it.
        base: scheme, host and port, and what all paths begin with.
        auth: credentials of the requests that name none.
        max_time: seconds for each request.
        socket: path of a Unix socket on the host by which the server is reached.
        way: to a server with TLS.

    Raises:
        ValueError: a request cannot be sent; never shows a value that may be secret.
    """
    if not requests:
        msg = "there is no request to send"
        raise ValueError(msg)
    blocks = [_block(request, base.rstrip("/"), auth, max_time) for request in requests]
    before = f"unix-socket = {quote(_plain(socket))}\n" if socket else ""
    if way is not None:
        before += f"connect-to = {quote(_plain(f'::{way.connect}'))}\n"
        before += f"cacert = {quote(_plain(way.ca))}\n" if way.ca else ""
    return "next\n".join(f"{before}{block}" for block in blocks)


def _block(request: Request, base: str, auth: Auth | None, max_time: int) -> str:
    if not _METHOD.fullmatch(request.method) or request.method == "HEAD":
        msg = f"{request.method!r} is no method that can be sent"
        raise ValueError(msg)
    if not request.path.startswith("/"):
        msg = f"a path begins with '/'; found {request.path!r}"
        raise ValueError(msg)
    lines = [
        f"url = {quote(_plain(base + request.path))}",
        f"request = {quote(request.method)}",
        # The services are on this host: no proxy, no redirect, no other protocol.
        'noproxy = "*"',
        'proto = "=http,https"',
        "silent",
        "globoff",
        "path-as-is",
        "connect-timeout = 10",
        f"max-time = {max_time}",
        'header = "Accept: application/json"',
        *_credentials(request.auth or auth),
    ]
    if request.body is not None:
        lines.append(f"header = {quote(_plain(f'Content-Type: {request.content_type}'))}")
        # Else some versions wait a second for leave to send a larger body.
        lines.append('header = "Expect:"')
        # Not "data": that reads a file when the text begins with '@', and drops line ends.
        lines.append(f"data-raw = {quote(request.body)}")
    if any(len(line.encode()) > LINE_LIMIT for line in lines):
        msg = f"{request}: larger than {LINE_LIMIT} bytes, which curl does not take"
        raise ValueError(msg)
    if request.headers:
        lines.append("include")
    trailer = _TRAILER_HEADERS if request.headers else _TRAILER
    return "\n".join([*lines, f'write-out = "{trailer}"']) + "\n"


def _credentials(auth: Auth | None) -> list[str]:
    if isinstance(auth, Basic):
        if ":" in auth.user:
            msg = "a user's name cannot hold a colon"
            raise ValueError(msg)
        return [f"user = {quote(f'{auth.user}:{auth.password.reveal()}')}"]
    if isinstance(auth, Header):
        if not _HEADER.fullmatch(auth.name):
            msg = f"{auth.name!r} is no name of a header"
            raise ValueError(msg)
        return [f"header = {quote(_plain(f'{auth.name}: {auth.value.reveal()}'))}"]
    return []


def _plain(text: str) -> str:
    if _CONTROL.search(text):
        # Not shown: it may be a secret.
        msg = "an address or a header cannot hold control characters"
        raise ValueError(msg)
    return text


def parse(raw: bytes, requests: Sequence[Request]) -> list[Response]:
    """Take curl's output apart, from its end.

    Args:
        raw: all that curl printed.
        requests: as they were rendered.

    Raises:
        ValueError: this is not what curl prints for these requests; never shows any of it.
    """
    found, end = [], len(raw)
    for request in reversed(requests):
        response, end = _last(raw, end, request.headers)
        found.append(response)
    if end != 0:
        msg = "there are more answers than requests"
        raise ValueError(msg)
    return found[::-1]


def _last(raw: bytes, end: int, headers: bool) -> tuple[Response, int]:
    """Return the last answer before a place, and where it begins."""
    number = 4 if headers else 3
    start = raw.rfind(b"\n", 0, max(end - 1, 0))
    words = raw[start + 1 : end - 1].split(b" ", number)
    if start < 0 or raw[end - 1 : end] != b"\n" or len(words) != number + 1:
        msg = "the answers were cut off"
        raise ValueError(msg)
    status, code, size, *above = (int(word) for word in words[:number])
    first = start - size - sum(above)
    if size < 0 or first < 0 or any(length < 0 for length in above):
        msg = "the answers were cut off"
        raise ValueError(msg)
    kind = words[number].decode(errors="replace")
    body = raw[start - size : start]
    return Response(status, code, kind, body, _headers(raw[first : start - size])), first


def _headers(raw: bytes) -> dict[str, str]:
    """Return the headers of an answer; of several, as after a redirect, those of the last."""
    blocks = raw.decode("latin-1").replace("\r\n", "\n").strip("\n").split("\n\n")
    lines = [line.partition(":") for line in blocks[-1].split("\n")[1:]]
    return {name.strip().lower(): value.strip() for name, found, value in lines if found}


# https://curl.se/libcurl/c/libcurl-errors.html
_TROUBLES = {
    7: Trouble.NOTHING_LISTENS,
    28: Trouble.TIMEOUT,
    60: Trouble.UNTRUSTED,
    77: Trouble.UNTRUSTED,
}
_TIMED_OUT = 124
"""Exit code of ``timeout``."""


def judge(raw: bytes, code: int, requests: Sequence[Request]) -> Answers:
    """Return the answers, or why there are none.

    One request without an answer is trouble for all: what they say together would have a hole.

    Args:
        raw: all that curl printed.
        code: its exit code, or that of ``timeout``.
        requests: as they were rendered.

    Raises:
        ValueError: this is not what curl prints for these requests.
    """
    if code == _TIMED_OUT:
        return Answers(trouble=Trouble.TIMEOUT, detail="all requests together")
    responses = parse(raw, requests)
    for request, response in zip(requests, responses, strict=True):
        if response.code != 0:
            trouble = _TROUBLES.get(response.code, Trouble.FAILED)
            detail = f"{request.method} {request.path.split('?')[0]}: curl's code {response.code}"
            return Answers(trouble=trouble, detail=detail)
    return Answers(responses=tuple(responses))
