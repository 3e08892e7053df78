"""What one run has at hand, and what every part of it does on hosts and tells of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.rollout import child, hooks, marks
from uplift.rollout.child import HostOutcome, Outcome
from uplift.rollout.gate import Gate
from uplift.rollout.interrupts import Interrupts
from uplift.rollout.journal import Journal
from uplift.rollout.lock import Lock
from uplift.rollout.plan import look
from uplift.rollout.serving import Serving, serving
from uplift.rollout.stop import Stop, check_taken_over
from uplift.spec.errors import UpliftError
from uplift.spec.kept import RUN
from uplift.spec.rollout.gate import Failure
from uplift.spec.rollout.journal import HostStep, Run
from uplift.spec.rollout.plan import HostPlan, load, shared, stale
from uplift.spec.rollout.policy import Moment, Policy

PLAN = "plan.json"
"""In the folder of a run that carries out a plan."""

Tell = Callable[[Mapping[str, Any]], None]


class Engine:
    """The parts of one run, and what all of its stages do with them.

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
        self.looked: set[str] = set()
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

    def failed_before(self, hosts: Sequence[str]) -> tuple[Failure, ...]:
        """Return what the gate found on hosts before their change.

        Args:
            hosts: names.
        """
        return tuple(Failure(**one) for name in hosts for one in self.run.baseline.get(name, ()))

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
        check_taken_over(outcome)
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
                lost = [f"{name}: {words}" for name, words in unread(found).items()]
                first = "not as the plan saw it any more: plan again"
                raise Stop("stale", "\n".join([first, *moved, *lost]))
        self.looked.update(hosts)
        return found

    def step(self, words: str) -> None:
        """Tell what takes its time from now on.

        Args:
            words: for people.
        """
        self.tell({"kind": "step", "words": words})

    def check(self) -> None:
        """Stop where somebody asked for it, or the locks are lost.

        Raises:
            Stop: with the reason.
        """
        if self.interrupts.asked.is_set():
            raise Stop("interrupted", "interrupted by a signal")
        self.check_lock()

    def check_lock(self) -> None:
        """Stop where a lock is lost.

        Raises:
            Stop: another run may have the host.
        """
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
        problems = self.marked(names, *steps)
        for name, error in problems.items():
            self.tell({"kind": "warning", "host": name, "words": str(error)})
        return problems

    def marked(self, names: Sequence[str], *steps: HostStep) -> Mapping[str, UpliftError]:
        """Write steps into the records of hosts, and tell nobody.

        Args:
            names: of hosts.
            steps: that they have come to, in order.

        Returns:
            The hosts that have not taken them, and why.
        """
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


def unread(found: Sequence[HostPlan]) -> dict[str, str]:
    """Return the hosts of which nobody can say whether they have moved, with the reason.

    Args:
        found: by a look.
    """
    return {one.name: one.text for one in found if one.state == "failed"}


def reason(one: HostOutcome) -> str:
    """Return why a host is not done.

    Args:
        one: what came of it.
    """
    text = one.text or str(one.state)
    return f"{one.operation}: {text}" if one.operation else text
