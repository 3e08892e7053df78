"""The lock of a host: who may change it now, until when, and the token that only grows.

All times are the host's own clock: a controller's clock never decides whether a lease is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum

FOLDER = "/var/lib/uplift"
LOCK = f"{FOLDER}/lock"
"""What is known of the lock; replaced whole."""

FENCE = "/etc/uplift/fence"
"""The token that commands are compared with, and whose it is; written in place, for flock(1)."""

SHELLS = "/usr/local/sbin/uplift-sh-"
"""The token is the rest of the name of a run's shell."""

REFUSED = "uplift: refused: "
"""How the sentence of a host begins that lets a command of an older run not pass (exit 75)."""

HOLD = "hold-"
"""How the id of a hold begins, which is no run."""

FORMAT = 1
NOW = "@now"
"""Stands for the host's own time in a record that is on its way to it."""

_LONGEST = 300  # letters of a text that a person gave


class State(StrEnum):
    """What a record says about a host."""

    NONE = ""
    TAKING = "taking"
    HELD = "held"
    MAINTENANCE = "maintenance"
    RELEASED = "released"


class Standing(StrEnum):
    """What that means now, by the host's clock."""

    FREE = "free"
    TAKING = "taking"
    HELD = "held"
    MAINTENANCE = "maintenance"
    OVER = "lease over"


@dataclass(frozen=True)
class Record:
    """The lock of one host as it is written down there.

    Args:
        token: of the one who had the host last.
        run: its id; a hold for maintenance has one as well.
        owner: user@machine.
        purpose: what the run is for, or the message of a hold.
        note: how far the run is.
        state: what the owner said last.
        taken: when, in seconds since 1970.
        beat: when the owner was last heard of.
        lease: seconds after that for which the lock stands.
        freed: who took it from its owner.
    """

    token: int = 0
    run: str = ""
    owner: str = ""
    purpose: str = ""
    note: str = ""
    state: State = State.NONE
    taken: int = 0
    beat: int = 0
    lease: int = 0
    freed: str = ""

    def standing(self, now: int) -> Standing:
        """Tell whether the host is locked.

        Args:
            now: by the host's clock.
        """
        if self.state in (State.NONE, State.RELEASED):
            return Standing.FREE
        if self.state is State.MAINTENANCE:
            return Standing.MAINTENANCE
        return Standing(self.state.value) if self.left(now) else Standing.OVER

    def locked(self, now: int) -> bool:
        """Tell whether nobody else may take the host.

        Args:
            now: by the host's clock.
        """
        return self.standing(now) not in (Standing.FREE, Standing.OVER)

    def left(self, now: int) -> int:
        """Return the seconds for which the lease stands unless it is renewed.

        Args:
            now: by the host's clock. One that was set back by more than the lease ends it: else a
                host whose clock was wrong for a while would stay locked for as long.
        """
        age = now - self.beat
        return 0 if age < -self.lease else max(0, self.lease - max(0, age))

    def text(self, now: str = "") -> str:
        """Return the record as it is written down.

        Args:
            now: what stands for ``beat``, and for ``taken`` while that is 0.
        """
        lines = [f"format {FORMAT}"]
        for field in fields(self):
            value = getattr(self, field.name)
            if now and (field.name == "beat" or (field.name == "taken" and not value)):
                value = now
            lines.append(f"{field.name} {cleaned(str(value))}".rstrip())
        return "\n".join(lines) + "\n"

    def of(self, run: str, token: int) -> bool:
        """Tell whether this is the lock of a run that has not given it back.

        Args:
            run: its id.
            token: that it took the lock with.
        """
        return (self.run, self.token) == (run, token) and self.state in (State.TAKING, State.HELD)


@dataclass(frozen=True)
class Seen:
    """What a host said about its lock.

    Args:
        record: as it is written down there.
        fence: the token that commands are compared with.
        now: by the host's clock, in seconds since 1970.
        digest: of both files; the host compares it before it changes them.
    """

    record: Record
    fence: int
    now: int
    digest: str

    @property
    def token(self) -> int:
        """Return the highest token that the host has ever known."""
        return max(self.record.token, self.fence)

    @property
    def standing(self) -> Standing:
        """Return whether it is locked."""
        return self.record.standing(self.now)

    @property
    def locked(self) -> bool:
        """Tell whether nobody else may take it."""
        return self.record.locked(self.now)

    @property
    def left(self) -> int | None:
        """Return the seconds of its lease; None when it has no end."""
        endless = self.standing is Standing.MAINTENANCE
        return None if endless else self.record.left(self.now)


class UnreadableError(Exception):
    """Report a lock file of a format that this release does not know."""


def cleaned(text: str) -> str:
    """Return a text as one line of printable letters, not too long.

    Args:
        text: from a person.
    """
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:_LONGEST].rstrip()


def parsed(text: str) -> Record:
    """Read what :meth:`Record.text` wrote.

    Args:
        text: of the file; empty when there is none.

    Raises:
        UnreadableError: it is of another format, or damaged.
    """
    if not text.strip():
        return Record()
    pairs = dict(line.partition(" ")[::2] for line in text.splitlines() if line)
    if pairs.get("format") != str(FORMAT):
        msg = f"{LOCK} is not of format {FORMAT}: it is damaged, or of another release of uplift"
        raise UnreadableError(msg)
    try:
        numbers = {name: int(pairs[name]) for name in ("token", "taken", "beat", "lease")}
        words = {name: pairs[name] for name in ("run", "owner", "purpose", "note", "freed")}
        return Record(state=State(pairs["state"]), **numbers, **words)  # type: ignore[arg-type]
    except (KeyError, ValueError) as error:
        msg = f"{LOCK} is damaged: {error}"
        raise UnreadableError(msg) from None


def read(output: str) -> Seen:
    """Read what a host printed: clock, digest, the fence's line, the record.

    Args:
        output: of :data:`uplift.facts.lock.READ`.

    Raises:
        UnreadableError: the record is of another format.
    """
    said, _, record = output.partition("\nrecord")
    words = dict(line.partition(" ")[::2] for line in said.splitlines())
    token = words.get("fence", "").partition(" ")[0]
    return Seen(
        record=parsed(record),
        # A crash between two writes may leave it empty: the record knows the token as well.
        fence=int(token) if token.isascii() and token.isdigit() else 0,
        now=int(words["now"]),
        digest=words["digest"],
    )


def next_token(seen: Iterable[Seen]) -> int:
    """Return a token that is newer than all that any of the hosts has known.

    Args:
        seen: of every host of the run.
    """
    return max((one.token for one in seen), default=0) + 1


def newer(tokens: Mapping[str, int], run: str) -> tuple[str, ...]:
    """Return the runs that came after another one on a host.

    Clocks of controllers do not say: a host gives every run a token above all that it has known.
    Only of a run that was never there is nothing known but its id, which begins with the time.

    Args:
        tokens: the last one that each run wrote into its records on the host.
        run: id of the other one.
    """
    if run in tokens:
        return tuple(sorted(name for name, token in tokens.items() if token > tokens[run]))
    return tuple(sorted(name for name in tokens if name > run))


def gives_way(run: str, other: Record) -> bool:
    """Tell whether a run that is taking its locks leaves them to another one that does so too.

    Of two of them exactly one does, so that not both end with nothing.

    Args:
        run: id of the one.
        other: found on a host.
    """
    return other.state is not State.TAKING or other.run <= run


def freed(record: Record, by: str, token: int) -> Record:
    """Return the record of a host that a person takes out of a run's hands.

    Args:
        record: as it was found.
        by: user@machine.
        token: a new one: the run's next command is refused.
    """
    return replace(record, token=token, state=State.RELEASED, freed=by)
