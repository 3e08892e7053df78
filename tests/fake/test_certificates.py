"""The operation certificates.trusted, on hosts that answer from a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ca_double import ca, make_ca
from pyinfra.api.command import StringCommand
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_state

from uplift.operations import certificates
from uplift.spec.certificates import Certificate, Certificates, split

ONE, TWO = split(ca("One CA"))[0], split(ca("Two CA"))[0]
SETTINGS = Certificates(files=("ca.pem",))


@pytest.fixture(autouse=True)
def fresh_context() -> Iterator[None]:
    yield
    for context in (ctx_state, ctx_host, ctx_config):
        context.reset()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose one file holds both certificates."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").write_text(ca("One CA") + ca("Two CA"))
    return tmp_path


def answer(*found: Certificate, system: str = "debian", untrusted: str = "") -> str:
    lines = [f"host\t0\t{system} \tyes", "folder\tfolder\t755 0:0\t"]
    lines += [f"file {c.file}\tfile\t644 0:0\t{c.file_sha256}" for c in found]
    return "\n".join([*lines, *([f"untrusted\t{untrusted}"] if untrusted else [])])


def host_state(said: str) -> State:
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": {"os-release": said}}
    state = State(Inventory((["@fake/box"], data)), Config())
    connect_all(state)
    return state


def apply(said: str) -> tuple[Any, list[str]]:
    """Run the operation once on a host whose fact says this."""
    state = host_state(said)
    (meta,) = add_op(state, certificates.trusted, name="CA", settings=SETTINGS).values()
    run_ops(state)
    return meta, state.inventory.get_host("@fake/box").connector.executed_commands


def yielded(said: str, settings: Certificates = SETTINGS) -> list[StringCommand]:
    """The commands that the operation yields, with what they read."""
    state = host_state(said)
    with ctx_state.use(state), ctx_host.use(state.inventory.get_host("@fake/box")):
        return list(certificates.trusted._inner(settings=settings))


def read_by(command: StringCommand) -> str:
    return "".join(command.connector_arguments["_stdin"])


def test_a_host_as_wanted_costs_one_remote_command_a_time_and_changes_nothing() -> None:
    meta, commands = apply(answer(ONE, TWO))
    assert not meta.did_change()
    # Once while preparing, once while running.
    assert len(commands) == 2
    assert len(set(commands)) == 1


def test_a_change_is_one_command_and_only_what_differs_travels() -> None:
    meta, commands = apply(answer(ONE))
    assert meta.did_change()
    assert len([command for command in commands if "install_tool" in command]) == 1
    (command,) = yielded(answer(ONE))
    assert read_by(command) == f"{TWO.pem}#file {TWO.file} {TWO.file_sha256}\n#end\n"


def test_what_is_no_longer_listed_is_removed_and_nothing_else() -> None:
    (command,) = yielded(answer(ONE, TWO), Certificates())
    removed = [line for line in command.get_raw_value().splitlines() if line.startswith("rm -rf")]
    assert [line.split()[3] for line in removed] == [
        f'"$folder/"{name}' for name in sorted((ONE.file, TWO.file))
    ]
    assert read_by(command) == "#end\n"


def test_a_forgotten_ca_is_taken_up_without_a_new_file() -> None:
    (command,) = yielded(answer(ONE, TWO, untrusted=TWO.file))
    assert read_by(command) == "#end\n"


def test_another_system_fails_alone_and_is_named() -> None:
    (command,) = yielded(answer(system="alpine"))
    assert "alpine" in command.get_raw_value()
    assert "exit 1" in command.get_raw_value()


def test_a_private_key_is_refused_with_its_key_in_the_settings(project: Path) -> None:
    (project / "ca.pem").write_text("".join(make_ca("One CA")))
    (command,) = yielded(answer())
    script = command.get_raw_value()
    assert "certificates.files[0]: ca.pem: this file holds a private key" in script
    assert "exit 64" in script
    assert "BEGIN" not in script


def test_an_expired_ca_is_warned_of_once_for_all_hosts(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificates._warn.cache_clear()
    (project / "ca.pem").write_text(ca("Old CA", days=-5))
    for _ in range(2):
        (command,) = yielded(answer())
        assert "Old CA" not in command.get_raw_value()
    assert caplog.text.count("the CA certificate Old CA has expired on") == 1


def test_every_command_has_a_time_limit() -> None:
    (command,) = yielded(answer())
    assert command.connector_arguments["_timeout"] == certificates.TIME_LIMIT
