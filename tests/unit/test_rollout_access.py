"""Who may begin a run, go on with it or end it, and what is told of those who may not."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from uplift.cli.main import run as uplift
from uplift.remote.inventory import InventoryHost
from uplift.rollout import access
from uplift.rollout.access import Attempt, LostError, StaleError, connected
from uplift.rollout.journal import Journal, records
from uplift.spec.errors import Exit, UpliftError
from uplift.spec.rollout import Policy
from uplift.spec.rollout.journal import Run

HOSTS = ("h1", "h2", "h3")


class TakenError(UpliftError):
    """Stand for a lock of somebody else."""

    exit_code = Exit.LOCKED


class Hosts:
    """Connections to hosts, of which some are lost."""

    lost: Mapping[str, UpliftError]

    def __init__(self, hosts: list[InventoryHost]) -> None:
        self.connections = {host.name: None for host in hosts}
        self.unreachable = {name: self.lost[name] for name in self.connections if name in self.lost}

    def __enter__(self) -> Hosts:
        return self

    def __exit__(self, *given: object) -> None:
        """Leave nothing behind."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """The hosts of a run: which are lost, who has locks, which runs came later."""
    found = SimpleNamespace(taken=None, later={}, given_back=0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Hosts, "lost", {}, raising=False)

    def take(*given: Any, **more: Any) -> Any:
        if found.taken:
            raise TakenError(found.taken)
        lost = threading.Event()
        return SimpleNamespace(
            token=7, lost=lost, start=lambda: None, release=release, **{"shell": "sh"}
        )

    def release() -> Mapping[str, str]:
        found.given_back += 1
        return {}

    monkeypatch.setattr(access, "Fleet", Hosts)
    monkeypatch.setattr(access.Lock, "take", take)
    monkeypatch.setattr(access.marks, "later", lambda fleet, run: found.later)
    monkeypatch.setattr(access, "person", lambda: "kim@desk")

    def lose(*names: str) -> None:
        monkeypatch.setattr(Hosts, "lost", {name: UpliftError(f"{name}: gone") for name in names})

    found.lose = lose
    return found


def begun(*steps: tuple[str, dict[str, Any]], **policy: Any) -> Journal:
    """A run over three hosts with some records."""
    request = {
        "waves": [[name] for name in HOSTS],
        "inventory": "i.py",
        "deploys": ["d.py"],
        "actor": "me",
        "policy": Policy.parse(policy, path="rollout").model_dump(mode="json"),
    }
    journal = Journal.begin(request, lambda record: None)
    for kind, facts in steps:
        journal.write(kind, **facts)  # type: ignore[arg-type]
    return journal


COMMITTED = [("intent", {"host": "h1"}), ("committed", {"host": "h1"})]
HELD = [*COMMITTED, ("ended", {"outcome": "held", "exit_code": 3})]


def tried(journal: Journal, attempt: Attempt = "resume") -> Run:
    """Come as far as the engine."""
    hosts = [InventoryHost(name) for name in HOSTS]
    with connected(journal, hosts, lambda record: None, attempt) as engine:
        return engine.run


def kinds(journal: Journal) -> list[str]:
    return [one["kind"] for one in records(journal.folder)]


@pytest.mark.parametrize("touched", [True, False])
@pytest.mark.parametrize(("attempt", "what"), [("resume", "resume"), ("leave", "abort")])
def test_a_run_that_may_not_go_on_stays_as_it_is_and_its_history_says_so(
    touched: bool,
    attempt: Attempt,
    what: str,
    world: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = ("ended", {"outcome": "held", "exit_code": 3})
    world.taken = "h2: locked by run r9 of ann@there"
    with begun(*(HELD if touched else [ended])) as journal:
        before = journal.run
        with pytest.raises(TakenError):
            tried(journal, attempt)
        after = journal.run
    assert (after.outcome, after.exit_code, after.last) == ("held", 3, before.last)
    assert not after.over
    assert after.denied["what"] == what
    assert uplift(["history", "--json"]) == Exit.DONE
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["outcome"], told["denied"]["exit_code"]) == ("held", 4)
    assert uplift(["show", "last"]) == Exit.DONE
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{what} refused for kim@desk (exit code 4): h2: locked by run r9" in shown
    assert "held (exit code 3)" in shown
    assert uplift(["history"]) == Exit.DONE
    assert f"{what} refused" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_what_a_killed_run_was_doing_is_still_known_after_a_resume_that_was_refused(
    world: SimpleNamespace,
) -> None:
    stopped = ("interrupted", {"reason": "gate_failed", "words": "h1: bad"})
    lost = ("unreachable", {"host": "h2", "words": "gone"})
    world.taken = "h2: locked by run r9"
    with begun(*COMMITTED, lost, stopped) as journal:
        with pytest.raises(TakenError):
            tried(journal)
        assert journal.run.stopped == ("gate_failed", "h1: bad")
        assert journal.run.hosts["h2"] == "unreachable"
        world.taken = None
        found = tried(journal)
    assert (found.denied, found.stopped) == ({}, ("gate_failed", "h1: bad"))
    assert found.hosts["h2"] == "waiting"


def test_a_run_that_other_runs_have_overtaken_is_not_told_of_as_going_on(
    world: SimpleNamespace,
) -> None:
    world.later = {"h1": ("r9",)}
    for attempt in ("resume", "revert"):
        with begun(*HELD) as journal:
            with pytest.raises(StaleError, match="h1: r9"):
                tried(journal, attempt)  # type: ignore[arg-type]
            assert journal.run.outcome == "held"
            assert "resumed" not in kinds(journal)
    assert world.given_back == 2


def test_a_run_that_could_not_begin_has_ended(world: SimpleNamespace) -> None:
    world.taken = "h2: locked by run r9"
    with begun() as journal:
        with pytest.raises(TakenError):
            tried(journal, "begin")
        assert (journal.run.outcome, journal.run.exit_code) == ("refused", 4)


def test_a_lost_host_that_is_done_costs_a_resumed_run_no_budget(world: SimpleNamespace) -> None:
    world.lose("h1")
    with begun(*HELD) as journal:
        assert tried(journal).hosts["h1"] == "committed"
    world.lose("h1", "h2")
    with begun(*HELD, budget={"unreachable": 1}) as journal:
        assert tried(journal).at("unreachable") == ("h2",)
        assert kinds(journal)[-3:] == ["resumed", "unreachable", "locked"]


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        ("resume", "the run was not resumed, hosts cannot be reached:\nh1: gone\nh2: gone"),
        ("revert", "nothing was put back, hosts cannot be reached:\nh1: gone\nh2: gone"),
        ("begin", "nothing was begun, hosts cannot be reached:\nh1: gone\nh2: gone"),
    ],
)
def test_too_many_lost_hosts_are_told_in_the_words_of_what_was_wanted(
    attempt: Attempt, words: str, world: SimpleNamespace
) -> None:
    world.lose("h1", "h2")
    with begun(*(() if attempt == "begin" else HELD)) as journal:
        with pytest.raises(LostError) as lost:
            tried(journal, attempt)
        assert str(lost.value) == words
        assert journal.run.outcome == ("refused" if attempt == "begin" else "held")


@pytest.mark.parametrize(
    ("policy", "lost", "goes_on"),
    [
        ({}, ["h1"], False),
        ({"budget": {"unreachable": 1}}, ["h1"], True),
        ({"budget": {"unreachable": 1}}, ["h1", "h2"], False),
        ({"budget": {"unreachable": "34%"}}, ["h3"], True),
        ({"budget": {"unreachable": "33%"}}, ["h3"], False),
        ({"skip_unreachable": True}, ["h1", "h2"], True),
        # Where nobody is there, no budget makes a run of it.
        ({"budget": {"unreachable": "100%"}}, [*HOSTS], False),
        ({"skip_unreachable": True}, [*HOSTS], False),
    ],
)
def test_a_run_begins_without_as_many_hosts_as_its_budget_allows(
    policy: dict[str, Any], lost: list[str], goes_on: bool, world: SimpleNamespace
) -> None:
    world.lose(*lost)
    with begun(**policy) as journal:
        if goes_on:
            found = tried(journal, "begin")
            assert found.at("unreachable") == tuple(lost)
            assert [found.words[name] for name in lost] == [f"{name}: gone" for name in lost]
            assert found.outcome == ""
        else:
            with pytest.raises(LostError):
                tried(journal, "begin")
            assert (journal.run.outcome, journal.run.exit_code) == ("refused", Exit.HELD)


def test_to_put_hosts_back_one_that_is_done_is_needed_as_well(world: SimpleNamespace) -> None:
    world.lose("h1")
    with begun(*HELD) as journal, pytest.raises(LostError):
        tried(journal, "revert")


@pytest.mark.parametrize(("reason", "code"), [("unreachable", 3), ("locked", 4)])
def test_hooks_are_told_of_a_run_that_could_not_begin_but_not_of_one_that_may_not_go_on(
    reason: str, code: int, world: SimpleNamespace
) -> None:
    there = [{"at": at, "run": ["tee", "-a", "told"]} for at in ("start", "failure", "end")]
    if reason == "locked":
        world.taken = "h2: locked by run r9 of ann@there"
    else:
        world.lose("h2")
    with begun(hooks=there) as journal:
        with pytest.raises(UpliftError):
            tried(journal, "begin")
        told = Path("told").read_text().replace("}{", "}\n{").splitlines()
        failure, end = map(json.loads, told)
        assert (failure["moment"], failure["reason"], end["moment"]) == ("failure", reason, "end")
        assert "h2: " in failure["words"]
        assert (end["outcome"], end["exit_code"], end["run"]) == ("refused", code, journal.run.id)
        assert set(end["hosts"].values()) == {"waiting"}
    Path("told").unlink()
    with begun(*HELD, hooks=there) as journal, pytest.raises(UpliftError):
        tried(journal)
    assert not Path("told").exists()
