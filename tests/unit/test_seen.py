"""Fingerprints of what was read."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.spec.secret import Secret
from uplift.spec.seen import fingerprint, parts

KEY = secrets.token_bytes(32)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Thing:
    name: str
    seen: int = field(default=0, compare=False)


@given(values, values)
def test_fingerprints_are_equal_when_values_are(one: object, other: object) -> None:
    same = repr(one) == repr(other)
    assert not same or fingerprint(one, KEY) == fingerprint(other, KEY)
    # In Python True is 1 and False is 0; both ways of telling them apart are right.
    assert one == other or fingerprint(one, KEY) != fingerprint(other, KEY)


def test_order_does_not_matter_where_there_is_none() -> None:
    assert fingerprint({"a": 1, "b": 2}, KEY) == fingerprint({"b": 2, "a": 1}, KEY)
    assert fingerprint({1, "x"}, KEY) == fingerprint({"x", 1}, KEY)
    assert fingerprint([1, 2], KEY) != fingerprint([2, 1], KEY)


def test_what_does_not_compare_does_not_count() -> None:
    assert fingerprint(Thing("a", 1), KEY) == fingerprint(Thing("a", 2), KEY)
    assert fingerprint(Thing("a"), KEY) != fingerprint(Thing("b"), KEY)


def test_a_secret_counts_and_the_key_decides() -> None:
    assert fingerprint(Secret("one"), KEY) != fingerprint(Secret("two"), KEY)
    assert fingerprint(Secret("one"), KEY) != fingerprint(Secret("one"), KEY[::-1])
    assert fingerprint(Colour.RED, KEY) == fingerprint(Colour.RED, KEY)


def test_a_thing_without_content_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="cannot be fingerprinted"):
        fingerprint(object(), KEY)


@dataclass(frozen=True)
class Clock:
    now: int
    name: str

    def steady(self) -> dict[str, str]:
        return {"name": self.name}


@dataclass(frozen=True)
class Host:
    things: dict[str, Thing | Clock]
    word: str = ""


def test_what_changes_by_itself_does_not_count_wherever_it_stands() -> None:
    def of(now: int, name: str) -> str:
        return fingerprint(Host({"clock": Clock(now, name)}), KEY)

    assert of(1, "a") == of(2, "a") != of(2, "b")


def test_the_part_that_moved_is_named() -> None:
    before = parts(Host({"a": Thing("1"), "b": Thing("2")}, "x"), KEY)
    after = parts(Host({"a": Thing("1"), "b": Thing("3")}, "x"), KEY)
    assert set(before) == {"things.a", "things.b", "word"}
    assert [name for name in before if before[name] != after[name]] == ["things.b"]
    assert parts([1], KEY).keys() == {"all"}
    assert parts(Host({}), KEY).keys() == {"things", "word"}
