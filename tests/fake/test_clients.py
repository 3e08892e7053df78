"""The whole operation through pyinfra, on a host that is played: what it runs, what it shows."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from uplift.facts.clients import ClientFiles
from uplift.operations import clients
from uplift.spec.clients import Clients
from uplift.spec.clients.plan import Change, Plan
from uplift.spec.clients.state import HOST, HOST_PIP, NETRC, HostState, Place
from uplift.spec.secret import secret

PASSWORD = secrets.token_hex(16)
SETTINGS = Clients.parse(
    {
        "users": [
            {
                "user": "app",
                "netrc": [
                    {"machine": "n.example.com", "login": "me", "password": secret("nexus/me")}
                ],
            }
        ]
    },
    path="clients",
)
READS = "no-home"
"""A word that stands in the script that reads, and not in the one that writes."""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project folder of its own, with the secret in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPLIFT_SECRET_NEXUS_ME", PASSWORD)
    yield
    ctx_state.reset()
    ctx_host.reset()


def answer(netrc: str | None, *, uid: int = 0) -> list[str]:
    """What the reading script prints on a host with this ``.netrc``."""
    lines = [f"uid\t{uid}", "user\tapp\t1001\t1002\t/home/app"]
    if netrc is None:
        lines.append("file\tapp\t.netrc\tabsent\t0")
    else:
        content = base64.b64encode(netrc.encode()).decode()
        lines.append(f"file\tapp\t.netrc\tfile\t0\t600\t1001:1002\t{len(netrc)}\t-{content}")
    return [*lines, "end"]


def run(read: Any, settings: Clients = SETTINGS) -> tuple[Any, list[str]]:
    """Run the operation on a played host; return its result and the commands that ran."""
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": {READS: read}}
    state = State(Inventory((["@fake/box"], data)), Config())
    # As with -vvv: whatever pyinfra prints at all, it prints now.
    state.print_input = state.print_output = True
    state.print_fact_info = state.print_fact_input = state.print_fact_output = True
    connect_all(state)
    host = state.inventory.get_host("@fake/box")
    meta = None
    with contextlib.suppress(PyinfraError):  # raised when no host is left
        added = add_op(state, clients.present, name="Client files", settings=settings)
        (meta,) = added.values()
        run_ops(state)
    return None if host in state.failed_hosts else meta, host.connector.executed_commands


def test_a_missing_file_is_written_by_one_command() -> None:
    meta, commands = run(answer(None))
    assert meta.did_change()
    assert "mv -fT" in commands[-1]
    # Read for the plan, read again for the change, written once.
    assert [READS in command for command in commands] == [True, True, False]


def test_nothing_to_do_is_no_change_and_only_reads() -> None:
    meta, commands = run(answer(f"machine n.example.com login me password {PASSWORD}\n"))
    assert not meta.did_change()
    assert all(READS in command for command in commands)


def test_no_secret_stands_in_a_command_or_in_what_is_shown(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    before = f"machine other login x password {PASSWORD}canary\n"
    meta, commands = run(answer(before))
    captured = capfd.readouterr()
    shown = caplog.text + captured.out + captured.err
    assert meta.did_change()
    for text in (PASSWORD, base64.b64encode(before.encode()).decode()):
        assert text not in shown
        assert not [command for command in commands if text in command]
    assert "machine n.example.com added" in shown


def test_a_broken_file_fails_the_host_with_its_line() -> None:
    _, commands = run(answer("bogus\n"))
    assert "exit 1" in commands[-1]
    assert "/home/app/.netrc: line 1: a word that is none of" in commands[-1]


def test_only_root_may_write_files_of_others() -> None:
    _, commands = run(answer(None, uid=1000))
    assert "exit 1" in commands[-1]
    assert "_sudo = True" in commands[-1]


def test_a_missing_secret_is_named_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("UPLIFT_SECRET_NEXUS_ME")
    _, commands = run(answer(None))
    assert "exit 1" in commands[-1]
    assert "nexus/me" in commands[-1] and READS not in " ".join(commands)


def test_a_host_that_cannot_be_read_fails_and_is_not_written() -> None:
    meta, commands = run({"success": False, "stderr": "Permission denied"})
    assert meta is None
    assert all(READS in command for command in commands)


def test_a_list_that_was_cut_off_is_not_taken_for_a_bare_host() -> None:
    meta, commands = run(answer(None)[:-1])
    assert meta is None
    assert all(READS in command for command in commands)


def test_all_files_of_a_user_are_one_argument() -> None:
    files = [Place("app", NETRC), Place(HOST, HOST_PIP), Place("app", ".npmrc")]
    words = shlex.split(ClientFiles().command(files).get_raw_value())
    assert words[-2:] == ["/:etc/pip.conf", "app:.netrc:.npmrc"]


def test_a_hundred_users_fit_into_one_command() -> None:
    names = [f"user-with-a-long-name-{number:03}" for number in range(100)]
    files = [Place(name, f".config/pip/{number}.conf") for name in names for number in range(6)]
    # A single argument of a Linux process may be 128 KiB long, and SSH sends one.
    assert len(ClientFiles().command(files).get_raw_value()) < 100 * 1024


def test_the_steps_are_the_record_then_the_files_then_the_record() -> None:
    change = Change(Place("app", NETRC), "put", "absent", b"x")
    seen = "ab" * 32
    text = clients.payload(Plan(changes=(change,), first="a", last="b", errors=("no",), seen=seen))
    assert [line.split(" ")[0] for line in text.splitlines()] == [
        "seen", "fail", "record", "put", "record", "end",
    ]  # fmt: skip
    assert text.splitlines()[0] == f"seen {seen}"
    assert re.fullmatch(r"put app \.netrc 600 700 absent -eA==", text.splitlines()[3])


def read(record: str) -> HostState:
    """What the fact makes of a host with these lines about its record."""
    return ClientFiles().process(["uid\t0", *record.splitlines(), "end"])


@pytest.mark.parametrize("content", [b"", b"{}\n", b"\xff not UTF-8"])
def test_the_record_is_known_by_the_bytes_on_the_host(content: bytes) -> None:
    found = read(f"folder\t755 0:0\nrecord\t-{base64.b64encode(content).decode()}")
    assert found.record_sha256 == hashlib.sha256(content).hexdigest()
    assert found.folder == "755 0:0"


def test_a_host_without_a_record_has_none_to_be_changed() -> None:
    assert (read("").record_sha256, read("").folder) == ("absent", None)
