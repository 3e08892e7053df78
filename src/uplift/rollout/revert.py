"""Put hosts back to what they served when the run began, and prove it by the same gate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uplift.facts.kept import READ
from uplift.remote.connection import Connection
from uplift.rollout.engine import Engine, reason
from uplift.rollout.journal import UnwrittenError
from uplift.rollout.names import BACK
from uplift.rollout.stop import Stop
from uplift.spec.errors import Exit, UpliftError
from uplift.spec.kept import parse
from uplift.spec.rollout.journal import HostStep

READ_LIMIT = 330
"""Seconds; the script waits for a container's change that is still going on."""

PUT_BACK = Path(__file__).with_name("putback.py")


def wave(engine: Engine) -> tuple[str, Exit]:
    """Put back the hosts of the wave that failed.

    Args:
        engine: of the run.

    Returns:
        How the run ends, and its exit code.
    """
    hosts = engine.run.waves[engine.run.wave - 1] if engine.run.wave else ()
    whole = _put_back(engine, [hosts])
    earlier = [name for name in engine.run.touched if name not in hosts]
    if whole and not earlier:
        return "reverted", Exit.FAILED
    return "held", Exit.HELD


def fleet(engine: Engine) -> tuple[str, Exit]:
    """Put back the hosts of all waves, the newest wave first.

    Args:
        engine: of the run.

    Returns:
        How the run ends, and its exit code.
    """
    whole = _put_back(engine, [*reversed(engine.run.waves)])
    return ("reverted", Exit.FAILED) if whole else ("held", Exit.HELD)


def _put_back(engine: Engine, waves: Sequence[Sequence[str]]) -> bool:
    """Put back what was touched in some waves; return whether all of it was.

    Raises:
        Stop: somebody asked for it between two waves.
    """
    whole = True
    for number, hosts in enumerate(waves, start=1):
        touched = [name for name in hosts if name in engine.run.touched]
        if not touched:
            continue
        if engine.interrupts.asked.is_set():
            raise Stop("interrupted", f"interrupted before {', '.join(touched)} were put back")
        whole = _tried(engine, number, touched) and whole
    return whole


def _tried(engine: Engine, number: int, hosts: Sequence[str]) -> bool:
    """Put back hosts, or write down what kept the way back or its gate from being run at all."""
    try:
        return _hosts(engine, number, hosts)
    except UnwrittenError:
        raise
    except UpliftError as error:
        for name in hosts:
            engine.journal.write("not-reverted", host=name, words=str(error))
        return False


def _hosts(engine: Engine, number: int, hosts: Sequence[str]) -> bool:
    words = f"puts back {', '.join(hosts)}"
    engine.lock.note(words)
    engine.step(words)
    engine.journal.write_each("reverting", hosts)
    engine.mark(hosts, "reverting")
    outcome = engine.apply(
        hosts,
        f"revert-{number}",
        deploys=[str(PUT_BACK)],
        environment={BACK: json.dumps({name: _wanted(engine, name) for name in hosts})},
    )
    problems = {name: reason(one) for name, one in outcome.hosts.items() if not one.ok}
    problems |= _not_as_before(engine, hosts, problems)
    for name, stays in _lasting(engine, hosts).items():
        problems[name] = "; ".join([*filter(None, [problems.get(name)]), *stays])
    problems |= _worse(engine, number, [name for name in hosts if name not in problems])
    for name in hosts:
        step: HostStep = "not-reverted" if name in problems else "reverted"
        words, done = problems.get(name, ""), list(outcome.hosts[name].changes)
        engine.journal.write(step, host=name, words=words, put_back=done)
    engine.mark([name for name in hosts if name not in problems], "reverted")
    engine.mark(list(problems), "not-reverted")
    return not problems


def _wanted(engine: Engine, name: str) -> Mapping[str, Any]:
    before = engine.run.before.get(name, {})
    apps = before.get("apps", {})
    return {
        "run": engine.run.id,
        "uv": before.get("uv", ""),
        # Of a release that was gone back to, only the newest record stays; it names the first.
        "apps": {app: found["origin"] for app, found in apps.items() if found},
    }


def _not_as_before(
    engine: Engine, hosts: Sequence[str], known: Mapping[str, str]
) -> dict[str, str]:
    """Read what hosts serve now, and say what differs from the beginning of the run."""
    serving, found = engine.serving(), {}
    for name in hosts:
        if name in known:
            continue
        now = serving.get(name)
        if now is None or isinstance(now, UpliftError):
            found[name] = str(now or "not read")
        elif name not in engine.run.before:
            found[name] = "what it served before the run was never read"
        elif differs := _differences(engine.run.before.get(name, {}), now):
            found[name] = differs
    return found


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    words = []
    for app, was in before.get("apps", {}).items():
        current = now["apps"].get(app, {})
        if not was and current:
            words.append(f"{app}: there was no release before, {current['image']} stays")
        elif was and was.get("digest") != current.get("digest"):
            words.append(f"{app}: serves {current.get('image')}, not {was['image']}")
    was_uv, uv = before.get("uv", ""), now.get("uv", "")
    if not was_uv and uv:
        words.append(f"uv: there was none of uplift's before, {uv} stays")
    elif was_uv != uv:
        words.append(f"uv {uv or 'none'}, not {was_uv}")
    return "; ".join(words)


def _lasting(engine: Engine, hosts: Sequence[str]) -> dict[str, list[str]]:
    """Say of hosts what the run has changed and is not as before, each with the reason."""
    wanted, found = set(hosts), {}

    def read(connection: Connection) -> tuple[str, ...]:
        if connection.name not in wanted:
            return ()
        done = connection.run(READ, engine.run.id, time_limit=READ_LIMIT)
        try:
            return parse(done.stdout.splitlines()).lasting
        except (ValueError, KeyError, IndexError):
            said = (done.stderr or done.stdout).strip()[-200:]
            return (f"what it keeps of the run could not be read: {said or done.rc}",)

    for name, lasting in engine.fleet.each(read).items():
        stays = [str(lasting)] if isinstance(lasting, UpliftError) else list(lasting)
        changed, failed = engine.run.changed.get(name, ()), engine.run.failed.get(name, ())
        for operation, why in engine.run.lasting.get(name, {}).items():
            # Of an operation that keeps a part, that part has been said.
            if why and any(why in one for one in stays):
                continue
            if operation in changed:
                stays.append(f"{operation}: {why or 'has no way back'}")
            elif operation in failed:
                words = "failed, and may have changed something"
                stays.append(f"{operation}: {words}: {why or 'has no way back'}")
            elif name in engine.run.cut:
                stays.append(f"{operation}: may have begun, and {why or 'has no way back'}")
        if name in wanted and stays:
            found[name] = stays
    return found


def _worse(engine: Engine, number: int, hosts: Sequence[str]) -> dict[str, str]:
    """Run the gate where hosts were put back; what fails now and did not before the run is said."""
    new = engine.gate.compared(hosts, engine.failed_before(hosts), f"revert-{number}").new
    return {
        name: "; ".join(one.words for one in new if one.host == name)
        for name in {one.host for one in new}
    }
