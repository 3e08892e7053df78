"""Connect to the hosts of a run, and hold the locks of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from uplift.controller import person
from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.rollout import hooks, marks
from uplift.rollout.engine import Engine, Tell
from uplift.rollout.interrupts import Interrupts
from uplift.rollout.journal import Journal
from uplift.rollout.lock import Lock
from uplift.spec.errors import Exit, UpliftError
from uplift.spec.rollout import Policy
from uplift.spec.rollout.journal import Run
from uplift.spec.rollout.policy import Moment

Attempt = Literal["begin", "resume", "revert", "leave"]
"""Begin a run, go on with it, end it and put every host back, or end it where it is."""

_NOT_DONE: Mapping[Attempt, str] = {
    "begin": "nothing was begun",
    "resume": "the run was not resumed",
    "revert": "nothing was put back",
}


class LostError(UpliftError):
    """Report hosts that cannot be reached, before anything was changed.

    Args:
        message: for people.
        hosts: why, by name.
    """

    exit_code = Exit.HELD

    def __init__(self, message: str, hosts: Mapping[str, UpliftError]) -> None:
        super().__init__(message)
        self.hosts = dict(hosts)


class StaleError(UpliftError):
    """Report that code or settings are not those that the run began with."""

    exit_code = Exit.STALE


@contextmanager
def connected(
    journal: Journal, hosts: Sequence[InventoryHost], tell: Tell, attempt: Attempt = "begin"
) -> Iterator[Engine]:
    """Connect, and take the lock on every host before anything else is done.

    Args:
        journal: of the run.
        hosts: of the run, as the inventory has them.
        tell: is called with what happens beside the journal.
        attempt: what for; to leave hosts as they are, those that are reached are enough.

    Raises:
        LostError: more hosts are lost than the policy allows.
        StaleError: another run has changed hosts since.
        UpliftError: a lock is somebody else's.
    """
    request = journal.run.request
    policy = Policy.parse(request["policy"], path="policy", source="the run's journal")
    with (
        ExitStack() as stack,
        Interrupts(lambda words: tell({"kind": "warning", "host": "", "words": words})) as signals,
        Fleet(hosts) as fleet,
    ):
        if attempt == "leave":
            _anybody(fleet)
        with _refusal(journal, attempt, policy, tell):
            if attempt != "leave":
                _reached(fleet, policy, journal, attempt)
            # A step on a host must not hold up the heartbeat of its lock.
            locking = stack.enter_context(
                Fleet([host for host in hosts if host.name not in fleet.unreachable])
            )
            lock = Lock.take(
                locking,
                run=journal.run.id,
                owner=request["actor"],
                purpose=", ".join(request["deploys"]),
                lease=policy.lease,
            )
        lock.start()
        try:
            with _refusal(journal, attempt, policy, tell):
                if attempt in ("resume", "revert"):
                    _not_overtaken(fleet, journal.run.id)
            _set_out(journal, fleet, lock, attempt)
            by_name = {host.name: host for host in hosts}
            yield Engine(journal, policy, by_name, fleet, lock, signals, tell)
        finally:
            for name, why in lock.release().items():
                said = why.removeprefix(f"{name}: ")
                words = f"{name}: its lock ends by itself within {policy.lease} s: {said}"
                tell({"kind": "warning", "host": name, "words": words})


@contextmanager
def _refusal(journal: Journal, attempt: Attempt, policy: Policy, tell: Tell) -> Iterator[None]:
    """End a run that may not begin; one that may not go on stays as it is, and tells of it."""
    try:
        yield
    except UpliftError as error:
        code = int(error.exit_code)
        if attempt == "begin":
            journal.write("ended", outcome="refused", exit_code=code, words=str(error))
            _tell_hooks(journal.run, policy, tell, error)
        else:
            what = "resume" if attempt == "resume" else "abort"
            journal.write("denied", what=what, by=person(), exit_code=code, words=str(error))
        raise


def _tell_hooks(run: Run, policy: Policy, tell: Tell, error: UpliftError) -> None:
    """Tell the policy's hooks of a run that could not begin: nobody may be looking at it."""
    reason = {Exit.HELD: "unreachable", Exit.LOCKED: "locked"}.get(error.exit_code, "error")
    told: Mapping[Moment, Mapping[str, Any]] = {
        "failure": {"reason": reason, "words": str(error)},
        "end": {"outcome": "refused", "exit_code": int(error.exit_code)},
    }
    for moment, facts in told.items():
        hooks.call(
            policy.hooks,
            moment,
            hooks.facts(run, **facts),
            lambda words: tell({"kind": "warning", "host": "", "words": words}),
        )


def _set_out(journal: Journal, fleet: Fleet, lock: Lock, attempt: Attempt) -> None:
    """Write down that the run goes on, with which locks, and without which hosts."""
    if attempt == "resume":
        journal.write("resumed", by=person())
    if attempt != "leave":
        for name, error in fleet.unreachable.items():
            if journal.run.hosts[name] != "committed":
                journal.write("unreachable", host=name, words=str(error))
    journal.write("locked", token=lock.token)


def _anybody(fleet: Fleet) -> None:
    if not set(fleet.connections) - set(fleet.unreachable):
        raise LostError("no host can be reached", fleet.unreachable)


def _reached(fleet: Fleet, policy: Policy, journal: Journal, attempt: Attempt) -> None:
    """Stop before the first change when more hosts are lost than the policy allows."""
    lost, run = fleet.unreachable, journal.run
    # What is done already needs no host any more, but to be put back.
    done = () if attempt == "revert" else run.at("committed")
    needed = {name: error for name, error in lost.items() if name not in done}
    within = policy.budget.allows("unreachable", len(needed), len(run.hosts))
    if lost and (len(lost) == len(run.hosts) or not (within or policy.skip_unreachable)):
        lines = [f"{name}: {str(why).removeprefix(f'{name}: ')}" for name, why in lost.items()]
        words = "\n".join([f"{_NOT_DONE[attempt]}, hosts cannot be reached:", *lines])
        raise LostError(words, lost)


def _not_overtaken(fleet: Fleet, run: str) -> None:
    """Refuse to go on over what another run has done meanwhile, or to undo that as well."""
    later = marks.later(fleet, run)
    if later:
        lines = [f"  {name}: {', '.join(runs)}" for name, runs in later.items()]
        raise StaleError(
            f"{run}: other runs have changed its hosts since. End this one by "
            "`uplift abort` (it leaves hosts as they are), and begin a new one:\n"
            + "\n".join(lines)
        )
