"""Rollouts: waves, budgets, gates that compare, and what a journal tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.spec.errors import SettingsError, UsageError
from uplift.spec.rollout import Policy
from uplift.spec.rollout.budget import Budget
from uplift.spec.rollout.gate import Failure, compared, failures, summary
from uplift.spec.rollout.journal import FORMAT, KINDS, Run, TornError, replayed
from uplift.spec.rollout.waves import divided


@dataclass(frozen=True)
class Host:
    """A host of an inventory."""

    name: str
    groups: tuple[str, ...] = ()


def fleet(count: int) -> list[Host]:
    """Hosts h1, h2, …; the first is of the group databases, the others of apps."""
    return [Host(f"h{n}", ("databases",) if n == 1 else ("apps",)) for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        (["1", "25%", "100%"], [1, 3, 6]),
        (["1"], [1] * 10),
        (["3"], [3, 3, 3, 1]),
        (["25%"], [3, 3, 3, 1]),
        (["1%", "100%"], [1, 9]),
        (["100%"], [10]),
        (["databases", "1", "100%"], [1, 1, 8]),
        (["h5", "100%"], [1, 9]),
        (["databases", "apps:50%", "apps"], [1, 5, 4]),
        (["h[23]", "databases", "apps"], [2, 1, 7]),
    ],
)
def test_waves_have_the_sizes_that_words_say(words: list[str], sizes: list[int]) -> None:
    assert [len(wave) for wave in divided(fleet(10), words)] == sizes


sizes_of_waves = st.one_of(
    st.integers(1, 40).map(str), st.integers(1, 100).map(lambda number: f"{number}%")
)


@given(st.integers(1, 60), st.lists(sizes_of_waves, min_size=1, max_size=5))
def test_every_host_is_in_one_wave_and_the_order_stays(count: int, words: list[str]) -> None:
    hosts = fleet(count)
    waves = divided(hosts, words)
    assert [name for wave in waves for name in wave] == [host.name for host in hosts]
    assert all(waves)
    assert divided(hosts, words) == waves


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "name at least one"),
        (["app"], "did you mean 'apps'?"),
        (["0"], "no size"),
        (["150%"], "more than all hosts"),
        (["apps:150%"], "more than all hosts"),
        (["databases"], "h2, h3: in no wave; end the list with a size"),
        (["apps:1"], "h1, h3: in no wave"),
    ],
)
def test_waves_that_are_none_are_refused_with_the_reason(words: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason.replace("?", r"\?")):
        divided(fleet(3), words)


def test_percent_is_of_the_selected_hosts_and_at_least_one() -> None:
    assert [len(wave) for wave in divided(fleet(3), ["1%", "50%"])] == [1, 2]


@pytest.mark.parametrize(
    ("share", "failed", "total", "fits"),
    [
        ("0", 0, 5, True),
        ("0", 1, 5, False),
        ("2", 2, 5, True),
        ("10%", 1, 9, False),
        ("10%", 1, 10, True),
        ("10%", 2, 19, False),
    ],
)
def test_a_budget_is_a_number_or_percent_rounded_down(
    share: str, failed: int, total: int, fits: bool
) -> None:
    budget = Budget.parse({"unreachable": share}, path="budget")
    assert budget.allows("unreachable", failed, total) is fits


def test_one_wave_may_be_written_as_its_number() -> None:
    assert Policy.parse({"waves": 1}, path="rollout").waves == ("1",)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({"wave": ["1"]}, "did you mean 'waves'?"),
        ({"on_failure": "revert"}, "on_failure"),
        ({"bake": "a while"}, "length of time"),
        ({"bake": "infinite"}, "that ends"),
        ({"budget": {"unreachable": "some"}}, "number of hosts"),
        ({"budget": {"slow": 1}}, "unknown key"),
        ({"hooks": [{"at": "end"}]}, "either `run` or `url`"),
        ({"hooks": [{"at": "end", "run": ["true"], "required": True}]}, "only at start"),
        ({"hooks": [{"at": "end", "run": ["true"], "timeout": 0}]}, "at least 1s"),
        ({"hooks": [{"at": "end", "url": "ftp://hooks.example.com/"}]}, "http://"),
        ({"hooks": [{"at": "end", "url": "https://me:word@hooks.example.com/"}]}, "secret("),
        ({"hooks": [{"at": "end", "url": "https://[::1/"}]}, "http://"),
        ({"pause_after": [0]}, "greater than or equal to 1"),
        ({"lease": "3s"}, "rollout.lease: a length of time of at least 10s"),
        ({"bake": "soon"}, "that ends, as '30s'"),
        ([], "rollout: keys with their values belong here; found list"),
    ],
)
def test_a_wrong_policy_is_refused_with_key_and_remedy(block: Any, reason: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Policy.parse(block, path="rollout", source="group_data/all.py")
    assert reason in str(refused.value)
    assert "group_data/all.py: rollout" in str(refused.value)


def test_the_command_line_comes_before_the_settings() -> None:
    policy = Policy.parse({"waves": "2,100%", "bake": "5m", "pause_after": [1]}, path="rollout")
    other = policy.but(waves="1", bake=None, on_failure="revert-wave")
    assert (other.waves, other.bake, other.on_failure) == (("1",), 300, "revert-wave")
    assert other.pause_after == (1,)
    assert policy.waves == ("2", "100%")


def result(name: str, *failed: str, reachable: bool = True) -> dict[str, Any]:
    """Results of a host as a verification gives them."""
    return {
        "name": name,
        "reachable": reachable,
        "problem": "" if reachable else "no answer",
        "failures": [{"subject": "app", "test": test, "message": "boom\nmore"} for test in failed],
    }


def test_only_what_was_good_before_and_is_bad_now_is_new() -> None:
    before = failures([result("h1", "a", "b"), result("h2")])
    after = failures([result("h1", "b", "c"), result("h2", "b", "d")])
    again = failures([result("h1", "c"), result("h2", "b")])
    found = compared(before, after, again)
    assert [(one.host, one.test) for one in found.new] == [("h1", "c"), ("h2", "b")]
    assert [(one.host, one.test) for one in found.old] == [("h1", "b")]
    assert [(one.host, one.test) for one in found.mended] == [("h1", "a")]
    assert [(one.host, one.test) for one in found.flaky] == [("h2", "d")]


def test_a_host_that_is_lost_at_the_gate_is_a_failure_of_it() -> None:
    (found,) = failures([result("h1", reachable=False)])
    assert found.words == "h1 host: reachable: no answer"


tests = st.lists(
    st.builds(Failure, st.sampled_from("xy"), st.just("app"), st.sampled_from("abc")), unique=True
)


@given(tests, tests, st.none() | tests)
def test_every_failure_after_the_change_is_listed_once(
    before: list[Failure], after: list[Failure], again: list[Failure] | None
) -> None:
    found = compared(before, after, again)
    assert sorted([*found.new, *found.old, *found.flaky]) == sorted(after)
    assert not {one.key for one in found.new} & {one.key for one in before}


def records(*more: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of a run over three hosts in two waves."""
    request = {"waves": [["h1"], ["h2", "h3"]], "inventory": "i.py", "deploys": ["d.py"]}
    begun = {"kind": "begun", "format": FORMAT, "run": "r1", "request": request}
    return [
        {**record, "at": float(number)} for number, record in enumerate([begun, *more], start=1)
    ]


def test_a_journal_tells_how_far_each_host_is() -> None:
    bad = {"host": "h1", "subject": "uv", "test": "test_uv", "message": ""}
    run = replayed(
        records(
            {"kind": "locked", "token": 7},
            {"kind": "ready", "before": {"h1": {"console": "r0"}}},
            {"kind": "wave", "wave": 1},
            {"kind": "baseline", "hosts": ["h1"], "failures": [bad]},
            {"kind": "intent", "host": "h1"},
            {"kind": "done", "host": "h1", "changed": ["Applications"]},
            {"kind": "verified", "host": "h1"},
            {"kind": "committed", "host": "h1"},
            {"kind": "wave", "wave": 2},
            {"kind": "intent", "host": "h2"},
            {"kind": "failed", "host": "h2", "words": "Applications: exit code 1"},
        )
    )
    assert run.hosts == {"h1": "committed", "h2": "failed", "h3": "waiting"}
    assert (run.token, run.wave, run.baseline) == (7, 2, {"h1": [bad]})
    assert run.touched == ("h1", "h2")
    assert run.following({"kind": "reverted", "host": "h2", "at": 20.0}).touched == ("h1",)
    assert run.following({"kind": "unreachable", "host": "h3", "at": 20.0}).touched == run.touched
    assert run.words == {"h2": "Applications: exit code 1"}
    assert run.changed == {"h1": ["Applications"]}
    assert not run.over


def test_a_resumed_run_is_no_longer_ended() -> None:
    ended = records({"kind": "ended", "outcome": "held", "exit_code": 3})
    assert replayed(ended).exit_code == 3
    again = replayed([*ended, {"kind": "resumed", "at": 9.0}])
    assert (again.outcome, again.exit_code) == ("", None)


def test_no_host_is_called_lost_in_a_resumed_run_before_it_is_known_to_be() -> None:
    lost = [
        {"kind": "intent", "host": "h1"},
        {"kind": "unreachable", "host": "h1", "words": "no route"},
        {"kind": "unreachable", "host": "h2", "words": "no route"},
    ]
    run = replayed(records(*lost))
    assert run.at("unreachable") == ("h1", "h2")
    again = replayed(records(*lost, {"kind": "resumed"}))
    assert (again.at("unreachable"), again.tried) == ((), frozenset())
    # One of them may be half changed.
    assert again.hosts == {"h1": "intent", "h2": "waiting", "h3": "waiting"}
    assert again.touched == ("h1",)


def test_what_failed_in_an_earlier_attempt_has_not_been_tried_in_this_one() -> None:
    failed = [
        {"kind": "intent", "host": "h1"},
        {"kind": "failed", "host": "h1", "words": "uv: no space"},
        {"kind": "intent", "host": "h2"},
        {"kind": "unreachable", "host": "h2", "words": "no route"},
        {"kind": "resumed"},
    ]
    run = replayed(records(*failed))
    assert (run.at("failed"), run.at("intent")) == (("h1",), ("h2",))
    assert run.tried == frozenset()
    assert run.following({"kind": "intent", "host": "h1", "at": 9.0}).tried == {"h1"}


def test_a_host_that_is_changed_again_is_no_longer_told_of_with_its_earlier_failure() -> None:
    failed = {"kind": "failed", "host": "h1", "words": "uv: no space"}
    run = replayed(records(failed, {"kind": "resumed"}))
    assert run.words == {"h1": "uv: no space"}
    assert run.following({"kind": "intent", "host": "h1", "at": 9.0}).words == {}


def test_a_change_of_which_the_end_was_never_told_was_cut_short() -> None:
    intent = {"kind": "intent", "host": "h1"}
    run = replayed(records(intent, {"kind": "resumed"}, {"kind": "unreachable", "host": "h1"}))
    assert run.cut == {"h1"}
    for kind in ("done", "failed", "unreachable"):
        ended = {"kind": kind, "host": "h1", "changed": [], "at": 9.0}
        assert run.following(ended).cut == frozenset()
    assert run.following({"kind": "reverted", "host": "h1", "at": 9.0}).cut == frozenset()


def test_a_stop_that_the_run_went_on_from_is_not_answered_when_it_is_killed_later() -> None:
    run = replayed(
        records(
            {"kind": "interrupted", "reason": "not-ready", "words": "h1: disk full"},
            {"kind": "resumed"},
            {"kind": "wave", "wave": 1},
            {"kind": "intent", "host": "h1"},
            {"kind": "resumed"},
        )
    )
    assert run.stopped is None


def test_what_is_read_later_of_a_host_that_was_lost_is_added_to_what_is_known() -> None:
    run = replayed(
        records(
            {"kind": "ready", "before": {"h1": {"uv": "1"}}},
            {"kind": "baseline", "hosts": ["h1"], "failures": []},
            {"kind": "resumed"},
            {"kind": "ready", "before": {"h3": {"uv": "2"}}},
            {"kind": "baseline", "hosts": ["h3"], "failures": []},
        )
    )
    assert run.before == {"h1": {"uv": "1"}, "h3": {"uv": "2"}}
    assert run.baseline == {"h1": [], "h3": []}


def test_a_host_that_is_done_again_has_changed_what_it_changed_both_times() -> None:
    done = {"kind": "done", "host": "h1"}
    run = replayed(records({**done, "changed": ["a", "b"]}, {**done, "changed": ["b", "c"]}))
    assert run.changed == {"h1": ["a", "b", "c"]}


def test_a_run_that_was_killed_in_its_answer_to_a_failure_knows_what_failed() -> None:
    stopped = records({"kind": "interrupted", "reason": "gate_failed", "words": "h1: bad"})
    killed = replayed([*stopped, {"kind": "resumed", "at": 9.0}])
    assert killed.stopped == ("gate_failed", "h1: bad")
    held = [*stopped, {"kind": "ended", "outcome": "held", "exit_code": 3, "at": 8.0}]
    assert replayed([*held, {"kind": "resumed", "at": 9.0}]).stopped is None


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{"kind": "wave", "at": 1.0, "wave": 1}],
        [{"kind": "begun", "format": FORMAT + 1, "at": 1.0}],
        records({"kind": "jumped"}),
    ],
)
def test_what_is_no_journal_is_refused(lines: list[dict[str, Any]]) -> None:
    with pytest.raises(TornError):
        replayed(lines)


def test_every_kind_of_record_can_be_read() -> None:
    run = Run()
    for record in records(*({"kind": kind} for kind in KINDS if kind != "begun")):
        run = run.following(record)
    assert run.last == float(len(KINDS))


def flaky(host: str) -> dict[str, str]:
    return {"host": host, "subject": "app", "test": "test_it", "message": "slow"}


def gate(wave: int, **found: list[dict[str, str]]) -> dict[str, Any]:
    none: dict[str, Any] = {"new": [], "old": [], "mended": [], "flaky": []}
    return {"kind": "gate", "wave": wave, **none, **found}


def test_a_journal_tells_what_changed_what_gates_found_how_long_it_took_and_what_serves() -> None:
    serving = {"h1": {"uv": "0.13.8", "apps": {}}}
    told = records(
        {"kind": "wave", "wave": 1, "hosts": ["h1"]},
        {"kind": "intent", "host": "h1"},
        {"kind": "done", "host": "h1", "changed": ["uv"], "lines": ["uv: 0.13.7 -> 0.13.8"]},
        gate(1, flaky=[flaky("h1")], old=[flaky("h1")]),
        # Found again while it bakes.
        gate(1, flaky=[flaky("h1")]),
        {"kind": "ended", "outcome": "done", "exit_code": 0, "serving": serving},
    )
    told[3]["at"] = told[2]["at"] + 4.5
    run = replayed(told)
    assert run.lines == {"h1": ["uv: 0.13.7 -> 0.13.8"]}
    assert run.took == {"h1": 4.5}
    assert summary(run.gates) == {
        "1": {"new": [], "old": 1, "mended": 0, "flaky": ["h1 app: test_it"]}
    }
    assert run.serving == serving


def test_what_a_gate_found_on_hosts_that_are_changed_again_is_over() -> None:
    run = replayed(
        records(
            {"kind": "wave", "wave": 1, "hosts": ["h1", "h2"]},
            gate(1, new=[flaky("h1")], flaky=[flaky("h2")]),
            {"kind": "resumed", "by": "me"},
            {"kind": "wave", "wave": 1, "hosts": ["h1"]},
        )
    )
    told = {"1": {"new": [], "old": 0, "mended": 0, "flaky": ["h2 app: test_it"]}}
    assert summary(run.gates) == told
