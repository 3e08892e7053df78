"""Connect to the hosts of a run, and hold the locks of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.rollout.engine import Engine, Tell
from uplift.rollout.interrupts import Interrupts
from uplift.rollout.journal import Journal
from uplift.rollout.lock import Lock
from uplift.spec.errors import Exit, UpliftError
from uplift.spec.rollout import Policy


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


@contextmanager
def connected(
    journal: Journal, hosts: Sequence[InventoryHost], tell: Tell, *, leaving: bool = False
) -> Iterator[Engine]:
    """Connect, and take the lock on every host before anything else is done.

    Args:
        journal: of the run.
        hosts: of the run, as the inventory has them.
        tell: is called with what happens beside the journal.
        leaving: nothing will be changed: the hosts that are reached are enough.

    Raises:
        LostError: more hosts are lost than the policy allows.
        UpliftError: a lock is somebody else's.
    """
    request = journal.run.request
    policy = Policy.parse(request["policy"], path="policy", source="the run's journal")
    with (
        ExitStack() as stack,
        Interrupts(lambda words: tell({"kind": "warning", "host": "", "words": words})) as signals,
        Fleet(hosts) as fleet,
    ):
        if leaving:
            _anybody(fleet)
        else:
            _reached(fleet, policy, journal)
        # A step on a host must not hold up the heartbeat of its lock.
        locking = stack.enter_context(
            Fleet([host for host in hosts if host.name not in fleet.unreachable])
        )
        try:
            lock = Lock.take(
                locking,
                run=journal.run.id,
                owner=request["actor"],
                purpose=", ".join(request["deploys"]),
                lease=policy.lease,
            )
        except UpliftError as error:
            _refused(journal, error.exit_code)
            raise
        lock.start()
        try:
            journal.write("locked", token=lock.token)
            by_name = {host.name: host for host in hosts}
            yield Engine(journal, policy, by_name, fleet, lock, signals, tell)
        finally:
            for name, why in lock.release().items():
                said = why.removeprefix(f"{name}: ")
                words = f"{name}: its lock ends by itself within {policy.lease} s: {said}"
                tell({"kind": "warning", "host": name, "words": words})


def _anybody(fleet: Fleet) -> None:
    if not set(fleet.connections) - set(fleet.unreachable):
        raise LostError("no host can be reached", fleet.unreachable)


def _reached(fleet: Fleet, policy: Policy, journal: Journal) -> None:
    """Stop before the first change when more hosts are lost than the policy allows."""
    lost = fleet.unreachable
    if not lost:
        return
    total = len(journal.run.hosts)
    within = policy.budget.allows("unreachable", len(lost), total)
    if len(lost) == total or not (within or policy.skip_unreachable):
        words = "\n".join(f"{name}: {error}" for name, error in lost.items())
        _refused(journal, Exit.HELD)
        raise LostError(f"nothing was begun, hosts cannot be reached:\n{words}", lost)
    for name, error in lost.items():
        if journal.run.hosts[name] != "committed":
            journal.write("unreachable", host=name, words=str(error))


def _refused(journal: Journal, code: Exit) -> None:
    """End a run that has not begun to change anything; one that has stays to be resumed."""
    if not journal.run.touched:
        journal.write("ended", outcome="refused", exit_code=int(code))
