"""Merging single keys into JSON text that somebody else also edits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.spec.jsonmerge import JsonError, load, remove_keys, set_keys

NAMES = st.text(max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)


@st.composite
def texts(draw: st.DrawFn) -> str:
    value = draw(OBJECTS)
    indent = draw(st.sampled_from([None, 0, 2, 4, "\t"]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :  ")]))
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=draw(st.booleans()))
    text = draw(st.sampled_from(["", "\n", " \n\t"])) + text + draw(st.sampled_from(["", "\n"]))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


def settable(value: dict[str, Any], path: tuple[str, ...]) -> bool:
    for name in path[:-1]:
        value = value.get(name, {})
        if not isinstance(value, dict):
            return False
    return True


def with_key(value: dict[str, Any], path: tuple[str, ...], new: Any) -> dict[str, Any]:
    head, rest = path[0], path[1:]
    inner = with_key(value.get(head, {}), rest, new) if rest else new
    return {**value, head: inner}


PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)


@given(texts(), PATHS, VALUES)
def test_setting_a_key_gives_the_same_object_with_that_key(text, path, value):
    before = load(text)
    if not settable(before, path):
        with pytest.raises(JsonError):
            set_keys(text, {path: value})
        return
    after = set_keys(text, {path: value})
    assert load(after) == with_key(before, path, value)


@given(texts(), PATHS, VALUES)
def test_setting_twice_changes_nothing_the_second_time(text, path, value):
    if settable(load(text), path):
        once = set_keys(text, {path: value})
        assert set_keys(once, {path: value}) == once


@given(texts(), NAMES, VALUES)
def test_adding_a_new_key_and_removing_it_gives_the_same_bytes(text, name, value):
    before = load(text)
    if name not in before and before:
        assert remove_keys(set_keys(text, {(name,): value}), [(name,)]) == text


@given(texts(), st.data())
def test_removing_a_key_keeps_the_others_and_their_order(text, data):
    before = load(text)
    name = data.draw(st.sampled_from([*before, "absent key"]))
    after = load(remove_keys(text, [(name,)]))
    assert list(after.items()) == [item for item in before.items() if item[0] != name]


@given(texts(), VALUES)
def test_foreign_keys_keep_their_bytes(text, value):
    foreign = '"foreign" :   [1,\t2 , {"a":"\\u00e9"}]'
    mixed = text.replace("{", "{" + foreign + ("," if load(text) else ""), 1)
    assert foreign in set_keys(mixed, {("ours", "deep"): value, ("more",): 1})


def test_a_new_file_is_indented_by_two_spaces_and_ends_with_a_newline():
    text = set_keys("", {("live-restore",): True, ("log-opts", "max-size"): "10m"})
    assert text == ('{\n  "live-restore": true,\n  "log-opts": {\n    "max-size": "10m"\n  }\n}\n')


def test_new_keys_follow_the_file_in_indentation():
    text = '{\n\t"auths": {\n\t\t"a": {}\n\t}\n}'
    assert set_keys(text, {("auths", "b"): {"auth": "x"}}) == (
        '{\n\t"auths": {\n\t\t"a": {},\n\t\t"b": {\n\t\t\t"auth": "x"\n\t\t}\n\t}\n}'
    )


def test_a_file_on_one_line_stays_on_one_line():
    assert set_keys('{"a":1}', {("b",): [1]}) == '{"a":1,"b":[1]}'
    assert set_keys('{"a": {}}\n', {("a", "b"): 1}) == '{"a": {"b": 1}}\n'


def test_one_and_true_are_different_values():
    assert set_keys('{"debug": 1}', {("debug",): True}) == '{"debug": true}'


def test_the_last_of_two_equal_keys_counts_and_both_are_removed():
    text = '{"a": 1, "b": 2, "a": 3}'
    assert set_keys(text, {("a",): 3}) == text
    assert set_keys(text, {("a",): 4}) == '{"a": 1, "b": 2, "a": 4}'
    assert load(remove_keys(text, [("a",)])) == {"b": 2}


def test_pruning_takes_the_object_that_becomes_empty_and_no_other():
    text = '{"auths": {"x": {"auth": "1"}}, "empty": {}}'
    assert remove_keys(text, [("auths", "x", "auth")], prune=True) == '{"empty": {}}'
    assert remove_keys(text, [("auths", "x")]) == '{"auths": {}, "empty": {}}'
    assert remove_keys(text, [("empty", "x")], prune=True) == text


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('{\n  // why\n  "a": 1\n}', 2, "comments"),
        ('{\n  "a": 1,\n}', None, "comma"),
        ('{\n  "a": "s3cret\n}', 2, "not JSON"),
        ("[1]", 1, "a list, not an object"),
        ('{"a": NaN}', 1, "NaN"),
        ('{"a": 1} x', 1, "not JSON"),
        ("[" * 100_000, 1, "deep"),
    ],
)
def test_what_is_not_a_json_object_is_an_error_with_a_line(text, line, words):
    for merge in (load, lambda text: set_keys(text, {("a",): 1}), lambda t: remove_keys(t, [])):
        with pytest.raises(JsonError) as caught:
            merge(text)
        assert words in str(caught.value)
        assert line is None or caught.value.line == line
        assert "s3cret" not in str(caught.value)


def test_a_path_through_something_else_names_the_line_of_that():
    with pytest.raises(JsonError, match="line 3: 'log-opts' is not an object"):
        set_keys('{\n "a": 1,\n "log-opts": "x"\n}', {("log-opts", "max-size"): "1m"})
