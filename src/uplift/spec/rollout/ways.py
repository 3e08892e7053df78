"""What brings back what an operation has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """A way back.

    Args:
        words: what it is, for people; ``none`` with the reason where there is none.
        reverts: a rollout goes it by itself.
    """

    words: str
    reverts: bool = False


_RELEASE = Way("the release before", reverts=True)
_FILES = Way("the files before, kept on the host for the run", reverts=True)
_CONTAINER = Way("the container before, made again from its record", reverts=True)
_WITH_FILES = Way("the container before, and the files before", reverts=True)
_REMOTE = "it is what a server holds, and the values before are not kept"

_WAYS = {
    "app.deployed": _RELEASE,
    "app.rolled_back": _RELEASE,
    "uv.installed": Way("the version before", reverts=True),
    "certificates.trusted": _FILES,
    "clients.present": _FILES,
    "influxdb.tokens_present": _FILES,
    "container.converged": _CONTAINER,
    "redis.configured": _CONTAINER,
    "nexus_server.running": _CONTAINER,
    "registry.present": _WITH_FILES,
}

_NONE = {
    "app_jobs.jobs_done": "a job that has run has run",
    "backup.scheduled": "a timer that another backup may rely on is not taken away by itself",
    "backup.taken": "a backup that was taken stays",
    "backup.restored": "what the restore replaced is kept beside it, for a person to decide",
    "container_return.returned": "it is the way back itself",
    "container_removal.absent": "a container that was removed is gone",
    "container_removal.pruned": "an image that was removed is pulled again when it is needed",
    "docker.installed": "another Engine or daemon.json restarts every container of the host",
    "haproxy.configured": "its file also says which slot serves, which goes back with the release",
    "images.built": "an image that was pushed may be in use elsewhere by now",
    "influxdb.configured": _REMOTE,
    "influxdb.old_tokens_absent": _REMOTE,
    "nexus.configured": _REMOTE,
    "packages.published": "a version that was published may be in use elsewhere by now",
    "tools.installed": "the versions before are not kept",
}


def way_back(function: str, lasting: Sequence[str] = ()) -> Way | None:
    """Return what brings back what an operation has changed; None when nothing is known of it.

    Args:
        function: which operation, as ``uplift.operations.uv.installed``.
        lasting: why this change of it is not put back, as the operation says.
    """
    name = function.removeprefix("uplift.operations.")
    if reason := "; ".join(dict.fromkeys(lasting)) or _NONE.get(name):
        return Way(f"none: {reason}")
    return _WAYS.get(name)
