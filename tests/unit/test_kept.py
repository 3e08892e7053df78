"""What a host keeps of a run, as its script prints it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from container_double import inspect

from uplift.spec.container import Container
from uplift.spec.kept import parse

OLD = "a" * 64 + ":600:0:0"
NEW = "b" * 64 + ":600:0:0"
OTHER = "b" * 64 + ":644:0:0"


def packed(text: str) -> str:
    return f"-{base64.b64encode(text.encode()).decode()}"


def file(before: str, after: str, now: str, between: str = "no") -> list[str]:
    return [f"file 1f {packed('/etc/pip.conf')} {before} {after} {now} {between}", "end"]


def container(
    record: str, now: Any, *, same: str = "yes", stays: str = "", journal: str = ""
) -> list[str]:
    words = ["container", "box", same, packed(journal), packed(stays), packed(record)]
    return ["docker yes", "busy ", " ".join([*words, packed(json.dumps(now))]), "end"]


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ((OLD, NEW, NEW), ""),
        ((OLD, NEW, OLD), ""),
        (("absent", NEW, NEW), ""),
        ((OLD, "absent", "absent"), ""),
        ((OLD, NEW, OTHER), "somebody changed it"),
        ((OLD, NEW, "absent"), "somebody changed it"),
        ((OLD, NEW, NEW, "yes"), "somebody changed it"),
        ((OLD, "none", NEW), "cut short"),
        # Whether what a link leads to was changed is not known.
        (("link", "link", "link"), "no file of its own"),
        (("link", NEW, NEW), "no file of its own before the run (link)"),
    ],
)
def test_a_file_stays_for_a_reason(states: tuple[str, ...], reason: str) -> None:
    (found,) = parse(file(*states)).files
    assert found.path == "/etc/pip.conf"
    assert reason in found.stays
    assert bool(found.stays) is bool(reason)


def test_what_is_not_back_is_named_with_its_reason() -> None:
    assert parse(file(OLD, NEW, OTHER)).lasting == (
        "/etc/pip.conf: somebody changed it after the run had written it",
    )
    assert parse(file(OLD, NEW, NEW)).lasting == ("/etc/pip.conf: could not be written",)
    assert parse(file(OLD, NEW, OLD)).lasting == ()


def test_a_container_is_back_when_it_and_its_secrets_are_as_they_were() -> None:
    old = inspect(Container.parse({"name": "box", "image": "redis:8"}, path="box"))
    new = inspect(Container.parse({"name": "box", "image": "redis:8", "user": "x"}, path="box"))
    record = json.dumps({"container": [old]})
    assert parse(container(record, [old])).lasting == ()
    wrong = ("container box: could not be brought back",)
    assert parse(container(record, [new])).lasting == wrong
    assert parse(container(record, [old], same="no")).lasting == wrong
    # There was none before.
    assert parse(container("", [new])).lasting == wrong
    assert parse(container("", [])).lasting == ()


def test_a_container_that_stays_says_why_though_it_looks_the_same() -> None:
    old = inspect(Container.parse({"name": "box", "image": "redis:8"}, path="box"))
    found = parse(container(json.dumps({"container": [old]}), [old], stays="other data\n"))
    assert found.lasting == ("container box: other data",)


def test_a_script_that_was_cut_off_is_no_answer() -> None:
    with pytest.raises(ValueError, match="did not reach its end"):
        parse(file(OLD, NEW, NEW)[:1])
