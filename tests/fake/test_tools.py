"""The operation tools.installed, on hosts that answer from a recording."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_state

from uplift.operations import tools
from uplift.spec.tools import Tools

SETTINGS = Tools(packages=("npm",), uv=("poetry==2.2.1", "ruff==0.14.0"))
HOST = ("host - 0", "apt - yes", "uv - yes")


@pytest.fixture(autouse=True)
def fresh_context() -> Iterator[None]:
    yield
    for context in (ctx_state, ctx_host, ctx_config):
        context.reset()


def host_state(*lines: str) -> State:
    answer = "\n".join(lines if lines[0].startswith("host ") else (*HOST, *lines))
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": {"dpkg-query": answer}}
    state = State(Inventory((["@fake/box"], data)), Config())
    connect_all(state)
    return state


def apply(*lines: str) -> tuple[Any, list[str]]:
    """Run the operation once on a host whose fact says this."""
    state = host_state(*lines)
    (meta,) = add_op(state, tools.installed, name="Tools", settings=SETTINGS).values()
    run_ops(state)
    return meta, state.inventory.get_host("@fake/box").connector.executed_commands


def test_a_host_as_wanted_costs_one_remote_command_a_time_and_changes_nothing() -> None:
    meta, commands = apply("package npm installed", "tool poetry 2.2.1", "tool ruff 0.14.0")
    assert not meta.did_change()
    # Once while preparing, once while running.
    assert len(commands) == 2
    assert len(set(commands)) == 1


def test_only_what_is_missing_or_wrong_is_installed() -> None:
    meta, commands = apply("package npm installed", "tool ruff 0.13.0")
    assert meta.did_change()
    assert commands[-1].endswith(" uplift '' poetry==2.2.1 ruff==0.14.0")


def test_a_host_without_uv_is_refused_before_anything_is_installed() -> None:
    state = host_state("host - 0", "apt - yes", "uv - no", "package npm ")
    with ctx_state.use(state), ctx_host.use(state.inventory.get_host("@fake/box")):
        (command,) = tools.installed._inner(settings=SETTINGS)
    assert "deploys/uv.py first" in str(command)
