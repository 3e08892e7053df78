"""How a run ends: what is put back, what is left, and the exit code that says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from uplift.cli import main
from uplift.cli.rollout import shown as show
from uplift.cli.rollout import table
from uplift.remote.inventory import InventoryHost
from uplift.remote.unreachable import Reason, Unreachable
from uplift.rollout import ends, revert, waves
from uplift.rollout import run as runs
from uplift.rollout.engine import Engine
from uplift.rollout.journal import Journal, records
from uplift.rollout.ready import _LOOK
from uplift.rollout.stop import Stop
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.rollout.gate import Comparison, Failure
from uplift.spec.rollout.lock import REFUSED
from uplift.spec.rollout.outcome import HostOutcome, Outcome, State
from uplift.spec.rollout.plan import HostPlan, Plan, Read
from uplift.spec.rollout.policy import Policy

REQUEST = {
    "waves": [["h1"], ["h2"]],
    "inventory": "i.py",
    "deploys": ["d.py"],
    "data": {},
    "limit": [],
    "inputs": "same",
    "actor": "me",
}


class Box(Engine):
    """An engine whose hosts are changed in memory."""

    broken: str = ""
    """Why the deploy files of a revert cannot be run."""
    back: list[Sequence[str]]
    meanwhile: Callable[[str, Outcome], Outcome] = staticmethod(lambda name, outcome: outcome)

    def apply(self, hosts: Sequence[str], *given: Any, **more: Any) -> Outcome:
        if more.get("deploys") is not None:
            self.back.append(hosts)
            if self.broken:
                raise UsageError(self.broken)
        outcome = Outcome({name: HostOutcome(name, State.OK) for name in hosts}, 0, 0.0)
        return self.meanwhile(str(given[0]), outcome)

    def serving(self) -> dict[str, Any]:
        return {name: {"uv": "", "apps": {}} for name in self.run.hosts}


def box(journal: Journal, **policy: Any) -> Box:
    """The engine of a run over hosts that are all reached."""
    fleet: Any = SimpleNamespace(unreachable={}, each=lambda step: {})
    lock: Any = SimpleNamespace(
        note=lambda words: None, token=1, lost=threading.Event(), trouble={}
    )
    lock.shell = "sh"
    signals: Any = SimpleNamespace(asked=threading.Event(), now=threading.Event())
    hosts = {name: InventoryHost(name) for name in journal.run.hosts}
    block = Policy.parse(policy, path="rollout")
    made = Box(journal, block, hosts, fleet, lock, signals, lambda record: None)
    made.back = []
    return made


def carried(
    engine: Box,
    monkeypatch: pytest.MonkeyPatch,
    *,
    ready: Exception | None = None,
    append: Callable[..., Any] = lambda *given: {},
) -> ends.Result:
    """Go on with a run; what looks at hosts fails with an error."""

    @contextmanager
    def connected(*given: Any, **more: Any) -> Iterator[Engine]:
        yield engine

    def looked(one: Engine, hosts: Sequence[str]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        if ready:
            raise ready
        return {name: {"uv": "", "apps": {}} for name in hosts}, {}

    monkeypatch.setattr(runs, "connected", connected)
    monkeypatch.setattr(runs, "ready", looked)
    monkeypatch.setattr("uplift.rollout.marks.append", append)
    return runs._carried(engine.journal, [], lambda record: None, "resume")


def begun(tmp_path: Path, *steps: tuple[str, dict[str, Any]]) -> Journal:
    """A journal with some records."""
    request = {**REQUEST, "policy": Policy().model_dump(mode="json")}
    journal = Journal.begin(request, lambda record: None, tmp_path / "runs")
    for kind, facts in steps:
        journal.write(kind, **facts)  # type: ignore[arg-type]
    return journal


FIRST = (
    ("ready", {"before": {"h1": {"uv": "", "apps": {}}}}),
    ("wave", {"wave": 1, "hosts": ["h1"]}),
    ("intent", {"host": "h1"}),
    ("committed", {"host": "h1"}),
)
"""The first wave has passed, while the second host was lost."""


@pytest.mark.parametrize("answer", ["revert-wave", "revert-fleet"])
@pytest.mark.parametrize(
    "problem", [Stop("not-ready", "h2: disk full"), UsageError("no key"), UpliftError("no answer")]
)
def test_what_fails_before_a_resumed_run_changes_anything_more_puts_nothing_back(
    answer: str, problem: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path, *FIRST) as journal:
        engine = box(journal, on_failure=answer)
        result = carried(engine, monkeypatch, ready=problem)
    assert (result.exit_code, result.run.outcome) == (Exit.HELD, "held")
    assert engine.back == []
    assert result.run.hosts == {"h1": "committed", "h2": "waiting"}


def test_neither_does_a_hook_that_is_required_at_the_start_of_a_resumed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path, *FIRST) as journal:
        hook = {"at": "start", "run": ["false"], "required": True}
        engine = box(journal, on_failure="revert-fleet", hooks=[hook])
        result = carried(engine, monkeypatch)
        assert (result.exit_code, engine.back) == (Exit.HELD, [])
        # Nor when it was killed before that was written down.
        journal.write("interrupted", reason="not-ready", words="hook false")
        journal.write("resumed", by="me")
        engine = box(journal, on_failure="revert-fleet")
        assert carried(engine, monkeypatch).exit_code is Exit.DONE


@pytest.mark.parametrize(
    ("problem", "code"),
    [(UsageError("no key"), Exit.USAGE), (Stop("not-ready", "h1: disk full"), Exit.FAILED)],
)
def test_wrong_settings_that_only_hosts_show_end_a_run_that_touched_nothing_with_64(
    problem: Exception, code: Exit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path) as journal:
        result = carried(box(journal), monkeypatch, ready=problem)
    assert (result.exit_code, result.run.outcome) == (code, "refused")


def test_a_way_back_that_cannot_be_run_is_held_with_its_reason_and_no_wave_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = (("wave", {"wave": 2, "hosts": ["h2"]}), ("intent", {"host": "h2"}))
    stopped = ("interrupted", {"reason": "change_failed", "words": "h2: bad"})
    with begun(tmp_path, *FIRST, *second, stopped) as journal:
        engine = box(journal, on_failure="revert-fleet")
        engine.broken = "no key"
        result = carried(engine, monkeypatch)
    assert (result.exit_code, result.run.outcome) == (Exit.HELD, "held")
    assert engine.back == [["h2"], ["h1"]]
    assert result.run.hosts == {"h1": "not-reverted", "h2": "not-reverted"}
    assert result.run.words == {"h1": "no key", "h2": "no key"}


SECOND = (
    ("ready", {"before": {"h2": {"uv": "", "apps": {}}}}),
    ("wave", {"wave": 2, "hosts": ["h2"]}),
    ("intent", {"host": "h2"}),
    ("interrupted", {"reason": "gate_failed", "words": "h2: bad"}),
)


@pytest.mark.parametrize("second", [False, True], ids=["one signal", "two"])
def test_a_signal_while_hosts_are_put_back_holds_and_that_goes_on_when_it_is_resumed(
    second: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path, *FIRST, *SECOND) as journal:
        engine = box(journal, on_failure="revert-fleet")

        def signalled(name: str, outcome: Outcome) -> Outcome:
            engine.interrupts.asked.set()
            if second:
                raise KeyboardInterrupt
            return outcome

        engine.meanwhile = signalled
        result = carried(engine, monkeypatch)
        assert (result.exit_code, result.run.outcome) == (Exit.INTERRUPTED, "held")
        assert engine.back == [["h2"]]
        assert result.stopped.startswith("h2: bad\n")
        assert result.run.hosts["h2"] == ("reverting" if second else "reverted")
        journal.write("resumed", by="me")
        engine = box(journal, on_failure="revert-fleet")
        result = carried(engine, monkeypatch)
    assert (result.exit_code, result.run.outcome) == (Exit.FAILED, "reverted")
    assert engine.back == ([["h2"], ["h1"]] if second else [["h1"]])


HELD = (
    ("ready", {"before": {name: {"uv": "", "apps": {}} for name in ("h1", "h2")}}),
    *FIRST[1:],
    ("wave", {"wave": 2, "hosts": ["h2"]}),
    ("intent", {"host": "h2"}),
    ("rejected", {"host": "h2", "words": "bad"}),
    ("interrupted", {"reason": "gate_failed", "words": "bad"}),
    ("ended", {"outcome": "held", "exit_code": 3, "words": "bad"}),
)
"""A run that was held: what is wrong is left to people."""


def given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: Sequence[Any], signals: int = 0
) -> tuple[ends.Result, Box]:
    """End a run by `uplift abort --revert`, and press Ctrl-C while the first host is put back."""
    made: list[Box] = []

    @contextmanager
    def connected(journal: Journal, *given: Any, **more: Any) -> Iterator[Engine]:
        engine = box(journal)
        engine.meanwhile = pressed
        made.append(engine)
        yield engine

    def pressed(name: str, outcome: Outcome) -> Outcome:
        if signals:
            made[0].interrupts.asked.set()
        if signals > 1:
            raise KeyboardInterrupt
        return outcome

    with begun(tmp_path, *steps) as journal:
        pass
    folder = journal.folder
    monkeypatch.setattr(runs.Journal, "open", lambda run, tell: Journal(folder, tell))
    monkeypatch.setattr(runs, "connected", connected)
    monkeypatch.setattr(runs, "_same_hosts", lambda run: [])
    monkeypatch.setattr("uplift.rollout.marks.append", lambda *given: {})
    return runs.abort("last", lambda record: None, put_back=True), made[0]


@pytest.mark.parametrize("signals", [1, 2])
def test_an_abort_that_is_interrupted_holds_and_resume_puts_the_rest_back(
    signals: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, engine = given_up(tmp_path, monkeypatch, HELD, signals)
    assert (result.exit_code, result.run.outcome) == (Exit.INTERRUPTED, "held")
    assert engine.back == [["h2"]]
    assert not result.run.over
    with Journal(engine.journal.folder, lambda record: None) as journal:
        journal.write("resumed", by="me")
        again = box(journal)
        result = carried(again, monkeypatch)
    assert (result.exit_code, result.run.outcome) == (Exit.FAILED, "reverted")
    assert again.back == ([["h1"]] if signals == 1 else [["h2"], ["h1"]])
    assert set(result.run.hosts.values()) == {"reverted"}


def test_an_abort_that_was_killed_is_gone_on_with_and_changes_no_host_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = (("interrupted", {"reason": "aborted", "words": "aborted"}),)
    steps = (*HELD, *killed, ("reverting", {"host": "h2"}), ("reverted", {"host": "h2"}))
    with begun(tmp_path, *steps) as journal:
        journal.write("resumed", by="me")
        engine = box(journal)
        result = carried(engine, monkeypatch)
    assert (result.exit_code, result.run.outcome, engine.back) == (
        Exit.FAILED,
        "reverted",
        [["h1"]],
    )


def test_an_abort_of_a_run_that_has_touched_nothing_has_nothing_to_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, engine = given_up(tmp_path, monkeypatch, FIRST[:2])
    assert (result.exit_code, result.run.outcome, engine.back) == (Exit.DONE, "aborted", [])


def gated(engine: Box, compared: Callable[[], Comparison]) -> Box:
    """Give an engine a gate."""
    gate: Any = SimpleNamespace(tests=("x",), failures=lambda *given: ())
    gate.compared = lambda *given: compared()
    engine.gate = gate
    return engine


def test_a_run_that_loses_its_locks_in_its_last_gate_commits_nothing_and_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path) as journal:
        engine = box(journal, waves=["100%"])

        def lost() -> Comparison:
            engine.lock.trouble["h1"] = "another run has it"  # type: ignore[index]
            engine.lock.lost.set()
            return Comparison()

        result = carried(gated(engine, lost), monkeypatch)
    assert (result.exit_code, result.run.outcome) == (Exit.HELD, "held")
    assert "committed" not in {one["kind"] for one in records(journal.folder)}
    assert "another run has it" in result.stopped


def test_tests_that_the_fence_refuses_are_a_lost_lock_and_no_failure_of_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = f"AssertionError: no\n{REFUSED}this is a command of run r1"
    with begun(tmp_path) as journal:
        engine = box(journal, on_failure="revert-fleet")
        failure = Failure("h1", "uv", "test_it", message)
        result = carried(gated(engine, lambda: Comparison(new=(failure,))), monkeypatch)
    assert (result.exit_code, engine.back) == (Exit.HELD, [])
    assert "rejected" not in {one["kind"] for one in records(journal.folder)}


def test_a_host_that_refuses_what_is_done_for_good_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path) as journal:
        engine = box(journal)

        def append(fleet: Any, names: Any, run: str, given: Any, *more: Any) -> dict[str, Any]:
            late = [one for one in given if one.get("kind") == "committed"]
            return {"h1": UpliftError(f"h1: {REFUSED}another run")} if late else {}

        result = carried(engine, monkeypatch, append=append)
    assert (result.exit_code, result.run.outcome) == (Exit.HELD, "held")
    assert result.run.hosts["h2"] == "waiting"


@pytest.mark.parametrize("told", [True, False], ids=["ended", "killed"])
def test_what_a_killed_change_may_have_begun_is_not_called_as_before(
    told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {"before": {"h1": {"uv": "", "apps": {}}}, "lasting": {"h1": {"Run a script": ""}}}
    steps = [("ready", before), ("wave", {"wave": 1}), ("intent", {"host": "h1"})]
    if told:
        steps.append(("failed", {"host": "h1", "changed": []}))
    stopped = ("interrupted", {"reason": "change_failed", "words": "h1: bad"})
    with begun(tmp_path, *steps, stopped) as journal:
        engine = box(journal, on_failure="revert-fleet")
        engine.fleet.each = lambda step: {"h1": ()}  # type: ignore[method-assign,assignment]
        result = carried(engine, monkeypatch)
    assert result.exit_code is (Exit.FAILED if told else Exit.HELD)
    words = "Run a script: may have begun, and has no way back"
    assert result.run.words == ({} if told else {"h1": words})
    console = Console(width=200)
    with console.capture() as shown:
        console.print(table(result))
    assert (words in shown.get()) is not told


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        (["Docker"], "Docker: failed, and may have changed something: it restarts what runs"),
        (["Run a script"], "Run a script: failed, and may have changed something: has no way back"),
        (["uv"], None),
    ],
)
def test_what_failed_halfway_and_has_no_way_back_is_not_called_as_before(
    failed: list[str], said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lasting = {"Docker": "it restarts what runs", "Run a script": ""}
    before = {"before": {"h1": {"uv": "", "apps": {}}}, "lasting": {"h1": lasting}}
    steps = [("ready", before), ("wave", {"wave": 1}), ("intent", {"host": "h1"})]
    with begun(tmp_path, *steps) as journal:
        engine = box(journal, on_failure="revert-fleet")
        one = HostOutcome("h1", State.FAILED, failed[0], "bad", failed=tuple(failed))
        waves._record(engine, ["h1"], Outcome({"h1": one}, 1, 0.0))
        journal.write("interrupted", reason="change_failed", words="h1: bad")
        engine.fleet.each = lambda step: {"h1": ()}  # type: ignore[method-assign,assignment]
        result = carried(engine, monkeypatch)
    assert result.exit_code is (Exit.HELD if said else Exit.FAILED)
    assert result.run.hosts["h1"] == ("not-reverted" if said else "reverted")
    assert result.run.words == ({"h1": said} if said else {"h1": "uv: bad"})


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ("", "0.13.8", "uv: there was none of uplift's before, 0.13.8 stays"),
        ("0.13.7", "0.13.8", "uv 0.13.8, not 0.13.7"),
        ("0.13.7", "", "uv none, not 0.13.7"),
        ("0.13.8", "0.13.8", ""),
        ("", "", ""),
    ],
)
def test_a_uv_that_is_not_the_one_before_is_named(before: str, now: str, said: str) -> None:
    found = revert._differences({"uv": before, "apps": {}}, {"uv": now, "apps": {}})
    assert found == said


def test_the_last_table_has_one_line_of_a_failure_and_all_that_stays(tmp_path: Path) -> None:
    failed = ("failed", {"host": "h1", "words": "uv: exit code 1\nlong output"})
    stays = ("not-reverted", {"host": "h2", "words": "Docker: stays;\ntools: stay"})
    with begun(tmp_path, failed, stays) as journal:
        made = table(ends.Result(journal.run, {}))
    console = Console(width=200)
    with console.capture() as shown:
        console.print(made)
    assert "uv: exit code 1" in shown.get()
    assert "long output" not in shown.get()
    assert "Docker: stays; tools: stay" in shown.get()


APPS = {"console": {"image": "registry:5000/console:2.0.0-uv", "digest": "sha256:1"}}
TOLD = (
    ("wave", {"wave": 1, "hosts": ["h1"]}),
    ("intent", {"host": "h1"}),
    ("done", {"host": "h1", "changed": ["uv", "Run [x]"], "lines": ["uv: 0.13.7 -> 0.13.8"]}),
    (
        "gate",
        {
            "wave": 1,
            "new": [],
            "old": [{"host": "h1", "subject": "uv", "test": "test_old", "message": "no"}],
            "mended": [],
            "flaky": [{"host": "h1", "subject": "uv", "test": "test_slow", "message": "late"}],
        },
    ),
    ("wave", {"wave": 2, "hosts": ["h2"]}),
    ("intent", {"host": "h2"}),
    ("done", {"host": "h2", "changed": ["uv"]}),
)


def test_at_the_end_operations_that_changed_something_and_what_gates_found_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written: list[Mapping[str, Any]] = []

    def append(fleet: Any, names: Any, file: str, given: Any, *more: Any) -> dict[str, UpliftError]:
        written.extend(given)
        return {}

    serves = {"h1": {"uv": "0.13.8", "apps": APPS}, "h2": UpliftError("h2: no answer")}
    with begun(Path(".uplift"), *TOLD) as journal:
        engine = box(journal)
        monkeypatch.setattr("uplift.rollout.marks.append", append)
        monkeypatch.setattr(engine, "serving", lambda: serves)
        result = ends.end(engine, "held", Exit.HELD, "enough")
    assert show(result, want_json=False) is Exit.HELD
    gate = {"new": [], "old": 1, "mended": 0, "flaky": ["h1 uv: test_slow"]}
    (ledger,) = written
    assert (ledger["gate"], ledger["changed"]) == (
        {"1": gate},
        {"h1": ["uv", "Run [x]"], "h2": ["uv"]},
    )
    plain = {"h1": serves["h1"], "h2": {"error": "h2: no answer"}}
    assert ledger["serving"] == plain
    assert set(ledger["took"]) == {"h1", "h2"}
    (told,) = [one for one in records(journal.folder) if one["kind"] == "ended"]
    assert told["serving"] == plain
    printed = capsys.readouterr().out
    for words in (
        "changed by uv: h1, h2",
        "changed by Run [x]: h1",
        "gate of wave 1: 0 new, 1 old, 0 mended, 1 flaky",
        "flaky: h1 uv: test_slow",
        "console 2.0.0-uv, uv 0.13.8",
    ):
        assert words in printed
    # The same is told of it later.
    assert main.run(["show", "last"]) == 0
    later = capsys.readouterr().out
    assert all(line in later for line in printed.splitlines())
    assert "h1  done (2 changed: uv, Run [x])" in later
    assert "uv: 0.13.7 -> 0.13.8" in later
    assert main.run(["history", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["gate"], listed["serving"]) == ({"1": gate}, plain)
    assert listed["changed"] == ledger["changed"]


@pytest.mark.parametrize("want_json", [True, False])
def test_the_exit_code_stays_that_of_the_run_where_nobody_reads_any_more(want_json: bool) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = (
        "from uplift.cli import main, rollout\n"
        "from uplift.rollout.ends import Result\n"
        "from uplift.spec.rollout.journal import Run\n"
        "held = Result(Run(id='r1', outcome='held', exit_code=130), {}, 'interrupted')\n"
        f"main.run = lambda: rollout.shown(held, {want_json})\n"
        "main.main()\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=writing, stderr=writing, check=False
        )
    finally:
        os.close(writing)
    assert done.returncode == Exit.INTERRUPTED


def test_a_run_is_not_resumed_without_its_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "fingerprint", lambda *given: "same")
    hosts = [InventoryHost("h1"), InventoryHost("h2")]
    monkeypatch.setattr(runs.inventories, "hosts", lambda *given: hosts)
    policy = Policy(gate=("tests/verify",)).model_dump(mode="json")
    with Journal.begin({**REQUEST, "policy": policy}, lambda record: None) as journal:
        journal.write("ended", outcome="held", exit_code=3, words="")
    with pytest.raises(UsageError, match="tests/verify: there are no such tests"):
        runs.resume("last", lambda record: None)
    assert runs.Journal.open("last", lambda record: None).run.outcome == "held"


def test_hosts_of_a_resumed_plan_are_held_against_it_once_more_before_their_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path, *FIRST[:1]) as journal:
        engine = box(journal)
        engine.plan = SimpleNamespace(hosts=())  # type: ignore[assignment]
        seen: list[Sequence[str]] = []
        monkeypatch.setattr(engine, "look", lambda hosts, name: seen.append(hosts) or ())
        assert carried(engine, monkeypatch).exit_code is Exit.DONE
    assert seen == [["h1"], ["h2"]]


def planned(engine: Box, monkeypatch: pytest.MonkeyPatch, **found: HostOutcome) -> None:
    """Let the run carry out a plan, for which one read was seen; hosts are found so now."""
    seen = {"uv.Installed": Read(fact="uv.Installed", parts={"uv": "f1"})}
    hosts = tuple(HostPlan(name=name, state="changes", reads=seen) for name in ("h1", "h2"))
    engine.plan = Plan(uplift="", made="", by="", inventory="", deploys=(), hosts=hosts)

    def look(*given: Any, **more: Any) -> tuple[Outcome, tuple[HostPlan, ...]]:
        good = {"uv.Installed": {"uv": "f1"}}
        every = {
            name: found.get(name, HostOutcome(name, State.OK, parts=good)) for name in given[2]
        }
        plans = (
            HostPlan(name=name, state="unchanged" if one.ok else "failed", text=one.text)
            for name, one in every.items()
        )
        return Outcome(every, 0, 0.0), tuple(plans)

    monkeypatch.setattr("uplift.rollout.engine.look", look)


UNREAD = HostOutcome("h2", State.FAILED, "uv", "uv: Installed could not be read: sudo: a password")


@pytest.mark.parametrize(
    ("policy", "code", "outcome", "back"),
    [
        ({}, Exit.HELD, "held", []),
        ({"on_failure": "revert-fleet"}, Exit.FAILED, "reverted", [["h1"]]),
        ({"budget": {"change_failed": 1}}, Exit.HELD, "held", []),
    ],
    ids=["hold", "revert", "budget"],
)
def test_a_host_that_cannot_be_read_before_its_wave_has_failed_and_has_not_moved(
    policy: dict[str, Any],
    code: Exit,
    outcome: str,
    back: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with begun(tmp_path, *FIRST) as journal:
        engine = box(journal, **policy)
        engine.fleet.each = lambda step: {"h1": ()}  # type: ignore[method-assign,assignment]
        planned(engine, monkeypatch, h2=UNREAD)
        result = carried(engine, monkeypatch)
    assert (result.exit_code, result.run.outcome, engine.back) == (code, outcome, back)
    assert result.run.hosts["h2"] == "failed"
    assert result.run.words["h2"] == UNREAD.text
    # Nothing was begun on it, and nothing of it has to be put back.
    assert "h2" not in result.run.touched
    assert "intent" not in {
        one["kind"] for one in records(journal.folder) if one.get("host") == "h2"
    }


def test_what_cannot_be_read_is_told_beside_what_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path) as journal:
        engine = box(journal)
        moved = HostOutcome("h1", State.OK, parts={"uv.Installed": {"uv": "f2"}})
        planned(engine, monkeypatch, h1=moved, h2=UNREAD)
        with pytest.raises(Stop) as stopped:
            engine.look(["h1", "h2"], "ready")
    assert stopped.value.kind == "stale"
    first, *moved = stopped.value.words.splitlines()
    assert first == "not as the plan saw it any more: plan again"
    assert moved == ["h1: uv.Installed: uv", f"h2: {UNREAD.text}"]


def test_a_host_that_was_lost_when_the_plan_was_made_is_not_changed_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path) as journal:
        engine = box(journal)
        planned(engine, monkeypatch)
        assert engine.plan is not None
        lost = HostPlan(name="h2", state="unreachable", text="no route")
        engine.plan = engine.plan.model_copy(update={"hosts": (engine.plan.hosts[0], lost)})

        with pytest.raises(Stop) as stopped:
            engine.look(["h1", "h2"], "ready")
        assert stopped.value.kind == "stale"
        assert "h2 was unreachable when the plan was made (no route)" in stopped.value.words
        # Lost still, and left out as somebody wanted: the others go on.
        engine.look(["h1"], "ready")


def test_who_is_refused_by_a_lock_when_it_looks_has_lost_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path, *FIRST) as journal:
        engine = box(journal, on_failure="revert-fleet")
        planned(engine, monkeypatch, h2=HostOutcome("h2", State.REFUSED, "uv", "run r2 has it"))
        result = carried(engine, monkeypatch)
    assert (result.exit_code, engine.back) == (Exit.HELD, [])
    assert result.stopped == "h2: run r2 has it"


def test_where_every_host_of_a_wave_has_failed_nobody_says_that_the_gate_is_good(
    tmp_path: Path,
) -> None:
    with begun(tmp_path) as journal:
        engine = box(journal, gate=["tests/verify"])
        assert waves._judge(engine, 1, [], (), "after") == []
        assert [one["kind"] for one in records(journal.folder)] == ["begun"]


def marked(
    engine: Box, monkeypatch: pytest.MonkeyPatch, **wrong: UpliftError
) -> list[tuple[tuple[str, ...], list[str]]]:
    """Let hosts take records; return who got which in one command. Some can take none."""
    found: list[tuple[tuple[str, ...], list[str]]] = []

    def append(fleet: Any, names: Sequence[str], file: str, *given: Any) -> dict[str, UpliftError]:
        if file != "ledger":
            lines = given[0] if isinstance(given[0], list) else [given[0]]
            found.append((tuple(names), [one["kind"] for one in lines]))
        return {name: error for name, error in wrong.items() if name in names}

    monkeypatch.setattr("uplift.rollout.marks.append", append)
    return found


@pytest.mark.parametrize(
    ("bake", "marks"),
    [(0, [["verified", "committed"]]), (1, [["verified"], ["committed"]])],
    ids=["no bake", "bake"],
)
def test_hosts_are_told_that_they_are_verified_before_they_bake(
    bake: int, marks: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path) as journal:
        engine = box(journal, bake=bake, gate=["tests"])
        found = marked(engine, monkeypatch)
        monkeypatch.setattr(engine.gate, "failures", lambda *given: ())
        monkeypatch.setattr("uplift.rollout.waves.BAKE_PAUSE", 0.1)
        waves._wave(engine, 1, ["h1"])
    assert [kinds for _, kinds in found] == [["intent"], ["done"], *marks]
    kinds = [one["kind"] for one in records(journal.folder)]
    first = kinds.index("gate")
    assert kinds[first + 1] == "verified"
    assert kinds[-1] == "committed"
    assert ("gate" in kinds[first + 1 :]) is bool(bake)


def test_a_wave_that_was_killed_while_it_baked_is_done_again_and_told_of_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = (("done", {"host": "h1", "changed": []}), ("verified", {"host": "h1"}))
    with begun(tmp_path, *FIRST[:3], *killed) as journal:
        journal.write("resumed", by="me")
        engine = box(journal, bake=0)
        result = carried(engine, monkeypatch)
        told = [(one["kind"], one.get("host")) for one in records(journal.folder)]
    assert result.exit_code is Exit.DONE
    resumed = told.index(("resumed", None))
    steps = ("intent", "done", "verified", "committed")
    found = [kind for kind, host in told[resumed:] if host == "h1"]
    assert found == list(steps)
    assert set(result.run.hosts.values()) == {"committed"}


def lost(name: str) -> Unreachable:
    return Unreachable(name, Reason.LOST, "the connection broke")


FULL = UpliftError("h1: no record could be written: No space left on device")


@pytest.mark.parametrize(
    ("error", "step"), [(FULL, "failed"), (lost("h1"), "unreachable")], ids=["full", "lost"]
)
@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_a_host_that_cannot_take_the_intent_is_not_changed(
    error: UpliftError, step: str, again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = (("intent", {"host": "h1"}), ("failed", {"host": "h1", "changed": []}))
    with begun(tmp_path, *(earlier if again else ())) as journal:
        journal.write("resumed", by="me")
        engine = box(journal, budget={"change_failed": 1, "unreachable": 1}, waves=["2"])
        changed: list[str] = []
        monkeypatch.setattr(
            engine, "apply", lambda hosts, *given, **more: changed.extend(hosts) or good(hosts)
        )
        marked(engine, monkeypatch, h1=error)
        waves._wave(engine, 1, ["h1", "h2"])
    assert changed == ["h2"]
    run = engine.run
    assert (run.hosts, run.words) == ({"h1": step, "h2": "committed"}, {"h1": str(error)})
    # What an earlier attempt may have changed is still to be put back.
    assert ("h1" in run.touched) is again


def good(hosts: Sequence[str]) -> Outcome:
    return Outcome({name: HostOutcome(name, State.OK) for name in hosts}, 0, 0.0)


def test_where_no_host_can_take_the_intent_nothing_is_run_and_nothing_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path) as journal:
        engine = box(journal, on_failure="revert-fleet")
        monkeypatch.setattr(engine, "apply", lambda *given, **more: pytest.fail("changed"))
        marked(engine, monkeypatch, h1=FULL)
        with pytest.raises(Stop) as stopped:
            waves._wave(engine, 1, ["h1"])
        assert ends._answer(engine, stopped.value) == ("refused", Exit.FAILED)
    assert stopped.value.kind == "change_failed"


def test_who_may_not_write_the_intent_has_lost_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path) as journal:
        engine = box(journal)
        refused = UpliftError(f"h1: no record could be written: {REFUSED}run r2 has it")
        marked(engine, monkeypatch, h1=refused)
        monkeypatch.setattr(engine, "apply", lambda *given, **more: pytest.fail("changed"))
        with pytest.raises(Stop, match="r2 has it") as stopped:
            waves._wave(engine, 1, ["h1"])
    assert stopped.value.kind == "lock-lost"


@pytest.mark.parametrize(("allowed", "done"), [(0, 1), (1, 2)])
def test_hosts_that_fail_their_gate_stop_the_waves_when_they_are_more_than_its_budget(
    allowed: int, done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path) as journal:
        engine = box(journal, gate=["tests/verify"], budget={"gate_failed": allowed})
        monkeypatch.setattr(engine.gate, "failures", lambda *given: ())
        bad = {name: Failure(name, "app", "test_it") for name in journal.run.hosts}
        monkeypatch.setattr(
            engine.gate,
            "compared",
            lambda hosts, before, name: Comparison(new=tuple(bad[one] for one in hosts)),
        )
        result = carried(engine, monkeypatch)
    assert (result.exit_code, result.run.outcome) == (Exit.HELD, "held")
    assert list(result.run.at("rejected")) == ["h1", "h2"][:done]
    told = "; ".join(f"{name}: {name} app: test_it" for name in ("h1", "h2")[:done])
    assert result.stopped == told
    assert "committed" not in result.run.hosts.values()


def test_a_host_says_which_folder_has_no_room() -> None:
    def looked(need: int) -> list[str]:
        words = ["sh", "-c", _LOOK, "sh", str(need)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()

    assert not [line for line in looked(1) if line.startswith("/var/lib has ")]
    (line,) = [line for line in looked(10**12) if line.startswith("/var/lib has ")]
    assert line.endswith(" MiB free, 976562500 are needed")


def test_many_hosts_take_as_many_steps_each_as_few_and_no_more_commands_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(count: int) -> tuple[int, int, int]:
        names = [f"h{number}" for number in range(count)]
        request = {**REQUEST, "waves": [names[:1], names[1:5], names[5:]]}
        request["policy"] = Policy().model_dump(mode="json")
        synced: list[int] = []
        asked: list[object] = []
        monkeypatch.setattr("os.fsync", synced.append)
        with Journal.begin(request, lambda record: None, tmp_path / f"{count}") as journal:
            engine = box(journal)
            monkeypatch.setattr(
                "uplift.rollout.marks.append", lambda *given: asked.append(given) or {}
            )
            waves.carry_out(engine)
        return len(synced), len(list(records(journal.folder))), len(asked)

    few, many = counted(20), counted(200)
    # A record for each step of a host; on the disk one by one are those alone that end a change.
    assert many[1] - few[1] == 180 * len(("intent", "done", "verified", "committed"))
    assert many[0] - few[0] == 180
    # In parallel on the hosts of a wave.
    assert many[2] == few[2]
