"""One run, from the locks to the last wave: every step is in the journal before it is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.remote.unreachable import Unreachable
from uplift.rollout import child, hooks, marks
from uplift.rollout.child import HostOutcome, Outcome, State
from uplift.rollout.gate import Gate
from uplift.rollout.interrupts import Interrupts
from uplift.rollout.journal import Journal
from uplift.rollout.lock import Lock
from uplift.rollout.plan import look
from uplift.rollout.serving import Serving, serving
from uplift.spec.errors import UpliftError
from uplift.spec.kept import RUN
from uplift.spec.rollout.budget import Class
from uplift.spec.rollout.gate import Comparison, Failure
from uplift.spec.rollout.journal import HostStep, Run
from uplift.spec.rollout.lock import REFUSED
from uplift.spec.rollout.plan import HostPlan, load, shared, stale
from uplift.spec.rollout.policy import Moment, Policy

PLAN = "plan.json"
"""In the folder of a run that carries out a plan."""

PAUSE_POLL = 0.5  # seconds between looks for an approval
BAKE_PAUSE = 10.0  # seconds at most between two runs of the gate while a wave bakes

Tell = Callable[[Mapping[str, Any]], None]

_STEPS: Mapping[State, HostStep] = {State.OK: "done", State.UNREACHABLE: "unreachable"}


class Stop(Exception):
    """End the waves: something failed, or somebody asked.

    Args:
        kind: what it was.
        words: for people.
    """

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words

    @property
    def asked(self) -> bool:
        """Tell whether somebody asked for it: then nothing is put back."""
        return self.kind in ("interrupted", "lock-lost")

    @property
    def early(self) -> bool:
        """Tell whether it came before this attempt has changed anything: nothing is put back."""
        return self.kind in ("not-ready", "usage")


class Engine:
    """Carries out one run.

    Args:
        journal: of the run; what it tells is done already.
        policy: of the run, as its journal has it.
        hosts: that are selected, by name.
        fleet: connected to them.
        lock: taken on all of them.
        interrupts: signals to this process.
        tell: is called with what happens beside the journal.
    """

    def __init__(
        self,
        journal: Journal,
        policy: Policy,
        hosts: Mapping[str, InventoryHost],
        fleet: Fleet,
        lock: Lock,
        interrupts: Interrupts,
        tell: Tell,
    ) -> None:
        self.journal = journal
        self.hosts = hosts
        self.fleet = fleet
        self.lock = lock
        self.interrupts = interrupts
        self.tell = tell
        request = self.run.request
        self.inventory: str = request["inventory"]
        self.policy = policy
        kept = journal.folder / PLAN
        self.plan = load(kept.read_text(), str(kept)) if kept.exists() else None
        self._looked: set[str] = set()
        self.gate = Gate(
            self.inventory,
            self.policy.gate,
            journal.folder / "gate",
            self.policy.quiet,
            lock.shell,
        )

    @property
    def run(self) -> Run:
        """Return what the journal tells by now."""
        return self.journal.run

    def waves(self) -> None:
        """Change the hosts that are not committed yet, wave by wave.

        Raises:
            Stop: something failed, or somebody asked.
        """
        for number, wave in enumerate(self.run.waves, start=1):
            todo = [name for name in wave if self._wanted(name)]
            if todo:
                self._check()
                self._wave(number, todo)
            # Also of a wave that had passed when the run was killed.
            self._pause(number)

    def _wanted(self, name: str) -> bool:
        """Tell whether a host is still to be changed; the lock of one that is lost is not held."""
        return self.run.hosts[name] != "committed" and name not in self.fleet.unreachable

    def _wave(self, number: int, todo: Sequence[str]) -> None:
        self.lock.note(f"wave {number} of {len(self.run.waves)}: {', '.join(todo)}")
        self.journal.write("wave", wave=number, hosts=list(todo))
        before = self._baseline(number, todo)
        left = self._as_planned(number, todo)
        self._check()
        self._commit(number, self._changed(number, left, before) if left else [])

    def _as_planned(self, number: int, todo: Sequence[str]) -> Sequence[str]:
        """Hold a wave against the plan; return the hosts of it that could be read."""
        # The hosts of the first wave were looked at just now, unless the run is resumed.
        if self.plan is None or (number == 1 and self._looked.issuperset(todo)):
            return todo
        unread = _unread(self.look(todo, f"wave-{number}-plan"))
        for name, words in unread.items():
            self.journal.write("failed", host=name, changed=[], words=words)
        self._spend()
        return [name for name in todo if name not in unread]

    def _changed(
        self, number: int, todo: Sequence[str], before: Sequence[Failure]
    ) -> Sequence[str]:
        """Change the hosts of a wave; return those that are good when its time is over."""
        expect = self._expected(todo)
        todo = self._intend(todo)
        if not todo:
            return []
        self.step(f"changes {', '.join(todo)}")
        outcome = self.apply(todo, f"wave-{number}", expect=expect)
        good = self._record(todo, outcome)
        self._spend()
        self._check()
        good = self._judge(number, good, before, "after")
        self.journal.write_each("verified", good)
        if self.policy.bake:
            # Else it is told in one command with what comes next.
            self._mark_held(good, "verified")
        return self._bake(number, good, before)

    def _baseline(self, number: int, todo: Sequence[str]) -> tuple[Failure, ...]:
        """Return what fails before the change; of a host that is changed by now, what failed then.

        A test that a change has broken must not become one that was bad before.
        """
        known = {name for name in self.run.baseline if name in self.run.touched}
        if fresh := [name for name in todo if name not in known]:
            self._tests(number)
            found = self.gate.failures(fresh, f"wave-{number}-before")
            _check_refused(one.message for one in found)
            failures = [asdict(one) for one in found]
            self.journal.write("baseline", wave=number, hosts=fresh, failures=failures)
        return self.failed_before(todo)

    def failed_before(self, hosts: Sequence[str]) -> tuple[Failure, ...]:
        """Return what the gate found on hosts before their change.

        Args:
            hosts: names.
        """
        return tuple(Failure(**one) for name in hosts for one in self.run.baseline.get(name, ()))

    def _expected(self, todo: Sequence[str]) -> dict[str, dict[str, dict[str, str]]]:
        """Return what the plan saw of hosts that this run has not touched yet."""
        if self.plan is None:
            return {}
        fresh = [
            one for one in self.plan.hosts if one.name in todo and one.name not in self.run.touched
        ]
        # A service that several hosts speak to is changed by the first of them.
        changing = {*self.run.touched, *todo}
        return {
            one.name: {
                key: read.parts
                for key, read in one.reads.items()
                if key not in shared(self.plan, one.name, changing)
            }
            for one in fresh
        }

    def _intend(self, todo: Sequence[str]) -> list[str]:
        """Write down, here and on the hosts, that they may change; return those that know it."""
        fresh = [name for name in todo if name not in self.run.touched]
        self.journal.write_each("intent", todo)
        problems = self._marked(todo, "intent")
        for name, error in problems.items():
            step: HostStep = "unreachable" if isinstance(error, Unreachable) else "failed"
            facts = {"changed": [], "untouched": name in fresh}
            self.journal.write(step, host=name, words=str(error), **facts)
        _check_refused(map(str, problems.values()))
        self._spend()
        return [name for name in todo if name not in problems]

    def apply(
        self,
        hosts: Sequence[str],
        name: str,
        deploys: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        expect: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
    ) -> Outcome:
        """Run pyinfra on some hosts, behind the fence.

        Args:
            hosts: names.
            name: of the file that its output goes to.
            deploys: files; those of the run when left out.
            environment: variables on top of this process's.
            expect: what the plan of the run saw, by host.
        """
        request = self.run.request
        # What the run changes is kept; what puts it back is not.
        known = {RUN: self.run.id} if deploys is None else {}
        return child.run(
            self.inventory,
            request["deploys"] if deploys is None else deploys,
            hosts,
            log=self.journal.folder / f"{name}.log",
            data=request["data"],
            shell=self.lock.shell,
            on_event=lambda event: self.tell({"kind": "event", "event": event}),
            environment={**known, **(environment or {})},
            expect=expect,
            stop=self.interrupts.now,
            quiet=self.policy.quiet,
        )

    def look(self, hosts: Sequence[str], name: str) -> tuple[HostPlan, ...]:
        """Let pyinfra look at hosts, and hold what it sees against the plan of the run.

        Args:
            hosts: names.
            name: of the file that its output goes to.

        Raises:
            Stop: a host is no longer as the plan saw it, or another run has its lock.
        """
        outcome, found = look(
            self.inventory,
            self.run.request["deploys"],
            hosts,
            log=self.journal.folder / f"{name}.log",
            data=self.run.request["data"],
            shell=self.lock.shell,
            stop=self.interrupts.now,
            quiet=self.policy.quiet,
        )
        _check_locks(outcome)
        if self.plan:
            moved = [
                line
                for one in found
                if one.name not in self.run.touched and one.state not in ("failed", "unreachable")
                for line in stale(
                    self.plan,
                    one.name,
                    outcome.hosts[one.name].parts,
                    shared(self.plan, one.name, self.run.touched),
                )
            ]
            if moved:
                unread = [f"{name}: {words}" for name, words in _unread(found).items()]
                raise Stop("stale", "\n".join([*moved, *unread]))
        self._looked.update(hosts)
        return found

    def _record(self, todo: Sequence[str], outcome: Outcome) -> list[str]:
        """Write down what became of each host, and return those that went well."""
        for name in todo:
            one = outcome.hosts[name]
            step = _STEPS.get(one.state, "failed")
            # What was cut short by a second signal stays where it was.
            if one.state is State.UNFINISHED and self.interrupts.now.is_set():
                continue
            facts: dict[str, Any] = {} if one.ok else {"words": reason(one)}
            if one.changes:
                facts["lines"] = list(one.changes)
            changed, failed = list(one.changed), list(one.failed)
            self.journal.write(step, host=name, changed=changed, failed=failed, **facts)
        for kind in ("done", "failed"):
            self.mark([name for name in todo if self.run.hosts[name] == kind], kind)
        _check_locks(outcome)
        if moved := outcome.of(State.STALE):
            raise Stop("stale", "; ".join(f"{one.host}: {one.text}" for one in moved))
        return [name for name in todo if outcome.hosts[name].ok]

    def _spend(self) -> None:
        """Stop when more hosts have failed than the budget allows."""
        classes: dict[Class, HostStep] = {
            "unreachable": "unreachable",
            "change_failed": "failed",
            "gate_failed": "rejected",
        }
        for kind, step in classes.items():
            # Hosts that were left out at the start, as somebody wanted, cost no budget.
            left_out = self.fleet.unreachable if self.policy.skip_unreachable else {}
            # Nor do those that failed in an earlier attempt, and whose turn comes again.
            at = [name for name in self.run.at(step) if name in self.run.tried]
            failed = [name for name in at if name not in left_out]
            if not self.policy.budget.allows(kind, len(failed), len(self.run.hosts)):
                words = "; ".join(
                    f"{name}: {self.run.words.get(name, '').partition(chr(10))[0]}"
                    for name in failed
                )
                raise Stop(kind, words)

    def _judge(
        self, number: int, hosts: Sequence[str], before: Sequence[Failure], when: str
    ) -> list[str]:
        """Compare the gate with its baseline; return the hosts on which it is no worse."""
        if not self.gate.tests or not hosts:
            return list(hosts)
        self._tests(number)
        known = [one for one in before if one.host in hosts]
        found = self.gate.compared(hosts, known, f"wave-{number}-{when}")
        # Else a run that somebody took over would be told as one that failed its tests.
        _check_refused(one.message for one in found.new)
        if found.new:
            self._check_lock()
        self.journal.write("gate", wave=number, when=when, hosts=list(hosts), **_plain(found))
        worse = {one.host for one in found.new}
        for name in worse:
            words = "; ".join(one.words for one in found.new if one.host == name)
            self.journal.write("rejected", host=name, words=words)
        self.mark(sorted(worse), "rejected")
        self._spend()
        return [name for name in hosts if name not in worse]

    def _tests(self, number: int) -> None:
        if self.gate.tests:
            self.step(f"runs the gate of wave {number}")

    def step(self, words: str) -> None:
        """Tell what takes its time from now on.

        Args:
            words: for people.
        """
        self.tell({"kind": "step", "words": words})

    def _bake(self, number: int, hosts: list[str], before: Sequence[Failure]) -> list[str]:
        """Let the wave pass its gate again and again until its time is over."""
        end = time.monotonic() + self.policy.bake
        if self.policy.bake:
            self.tell({"kind": "bake", "wave": number, "seconds": self.policy.bake})
        while hosts and (left := end - time.monotonic()) > 0:
            self.interrupts.asked.wait(min(left, BAKE_PAUSE))
            self._check()
            hosts = self._judge(number, hosts, before, "bake")
        return hosts

    def _commit(self, number: int, good: Sequence[str]) -> None:
        self._check_lock()
        self.journal.write_each("committed", good)
        steps: Sequence[HostStep] = (
            ("committed",) if self.policy.bake else ("verified", "committed")
        )
        self._mark_held(good, *steps)
        self.hook("wave-end", wave=number)

    def _pause(self, number: int) -> None:
        """Wait for a person after a wave, where the policy says so and hosts are left."""
        if number not in self.policy.pause_after or number in self.run.approved:
            return
        if not any(self._wanted(name) for wave in self.run.waves[number:] for name in wave):
            return
        approval = self.journal.folder / f"approved-{number}"
        self.lock.note(f"waits for approval after wave {number} of {len(self.run.waves)}")
        if not approval.exists():
            self.journal.write("paused", wave=number)
        while not approval.exists():
            self.interrupts.asked.wait(PAUSE_POLL)
            self._check()
        self.journal.write("approved", wave=number, by=approval.read_text().strip())

    def _check(self) -> None:
        """Stop where somebody asked for it, or the locks are lost."""
        if self.interrupts.asked.is_set():
            raise Stop("interrupted", "interrupted by a signal")
        self._check_lock()

    def _check_lock(self) -> None:
        if self.lock.lost.is_set():
            words = "; ".join(f"{name}: {why}" for name, why in self.lock.trouble.items())
            raise Stop("lock-lost", words)

    def mark(self, names: Sequence[str], *steps: HostStep) -> Mapping[str, UpliftError]:
        """Write steps into the records of hosts; a host that does not answer is told of.

        Args:
            names: of hosts.
            steps: that they have come to, in order.

        Returns:
            The hosts that have not taken them, and why.
        """
        problems = self._marked(names, *steps)
        for name, error in problems.items():
            self.tell({"kind": "warning", "host": name, "words": str(error)})
        return problems

    def _mark_held(self, names: Sequence[str], *steps: HostStep) -> None:
        """Do the same, and stop where a host says that another run has it."""
        _check_refused(map(str, self.mark(names, *steps).values()))

    def _marked(self, names: Sequence[str], *steps: HostStep) -> Mapping[str, UpliftError]:
        """Write steps into the records of hosts; return those that have not taken them, and why."""
        if not names:
            return {}
        at = round(time.time(), 3)
        records = [
            # The token is first, where `marks.later` looks for it.
            {"token": self.lock.token, "kind": step, "at": at, "run": self.run.id}
            for step in steps
        ]
        return marks.append(self.fleet, names, self.run.id, records, self.lock.shell)

    def hook(self, moment: Moment, **facts: Any) -> None:
        """Tell the policy's hooks of a moment.

        Args:
            moment: that has come.
            facts: more of it.

        Raises:
            Stop: a required hook failed.
        """
        told = hooks.facts(self.run, **facts)
        try:
            hooks.call(self.policy.hooks, moment, told, self._warn)
        except hooks.HookError as error:
            raise Stop("hook", str(error)) from None

    def tell_hooks(self, moment: Moment, **facts: Any) -> None:
        """Tell the policy's hooks of a moment at which nothing can be stopped any more.

        Args:
            moment: that has come.
            facts: more of it.
        """
        try:
            self.hook(moment, **facts)
        except Stop as stop:
            self._warn(stop.words)

    def _warn(self, words: str) -> None:
        self.tell({"kind": "warning", "host": "", "words": words})

    def serving(self) -> dict[str, Serving | UpliftError]:
        """Read what the hosts serve now, or why that cannot be said."""
        try:
            return serving(self.fleet, self.hosts.values())
        except UpliftError as error:
            return dict.fromkeys(self.hosts, error)


def _check_refused(said: Iterable[str]) -> None:
    """Stop where the fence of a host has refused a command."""
    if refused := [words for words in said if REFUSED in words]:
        raise Stop("lock-lost", "; ".join(refused))


def _check_locks(outcome: Outcome) -> None:
    """Stop where another run has taken hosts over."""
    if refused := outcome.of(State.REFUSED):
        raise Stop("lock-lost", "; ".join(f"{one.host}: {one.text}" for one in refused))


def _unread(found: Sequence[HostPlan]) -> dict[str, str]:
    """Return the hosts of which nobody can say whether they have moved, with the reason."""
    return {one.name: one.text for one in found if one.state == "failed"}


def reason(one: HostOutcome) -> str:
    """Return why a host is not done.

    Args:
        one: what came of it.
    """
    text = one.text or str(one.state)
    return f"{one.operation}: {text}" if one.operation else text


def _plain(found: Comparison) -> dict[str, list[dict[str, str]]]:
    return {
        name: [asdict(one) for one in getattr(found, name)]
        for name in ("new", "old", "mended", "flaky")
    }
