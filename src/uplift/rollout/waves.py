"""The waves of a run, one after the other: each step is in the journal before it is taken."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from uplift.remote.unreachable import Unreachable
from uplift.rollout.child import Outcome, State
from uplift.rollout.engine import Engine, reason, unread
from uplift.rollout.stop import Stop, check_refused, check_taken_over
from uplift.spec.rollout.budget import Class
from uplift.spec.rollout.gate import Comparison, Failure
from uplift.spec.rollout.journal import HostStep
from uplift.spec.rollout.plan import shared

PAUSE_POLL = 0.5  # seconds between looks for an approval
BAKE_PAUSE = 10.0  # seconds at most between two runs of the gate while a wave bakes

_STEPS: Mapping[State, HostStep] = {State.OK: "done", State.UNREACHABLE: "unreachable"}


def carry_out(engine: Engine) -> None:
    """Change the hosts that are not committed yet, wave by wave.

    Args:
        engine: of the run.

    Raises:
        Stop: something failed, or somebody asked.
    """
    for number, wave in enumerate(engine.run.waves, start=1):
        todo = [name for name in wave if _wanted(engine, name)]
        if todo:
            engine.check()
            _wave(engine, number, todo)
        # Also of a wave that had passed when the run was killed.
        _pause(engine, number)


def _wanted(engine: Engine, name: str) -> bool:
    """Tell whether a host is still to be changed; the lock of one that is lost is not held."""
    return engine.run.hosts[name] != "committed" and name not in engine.fleet.unreachable


def _wave(engine: Engine, number: int, todo: Sequence[str]) -> None:
    engine.lock.note(f"wave {number} of {len(engine.run.waves)}: {', '.join(todo)}")
    engine.journal.write("wave", wave=number, hosts=list(todo))
    before = _baseline(engine, number, todo)
    left = _as_planned(engine, number, todo)
    engine.check()
    _commit(engine, number, _changed(engine, number, left, before) if left else [])


def _as_planned(engine: Engine, number: int, todo: Sequence[str]) -> Sequence[str]:
    """Hold a wave against the plan; return the hosts of it that could be read."""
    # The hosts of the first wave were looked at just now, unless the run is resumed.
    if engine.plan is None or (number == 1 and engine.looked.issuperset(todo)):
        return todo
    lost = unread(engine.look(todo, f"wave-{number}-plan"))
    for name, words in lost.items():
        engine.journal.write("failed", host=name, changed=[], words=words)
    _spend(engine)
    return [name for name in todo if name not in lost]


def _changed(
    engine: Engine, number: int, todo: Sequence[str], before: Sequence[Failure]
) -> Sequence[str]:
    """Change the hosts of a wave; return those that are good when its time is over."""
    expect = _expected(engine, todo)
    todo = _intend(engine, todo)
    if not todo:
        return []
    engine.step(f"changes {', '.join(todo)}")
    outcome = engine.apply(todo, f"wave-{number}", expect=expect)
    good = _record(engine, todo, outcome)
    _spend(engine)
    engine.check()
    good = _judge(engine, number, good, before, "after")
    engine.journal.write_each("verified", good)
    if engine.policy.bake:
        # Else it is told in one command with what comes next.
        _mark_held(engine, good, "verified")
    return _bake(engine, number, good, before)


def _baseline(engine: Engine, number: int, todo: Sequence[str]) -> tuple[Failure, ...]:
    """Return what fails before the change; of a host that is changed by now, what failed then.

    A test that a change has broken must not become one that was bad before.
    """
    known = {name for name in engine.run.baseline if name in engine.run.touched}
    if fresh := [name for name in todo if name not in known]:
        _tests(engine, number)
        found = engine.gate.failures(fresh, f"wave-{number}-before")
        check_refused(one.message for one in found)
        failures = [asdict(one) for one in found]
        engine.journal.write("baseline", wave=number, hosts=fresh, failures=failures)
    return engine.failed_before(todo)


def _expected(engine: Engine, todo: Sequence[str]) -> dict[str, dict[str, dict[str, str]]]:
    """Return what the plan saw of hosts that this run has not touched yet."""
    if engine.plan is None:
        return {}
    fresh = [
        one for one in engine.plan.hosts if one.name in todo and one.name not in engine.run.touched
    ]
    # A service that several hosts speak to is changed by the first of them.
    changing = {*engine.run.touched, *todo}
    return {
        one.name: {
            key: read.parts
            for key, read in one.reads.items()
            if key not in shared(engine.plan, one.name, changing)
        }
        for one in fresh
    }


def _intend(engine: Engine, todo: Sequence[str]) -> list[str]:
    """Write down, here and on the hosts, that they may change; return those that know it."""
    fresh = [name for name in todo if name not in engine.run.touched]
    engine.journal.write_each("intent", todo)
    problems = engine.marked(todo, "intent")
    for name, error in problems.items():
        step: HostStep = "unreachable" if isinstance(error, Unreachable) else "failed"
        facts = {"changed": [], "untouched": name in fresh}
        engine.journal.write(step, host=name, words=str(error), **facts)
    check_refused(map(str, problems.values()))
    _spend(engine)
    return [name for name in todo if name not in problems]


def _record(engine: Engine, todo: Sequence[str], outcome: Outcome) -> list[str]:
    """Write down what became of each host, and return those that went well."""
    for name in todo:
        one = outcome.hosts[name]
        step = _STEPS.get(one.state, "failed")
        # What was cut short by a second signal stays where it was.
        if one.state is State.UNFINISHED and engine.interrupts.now.is_set():
            continue
        facts: dict[str, Any] = {} if one.ok else {"words": reason(one)}
        if one.changes:
            facts["lines"] = list(one.changes)
        changed, failed = list(one.changed), list(one.failed)
        engine.journal.write(step, host=name, changed=changed, failed=failed, **facts)
    for kind in ("done", "failed"):
        engine.mark([name for name in todo if engine.run.hosts[name] == kind], kind)
    check_taken_over(outcome)
    if moved := outcome.of(State.STALE):
        raise Stop("stale", "; ".join(f"{one.host}: {one.text}" for one in moved))
    return [name for name in todo if outcome.hosts[name].ok]


def _spend(engine: Engine) -> None:
    """Stop when more hosts have failed than the budget allows."""
    classes: dict[Class, HostStep] = {
        "unreachable": "unreachable",
        "change_failed": "failed",
        "gate_failed": "rejected",
    }
    for kind, step in classes.items():
        # Hosts that were left out at the start, as somebody wanted, cost no budget.
        left_out = engine.fleet.unreachable if engine.policy.skip_unreachable else {}
        # Nor do those that failed in an earlier attempt, and whose turn comes again.
        at = [name for name in engine.run.at(step) if name in engine.run.tried]
        failed = [name for name in at if name not in left_out]
        if not engine.policy.budget.allows(kind, len(failed), len(engine.run.hosts)):
            words = "; ".join(
                f"{name}: {engine.run.words.get(name, '').partition(chr(10))[0]}" for name in failed
            )
            raise Stop(kind, words)


def _judge(
    engine: Engine, number: int, hosts: Sequence[str], before: Sequence[Failure], when: str
) -> list[str]:
    """Compare the gate with its baseline; return the hosts on which it is no worse."""
    if not engine.gate.tests or not hosts:
        return list(hosts)
    _tests(engine, number)
    known = [one for one in before if one.host in hosts]
    found = engine.gate.compared(hosts, known, f"wave-{number}-{when}")
    # Else a run that somebody took over would be told as one that failed its tests.
    check_refused(one.message for one in found.new)
    if found.new:
        engine.check_lock()
    engine.journal.write("gate", wave=number, when=when, hosts=list(hosts), **_plain(found))
    worse = {one.host for one in found.new}
    for name in worse:
        words = "; ".join(one.words for one in found.new if one.host == name)
        engine.journal.write("rejected", host=name, words=words)
    engine.mark(sorted(worse), "rejected")
    _spend(engine)
    return [name for name in hosts if name not in worse]


def _tests(engine: Engine, number: int) -> None:
    if engine.gate.tests:
        engine.step(f"runs the gate of wave {number}")


def _bake(engine: Engine, number: int, hosts: list[str], before: Sequence[Failure]) -> list[str]:
    """Let the wave pass its gate again and again until its time is over."""
    end = time.monotonic() + engine.policy.bake
    if engine.policy.bake:
        engine.tell({"kind": "bake", "wave": number, "seconds": engine.policy.bake})
    while hosts and (left := end - time.monotonic()) > 0:
        engine.interrupts.asked.wait(min(left, BAKE_PAUSE))
        engine.check()
        hosts = _judge(engine, number, hosts, before, "bake")
    return hosts


def _commit(engine: Engine, number: int, good: Sequence[str]) -> None:
    engine.check_lock()
    engine.journal.write_each("committed", good)
    steps: Sequence[HostStep] = ("committed",) if engine.policy.bake else ("verified", "committed")
    _mark_held(engine, good, *steps)
    engine.hook("wave-end", wave=number)


def _pause(engine: Engine, number: int) -> None:
    """Wait for a person after a wave, where the policy says so and hosts are left."""
    if number not in engine.policy.pause_after or number in engine.run.approved:
        return
    if not any(_wanted(engine, name) for wave in engine.run.waves[number:] for name in wave):
        return
    approval = engine.journal.folder / f"approved-{number}"
    engine.lock.note(f"waits for approval after wave {number} of {len(engine.run.waves)}")
    if not approval.exists():
        engine.journal.write("paused", wave=number)
    while not approval.exists():
        engine.interrupts.asked.wait(PAUSE_POLL)
        engine.check()
    engine.journal.write("approved", wave=number, by=approval.read_text().strip())


def _mark_held(engine: Engine, names: Sequence[str], *steps: HostStep) -> None:
    """Write steps into the records of hosts, and stop where another run has one."""
    check_refused(map(str, engine.mark(names, *steps).values()))


def _plain(found: Comparison) -> dict[str, list[dict[str, str]]]:
    return {
        name: [asdict(one) for one in getattr(found, name)]
        for name in ("new", "old", "mended", "flaky")
    }
