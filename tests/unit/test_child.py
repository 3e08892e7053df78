"""A run of pyinfra that is watched: its events, and what came of it on each host."""

from __future__ import annotations

import json
import os
import selectors
import signal
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ssh_double import ssh_server

from uplift import events
from uplift.rollout import child
from uplift.rollout.child import Event, HostOutcome, Outcome, State
from uplift.spec.errors import UsageError
from uplift.spec.rollout.event import Kind
from uplift.spec.rollout.lock import REFUSED
from uplift.spec.rollout.outcome import Tally, by_host

Seen = list[Event]


def names(seen: Seen, host: str = "") -> list[str]:
    return [event.kind for event in seen if not host or event.host in ("", host)]


# Events

text = st.text(max_size=20)


@given(
    st.builds(
        Event,
        kind=text,
        host=text,
        operation=text,
        text=text,
        at=st.floats(allow_nan=False, allow_infinity=False),
        data=st.dictionaries(text, st.integers() | text | st.lists(text, max_size=2), max_size=3),
    )
)
def test_an_event_is_one_line_and_comes_back_as_it_was(event: Event) -> None:
    assert "\n" not in event.line()
    assert Event.parse(event.line()) == event


@pytest.mark.parametrize("line", ["", "[]", '"text"', "{}", '{"kind": 1}'])
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        Event.parse(line)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    reading, writing = os.pipe()
    monkeypatch.setenv(events.DESCRIPTOR, str(writing))
    events._descriptor.cache_clear()
    yield reading
    events._descriptor.cache_clear()
    os.close(reading)
    os.close(writing)


def test_events_reach_who_listens(listener: int) -> None:
    events.write("change", host="web-1", text="one", subject="uv")
    event = Event.parse(os.read(listener, 4096).decode())
    assert (event.kind, event.host, event.text, event.data) == (
        "change", "web-1", "one", {"subject": "uv"},
    )  # fmt: skip
    assert not os.get_inheritable(int(os.environ[events.DESCRIPTOR]))


def test_without_a_listener_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(events.DESCRIPTOR, raising=False)
    events._descriptor.cache_clear()
    assert not events.wanted()
    events.write("change", host="web-1")


# What events add up to


def tally(*told: Event, dry: bool = False, code: int = 0, **said: list[str]) -> Outcome:
    found = Tally(["a", "b"], dry=dry)
    for event in told:
        found.take(event)
    return found.outcome(code, 1.0, said)


def begun(*hosts: str) -> Event:
    return Event(Kind.BEGUN, data={"hosts": list(hosts)})


def prepared(host: str, **changes: bool | None) -> Event:
    operations = [{"name": name, "change": change} for name, change in changes.items()]
    return Event(Kind.PREPARED, host, data={"operations": operations})


def ended(*failed: str, completed: bool = True) -> Event:
    return Event(Kind.ENDED, data={"failed": list(failed), "completed": completed})


def test_a_host_that_pyinfra_left_out_is_unreachable_and_says_why() -> None:
    found = tally(begun("a"), prepared("a"), ended("b"), code=1, b=["Could not connect (refused)"])
    assert found.hosts["a"].state is State.OK
    assert found.hosts["b"] == HostOutcome(
        "b", State.UNREACHABLE, text="Could not connect (refused)"
    )
    assert not found.ok


def test_a_host_that_connected_before_everything_ended_is_not_called_unreachable() -> None:
    found = tally(code=1, a=["Connected"], b=["Could not connect (refused)"])
    assert [one.state for one in found.hosts.values()] == [State.UNFINISHED, State.UNREACHABLE]


def test_changes_and_first_reads_are_gathered_by_host() -> None:
    found = tally(
        begun("a", "b"),
        prepared("a", uv=None),
        prepared("b", uv=None),
        Event(Kind.READ, "a", "uv", data={"key": "uv:1", "fingerprint": "f1", "parts": {"a": "p"}}),
        Event(Kind.CHANGE, "a", "uv", "uv: 1 to 2"),
        Event(Kind.READ, "a", "uv", data={"key": "uv:1", "fingerprint": "f2"}),
        Event(Kind.HOST_SUCCESS, "a", "uv", data={"changed": True}),
        Event(Kind.HOST_SUCCESS, "b", "uv", data={"changed": False}),
        ended(),
    )
    assert found.ok
    assert found.hosts["a"] == HostOutcome(
        "a",
        State.OK,
        changed=("uv",),
        changes=("uv: 1 to 2",),
        reads={"uv:1": "f1"},
        parts={"uv:1": {"a": "p"}},
    )
    assert found.hosts["b"].changed == ()


def test_a_dry_run_tells_what_would_change() -> None:
    found = tally(
        begun("a", "b"), prepared("a", uv=True, docker=False), prepared("b", uv=False), dry=True
    )
    assert found.ok
    assert (found.hosts["a"].changed, found.hosts["b"].changed) == (("uv",), ())


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (Event(Kind.HOST_ERROR, "a", "uv", "no space"), State.FAILED),
        (Event(Kind.HOST_ERROR, "a", "uv", f"{REFUSED}token 3 is older than 4"), State.REFUSED),
        (Event(Kind.UNREAD, "a", "uv", "cannot be read"), State.FAILED),
        (Event(Kind.UNREAD, "a", "uv", f"cannot be read: {REFUSED}…"), State.REFUSED),
        (Event(Kind.STALE, "a", "uv", "uv is another one"), State.STALE),
    ],
)
def test_a_failure_is_told_with_its_operation_and_its_words(event: Event, state: State) -> None:
    # pyinfra counts an operation that yields nothing as a success, whatever kept it from yielding.
    after = Event(Kind.HOST_SUCCESS, "a", "uv", data={"changed": False})
    found = tally(begun("a", "b"), prepared("a", uv=None), event, after, ended("a"), code=1)
    assert found.hosts["a"].state is state
    assert (found.hosts["a"].operation, found.hosts["a"].text) == ("uv", event.text)


def test_an_error_that_the_deploy_ignores_is_none() -> None:
    event = Event(Kind.HOST_ERROR, "a", "uv", data={"ignored": True})
    found = tally(begun("a"), prepared("a", uv=None), event, ended()).hosts["a"]
    assert found.ok
    # What it did before it failed has been done.
    assert found.failed == ("uv",)


@pytest.mark.parametrize(
    ("event", "failed"),
    [
        (Event(Kind.HOST_ERROR, "a", "uv", "no space"), ("uv",)),
        # Nothing was begun of what could not be read.
        (Event(Kind.UNREAD, "a", "uv", "cannot be read"), ()),
        (Event(Kind.HOST_START, "a", "uv"), ("uv",)),
    ],
    ids=["failed", "unread", "cut short"],
)
def test_an_operation_that_ended_halfway_may_have_changed_something(
    event: Event, failed: tuple[str, ...]
) -> None:
    after = [Event(Kind.HOST_SUCCESS, "a", "uv")] if event.kind == Kind.UNREAD else []
    found = tally(begun("a"), prepared("a", uv=None), event, *after, ended("a"), code=1)
    assert found.hosts["a"].failed == failed


def test_a_connection_that_broke_makes_a_host_unreachable() -> None:
    event = Event(Kind.HOST_ERROR, "a", "uv")
    said = ["Command socket/SSH error: SSHException: gone", "Error: executed 0 commands"]
    found = tally(begun("a"), prepared("a", uv=None), event, ended("a"), code=1, a=said)
    assert found.hosts["a"].state is State.UNREACHABLE
    assert found.hosts["a"].text == said[0]


def test_a_failure_without_words_is_not_told_with_what_went_well_before_it() -> None:
    event = Event(Kind.HOST_ERROR, "a", "uv")
    said = ["Ready: deploy.py", "Success", "Error: executed 0 commands"]
    found = tally(begun("a"), prepared("a", uv=None), event, ended("a"), code=1, a=said)
    assert (found.hosts["a"].state, found.hosts["a"].text) == (State.FAILED, said[-1])


def test_a_run_that_was_cut_short_leaves_hosts_unfinished_except_those_that_were_done() -> None:
    found = tally(
        begun("a", "b"),
        prepared("a", uv=None),
        prepared("b", uv=None),
        Event(Kind.HOST_SUCCESS, "a", "uv", data={"changed": True}),
        Event(Kind.HOST_START, "b", "uv"),
        code=-9,
    )
    assert [one.state for one in found.hosts.values()] == [State.OK, State.UNFINISHED]
    assert found.hosts["b"].operation == "uv"


def test_printed_lines_are_parted_by_host() -> None:
    lines = ["--> Connecting", "    [a]  Connected", "    [b] Could not connect", "  [other] x", ""]
    assert by_host(lines, ["a", "b"]) == {
        "": ["--> Connecting", "[other] x"],
        "a": ["Connected"],
        "b": ["Could not connect"],
    }


# Real child processes, on this machine


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    down = ("down", {"ssh_hostname": "127.0.0.1", "ssh_port": 1})
    Path("inventory.py").write_text(f"hosts = ['@local', {down!r}]\n")
    return tmp_path


Run = Callable[..., tuple[Outcome, Seen]]


@pytest.fixture
def watched(project: Path) -> Run:
    def call(deploy: str, *hosts: str, **options: Any) -> tuple[Outcome, Seen]:
        Path("deploy.py").write_text(deploy)
        seen: Seen = []
        options = {"on_event": seen.append, **options}
        asked = hosts or ("@local",)
        found = child.run("inventory.py", ["deploy.py"], asked, log=Path("log"), **options)
        return found, seen

    return call


TWO = """
from pyinfra.operations import files, server
files.file(name="A file", path="made")
server.shell(name="A command", commands={command!r})
server.shell(name="The last", commands="true")
"""


def test_a_dry_run_changes_nothing_and_asks_nobody_though_a_host_is_down(watched: Run) -> None:
    found, seen = watched(TWO.format(command="true"), "@local", "down", dry=True)
    assert found.hosts["@local"].changed == ("A file", "A command", "The last")
    assert found.hosts["down"].state is State.UNREACHABLE
    assert "Unable to connect" in found.hosts["down"].text
    assert not Path("made").exists()
    assert names(seen) == ["begun", "prepared", "ended"]


STOCK = """
from io import StringIO
from pathlib import Path
from pyinfra.operations import files
from uplift.secrets import SecretRef, resolve
word = resolve(SecretRef(secret="own/word")).reveal()
at = str(Path.cwd()) + "/"
files.put(name="Changed", src=StringIO("one\\nthree\\n"), dest=at + "changed")
files.put(name="Private", src=StringIO("new\\n"), dest=at + "private")
files.put(name="Made private", src=StringIO("x\\n"), dest=at + "made", mode="600")
files.put(name="Bytes", src="bytes.new", dest=at + "bytes")
files.template(name="Rendered", src=StringIO("it = {{ it }}\\n"), dest=at + "new", it=3)
files.template(name="Secret", src=StringIO("it = {{ it }}\\n"), dest=at + "secret", it=word)
files.line(name="Line", path=at + "changed", line="two.*", replace="2")
files.line(name="Its secret", path=at + "changed", line="two.*", replace=word)
files.put(name="As it is", src=StringIO("one\\ntwo\\n"), dest=at + "changed")
"""


def test_stock_operations_show_what_would_change_in_files_that_everybody_may_read(
    watched: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = os.urandom(8).hex()
    monkeypatch.setenv("UPLIFT_SECRET_OWN_WORD", word)
    Path("changed").write_text("one\ntwo\n")
    Path("private").touch(mode=0o600)
    Path("private").write_text("old\n")
    Path("bytes").write_bytes(b"\xff\xfe")
    Path("bytes.new").write_bytes(b"\xff\xff")
    before = {path.name: path.read_bytes() for path in Path().iterdir() if path.name != "log"}
    found, seen = watched(STOCK, dry=True)
    assert found.hosts["@local"].state is State.OK, found
    told = {e.operation: e.text.replace(f"{Path.cwd()}/", "") for e in seen if e.kind == "change"}
    assert {path.name for path in Path().iterdir()} - {"log", "deploy.py"} == {*before} - {
        "deploy.py"
    }
    assert told == {
        "Changed": "changed: modified\n  @@ -1,2 +1,2 @@\n   one\n  -two\n  +three",
        "Private": "private: modified; not shown: not every user of the host may read it",
        "Made private": "made: created; not shown: not every user of the host may read it",
        "Bytes": "bytes: modified; not shown: no text",
        "Rendered": "new: created\n  @@ -0,0 +1 @@\n  +it = 3",
        "Secret": "secret: created; not shown: a secret stands in it",
        "Line": "changed: a line\n  @@ -0,0 +1 @@\n  +2",
        "Its secret": "changed: a line; not shown: a secret stands in it",
    }
    assert word not in Path("log").read_text()
    assert word not in "".join(event.line() for event in seen)


def test_events_come_in_order_and_the_log_is_for_its_owner_alone(watched: Run) -> None:
    found, seen = watched(TWO.format(command="true"))
    assert found.ok and found.operations == ("A file", "A command", "The last")
    assert Path("made").exists()
    assert Path("log").stat().st_mode & 0o777 == 0o600
    one = ["operation-start", "host-start", "host-success", "operation-end"]
    assert names(seen) == ["begun", "prepared", *one, *one, *one, "ended"]
    assert [event.data["changed"] for event in seen if event.kind == "host-success"] == [True] * 3


def test_when_all_hosts_fail_the_operation_and_its_last_lines_are_still_known(
    watched: Run,
) -> None:
    found, _ = watched(TWO.format(command="echo broken >&2; exit 3"), "@local", "down")
    failed = found.hosts["@local"]
    assert (failed.state, failed.operation, failed.text) == (State.FAILED, "A command", "broken")
    assert failed.changed == ("A file",)
    assert found.hosts["down"].state is State.UNREACHABLE
    assert found.code == 1


def test_data_stay_text_a_shell_of_ours_runs_the_commands_and_the_log_grows(watched: Run) -> None:
    Path("shell").write_text('#!/bin/sh\ntouch ran; exec sh "$@"\n')
    Path("shell").chmod(0o755)
    deploy = "from pyinfra import host\nopen('data', 'w').write(repr(host.data.to))\n"
    deploy += TWO.format(command="true")
    Path("log").write_text("of before\n")
    watched(deploy, data={"to": "1.10"}, shell=str(Path("shell").resolve()))
    said = Path("log").read_text()
    assert said.startswith("of before\n") and len(said) > 100
    assert Path("data").read_text() == "'1.10'"
    assert Path("ran").exists()


def test_a_deploy_that_raises_leaves_the_host_unfinished_and_tells_the_error(watched: Run) -> None:
    found, _ = watched("raise RuntimeError('a slip')")
    assert found.hosts["@local"].state is State.UNFINISHED
    assert "a slip" in found.text
    assert found.hosts["@local"].text == "RuntimeError: a slip"


def test_a_refusal_of_settings_is_an_error_of_usage_in_its_own_words(watched: Run) -> None:
    refuse = "import sys\nprint('uplift: nexus: no such key', file=sys.stderr)\nsys.exit(64)\n"
    with pytest.raises(UsageError, match=r"^nexus: no such key$"):
        watched(refuse)


def test_no_host_at_all_is_an_error_of_usage(project: Path) -> None:
    with pytest.raises(UsageError, match="no host"):
        child.run("inventory.py", ["deploy.py"], [], log=Path("log"))


def test_a_host_that_was_not_asked_for_is_never_touched(project: Path) -> None:
    # A group with the name of our pattern: pyinfra's --limit takes the group.
    Path("inventory.py").write_text("hosts = ['@local']\nglobals()['[w]eb'] = ['@local']\n")
    Path("deploy.py").write_text("open('ran', 'w')\n")
    with pytest.raises(UsageError, match="also selected @local"):
        child.run("inventory.py", ["deploy.py"], ["web"], log=Path("log"))
    assert not Path("ran").exists()


def test_a_host_with_the_name_of_a_group_is_changed_alone(project: Path) -> None:
    down = ("down", {"ssh_hostname": "127.0.0.1", "ssh_port": 1})
    Path("inventory.py").write_text(f"hosts = ['@local', {down!r}]\ndown = ['@local']\n")
    Path("deploy.py").write_text("open('ran', 'w')\n")
    found = child.run("inventory.py", ["deploy.py"], ["down"], log=Path("log"))
    assert found.hosts["down"].state is State.UNREACHABLE
    assert not Path("ran").exists()


def test_a_run_is_stopped_at_once_when_that_is_asked_for(
    watched: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "CLEAN_UP_LIMIT", 0.5)
    stop = threading.Event()

    def begin(event: Event) -> None:
        if (event.kind, event.operation) == ("host-start", "A command"):
            stop.set()

    begun = time.monotonic()
    found, _ = watched(TWO.format(command="sleep 120"), stop=stop, on_event=begin)
    assert found.hosts["@local"].state is State.UNFINISHED
    assert found.hosts["@local"].operation == "A command"
    assert time.monotonic() - begun < 100


def test_a_run_in_which_nothing_happens_any_more_is_given_up(
    watched: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "CLEAN_UP_LIMIT", 0.5)
    ahead = [0.0]
    clock = types.SimpleNamespace(monotonic=lambda: time.monotonic() + ahead[0])
    monkeypatch.setattr(child, "time", clock)
    later = threading.Timer(0.5, ahead.__setitem__, [0, 15.0])

    def begin(event: Event) -> None:
        # Nobody waits: once it is silent, the clock is put ahead.
        if (event.kind, event.operation) == ("host-start", "A command"):
            later.start()

    found, _ = watched(TWO.format(command="sleep 120"), quiet=15, on_event=begin)
    assert found.hosts["@local"].operation == "A command"
    words = "nothing happened for 15 s (A command on @local): the run was given up"
    assert words in found.text
    assert found.hosts["@local"].text == words


def test_a_host_whose_connection_ends_in_a_command_is_unreachable(
    watched: Run, tmp_path: Path
) -> None:
    with ssh_server(tmp_path / "there") as server:
        Path("inventory.py").write_text(f"hosts = [('there', {server.data!r})]\n")

        def cut(event: Event) -> None:
            if (event.kind, event.operation) == ("host-start", "A command"):
                while not any("sleep 3" in one for one in server.commands):
                    time.sleep(0.1)
                server.close()

        found, _ = watched(TWO.format(command="sleep 3"), "there", on_event=cut)
    one = found.hosts["there"]
    assert (one.state, one.operation) == (State.UNREACHABLE, "A command")
    assert one.text == "Command socket/SSH error: SSHException('the connection was lost',)"
    assert one.failed == ("A command",)


def test_where_pyinfra_is_killed_the_signal_is_named(watched: Run) -> None:
    def kill(event: Event) -> None:
        if (event.kind, event.operation) == ("host-start", "A command"):
            os.kill(pids[0], signal.SIGKILL)
        elif event.kind == "begun":
            pids.append(event.data["pid"])

    pids: list[int] = []
    found, _ = watched(TWO.format(command="sleep 120"), on_event=kill)
    assert found.hosts["@local"].text == "pyinfra was ended by signal 9"


def test_a_host_that_waits_for_a_silent_one_is_told_of_with_its_name() -> None:
    found = tally(
        begun("a", "b"),
        prepared("a", x=True, y=True),
        prepared("b", x=True, y=True),
        Event("host-start", "a", "x"),
        Event("host-start", "b", "x"),
        Event("host-success", "b", "x"),
        code=-2,
        **{"": ["nothing happened for 9 s (x on a): the run was given up"]},
    )
    words = [(one.operation, one.text) for one in found.hosts.values()]
    said = "nothing happened for 9 s (x on a): the run was given up"
    assert words == [("x", said), ("", said)]


def test_the_child_ends_when_its_listener_raises(watched: Run) -> None:
    pids = []

    def listen(event: Event) -> None:
        if event.kind == "begun":
            pids.append(event.data["pid"])
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        watched(TWO.format(command="sleep 120"), on_event=listen)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_what_is_told_while_this_process_sleeps_is_read_when_it_wakes_up(
    watched: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process finds its wait for events over, and pyinfra's process ended."""

    class Asleep(selectors.DefaultSelector):
        slept = False

        def select(self, timeout: float | None = None) -> list[Any]:
            if Asleep.slept:
                return super().select(timeout)
            Asleep.slept = True
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            return []

    monkeypatch.setattr(selectors, "DefaultSelector", Asleep)
    found, seen = watched(TWO.format(command="true"))
    assert Asleep.slept
    assert found.hosts["@local"].ok
    assert names(seen)[-1] == Kind.ENDED


def test_words_are_those_of_pyinfras_own_command_line() -> None:
    given = {"dry": False, "data": {"a": "1"}, "shell": "/s"}
    words = child.command("i.py", ["d.py"], ["web[1]"], **given)  # type: ignore[arg-type]
    observer = words[5]
    assert words[4:] == [
        "i.py", observer, "d.py", observer, "-y", "--limit", "[w]eb[[]1]",
        "--data", f"a={json.dumps('1')}", "--shell-executable", "/s",
    ]  # fmt: skip
