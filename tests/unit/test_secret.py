"""A secret never prints itself, whichever way it is asked."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import pprint
import subprocess
import sys
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from uplift.spec.base import Block
from uplift.spec.secret import MASK, NAME, Secret, SecretRef, lab_secret, references, secret

# Long and odd enough that no output holds it by chance.
values = st.text(alphabet="klmnopqKLMNOPQ~^", min_size=12, max_size=40)


class Holder(BaseModel):
    """A model with a secret in it."""

    model_config = ConfigDict(extra="forbid")

    token: Secret


def logged(value: Secret) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    log = logging.Logger("test")
    log.addHandler(handler)
    log.warning("value %s %r", value, [value])
    return stream.getvalue()


def failed(value: Secret) -> Exception:
    """Return an exception whose frame, text and arguments hold the secret."""
    token = value
    try:
        raise ValueError("wrong", token, f"{token!r}")
    except ValueError as error:
        return error


def with_locals(value: Secret) -> str:
    return "".join(
        traceback.TracebackException.from_exception(failed(value), capture_locals=True).format()
    )


def rich_traceback(value: Secret) -> str:
    error = failed(value)
    stream = io.StringIO()
    shown = Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True)
    Console(file=stream, width=200).print(shown)
    return stream.getvalue()


def invalid_model(value: Secret) -> str:
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"token": value, "other": value})
    return f"{caught.value} {caught.value!r} {caught.value.errors()}"


WAYS: dict[str, Callable[[Secret], str]] = {
    "str": str,
    "repr": repr,
    "format": lambda value: format(value, ">20"),
    "f-string": lambda value: f"{value} {value!s} {value!r} {value!a} {value:<30}",
    "percent": lambda value: "%s %r %a" % (value, value, value),  # noqa: UP031
    "str.format": lambda value: "{} {!r}".format(value, value),  # noqa: UP032
    "containers": lambda value: str([value, {"a": value}, (value,), {value}]),
    "pprint": lambda value: pprint.pformat({"a": [value]}),
    "rich pretty": lambda value: pretty_repr({"a": [value]}),
    "pydantic repr": lambda value: f"{Holder(token=value)!r} {Holder(token=value)}",
    "pydantic dump": lambda value: str(Holder(token=value).model_dump()),
    "pydantic json dump": lambda value: str(Holder(token=value).model_dump(mode="json")),
    "pydantic json": lambda value: Holder(token=value).model_dump_json(),
    "pydantic error": invalid_model,
    "logging": logged,
    "exception": lambda value: repr(failed(value)) + str(failed(value)),
    "traceback": lambda value: "".join(traceback.format_exception(failed(value))),
    "traceback with locals": with_locals,
    "rich traceback with locals": rich_traceback,
}


@pytest.mark.parametrize("way", WAYS)
@given(value=values)
def test_no_way_of_printing_shows_it(way: str, value: str) -> None:
    shown = WAYS[way](Secret(value))
    assert value not in shown
    assert MASK in shown


class Leaky(Secret):
    """What a secret would be without its care."""

    def __repr__(self) -> str:
        return self.reveal()

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(self.reveal(), spec)


@pytest.mark.parametrize("way", [way for way in WAYS if not way.startswith("pydantic")])
def test_each_way_of_printing_would_show_a_value_that_is_not_masked(way: str) -> None:
    assert "planted-canary" in WAYS[way](Leaky("planted-canary"))


def test_pyinfras_json_shows_the_mask() -> None:
    # In a process of its own: pyinfra's command line patches the one that loads it.
    code = (
        "import json; from pyinfra_cli.util import json_encode; from uplift.spec.secret import *;"
        "print(json.dumps({'a': Secret('planted-canary')}, default=json_encode))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == (f'{{"a": "{MASK}"}}\n', 0)


@given(value=values)
def test_only_reveal_gives_it_back(value: str) -> None:
    assert Secret(value).reveal() == value


def test_it_has_no_dictionary_that_tools_could_dump() -> None:
    with pytest.raises(TypeError):
        vars(Secret("x"))


def test_plain_json_refuses_it() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(Secret("x"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps([Secret("x")], protocol)


def test_a_copy_is_the_same_object() -> None:
    one = Secret("x")
    assert copy.copy(one) is one
    assert copy.deepcopy({"a": [one]})["a"][0] is one
    assert Holder(token=one).model_copy(deep=True).token is one


def test_equal_values_are_equal_and_hash_alike() -> None:
    assert Secret("x") == Secret("x") != Secret("y")
    assert len({Secret("x"), Secret("x"), Secret("y")}) == 2
    assert Secret("x") != "x"


@given(value=values, other=values, key=st.binary(min_size=1), key_2=st.binary(min_size=1))
def test_a_fingerprint_shows_a_change_and_depends_on_the_key(
    value: str, other: str, key: bytes, key_2: bytes
) -> None:
    mark = Secret(value).fingerprint(key)
    assert mark == Secret(value).fingerprint(key)
    assert (mark == Secret(other).fingerprint(key)) == (value == other)
    # HMAC pads short keys with zeros, so those are one key.
    same = key.ljust(64, b"\0") == key_2.ljust(64, b"\0")
    assert same or mark != Secret(value).fingerprint(key_2)


@pytest.mark.parametrize("name", ["nexus/admin", "a", "a.b-c_d/e/1", "0"])
def test_names_of_secrets_are_words_parted_by_slashes(name: str) -> None:
    assert SecretRef.parse(secret(name), path="x").secret == name


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "/a", "a//b", "a b", "a\n", "-a", "../a", "a/.b", "é", "a!", "a'b"]
)
def test_other_names_are_refused(name: str) -> None:
    assert not NAME.fullmatch(name)
    with pytest.raises(ValueError, match="parted by '/'"):
        SecretRef(secret=name)


def test_a_reference_is_plain_data_and_prints_as_it_is_written() -> None:
    assert json.dumps(secret("a/b")) == '{"secret": "a/b"}'
    assert str(SecretRef(secret="a/b")) == "secret('a/b')"


def test_references_are_found_wherever_they_stand() -> None:
    class Inner(Block):
        password: SecretRef | None = None

    class Outer(Block):
        rows: list[Inner]
        named: dict[str, Inner]

    found = references(
        Outer.model_validate(
            {
                "rows": [{"password": secret("a")}, {}, {"password": secret("b")}],
                "named": {"x": {"password": secret("a")}, "y": {"password": lab_secret("c")}},
            }
        )
    )
    assert [(ref.secret, ref.generate) for ref in found] == [
        ("a", False),
        ("b", False),
        ("c", True),
    ]
