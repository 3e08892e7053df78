"""Begin a run, go on with one, or give one up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uplift.controller import person
from uplift.remote import inventory as inventories
from uplift.remote.inventory import InventoryHost
from uplift.rollout import hooks, marks, revert
from uplift.rollout.access import Attempt, LostError, StaleError, connected
from uplift.rollout.engine import PLAN, Engine, Stop, Tell
from uplift.rollout.gate import Gate
from uplift.rollout.inputs import fingerprint
from uplift.rollout.journal import Journal, UnwrittenError
from uplift.rollout.plan import check_deploys
from uplift.rollout.ready import ready
from uplift.rollout.serving import Serving
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.rollout import Policy
from uplift.spec.rollout.gate import summary
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


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Args:
        run: what its journal tells.
        serving: what each host serves now, or why that cannot be said.
        stopped: what ended it before its last wave; empty when nothing did.
    """

    run: Run
    serving: Mapping[str, Serving | UpliftError]
    stopped: str = ""

    @property
    def exit_code(self) -> Exit:
        """Return the exit code for ``uplift``."""
        return Exit(self.run.exit_code if self.run.exit_code is not None else Exit.HELD)


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

    Only to put hosts back, all of them must be there. Else those that are lost, or are in the
    inventory no longer, are named, and the run is over nevertheless.

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
            outcome, code = revert.fleet(engine)
            return _end(engine, outcome, code, "aborted")


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
            return _end(engine, "aborted", code, _abandoned(journal.run, lost))
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
            if (stop := _unanswered(engine)) is not None:
                return _answered(engine, stop)
            _prepare(engine)
            engine.waves()
        except Stop as stop:
            return _stopped(engine, stop)
        except UpliftError as error:
            return _stopped(engine, Stop("error", str(error)))
        except KeyboardInterrupt:
            return _stopped(engine, Stop("interrupted", "stopped at once by a second signal"))
        left = [name for name, step in engine.run.hosts.items() if step != "committed"]
        if left:
            words = f"every wave was tried; not done: {', '.join(left)}"
            return _end(engine, "held", Exit.HELD, words)
        return _end(engine, "done", Exit.DONE, "")


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


def _stopped(engine: Engine, stop: Stop) -> Result:
    engine.journal.write("interrupted", reason=stop.kind, words=stop.words)
    engine.tell_hooks("failure", reason=stop.kind, words=stop.words)
    return _answered(engine, stop)


def _unanswered(engine: Engine) -> Stop | None:
    """Return why the hosts were being put back when the run was killed: that goes on."""
    begun = engine.run.touched or engine.run.at("reverted")
    if engine.run.stopped is None or not begun or engine.policy.on_failure == "hold":
        return None
    stop = Stop(*engine.run.stopped)
    return None if stop.asked or stop.early or stop.kind == "stale" else stop


def _answered(engine: Engine, stop: Stop) -> Result:
    try:
        outcome, code = _answer(engine, stop)
    except (Stop, KeyboardInterrupt) as asked:
        # What had stopped the run is still to be answered when it is resumed.
        words = str(asked) or "stopped at once by a second signal while hosts were put back"
        return _end(engine, "held", Exit.INTERRUPTED, f"{stop.words}\n{words}")
    return _end(engine, outcome, code, stop.words)


def _answer(engine: Engine, stop: Stop) -> tuple[str, Exit]:
    """Do what the policy says, and return how the run ends."""
    touched, on_failure = engine.run.touched, engine.policy.on_failure
    if stop.kind == "stale":
        return "held" if touched else "refused", Exit.STALE
    if stop.kind == "interrupted":
        return "held", Exit.INTERRUPTED
    if not touched and not engine.run.at("reverted"):
        return "refused", Exit.USAGE if stop.kind == "usage" else Exit.FAILED
    if stop.asked or stop.early or on_failure == "hold":
        return "held", Exit.HELD
    return revert.fleet(engine) if on_failure == "revert-fleet" else revert.wave(engine)


def _end(engine: Engine, outcome: str, code: Exit, stopped: str) -> Result:
    """Write down how it ended, here and on the hosts."""
    serving = engine.serving()
    engine.tell_hooks("end", outcome=outcome, exit_code=int(code))
    serves = {name: _plain(found) for name, found in serving.items()}
    engine.journal.write(
        "ended", outcome=outcome, exit_code=int(code), words=stopped, serving=serves
    )
    run = engine.run
    record = {
        "run": run.id,
        "at": round(time.time(), 3),
        "actor": run.request["actor"],
        "deploys": run.request["deploys"],
        "outcome": outcome,
        "exit_code": int(code),
        "lasted": round(run.last - run.began, 1),
        "took": dict(run.took),
        "hosts": dict(run.hosts),
        "changed": {name: list(found) for name, found in run.changed.items()},
        "gate": summary(run.gates),
        "serving": serves,
    }
    for name, error in marks.append(
        engine.fleet,
        run.hosts,
        marks.LEDGER,
        [record],
        engine.lock.shell,
        run.id if run.over else "",
    ).items():
        engine.tell({"kind": "warning", "host": name, "words": str(error)})
    return Result(run, serving, stopped)


def described(result: Result) -> dict[str, Any]:
    """Return a result as plain data, for ``--json``.

    Args:
        result: of a run.
    """
    run = result.run
    return {
        "run": run.id,
        "outcome": run.outcome,
        "exit_code": int(result.exit_code),
        "stopped": result.stopped or None,
        "gate": summary(run.gates),
        "hosts": [
            {
                "name": name,
                "step": step,
                "words": run.words.get(name),
                "changed": list(run.changed.get(name, ())),
                "lines": list(run.lines.get(name, ())),
                "took": run.took.get(name),
                "serving": _plain(result.serving.get(name)),
            }
            for name, step in run.hosts.items()
        ],
    }


def _plain(found: Serving | UpliftError | None) -> Any:
    return {"error": str(found)} if isinstance(found, UpliftError) else found
