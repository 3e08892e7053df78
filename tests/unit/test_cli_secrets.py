"""``uplift secrets`` as a person or a script types it."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from uplift.cli.main import run
from uplift.secrets import forget

CANARY = "planted-canary"


class Done(NamedTuple):
    """What a call left behind."""

    code: int
    out: str
    err: str


class Uplift(Protocol):
    """Calls ``uplift secrets`` in an empty project."""

    def __call__(self, *args: str, stdin: str | io.StringIO = "") -> Done: ...


class Terminal(io.StringIO):
    """Standard input or output of a person."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def uplift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Uplift]:
    """``uplift secrets`` in an empty project with a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    for key in [key for key in os.environ if key.startswith(("UPLIFT_SECRET_", "UPLIFT_AGE"))]:
        monkeypatch.delenv(key)

    def call(*args: str, stdin: str | io.StringIO = "") -> Done:
        source = stdin if isinstance(stdin, io.StringIO) else io.StringIO(stdin)
        monkeypatch.setattr(sys, "stdin", source)
        code = run(["secrets", *args])
        return Done(code, *capsys.readouterr())

    forget()
    yield call
    forget()


@pytest.fixture
def stored(uplift: Uplift) -> Uplift:
    """The same with one secret in it."""
    uplift("init")
    assert uplift("set", "nexus/admin", stdin=f"{CANARY}\n").code == 0
    return uplift


def test_a_secret_that_was_set_comes_back(stored: Uplift) -> None:
    assert stored("get", "nexus/admin") == Done(0, f"{CANARY}\n", "")


def test_setting_listing_and_removing_never_print_the_value(uplift: Uplift) -> None:
    uplift("init")
    shown = [
        uplift("set", "nexus/admin", stdin=CANARY),
        uplift("list"),
        uplift("list", "--json"),
        uplift("rekey"),
        uplift("rm", "nexus/admin"),
    ]
    assert [done.code for done in shown] == [0] * 5
    assert CANARY not in str(shown)


def test_the_list_is_json_on_demand(stored: Uplift) -> None:
    assert json.loads(stored("list", "--json").out) == [
        {"name": "nexus/admin", "provider": "secrets.age"}
    ]


def test_the_table_names_secret_and_place(stored: Uplift) -> None:
    assert stored("list").out.split() == ["name", "from", "nexus/admin", "secrets.age"]


def test_get_refuses_a_terminal_unless_told(
    stored: Uplift, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    with monkeypatch.context() as terminal:
        terminal.setattr(sys, "stdout", screen)
        assert stored("get", "nexus/admin").code == 64
        assert screen.getvalue() == ""
        assert stored("get", "nexus/admin", "--show").code == 0
    assert screen.getvalue() == f"{CANARY}\n"


def test_a_person_types_the_value_twice_and_unseen(
    stored: Uplift, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["one", "other", "two", "two"])
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda prompt: next(typed))
    done = stored("set", "nexus/admin", stdin=Terminal())
    assert (done.code, done.out) == (0, "")
    assert stored("get", "nexus/admin").out == "two\n"


def test_an_empty_value_is_refused(stored: Uplift) -> None:
    done = stored("set", "nexus/admin", stdin="\n")
    assert done.code == 64
    assert "UPLIFT_SECRET_NEXUS_ADMIN" in done.err
    assert stored("get", "nexus/admin").out == f"{CANARY}\n"


def test_a_value_in_the_place_of_the_name_is_not_shown(uplift: Uplift) -> None:
    for action in ("set", "get", "rm"):
        done = uplift(action, "P@ssw0rd!")
        assert done.code == 64
        assert "P@ssw0rd" not in done.out + done.err


def test_a_missing_secret_ends_with_64_and_says_where_it_was_looked_for(stored: Uplift) -> None:
    done = stored("get", "nexus/admim")
    assert (done.code, done.out) == (64, "")
    assert "did you mean 'nexus/admin'?" in done.err


def test_setting_before_init_says_what_to_do(uplift: Uplift) -> None:
    done = uplift("set", "a", stdin="x")
    assert done.code == 64
    assert "uplift secrets init" in done.err


def test_removing_what_is_not_there_is_an_error(stored: Uplift) -> None:
    done = stored("rm", "nexus/other")
    assert done.code == 64
    assert "has no secret 'nexus/other'" in done.err


def test_an_empty_list_is_no_error(uplift: Uplift) -> None:
    done = uplift("list")
    assert (done.code, done.out) == (0, "")
    assert "no secrets yet" in done.err


def test_a_lab_secret_is_shown_and_listed_apart(stored: Uplift) -> None:
    value = stored("get", "nexus/admin", "--lab").out.strip()
    assert value not in ("", CANARY)
    assert json.loads(stored("list", "--lab", "--json").out) == [
        {"name": "nexus/admin", "provider": "lab-secrets.json"}
    ]


def test_init_says_to_keep_the_key(uplift: Uplift) -> None:
    first, second = uplift("init"), uplift("init", "--json")
    assert "Keep a copy of your key" in first.out
    assert json.loads(second.out)["readable"] is True
