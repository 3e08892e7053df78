"""Requests for curl: quoting, taking answers apart, and what a body cannot do."""

from __future__ import annotations

import json
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.spec.http import (
    LINE_LIMIT,
    Anonymous,
    Basic,
    Header,
    Request,
    Trouble,
    judge,
    parse,
    quote,
    render,
)
from uplift.spec.secret import Secret

BASE = "http://127.0.0.1:8086"
GET = Request("GET", "/a")
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"))

# What a body could hold that looks like the end of an answer.
TRAILERS = st.builds(
    "\n{} 0 {} application/json\n".format, st.integers(0, 999), st.integers(0, 99)
).map(str.encode)
BODIES = st.lists(st.one_of(st.binary(), TRAILERS, st.just(b"\n"))).map(b"".join)
KINDS = st.sampled_from(["", "application/json; charset=utf-8", "text/html", "1 2 3 4"])
ANSWERS = st.tuples(st.integers(0, 599), st.sampled_from([0, 7, 28]), BODIES, KINDS)


def printed(status: int, code: int, body: bytes, kind: str) -> bytes:
    """What curl prints for one answer."""
    return body + f"\n{status} {code} {len(body)} {kind}\n".encode()


def unquoted(line: str) -> str:
    """The value of a line, as curl's own reader of quoted values takes it."""
    value = line.split(" = ", 1)[1]
    assert value[0] == '"'
    out, letters = "", iter(value[1:])
    for letter in letters:
        if letter == '"':
            assert next(letters, None) is None
            return out
        if letter == "\\":
            after = next(letters)
            letter = {"t": "\t", "n": "\n", "r": "\r", "v": "\v"}.get(after, after)
        out += letter
    raise AssertionError("no closing quote")


@given(TEXT)
def test_quoted_text_is_one_line_and_comes_back(text: str) -> None:
    line = f"data-raw = {quote(text)}"
    # curl ends a line at a line feed only, and cuts a carriage return before it.
    assert "\n" not in line and not line.endswith("\r")
    assert unquoted(line) == text


@given(st.lists(ANSWERS, min_size=1))
def test_no_body_can_forge_an_end(answers: list[tuple[int, int, bytes, str]]) -> None:
    raw = b"".join(printed(*answer) for answer in answers)
    found = parse(raw, [GET] * len(answers))
    assert [(it.status, it.code, it.body, it.content_type) for it in found] == answers


@given(st.lists(ANSWERS, min_size=1), st.data())
def test_what_was_cut_off_is_never_taken_for_answers(
    answers: list[tuple[int, int, bytes, str]], data: st.DataObject
) -> None:
    raw = b"".join(printed(*answer) for answer in answers)
    # The end is cut: what remains may look whole only if a body was made to.
    short = raw[: data.draw(st.integers(0, len(raw) - 1))]
    try:
        found = parse(short, [GET] * len(answers))
    except ValueError:
        return
    assert b"".join(printed(i.status, i.code, i.body, i.content_type) for i in found) == short


@pytest.mark.parametrize("raw", [b"", b"x", b"\n", b"\n200 0 5 x\n", b"{}\n200 0 1 x\n"])
def test_other_output_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|more answers"):
        parse(raw, [GET])


def test_a_body_that_begins_with_an_at_sign_names_no_file() -> None:
    text = render([Request("POST", "/a", body="@/etc/shadow")], BASE)
    assert 'data-raw = "@/etc/shadow"' in text.splitlines()


def test_each_request_has_its_own_block_and_credentials() -> None:
    words = [secrets.token_hex(8) for _ in range(2)]
    token = Header("Authorization", Secret(f"Token {words[0]}"))
    text = render(
        [
            GET,
            Request("POST", "/in", auth=Basic("me", Secret(f'{words[1]}"\\'))),
            Request("GET", "/open", auth=Anonymous()),
        ],
        BASE,
        token,
    )
    first, second, third = text.split("next\n")
    assert f'header = "Authorization: Token {words[0]}"' in first
    assert f'user = "me:{words[1]}\\"\\\\"' in second
    assert "Authorization" not in second + third
    assert "compressed" not in text


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request("HEAD", "/a"), "no method"),
        (Request("GET", "a"), "begins with '/'"),
        (Request("GET", "/a\nurl = x"), "control characters"),
        (Request("GET", "/a", auth=Basic("a:b", Secret("x"))), "colon"),
        (Request("GET", "/a", auth=Header("A", Secret("x\r\nB: y"))), "control characters"),
        (Request("GET", "/a", auth=Header("A: b", Secret("x"))), "no name of a header"),
        (Request("POST", "/a", body="x" * LINE_LIMIT), "larger than"),
        (Request("POST", "/a", body="\0"), "NUL"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_sent_is_refused(request_: Request, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        render([request_], BASE)


def test_nothing_secret_is_shown() -> None:
    password = secrets.token_hex(8)
    request = Request("POST", "/a", body=json.dumps({"password": password}))
    (answer,) = parse(printed(200, 0, password.encode(), ""), [request])
    assert password not in f"{request} {request!r} {answer} {answer!r}"


@pytest.mark.parametrize(
    ("code", "trouble"),
    [(7, Trouble.NOTHING_LISTENS), (28, Trouble.TIMEOUT), (56, Trouble.FAILED)],
)
def test_one_request_without_an_answer_is_trouble_for_all(code: int, trouble: Trouble) -> None:
    raw = printed(200, 0, b"{}", "") + printed(0, code, b"", "")
    found = judge(raw, code, [GET, Request("GET", "/b?x=1")])
    assert (found.trouble, found.responses) == (trouble, ())
    assert f"GET /b: curl's code {code}" in str(found)


def test_a_time_limit_for_all_is_told_apart() -> None:
    assert judge(b"{}\n20", 124, [GET]).trouble is Trouble.TIMEOUT


def test_headers_come_with_the_answer_that_asked_for_them() -> None:
    above = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nServer: Nexus/3.30.0-01 (OSS)\r\n\r\n"
    body = b'{"a": 1}'
    raw = b"x\n200 0 1 \n" + above + body + f"\n200 0 {len(body)} {len(above)} text/x y\n".encode()
    plain, shown = parse(raw, [GET, Request("GET", "/b", headers=True)])
    assert (plain.body, plain.headers) == (b"x", {})
    assert (shown.body, shown.content_type) == (body, "text/x y")
    assert shown.headers == {"server": "Nexus/3.30.0-01 (OSS)"}
    assert "include" in render([Request("GET", "/b", headers=True)], BASE).splitlines()
    assert "include" not in render([GET], BASE).splitlines()


@given(BODIES, BODIES)
def test_neither_a_body_nor_headers_can_forge_an_end(above: bytes, body: bytes) -> None:
    asked = [GET, Request("GET", "/b", headers=True)]
    raw = b"x\n200 0 1 \n" + above + body + f"\n200 0 {len(body)} {len(above)} \n".encode()
    first, second = parse(raw, asked)
    assert (first.body, second.body) == (b"x", body)
