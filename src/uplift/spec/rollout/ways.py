"""What brings back what an operation has changed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """A way back.

    Args:
        words: what it is, for people.
        reverts: a rollout goes it by itself; else a person can.
    """

    words: str
    reverts: bool = False


_PREVIOUS = Way("the container before is kept as NAME--previous: container.returned")
_RELEASE = Way("the release before", reverts=True)

_WAYS = {
    "app.deployed": _RELEASE,
    "app.rolled_back": _RELEASE,
    "uv.installed": Way("the version before", reverts=True),
    "container.converged": _PREVIOUS,
    "redis.configured": _PREVIOUS,
    "registry.present": _PREVIOUS,
    "nexus_server.running": _PREVIOUS,
}


def way_back(function: str) -> Way | None:
    """Return what brings back what an operation has changed; None when nothing does.

    Args:
        function: which operation, as ``uplift.operations.uv.installed``.
    """
    return _WAYS.get(function.removeprefix("uplift.operations."))
