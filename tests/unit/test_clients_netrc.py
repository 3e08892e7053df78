"""A ``.netrc`` is read as Python reads it, and edited word by word."""

from __future__ import annotations

import netrc
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.spec.clients.netrc import NetrcDocument, fault, pair
from uplift.spec.clients.text import Broken

OURS = "machine nexus.example.com"
FIRST = "abcdefXYZ0189._-!$%&()*+,/:;<=>?@[]^`{|}~"
WORD = st.builds(str.__add__, st.sampled_from(FIRST), st.text(f"{FIRST}#'", max_size=7))
PIECES = st.lists(
    st.sampled_from(
        [
            "machine", "default", "login", "password", "account", "user", "macdef", "a.example.com",
            "nexus.example.com", "x", '"a b"', '""', "\\\\", "#", "#c", "# c", " ", "\n", "\n\n",
            "\r\n", "\t", "macdef m\ncd /x\n\n", "machine b login c password d\n",
            "default login e password f\n", "# a comment\n",
        ]
    ),
    max_size=12,
)  # fmt: skip
FILES = st.builds(lambda pieces, gap: gap.join(pieces), PIECES, st.sampled_from([" ", "\n", ""]))
GOOD = st.builds(
    lambda head, machines, tail, final: (head + "".join(machines) + tail)[: None if final else -1],
    st.sampled_from(["# mine\n", ""]),
    st.lists(
        st.sampled_from(
            [
                "machine a.example.com login x password y\n",
                "machine b.example.com\n\tlogin x\n\taccount z\n\tpassword y\n",
                "machine c.example.com login x\n# why\npassword y\n",
                "macdef init\ncd /srv\n\n",
                'machine d.example.com login "x y" password z\n',
            ]
        ),
        unique=True,
        max_size=4,
    ),
    st.sampled_from(["default login anonymous password guest\n", "machine z login q password r\n"]),
    st.booleans(),
)


def python_reads(text: str) -> dict[str, tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "netrc"
        file.write_bytes(text.encode())
        return netrc.netrc(str(file)).hosts


@given(FILES)
def test_what_is_accepted_python_reads_the_same(text: str) -> None:
    try:
        values = NetrcDocument(text).values()
    except Broken:
        return
    hosts = python_reads(text)
    expected = {
        f"machine {name}": pair(h[0], h[2]) for name, h in hosts.items() if name != "default"
    }
    assert {key: value for key, value in values.items() if key != "machine default"} == expected


@given(FILES)
def test_what_python_refuses_is_refused(text: str) -> None:
    try:
        python_reads(text)
    except netrc.NetrcParseError:
        with pytest.raises(Broken):
            NetrcDocument(text)


@given(GOOD, WORD, WORD)
def test_a_machine_is_added_so_that_python_reads_it_and_removed_without_a_trace(
    text: str, login: str, password: str
) -> None:
    document = NetrcDocument(text)
    document.put(OURS, pair(login, password))
    added = document.text()
    assert python_reads(added)["nexus.example.com"] == (login, "", password)
    assert {
        k: v for k, v in python_reads(added).items() if k != "nexus.example.com"
    } == python_reads(text)
    document.put(OURS, pair(login, password))
    assert document.text() == added
    document.drop(OURS)
    assert document.text() == text


@given(FILES, WORD, WORD)
def test_an_entry_of_ours_is_brought_back_in_whatever_shape_it_was(
    text: str, login: str, password: str
) -> None:
    try:
        document = NetrcDocument(text)
        document.put(OURS, pair(login, password))
    except Broken:
        return
    again = NetrcDocument(document.text())
    assert again.values()[OURS] == pair(login, password)
    assert OURS not in again.twins()


def test_only_the_words_of_our_machine_change() -> None:
    text = "# mine\nmachine nexus.example.com\n  login old # who\n  account a\n  password old\n"
    document = NetrcDocument(text)
    document.put(OURS, pair("me", "new"))
    assert document.text() == (
        "# mine\nmachine nexus.example.com\n  login me # who\n  account a\n  password new\n"
    )


def test_twins_become_one_and_a_machine_behind_default_moves_before_it() -> None:
    text = (
        "machine nexus.example.com login a password b\n"
        "machine other login c password d\n"
        "default login e password f\n"
        "machine nexus.example.com login g password h\n"
    )
    document = NetrcDocument(text)
    assert OURS in document.twins()
    document.put(OURS, pair("me", "pw"))
    assert document.text() == (
        "machine nexus.example.com login me password pw\n"
        "machine other login c password d\n"
        "default login e password f\n"
    )


def test_a_machine_is_put_before_default_because_nothing_behind_it_is_found() -> None:
    document = NetrcDocument("default login e password f\n")
    document.put(OURS, pair("me", "pw"))
    assert document.text() == (
        "machine nexus.example.com login me password pw\ndefault login e password f\n"
    )


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("machine a login b password c\nbogus\n", 2, "ignore the whole file"),
        ("machine a login b passwort c\n", 1, "ignore the whole file"),
        ("login b\n", 1, "machine, default"),
        ("machine a login\n", 1, "without a value"),
        ("machine\n", 1, "without a name"),
        ('machine a login b password "c d\n', 1, "never closed"),
        ("\nmacdef x\ncd /\n", 2, "empty line"),
        ("machine a login b password c\n\n# a comment\n", 3, "no empty line above"),
    ],
)
def test_a_file_that_clients_ignore_is_refused_with_its_line(
    text: str, line: int, word: str
) -> None:
    with pytest.raises(Broken, match=word) as caught:
        NetrcDocument(text)
    assert caught.value.line == line


@pytest.mark.parametrize(
    "value", ["", "a b", "a\tb", 'a"b', "'a", "#a", "a\\b", "a\nb", "é", "machine", "login"]
)
def test_a_value_that_clients_read_apart_is_refused_with_the_reason(value: str) -> None:
    assert fault(value)


@given(WORD)
def test_a_value_that_is_allowed_comes_back_from_python(value: str) -> None:
    assert fault(value) is None
    hosts = python_reads(f"machine h {pair(value, value)}\n")
    assert hosts["h"] == (value, "", value)
