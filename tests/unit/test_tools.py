"""Tools: what settings may say, and what a host lacks."""

from __future__ import annotations

from typing import Any

import pytest

from uplift.facts.tools import Installed
from uplift.spec.errors import SettingsError
from uplift.spec.tools import HostState, Tools, plan, refusal

WANTED = Tools(packages=("nodejs", "npm"), uv=("poetry==2.2.1",))
WHOLE = HostState(
    uid=0,
    apt=True,
    uv=True,
    packages=frozenset({"nodejs", "npm"}),
    tools={"poetry": "2.2.1"},
)
BARE = HostState(uid=0, apt=True, uv=True)


@pytest.mark.parametrize(
    ("settings", "path", "text"),
    [
        ({"uv": ["poetry"]}, "tools.uv", "poetry==2.2.1"),
        ({"uv": ["poetry>=2"]}, "tools.uv", "found 'poetry>=2'"),
        ({"uv": ["--index=http://x==1"]}, "tools.uv", "lower case"),
        ({"uv": ["Poetry==2.2.1"]}, "tools.uv", "lower case"),
        ({"uv": ["poetry==2.2.1", "poetry==2.1.0"]}, "tools.uv", "'poetry' is listed"),
        ({"packages": ["-y"]}, "tools.packages", "as apt has them"),
        ({"packages": ["npm=9"]}, "tools.packages", "without a version"),
        ({"package": ["npm"]}, "tools.package", "did you mean 'packages'"),
    ],
)
def test_wrong_settings_are_refused_with_the_key_and_the_remedy(
    settings: dict[str, Any], path: str, text: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Tools.parse(settings, path="tools")
    assert path in str(caught.value)
    assert text in str(caught.value)


def test_nothing_is_to_be_done_where_all_is_there() -> None:
    assert plan(WANTED, WHOLE).words == ()


def test_what_is_missing_is_installed() -> None:
    todo = plan(WANTED, BARE)
    assert (todo.packages, todo.install, todo.repair) == (
        ("nodejs", "npm"),
        ("poetry==2.2.1",),
        (),
    )
    assert todo.words == ("nodejs installed", "npm installed", "poetry==2.2.1 installed")


@pytest.mark.parametrize(
    ("found", "word"),
    [("2.1.0", "poetry 2.1.0 -> poetry==2.2.1"), ("", "poetry damaged -> poetry==2.2.1")],
)
def test_another_version_and_a_damaged_tool_are_repaired(found: str, word: str) -> None:
    state = HostState(0, True, True, WHOLE.packages, {"poetry": found})
    todo = plan(WANTED, state)
    assert (todo.install, todo.repair, todo.words) == ((), ("poetry==2.2.1",), (word,))


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (HostState(uid=1000, apt=True, uv=True), "_sudo = True"),
        (HostState(uid=0, apt=False, uv=True), "no apt-get"),
        (HostState(uid=0, apt=True, uv=False), "deploys/uv.py first"),
    ],
)
def test_a_host_that_cannot_is_refused_with_the_remedy(state: HostState, text: str) -> None:
    assert text in (refusal(plan(WANTED, state), state) or "")


def test_a_host_that_lacks_nothing_needs_neither_root_nor_uv() -> None:
    state = HostState(1000, False, False, WHOLE.packages, WHOLE.tools)
    assert refusal(plan(WANTED, state), state) is None


def test_the_lines_of_a_host_become_its_state() -> None:
    lines = ["host - 0", "apt - yes", "uv - no", "package npm installed", "package nodejs "]
    lines += ["package git config-files", "tool poetry 2.2.1", "tool ruff "]
    assert Installed().process(lines) == HostState(
        uid=0,
        apt=True,
        uv=False,
        packages=frozenset({"npm"}),
        tools={"poetry": "2.2.1", "ruff": ""},
    )
