"""What people see of a rollout while it goes on."""

from __future__ import annotations

import errno
import io
from typing import Any

import pytest
from rich.console import Console

from uplift.cli.watching import LiveTable, watch, words
from uplift.spec.rollout.event import Event

REQUEST = {"waves": [["h1"], ["h2", "h3"]]}


def shown(*told: dict[str, Any]) -> str:
    """Return the table after things that happened."""
    table = LiveTable()
    for record in told:
        table.tell(record)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table._table())
    return captured.get()


def test_the_table_shows_waves_hosts_and_what_takes_its_time() -> None:
    found = shown(
        {"kind": "begun", "run": "r1", "request": REQUEST},
        {"kind": "step", "words": "changes h1"},
        {"kind": "intent", "host": "h1"},
        {"kind": "event", "event": Event("host-start", "h1", "Install [uv]")},
    )
    assert "1 host " in found
    assert "2 hosts" in found
    assert "2 waiting" in found
    assert "1 changing" in found
    assert "Install [uv] …" in found
    assert "changes h1 …" in found


def test_the_hosts_of_each_wave_stand_above_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    LiveTable().tell({"kind": "begun", "run": "r1", "request": REQUEST})
    said = capsys.readouterr().err
    assert "run r1\nwave 1: h1\nwave 2: h2, h3\n" in said


def test_of_a_run_that_goes_on_the_table_shows_how_far_it_is() -> None:
    found = shown(
        {
            "kind": "known",
            "run": "r1",
            "waves": REQUEST["waves"],
            "hosts": {"h1": "committed", "h2": "failed", "h3": "waiting"},
        },
        {"kind": "resumed", "by": "me"},
        {"kind": "event", "event": Event("host-start", "h2", "Install uv")},
    )
    assert "1 committed" in found
    assert "1 failed, 1 waiting" in found
    assert "Install uv …" in found


def test_before_the_first_record_the_table_says_that_hosts_are_reached() -> None:
    assert "reaches the hosts, and locks them …" in shown()


def test_a_step_is_a_line_where_there_is_no_terminal() -> None:
    assert words({"kind": "step", "words": "runs the gate of wave 1"}) == [
        "[dim]runs the gate of wave 1 …[/]"
    ]


def test_what_has_changed_on_a_host_is_named() -> None:
    told = {"kind": "done", "host": "h1", "changed": ["Install [uv]", "Docker"]}
    assert words(told) == [r"h1  [cyan]done[/] (2 changed: Install \[uv], Docker)"]
    assert words({**told, "changed": []}) == ["h1  [cyan]done[/] (0 changed)"]


class Gone(io.StringIO):
    """A terminal whose connection was lost."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(("want_json", "terminal"), [(True, False), (False, False), (False, True)])
def test_a_terminal_that_has_gone_ends_no_run(
    want_json: bool, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Console(file=Gone(), force_terminal=terminal)
    monkeypatch.setattr("uplift.cli.watching.progress", gone)
    monkeypatch.setattr("sys.stdout", Gone())
    with watch(want_json) as seen:
        seen.tell({"kind": "begun", "run": "r1", "request": REQUEST})
        seen.tell({"kind": "warning", "host": "", "words": "interrupted"})
