"""The operation uv.installed, on hosts that answer from a recording."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pyinfra.api.command import StringCommand
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_state
from uv_double import release

from uplift.index import uv as index
from uplift.operations import uv
from uplift.spec.errors import UpliftError
from uplift.spec.uv import CURRENT, Release, Uv

SETTINGS = Uv(version="1.2.3")
TOKEN = secrets.token_hex(16)
URL = f"https://files.example.com/uv-1.2.3.whl?token={TOKEN}"
WHEEL = ("d2hl\n", "ZWw=\n")


@pytest.fixture(autouse=True)
def fresh_context() -> Iterator[None]:
    yield
    for context in (ctx_state, ctx_host, ctx_config):
        context.reset()


@pytest.fixture(autouse=True)
def known_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that has uv 1.2.3."""
    monkeypatch.setattr(index, "release", lambda settings, arch: release(settings.version))
    monkeypatch.setattr(index, "url_for_hosts", lambda settings, arch, wanted: URL)
    monkeypatch.setattr(index, "payload", lambda settings, arch, wanted: WHEEL)


def answer(
    version: str | None = "1.2.3", *, uid: int = 0, arch: str = "x86_64", damaged: bool = False
) -> str:
    """What the fact prints on a host that has a version, and all is well."""
    if version is None:
        return f"host\t{uid}\t{arch}\nroot\tabsent\t\t\nversion\tabsent\t\t\ncurrent\tabsent\t\t"
    hashes = {
        name: "00" * 32 if damaged else binary.sha256 for name, binary in release().binaries.items()
    }
    lines = [
        f"host\t{uid}\t{arch}",
        "root\tfolder\t755 0:0\t",
        "version\tfolder\t755 0:0\t",
        *[f"binary {name}\tfile\t755 0:0\t{sha256}" for name, sha256 in hashes.items()],
        f"current\tlink\t\t{version}",
        *[f"link {name}\tlink\t\t{CURRENT}/{name}" for name in hashes],
        f"used\t100\t{version}",
    ]
    return "\n".join(lines)


def host_state(installed: str, reachable: str = "yes") -> State:
    responses = {"link uvx": installed, "--range 0-0": reachable}
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": responses}
    state = State(Inventory((["@fake/box"], data)), Config())
    connect_all(state)
    return state


def apply(installed: str, reachable: str = "yes") -> tuple[Any, list[str]]:
    """Run the operation once on a host whose facts say this."""
    state = host_state(installed, reachable)
    (meta,) = add_op(state, uv.installed, name="uv", settings=SETTINGS).values()
    run_ops(state)
    return meta, state.inventory.get_host("@fake/box").connector.executed_commands


def yielded(installed: str, reachable: str = "yes", settings: Uv = SETTINGS) -> list[StringCommand]:
    """The commands that the operation yields, with what they read."""
    state = host_state(installed, reachable)
    with ctx_state.use(state), ctx_host.use(state.inventory.get_host("@fake/box")):
        return list(uv.installed._inner(settings=settings))


def read_by(command: StringCommand) -> str:
    return "".join(command.connector_arguments["_stdin"])


def test_a_host_as_wanted_costs_one_remote_command_a_time_and_changes_nothing() -> None:
    meta, commands = apply(answer())
    assert not meta.did_change()
    # Once while preparing, once while running.
    assert len(commands) == 2
    assert len(set(commands)) == 1


def test_an_installation_is_two_facts_and_one_change() -> None:
    meta, commands = apply(answer(None))
    assert meta.did_change()
    assert len([command for command in commands if "install_version" in command]) == 1
    assert "install_version" in commands[-1]
    # Two facts at preparation, two at the change.
    assert len(commands) == 5


def test_the_host_downloads_when_it_can_and_nobody_sees_the_token() -> None:
    (command,) = yielded(answer(None))
    assert "source=host\n" in command.get_raw_value()
    assert read_by(command) == f'url = "{URL}"\n'
    _, commands = apply(answer(None))
    assert TOKEN not in "".join(commands)
    assert TOKEN not in command.get_raw_value()


@pytest.mark.parametrize("said", ["no: the host has no curl", "no: (6) Could not resolve host"])
def test_the_controller_sends_the_wheel_when_the_host_cannot_have_it(said: str) -> None:
    (command,) = yielded(answer(None), said)
    assert "source=controller\n" in command.get_raw_value()
    assert base64.b64decode(read_by(command)) == b"wheel"


def test_the_controller_sends_the_wheel_when_hosts_have_no_address_to_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "url_for_hosts", lambda settings, arch, wanted: None)
    (command,) = yielded(answer(None), "this must not be asked")
    assert read_by(command) == "".join(WHEEL)


def test_a_switch_to_an_installed_version_downloads_nothing() -> None:
    (command,) = yielded(answer("1.2.2"), "this must not be asked")
    assert "source=none\n" in command.get_raw_value()
    assert "_stdin" not in command.connector_arguments


@pytest.mark.parametrize(("version", "stays"), [("1.2.2", False), (None, True)])
def test_a_first_uv_has_no_way_back_and_versions_that_go_are_named(
    version: str | None, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(uv.script, "announce", lambda line, **more: told.append(more))
    yielded(answer(version), settings=SETTINGS.model_copy(update={"keep": 0}))
    (one,) = told
    assert bool(one["lasting"]) is stays
    assert one["removes"] == ([f"uv {version}"] if version else [])


def test_a_damaged_binary_is_installed_again() -> None:
    (command,) = yielded(answer(damaged=True))
    assert "source=host\n" in command.get_raw_value()


def test_the_script_names_the_hashes_that_the_host_has_to_check() -> None:
    (command,) = yielded(answer(None))
    wanted = release()
    script = command.get_raw_value()
    assert f"wheel_sha256={wanted.sha256}" in script
    for name, binary in wanted.binaries.items():
        assert f"{name}_sha256={binary.sha256}" in script
    assert "cut_deflated uv 101 10 " in script


def test_every_command_has_a_time_limit() -> None:
    (command,) = yielded(answer(None))
    assert command.connector_arguments["_timeout"] > uv.DOWNLOAD_LIMIT


@pytest.mark.parametrize(
    ("installed", "part"),
    [
        (answer(None, uid=1000), "_sudo = True"),
        (answer(None, arch="riscv64"), "this one is riscv64"),
    ],
)
def test_a_host_that_cannot_have_uv_fails_alone_and_is_told_why(installed: str, part: str) -> None:
    (command,) = yielded(installed)
    assert part in command.get_raw_value()
    assert "exit 1" in command.get_raw_value()


def test_a_hash_that_is_not_trusted_is_refused_and_nothing_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(settings: Uv, arch: str) -> Release:
        raise UpliftError("the index offers another file than is trusted")

    monkeypatch.setattr(index, "release", refuse)
    (command,) = yielded(answer(None))
    assert "the index offers another file" in command.get_raw_value()
    assert "install_version" not in command.get_raw_value()


def test_a_host_whose_state_cannot_be_read_gets_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    state = host_state(answer())
    box = state.inventory.get_host("@fake/box")
    monkeypatch.setattr(type(box), "get_fact", lambda *args, **kwargs: None)
    with ctx_state.use(state), ctx_host.use(box):
        assert list(uv.installed._inner(settings=SETTINGS)) == []


def test_a_look_shows_what_would_change_and_a_run_what_it_did(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = host_state(answer(None))
    with caplog.at_level("INFO", logger="pyinfra"):
        add_op(state, uv.installed, name="uv", settings=SETTINGS)
        looked, _ = caplog.text, caplog.clear()
        run_ops(state)
    assert looked.count("uv: none -> 1.2.3") == 1
    assert caplog.text.count("uv: none -> 1.2.3") == 1


def test_a_look_shows_why_a_host_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="pyinfra"):
        add_op(host_state(answer(None, uid=1000)), uv.installed, name="uv", settings=SETTINGS)
    assert "_sudo = True" in caplog.text
