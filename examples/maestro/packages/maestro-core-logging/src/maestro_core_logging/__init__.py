"""Logs as one JSON object a line, with fields of the request at hand.

setup("console", level="info")
with bind(request_id="7f3a"):
    logging.getLogger(__name__).info("order stored", extra={"order": 12})

{"time": "2025-03-01T08:00:00.000+00:00", "level": "info", "service": "console",
 "logger": "console.orders", "message": "order stored", "request_id": "7f3a", "order": 12}
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

__all__ = ["LEVELS", "JsonFormatter", "bind", "bound", "setup"]

LEVELS = ("debug", "info", "warning", "error", "critical")

# What every record has by itself; all else was given as `extra`.
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}

_FIELDS: ContextVar[Mapping[str, Any]] = ContextVar("maestro_fields")


class JsonFormatter(logging.Formatter):
    """Write a record as one line of JSON.

    Args:
        service: name of the program, in every line.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a value that JSON does not know is written as its text."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        extra = {key: value for key, value in vars(record).items() if key not in _OWN}
        # The line's own keys stay: a field of the same name would hide what happened.
        line = {**bound(), **extra, **line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def setup(service: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Send the logs of the whole program to one stream; called again, it replaces what it did.

    Args:
        service: name of the program.
        level: the least that is written, one of ``LEVELS``.
        stream: standard error when left out.

    Raises:
        ValueError: there is no such level.
    """
    if level not in LEVELS:
        msg = f"level is one of {', '.join(LEVELS)}; found {level!r}"
        raise ValueError(msg)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one.formatter, JsonFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())


def bound() -> Mapping[str, Any]:
    """Return the fields that are bound here."""
    return _FIELDS.get({})


@contextmanager
def bind(**fields: Any) -> Iterator[None]:
    """Add fields to every line that is logged inside, also in tasks that are started there.

    Args:
        fields: names and values; those of an inner ``bind`` go over those of an outer one.
    """
    token = _FIELDS.set({**bound(), **fields})
    try:
        yield
    finally:
        _FIELDS.reset(token)
