"""Lines that a log collector can read."""

import io
import json
import logging
from typing import Any

import pytest
from maestro_core_logging import bind, setup


def logged(**extra: Any) -> dict[str, Any]:
    stream = io.StringIO()
    setup("console", stream=stream)
    logging.getLogger("console.orders").info("order %s", "stored", extra=extra)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    found: dict[str, Any] = json.loads(lines[0])
    return found


def test_a_line_says_when_where_and_what() -> None:
    line = logged(order=12)
    assert line["time"].endswith("+00:00")
    assert (line["level"], line["service"], line["logger"]) == ("info", "console", "console.orders")
    assert (line["message"], line["order"]) == ("order stored", 12)


def test_bound_fields_are_in_the_lines_inside_alone() -> None:
    with bind(request_id="a", user="u"):
        with bind(request_id="b"):
            inner = logged()
        outer = logged()
    assert (inner["request_id"], inner["user"]) == ("b", "u")
    assert outer["request_id"] == "a"
    assert "request_id" not in logged()


def test_a_field_cannot_hide_what_happened() -> None:
    assert logged(level="none", service="other")["level"] == "info"


def test_set_up_twice_writes_each_line_once() -> None:
    setup("first")
    assert logged()["service"] == "console"


def test_an_exception_is_one_line() -> None:
    stream = io.StringIO()
    setup("console", stream=stream)
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger().exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: no" in json.loads(line)["exception"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="warning"):
        setup("console", level="warn")
