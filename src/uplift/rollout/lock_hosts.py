"""Read and change the lock of one host over its connection."""

from __future__ import annotations

from dataclasses import dataclass, replace

from uplift.facts.lock import READ
from uplift.remote.connection import Connection
from uplift.rollout.lock_script import WRITE
from uplift.spec.errors import UpliftError
from uplift.spec.rollout.lock import NOW, Record, Seen, State, UnreadableError, read
from uplift.spec.rollout.lock_words import clause

LIMIT = 30.0  # seconds


@dataclass(frozen=True)
class Running:
    """A process that a host still runs behind the fence.

    Args:
        process: its number.
        token: of the run whose command it is; empty when that is not known.
        unit: systemd's, when it is a job of ours.
    """

    process: str
    token: str
    unit: str

    def __str__(self) -> str:
        if self.unit:
            return f"the job {self.unit} (systemctl status {self.unit})"
        run = f" of the run with token {self.token}" if self.token else ""
        return f"a command{run} (ps --forest -g {self.process})"


@dataclass(frozen=True)
class Written:
    """What came of a change.

    Args:
        done: it was made; else somebody else was faster, or the lock is another's now.
        seen: how the lock is afterwards.
        drained: nothing of an older run runs any more; only told when it was asked for.
        running: what still does.
    """

    done: bool
    seen: Seen
    drained: bool
    running: tuple[Running, ...]


def look(connection: Connection, limit: float = LIMIT) -> Seen:
    """Read the lock of a host.

    Args:
        connection: to the host.
        limit: seconds.

    Raises:
        UpliftError: it could not be read.
    """
    return _read(connection, _run(connection, READ, limit=limit))


def swap(connection: Connection, seen: Seen, record: Record, shell: str = "") -> Written:
    """Write the lock of a host that is still as it was seen.

    Args:
        connection: to the host.
        seen: what the change was decided on.
        record: the new one; its token goes into the fence as well.
        shell: program for the commands of the run, or none.
    """
    fence = "" if record.token == seen.fence else f"{record.token} {clause(record)}"
    words = (record.text(NOW), fence, shell, "")
    return _write(connection, "seen", seen.digest, str(record.token), *words)


def keep(
    connection: Connection, record: Record, *, drain: bool = False, limit: float = LIMIT
) -> Written:
    """Write the lock of a host that is still a run's own.

    Args:
        connection: to the host.
        record: of that run.
        drain: look what still runs behind the fence.
        limit: seconds.
    """
    words = (record.text(NOW), "", "", "drain" if drain else "")
    return _write(connection, "mine", record.run, str(record.token), *words, limit=limit)


def give_back(connection: Connection, record: Record) -> Written:
    """Free a host that is still a run's own.

    Args:
        connection: to the host.
        record: of that run.
    """
    return keep(connection, replace(record, state=State.RELEASED))


def _write(connection: Connection, *words: str, limit: float = LIMIT) -> Written:
    output = _run(connection, WRITE, *words, limit=limit)
    first, _, rest = output.partition("\n")
    before = rest.partition("\nnow ")[0].splitlines()
    running = [line.split()[1:] for line in before if line.startswith("busy ")]
    return Written(
        done=first == "result ok",
        seen=_read(connection, rest),
        drained="drained yes" in before,
        running=tuple(Running(*(word.removeprefix("-") for word in one)) for one in running),
    )


def _run(connection: Connection, script: str, *words: str, limit: float) -> str:
    done = connection.run(script, *words, time_limit=limit)
    if done.rc != 0:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.rc}"
        raise UpliftError(f"{connection.name}: {said}")
    return done.stdout


def _read(connection: Connection, output: str) -> Seen:
    try:
        return read(output)
    except UnreadableError as error:
        raise UpliftError(f"{connection.name}: {error}") from None
    except (KeyError, ValueError):
        said = output.strip()[-200:]
        msg = f"{connection.name}: its lock could not be read: {said or 'no answer'}"
        raise UpliftError(msg) from None
