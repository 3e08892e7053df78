"""What every format promises: ours in, ours out, and everybody else's bytes untouched."""

from __future__ import annotations

import configparser
import json
import tomllib
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from uplift.spec.clients import npmrc
from uplift.spec.clients.state import DOCKER, FORMATS, HOST_UV, NETRC, NPMRC, PIP, PYPIRC
from uplift.spec.clients.text import Broken, decode

PLAIN = st.text("abcXYZ019._-", min_size=1, max_size=6)
INDEX = json.dumps({"default": True, "name": "corp", "url": "https://n.example.com/simple"})
OURS: dict[str, dict[str, str]] = {
    NETRC: {"machine n.example.com": "login a password b"},
    NPMRC: {"registry": "https://n.example.com/", "//n.example.com/:_auth": "YTpi"},
    PIP: {"[global] index-url": "https://n.example.com/simple", "[global] timeout": "9"},
    PYPIRC: {
        "[distutils] index-servers += nexus": "listed",
        "[nexus] username": "a",
        "[nexus] password": "100% #;=[x] b",
    },
    DOCKER: {"auths n.example.com:5000": "YTpi", "auths https://index.docker.io/v1/": "YTpj"},
    HOST_UV: {
        "system-certs": "true",
        "index corp": INDEX,
        "index more": INDEX.replace("corp", "more"),
    },
}
"""Entries of ours in each format."""

PIECES: dict[str, list[str]] = {
    NETRC: [
        "machine x login y password z\n", "# a\n", "macdef i\ncd\n\n", "machine q\n\tlogin r\n",
    ],
    NPMRC: [
        "; a\n", "# b\n", "\n", "save-exact = true\n", "omit[]=dev\n", "  strict-ssl=false\n",
        "//o.example.com/:_authToken=${T}\n", "just-a-word\n",
    ],
    PIP: [
        "[global]\n", "  no-cache-dir = 1\n  quiet = 1\n", "# a\n", "\n",
        "[list]\nformat: columns\n", "[freeze]\nx =\n    a\n    ; b\n    c\n",
    ],
    PYPIRC: [
        "[distutils]\nindex-servers =\n  pypi\n  other\n", "\n", "; a\n",
        "[pypi]\nusername = __token__\npassword: p%q\n",
    ],
    HOST_UV: [
        "# a\n", "\n", "offline = true\n", 'cache-dir = """\n[[index]]\n"""\n',
        "[pip]\nno-deps = true\n", '[[index]]\nname = "b"\nurl = "c" # d\n',
        "required-environments = [\n  'x',\n  # [[index]]\n]\n",
    ],
}  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str]:
    """A good file of any format, with any line ends, with or without its last one."""
    kind = draw(st.sampled_from(sorted(PIECES)))
    pieces = draw(st.lists(st.sampled_from(PIECES[kind]), unique=True, max_size=6))
    text = "".join(pieces)
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    if draw(st.booleans()) and not text.endswith(("\n\n", "\r\n\r\n")):
        text = text.removesuffix("\n").removesuffix("\r")
    try:
        FORMATS[kind](text)
    except Broken:
        assume(False)
    return kind, text


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(PLAIN, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def docker_files(draw: st.DrawFn) -> tuple[str, str]:
    data = draw(st.dictionaries(PLAIN, JSON, max_size=3))
    if draw(st.booleans()):
        data["auths"] = draw(st.dictionaries(PLAIN, st.just({"auth": "eA=="}), max_size=2))
    indent = draw(st.sampled_from([None, "\t", 2, 4]))
    return DOCKER, json.dumps(data, indent=indent) + draw(st.sampled_from(["", "\n"]))


ANY = st.one_of(files(), docker_files())


@given(ANY)
def test_entries_go_in_once_and_come_out_without_a_trace(case: tuple[str, str]) -> None:
    kind, text = case
    document = FORMATS[kind](text)
    before = document.values()
    for key, value in OURS[kind].items():
        document.put(key, value)
    document.arrange(list(OURS[kind]))
    merged, made = document.text(), document.made
    again = FORMATS[kind](merged, set(made))
    assert {key: again.values()[key] for key in OURS[kind]} == OURS[kind]
    assert {
        k: v for k, v in again.values().items() if k in before and "index-servers" not in k
    } == {k: v for k, v in before.items() if "index-servers" not in k}
    for key, value in OURS[kind].items():
        again.put(key, value)
    assert again.text() == merged
    for key in OURS[kind]:
        again.drop(key)
    assert again.text() == text


@given(files())
def test_every_line_of_others_is_still_there_in_its_order(case: tuple[str, str]) -> None:
    kind, text = case
    document = FORMATS[kind](text)
    for key, value in OURS[kind].items():
        document.put(key, value)
    rest = iter(document.text().splitlines())
    assert all(any(line == other for other in rest) for line in text.splitlines())


@pytest.mark.parametrize("kind", sorted(OURS))
def test_entries_that_were_changed_by_hand_come_back(kind: str) -> None:
    document = FORMATS[kind]("")
    for key, value in OURS[kind].items():
        document.put(key, value)
    good = document.text()
    changed = FORMATS[kind](good)
    for key, value in OURS[kind].items():
        if value != "listed":
            changed.put(key, CHANGED.get(kind, lambda value: f"{value}x")(value))
    assert changed.text() != good
    for key, value in OURS[kind].items():
        changed.put(key, value)
    assert changed.text() == good


CHANGED: dict[str, Callable[[str], str]] = {
    HOST_UV: lambda value: value.replace("true", "false"),
}


@given(files())
def test_line_ends_and_a_missing_last_one_stay(case: tuple[str, str]) -> None:
    kind, text = case
    document = FORMATS[kind](text)
    for key, value in OURS[kind].items():
        document.put(key, value)
    if text.strip():
        assert document.text().endswith("\n") == text.endswith("\n")
        assert ("\r\n" in document.text()) == ("\r\n" in text)
        assert "\r\n" not in text or "\n" not in document.text().replace("\r\n", "")


def test_pip_and_twine_read_what_was_written_with_their_own_parser() -> None:
    for kind in (PIP, PYPIRC):
        document = FORMATS[kind]("")
        for key, value in OURS[kind].items():
            document.put(key, value)
        parser = configparser.RawConfigParser()
        parser.read_string(document.text())
        for key, value in OURS[kind].items():
            section, _, option = key.removeprefix("[").partition("] ")
            if value != "listed":
                assert parser.get(section, option) == value
    assert parser.get("distutils", "index-servers").split() == ["nexus"]


def test_an_indented_option_below_ours_does_not_become_a_part_of_it() -> None:
    document = FORMATS[PIP]("[global]\n  index-url = old\n  timeout = 3\n")
    document.put("[global] index-url", "new")
    assert document.text() == "[global]\n  index-url = new\n  timeout = 3\n"


def test_a_server_joins_the_list_that_is_there_and_leaves_it_again() -> None:
    text = "[distutils]\nindex-servers = pypi\n\n[pypi]\nusername = x\n"
    document = FORMATS[PYPIRC](text)
    document.put("[distutils] index-servers += nexus", "listed")
    assert document.text().startswith("[distutils]\nindex-servers = pypi\n    nexus\n\n[pypi]\n")
    document.drop("[distutils] index-servers += nexus")
    assert document.text() == text


def test_pip_is_warned_of_other_indexes_under_any_of_their_names() -> None:
    document = FORMATS[PIP]("[global]\nextra_index_url = a\n[install]\nindex-url = b\n")
    warnings = document.warnings({"[global] index-url": "x"})
    assert [text.split(":")[0] for text in warnings] == ["line 2", "line 4"]
    assert document.warnings({}) == []


def test_a_name_of_an_option_in_any_spelling_is_ours() -> None:
    document = FORMATS[PIP]("[global]\nINDEX_URL = a\n--index-url = b\n")
    assert document.twins() == {"[global] index-url"}
    document.put("[global] index-url", "c")
    assert document.text() == "[global]\nindex-url = c\n"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('registry = "https://a/" ', "https://a/"),
        ("registry=https://a/ ; why", "https://a/"),
        ("registry='https://a/'", "https://a/"),
        (r"registry=a\;b\#c", "a;b#c"),
        ("registry", "true"),
        ("registry[]=x", "x"),
    ],
)
def test_npm_values_are_read_as_npm_reads_them(line: str, value: str) -> None:
    assert FORMATS[NPMRC](line).values() == {"registry": value}


def test_npm_lines_stay_above_a_section_and_below_it_nothing_is_ours() -> None:
    text = "a=1\n[section]\nregistry=https://other/\n"
    document = FORMATS[NPMRC](text)
    assert "registry" not in document.values()
    document.put("registry", "https://n/")
    assert document.text() == "a=1\nregistry=https://n/\n[section]\nregistry=https://other/\n"


def test_npm_twins_and_list_forms_become_one_line() -> None:
    document = FORMATS[NPMRC]("registry=a\nx=1\nregistry=b\nregistry[]=c\n")
    document.put("registry", "d")
    assert document.text() == "registry=d\nx=1\n"


@pytest.mark.parametrize("token", ["${TOKEN}", "a;b", "a#b", "a b", 'a"b', "", "true", "a\\b", "é"])
def test_a_token_that_npm_would_read_differently_is_refused(token: str) -> None:
    assert npmrc.fault(token)
    assert not npmrc.fault("NpmToken.0a-b_c~/+=")


def test_docker_twins_become_one_and_further_keys_of_a_login_go() -> None:
    text = '{"auths": {"r:1": {"auth": "a"}, "x": {}, "r:1": {"auth": "b", "identitytoken": "t"}}}'
    document = FORMATS[DOCKER](text)
    assert document.twins() == {"auths r:1"}
    document.put("auths r:1", "YTpi")
    assert json.loads(document.text())["auths"] == {"x": {}, "r:1": {"auth": "YTpi"}}
    assert document.text().count("r:1") == 1


def test_docker_logins_that_a_helper_answers_for_are_left_to_it() -> None:
    wanted = {"auths r:1": "YTpi", "auths s:1": "YTpi"}
    store = FORMATS[DOCKER]('{"credsStore": "pass"}').left(wanted)
    assert set(store) == set(wanted) and "credsStore (pass)" in store["auths r:1"]
    one = FORMATS[DOCKER]('{"credHelpers": {"r:1": "gcloud"}}').left(wanted)
    assert set(one) == {"auths r:1"} and "credHelpers (gcloud)" in one["auths r:1"]
    assert FORMATS[DOCKER]('{"credHelpers": {"x": "pass"}, "credsStore": ""}').left(wanted) == {}


def test_another_default_index_is_refused_because_uv_takes_only_the_first() -> None:
    text = 'offline = true\n[[index]]\nname = "a"\nurl = "b"\ndefault = true\n'
    with pytest.raises(Broken, match="line 2: a default index"):
        FORMATS[HOST_UV](text).check({"index corp": INDEX})
    FORMATS[HOST_UV](text).check({"index a": INDEX})


def test_an_index_gets_its_keys_back_and_loses_those_it_should_not_have() -> None:
    text = (
        '# top\n[[index]]\nurl = "x" # why\n# note\nname = "corp"\nexplicit = true\n'
        "[pip]\nno-deps = true\n"
    )
    document = FORMATS[HOST_UV](text)
    document.put("index corp", INDEX)
    assert tomllib.loads(document.text()) == {
        "index": [json.loads(INDEX)],
        "pip": {"no-deps": True},
    }
    assert "# top\n" in document.text() and "# note\n" in document.text()


def test_indexes_are_brought_into_the_order_of_the_settings() -> None:
    document = FORMATS[HOST_UV]("")
    for name in ("b", "a"):
        document.put(f"index {name}", json.dumps({"name": name, "url": "u"}))
    document.arrange(["index a", "index b"])
    assert [index["name"] for index in tomllib.loads(document.text())["index"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        (DOCKER, '{\n  // comment\n  "auths": {}\n}', 2),
        (DOCKER, "[]", 1),
        (DOCKER, '{\n"auths": []}', 2),
        (DOCKER, '{"auths": {},\n"auths": {}}', 1),
        (PIP, "index-url = x\n", 1),
        (PIP, "[global]\nno value\n", 2),
        (PIP, "[global]\n[b]\n[global]\n", 3),
        (HOST_UV, "a = 1\nb =\n", 2),
        (HOST_UV, "a = 1\na = 2\n", 2),
    ],
)
def test_a_broken_file_is_refused_with_its_line(kind: str, text: str, line: int) -> None:
    with pytest.raises(Broken) as caught:
        FORMATS[kind](text)
    assert caught.value.line == line


def test_a_twin_that_is_not_ours_is_refused_because_pip_would_fail() -> None:
    document = FORMATS[PIP]("[global]\ntimeout = 1\nindex-url = a\nindex-url = b\ntimeout = 2\n")
    with pytest.raises(Broken, match=r"line 5: \[global\] timeout again"):
        document.check({"[global] index-url": "a"})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a\nb\xff", "line 2: is not UTF-8"),
        (b"a\n\nb\0", "line 3: holds a NUL byte"),
        (b"\xef\xbb\xbfa", "line 1: begins with a byte order mark"),
        (b"a\rb\n", "line 1: a carriage return"),
        (b"a" * (256 * 1024 + 1), "larger than 256 kB"),
    ],
)
def test_bytes_that_clients_read_apart_are_refused(content: bytes, text: str) -> None:
    with pytest.raises(Broken, match=text):
        decode(content)
