"""Tell whoever started pyinfra what happens in it; without a listener this does nothing."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any

from uplift.spec.rollout.event import Event

DESCRIPTOR = "UPLIFT_EVENTS"
"""Environment variable with the number of the file descriptor that events are written to."""


@cache
def _descriptor() -> int | None:
    found = os.environ.get(DESCRIPTOR, "")
    if not found.isdecimal():
        return None
    # What pyinfra starts in turn must not keep the listener waiting.
    os.set_inheritable(int(found), False)
    return int(found)


def wanted() -> bool:
    """Tell whether somebody listens."""
    return _descriptor() is not None


def write(kind: str, *, host: str = "", operation: str = "", text: str = "", **data: Any) -> None:
    """Write one event.

    Args:
        kind: one of ``uplift.spec.rollout.event.Kind``.
        host: on which it happened.
        operation: in which.
        text: for people; never a secret.
        data: more about it, as JSON can hold it; never a secret.
    """
    to = _descriptor()
    if to is None:
        return
    event = Event(kind, host=host, operation=operation, text=text, at=time.time(), data=data)
    rest = f"{event.line()}\n".encode()
    try:
        while rest:
            rest = rest[os.write(to, rest) :]
    except BrokenPipeError:
        # Nobody listens any more; what this process does, it does to its end.
        _descriptor.cache_clear()
        os.environ.pop(DESCRIPTOR)
