"""Before pyinfra changes anything by itself: does a rollout or a hold have one of the hosts?"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from uplift.controller import person
from uplift.facts.lock import READ
from uplift.spec.errors import Exit, UpliftError
from uplift.spec.rollout.lock import SHELLS, Seen, State, UnreadableError, read
from uplift.spec.rollout.lock_words import refusal, together

if TYPE_CHECKING:
    from pyinfra.api.host import Host

IGNORE = "UPLIFT_LOCK"
"""Environment variable: with the value `ignore`, locks of others are only told."""

LIMIT = 30  # seconds


class LockedError(UpliftError):
    """Report hosts that a rollout or somebody's hold has: pyinfra was about to change them."""

    exit_code = Exit.LOCKED

    def __init__(self, holders: dict[str, Seen]) -> None:
        super().__init__(
            f"{refusal(holders)}\n"
            f"Wait for it, see `uplift lock --help`, or go on all the same: {IGNORE}=ignore"
        )


def install() -> None:
    """Have pyinfra look at the locks of its hosts when it is about to change them."""
    from pyinfra_cli import cli

    run_ops = cli.run_ops

    def look_first(state: Any, *args: Any, **options: Any) -> Any:
        # A run of uplift's own has the locks; the hosts compare its token with each command.
        if not str(state.config.SHELL).startswith(SHELLS):
            _look(state)
        return run_ops(state, *args, **options)

    cli.run_ops = look_first


def _look(state: Any) -> None:
    import gevent  # type: ignore[import-untyped]

    from uplift.guard import stop

    hosts = [host for host in state.inventory if host in state.active_hosts]
    asked = [state.pool.spawn(_seen, host) for host in hosts]
    gevent.joinall(asked, raise_error=True)
    found = {host.name: one.value for host, one in zip(hosts, asked, strict=True)}
    holders = refused_by({name: seen for name, seen in found.items() if seen}, person())
    if not holders:
        return
    error = LockedError(holders)
    if os.environ.get(IGNORE) != "ignore":
        stop(error)
    for line in together(holders):
        print(f"uplift: {IGNORE}=ignore: {line}", file=sys.stderr)


def refused_by(found: dict[str, Seen], me: str) -> dict[str, Seen]:
    """Return the hosts that are locked for somebody; one's own hold is for one's own work.

    Args:
        found: by host.
        me: user@machine.
    """
    return {
        name: seen
        for name, seen in found.items()
        if seen.locked and not (seen.record.state is State.MAINTENANCE and seen.record.owner == me)
    }


def _seen(host: Host) -> Seen | None:
    """Return what a host says of its lock; None where only root may read it, and we are not.

    A host that does not answer gives None as well: the run itself says what is wrong with it.
    """
    from paramiko import SSHException
    from pyinfra.api.command import QuoteString, StringCommand

    from uplift.facts.script import run_quietly

    command = StringCommand("sh", "-c", QuoteString(READ))
    try:
        good, output = run_quietly(host, command, {"_timeout": LIMIT})
        return read(output.stdout) if good else None
    except (TimeoutError, OSError, SSHException):
        return None
    except UnreadableError as error:
        print(f"uplift: {host.name}: {error}", file=sys.stderr)
        return None
