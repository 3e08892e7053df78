"""How a run ends: its declared answer to a failure is carried out, and what came of it told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uplift.rollout import marks, revert
from uplift.rollout.engine import Engine
from uplift.rollout.serving import Serving
from uplift.rollout.stop import ABORTED, Stop
from uplift.spec.errors import Exit, UpliftError
from uplift.spec.rollout.gate import summary
from uplift.spec.rollout.journal import Run


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


def halt(engine: Engine, stop: Stop) -> Result:
    """Write down what stopped the waves, and answer it.

    Args:
        engine: of the run.
        stop: what it was.
    """
    engine.journal.write("interrupted", reason=stop.kind, words=stop.words)
    engine.tell_hooks("failure", reason=stop.kind, words=stop.words)
    return answered(engine, stop)


def unanswered(engine: Engine) -> Stop | None:
    """Return why the hosts were being put back when the run was killed: that goes on.

    Args:
        engine: of the run.
    """
    if engine.run.stopped is None or not _changed(engine):
        return None
    stop = Stop(*engine.run.stopped)
    if stop.aborts:
        return stop
    left = stop.asked or stop.early or stop.kind == "stale" or engine.policy.on_failure == "hold"
    return None if left else stop


def give_up(engine: Engine) -> Result:
    """End a run with every host put back; where that is interrupted, the run can go on with it.

    Args:
        engine: of the run.
    """
    if not _changed(engine):
        return end(engine, "aborted", Exit.DONE, "aborted")
    stop = Stop(ABORTED, "aborted")
    engine.journal.write("interrupted", reason=stop.kind, words=stop.words)
    return answered(engine, stop)


def _changed(engine: Engine) -> bool:
    return bool(engine.run.touched or engine.run.at("reverted"))


def answered(engine: Engine, stop: Stop) -> Result:
    """Answer what stopped the waves as the policy says, and end the run.

    Args:
        engine: of the run.
        stop: what it was.
    """
    try:
        outcome, code = _answer(engine, stop)
    except (Stop, KeyboardInterrupt) as asked:
        # What had stopped the run is still to be answered when it is resumed.
        words = str(asked) or "stopped at once by a second signal while hosts were put back"
        return end(engine, "held", Exit.INTERRUPTED, f"{stop.words}\n{words}")
    return end(engine, outcome, code, stop.words)


def _answer(engine: Engine, stop: Stop) -> tuple[str, Exit]:
    """Do what the policy says, and return how the run ends."""
    touched, on_failure = engine.run.touched, engine.policy.on_failure
    if stop.kind == "stale":
        return "held" if touched else "refused", Exit.STALE
    if stop.kind == "interrupted":
        return "held", Exit.INTERRUPTED
    if stop.aborts:
        return revert.fleet(engine)
    if not _changed(engine):
        return "refused", Exit.USAGE if stop.kind == "usage" else Exit.FAILED
    if stop.asked or stop.early or on_failure == "hold":
        return "held", Exit.HELD
    return revert.fleet(engine) if on_failure == "revert-fleet" else revert.wave(engine)


def end(engine: Engine, outcome: str, code: Exit, stopped: str) -> Result:
    """Write down how it ended, here and on the hosts.

    Args:
        engine: of the run.
        outcome: as the journal names it.
        code: exit code.
        stopped: what ended it before its last wave.
    """
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
