"""The operations of backups, on a host that answers from a recording."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_state

from uplift.operations import backup, backup_files
from uplift.secrets import forget, require
from uplift.spec.backup.subjects import Backups
from uplift.spec.entry import ABSENT

WORD = secrets.token_hex(16)
SALT = secrets.token_hex(16)
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7y"
TIMER = "/etc/systemd/system/uplift-backup-influxdb.timer"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project folder of its own, and a salt that the recording knows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPLIFT_SECRET_B_TOKEN", WORD)
    monkeypatch.setattr("uplift.operations.backup.fact_salt", lambda: SALT)
    forget()
    yield
    forget()
    for context in (ctx_state, ctx_host, ctx_config):
        context.reset()


def settings(**fields: Any) -> Backups:
    block = {"target": "/srv/backup", "token": {"secret": "b/token"}, **fields}
    return Backups.parse({"influxdb": block}, path="backups")


def recorded(
    it: Backups, *, timer: str = "enabled\tactive", calendar: str = "yes", lost: str = ""
) -> str:
    """What the fact says of a host where all is well, but for what is given."""
    lines = ["host\t0\tyes", "there\tinfluxdb"]
    lines.append(f"subject\tinfluxdb\t{timer}\t{calendar}\t\tnono")
    for file in backup_files.files("influxdb", it.wanted["influxdb"], require(it), SALT):
        entry = ABSENT if file.path == lost else file.entry
        lines.append(f"file {file.path}\t{entry.kind}\t{entry.rights}\t{entry.detail}")
    return "\n".join(lines)


def box(said: str) -> State:
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": {"salted()": said}}
    state = State(Inventory((["@fake/box"], data)), Config())
    connect_all(state)
    return state


def apply(it: Backups, said: str) -> tuple[Any, list[str]]:
    state = box(said)
    (meta,) = add_op(state, backup.scheduled, name="Backups", settings=it).values()
    run_ops(state)
    return meta, state.inventory.get_host("@fake/box").connector.executed_commands


def yielded(operation: Any, said: str = "", **arguments: Any) -> list[Any]:
    state = box(said)
    with ctx_state.use(state), ctx_host.use(state.inventory.get_host("@fake/box")):
        return list(operation._inner(**arguments))


def sent(command: StringCommand) -> dict[str, str]:
    """The files that a command writes, by path."""
    text = "".join(command.connector_arguments["_stdin"])
    lines = [line.split(" ") for line in text.splitlines() if line != "end"]
    return {path: base64.b64decode(content).decode() for path, _, content in lines}


def test_a_host_as_wanted_costs_one_remote_command_a_time_and_changes_nothing() -> None:
    it = settings()
    meta, commands = apply(it, recorded(it))
    assert not meta.did_change()
    # Once while preparing, once while running.
    assert len(commands) == 2


def test_a_lost_timer_is_written_alone_and_started() -> None:
    it = settings()
    (command,) = yielded(backup.scheduled, recorded(it, lost=TIMER), settings=it)
    assert list(sent(command)) == [TIMER]
    assert "OnCalendar=*-*-* 03:15:00" in sent(command)[TIMER]
    assert "\nstart influxdb\n" in command.get_raw_value()


def test_the_token_travels_by_standard_input_into_one_file() -> None:
    it = settings()
    empty = "host\t0\tyes\nsubject\tinfluxdb\t\t\tyes\t\t"
    _, commands = apply(it, empty)
    # The fact while preparing and while running, and one that writes.
    assert len(commands) == 3
    assert WORD not in "".join(commands)
    (command,) = yielded(backup.scheduled, empty, settings=it)
    assert WORD not in command.get_raw_value()
    holding = [path for path, text in sent(command).items() if WORD in text]
    # The positive control of the lines above.
    assert holding == ["/etc/uplift/backup/influxdb/curl"]


def test_the_password_of_a_nexus_travels_by_standard_input_into_one_file() -> None:
    block = {"target": "/srv/backup", "password": {"secret": "b/token"}}
    it = Backups.parse({"nexus": block}, path="backups")
    empty = "host\t0\tyes\nsubject\tnexus\t\t\tyes\t\t"
    (command,) = yielded(backup.scheduled, empty, settings=it)
    assert WORD not in command.get_raw_value()
    files = sent(command)
    holding = [path for path, text in files.items() if WORD in text]
    assert holding == ["/etc/uplift/backup/nexus/curl"]
    assert "uplift-backup-nexus.timer" in " ".join(files)


def test_the_host_makes_a_key_for_another_host_and_its_public_half_is_told() -> None:
    it = settings(target="backup@nas:/srv/backup", ssh={"host_key": HOST_KEY})
    command, told = yielded(backup.scheduled, recorded(it), settings=it)
    assert "\nmake_key influxdb\n" in command.get_raw_value()
    assert isinstance(told, FunctionCommand)


def test_a_schedule_that_systemd_does_not_understand_is_refused() -> None:
    it = settings(schedule="*-13-* 03:15")
    (command,) = yielded(backup.scheduled, recorded(it, calendar="no"), settings=it)
    assert "systemd does not understand" in command.get_raw_value()


def test_without_the_token_the_host_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPLIFT_SECRET_B_TOKEN")
    forget()
    (command,) = yielded(backup.scheduled, settings=settings())
    assert "b/token" in command.get_raw_value()


@pytest.mark.parametrize("name", ["newest", "20261121", "latest; reboot", 20261121])
def test_what_is_no_name_of_a_backup_is_refused(name: Any) -> None:
    (command,) = yielded(
        backup.restored, settings=settings(), subject="influxdb", backup=name, replace=True
    )
    assert "a backup" in command.get_raw_value()
    assert "exit 64" in command.get_raw_value()


def test_a_subject_that_has_no_backups_is_refused_with_a_guess() -> None:
    for operation in (backup.taken, backup.restored):
        (command,) = yielded(operation, settings=settings(), subject="influx")
        assert "did you mean" in command.get_raw_value()
