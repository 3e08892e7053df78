"""What Docker says about labs, where it does not answer at once."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import APIError

from uplift.lab import inspect

USAGE = {
    "Containers": [{"Labels": {"uplift.lab": "mine"}, "SizeRw": 7}],
    "Volumes": [{"Labels": {"uplift.lab": "other"}, "UsageData": {"Size": 9}}],
}


class Engine:
    """Counts the disk for somebody else first."""

    def __init__(self, *said: str) -> None:
        self.said = list(said)

    def df(self) -> dict[str, Any]:
        if self.said:
            raise APIError(self.said.pop(0))
        return USAGE


def disk(engine: Engine) -> dict[str, int]:
    return inspect.disk(engine, "mine")  # type: ignore[arg-type]


def test_a_disk_that_is_counted_for_somebody_else_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inspect.names, "LABEL", "uplift.lab")
    busy = "a disk usage operation is already running"
    assert disk(Engine(busy, busy)) == {"containers": 7, "volumes": 0}


def test_any_other_trouble_is_said_at_once_and_a_count_without_end_after_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(APIError, match="no space"):
        disk(Engine("no space left on device"))
    monkeypatch.setattr(inspect, "DISK_LIMIT", 0.0)
    with pytest.raises(APIError, match="already running"):
        disk(Engine(*["already running"] * 5))
