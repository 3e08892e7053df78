"""Locks of hosts, the part without hosts: records, leases, tokens, and what people are told."""

from __future__ import annotations

import string
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.cli import lock as cli
from uplift.guard.lock import refused_by
from uplift.rollout import connector, fence
from uplift.rollout.lock import BusyError, LockedError, NotLockedError
from uplift.rollout.lock_hosts import look
from uplift.rollout.locks import Row
from uplift.spec.errors import Exit, UpliftError
from uplift.spec.rollout.lock import (
    NOW,
    Record,
    Seen,
    Standing,
    State,
    UnreadableError,
    cleaned,
    freed,
    gives_way,
    newer,
    next_token,
    parsed,
    read,
)
from uplift.spec.rollout.lock_words import clause, together, told

TIMES = st.integers(min_value=0, max_value=2**33)
WORDS = st.text(max_size=400)
RECORDS = st.builds(
    Record,
    token=st.integers(min_value=0, max_value=10**9),
    run=st.text(string.ascii_letters + string.digits + "-", max_size=30),
    owner=WORDS,
    purpose=WORDS,
    note=WORDS,
    state=st.sampled_from(State),
    taken=TIMES,
    beat=TIMES,
    lease=st.integers(min_value=0, max_value=3600),
    freed=WORDS,
)
HELD = Record(7, "r-7", "anna@box", "rollout of app.py", "wave 2 of 3", State.HELD, 900, 1000, 60)


def seen(record: Record, now: int = 1010, fence: int = 0) -> Seen:
    return Seen(record, fence or record.token, now, "d")


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    names = ("owner", "purpose", "note", "freed")
    plain = replace(record, **{name: cleaned(getattr(record, name)) for name in names})
    assert parsed(record.text()) == plain


@given(WORDS)
def test_no_text_of_a_person_makes_another_line_of_a_record(text: str) -> None:
    forged = replace(HELD, purpose=text, note=f"x\nstate released\nrun {text}")
    assert len(forged.text().splitlines()) == len(HELD.text().splitlines())
    assert parsed(forged.text()).state is State.HELD
    assert parsed(forged.text()).run == HELD.run


def test_the_host_puts_its_own_time_where_the_record_has_none() -> None:
    new = Record(token=1, run="r", state=State.TAKING, lease=60)
    assert f"\ntaken {NOW}\nbeat {NOW}\n" in new.text(NOW)
    assert f"\ntaken 900\nbeat {NOW}\n" in HELD.text(NOW)


@pytest.mark.parametrize("text", ["nonsense", "format 2\ntoken 1", "format 1\ntoken x", "format 1"])
def test_a_record_that_is_damaged_or_of_another_release_is_no_free_lock(text: str) -> None:
    with pytest.raises(UnreadableError, match="/var/lib/uplift/lock"):
        parsed(text)


@given(RECORDS, TIMES)
def test_a_lock_that_is_renewed_no_more_ends_with_its_lease_whatever_the_clock_does(
    record: Record, now: int
) -> None:
    left = record.left(now)
    assert 0 <= left <= record.lease
    if record.state is not State.MAINTENANCE:
        # However the clock was set: two leases after any moment the host is free.
        assert not record.locked(max(now, record.beat - record.lease) + 2 * record.lease)


@given(st.integers(min_value=10, max_value=3600), TIMES, st.data())
def test_a_lock_stands_for_its_lease_and_not_a_second_longer(
    lease: int, beat: int, data: st.DataObject
) -> None:
    record = replace(HELD, lease=lease, beat=beat)
    assert record.locked(beat + data.draw(st.integers(min_value=-lease, max_value=lease - 1)))
    assert record.standing(beat + lease) is Standing.OVER


@given(TIMES)
def test_a_hold_has_no_end(now: int) -> None:
    hold = replace(HELD, state=State.MAINTENANCE, lease=0)
    assert hold.locked(now)
    assert seen(hold, now).left is None


@given(st.lists(st.tuples(RECORDS, st.integers(min_value=0, max_value=10**9)), min_size=1))
def test_a_new_token_is_newer_than_any_that_a_host_has_known(
    found: list[tuple[Record, int]],
) -> None:
    hosts = [Seen(record, fence, 0, "") for record, fence in found]
    token = next_token(hosts)
    assert all(token > record.token and token > fence for record, fence in found)


def test_what_came_after_a_run_is_told_by_the_hosts_tokens_not_by_controllers_clocks() -> None:
    tokens = {"20260101T120000Z-ours": 7, "20260101T110000Z-late": 8, "20260101T130000Z-old": 6}
    assert newer(tokens, "20260101T120000Z-ours") == ("20260101T110000Z-late",)


def test_what_came_after_a_run_that_was_never_there_is_told_by_its_time() -> None:
    tokens = {"20260101T110000Z-before": 8, "20260101T130000Z-after": 9}
    assert newer(tokens, "20260101T120000Z-ours") == ("20260101T130000Z-after",)


@given(RECORDS, RECORDS)
def test_of_two_runs_that_take_their_locks_at_once_exactly_one_gives_way(
    one: Record, two: Record
) -> None:
    one, two = (replace(record, state=State.TAKING) for record in (one, two))
    if one.run != two.run:
        assert gives_way(one.run, two) != gives_way(two.run, one)


def test_a_run_gives_way_to_one_that_has_its_locks_and_to_itself() -> None:
    assert gives_way("r-1", HELD)
    assert gives_way("r-9", HELD)
    assert gives_way("r-7", replace(HELD, state=State.TAKING))


def test_a_lock_that_was_freed_is_no_longer_the_runs() -> None:
    assert HELD.of("r-7", 7)
    assert not HELD.of("r-7", 6)
    assert not freed(HELD, "bob@box", 8).of("r-7", 7)


def test_what_a_host_prints_is_read() -> None:
    output = f"now 1010\ndigest abc\nfence 9 run x has the host now\nrecord\n{HELD.text()}"
    found = read(output)
    assert (found.record, found.fence, found.token, found.left) == (HELD, 9, 9, 50)


@pytest.mark.parametrize("line", ["fence ", "fence garbage", "fence -3 x"])
def test_a_fence_that_is_empty_or_damaged_leaves_the_token_of_the_record(line: str) -> None:
    found = read(f"now 1010\ndigest abc\n{line}\nrecord\n{HELD.text()}")
    assert found.token == 7


def test_a_host_that_never_had_a_lock_is_free() -> None:
    found = read("now 1010\ndigest abc\nfence \nrecord")
    assert (found.standing, found.token, told(found)) == (Standing.FREE, 0, "free")


def test_who_is_refused_reads_who_since_when_how_far_and_how_long() -> None:
    text = told(seen(HELD))
    for part in ("r-7", "anna@box", "rollout of app.py", "00:15:00 UTC", "wave 2 of 3", "50 s"):
        assert part in text


def test_hosts_of_one_run_are_told_in_one_line() -> None:
    hosts = {f"h{number}": seen(HELD) for number in range(20)} | {"x": seen(freed(HELD, "b", 8))}
    lines = together(hosts)
    assert len(lines) == 2
    assert lines[0].startswith("h0, h1, h2, h3, h4, h5, h6, h7 and 12 more: run r-7")


def test_a_hold_is_told_with_its_message() -> None:
    hold = replace(HELD, run="hold-1", state=State.MAINTENANCE, purpose="new disk")
    assert "maintenance by anna@box" in told(seen(hold))
    assert "new disk" in told(seen(hold))
    assert clause(hold) == "the host is held for maintenance by anna@box: new disk"


def test_the_fence_tells_who_came_or_who_freed_the_host() -> None:
    assert clause(HELD) == "run r-7 of anna@box has the host now"
    assert clause(freed(HELD, "bob@box", 8)) == "bob@box has freed the host"


def test_the_time_that_is_left_is_that_of_the_longest_lease_and_none_under_a_hold() -> None:
    hold = replace(HELD, state=State.MAINTENANCE, lease=0)
    older = replace(HELD, beat=990)
    assert LockedError({"a": seen(HELD), "b": seen(older)}).left == 50
    assert LockedError({"a": seen(HELD), "b": seen(hold)}).left is None


def test_the_errors_name_their_hosts_and_say_that_nothing_was_touched() -> None:
    locked = LockedError({"a": seen(HELD)})
    busy = BusyError({"b": ("the job uplift-docker-1",)}, 120)
    unreached = NotLockedError({"c": "c: no route"}, {"d": "x"}, 60)
    assert [int(error.exit_code) for error in (locked, busy, unreached)] == [4, 4, 3]
    for name, error in zip("abc", (locked, busy, unreached), strict=True):
        assert f"  {name}: " in str(error)
        assert "touched" in str(error)
    assert "c: no route\n" in str(unreached)
    assert "within 60 s: d" in str(unreached)


def test_the_shell_of_a_run_keeps_the_shell_that_the_inventory_names() -> None:
    text = fence.text(7, "r-7", "bash")
    assert "\nshell=bash\n" in text
    assert "\nmine=7\n" in text
    assert "@" not in text.replace('"$@"', "")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (None, "/x/sh-7"),
        ("sh", "/x/sh-7"),
        ("/x/sh-7", "/x/sh-7"),
        ("/x/sh-7 bash", "/x/sh-7 bash"),
        ("/bin/bash", "/x/sh-7 /bin/bash"),
    ],
)
def test_an_operation_with_a_shell_of_its_own_stays_behind_the_fence(
    wanted: str | None, words: str
) -> None:
    assert connector.through("/x/sh-7", wanted) == words


def test_plain_pyinfra_stops_at_runs_and_at_holds_of_others_not_at_ones_own_hold() -> None:
    hold = replace(HELD, state=State.MAINTENANCE, lease=0)
    over, free = replace(HELD, beat=100), freed(HELD, "bob@box", 8)
    found = {"run": seen(HELD), "hold": seen(hold), "over": seen(over), "free": seen(free)}
    assert set(refused_by(found, "bob@box")) == {"run", "hold"}
    assert set(refused_by(found, "anna@box")) == {"run"}


def test_the_exit_code_tells_hosts_that_stay_locked_from_hosts_that_were_not_reached() -> None:
    fine, lost = Row("a", seen(HELD)), Row("b", error="no route")
    refused = Row("c", seen(HELD), "run r-7", refused=True)
    assert cli._code([fine]) is Exit.DONE
    assert cli._code([fine, lost]) is Exit.HELD
    assert cli._code([fine, lost, refused]) is Exit.LOCKED


@pytest.mark.parametrize("said", ["", "now 12", "now soon\ndigest x\nrecord"])
def test_an_answer_that_was_cut_off_is_told_of_its_host_and_ends_no_heartbeat(said: str) -> None:
    def run(*words: str, time_limit: float) -> SimpleNamespace:
        return SimpleNamespace(rc=0, stdout=said, stderr="")

    host: Any = SimpleNamespace(name="web-1", run=run)
    with pytest.raises(UpliftError, match="web-1: its lock could not be read"):
        look(host)
