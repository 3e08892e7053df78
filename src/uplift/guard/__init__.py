"""Refuse a wrong call of pyinfra before anything connects; ``config.py`` calls :func:`check`."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

from uplift.controller import note_inventory
from uplift.guard.call import Call, check_terminal, check_types, parse
from uplift.guard.inventory import check_file, load, select
from uplift.guard.lock import install
from uplift.guard.values import answer_sudo, check_settings
from uplift.spec.errors import Exit, UpliftError


def check() -> None:
    """Refuse with exit code 64 what pyinfra was called with, when it cannot be right.

    A mistyped inventory, a ``--limit`` or ``--exclude`` that matches nothing, settings that are
    wrong on any selected host, ``--data`` that became another value than what was typed, and a run
    that would wait for a person where there is none. Does nothing outside pyinfra's command line.
    """
    import pyinfra

    if not pyinfra.is_cli:
        return
    try:
        _check(parse(sys.argv[1:]))
    except UpliftError as error:
        stop(error)


def stop(error: UpliftError) -> NoReturn:
    """End pyinfra with a message and the error's exit code, without a traceback.

    Args:
        error: what was wrong.
    """
    print(f"uplift: {error}", file=sys.stderr)
    raise SystemExit(int(error.exit_code))


def _check(call: Call) -> None:
    check_terminal(call)
    check_file(call)
    note_inventory(call.inventory)
    inventory = load(call)
    hosts = select(list(inventory), inventory.groups, call)
    check_types(hosts, call)
    if call.deploys:
        check_settings(hosts, call)
    if call.connects:
        answer_sudo(hosts, call)
        install()
        # pyinfra's own handler exits with 0: half a deploy would look like a whole one.
        signal.signal(signal.SIGINT, _interrupted)


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    print(
        "\nuplift: interrupted. What was running on a host may still end there; "
        "the same command again completes it",
        file=sys.stderr,
    )
    raise SystemExit(int(Exit.INTERRUPTED))
