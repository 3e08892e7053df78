"""What came of writes: what the server said, and what is to be remembered."""

from __future__ import annotations

from collections.abc import Sequence

from uplift.spec.http import Answers, Response
from uplift.spec.nexus.errors import words
from uplift.spec.nexus.record import Record
from uplift.spec.nexus.tasks import EXTDIRECT
from uplift.spec.nexus.writes import Does, Write


def failure(write: Write, answers: Answers | None) -> str | None:
    """Return why a write was not done; None when it was.

    Args:
        write: what was sent.
        answers: to it alone; None when it was left out.
    """
    if answers is None:
        return "left out, because of what failed before it"
    if answers.trouble:
        return f"{answers}; it may have been done: run again"
    (response,) = answers.responses
    if not 200 <= response.status < 300:
        return words(response)
    if write.request.path == EXTDIRECT:
        return _direct(response)
    return None


def _direct(response: Response) -> str | None:
    """Return what the web interface's call says: its status is 200 in any case."""
    try:
        result = response.json()["result"]
        if result["success"] is True:
            return None
        return f"{result.get('message') or result.get('errors')}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return words(response)


def remembered(record: Record, done: Sequence[Write]) -> Record:
    """Return what is to be remembered after writes.

    Args:
        record: what was remembered.
        done: writes that succeeded.
    """
    for write in done:
        if write.does is Does.CREATE:
            record = record.with_created(write.kind, write.name)
        if write.does is Does.DELETE:
            record = record.without(write.kind, write.name)
        if write.sent is not None:
            record = record.with_sent(f"{write.kind} {write.name}", write.sent)
    return record
