"""Begin a run, go on with one, or give one up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uplift.controller import person
from uplift.remote import inventory as inventories
from uplift.remote.inventory import InventoryHost
from uplift.rollout import hooks
from uplift.rollout.access import Attempt, LostError, StaleError, connected
from uplift.rollout.ends import Result, answered, end, give_up, halt, unanswered
from uplift.rollout.engine import PLAN, Engine, Tell
from uplift.rollout.gate import Gate
from uplift.rollout.inputs import fingerprint
from uplift.rollout.journal import Journal, UnwrittenError
from uplift.rollout.plan import check_deploys
from uplift.rollout.ready import ready
from uplift.rollout.stop import Stop
from uplift.rollout.waves import carry_out
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.rollout import Policy
from uplift.spec.rollout.journal import Run
from uplift.spec.rollout.plan import Plan
from uplift.spec.rollout.waves import divided


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        inventory: a file.
        hosts: that are selected of it, in its order.
        deploys: deploy files, in their order.
        policy: how it goes.
        limit: groups or patterns of host names.
        data: for the deploy files; never a secret.
        plan: that is carried out; a host that has moved on since is refused.
    """

    inventory: str
    hosts: tuple[InventoryHost, ...]
    deploys: tuple[str, ...]
    policy: Policy
    limit: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    plan: Plan | None = None


def waves(request: Request) -> tuple[tuple[str, ...], ...]:
    """Return the waves of a request; refuse what cannot be begun.

    Args:
        request: what is asked for.

    Raises:
        UsageError: a deploy file, a test or a hook's address is not there, waves are wrong, or one
            would bake without a test.
    """
    check_deploys(request.deploys)
    Gate(request.inventory, request.policy.gate, Path()).check()
    hooks.check(request.policy.hooks)
    if request.policy.bake and not request.policy.gate:
        raise UsageError(
            f"bake: nothing would be looked at in {request.policy.bake} s, there is no gate: name "
            "tests by --gate, or set --bake 0s"
        )
    planned = request.plan.waves if request.plan else ()
    found = planned or divided(request.hosts, request.policy.waves)
    late = [number for number in request.policy.pause_after if number >= len(found)]
    if late:
        raise UsageError(f"pause_after {late[0]}: there are {len(found)} waves, nothing is after")
    return found


def begin(request: Request, tell: Tell) -> Result:
    """Roll out, from the locks to the last wave.

    Args:
        request: what is asked for.
        tell: is called with each record of the journal, and with what happens in between.

    Raises:
        UpliftError: nothing was begun.
    """
    inputs = fingerprint(request.inventory, request.deploys, request.data)
    if request.plan and request.plan.inputs != inputs:
        raise StaleError(
            "deploy files, settings or uplift itself are not those that the plan was made with: "
            "plan again"
        )
    plain = {
        "inventory": request.inventory,
        "deploys": list(request.deploys),
        "limit": list(request.limit),
        "data": dict(request.data),
        "policy": request.policy.model_dump(mode="json"),
        "waves": [list(wave) for wave in waves(request)],
        "actor": person(),
        "inputs": inputs,
    }
    files = {PLAN: request.plan.model_dump_json()} if request.plan else {}
    with Journal.begin(plain, tell, files=files) as journal:
        return _carried(journal, request.hosts, tell)


def resume(run: str, tell: Tell) -> Result:
    """Go on with a run that was held, interrupted or killed.

    Args:
        run: its id, the beginning of it, or ``last``.
        tell: as for ``begin``.

    Raises:
        StaleError: code or settings are others than those that it began with, or another run has
            changed its hosts since.
        UsageError: there is nothing to go on with.
    """
    with Journal.open(run, tell) as journal:
        request = journal.run.request
        _check_over(journal.run)
        now = fingerprint(request["inventory"], request["deploys"], request["data"])
        if now != request["inputs"]:
            raise StaleError(
                f"{journal.run.id}: deploy files, settings or uplift itself are not those that it "
                "began with: bring them back, or end it with `uplift abort` and begin a new one"
            )
        hosts = _same_hosts(journal.run)
        policy = Policy.parse(request["policy"], path="policy", source="the run's journal")
        # They are no part of the hash: a run may go on with better tests, but not without them.
        Gate(request["inventory"], policy.gate, Path()).check()
        hooks.check(policy.hooks)
        _tell_known(journal.run.following({"kind": "resumed", "at": journal.run.last}), tell)
        return _carried(journal, hosts, tell, "resume")


def abort(run: str, tell: Tell, *, put_back: bool) -> Result:
    """End a run that was held, interrupted or killed, where it is or put back.

    To put hosts back, no more of them may be lost than the policy allows, and all must be in the
    inventory. Else those that are lost or gone are named, and the run is over nevertheless.

    Args:
        run: its id, the beginning of it, or ``last``.
        tell: as for ``begin``.
        put_back: put back every host that it touched.

    Raises:
        StaleError: another run has changed hosts since that were to be put back.
        UsageError: there is nothing to end.
    """
    with Journal.open(run, tell) as journal:
        _check_over(journal.run)
        if not put_back:
            return _left(journal, tell)
        _tell_known(journal.run, tell)
        with connected(journal, _same_hosts(journal.run), tell, "revert") as engine:
            return give_up(engine)


def _tell_known(run: Run, tell: Tell) -> None:
    """Tell how far a run is, to whoever has not seen it begin."""
    waves = [list(wave) for wave in run.waves]
    tell({"kind": "known", "run": run.id, "waves": waves, "hosts": dict(run.hosts)})


def _left(journal: Journal, tell: Tell) -> Result:
    """End a run and leave every host as it is; give back the locks of those that are reached."""
    hosts, gone = _hosts(journal.run)
    lost: dict[str, object] = dict.fromkeys(gone, f"not in {journal.run.request['inventory']}")
    try:
        with connected(journal, hosts, tell, "leave") as engine:
            lost |= engine.fleet.unreachable
            code = Exit.HELD if journal.run.touched or lost else Exit.DONE
            return end(engine, "aborted", code, _abandoned(journal.run, lost))
    except LostError as error:
        words = _abandoned(journal.run, {**lost, **error.hosts})
        journal.write("ended", outcome="aborted", exit_code=int(Exit.HELD), words=words)
        return Result(journal.run, {}, words)


def _abandoned(run: Run, lost: Mapping[str, object]) -> str:
    if not lost:
        return "aborted"
    lines = [f"{name}: {str(why).removeprefix(f'{name}: ')}" for name, why in lost.items()]
    lease = run.request["policy"]["lease"]
    told = (
        "aborted, and these hosts could not be asked; a lock that the run still has there ends by "
        f"itself {lease} s after its last sign of life:"
    )
    return "\n".join([told, *lines])


def _check_over(run: Run) -> None:
    if run.over:
        raise UsageError(f"{run.id} has ended ({run.outcome}): there is nothing to go on with")


def _hosts(run: Run) -> tuple[list[InventoryHost], list[str]]:
    """Return the hosts of a run as the inventory has them, and names that it no longer has."""
    request = run.request
    hosts = inventories.hosts(request["inventory"], request["limit"])
    by_name = {host.name: host for host in hosts}
    gone = [name for name in run.hosts if name not in by_name]
    return [by_name[name] for name in run.hosts if name in by_name], gone


def _same_hosts(run: Run) -> list[InventoryHost]:
    hosts, gone = _hosts(run)
    if gone:
        inventory = run.request["inventory"]
        raise StaleError(f"{run.id}: {', '.join(gone)}: no longer in {inventory}")
    return hosts


def _carried(
    journal: Journal,
    hosts: Sequence[InventoryHost],
    tell: Tell,
    attempt: Attempt = "begin",
) -> Result:
    with connected(journal, hosts, tell, attempt) as engine:
        try:
            if (stop := unanswered(engine)) is not None:
                return answered(engine, stop)
            _prepare(engine)
            carry_out(engine)
        except Stop as stop:
            return halt(engine, stop)
        except UpliftError as error:
            return halt(engine, Stop("error", str(error)))
        except KeyboardInterrupt:
            return halt(engine, Stop("interrupted", "stopped at once by a second signal"))
        left = [name for name, step in engine.run.hosts.items() if step != "committed"]
        if left:
            words = f"every wave was tried; not done: {', '.join(left)}"
            return end(engine, "held", Exit.HELD, words)
        return end(engine, "done", Exit.DONE, "")


def _prepare(engine: Engine) -> None:
    """Look at hosts that were not looked at before, and tell the hooks.

    Raises:
        Stop: a host cannot be changed, or a hook does not want it.
    """
    reached = [name for name in engine.run.hosts if name not in engine.fleet.unreachable]
    # Also a host that was lost when the run began: what it serves is what it goes back to.
    fresh = [name for name in reached if name not in engine.run.before]
    try:
        if fresh:
            before, lasting = ready(engine, fresh)
            engine.journal.write("ready", before=before, lasting=lasting)
        engine.hook("start")
    except UnwrittenError:
        raise
    except UsageError as error:
        raise Stop("usage", str(error)) from None
    except UpliftError as error:
        raise Stop("not-ready", str(error)) from None
    except Stop as stop:
        raise Stop("not-ready", stop.words) if stop.kind == "hook" else stop from None
