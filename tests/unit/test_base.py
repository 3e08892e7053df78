"""Errors of settings: they name key, finding and remedy, and give nothing secret away."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from uplift.spec.base import Block, near_miss
from uplift.spec.errors import Exit, Problem, SettingsError
from uplift.spec.secret import SecretRef


class Leaf(Block):
    """A block inside others."""

    size: int = 1
    driver: Literal["json-file", "local"] = "local"
    password: SecretRef | None = None


class Tree(Block):
    """A block that holds others in every way that settings do."""

    leaf: Leaf = Leaf()
    maybe: Leaf | None = None
    rows: list[Leaf] = Field(default_factory=list)
    pairs: tuple[Leaf, ...] | None = None
    named: dict[str, Leaf] = Field(default_factory=dict)
    marked: Annotated[list[Annotated[Leaf, "why"]] | None, "why"] = None
    words: list[str] = Field(default_factory=list)


def complaints(value: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Tree.parse(value, path="tree", source="group_data/all.py")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ({"leaf": {"sise": 1}}, "tree.leaf.sise"),
        ({"maybe": {"sise": 1}}, "tree.maybe.sise"),
        ({"rows": [{}, {"sise": 1}]}, "tree.rows[1].sise"),
        ({"pairs": ({"sise": 1},)}, "tree.pairs[0].sise"),
        ({"named": {"a": {"sise": 1}}}, "tree.named.a.sise"),
        ({"marked": [{"sise": 1}]}, "tree.marked[0].sise"),
    ],
)
def test_an_unknown_key_is_found_in_every_kind_of_container(value: Any, key: str) -> None:
    assert complaints(value) == [
        f"group_data/all.py: {key}: unknown key, did you mean 'size'? "
        "Allowed: driver, password, size"
    ]


def test_an_unknown_key_like_no_other_lists_what_is_allowed() -> None:
    (text,) = complaints({"leaf": {"zzz": 1}})
    assert text.endswith("unknown key. Allowed: driver, password, size")


def test_all_problems_are_reported_at_once() -> None:
    found = complaints({"leaf": {"size": "many", "driver": "jsonfile"}, "words": [3]})
    assert len(found) == 3


def test_a_number_that_is_found_is_shown() -> None:
    (text,) = complaints({"words": [1.1]})
    assert text.endswith("tree.words[0]: Input should be a valid string; found float 1.1")


def test_an_allowed_word_in_another_spelling_is_offered() -> None:
    (text,) = complaints({"leaf": {"driver": "jsonfile"}})
    assert text.endswith("'json-file' or 'local'; found str, did you mean 'json-file'?")


def test_a_missing_key_is_named() -> None:
    (text,) = complaints({"leaf": {"password": {}}})
    assert text == "group_data/all.py: tree.leaf.password.secret: is required"


@pytest.mark.parametrize("wrong", ["text", "digits", "list", "dict"])
@given(value=st.text(alphabet="abcdefghXYZ0123456789", min_size=12))
def test_what_stands_in_the_place_of_a_secret_is_never_shown(wrong: str, value: str) -> None:
    digits = int("".join(str(ord(letter)) for letter in value))
    put = {"text": value, "digits": digits, "list": [value], "dict": {"secret": value + "!"}}
    shown = "\n".join(complaints({"leaf": {"password": put[wrong]}}))
    assert value not in shown
    assert str(digits) not in shown
    assert "tree.leaf.password" in shown


@given(value=st.text(alphabet="abcdefghXYZ0123456789", min_size=12))
def test_text_in_the_place_of_a_number_is_never_shown(value: str) -> None:
    shown = "\n".join(complaints({"leaf": {"size": value + "x"}, "words": value}))
    assert value not in shown


def test_a_block_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Leaf().size = 3


def test_a_settings_error_ends_with_64_and_keeps_its_problems() -> None:
    error = SettingsError([Problem("a", "is wrong"), Problem("b", "too", "all.py")])
    assert (error.exit_code, str(error)) == (Exit.USAGE, "a: is wrong\nall.py: b: too")


@given(word=st.text(max_size=20), allowed=st.lists(st.text(max_size=20)))
def test_a_near_miss_is_always_one_of_the_allowed_words(word: str, allowed: list[str]) -> None:
    assert near_miss(word, allowed) in [None, *allowed]
