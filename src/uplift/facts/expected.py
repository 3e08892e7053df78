"""What a run may find on a host: what its plan saw there, until the run itself has changed it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from uplift.spec.rollout.plan import differing, touched

EXPECTED = "UPLIFT_EXPECTED"
"""Environment variable with a JSON file: fingerprints of parts, by read's key, by host."""

_seen: set[tuple[str, str]] = set()
_changed: dict[str, list[str]] = {}


@cache
def _expected() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    file = os.environ.get(EXPECTED)
    found: Mapping[str, Mapping[str, Mapping[str, str]]] = (
        json.loads(Path(file).read_text()) if file else {}
    )
    return found


def changed(host: str, function: str) -> None:
    """Note that the run has changed a host.

    Args:
        host: its name.
        function: the operation that did, as ``uplift.operations.uv.installed``.
    """
    _changed.setdefault(host, []).append(function)


def moved(host: str, key: str, found: Mapping[str, str]) -> list[str]:
    """Return the parts of a read that are not as the plan saw them, though this run let them be.

    Only the first time counts: what comes after is what the run is about.

    Args:
        host: its name.
        key: of the read.
        found: fingerprints by part.
    """
    before = _expected().get(host, {}).get(key)
    if before is None or (host, key) in _seen:
        return []
    _seen.add((host, key))
    if any(touched(function, key) for function in _changed.get(host, ())):
        return []
    return differing(before, found)
